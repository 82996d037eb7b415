//! What is asked, and the two ways to name things: by text and by slot.

use std::collections::HashMap;
use std::fmt::Debug;

pub use bailiwick::grc::{Action, Role};

/// How entities are named, and the tables that find them by name.
pub trait Ids {
    /// The name of an entity; unique among the entities of one kind.
    type Id: PartialEq + Clone + Debug;
    /// Entities of one kind.
    type Table<T>: Table<Self::Id, T>;
}

/// A table of entities of one kind.
pub trait Table<Id, T>: Default {
    /// The entity with this id.
    fn get(&self, id: &Id) -> Option<&T>;
    /// Puts one in, and gives back the one it replaces.
    fn insert(&mut self, id: Id, value: T) -> Option<T>;
}

/// By the ids the application has anyway, in std's hash maps with their keyed hash.
#[derive(Debug)]
pub struct ByText;

/// By consecutive numbers, resolved once: a look-up is an index into a vector.
#[derive(Debug)]
pub struct BySlot;

impl Ids for ByText {
    type Id = String;
    type Table<T> = HashMap<String, T>;
}

impl Ids for BySlot {
    type Id = u32;
    type Table<T> = Vec<Option<T>>;
}

impl<T> Table<String, T> for HashMap<String, T> {
    fn get(&self, id: &String) -> Option<&T> {
        HashMap::get(self, id.as_str())
    }

    fn insert(&mut self, id: String, value: T) -> Option<T> {
        HashMap::insert(self, id, value)
    }
}

impl<T> Table<u32, T> for Vec<Option<T>> {
    fn get(&self, slot: &u32) -> Option<&T> {
        <[Option<T>]>::get(self, *slot as usize)?.as_ref()
    }

    fn insert(&mut self, slot: u32, value: T) -> Option<T> {
        let slot = slot as usize;
        if self.len() <= slot {
            self.resize_with(slot + 1, || None);
        }
        self.get_mut(slot).and_then(|place| place.replace(value))
    }
}

/// What can be acted on. The first six have tables of their own, the others are content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Organization,
    Member,
    Guest,
    Auditor,
    Project,
    Invitation,
    Content(Content),
}

/// The kinds of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Content {
    Framework,
    Assessment,
    Evidence,
    Report,
    Control,
    PolicyDocument,
    AuditRequest,
    Ticket,
    TimeEntry,
    Asset,
    KnowledgeArticle,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Principal<Id> {
    Member(Id),
    Guest(Id),
    Auditor(Id),
}

/// What comes with the question; an action reads what it needs and is denied without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context<Id> {
    /// The present instant. All instants are milliseconds since 1970, UTC.
    pub now: i64,
    /// The role to be given.
    pub role: Option<Role>,
    /// The member to be assigned or unassigned.
    pub technician: Option<Id>,
    /// The window asked for, both ends included.
    pub window: Option<(i64, i64)>,
    /// The section to be exported.
    pub section: Option<String>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<Id> {
    /// Who asks.
    pub principal: Principal<Id>,
    /// What is to be done.
    pub action: Action,
    /// What kind of thing it is done to.
    pub kind: Kind,
    /// And which.
    pub resource: Id,
    /// What comes with the question.
    pub context: Context<Id>,
}
