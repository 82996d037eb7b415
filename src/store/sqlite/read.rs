//! Reading rows, the journal and what is beside them.

use std::collections::BTreeSet;

use rusqlite::{params, CachedStatement, OptionalExtension, Params};

use super::{damaged, failed, Tx};
use crate::model::grc::Role;
use crate::model::Timestamp;
use crate::store::chain::{Entry, Filter, Logged, Private};
use crate::store::rows::{
    Answer, AuditRequest, Auditor, AuditorStatus, Guest, Invitation, InvitationState, Inviter, Kind, Member,
    Organization, PasswordHash, Period, Plan, Project, Row, Session, Target,
};
use crate::store::values::{Email, Hash, Id, Name};
use crate::store::{Head, Reading, Recorded, StoreError, Visit};

const MEMBER: &str = "id, organization, email, role, active, compliance_team, contributor, mfa_locked_at, mfa_reset";
const INVITATION: &str = "id, organization, project, role, email, inviter, inviter_id, state, expires_at, link";

const AUDITOR: &str = "id, organization, name, email, firm, period_from, period_to, expires_at, status, link, password,
  failures, locked_until";

/// The columns of a kind, in the order they are read in, and its table.
fn columns(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Organization => ("id, parent, name, bundled_seats, seat_cents, contributor_seats", "organizations"),
        Kind::Project => ("id, organization, name", "projects"),
        Kind::Member => (MEMBER, "members"),
        Kind::Guest => ("id, organization, project, email, active", "guests"),
        Kind::Invitation => (INVITATION, "invitations"),
        Kind::Auditor => (AUDITOR, "auditors"),
        Kind::AuditRequest => ("id, organization, auditor, title, state", "audit_requests"),
        Kind::Session => ("id, organization, auditor, token, expires_at", "sessions"),
    }
}

type Columns<'r> = &'r rusqlite::Row<'r>;

pub(super) fn id(row: Columns<'_>, at: usize) -> Result<Id, StoreError> {
    Ok(Id::from_bytes(row.get(at).map_err(failed)?))
}

fn id_or_none(row: Columns<'_>, at: usize) -> Result<Option<Id>, StoreError> {
    Ok(row.get::<_, Option<[u8; 16]>>(at).map_err(failed)?.map(Id::from_bytes))
}

fn hash(row: Columns<'_>, at: usize) -> Result<Hash, StoreError> {
    Ok(Hash::from_bytes(row.get(at).map_err(failed)?))
}

fn instant(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millis(millis).ok_or_else(|| damaged("an instant"))
}

fn text(row: Columns<'_>, at: usize) -> Result<&str, StoreError> {
    row.get_ref(at).map_err(failed)?.as_str().map_err(|_| damaged("a text"))
}

fn read<T: std::str::FromStr>(row: Columns<'_>, at: usize, what: &str) -> Result<T, StoreError> {
    text(row, at)?.parse().map_err(|_| damaged(what))
}

fn role(text: &str) -> Result<Role, StoreError> {
    Role::from_id(text).ok_or_else(|| damaged("a role"))
}

/// One row, a member without its projects and clients.
fn row_of(kind: Kind, row: Columns<'_>) -> Result<Row, StoreError> {
    let number = |at: usize| row.get::<_, u32>(at).map_err(failed);
    let flag = |at: usize| row.get::<_, bool>(at).map_err(failed);
    Ok(match kind {
        Kind::Organization => Row::Organization(Organization {
            id: id(row, 0)?,
            parent: id_or_none(row, 1)?,
            name: read::<Name>(row, 2, "a name")?,
            plan: Plan { bundled_seats: number(3)?, seat_cents: number(4)?, contributor_seats: number(5)? },
        }),
        Kind::Project => {
            Row::Project(Project { id: id(row, 0)?, organization: id(row, 1)?, name: read(row, 2, "a name")? })
        }
        Kind::Member => Row::Member(Member {
            id: id(row, 0)?,
            organization: id(row, 1)?,
            email: read::<Email>(row, 2, "an address")?,
            role: role(text(row, 3)?)?,
            active: flag(4)?,
            compliance_team: flag(5)?,
            contributor: flag(6)?,
            mfa_locked_at: row.get::<_, Option<i64>>(7).map_err(failed)?.map(instant).transpose()?,
            mfa_reset: flag(8)?,
            projects: BTreeSet::new(),
            clients: BTreeSet::new(),
        }),
        Kind::Guest => Row::Guest(Guest {
            id: id(row, 0)?,
            organization: id(row, 1)?,
            project: id(row, 2)?,
            email: read(row, 3, "an address")?,
            active: flag(4)?,
        }),
        Kind::Invitation => Row::Invitation(invitation(row)?),
        Kind::Auditor => Row::Auditor(auditor(row)?),
        Kind::AuditRequest => Row::AuditRequest(AuditRequest {
            id: id(row, 0)?,
            organization: id(row, 1)?,
            auditor: id(row, 2)?,
            title: read(row, 3, "a title")?,
            state: match text(row, 4)? {
                "OPEN" => Answer::Open,
                "APPROVED" => Answer::Approved,
                "FLAGGED" => Answer::Flagged,
                _ => return Err(damaged("a state")),
            },
        }),
        Kind::Session => Row::Session(Session {
            id: id(row, 0)?,
            organization: id(row, 1)?,
            auditor: id(row, 2)?,
            token: hash(row, 3)?,
            expires_at: instant(row.get(4).map_err(failed)?)?,
        }),
    })
}

