//! The built-in model's words as types: roles, actions and the uids of its entities.

use super::{EntityUid, Request, Resource, Timestamp, Value};

/// A role in an organization: exactly one per member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the roles are described by `label` and by policies/README.md
pub enum Role {
    Owner,
    Admin,
    ComplianceAdmin,
    ComplianceOfficer,
    PrivacyOfficer,
    SecurityOfficer,
    Employee,
    ReadOnly,
    MspAdmin,
    MspTechnician,
    Member,
    Viewer,
}

/// What an approver is specialised in: data for people, not a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Specialisation {
    /// Data-subject requests and privacy impact assessments.
    Privacy,
    /// Technical controls and incident response.
    Security,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 12] = [
        Role::Owner,
        Role::Admin,
        Role::ComplianceAdmin,
        Role::ComplianceOfficer,
        Role::PrivacyOfficer,
        Role::SecurityOfficer,
        Role::Employee,
        Role::ReadOnly,
        Role::MspAdmin,
        Role::MspTechnician,
        Role::Member,
        Role::Viewer,
    ];

    /// The id that policies, APIs and logs use.
    pub fn id(self) -> &'static str {
        match self {
            Role::Owner => "OWNER",
            Role::Admin => "ADMIN",
            Role::ComplianceAdmin => "COMPLIANCE_ADMIN",
            Role::ComplianceOfficer => "COMPLIANCE_OFFICER",
            Role::PrivacyOfficer => "PRIVACY_OFFICER",
            Role::SecurityOfficer => "SECURITY_OFFICER",
            Role::Employee => "EMPLOYEE",
            Role::ReadOnly => "READ_ONLY",
            Role::MspAdmin => "MSP_ADMIN",
            Role::MspTechnician => "MSP_TECHNICIAN",
            Role::Member => "MEMBER",
            Role::Viewer => "VIEWER",
        }
    }

    /// The label that people see.
    pub fn label(self) -> &'static str {
        match self {
            Role::Owner => "Owner",
            Role::Admin => "Admin",
            Role::ComplianceAdmin => "Compliance Admin",
            Role::ComplianceOfficer => "Approver",
            Role::PrivacyOfficer => "Approver (Privacy)",
            Role::SecurityOfficer => "Approver (Security)",
            Role::Employee => "Analyst",
            Role::ReadOnly => "Read Only",
            Role::MspAdmin => "MSP Admin",
            Role::MspTechnician => "MSP Technician",
            Role::Member => "Member",
            Role::Viewer => "Viewer",
        }
    }

    /// What an approver is specialised in, if anything.
    pub fn specialisation(self) -> Option<Specialisation> {
        match self {
            Role::PrivacyOfficer => Some(Specialisation::Privacy),
            Role::SecurityOfficer => Some(Specialisation::Security),
            _ => None,
        }
    }

    /// The role with this id.
    pub fn from_id(id: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.id() == id)
    }

    /// The role as an entity, for attributes and contexts.
    pub fn value(self) -> Value {
        Value::Entity(EntityUid::unchecked("Grc::Role", self.id()))
    }
}

macro_rules! actions {
    ($($variant:ident $name:literal,)*) => {
        /// An action of the built-in model.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)] // the actions are described in policies/MODEL.md
        pub enum Action { $($variant,)* }

        impl Action {
            /// All actions.
            pub const ALL: &'static [Action] = &[$(Action::$variant,)*];

            /// The id that policies and requests use.
            pub fn id(self) -> &'static str {
                match self { $(Action::$variant => $name,)* }
            }
        }
    };
}

