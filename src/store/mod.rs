//! What a directory needs of a database: a contract, SQLite behind it, and a twin in memory to judge by.
//!
//! A command is one writing transaction: it reads rows, puts others in their place, appends to the journal and commits,
//! or leaves everything as it was. Invariants are held by the writes themselves: each says under which condition it
//! happens, and its [`Written`] says whether it did. Nothing relies on what was read before.

mod chain;
mod error;
mod memory;
mod rows;
mod sqlite;
mod values;

pub use chain::{Entry, Fault, Filter, Logged, Private};
pub use error::StoreError;
pub use memory::Memory;
pub use rows::{
    Answer, AuditRequest, Auditor, AuditorStatus, Guest, Invitation, InvitationState, Inviter, Kind, Member,
    Organization, PasswordHash, Period, Plan, Project, Row, Session, Target,
};
pub use sqlite::Sqlite;
pub use values::{Email, EmailError, Hash, Id, IdError, Name, NameError};

pub(crate) use chain::{hex, sha256, verify};

use std::collections::BTreeSet;

use crate::model::Revision;

/// Where a directory's rows are kept.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Begins to read. All that is read until it is dropped is of one revision. A thread drops it before it begins
    /// another transaction, for which it would wait for ever.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn read(&self) -> Result<Box<dyn Reading + '_>, StoreError>;

    /// Begins to write. From here on until the transaction ends no other one begins, in no process; what it reads is the
    /// newest state with its own changes. Dropped without a commit, it leaves nothing behind.
    ///
    /// # Errors
    /// When the store cannot be reached or written to, or is busy for too long.
    fn write(&self) -> Result<Box<dyn Writing + '_>, StoreError>;
}

/// What is called with each row that is read. Its error ends the reading.
pub type Visit<'v> = &'v mut dyn FnMut(Row) -> Result<(), StoreError>;

/// A transaction that reads. Each method fails only when the store cannot be read, or does not hold what it should.
pub trait Reading {
    /// The revision, and the journal's last hash.
    ///
    /// # Errors
    /// See [`Reading`].
    fn head(&mut self) -> Result<Head, StoreError>;

    /// Checks that what the store is made of is whole: a file's pages and indices, for instance, down to the last.
    ///
    /// # Errors
    /// When they are not, [`StoreError::Damaged`]; otherwise see [`Reading`].
    fn check(&mut self) -> Result<(), StoreError>;

    /// The row of this kind and id.
    ///
    /// # Errors
    /// See [`Reading`].
    fn get(&mut self, kind: Kind, id: Id) -> Result<Option<Row>, StoreError>;

