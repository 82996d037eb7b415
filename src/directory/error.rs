//! Why a command was not carried out. Nothing was changed, unless a commit was under way.

use crate::entities::EntityError;
use crate::loader::LoadError;
use crate::model::{Decision, DecisionError, EntityUid};
use crate::store::StoreError;

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The policies do not permit it.
    #[error(transparent)]
    Denied(Box<Denial>),
    /// It breaks a rule of the directory.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The link does not work. Whether it is unknown, used, replaced, expired or taken back is not told.
    #[error("the link is not valid")]
    Link,
    /// The login does not work. Whether auditor or password is wrong, revoked, expired or locked is not told.
    #[error("the login is not valid")]
    Login,
    /// A password could not be hashed.
    #[error("the password cannot be hashed")]
    Hashing,
    /// The key came with another command before.
    #[error("the key `{0}` was used for another command")]
    KeyReused(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store holds, or would hold, breaks a rule of the entities.
    #[error(transparent)]
    Entities(#[from] EntityError),
    /// The clock cannot be trusted.
    #[error("{}", .0.message())]
    Clock(DecisionError),
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

impl DirectoryError {
    /// The decision that denied the command.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            DirectoryError::Denied(denial) => Some(denial.decision()),
            _ => None,
        }
    }

    /// The rule of the directory that the command breaks.
    pub fn rule(&self) -> Option<Rule> {
        match self {
            DirectoryError::Refused(refusal) => Some(refusal.rule()),
            _ => None,
        }
    }
}

impl From<LoadError> for DirectoryError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Store(error) => DirectoryError::Store(error),
            LoadError::Entities(error) => DirectoryError::Entities(error),
        }
    }
}

/// A command that the policies do not permit, with the decision.
#[derive(Debug, thiserror::Error)]
#[error("`{principal}` may not do `{}` on `{resource}`{}", .action.id(), reasons(.decision))]
pub struct Denial {
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) decision: Decision,
}

fn reasons(decision: &Decision) -> String {
    let ids: Vec<&str> = decision.determining().collect();
    match decision.errors().next() {
        _ if !ids.is_empty() => format!(": by {}", ids.join(", ")),
        Some(error) => format!(": {}", error.message()),
        None => ": no policy permits it".into(),
    }
}

impl Denial {
    /// The decision.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What was to be done.
    pub fn action(&self) -> &EntityUid {
        &self.action
    }

    /// On what.
    pub fn resource(&self) -> &EntityUid {
        &self.resource
    }
}

/// A command that breaks a rule of the directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    rule: Rule,
    message: String,
}

impl Refusal {
    pub(super) fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: crate::model::clip(message) }
    }

    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

/// A rule of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// What the command is about is not there.
    Unknown,
    /// Only the operator does this.
    OperatorOnly,
    /// It is that way already.
    AsItIs,
    /// It is not in a state from which this can be done.
    State,
    /// The last active Owner, or Admin, must stay.
    LastAdministrator,
    /// All contributor seats are taken.
    NoSeat,
    /// The address is that of an active member, or guest.
    AlreadyMember,
    /// The address was invited there already.
    AlreadyInvited,
    /// It belongs to another organization, or is none of its clients.
    Misplaced,
    /// The first member of an organization is Owner or Admin.
    FirstRole,
    /// Whoever invited cannot grant any more what the invitation gives.
    InviterCannotGrant,
    /// Only MSP Technicians are assigned to clients.
    NotTechnician,
    /// A link is for accepting an invitation, and that is done by a link alone.
    ByLink,
    /// Only the auditor an audit request is put to answers it.
    AuditorOnly,
    /// A period ends before it begins, or an expiry has passed.
    Period,
    /// The password will not do.
    Password,
    /// The command's key is empty or too long.
    Key,
}

impl Rule {
    /// The code in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Unknown => "unknown",
            Rule::OperatorOnly => "operator_only",
            Rule::AsItIs => "as_it_is",
            Rule::State => "state",
            Rule::LastAdministrator => "last_administrator",
            Rule::NoSeat => "no_seat",
            Rule::AlreadyMember => "already_member",
            Rule::AlreadyInvited => "already_invited",
            Rule::Misplaced => "misplaced",
            Rule::FirstRole => "first_role",
            Rule::InviterCannotGrant => "inviter_cannot_grant",
            Rule::NotTechnician => "not_technician",
            Rule::ByLink => "by_link",
            Rule::AuditorOnly => "auditor_only",
            Rule::Period => "period",
            Rule::Password => "password",
            Rule::Key => "key",
        }
    }
}