actions! {
    ViewOrganization "viewOrganization", ViewSettings "viewSettings", ViewBilling "viewBilling",
    ManageSettings "manageSettings", ManageIntegrations "manageIntegrations", ManageBilling "manageBilling",
    ViewTeam "viewTeam", ViewInvitationLog "viewInvitationLog", InviteMember "inviteMember",
    ResendInvitation "resendInvitation", CancelInvitation "cancelInvitation", ChangeRole "changeRole",
    DeactivateMember "deactivateMember", ReactivateMember "reactivateMember", RemoveMember "removeMember",
    SetComplianceTeam "setComplianceTeam", AssignContributorSeat "assignContributorSeat",
    UnassignContributorSeat "unassignContributorSeat", ClearMfaLockout "clearMfaLockout", ResetMfa "resetMfa",
    InviteAuditor "inviteAuditor", ResendAuditorInvitation "resendAuditorInvitation", RevokeAuditor "revokeAuditor",
    ViewCompliance "viewCompliance", AdoptFramework "adoptFramework", ManageControl "manageControl",
    ManagePolicyDocument "managePolicyDocument", GenerateReport "generateReport",
    ManageAuditRequest "manageAuditRequest", Review "review", Approve "approve",
    UpdateControlStatus "updateControlStatus", UploadEvidence "uploadEvidence",
    AcknowledgePolicy "acknowledgePolicy", DraftEvidence "draftEvidence", RunAssessment "runAssessment",
    BeAssigned "beAssigned", ReceiveNotification "receiveNotification", AccessPsa "accessPsa", ViewPsa "viewPsa",
    ManageTicket "manageTicket", TrackTime "trackTime", ManageAsset "manageAsset",
    ManageKnowledgeBase "manageKnowledgeBase", CreateClientOrganization "createClientOrganization",
    AssignTechnician "assignTechnician", UnassignTechnician "unassignTechnician", CreateProject "createProject",
    ViewProject "viewProject", Collaborate "collaborate", ManageProjectTeam "manageProjectTeam",
    InviteGuest "inviteGuest", RunGapAnalysis "runGapAnalysis", SpendCredits "spendCredits",
    OpenPortal "openPortal", ViewAuditRequest "viewAuditRequest", ApproveAuditRequest "approveAuditRequest",
    FlagAuditRequest "flagAuditRequest", DownloadAuditPackage "downloadAuditPackage",
    ExportSection "exportSection",
}

impl Action {
    /// The uid that requests carry.
    pub fn uid(self) -> EntityUid {
        EntityUid::unchecked("Grc::Action", self.id())
    }
}

macro_rules! uids {
    ($($function:ident $type_name:literal,)*) => {$(
        #[doc = concat!("The uid of the `", $type_name, "` with this id.")]
        pub fn $function(id: &str) -> EntityUid {
            EntityUid::unchecked($type_name, id)
        }
    )*};
}

uids! {
    organization "Grc::Organization", member "Grc::Member", guest "Grc::Guest", auditor "Grc::Auditor",
    project "Grc::Project", invitation "Grc::Invitation", framework "Grc::Framework", control "Grc::Control",
    policy_document "Grc::PolicyDocument", assessment "Grc::Assessment", evidence "Grc::Evidence",
    report "Grc::Report", audit_request "Grc::AuditRequest", ticket "Grc::Ticket", time_entry "Grc::TimeEntry",
    asset "Grc::Asset", knowledge_article "Grc::KnowledgeArticle",
}

/// A request of the built-in model. What its context needs is added with `with_role` and its siblings.
///
/// ```
/// use bailiwick::grc::{self, Action, Role};
/// let request = grc::request(grc::member("m-1"), Action::ChangeRole, grc::member("m-2"));
/// let request = grc::with_role(request, Role::Admin);
/// assert_eq!(request.action(), &Action::ChangeRole.uid());
/// ```
pub fn request(principal: EntityUid, action: Action, resource: impl Into<Resource>) -> Request {
    Request::new(principal, action.uid(), resource)
}

/// The request with the role it grants: for `inviteMember` and `changeRole`.
pub fn with_role(request: Request, role: Role) -> Request {
    request.with("role", role.value())
}

/// The request with the technician it concerns: for `assignTechnician` and `unassignTechnician`.
pub fn with_technician(request: Request, technician: EntityUid) -> Request {
    request.with("technician", Value::Entity(technician))
}

/// The request with the window it asks for, both ends included: for `downloadAuditPackage` and `exportSection`.
pub fn with_window(request: Request, from: Timestamp, to: Timestamp) -> Request {
    let window = [("from", from), ("to", to)].map(|(name, at)| (name.to_owned(), Value::Datetime(at)));
    request.with("window", Value::Record(window.into()))
}
