//! What a directory keeps, row by row. Rows are values: a command reads one, makes the next one of it, and asks the
//! store to put that in its place.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::values::{Email, Hash, Id, Name};
use crate::model::grc::{self, Role};
use crate::model::{EntityUid, Timestamp};

/// What an organization has bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// PSA seats that the price includes.
    pub bundled_seats: u32,
    /// The price of a seat and month, in cents.
    pub seat_cents: u32,
    /// Contributor seats that can be assigned.
    pub contributor_seats: u32,
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its id.
    pub id: Id,
    /// The MSP whose client it is.
    #[serde(default)]
    pub parent: Option<Id>,
    /// Its name.
    pub name: Name,
    /// What it has bought.
    #[serde(default)]
    pub plan: Plan,
}

/// A part of an organization's work that is walled off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub organization: Id,
    /// Its name.
    pub name: Name,
}

/// One person's membership of one organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its id.
    pub id: Id,
    /// Of which organization.
    pub organization: Id,
    /// The person's address.
    pub email: Email,
    /// The one role.
    pub role: Role,
    /// False once deactivated.
    pub active: bool,
    /// On the compliance team.
    #[serde(default)]
    pub compliance_team: bool,
    /// Marked as holder of a contributor seat; counted while active.
    #[serde(default)]
    pub contributor: bool,
    /// Since when two-factor login is locked.
    #[serde(default)]
    pub mfa_locked_at: Option<Timestamp>,
    /// Must set two-factor login up anew.
    #[serde(default)]
    pub mfa_reset: bool,
    /// The projects the member was added to.
    #[serde(default)]
    pub projects: BTreeSet<Id>,
    /// The clients the member is assigned to as technician.
    #[serde(default)]
    pub clients: BTreeSet<Id>,
}

impl Member {
    /// Whether it holds one of the organization's contributor seats.
    pub fn holds_seat(&self) -> bool {
        self.active && self.contributor
    }

    /// Whether the organization can be administered by it.
    pub fn administers(&self) -> bool {
        self.active && matches!(self.role, Role::Owner | Role::Admin)
    }
}

/// Someone from outside, on one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its id.
    pub id: Id,
    /// Of which organization the project is.
    pub organization: Id,
    /// The one project.
    pub project: Id,
    /// The person's address.
    pub email: Email,
    /// False once deactivated.
    pub active: bool,
}

/// What an invitation is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// To be a member of the organization, with this role.
    Role(Role),
    /// To be a guest of this project.
    Project(Id),
}

/// How far an invitation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InvitationState {
    /// Sent; expired once its time has come.
    Pending,
    /// Expired, and noted as such when another was sent to the same address.
    Expired,
    /// Used.
    Accepted,
    /// Taken back.
    Cancelled,
}

impl InvitationState {
    /// The name it is stored and shown under.
    pub fn id(self) -> &'static str {
        match self {
            InvitationState::Pending => "PENDING",
            InvitationState::Expired => "EXPIRED",
            InvitationState::Accepted => "ACCEPTED",
            InvitationState::Cancelled => "CANCELLED",
        }
    }
}

/// Who an invitation was sent by, and who must be able to grant what it gives when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inviter {
    /// The operator, outside the policies.
    Operator,
    /// A member of the organization.
    Member(Id),
    /// A member of the MSP, who created the organization.
    Creator(Id),
}

/// An invitation of a member or a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Its id.
    pub id: Id,
    /// Into which organization.
    pub organization: Id,
    /// To what.
    pub target: Target,
    /// The address it was sent to.
    pub email: Email,
    /// Who sent it last.
    pub inviter: Inviter,
    /// How far it has come.
    pub state: InvitationState,
    /// From when on its link does not work.
    pub expires_at: Timestamp,
    /// The hash of the newest link's secret; none where no link works.
    #[serde(skip)]
    pub link: Option<Hash>,
}

impl Invitation {
    /// How far it has come at an instant.
    pub fn state_at(&self, now: Timestamp) -> InvitationState {
        match self.state {
            InvitationState::Pending if now >= self.expires_at => InvitationState::Expired,
            state => state,
        }
    }

    /// Whether it can still be accepted or sent again.
    pub fn is_open(&self) -> bool {
        matches!(self.state, InvitationState::Pending | InvitationState::Expired)
    }
}

/// How far an auditor's invitation has come. *Expired* is told from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuditorStatus {
    /// Invited.
    Pending,
    /// Has set a password.
    Active,
    /// For good.
    Revoked,
}

impl AuditorStatus {
    /// All of them.
    pub const ALL: [AuditorStatus; 3] = [AuditorStatus::Pending, AuditorStatus::Active, AuditorStatus::Revoked];

    /// The id that policies use.
    pub fn id(self) -> &'static str {
        match self {
            AuditorStatus::Pending => "PENDING",
            AuditorStatus::Active => "ACTIVE",
            AuditorStatus::Revoked => "REVOKED",
        }
    }
}

/// An audit period, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Its first instant.
    pub from: Timestamp,
    /// Its last instant.
    pub to: Timestamp,
}

