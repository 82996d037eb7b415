//! What is wrong with entities: everything at once.

use std::fmt;

use crate::model::EntityUid;

/// One thing wrong with one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityFault {
    pub(crate) index: Option<usize>,
    pub(crate) uid: Option<EntityUid>,
    pub(crate) message: String,
}

impl EntityFault {
    /// The entity's place in the list it came in, from 0.
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// The entity's uid, where it could be read.
    pub fn uid(&self) -> Option<&EntityUid> {
        self.uid.as_ref()
    }

    /// What is wrong, naming the attribute where it is one.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for EntityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.index, &self.uid) {
            (Some(index), Some(uid)) => write!(f, "entity {index}, `{}`: ", crate::model::shorten(&uid.to_string()))?,
            (Some(index), None) => write!(f, "entity {index}: ")?,
            (None, Some(uid)) => write!(f, "`{}`: ", crate::model::shorten(&uid.to_string()))?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}

/// Why entities were refused. Nothing was loaded or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityError {
    pub(crate) faults: Vec<EntityFault>,
    pub(crate) more: usize,
}

impl EntityError {
    /// Faults kept in one report; the rest are counted.
    pub(crate) const MOST: usize = 1_000;

    pub(crate) fn of(message: impl Into<String>) -> Self {
        Self { faults: vec![EntityFault { index: None, uid: None, message: message.into() }], more: 0 }
    }

    /// What is wrong, in the order of the entities; at most 1,000 faults.
    pub fn faults(&self) -> &[EntityFault] {
        &self.faults
    }

    /// How many more there were.
    pub fn more(&self) -> usize {
        self.more
    }
}

impl fmt::Display for EntityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        if self.more > 0 {
            write!(f, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for EntityError {}

/// Collects faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) list: Vec<EntityFault>,
    more: usize,
}

impl Faults {
    pub(super) fn push(&mut self, index: Option<usize>, uid: Option<&EntityUid>, message: impl Into<String>) {
        if self.list.len() < EntityError::MOST {
            self.list.push(EntityFault { index, uid: uid.cloned(), message: crate::model::clip(message) });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes over what another collected.
    pub(super) fn absorb(&mut self, other: Faults) {
        self.more += other.more;
        for fault in other.list {
            if self.list.len() < EntityError::MOST {
                self.list.push(fault);
            } else {
                self.more += 1;
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<(), EntityError> {
        if self.list.is_empty() {
            return Ok(());
        }
        self.list.sort_by_key(|f| f.index.unwrap_or(usize::MAX));
        Err(EntityError { faults: self.list, more: self.more })
    }
}
