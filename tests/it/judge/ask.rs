//! A request on a world: principal, action, resource, context (model section 2).

use serde_json::{json, Map, Value};

use super::world::{datetime_json, member_json, role_json, window_json, InvitedTo, Kind, Role, World};

/// Who asks, by index into the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Principal {
    Member(usize),
    Guest(usize),
    Auditor(usize),
}

impl Principal {
    /// Its entity type.
    pub fn kind(self) -> Kind {
        match self {
            Principal::Member(_) => Kind::Member,
            Principal::Guest(_) => Kind::Guest,
            Principal::Auditor(_) => Kind::Auditor,
        }
    }

    /// The organization it belongs to.
    pub fn organization(self, world: &World) -> usize {
        match self {
            Principal::Member(i) => world.members[i].organization,
            Principal::Guest(i) => world.guests[i].organization,
            Principal::Auditor(i) => world.auditors[i].organization,
        }
    }
}

/// What is acted on: an entity type and an index into the vector that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource {
    pub kind: Kind,
    pub index: usize,
}

impl Resource {
    /// The organization it belongs to; an organization belongs to itself.
    pub fn organization(self, world: &World) -> usize {
        match self.kind {
            Kind::Organization => self.index,
            Kind::Member => world.members[self.index].organization,
            Kind::Guest => world.guests[self.index].organization,
            Kind::Auditor => world.auditors[self.index].organization,
            Kind::Project => world.projects[self.index].organization,
            Kind::Invitation => world.invitations[self.index].organization,
            _ => world.items[self.index].organization,
        }
    }

    /// The project whose wall surrounds it; a project is inside its own.
    pub fn project(self, world: &World) -> Option<usize> {
        match self.kind {
            Kind::Project => Some(self.index),
            Kind::Invitation => match world.invitations[self.index].to {
                InvitedTo::Project(project) => Some(project),
                InvitedTo::Role(_) => None,
            },
            Kind::Organization | Kind::Member | Kind::Guest | Kind::Auditor => None,
            _ => world.items[self.index].project,
        }
    }

    /// Everything of that kind in the world.
    pub fn all(world: &World, kind: Kind) -> Vec<Resource> {
        let count = match kind {
            Kind::Organization => world.organizations.len(),
            Kind::Member => world.members.len(),
            Kind::Guest => world.guests.len(),
            Kind::Auditor => world.auditors.len(),
            Kind::Project => world.projects.len(),
            Kind::Invitation => world.invitations.len(),
            _ => world.items.len(),
        };
        (0..count)
            .filter(|&i| !Kind::ITEMS.contains(&kind) || world.items[i].kind == kind)
            .map(|index| Resource { kind, index })
            .collect()
    }
}

/// The first of the two kinds of action groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Read,
    Write,
    Portal,
}

/// The second: the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    Organization,
    Team,
    Compliance,
    Psa,
    Msp,
    Project,
    Auditor,
}

macro_rules! actions {
    ($($action:ident $name:literal $verb:ident $group:ident [$($p:ident)*] [$($r:ident)*];)*) => {
        /// The actions of model section 2.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($action),* }

        impl Action {
            /// Every action, in the order of model section 2.
            pub const ALL: &'static [Action] = &[$(Action::$action),*];

            /// The action's id.
            pub fn name(self) -> &'static str {
                match self { $(Action::$action => $name),* }
            }

            /// `read`, `write` or `portal`.
            pub fn verb(self) -> Verb {
                match self { $(Action::$action => Verb::$verb),* }
            }

            /// The module it belongs to.
            pub fn group(self) -> Group {
                match self { $(Action::$action => Group::$group),* }
            }

            /// The principal types it applies to.
            pub fn principals(self) -> &'static [Kind] {
                match self { $(Action::$action => &[$(Kind::$p),*]),* }
            }

            /// The resource types it applies to.
            pub fn resources(self) -> &'static [Kind] {
                match self { $(Action::$action => &[$(Kind::$r),*]),* }
            }
        }
    };
}