/// The hash of a password, as a PHC string. It is shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash in this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text, for the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// An external auditor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auditor {
    /// Its id.
    pub id: Id,
    /// Whose auditor it is.
    pub organization: Id,
    /// The person's name.
    pub name: Name,
    /// The person's address.
    pub email: Email,
    /// The firm, for the portal's banner.
    pub firm: Name,
    /// What is audited; without one everything.
    #[serde(default)]
    pub period: Option<Period>,
    /// From when on neither link nor login works.
    pub expires_at: Timestamp,
    /// How far the invitation has come.
    pub status: AuditorStatus,
    /// The hash of the newest link's secret; none once it was used.
    #[serde(skip)]
    pub link: Option<Hash>,
    /// The password's hash.
    #[serde(skip)]
    pub password: Option<PasswordHash>,
    /// How many logins failed since the last that did not.
    #[serde(skip)]
    pub failures: u32,
    /// Until when logins are refused.
    #[serde(skip)]
    pub locked_until: Option<Timestamp>,
}

/// What an auditor says to an audit request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Answer {
    /// Nothing yet.
    Open,
    /// It is as it should be.
    Approved,
    /// It is not.
    Flagged,
}

impl Answer {
    /// The name it is stored and shown under.
    pub fn id(self) -> &'static str {
        match self {
            Answer::Open => "OPEN",
            Answer::Approved => "APPROVED",
            Answer::Flagged => "FLAGGED",
        }
    }
}

/// A request put to one auditor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRequest {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub organization: Id,
    /// To whom it is put.
    pub auditor: Id,
    /// What it is about.
    pub title: Name,
    /// What the auditor says.
    pub state: Answer,
}

/// A portal session of an auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Id,
    /// Of which organization the portal is.
    pub organization: Id,
    /// Whose session it is.
    pub auditor: Id,
    /// The hash of its secret.
    pub token: Hash,
    /// From when on it does not work.
    pub expires_at: Timestamp,
}

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is described with its row
pub enum Kind {
    Organization,
    Project,
    Member,
    Guest,
    Invitation,
    Auditor,
    AuditRequest,
    Session,
}

impl Kind {
    /// All kinds, those first that others refer to.
    pub const ALL: [Kind; 8] = [
        Kind::Organization,
        Kind::Project,
        Kind::Member,
        Kind::Guest,
        Kind::Invitation,
        Kind::Auditor,
        Kind::AuditRequest,
        Kind::Session,
    ];

    /// The name it is stored and shown under.
    pub fn id(self) -> &'static str {
        match self {
            Kind::Organization => "organization",
            Kind::Project => "project",
            Kind::Member => "member",
            Kind::Guest => "guest",
            Kind::Invitation => "invitation",
            Kind::Auditor => "auditor",
            Kind::AuditRequest => "audit request",
            Kind::Session => "session",
        }
    }

    /// The entity of a row of this kind.
    pub fn uid(self, id: Id) -> EntityUid {
        let id = id.to_string();
        match self {
            Kind::Organization => grc::organization(&id),
            Kind::Project => grc::project(&id),
            Kind::Member => grc::member(&id),
            Kind::Guest => grc::guest(&id),
            Kind::Invitation => grc::invitation(&id),
            Kind::Auditor => grc::auditor(&id),
            Kind::AuditRequest => grc::audit_request(&id),
            // No entity: nothing is decided about sessions.
            Kind::Session => EntityUid::unchecked("Grc::Session", id),
        }
    }
}

/// A row of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each is described by itself
pub enum Row {
    Organization(Organization),
    Project(Project),
    Member(Member),
    Guest(Guest),
    Invitation(Invitation),
    Auditor(Auditor),
    AuditRequest(AuditRequest),
    #[serde(skip)]
    Session(Session),
}

impl Row {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Row::Organization(_) => Kind::Organization,
            Row::Project(_) => Kind::Project,
            Row::Member(_) => Kind::Member,
            Row::Guest(_) => Kind::Guest,
            Row::Invitation(_) => Kind::Invitation,
            Row::Auditor(_) => Kind::Auditor,
            Row::AuditRequest(_) => Kind::AuditRequest,
            Row::Session(_) => Kind::Session,
        }
    }

    /// Its id, unlike that of every other row of its kind.
    pub fn id(&self) -> Id {
        match self {
            Row::Organization(row) => row.id,
            Row::Project(row) => row.id,
            Row::Member(row) => row.id,
            Row::Guest(row) => row.id,
            Row::Invitation(row) => row.id,
            Row::Auditor(row) => row.id,
            Row::AuditRequest(row) => row.id,
            Row::Session(row) => row.id,
        }
    }

    /// The organization it belongs to; an organization's is itself.
    pub fn organization(&self) -> Id {
        match self {
            Row::Organization(row) => row.id,
            Row::Project(row) => row.organization,
            Row::Member(row) => row.organization,
            Row::Guest(row) => row.organization,
            Row::Invitation(row) => row.organization,
            Row::Auditor(row) => row.organization,
            Row::AuditRequest(row) => row.organization,
            Row::Session(row) => row.organization,
        }
    }
}
