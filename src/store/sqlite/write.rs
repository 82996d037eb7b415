//! Writing: each statement says under which condition it changes its row, and the count of rows whether it did.

use std::collections::BTreeSet;

use rusqlite::{params, ErrorCode, Params};

use super::{damaged, failed, Tx};
use crate::store::chain::{self, Entry};
use crate::store::rows::{Auditor, Guest, Invitation, Inviter, Member, Organization, PasswordHash, Row, Target};
use crate::store::values::{Hash, Id};
use crate::store::{Changed, Head, Obstacle, Reading, Recorded, StoreError, Writing, Written};

/// Whether the organization `?1` has, besides the member `?2`, somebody who must remain once that one, whose role was
/// `?3`, is gone.
const REMAINS: &str = "EXISTS (SELECT 1 FROM members AS other
  WHERE other.organization = ?1 AND other.active = 1 AND other.role IN ('OWNER', 'ADMIN')
    AND other.role IN ('OWNER', ?3) AND other.id <> ?2)";

/// Whether the organization `?1` has a contributor seat that nobody holds.
const FREE: &str = "(SELECT count(*) FROM members AS other
    WHERE other.organization = ?1 AND other.active = 1 AND other.contributor = 1)
  < (SELECT contributor_seats FROM organizations WHERE id = ?1)";

fn parts(target: Target) -> (Option<[u8; 16]>, Option<&'static str>) {
    match target {
        Target::Project(id) => (Some(*id.bytes()), None),
        Target::Role(role) => (None, Some(role.id())),
    }
}

fn inviter(inviter: Inviter) -> (&'static str, Option<[u8; 16]>) {
    match inviter {
        Inviter::Operator => ("operator", None),
        Inviter::Member(id) => ("member", Some(*id.bytes())),
        Inviter::Creator(id) => ("creator", Some(*id.bytes())),
    }
}

fn link(link: &Option<Hash>) -> Option<[u8; 32]> {
    link.as_ref().map(|hash| *hash.bytes())
}

