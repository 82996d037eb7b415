//! What a directory is told to do, by whom, and what it led to.

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::model::grc::Role;
use crate::model::{EntityUid, Revision, Timestamp};
use crate::store::{Email, Id, Name, Period, Plan};

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever runs the directory: outside the policies, and named so in the journal.
    Operator,
    /// A member. What it may do the policies say.
    Member(Id),
    /// An external auditor, as its session told: [`super::Directory::session`].
    Auditor(Id),
    /// Whoever has the link, or the session.
    Bearer,
}

/// A command. The policies decide it under the action of its name, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "command", rename_all = "camelCase")]
pub enum Command {
    /// Makes an organization, and invites its first member. For the operator.
    CreateOrganization {
        /// Its name.
        name: Name,
        /// What it has bought.
        plan: Plan,
        /// Whom to invite.
        email: Email,
        /// As what: Owner or Admin.
        role: Role,
    },
    /// Makes a client of an MSP, and invites its first member.
    CreateClientOrganization {
        /// The MSP.
        msp: Id,
        /// The client's name.
        name: Name,
        /// Whom to invite.
        email: Email,
        /// As what: Owner or Admin.
        role: Role,
    },
    /// Notes what an organization has bought. For the operator.
    SetPlan {
        /// The organization.
        organization: Id,
        /// What it has bought.
        plan: Plan,
    },
    /// Invites a member.
    InviteMember {
        /// Into this organization.
        organization: Id,
        /// Whom to invite.
        email: Email,
        /// As what.
        role: Role,
    },
    /// Invites a guest.
    InviteGuest {
        /// To this project.
        project: Id,
        /// Whom to invite.
        email: Email,
    },
    /// Sends an invitation again, with a new link; the old one ends.
    ResendInvitation {
        /// Which.
        invitation: Id,
    },
    /// Takes an invitation back.
    CancelInvitation {
        /// Which.
        invitation: Id,
    },
    /// Accepts an invitation. For whoever has the link.
    AcceptInvitation {
        /// The link's token.
        #[serde(skip)]
        link: Secret,
    },
    /// Gives a member another role.
    ChangeRole {
        /// Which.
        member: Id,
        /// The role.
        role: Role,
    },
    /// Deactivates a member.
    DeactivateMember {
        /// Which.
        member: Id,
    },
    /// Undoes that.
    ReactivateMember {
        /// Which.
        member: Id,
    },
    /// Removes a member for good. The journal keeps what it did.
    RemoveMember {
        /// Which.
        member: Id,
    },
    /// Puts a member on the compliance team, or takes it off.
    SetComplianceTeam {
        /// Which.
        member: Id,
        /// On it, or off.
        on: bool,
    },
    /// Gives a member a contributor seat.
    AssignContributorSeat {
        /// Which.
        member: Id,
    },
    /// Takes it away.
    UnassignContributorSeat {
        /// Which.
        member: Id,
    },
    /// Notes that a member's two-factor login is locked. For the operator.
    RecordMfaLockout {
        /// Which.
        member: Id,
    },
    /// Ends that.
    ClearMfaLockout {
        /// Which.
        member: Id,
    },
    /// Requires a member to set two-factor login up anew.
    ResetMfa {
        /// Which.
        member: Id,
    },
    /// Notes that a member did. For the operator.
    RecordMfaSetup {
        /// Which.
        member: Id,
    },
    /// Assigns an MSP Technician to a client.
    AssignTechnician {
        /// The member of the MSP.
        technician: Id,
        /// The client.
        client: Id,
    },
    /// Undoes that.
    UnassignTechnician {
        /// The member of the MSP.
        technician: Id,
        /// The client.
        client: Id,
    },
    /// Makes a project.
    CreateProject {
        /// In this organization.
        organization: Id,
        /// Its name.
        name: Name,
    },
    /// Adds a member to a project. Decided as `manageProjectTeam`, as are the next four.
    AddToProject {
        /// The project.
        project: Id,
        /// The member.
        member: Id,
    },
    /// Takes a member off a project.
    RemoveFromProject {
        /// The project.
        project: Id,
        /// The member.
        member: Id,
    },
    /// Deactivates a guest.
    DeactivateGuest {
        /// Which.
        guest: Id,
    },
    /// Undoes that.
    ReactivateGuest {
        /// Which.
        guest: Id,
    },
    /// Removes a guest for good.
    RemoveGuest {
        /// Which.
        guest: Id,
    },
    /// Invites an external auditor.
    InviteAuditor {
        /// Of this organization.
        organization: Id,
        /// The person's name.
        name: Name,
        /// Whom to invite.
        email: Email,
        /// The firm.
        firm: Name,
        /// What is audited; without one everything.
        period: Option<Period>,
        /// From when on neither link nor login works.
        expires_at: Timestamp,
    },
    /// Makes a new link for an auditor; the old one ends, a password that was set stays.
    ResendAuditorInvitation {
        /// Which.
        auditor: Id,
    },
    /// Ends an auditor's link, login and sessions for good.
    RevokeAuditor {
        /// Which.
        auditor: Id,
    },
    /// Sets an auditor's password, which uses the link up. For whoever has it.
    SetPassword {
        /// The link's token.
        #[serde(skip)]
        link: Secret,
        /// The password. It is not part of what a key stands for.
        #[serde(skip)]
        password: Secret,
    },
    /// Begins a session. It has no key and is not run: [`super::Directory::log_in`] does it.
    LogIn {
        /// Whose.
        auditor: Id,
    },
    /// Ends a session. For whoever has its token.
    LogOut {
        /// The session's token.
        #[serde(skip)]
        session: Secret,
    },
    /// Puts a request to an auditor. Decided as `manageAuditRequest`.
    CreateAuditRequest {
        /// Of this organization.
        organization: Id,
        /// To whom.
        auditor: Id,
        /// What it is about.
        title: Name,
    },
    /// Approves an audit request. For the auditor it is put to.
    ApproveAuditRequest {
        /// Which.
        request: Id,
    },
    /// Flags it.
    FlagAuditRequest {
        /// Which.
        request: Id,
    },
    /// Erases the names and addresses beside an entry of the journal, and those in the row it is about once that is over:
    /// an invitation that was accepted, taken back or has expired, a revoked auditor. What is still in use keeps them,
    /// and the same command again, under another key, erases them later. For the operator.
    EraseTexts {
        /// The entry's revision.
        number: u64,
        /// Its place there.
        place: u32,
    },
}

