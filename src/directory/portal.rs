//! The auditors' portal: opening a link, logging in, sessions. What is wrong with a link, a password or a session is
//! not told.

use super::auditors::{auditor_by_link, session_of};
use super::command::{Actor, Command};
use super::error::DirectoryError;
use super::secret::{self, Secret};
use super::work::Work;
use super::Directory;
use crate::loader;
use crate::model::{Revision, Timestamp};
use crate::store::{Auditor, AuditorStatus, Changed, Id, Kind, Name, PasswordHash, Row, Session};

/// How many logins may fail before the next is refused for a time.
const FAILURES: u32 = 5;
/// For how long, the first time; each further failure doubles it.
const LOCK: i64 = 60_000;
/// How often it is doubled at most: to about 17 hours.
const DOUBLINGS: u32 = 10;
/// How long a session works.
const SESSION: i64 = 12 * 60 * 60 * 1000;

/// What `/audit/{token}` shows before anybody has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenedLink {
    /// The auditor: logging in names it.
    pub auditor: Id,
    /// Whose auditor.
    pub organization: Id,
    /// The auditor's name.
    pub name: Name,
    /// The firm, for the banner.
    pub firm: Name,
    /// Whether a password was set: then the auditor logs in, and otherwise sets one.
    pub has_password: bool,
}

/// A session that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenedSession {
    /// What the auditor's browser keeps.
    pub token: Secret,
    /// From when on it does not work.
    pub expires_at: Timestamp,
    /// The revision that it led to.
    pub revision: Revision,
}

fn may_log_in(row: &Auditor, now: Timestamp) -> bool {
    row.status == AuditorStatus::Active && now < row.expires_at && row.locked_until.is_none_or(|until| now >= until)
}