fn instant_or_none(row: Columns<'_>, at: usize) -> Result<Option<Timestamp>, StoreError> {
    row.get::<_, Option<i64>>(at).map_err(failed)?.map(instant).transpose()
}

fn auditor(row: Columns<'_>) -> Result<Auditor, StoreError> {
    let status = text(row, 8)?;
    let period = match (instant_or_none(row, 5)?, instant_or_none(row, 6)?) {
        (Some(from), Some(to)) => Some(Period { from, to }),
        _ => None,
    };
    Ok(Auditor {
        id: id(row, 0)?,
        organization: id(row, 1)?,
        name: read(row, 2, "a name")?,
        email: read(row, 3, "an address")?,
        firm: read(row, 4, "a name")?,
        period,
        expires_at: instant(row.get(7).map_err(failed)?)?,
        status: AuditorStatus::ALL.into_iter().find(|own| own.id() == status).ok_or_else(|| damaged("a status"))?,
        link: row.get::<_, Option<[u8; 32]>>(9).map_err(failed)?.map(Hash::from_bytes),
        password: row.get::<_, Option<String>>(10).map_err(failed)?.map(PasswordHash::new),
        failures: row.get(11).map_err(failed)?,
        locked_until: instant_or_none(row, 12)?,
    })
}

fn invitation(row: Columns<'_>) -> Result<Invitation, StoreError> {
    let target = match id_or_none(row, 2)? {
        Some(project) => Target::Project(project),
        None => Target::Role(role(text(row, 3)?)?),
    };
    let inviter = match (text(row, 5)?, id_or_none(row, 6)?) {
        ("operator", None) => Inviter::Operator,
        ("member", Some(id)) => Inviter::Member(id),
        ("creator", Some(id)) => Inviter::Creator(id),
        _ => return Err(damaged("an inviter")),
    };
    let state = match text(row, 7)? {
        "PENDING" => InvitationState::Pending,
        "EXPIRED" => InvitationState::Expired,
        "ACCEPTED" => InvitationState::Accepted,
        "CANCELLED" => InvitationState::Cancelled,
        _ => return Err(damaged("a state")),
    };
    Ok(Invitation {
        id: id(row, 0)?,
        organization: id(row, 1)?,
        target,
        email: read(row, 4, "an address")?,
        inviter,
        state,
        expires_at: instant(row.get(8).map_err(failed)?)?,
        link: row.get::<_, Option<[u8; 32]>>(9).map_err(failed)?.map(Hash::from_bytes),
    })
}

/// Pairs of ids in the order of the first, read along with rows in the order of theirs.
struct Along<'s> {
    rows: rusqlite::Rows<'s>,
    next: Option<(Id, Id)>,
}

impl<'s> Along<'s> {
    fn new(rows: rusqlite::Rows<'s>) -> Result<Self, StoreError> {
        let mut along = Self { rows, next: None };
        along.step()?;
        Ok(along)
    }

    fn step(&mut self) -> Result<(), StoreError> {
        let row = self.rows.next().map_err(failed)?;
        self.next = row.map(|row| Ok::<_, StoreError>((id(row, 0)?, id(row, 1)?))).transpose()?;
        Ok(())
    }

    /// What belongs to `of`.
    fn take(&mut self, of: Id) -> Result<BTreeSet<Id>, StoreError> {
        let mut found = BTreeSet::new();
        while let Some((owner, id)) = self.next.filter(|(owner, _)| *owner <= of) {
            if owner == of {
                found.insert(id);
            }
            self.step()?;
        }
        Ok(found)
    }
}