actions! {
    ViewOrganization "viewOrganization" Read Organization [Member] [Organization];
    ViewSettings "viewSettings" Read Organization [Member] [Organization];
    ViewBilling "viewBilling" Read Organization [Member] [Organization];
    ManageSettings "manageSettings" Write Organization [Member] [Organization];
    ManageIntegrations "manageIntegrations" Write Organization [Member] [Organization];
    ManageBilling "manageBilling" Write Organization [Member] [Organization];
    ViewTeam "viewTeam" Read Team [Member] [Organization];
    ViewInvitationLog "viewInvitationLog" Read Team [Member] [Organization];
    InviteMember "inviteMember" Write Team [Member] [Organization];
    ResendInvitation "resendInvitation" Write Team [Member] [Invitation];
    CancelInvitation "cancelInvitation" Write Team [Member] [Invitation];
    ChangeRole "changeRole" Write Team [Member] [Member];
    DeactivateMember "deactivateMember" Write Team [Member] [Member];
    ReactivateMember "reactivateMember" Write Team [Member] [Member];
    RemoveMember "removeMember" Write Team [Member] [Member];
    SetComplianceTeam "setComplianceTeam" Write Team [Member] [Member];
    AssignContributorSeat "assignContributorSeat" Write Team [Member] [Member];
    UnassignContributorSeat "unassignContributorSeat" Write Team [Member] [Member];
    ClearMfaLockout "clearMfaLockout" Write Team [Member] [Member];
    ResetMfa "resetMfa" Write Team [Member] [Member];
    InviteAuditor "inviteAuditor" Write Team [Member] [Organization];
    ResendAuditorInvitation "resendAuditorInvitation" Write Team [Member] [Auditor];
    RevokeAuditor "revokeAuditor" Write Team [Member] [Auditor];
    ViewCompliance "viewCompliance" Read Compliance [Member Guest Auditor]
        [Framework Control PolicyDocument Assessment Evidence Report AuditRequest];
    AdoptFramework "adoptFramework" Write Compliance [Member] [Framework];
    ManageControl "manageControl" Write Compliance [Member] [Control];
    ManagePolicyDocument "managePolicyDocument" Write Compliance [Member] [PolicyDocument];
    GenerateReport "generateReport" Write Compliance [Member] [Report];
    ManageAuditRequest "manageAuditRequest" Write Compliance [Member] [AuditRequest];
    Review "review" Write Compliance [Member] [PolicyDocument Control Assessment];
    Approve "approve" Write Compliance [Member] [PolicyDocument Control Assessment];
    UpdateControlStatus "updateControlStatus" Write Compliance [Member] [Control];
    UploadEvidence "uploadEvidence" Write Compliance [Member Guest] [Evidence];
    AcknowledgePolicy "acknowledgePolicy" Write Compliance [Member] [PolicyDocument];
    DraftEvidence "draftEvidence" Write Compliance [Member] [Evidence];
    RunAssessment "runAssessment" Write Compliance [Member] [Assessment];
    BeAssigned "beAssigned" Read Compliance [Member] [Control Assessment];
    ReceiveNotification "receiveNotification" Read Compliance [Member] [Organization];
    AccessPsa "accessPsa" Read Psa [Member] [Organization];
    ViewPsa "viewPsa" Read Psa [Member] [Ticket TimeEntry Asset KnowledgeArticle];
    ManageTicket "manageTicket" Write Psa [Member] [Ticket];
    TrackTime "trackTime" Write Psa [Member] [TimeEntry];
    ManageAsset "manageAsset" Write Psa [Member] [Asset];
    ManageKnowledgeBase "manageKnowledgeBase" Write Psa [Member] [KnowledgeArticle];
    CreateClientOrganization "createClientOrganization" Write Msp [Member] [Organization];
    AssignTechnician "assignTechnician" Write Msp [Member] [Organization];
    UnassignTechnician "unassignTechnician" Write Msp [Member] [Organization];
    CreateProject "createProject" Write Project [Member] [Organization];
    ViewProject "viewProject" Read Project [Member Guest] [Project];
    Collaborate "collaborate" Write Project [Member Guest] [Project];
    ManageProjectTeam "manageProjectTeam" Write Project [Member] [Project];
    InviteGuest "inviteGuest" Write Project [Member] [Project];
    RunGapAnalysis "runGapAnalysis" Write Project [Member] [Project];
    SpendCredits "spendCredits" Write Project [Member] [Organization Project];
    OpenPortal "openPortal" Portal Auditor [Auditor] [Organization];
    ViewAuditRequest "viewAuditRequest" Read Auditor [Auditor] [AuditRequest];
    ApproveAuditRequest "approveAuditRequest" Portal Auditor [Auditor] [AuditRequest];
    FlagAuditRequest "flagAuditRequest" Portal Auditor [Auditor] [AuditRequest];
    DownloadAuditPackage "downloadAuditPackage" Portal Auditor [Auditor] [Organization];
    ExportSection "exportSection" Portal Auditor [Auditor] [Organization];
}