impl Directory {
    fn auditor(&self, id: Id) -> Result<Option<Auditor>, DirectoryError> {
        match self.shared.store.read()?.get(Kind::Auditor, id)? {
            Some(Row::Auditor(row)) => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    /// What a link shows. Opening it, however often, uses nothing up: setting the password does.
    ///
    /// # Errors
    /// [`DirectoryError::Link`] when it does not work, whatever the reason.
    pub fn open_link(&self, link: &Secret) -> Result<OpenedLink, DirectoryError> {
        let now = self.shared.authorizer.now().map_err(DirectoryError::Clock)?;
        let row = auditor_by_link(&mut *self.shared.store.read()?, link, now)?;
        Ok(OpenedLink {
            auditor: row.id,
            organization: row.organization,
            name: row.name,
            firm: row.firm,
            has_password: row.password.is_some(),
        })
    }

    /// The hash of the password that a command is to set, made before the transaction, which others would wait for. None
    /// for every other command, and where nothing will be set: what is refused is refused at once, whatever the reason.
    pub(super) fn hashed(
        &self,
        key: &str,
        command: &Command,
        now: Timestamp,
    ) -> Result<Option<PasswordHash>, DirectoryError> {
        let Command::SetPassword { link, password } = command else { return Ok(None) };
        {
            let mut tx = self.shared.store.read()?;
            if !secret::is_acceptable(password) || tx.outcome(key)?.is_some() {
                return Ok(None);
            }
            match auditor_by_link(&mut *tx, link, now) {
                Err(DirectoryError::Link) => return Ok(None),
                found => drop(found?),
            }
        }
        secret::hash_password(password, &self.draw()?).map(Some)
    }

    /// Begins a session of an auditor who knows the password.
    ///
    /// # Errors
    /// [`DirectoryError::Login`] when it does not work, whatever the reason; five in a row, and logins of this auditor
    /// are refused for a minute, which doubles with each further one.
    pub fn log_in(&self, auditor: Id, password: &Secret) -> Result<OpenedSession, DirectoryError> {
        let now = self.shared.authorizer.now().map_err(DirectoryError::Clock)?;
        let before = self.auditor(auditor)?;
        let hash = before.as_ref().filter(|row| may_log_in(row, now)).and_then(|row| row.password.clone());
        // Hashing takes its time outside the transaction, and as long where there is nothing to compare with.
        let right = secret::is_password(password, hash.as_ref());
        let hash = hash.ok_or(DirectoryError::Login)?;
        self.shared.ready();
        self.shared.writing.take(|| self.note_login(auditor, right, &hash, now))
    }

    /// Begins a session, or notes that the password was wrong.
    fn note_login(
        &self,
        auditor: Id,
        right: bool,
        hash: &PasswordHash,
        now: Timestamp,
    ) -> Result<OpenedSession, DirectoryError> {
        let actor = Actor::Bearer;
        let command = Command::LogIn { auditor };
        let mut tx = self.shared.store.write()?;
        let state = self.shared.follow(&mut *tx)?;
        let mut work = Work::new(self, tx, &state, &actor, &command, now);
        let old = work.auditor(auditor)?;
        // What was compared with must still be the password: a new one, a lock or a revocation may have come.
        if !may_log_in(&old, now) || old.password.as_ref() != Some(hash) {
            return Err(DirectoryError::Login);
        }
        let session = if right {
            Some(begin(&mut work, old)?)
        } else {
            fail(&mut work, old)?;
            None
        };
        let Work { mut tx, changed, entries, .. } = work;
        let head = tx.append(&entries, Changed::Rows(&changed))?;
        let snapshot = loader::apply(&state, &mut *tx, &changed)?.at(head.revision());
        tx.commit()?;
        self.publish(&state, snapshot, head);
        let (token, expires_at) = session.ok_or(DirectoryError::Login)?;
        Ok(OpenedSession { token, expires_at, revision: head.revision() })
    }

    /// Whose session a token is of, read from the store: a session that was ended is none at once.
    ///
    /// # Errors
    /// [`DirectoryError::Login`] when it does not work, whatever the reason.
    pub fn session(&self, token: &Secret) -> Result<Actor, DirectoryError> {
        let now = self.shared.authorizer.now().map_err(DirectoryError::Clock)?;
        let mut tx = self.shared.store.read()?;
        let session = session_of(&mut *tx, token)?;
        let Some(Row::Auditor(auditor)) = tx.get(Kind::Auditor, session.auditor)? else {
            return Err(DirectoryError::Login);
        };
        match auditor.status == AuditorStatus::Active && now < auditor.expires_at && now < session.expires_at {
            true => Ok(Actor::Auditor(auditor.id)),
            false => Err(DirectoryError::Login),
        }
    }
}

fn begin(work: &mut Work<'_>, old: Auditor) -> Result<(Secret, Timestamp), DirectoryError> {
    let id = work.new_id()?;
    let token = work.token(id)?;
    let until = Timestamp::from_millis(work.now.millis().saturating_add(SESSION)).unwrap_or(Timestamp::MAX);
    let expires_at = until.min(old.expires_at);
    let session = Session { id, organization: old.organization, auditor: old.id, token: token.hash(), expires_at };
    let inserted = work.tx.insert(&Row::Session(session))?;
    inserted.map_err(|_| DirectoryError::Login)?;
    work.act_as(&old);
    let new = Auditor { failures: 0, locked_until: None, ..old.clone() };
    work.change_or_log("logIn", &Row::Auditor(old), &Row::Auditor(new))?;
    Ok((token.secret(), expires_at))
}

fn fail(work: &mut Work<'_>, old: Auditor) -> Result<(), DirectoryError> {
    let failures = old.failures.saturating_add(1);
    let times = failures.checked_sub(FAILURES).map(|times| times.min(DOUBLINGS));
    let until = times.map(|times| work.now.millis().saturating_add(LOCK << times)).and_then(Timestamp::from_millis);
    work.act_as(&old);
    let new = Auditor { failures, locked_until: until.or(old.locked_until), ..old.clone() };
    work.change_or_log("failLogIn", &Row::Auditor(old), &Row::Auditor(new))
}
