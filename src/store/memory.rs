//! A store in memory: what SQLite is held against in tests, and enough for trying things out. Nothing is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chain::{self, Entry, Filter, Logged, Private};
use super::rows::{AuditorStatus, Invitation, InvitationState, Kind, Member, Row, Target};
use super::values::{Email, Id};
use super::{Changed, Head, Obstacle, Reading, Recorded, Store, StoreError, Visit, Writing, Written};
use crate::model::grc::Role;

/// A store in memory.
#[derive(Debug)]
pub struct Memory(Mutex<State>);

#[derive(Debug)]
struct State {
    head: Head,
    rows: BTreeMap<(Kind, Id), Row>,
    outcomes: BTreeMap<String, Recorded>,
    journal: Vec<Logged>,
    /// By revision; none stands for everything.
    changes: Vec<(u64, Option<(Kind, Id)>)>,
}

/// How to take a step back.
#[derive(Debug)]
enum Undo {
    Row((Kind, Id), Option<Row>),
    Outcome(String, Option<Recorded>),
    Appended(Head, usize, usize),
    Erased(usize, Vec<Private>),
}

/// A transaction.
struct Tx<'s> {
    state: MutexGuard<'s, State>,
    undo: Vec<Undo>,
}

impl Memory {
    /// An empty store. `epoch` tells it from others.
    pub fn new(epoch: u64) -> Self {
        let head = Head { epoch, number: 0, chain: chain::START };
        let (rows, outcomes) = (BTreeMap::new(), BTreeMap::new());
        Self(Mutex::new(State { head, rows, outcomes, journal: Vec::new(), changes: Vec::new() }))
    }

    fn begin(&self) -> Box<Tx<'_>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new(Tx { state, undo: Vec::new() })
    }
}

impl Store for Memory {
    fn read(&self) -> Result<Box<dyn Reading + '_>, StoreError> {
        Ok(self.begin())
    }

    fn write(&self) -> Result<Box<dyn Writing + '_>, StoreError> {
        Ok(self.begin())
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        while let Some(step) = self.undo.pop() {
            let state = &mut *self.state;
            match step {
                Undo::Row(key, Some(row)) => drop(state.rows.insert(key, row)),
                Undo::Row(key, None) => drop(state.rows.remove(&key)),
                Undo::Outcome(key, Some(recorded)) => drop(state.outcomes.insert(key, recorded)),
                Undo::Outcome(key, None) => drop(state.outcomes.remove(&key)),
                Undo::Appended(head, journal, changes) => {
                    state.head = head;
                    state.journal.truncate(journal);
                    state.changes.truncate(changes);
                }
                Undo::Erased(at, private) => {
                    if let Some(logged) = state.journal.get_mut(at) {
                        logged.entry.private = private;
                    }
                }
            }
        }
    }
}

impl State {
    fn all(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        let ids = (kind, Id::from_bytes([0; 16]))..=(kind, Id::from_bytes([255; 16]));
        self.rows.range(ids).map(|(_, row)| row)
    }

    fn members(&self, organization: Id) -> impl Iterator<Item = &Member> {
        self.all(Kind::Member).filter_map(move |row| match row {
            Row::Member(member) if member.organization == organization => Some(member),
            _ => None,
        })
    }

    /// Whether an organization would have nobody left of those who must remain, were `member` gone.
    fn is_last(&self, member: &Member) -> bool {
        let others = |role: Role| {
            let mut all = self.members(member.organization);
            all.any(move |other| other.id != member.id && other.active && other.role == role)
        };
        match member.role {
            _ if !member.active => false,
            Role::Owner => !others(Role::Owner),
            Role::Admin => !others(Role::Owner) && !others(Role::Admin),
            _ => false,
        }
    }

    fn has_free_seat(&self, organization: Id) -> bool {
        let held = self.members(organization).filter(|member| member.holds_seat()).count();
        match self.rows.get(&(Kind::Organization, organization)) {
            Some(Row::Organization(row)) => held < row.plan.contributor_seats as usize,
            _ => false,
        }
    }

    fn is_project_of(&self, project: Id, organization: Id) -> bool {
        matches!(self.rows.get(&(Kind::Project, project)), Some(Row::Project(p)) if p.organization == organization)
    }

    fn is_auditor_of(&self, auditor: Id, organization: Id) -> bool {
        matches!(self.rows.get(&(Kind::Auditor, auditor)), Some(Row::Auditor(a)) if a.organization == organization)
    }

