//! What is known: one table for each kind of entity.

use super::request::{Content, Ids, Role, Table};

/// An organization; a client names its MSP.
#[derive(Debug)]
pub struct Organization<Id> {
    pub msp: Option<Id>,
}

/// One person's membership of one organization.
#[derive(Debug)]
pub struct Member<Id> {
    pub organization: Id,
    pub role: Role,
    pub active: bool,
    pub compliance_team: bool,
    pub contributor: bool,
    /// The client organizations it is assigned to as a technician.
    pub clients: Vec<Id>,
    /// The projects it was added to.
    pub projects: Vec<Id>,
}

/// Someone from outside, on one project.
#[derive(Debug)]
pub struct Guest<Id> {
    pub organization: Id,
    pub active: bool,
    pub project: Id,
}

/// An external auditor.
#[derive(Debug)]
pub struct Auditor<Id> {
    pub organization: Id,
    /// Activated, and not revoked.
    pub active: bool,
    pub expires_at: i64,
    /// The audit period, both ends included.
    pub period: Option<(i64, i64)>,
}

/// A project.
#[derive(Debug)]
pub struct Project<Id> {
    pub organization: Id,
}

/// An invitation: to a role in the organization, or to a project.
#[derive(Debug)]
pub struct Invitation<Id> {
    pub organization: Id,
    pub role: Option<Role>,
}

/// Everything else.
#[derive(Debug)]
pub struct Item<Id> {
    pub organization: Id,
    pub project: Option<Id>,
    pub detail: Detail<Id>,
}

/// What only some content has.
#[derive(Debug)]
pub enum Detail<Id> {
    /// In force from the first instant up to, but not including, the second: controls and policy documents.
    InForce(i64, Option<i64>),
    /// The auditor that an audit request is put to.
    PutTo(Id),
    /// Nothing more.
    Plain,
}

/// All that is known.
pub struct Store<I: Ids> {
    pub organizations: I::Table<Organization<I::Id>>,
    pub members: I::Table<Member<I::Id>>,
    pub guests: I::Table<Guest<I::Id>>,
    pub auditors: I::Table<Auditor<I::Id>>,
    pub projects: I::Table<Project<I::Id>>,
    pub invitations: I::Table<Invitation<I::Id>>,
    content: [I::Table<Item<I::Id>>; 11],
}

impl<I: Ids> Default for Store<I> {
    fn default() -> Self {
        Self {
            organizations: Default::default(),
            members: Default::default(),
            guests: Default::default(),
            auditors: Default::default(),
            projects: Default::default(),
            invitations: Default::default(),
            content: Default::default(),
        }
    }
}

impl<I: Ids> Store<I> {
    /// The content of this kind with this id.
    pub fn item(&self, kind: Content, id: &I::Id) -> Option<&Item<I::Id>> {
        self.content.get(kind as usize)?.get(id)
    }

    /// Puts content in, and gives back what it replaces.
    pub fn insert_item(&mut self, kind: Content, id: I::Id, item: Item<I::Id>) -> Option<Item<I::Id>> {
        self.content.get_mut(kind as usize)?.insert(id, item)
    }
}