impl Tx<'_> {
    /// Runs a statement that changes one row or none.
    fn one(&self, sql: &str, of: impl Params, otherwise: Obstacle) -> Result<Written, StoreError> {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        match self.prepare(sql)?.execute(of) {
            Ok(1) => Ok(Ok(())),
            Ok(0) => Ok(Err(otherwise)),
            Ok(_) => Err(damaged("a key")),
            Err(error) => match error.sqlite_error() {
                Some(e) if e.code == ErrorCode::ConstraintViolation => match e.extended_code {
                    SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY => Ok(Err(Obstacle::Taken)),
                    SQLITE_CONSTRAINT_FOREIGNKEY => Ok(Err(Obstacle::Misplaced)),
                    _ => Err(failed(error)),
                },
                _ => Err(failed(error)),
            },
        }
    }

    fn insert_member(&self, member: &Member) -> Result<Written, StoreError> {
        let sql = format!(
            "INSERT INTO members (organization, id, email, email_folded, role, active, compliance_team, contributor,
               mfa_locked_at, mfa_reset)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE NOT (?6 = 1 AND ?8 = 1) OR {FREE}"
        );
        let values = params![
            member.organization.bytes(),
            member.id.bytes(),
            member.email.as_str(),
            member.email.folded(),
            member.role.id(),
            member.active,
            member.compliance_team,
            member.contributor,
            member.mfa_locked_at.map(|at| at.millis()),
            member.mfa_reset,
        ];
        let written = self.one(&sql, values, Obstacle::NoSeat)?;
        if written.is_err() {
            return Ok(written);
        }
        self.add_links(member, &member.projects, &member.clients)
    }

    fn add_links(
        &self,
        member: &Member,
        projects: &BTreeSet<Id>,
        clients: &BTreeSet<Id>,
    ) -> Result<Written, StoreError> {
        let add = |sql: &str, id: &Id| {
            let values = params![member.id.bytes(), id.bytes(), member.organization.bytes()];
            self.one(sql, values, Obstacle::Misplaced)
        };
        for id in projects {
            let sql = "INSERT INTO member_projects (member, project)
              SELECT ?1, id FROM projects WHERE id = ?2 AND organization = ?3";
            if let refused @ Err(_) = add(sql, id)? {
                return Ok(refused);
            }
        }
        for id in clients {
            let sql = "INSERT INTO member_clients (member, client)
              SELECT ?1, id FROM organizations WHERE id = ?2 AND parent = ?3";
            if let refused @ Err(_) = add(sql, id)? {
                return Ok(refused);
            }
        }
        Ok(Ok(()))
    }

    fn remove_links(&self, of: Id, projects: &BTreeSet<Id>, clients: &BTreeSet<Id>) -> Result<Written, StoreError> {
        let projects = projects.iter().map(|id| ("DELETE FROM member_projects WHERE member = ?1 AND project = ?2", id));
        let clients = clients.iter().map(|id| ("DELETE FROM member_clients WHERE member = ?1 AND client = ?2", id));
        for (sql, id) in projects.chain(clients) {
            if let refused @ Err(_) = self.one(sql, [of.bytes(), id.bytes()], Obstacle::Changed)? {
                return Ok(refused);
            }
        }
        Ok(Ok(()))
    }

    /// Whether a member's row, apart from links, is as `old` says.
    fn is_member(&self, old: &Member) -> Result<bool, StoreError> {
        let found = self.number(
            "SELECT count(*) FROM members WHERE id = ?1 AND role = ?2 AND active = ?3 AND compliance_team = ?4
               AND contributor = ?5 AND mfa_locked_at IS ?6 AND mfa_reset = ?7",
            params![
                old.id.bytes(),
                old.role.id(),
                old.active,
                old.compliance_team,
                old.contributor,
                old.mfa_locked_at.map(|at| at.millis()),
                old.mfa_reset,
            ],
        )?;
        Ok(found == 1)
    }

    fn remains(&self, member: &Member) -> Result<bool, StoreError> {
        let of = params![member.organization.bytes(), member.id.bytes(), member.role.id()];
        Ok(self.number(&format!("SELECT {REMAINS}"), of)? == 1)
    }

    fn replace_member(&self, old: &Member, new: &Member) -> Result<Written, StoreError> {
        use crate::model::grc::Role;
        let stays = new.active && (new.role == old.role || new.role == Role::Owner);
        let (must_remain, needs_seat) = (old.administers() && !stays, new.holds_seat() && !old.holds_seat());
        let sql = format!(
            "UPDATE members SET role = ?4, active = ?5, compliance_team = ?6, contributor = ?7, mfa_locked_at = ?8,
               mfa_reset = ?9
             WHERE id = ?2 AND role = ?3 AND active = ?10 AND compliance_team = ?11 AND contributor = ?12
               AND mfa_locked_at IS ?13 AND mfa_reset = ?14
               AND (?15 = 0 OR {REMAINS}) AND (?16 = 0 OR {FREE})"
        );
        let values = params![
            old.organization.bytes(),
            old.id.bytes(),
            old.role.id(),
            new.role.id(),
            new.active,
            new.compliance_team,
            new.contributor,
            new.mfa_locked_at.map(|at| at.millis()),
            new.mfa_reset,
            old.active,
            old.compliance_team,
            old.contributor,
            old.mfa_locked_at.map(|at| at.millis()),
            old.mfa_reset,
            must_remain,
            needs_seat,
        ];
        let gone = |old: &BTreeSet<Id>, new: &BTreeSet<Id>| old.difference(new).copied().collect::<BTreeSet<_>>();
        match self.one(&sql, values, Obstacle::Changed)? {
            Ok(()) => {}
            Err(Obstacle::Changed) if self.is_member(old)? => {
                let last = must_remain && !self.remains(old)?;
                return Ok(Err(if last { Obstacle::LastAdministrator } else { Obstacle::NoSeat }));
            }
            refused => return Ok(refused),
        }
        let (projects, clients) = (gone(&old.projects, &new.projects), gone(&old.clients, &new.clients));
        match self.remove_links(old.id, &projects, &clients)? {
            Ok(()) => self.add_links(new, &gone(&new.projects, &old.projects), &gone(&new.clients, &old.clients)),
            refused => Ok(refused),
        }
    }

    fn remove_member(&self, old: &Member) -> Result<Written, StoreError> {
        if let refused @ Err(_) = self.remove_links(old.id, &old.projects, &old.clients)? {
            return Ok(refused);
        }
        let sql = format!(
            "DELETE FROM members WHERE id = ?2 AND organization = ?1 AND role = ?3 AND active = ?4
               AND compliance_team = ?5 AND contributor = ?6 AND mfa_locked_at IS ?7 AND mfa_reset = ?8
               AND (?9 = 0 OR {REMAINS})"
        );
        let values = params![
            old.organization.bytes(),
            old.id.bytes(),
            old.role.id(),
            old.active,
            old.compliance_team,
            old.contributor,
            old.mfa_locked_at.map(|at| at.millis()),
            old.mfa_reset,
            old.administers(),
        ];
        match self.one(&sql, values, Obstacle::Changed)? {
            Err(Obstacle::Changed) if self.is_member(old)? => Ok(Err(Obstacle::LastAdministrator)),
            // A link that was not expected.
            Err(Obstacle::Misplaced) => Ok(Err(Obstacle::Changed)),
            written => Ok(written),
        }
    }

    fn replace_organization(&self, old: &Organization, new: &Organization) -> Result<Written, StoreError> {
        let is = "id = ?1 AND bundled_seats = ?2 AND seat_cents = ?3 AND contributor_seats = ?4";
        let sql = format!(
            "UPDATE organizations SET bundled_seats = ?5, seat_cents = ?6, contributor_seats = ?7, name = ?8
             WHERE {is} AND name = ?9 AND ?7 >= (SELECT count(*) FROM members
               WHERE organization = ?1 AND active = 1 AND contributor = 1)"
        );
        let (plan, next) = (old.plan, new.plan);
        let values = params![
            old.id.bytes(),
            plan.bundled_seats,
            plan.seat_cents,
            plan.contributor_seats,
            next.bundled_seats,
            next.seat_cents,
            next.contributor_seats,
            new.name.as_str(),
            old.name.as_str(),
        ];
        let written = self.one(&sql, values, Obstacle::Changed)?;
        let as_expected =
            params![old.id.bytes(), plan.bundled_seats, plan.seat_cents, plan.contributor_seats, old.name.as_str()];
        let sql = format!("SELECT count(*) FROM organizations WHERE {is} AND name = ?5");
        match written {
            Err(Obstacle::Changed) if self.number(&sql, as_expected)? == 1 => Ok(Err(Obstacle::NoSeat)),
            written => Ok(written),
        }
    }

    fn replace_invitation(&self, old: &Invitation, new: &Invitation) -> Result<Written, StoreError> {
        let ((old_by, old_id), (by, by_id)) = (inviter(old.inviter), inviter(new.inviter));
        self.one(
            "UPDATE invitations SET state = ?2, expires_at = ?3, link = ?4, inviter = ?5, inviter_id = ?6,
               email = ?12, email_folded = ?13
             WHERE id = ?1 AND state = ?7 AND expires_at = ?8 AND link IS ?9 AND inviter = ?10 AND inviter_id IS ?11
               AND email_folded = ?14",
            params![
                old.id.bytes(),
                new.state.id(),
                new.expires_at.millis(),
                link(&new.link),
                by,
                by_id,
                old.state.id(),
                old.expires_at.millis(),
                link(&old.link),
                old_by,
                old_id,
                new.email.as_str(),
                new.email.folded(),
                old.email.folded(),
            ],
            Obstacle::Changed,
        )
    }

    fn insert_auditor(&self, row: &Auditor) -> Result<Written, StoreError> {
        self.one(
            "INSERT INTO auditors (id, organization, name, email, email_folded, firm, period_from, period_to,
               expires_at, status, link, password, failures, locked_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                row.id.bytes(),
                row.organization.bytes(),
                row.name.as_str(),
                row.email.as_str(),
                row.email.folded(),
                row.firm.as_str(),
                row.period.map(|period| period.from.millis()),
                row.period.map(|period| period.to.millis()),
                row.expires_at.millis(),
                row.status.id(),
                link(&row.link),
                row.password.as_ref().map(PasswordHash::as_str),
                row.failures,
                row.locked_until.map(|at| at.millis()),
            ],
            Obstacle::Changed,
        )
    }

    fn replace_auditor(&self, old: &Auditor, new: &Auditor) -> Result<Written, StoreError> {
        self.one(
            "UPDATE auditors SET status = ?2, link = ?3, password = ?4, failures = ?5, locked_until = ?6, name = ?12,
               email = ?13, email_folded = ?14, firm = ?15
             WHERE id = ?1 AND status = ?7 AND link IS ?8 AND password IS ?9 AND failures = ?10 AND locked_until IS ?11
               AND name = ?16 AND email_folded = ?17 AND firm = ?18",
            params![
                old.id.bytes(),
                new.status.id(),
                link(&new.link),
                new.password.as_ref().map(PasswordHash::as_str),
                new.failures,
                new.locked_until.map(|at| at.millis()),
                old.status.id(),
                link(&old.link),
                old.password.as_ref().map(PasswordHash::as_str),
                old.failures,
                old.locked_until.map(|at| at.millis()),
                new.name.as_str(),
                new.email.as_str(),
                new.email.folded(),
                new.firm.as_str(),
                old.name.as_str(),
                old.email.folded(),
                old.firm.as_str(),
            ],
            Obstacle::Changed,
        )
    }

    fn remove_guest(&self, old: &Guest) -> Result<Written, StoreError> {
        self.one(
            "DELETE FROM guests WHERE id = ?1 AND active = ?2",
            params![old.id.bytes(), old.active],
            Obstacle::Changed,
        )
    }
}