    /// Whether another row has the address there.
    fn is_taken(&self, row: &Row) -> bool {
        match row {
            Row::Member(own) => {
                let mut others = self.members(own.organization);
                own.active && others.any(|other| other.id != own.id && other.active && other.email == own.email)
            }
            Row::Guest(own) => {
                own.active
                    && self.all(Kind::Guest).any(|row| {
                        matches!(row, Row::Guest(other) if other.id != own.id && other.active
                            && other.project == own.project && other.email == own.email)
                    })
            }
            Row::Invitation(own) => {
                let project = project_of(own.target);
                own.state == InvitationState::Pending
                    && self.find_pending(own.organization, project, &own.email).is_some_and(|other| other.id != own.id)
            }
            Row::Auditor(own) => {
                own.status == AuditorStatus::Pending
                    && self.all(Kind::Auditor).any(|row| {
                        matches!(row, Row::Auditor(other) if other.id != own.id && other.status == own.status
                            && other.organization == own.organization && other.email == own.email)
                    })
            }
            Row::Organization(_) | Row::Project(_) | Row::AuditRequest(_) | Row::Session(_) => false,
        }
    }

    fn find_pending(&self, organization: Id, project: Option<Id>, email: &Email) -> Option<&Invitation> {
        self.all(Kind::Invitation).find_map(|row| match row {
            Row::Invitation(own)
                if own.state == InvitationState::Pending
                    && (own.organization, project_of(own.target)) == (organization, project)
                    && own.email == *email =>
            {
                Some(own)
            }
            _ => None,
        })
    }

    fn is_misplaced(&self, row: &Row) -> bool {
        let organization = |id: Id| match self.rows.get(&(Kind::Organization, id)) {
            Some(Row::Organization(row)) => Some(row),
            _ => None,
        };
        match row {
            Row::Organization(own) => {
                own.parent.is_some_and(|id| organization(id).is_none_or(|parent| parent.parent.is_some()))
            }
            Row::Project(own) => organization(own.organization).is_none(),
            Row::Auditor(own) => organization(own.organization).is_none(),
            Row::AuditRequest(own) => !self.is_auditor_of(own.auditor, own.organization),
            Row::Session(own) => !self.is_auditor_of(own.auditor, own.organization),
            Row::Guest(own) => !self.is_project_of(own.project, own.organization),
            Row::Invitation(own) => match own.target {
                Target::Project(id) => !self.is_project_of(id, own.organization),
                Target::Role(_) => organization(own.organization).is_none(),
            },
            Row::Member(own) => {
                let is_client = |id: &Id| organization(*id).is_some_and(|c| c.parent == Some(own.organization));
                organization(own.organization).is_none()
                    || !own.projects.iter().all(|id| self.is_project_of(*id, own.organization))
                    || !own.clients.iter().all(is_client)
            }
        }
    }
}

fn project_of(target: Target) -> Option<Id> {
    match target {
        Target::Project(id) => Some(id),
        Target::Role(_) => None,
    }
}

impl Tx<'_> {
    fn put(&mut self, key: (Kind, Id), row: Option<Row>) {
        let old = match row {
            Some(row) => self.state.rows.insert(key, row),
            None => self.state.rows.remove(&key),
        };
        self.undo.push(Undo::Row(key, old));
    }

    fn is_stored(&self, row: &Row) -> bool {
        self.state.rows.get(&(row.kind(), row.id())) == Some(row)
    }
}

impl Reading for Tx<'_> {
    fn head(&mut self) -> Result<Head, StoreError> {
        Ok(self.state.head)
    }

    fn check(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&mut self, kind: Kind, id: Id) -> Result<Option<Row>, StoreError> {
        Ok(self.state.rows.get(&(kind, id)).cloned())
    }

    fn scan(&mut self, kind: Kind, organization: Option<Id>, visit: Visit<'_>) -> Result<(), StoreError> {
        let wanted = |row: &&Row| organization.is_none_or(|id| row.organization() == id);
        self.state.all(kind).filter(wanted).try_for_each(|row| visit(row.clone()))
    }

    fn pending(
        &mut self,
        organization: Id,
        project: Option<Id>,
        email: &Email,
    ) -> Result<Option<Invitation>, StoreError> {
        Ok(self.state.find_pending(organization, project, email).cloned())
    }

    fn active_member(&mut self, organization: Id, email: &Email) -> Result<Option<Id>, StoreError> {
        Ok(self.state.members(organization).find(|member| member.active && member.email == *email).map(|m| m.id))
    }

    fn seats_held(&mut self, organization: Id) -> Result<u64, StoreError> {
        Ok(self.state.members(organization).filter(|member| member.holds_seat()).count() as u64)
    }

    fn outcome(&mut self, key: &str) -> Result<Option<Recorded>, StoreError> {
        Ok(self.state.outcomes.get(key).cloned())
    }

    fn changes_since(&mut self, number: u64) -> Result<Option<BTreeSet<(Kind, Id)>>, StoreError> {
        if number > self.state.head.number {
            return Ok(None);
        }
        let from = self.state.changes.partition_point(|(own, _)| *own <= number);
        Ok(self.state.changes.iter().skip(from).map(|(_, what)| *what).collect())
    }

    fn journal(
        &mut self,
        filter: &Filter,
        visit: &mut dyn FnMut(Logged) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.state.journal.iter().filter(|l| filter.passes(&l.entry)).try_for_each(|logged| visit(logged.clone()))
    }

    fn entries(&mut self, number: u64) -> Result<Vec<Logged>, StoreError> {
        let from = self.state.journal.partition_point(|logged| logged.number < number);
        Ok(self.state.journal.iter().skip(from).take_while(|logged| logged.number == number).cloned().collect())
    }
}