    /// All rows of a kind, or those of one organization, in the order of their ids.
    ///
    /// # Errors
    /// See [`Reading`], and what `visit` answers with.
    fn scan(&mut self, kind: Kind, organization: Option<Id>, visit: Visit<'_>) -> Result<(), StoreError>;

    /// The invitation in the state PENDING of this address to the organization or to this project of it.
    ///
    /// # Errors
    /// See [`Reading`].
    fn pending(
        &mut self,
        organization: Id,
        project: Option<Id>,
        email: &Email,
    ) -> Result<Option<Invitation>, StoreError>;

    /// The active member of this address.
    ///
    /// # Errors
    /// See [`Reading`].
    fn active_member(&mut self, organization: Id, email: &Email) -> Result<Option<Id>, StoreError>;

    /// How many contributor seats active members of an organization hold.
    ///
    /// # Errors
    /// See [`Reading`].
    fn seats_held(&mut self, organization: Id) -> Result<u64, StoreError>;

    /// The outcome recorded under a key.
    ///
    /// # Errors
    /// See [`Reading`].
    fn outcome(&mut self, key: &str) -> Result<Option<Recorded>, StoreError>;

    /// What changed after the revision with this number up to the head; none when that cannot be said.
    ///
    /// # Errors
    /// See [`Reading`].
    fn changes_since(&mut self, number: u64) -> Result<Option<BTreeSet<(Kind, Id)>>, StoreError>;

    /// The journal's entries that pass the filter, oldest first.
    ///
    /// # Errors
    /// See [`Reading`], and what `visit` answers with.
    fn journal(
        &mut self,
        filter: &Filter,
        visit: &mut dyn FnMut(Logged) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// The journal's entries of one revision, in their order.
    ///
    /// # Errors
    /// See [`Reading`].
    fn entries(&mut self, number: u64) -> Result<Vec<Logged>, StoreError>;
}

/// A transaction that reads and writes.
///
/// Rows are put in, replaced and taken out under conditions that hold in every committed state:
/// - ids are unlike each other, within a kind;
/// - a client's parent has no parent, and neither it nor a row's organization ever changes;
/// - a project, an invitation's project, a guest's, and each of a member's, is of the row's own organization; a client
///   of a member is a client of its organization, and what belongs to an auditor is of the auditor's
///   ([`Obstacle::Misplaced`]);
/// - of an address there is one active member in an organization, one active guest on a project, one invitation in the
///   state PENDING to each, and one auditor of an organization with the status PENDING ([`Obstacle::Taken`]);
/// - an organization with an active OWNER keeps one; one without that has an active ADMIN keeps one of these
///   ([`Obstacle::LastAdministrator`]);
/// - active members hold no more contributor seats than the plan has ([`Obstacle::NoSeat`]).
pub trait Writing: Reading {
    /// Puts a row in.
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn insert(&mut self, row: &Row) -> Result<Written, StoreError>;

    /// Puts `new` in the place of `old`, which has its kind and id: only if that still is what is stored, else
    /// [`Obstacle::Changed`].
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn replace(&mut self, old: &Row, new: &Row) -> Result<Written, StoreError>;

    /// Takes a row out: only if it still is what is stored, else [`Obstacle::Changed`]. For members, guests and
    /// sessions, which nothing refers to.
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn remove(&mut self, old: &Row) -> Result<Written, StoreError>;

    /// Records what a command led to, under its key. The key has no outcome yet, else [`Obstacle::Taken`].
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn record(&mut self, key: &str, outcome: &Recorded) -> Result<Written, StoreError>;

    /// Takes the next revision, and writes the journal's entries and what they changed under it: the last step before
    /// the commit, done once.
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn append(&mut self, entries: &[Entry], changed: Changed<'_>) -> Result<Head, StoreError>;

    /// Erases the texts beside an entry's commitments, and says how many there were. The entry itself stays. With them
    /// goes the hash of the command, from which they could be guessed: its key is then that of no command.
    ///
    /// # Errors
    /// When the store cannot be written to.
    fn erase(&mut self, number: u64, place: u32) -> Result<usize, StoreError>;

    /// Makes all of it lasting, at once.
    ///
    /// # Errors
    /// When it may not have become so.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Whether a conditional write happened.
pub type Written = Result<(), Obstacle>;

/// Why a conditional write did not happen: of several reasons, the first in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// What is stored is not what was expected.
    Changed,
    /// It would leave the organization without OWNER, or without anybody who administers it.
    LastAdministrator,
    /// All contributor seats are taken.
    NoSeat,
    /// The id, or the address there, is taken.
    Taken,
    /// It refers to something that is not there, or is another organization's.
    Misplaced,
}

/// What a command changed.
#[derive(Debug, Clone, Copy)]
pub enum Changed<'a> {
    /// These rows.
    Rows(&'a BTreeSet<(Kind, Id)>),
    /// So much that everything is to be loaded again.
    Everything,
}

/// How far a store has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Drawn when the store was made.
    pub epoch: u64,
    /// How many commands were committed.
    pub number: u64,
    /// The journal's last hash.
    pub chain: Hash,
}

impl Head {
    /// The revision.
    pub fn revision(&self) -> Revision {
        Revision { epoch: self.epoch, number: self.number }
    }
}

/// What a command led to, as it is recorded under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// With which the command was hashed, so that nobody finds the command by trying.
    pub salt: [u8; 16],
    /// The hash of salt and command.
    pub command: Hash,
    /// What it led to, as JSON.
    pub outcome: String,
}