impl Tx<'_> {
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.connection()?.prepare_cached(sql).map_err(failed)
    }

    /// A number that a query gives.
    pub(super) fn number(&self, sql: &str, of: impl Params) -> Result<i64, StoreError> {
        self.prepare(sql)?.query_row(of, |row| row.get(0)).map_err(failed)
    }

    fn ids(&self, sql: &str, of: Id) -> Result<BTreeSet<Id>, StoreError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query([of.bytes()]).map_err(failed)?;
        let mut found = BTreeSet::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.insert(id(row, 0)?);
        }
        Ok(found)
    }

    fn with_links(&self, row: Row) -> Result<Row, StoreError> {
        Ok(match row {
            Row::Member(mut member) => {
                member.projects = self.ids("SELECT project FROM member_projects WHERE member = ?1", member.id)?;
                member.clients = self.ids("SELECT client FROM member_clients WHERE member = ?1", member.id)?;
                Row::Member(member)
            }
            row => row,
        })
    }
}

impl Reading for Tx<'_> {
    fn head(&mut self) -> Result<Head, StoreError> {
        let mut statement = self.prepare("SELECT epoch, number, chain FROM head")?;
        let head = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional();
        let (epoch, number, chain): (i64, i64, [u8; 32]) = head.map_err(failed)?.ok_or_else(|| damaged("the head"))?;
        let count = |n: i64| u64::try_from(n).map_err(|_| damaged("the head"));
        Ok(Head { epoch: count(epoch)?, number: count(number)?, chain: Hash::from_bytes(chain) })
    }

    fn check(&mut self) -> Result<(), StoreError> {
        // One finding is enough; it leaves out what refers to rows that are not there.
        let mut statement = self.prepare("PRAGMA integrity_check(1)")?;
        let found: String = statement.query_row([], |row| row.get(0)).map_err(failed)?;
        if found != "ok" {
            return Err(StoreError::Damaged(crate::model::clip(found.replace('\n', " "))));
        }
        let mut statement = self.prepare("PRAGMA foreign_key_check")?;
        match statement.exists([]).map_err(failed)? {
            true => Err(StoreError::Damaged("a row refers to one that is not there".into())),
            false => Ok(()),
        }
    }

    fn get(&mut self, kind: Kind, id: Id) -> Result<Option<Row>, StoreError> {
        let (columns, table) = columns(kind);
        let mut statement = self.prepare(&format!("SELECT {columns} FROM {table} WHERE id = ?1"))?;
        let mut rows = statement.query([id.bytes()]).map_err(failed)?;
        let row = rows.next().map_err(failed)?.map(|row| row_of(kind, row)).transpose()?;
        row.map(|row| self.with_links(row)).transpose()
    }

    fn scan(&mut self, kind: Kind, organization: Option<Id>, visit: Visit<'_>) -> Result<(), StoreError> {
        let (columns, table) = columns(kind);
        let Some(organization) = organization else {
            let mut statement = self.prepare(&format!("SELECT {columns} FROM {table} ORDER BY id"))?;
            let mut rows = statement.query([]).map_err(failed)?;
            let mut projects = self.prepare("SELECT member, project FROM member_projects ORDER BY member")?;
            let mut clients = self.prepare("SELECT member, client FROM member_clients ORDER BY member")?;
            let mut along = match kind {
                Kind::Member => {
                    let [projects, clients] = [&mut projects, &mut clients].map(|s| s.query([]).map_err(failed));
                    Some((Along::new(projects?)?, Along::new(clients?)?))
                }
                _ => None,
            };
            while let Some(row) = rows.next().map_err(failed)? {
                let mut row = row_of(kind, row)?;
                if let (Row::Member(member), Some((projects, clients))) = (&mut row, &mut along) {
                    member.projects = projects.take(member.id)?;
                    member.clients = clients.take(member.id)?;
                }
                visit(row)?;
            }
            return Ok(());
        };
        let of = match kind {
            Kind::Organization => "id = ?1",
            // Written so that the indexes over active and over inactive ones are used.
            Kind::Member => "organization = ?1 AND (active = 1 OR active = 0)",
            _ => "organization = ?1",
        };
        let mut statement = self.prepare(&format!("SELECT {columns} FROM {table} WHERE {of} ORDER BY id"))?;
        let mut rows = statement.query([organization.bytes()]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            visit(self.with_links(row_of(kind, row)?)?)?;
        }
        Ok(())
    }

    fn pending(
        &mut self,
        organization: Id,
        project: Option<Id>,
        email: &Email,
    ) -> Result<Option<Invitation>, StoreError> {
        let mut statement = self.prepare(&format!(
            "SELECT {INVITATION} FROM invitations
             WHERE organization = ?1 AND ifnull(project, x'') = ifnull(?2, x'') AND email_folded = ?3
               AND state = 'PENDING'"
        ))?;
        let project = project.map(|id| *id.bytes());
        let mut rows = statement.query(params![organization.bytes(), project, email.folded()]).map_err(failed)?;
        rows.next().map_err(failed)?.map(invitation).transpose()
    }

    fn active_member(&mut self, organization: Id, email: &Email) -> Result<Option<Id>, StoreError> {
        let sql = "SELECT id FROM members WHERE organization = ?1 AND email_folded = ?2 AND active = 1";
        let mut statement = self.prepare(sql)?;
        let found = statement.query_row(params![organization.bytes(), email.folded()], |row| row.get(0)).optional();
        Ok(found.map_err(failed)?.map(Id::from_bytes))
    }

    fn seats_held(&mut self, organization: Id) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM members WHERE organization = ?1 AND active = 1 AND contributor = 1";
        let held = self.number(sql, [organization.bytes()])?;
        u64::try_from(held).map_err(|_| damaged("a count"))
    }

    fn outcome(&mut self, key: &str) -> Result<Option<Recorded>, StoreError> {
        let mut statement = self.prepare("SELECT salt, command, outcome FROM outcomes WHERE key = ?1")?;
        let outcome = statement.query_row([key], |row| {
            Ok(Recorded { salt: row.get(0)?, command: Hash::from_bytes(row.get(1)?), outcome: row.get(2)? })
        });
        outcome.optional().map_err(failed)
    }

    fn changes_since(&mut self, number: u64) -> Result<Option<BTreeSet<(Kind, Id)>>, StoreError> {
        let (Ok(since), true) = (i64::try_from(number), number <= self.head()?.number) else { return Ok(None) };
        let mut statement = self.prepare("SELECT DISTINCT id, kind FROM changes WHERE number > ?1")?;
        let mut rows = statement.query([since]).map_err(failed)?;
        let mut changed = BTreeSet::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let name = text(row, 1)?;
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.id() == name) else {
                // Everything, or what a later version knows.
                return Ok(None);
            };
            changed.insert((kind, id(row, 0)?));
        }
        Ok(Some(changed))
    }

    fn journal(
        &mut self,
        filter: &Filter,
        visit: &mut dyn FnMut(Logged) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // The two that have an index; the others are compared below.
        let (by, of): (_, Box<dyn rusqlite::ToSql>) = match (&filter.organization, &filter.target) {
            (_, Some(target)) => ("target = ?1", Box::new(target.clone())),
            (Some(organization), None) => ("organization = ?1", Box::new(*organization.bytes())),
            (None, None) => ("?1 = 1", Box::new(1)),
        };
        self.logged(by, &*of, filter, visit)
    }

    fn entries(&mut self, number: u64) -> Result<Vec<Logged>, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        self.logged("number = ?1", &number, &Filter::default(), &mut |logged| {
            found.push(logged);
            Ok(())
        })?;
        Ok(found)
    }
}