impl Writing for Tx<'_> {
    fn insert(&mut self, row: &Row) -> Result<Written, StoreError> {
        let key = (row.kind(), row.id());
        if matches!(row, Row::Member(m) if m.holds_seat() && !self.state.has_free_seat(m.organization)) {
            return Ok(Err(Obstacle::NoSeat));
        }
        if self.state.rows.contains_key(&key) || self.state.is_taken(row) {
            return Ok(Err(Obstacle::Taken));
        }
        if self.state.is_misplaced(row) {
            return Ok(Err(Obstacle::Misplaced));
        }
        self.put(key, Some(row.clone()));
        Ok(Ok(()))
    }

    fn replace(&mut self, old: &Row, new: &Row) -> Result<Written, StoreError> {
        if !self.is_stored(old) {
            return Ok(Err(Obstacle::Changed));
        }
        if let (Row::Member(before), Row::Member(after)) = (old, new) {
            if !(after.active && (after.role == before.role || after.role == Role::Owner)) && self.state.is_last(before)
            {
                return Ok(Err(Obstacle::LastAdministrator));
            }
            if after.holds_seat() && !before.holds_seat() && !self.state.has_free_seat(after.organization) {
                return Ok(Err(Obstacle::NoSeat));
            }
        }
        if let Row::Organization(after) = new {
            if self.seats_held(after.id)? > after.plan.contributor_seats.into() {
                return Ok(Err(Obstacle::NoSeat));
            }
        }
        if self.state.is_taken(new) {
            return Ok(Err(Obstacle::Taken));
        }
        if self.state.is_misplaced(new) {
            return Ok(Err(Obstacle::Misplaced));
        }
        self.put((new.kind(), new.id()), Some(new.clone()));
        Ok(Ok(()))
    }

    fn remove(&mut self, old: &Row) -> Result<Written, StoreError> {
        if !self.is_stored(old) {
            return Ok(Err(Obstacle::Changed));
        }
        if matches!(old, Row::Member(member) if self.state.is_last(member)) {
            return Ok(Err(Obstacle::LastAdministrator));
        }
        self.put((old.kind(), old.id()), None);
        Ok(Ok(()))
    }

    fn record(&mut self, key: &str, outcome: &Recorded) -> Result<Written, StoreError> {
        if self.state.outcomes.contains_key(key) {
            return Ok(Err(Obstacle::Taken));
        }
        self.state.outcomes.insert(key.to_owned(), outcome.clone());
        self.undo.push(Undo::Outcome(key.to_owned(), None));
        Ok(Ok(()))
    }

    fn append(&mut self, entries: &[Entry], changed: Changed<'_>) -> Result<Head, StoreError> {
        let state = &mut *self.state;
        self.undo.push(Undo::Appended(state.head, state.journal.len(), state.changes.len()));
        let number = state.head.number + 1;
        let (logged, last) = chain::chain(state.head.chain, number, entries);
        state.journal.extend(logged);
        match changed {
            Changed::Rows(rows) => state.changes.extend(rows.iter().map(|row| (number, Some(*row)))),
            Changed::Everything => state.changes.push((number, None)),
        }
        state.head = Head { epoch: state.head.epoch, number, chain: last };
        Ok(state.head)
    }

    fn erase(&mut self, number: u64, place: u32) -> Result<usize, StoreError> {
        let Some(at) = self.state.journal.iter().position(|l| (l.number, l.place) == (number, place)) else {
            return Ok(0);
        };
        let Some(logged) = self.state.journal.get_mut(at) else { return Ok(0) };
        let before = logged.entry.private.clone();
        let mut erased = 0;
        for private in logged.entry.private.iter_mut().filter(|private| private.text.is_some()) {
            (private.salt, private.text) = (None, None);
            erased += 1;
        }
        self.undo.push(Undo::Erased(at, before));
        let led_there = |recorded: &Recorded| {
            let outcome = serde_json::from_str::<serde_json::Value>(&recorded.outcome).unwrap_or_default();
            outcome.get("number").and_then(serde_json::Value::as_u64) == Some(number)
        };
        for (key, recorded) in self.state.outcomes.iter_mut().filter(|(_, recorded)| led_there(recorded)) {
            self.undo.push(Undo::Outcome(key.clone(), Some(recorded.clone())));
            recorded.command = chain::START;
        }
        Ok(erased)
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.undo.clear();
        Ok(())
    }
}
