//! A whole directory as text: one row on each line, as JSON. It holds no secret: links do not work after an import,
//! and invitations are sent again.

use std::io::{BufRead, Write};

use serde_json::json;

use super::error::{DirectoryError, Refusal, Rule};
use super::Directory;
use crate::loader;
use crate::model::{Revision, Timestamp};
use crate::store::{Changed, Entry, Kind, Obstacle, Row, StoreError};

impl Directory {
    /// Writes all rows, those first that others refer to. The journal stays where it is.
    ///
    /// # Errors
    /// When the store cannot be read, or `out` not be written to.
    pub fn export(&self, out: &mut dyn Write) -> Result<(), DirectoryError> {
        let (mut tx, _) = self.reading()?;
        let mut write = |row: &Row| {
            let line = serde_json::to_string(row).map_err(|e| StoreError::Other(Box::new(e)))?;
            writeln!(out, "{line}").map_err(|e| StoreError::Refused(format!("the rows cannot be written: {e}")))
        };
        let is_client = |row: &Row| matches!(row, Row::Organization(row) if row.parent.is_some());
        // MSPs before their clients.
        for clients in [false, true] {
            tx.scan(Kind::Organization, None, &mut |row| match is_client(&row) == clients {
                true => write(&row),
                false => Ok(()),
            })?;
        }
        for kind in Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Organization | Kind::Session)) {
            tx.scan(kind, None, &mut |row| write(&row))?;
        }
        Ok(())
    }

    /// Fills an empty directory with rows, all or none, and gives how many there were. For the operator.
    ///
    /// # Errors
    /// When the directory is not empty, a row cannot be read or breaks a rule, or the store cannot be written to.
    pub fn import(&self, rows: impl BufRead) -> Result<(usize, Revision), DirectoryError> {
        let now = self.authorizer().now().map_err(DirectoryError::Clock)?;
        self.shared.ready();
        self.shared.writing.take(|| self.fill(rows, now))
    }

    fn fill(&self, mut rows: impl BufRead, now: Timestamp) -> Result<(usize, Revision), DirectoryError> {
        let mut tx = self.shared.store.write()?;
        let state = self.shared.follow(&mut *tx)?;
        if tx.head()?.number > 0 {
            return Err(Refusal::new(Rule::State, "the directory is not empty").into());
        }
        let (mut line, mut number, mut count) = (Vec::new(), 0_usize, 0_usize);
        loop {
            line.clear();
            number += 1;
            let bad = |why: &dyn std::fmt::Display| StoreError::Refused(format!("line {number}: {why}"));
            if rows.read_until(b'\n', &mut line).map_err(|e| bad(&e))? == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let row: Row = serde_json::from_slice(&line).map_err(|e| bad(&e))?;
            tx.insert(&row)?
                .map_err(|obstacle| bad(&format_args!("{} `{}`: {}", row.kind().id(), row.id(), told(obstacle))))?;
            count += 1;
        }
        let entry = Entry {
            at: now,
            actor: "operator".into(),
            action: "import".into(),
            organization: None,
            target: None,
            details: json!({"rows": count}).to_string(),
            decision: json!({"policies": [], "bundle": state.bundle().version()}).to_string(),
            private: Vec::new(),
        };
        let head = tx.append(&[entry], Changed::Everything)?;
        let snapshot = loader::load(state.bundle(), &mut *tx)?;
        tx.commit()?;
        self.publish(&state, snapshot, head);
        Ok((count, head.revision()))
    }
}

fn told(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Changed | Obstacle::LastAdministrator => "it cannot be put in",
        Obstacle::NoSeat => "the plan has no contributor seat for it",
        Obstacle::Taken => "its id or its address is there already",
        Obstacle::Misplaced => "it refers to something that stands not before it, or is another organization's",
    }
}