impl Command {
    /// The action it is decided under, or the name of what needs none.
    pub fn name(&self) -> &'static str {
        match self {
            Command::CreateOrganization { .. } => "createOrganization",
            Command::CreateClientOrganization { .. } => "createClientOrganization",
            Command::SetPlan { .. } => "setPlan",
            Command::InviteMember { .. } => "inviteMember",
            Command::InviteGuest { .. } => "inviteGuest",
            Command::ResendInvitation { .. } => "resendInvitation",
            Command::CancelInvitation { .. } => "cancelInvitation",
            Command::AcceptInvitation { .. } => "acceptInvitation",
            Command::ChangeRole { .. } => "changeRole",
            Command::DeactivateMember { .. } => "deactivateMember",
            Command::ReactivateMember { .. } => "reactivateMember",
            Command::RemoveMember { .. } => "removeMember",
            Command::SetComplianceTeam { .. } => "setComplianceTeam",
            Command::AssignContributorSeat { .. } => "assignContributorSeat",
            Command::UnassignContributorSeat { .. } => "unassignContributorSeat",
            Command::RecordMfaLockout { .. } => "recordMfaLockout",
            Command::ClearMfaLockout { .. } => "clearMfaLockout",
            Command::ResetMfa { .. } => "resetMfa",
            Command::RecordMfaSetup { .. } => "recordMfaSetup",
            Command::AssignTechnician { .. } => "assignTechnician",
            Command::UnassignTechnician { .. } => "unassignTechnician",
            Command::CreateProject { .. } => "createProject",
            Command::AddToProject { .. } => "addToProject",
            Command::RemoveFromProject { .. } => "removeFromProject",
            Command::DeactivateGuest { .. } => "deactivateGuest",
            Command::ReactivateGuest { .. } => "reactivateGuest",
            Command::RemoveGuest { .. } => "removeGuest",
            Command::InviteAuditor { .. } => "inviteAuditor",
            Command::ResendAuditorInvitation { .. } => "resendAuditorInvitation",
            Command::RevokeAuditor { .. } => "revokeAuditor",
            Command::SetPassword { .. } => "setPassword",
            Command::LogIn { .. } => "logIn",
            Command::LogOut { .. } => "logOut",
            Command::CreateAuditRequest { .. } => "createAuditRequest",
            Command::ApproveAuditRequest { .. } => "approveAuditRequest",
            Command::FlagAuditRequest { .. } => "flagAuditRequest",
            Command::EraseTexts { .. } => "eraseTexts",
        }
    }
}

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub(super) revision: Revision,
    pub(super) done: Done,
    pub(super) delivery: Delivery,
    pub(super) replayed: bool,
}

/// What is recorded of an outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) invitation: Option<Id>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) without_seat: bool,
}

/// Whether a link was handed to the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// There was none to send.
    None,
    /// It was.
    Sent,
    /// The sender failed; sending the invitation again mends it.
    Failed(String),
    /// It was the first time, or was not; sending the invitation again mends that.
    Unknown,
}

impl Outcome {
    /// The revision that it led to.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What was made or changed.
    pub fn target(&self) -> Option<EntityUid> {
        self.done.target.parse().ok()
    }

    /// The invitation that was sent, of a member or guest; for an auditor the auditor's own id.
    pub fn invitation(&self) -> Option<Id> {
        self.done.invitation
    }

    /// Whether a contributor came back without the seat, since none was free.
    pub fn without_seat(&self) -> bool {
        self.done.without_seat
    }

    /// Whether a link was sent.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Whether the key's first command led to it, and nothing was done now.
    pub fn replayed(&self) -> bool {
        self.replayed
    }
}