impl Action {
    /// Whether the context has `role`.
    pub fn takes_role(self) -> bool {
        matches!(self, Action::InviteMember | Action::ChangeRole)
    }

    /// Whether the context has `technician`.
    pub fn takes_technician(self) -> bool {
        matches!(self, Action::AssignTechnician | Action::UnassignTechnician)
    }

    /// Whether the context has `window`.
    pub fn takes_window(self) -> bool {
        matches!(self, Action::DownloadAuditPackage | Action::ExportSection)
    }

    /// Whether the context has `section`.
    pub fn takes_section(self) -> bool {
        self == Action::ExportSection
    }
}

/// The context; of the options, a request carries those its action takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Milliseconds since 1970, UTC.
    pub now: i64,
    pub role: Option<Role>,
    /// Index of a member.
    pub technician: Option<usize>,
    pub window: Option<(i64, i64)>,
    pub section: Option<String>,
}

impl Context {
    /// A context with the time alone.
    pub fn at(now: i64) -> Context {
        Context { now, role: None, technician: None, window: None, section: None }
    }
}

/// One question to the policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub principal: Principal,
    pub action: Action,
    pub resource: Resource,
    pub context: Context,
}

/// Whether the schema has this action for this principal type and this
/// resource type, and the context has what the action takes.
pub fn fits_schema(ask: &Ask) -> bool {
    let (action, context) = (ask.action, &ask.context);
    action.principals().contains(&ask.principal.kind())
        && action.resources().contains(&ask.resource.kind)
        && (!action.takes_role() || context.role.is_some())
        && (!action.takes_technician() || context.technician.is_some())
        && (!action.takes_window() || context.window.is_some())
        && (!action.takes_section() || context.section.is_some())
}

/// The ask as a request in JSON.
pub fn request_json(world: &World, ask: &Ask) -> Value {
    let principal = match ask.principal {
        Principal::Member(i) => &world.members[i].id,
        Principal::Guest(i) => &world.guests[i].id,
        Principal::Auditor(i) => &world.auditors[i].id,
    };
    let mut context = Map::new();
    context.insert("now".into(), datetime_json(ask.context.now));
    if let (true, Some(role)) = (ask.action.takes_role(), ask.context.role) {
        context.insert("role".into(), role_json(role));
    }
    if let (true, Some(member)) = (ask.action.takes_technician(), ask.context.technician) {
        context.insert("technician".into(), member_json(world, member));
    }
    if let (true, Some(window)) = (ask.action.takes_window(), ask.context.window) {
        context.insert("window".into(), window_json(window));
    }
    if let (true, Some(section)) = (ask.action.takes_section(), &ask.context.section) {
        context.insert("section".into(), json!(section));
    }
    json!({
        "principal": uid_text(ask.principal.kind(), principal),
        "action": format!("Grc::Action::\"{}\"", ask.action.name()),
        "resource": uid_text(ask.resource.kind, resource_id(world, ask.resource)),
        "context": context,
    })
}

fn resource_id(world: &World, resource: Resource) -> &str {
    let i = resource.index;
    match resource.kind {
        Kind::Organization => &world.organizations[i].id,
        Kind::Member => &world.members[i].id,
        Kind::Guest => &world.guests[i].id,
        Kind::Auditor => &world.auditors[i].id,
        Kind::Project => &world.projects[i].id,
        Kind::Invitation => &world.invitations[i].id,
        _ => &world.items[i].id,
    }
}

fn uid_text(kind: Kind, id: &str) -> String {
    format!("{}::\"{id}\"", kind.type_name())
}
