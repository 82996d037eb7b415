//! The entities that decisions read: an immutable snapshot, replaced as a whole or by single changes.

#[cfg(feature = "sqlite")]
pub(crate) mod bulk;
mod cell;
mod edit;
mod error;
mod load;
mod pages;
mod pieces;
mod plain;
mod read;
pub(crate) mod record;
mod rules;
mod snapshot;
mod table;
mod tape;

pub use error::{EntityError, EntityFault};
pub use read::{entity_from_json, request_from_json, request_from_parts, uid_from_tree, EntityReader, Part};
pub use snapshot::Snapshot;

pub(crate) use edit::check_inline;
pub(crate) use read::{request_from_tree, Progress};

use crate::model::{Entity, EntityUid, Revision};

/// Entities to put in and to take out, applied together or not at all.
///
/// An entity that is put in replaces the stored one with the same uid. Removals come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub(crate) upserts: Vec<Entity>,
    pub(crate) removals: Vec<EntityUid>,
    pub(crate) absent: Vec<EntityUid>,
}

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// These changes, and `entity` put in.
    #[must_use]
    pub fn upsert(mut self, entity: Entity) -> Self {
        self.upserts.push(entity);
        self
    }

    /// These changes, and `uid` taken out where it is stored; where it is not, that is no error.
    #[must_use]
    pub fn remove_if_stored(mut self, uid: EntityUid) -> Self {
        self.absent.push(uid);
        self
    }

    /// These changes, and `uid` taken out. It is an error when it is not stored.
    #[must_use]
    pub fn remove(mut self, uid: EntityUid) -> Self {
        self.removals.push(uid);
        self
    }
}

/// Where entities come from, for applications that keep them in a database of their own.
///
/// Methods are called from whatever thread loads or refreshes. A failed read is an `Err`, never "no such entity".
pub trait EntitySource: Send + Sync {
    /// The revision the source is at now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn revision(&self) -> Result<Revision, SourceError>;

    /// All entities, and the revision they were read at, as one consistent state.
    ///
    /// # Errors
    /// When they cannot be read.
    fn load(&self) -> Result<(Vec<Entity>, Revision), SourceError>;

    /// What changed after `since`, and the revision reached; `None` when that cannot be said any more, so that
    /// everything must be loaded again.
    ///
    /// # Errors
    /// When it cannot be read.
    fn changes_since(&self, since: Revision) -> Result<Option<(Changes, Revision)>, SourceError>;
}

/// A source that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the entities cannot be read: {0}")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