impl Writing for Tx<'_> {
    fn insert(&mut self, row: &Row) -> Result<Written, StoreError> {
        match row {
            Row::Organization(row) => self.one(
                "INSERT INTO organizations (id, parent, name, bundled_seats, seat_cents, contributor_seats)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6
                 WHERE ?2 IS NULL OR EXISTS (SELECT 1 FROM organizations WHERE id = ?2 AND parent IS NULL)",
                params![
                    row.id.bytes(),
                    row.parent.map(|id| *id.bytes()),
                    row.name.as_str(),
                    row.plan.bundled_seats,
                    row.plan.seat_cents,
                    row.plan.contributor_seats,
                ],
                Obstacle::Misplaced,
            ),
            Row::Project(row) => self.one(
                "INSERT INTO projects (id, organization, name) VALUES (?1, ?2, ?3)",
                params![row.id.bytes(), row.organization.bytes(), row.name.as_str()],
                Obstacle::Changed,
            ),
            Row::Member(row) => self.insert_member(row),
            Row::Guest(row) => self.one(
                "INSERT INTO guests (id, organization, project, email, email_folded, active)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    row.id.bytes(),
                    row.organization.bytes(),
                    row.project.bytes(),
                    row.email.as_str(),
                    row.email.folded(),
                    row.active,
                ],
                Obstacle::Changed,
            ),
            Row::Auditor(row) => self.insert_auditor(row),
            Row::AuditRequest(row) => self.one(
                "INSERT INTO audit_requests (id, organization, auditor, title, state) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    row.id.bytes(),
                    row.organization.bytes(),
                    row.auditor.bytes(),
                    row.title.as_str(),
                    row.state.id()
                ],
                Obstacle::Changed,
            ),
            Row::Session(row) => self.one(
                "INSERT INTO sessions (id, organization, auditor, token, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    row.id.bytes(),
                    row.organization.bytes(),
                    row.auditor.bytes(),
                    row.token.bytes(),
                    row.expires_at.millis()
                ],
                Obstacle::Changed,
            ),
            Row::Invitation(row) => {
                let ((project, role), (by, by_id)) = (parts(row.target), inviter(row.inviter));
                self.one(
                    "INSERT INTO invitations
                       (id, organization, project, role, email, email_folded, inviter, inviter_id, state, expires_at, link)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    params![
                        row.id.bytes(),
                        row.organization.bytes(),
                        project,
                        role,
                        row.email.as_str(),
                        row.email.folded(),
                        by,
                        by_id,
                        row.state.id(),
                        row.expires_at.millis(),
                        link(&row.link),
                    ],
                    Obstacle::Changed,
                )
            }
        }
    }

    fn replace(&mut self, old: &Row, new: &Row) -> Result<Written, StoreError> {
        match (old, new) {
            (Row::Organization(old), Row::Organization(new)) => self.replace_organization(old, new),
            (Row::Project(old), Row::Project(new)) => self.one(
                "UPDATE projects SET name = ?3 WHERE id = ?1 AND name = ?2",
                params![old.id.bytes(), old.name.as_str(), new.name.as_str()],
                Obstacle::Changed,
            ),
            (Row::Member(old), Row::Member(new)) => self.replace_member(old, new),
            (Row::Guest(old), Row::Guest(new)) => self.one(
                "UPDATE guests SET active = ?3 WHERE id = ?1 AND active = ?2",
                params![old.id.bytes(), old.active, new.active],
                Obstacle::Changed,
            ),
            (Row::Invitation(old), Row::Invitation(new)) => self.replace_invitation(old, new),
            (Row::Auditor(old), Row::Auditor(new)) => self.replace_auditor(old, new),
            (Row::AuditRequest(old), Row::AuditRequest(new)) => self.one(
                "UPDATE audit_requests SET state = ?3 WHERE id = ?1 AND state = ?2",
                params![old.id.bytes(), old.state.id(), new.state.id()],
                Obstacle::Changed,
            ),
            _ => Ok(Err(Obstacle::Changed)),
        }
    }

    fn remove(&mut self, old: &Row) -> Result<Written, StoreError> {
        match old {
            Row::Member(old) => self.remove_member(old),
            Row::Guest(old) => self.remove_guest(old),
            Row::Session(old) => self.one("DELETE FROM sessions WHERE id = ?1", [old.id.bytes()], Obstacle::Changed),
            _ => Ok(Err(Obstacle::Changed)),
        }
    }

    fn record(&mut self, key: &str, outcome: &Recorded) -> Result<Written, StoreError> {
        self.one(
            "INSERT INTO outcomes (key, salt, command, outcome) VALUES (?1, ?2, ?3, ?4)",
            params![key, outcome.salt, outcome.command.bytes(), outcome.outcome],
            Obstacle::Changed,
        )
    }

    fn append(&mut self, entries: &[Entry], changed: Changed<'_>) -> Result<Head, StoreError> {
        let before = self.head()?;
        let number = self.number("UPDATE head SET number = number + 1 RETURNING number", [])?;
        let reached = u64::try_from(number).map_err(|_| damaged("the head"))?;
        let (logged, last) = chain::chain(before.chain, reached, entries);
        for logged in &logged {
            let entry = &logged.entry;
            let write = "INSERT INTO journal
                (number, place, at, actor, action, organization, target, details, decision, hash)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let values = params![
                number,
                logged.place,
                entry.at.millis(),
                entry.actor,
                entry.action,
                entry.organization.map(|id| *id.bytes()),
                entry.target,
                entry.details,
                entry.decision,
                logged.hash.bytes(),
            ];
            self.prepare(write)?.execute(values).map_err(failed)?;
            for (private, nth) in entry.private.iter().zip(0_u32..) {
                let write = "INSERT INTO journal_texts (number, place, nth, name, salt, text, commitment)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let commitment = private.commitment.bytes();
                let values = params![number, logged.place, nth, private.name, private.salt, private.text, commitment];
                self.prepare(write)?.execute(values).map_err(failed)?;
            }
        }
        let write = "INSERT INTO changes (number, kind, id) VALUES (?1, ?2, ?3)";
        match changed {
            Changed::Rows(rows) => {
                for (kind, id) in rows {
                    self.prepare(write)?.execute(params![number, kind.id(), id.bytes()]).map_err(failed)?;
                }
            }
            Changed::Everything => {
                self.prepare(write)?.execute(params![number, "everything", [0_u8; 16]]).map_err(failed)?;
            }
        }
        self.prepare("UPDATE head SET chain = ?1")?.execute([last.bytes()]).map_err(failed)?;
        Ok(Head { epoch: before.epoch, number: reached, chain: last })
    }

    fn erase(&mut self, number: u64, place: u32) -> Result<usize, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(0) };
        let sql = "UPDATE journal_texts SET salt = NULL, text = NULL
          WHERE number = ?1 AND place = ?2 AND text IS NOT NULL";
        let erased = self.prepare(sql)?.execute(params![number, place]).map_err(failed)?;
        let sql = "UPDATE outcomes SET command = zeroblob(32)
          WHERE json_valid(outcome) AND json_extract(outcome, '$.number') = ?1
            AND EXISTS (SELECT 1 FROM journal WHERE number = ?1 AND place = ?2)";
        self.prepare(sql)?.execute(params![number, place]).map_err(failed)?;
        Ok(erased)
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.connection()?.execute_batch("COMMIT").map_err(failed)?;
        self.open = false;
        Ok(())
    }
}