impl Tx<'_> {
    /// The journal's entries of which `by` is true and that pass the filter.
    fn logged(
        &self,
        by: &str,
        of: &dyn rusqlite::ToSql,
        filter: &Filter,
        visit: &mut dyn FnMut(Logged) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        const COLUMNS: &str = "number, place, at, actor, action, organization, target, details, decision, hash";
        let mut statement =
            self.prepare(&format!("SELECT {COLUMNS} FROM journal WHERE {by} ORDER BY number, place"))?;
        let mut rows = statement.query([of]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let count = |at: usize| row.get::<_, i64>(at).map_err(failed);
            let own = |at: usize| text(row, at).map(str::to_owned);
            let (number, place) = (count(0)?, count(1)?);
            let entry = Entry {
                at: instant(count(2)?)?,
                actor: own(3)?,
                action: own(4)?,
                organization: id_or_none(row, 5)?,
                target: row.get(6).map_err(failed)?,
                details: own(7)?,
                decision: own(8)?,
                private: Vec::new(),
            };
            if !filter.passes(&entry) {
                continue;
            }
            let entry = Entry { private: self.private(number, place)?, ..entry };
            let number = u64::try_from(number).map_err(|_| damaged("a revision"))?;
            let place = u32::try_from(place).map_err(|_| damaged("a place"))?;
            visit(Logged { number, place, entry, hash: hash(row, 9)? })?;
        }
        Ok(())
    }

    fn private(&self, number: i64, place: i64) -> Result<Vec<Private>, StoreError> {
        let mut statement = self.prepare(
            "SELECT name, salt, text, commitment FROM journal_texts WHERE number = ?1 AND place = ?2 ORDER BY nth",
        )?;
        let mut rows = statement.query([number, place]).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(Private {
                name: text(row, 0)?.to_owned(),
                salt: row.get(1).map_err(failed)?,
                text: row.get(2).map_err(failed)?,
                commitment: hash(row, 3)?,
            });
        }
        Ok(found)
    }
}
