//! That the judge judges: spot checks named after the sources' statements.

use super::ask::{fits_schema, Action, Ask, Context, Principal, Resource};
use super::decide::allowed;
use super::generate::{DAY, NEW_YEAR};
use super::world::{AuditorStatus, InvitedTo, Kind, Role, World};

/// An MSP, a client and a project in each, to put members and resources in.
struct Scene {
    world: World,
    msp: usize,
    client: usize,
    project: usize,
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::default();
        let msp = world.add_organization(None);
        let client = world.add_organization(Some(msp));
        let project = world.add_project(msp);
        Scene { world, msp, client, project }
    }

    fn member(&mut self, role: Role) -> usize {
        self.world.add_member(self.msp, role)
    }

    fn item(&mut self, kind: Kind, project: Option<usize>) -> Resource {
        let index = self.world.add_item(kind, self.msp, project);
        Resource { kind, index }
    }

    fn of_client(&mut self, kind: Kind) -> Resource {
        let index = self.world.add_item(kind, self.client, None);
        Resource { kind, index }
    }

    fn can(&self, member: usize, action: Action, resource: Resource) -> bool {
        self.can_with(member, action, resource, Context::at(NEW_YEAR))
    }

    fn can_with(&self, member: usize, action: Action, on: Resource, context: Context) -> bool {
        let ask = Ask { principal: Principal::Member(member), action, resource: on, context };
        assert!(fits_schema(&ask), "{ask:?}");
        allowed(&self.world, &ask)
    }

    fn guest_can(&self, guest: usize, action: Action, resource: Resource) -> bool {
        allowed(
            &self.world,
            &Ask { principal: Principal::Guest(guest), action, resource, context: Context::at(NEW_YEAR) },
        )
    }

    fn auditor_can(&self, auditor: usize, action: Action, on: Resource, context: Context) -> bool {
        allowed(&self.world, &Ask { principal: Principal::Auditor(auditor), action, resource: on, context })
    }
}

fn organization(index: usize) -> Resource {
    let kind = Kind::Organization;
    Resource { kind, index }
}

fn member(index: usize) -> Resource {
    let kind = Kind::Member;
    Resource { kind, index }
}

fn project(index: usize) -> Resource {
    let kind = Kind::Project;
    Resource { kind, index }
}

fn to_role(role: Role) -> Context {
    Context { role: Some(role), ..Context::at(NEW_YEAR) }
}

fn window(from: i64, to: i64) -> Context {
    Context { window: Some((from, to)), ..Context::at(NEW_YEAR) }
}

#[test]
fn admin_has_full_access_to_a_single_organization() {
    let mut s = Scene::new();
    let admin = s.member(Role::Admin);
    for action in [Action::ManageSettings, Action::ManageIntegrations, Action::AccessPsa] {
        assert!(s.can(admin, action, organization(s.msp)));
        assert!(!s.can(admin, action, organization(s.client)));
    }
    assert!(!s.can(admin, Action::CreateClientOrganization, organization(s.msp)));
}

#[test]
fn compliance_admin_has_compliance_and_nothing_else() {
    let mut s = Scene::new();
    let it = s.member(Role::ComplianceAdmin);
    let control = s.item(Kind::Control, None);
    let report = s.item(Kind::Report, None);
    assert!(s.can(it, Action::ManageControl, control));
    assert!(s.can(it, Action::GenerateReport, report));
    assert!(!s.can(it, Action::BeAssigned, control));
    assert!(!s.can(it, Action::ManageSettings, organization(s.msp)));
    assert!(!s.can(it, Action::AccessPsa, organization(s.msp)));
}

#[test]
fn approvers_approve_whatever_their_specialization() {
    let mut s = Scene::new();
    let control = s.item(Kind::Control, None);
    let evidence = s.item(Kind::Evidence, None);
    for role in [Role::ComplianceOfficer, Role::PrivacyOfficer, Role::SecurityOfficer] {
        let it = s.member(role);
        assert!(s.can(it, Action::Approve, control));
        assert!(s.can(it, Action::UpdateControlStatus, control));
        assert!(s.can(it, Action::UploadEvidence, evidence));
        assert!(!s.can(it, Action::ManageControl, control));
        assert!(!s.can(it, Action::DraftEvidence, evidence));
    }
}

#[test]
fn analyst_does_compliance_work_but_cannot_approve() {
    let mut s = Scene::new();
    let it = s.member(Role::Employee);
    let document = s.item(Kind::PolicyDocument, None);
    let assessment = s.item(Kind::Assessment, None);
    let evidence = s.item(Kind::Evidence, None);
    assert!(s.can(it, Action::AcknowledgePolicy, document));
    assert!(s.can(it, Action::RunAssessment, assessment));
    assert!(s.can(it, Action::DraftEvidence, evidence));
    assert!(!s.can(it, Action::Approve, document));
    assert!(!s.can(it, Action::Review, assessment));
    assert!(!s.can(it, Action::UploadEvidence, evidence));
}

#[test]
fn read_only_views_and_cannot_write() {
    let mut s = Scene::new();
    let it = s.member(Role::ReadOnly);
    s.world.members[it].contributor = true;
    s.world.members[it].projects = vec![s.project];
    let ticket = s.item(Kind::Ticket, None);
    let control = s.item(Kind::Control, Some(s.project));
    assert!(s.can(it, Action::ViewPsa, ticket));
    assert!(s.can(it, Action::ViewCompliance, control));
    assert!(s.can(it, Action::ViewProject, project(s.project)));
    assert!(!s.can(it, Action::Collaborate, project(s.project)));
    assert!(!s.can(it, Action::RunGapAnalysis, project(s.project)));
    assert!(!s.can(it, Action::SpendCredits, organization(s.msp)));
    assert!(!s.can(it, Action::ManageTicket, ticket));
    assert!(!s.can(it, Action::ViewSettings, organization(s.msp)));
}

#[test]
fn msp_admin_oversees_clients_one_level_down() {
    let mut s = Scene::new();
    let it = s.member(Role::MspAdmin);
    let control = s.of_client(Kind::Control);
    let ticket = s.of_client(Kind::Ticket);
    assert!(s.can(it, Action::CreateClientOrganization, organization(s.msp)));
    assert!(!s.can(it, Action::CreateClientOrganization, organization(s.client)));
    assert!(s.can(it, Action::ViewOrganization, organization(s.client)));
    assert!(s.can(it, Action::ViewCompliance, control));
    assert!(s.can(it, Action::ViewPsa, ticket));
    assert!(!s.can(it, Action::ManageTicket, ticket));
    assert!(s.can(it, Action::AccessPsa, organization(s.msp)));
    assert!(!s.can(it, Action::AccessPsa, organization(s.client)));
    let alone = s.world.add_organization(None);
    assert!(!s.can(it, Action::ViewOrganization, organization(alone)));
}

#[test]
fn msp_reach_does_not_go_upwards() {
    let mut s = Scene::new();
    let it = s.world.add_member(s.client, Role::MspAdmin);
    let technician = s.world.add_member(s.client, Role::MspTechnician);
    s.world.members[technician].clients = vec![s.msp];
    assert!(!s.can(it, Action::ViewOrganization, organization(s.msp)));
    assert!(!s.can(technician, Action::AccessPsa, organization(s.msp)));
}

#[test]
fn msp_admin_does_not_reach_a_clients_project() {
    let mut s = Scene::new();
    let it = s.member(Role::MspAdmin);
    let theirs = s.world.add_project(s.client);
    let control = s.of_client(Kind::Control);
    s.world.items[control.index].project = Some(theirs);
    assert!(!s.can(it, Action::ViewCompliance, control));
    assert!(!s.can(it, Action::ViewProject, project(theirs)));
}

#[test]
fn msp_admin_assigns_its_own_technicians_to_its_own_clients() {
    let mut s = Scene::new();
    let it = s.member(Role::MspAdmin);
    let own = s.member(Role::MspTechnician);
    let viewer = s.member(Role::Viewer);
    let foreign = s.world.add_member(s.client, Role::MspTechnician);
    let with = |technician| Context { technician: Some(technician), ..Context::at(NEW_YEAR) };
    let client = organization(s.client);
    assert!(s.can_with(it, Action::AssignTechnician, client, with(own)));
    assert!(!s.can_with(it, Action::AssignTechnician, client, with(viewer)));
    assert!(!s.can_with(it, Action::AssignTechnician, client, with(foreign)));
    assert!(s.can_with(it, Action::UnassignTechnician, client, with(viewer)));
    assert!(!s.can_with(it, Action::UnassignTechnician, client, with(foreign)));
    let msp = organization(s.msp);
    assert!(!s.can_with(it, Action::AssignTechnician, msp, with(own)));
}

#[test]
fn technician_works_in_psa_of_its_own_and_of_assigned_clients() {
    let mut s = Scene::new();
    let it = s.member(Role::MspTechnician);
    let own = s.item(Kind::Ticket, None);
    let walled = s.item(Kind::Ticket, Some(s.project));
    let theirs = s.of_client(Kind::Ticket);
    assert!(s.can(it, Action::ManageTicket, own));
    assert!(!s.can(it, Action::ManageTicket, walled));
    assert!(!s.can(it, Action::ManageTicket, theirs));
    let alone = s.world.add_organization(None);
    s.world.members[it].clients = vec![s.client, alone];
    assert!(s.can(it, Action::ManageTicket, theirs));
    assert!(s.can(it, Action::AccessPsa, organization(s.client)));
    assert!(!s.can(it, Action::AccessPsa, organization(alone)));
    assert!(!s.can(it, Action::ViewOrganization, organization(s.client)));
    let control = s.item(Kind::Control, None);
    assert!(!s.can(it, Action::ViewCompliance, control));
}

#[test]
fn compliance_team_sees_and_is_assigned_and_writes_nothing() {
    let mut s = Scene::new();
    let it = s.member(Role::MspTechnician);
    s.world.members[it].compliance_team = true;
    s.world.members[it].clients = vec![s.client];
    let control = s.item(Kind::Control, None);
    let walled = s.item(Kind::Control, Some(s.project));
    let theirs = s.of_client(Kind::Control);
    for action in [Action::ViewCompliance, Action::BeAssigned] {
        assert!(s.can(it, action, control));
        assert!(!s.can(it, action, walled));
        assert!(!s.can(it, action, theirs));
    }
    assert!(s.can(it, Action::ReceiveNotification, organization(s.msp)));
    assert!(!s.can(it, Action::UpdateControlStatus, control));
    let owner = s.member(Role::Owner);
    assert!(!s.can(owner, Action::ReceiveNotification, organization(s.msp)));
}

#[test]
fn deactivated_members_lose_access_at_once() {
    let mut s = Scene::new();
    let it = s.member(Role::Owner);
    assert!(s.can(it, Action::ViewOrganization, organization(s.msp)));
    s.world.members[it].active = false;
    assert!(!s.can(it, Action::ViewOrganization, organization(s.msp)));
}

#[test]
fn only_an_owner_grants_the_owner_role() {
    let mut s = Scene::new();
    let owner = s.member(Role::Owner);
    let admin = s.member(Role::Admin);
    let viewer = s.member(Role::Viewer);
    let second = s.member(Role::Owner);
    let msp = organization(s.msp);
    assert!(s.can_with(owner, Action::InviteMember, msp, to_role(Role::Owner)));
    assert!(!s.can_with(admin, Action::InviteMember, msp, to_role(Role::Owner)));
    assert!(s.can_with(admin, Action::InviteMember, msp, to_role(Role::Admin)));
    let change = Action::ChangeRole;
    assert!(!s.can_with(admin, change, member(viewer), to_role(Role::Owner)));
    assert!(s.can_with(admin, change, member(viewer), to_role(Role::Member)));
    assert!(!s.can_with(admin, change, member(owner), to_role(Role::Member)));
    assert!(s.can_with(owner, change, member(second), to_role(Role::Member)));
    assert!(!s.can_with(owner, change, member(owner), to_role(Role::Member)));
    assert!(!s.can_with(admin, change, member(admin), to_role(Role::Viewer)));
}

#[test]
fn admin_does_not_touch_an_owners_access() {
    let mut s = Scene::new();
    let owner = s.member(Role::Owner);
    let admin = s.member(Role::Admin);
    for action in [Action::DeactivateMember, Action::ReactivateMember, Action::RemoveMember, Action::ResetMfa] {
        assert!(!s.can(admin, action, member(owner)));
        assert!(s.can(owner, action, member(admin)));
    }
    for action in [Action::AssignContributorSeat, Action::SetComplianceTeam, Action::ClearMfaLockout] {
        assert!(s.can(admin, action, member(owner)));
    }
}

#[test]
fn nobody_handles_their_own_mfa() {
    let mut s = Scene::new();
    let owner = s.member(Role::Owner);
    assert!(!s.can(owner, Action::ClearMfaLockout, member(owner)));
    assert!(!s.can(owner, Action::ResetMfa, member(owner)));
}

#[test]
fn owner_invitations_are_handled_by_owners() {
    let mut s = Scene::new();
    let owner = s.member(Role::Owner);
    let admin = s.member(Role::Admin);
    let to_owner = s.world.add_invitation(s.msp, InvitedTo::Role(Role::Owner));
    let to_project = s.world.add_invitation(s.msp, InvitedTo::Project(s.project));
    let kind = Kind::Invitation;
    for action in [Action::ResendInvitation, Action::CancelInvitation] {
        let index = to_owner;
        assert!(s.can(owner, action, Resource { kind, index }));
        assert!(!s.can(admin, action, Resource { kind, index }));
        let index = to_project;
        assert!(s.can(admin, action, Resource { kind, index }));
    }
}

#[test]
fn owners_and_admins_have_every_project_and_others_are_added() {
    let mut s = Scene::new();
    let here = project(s.project);
    let control = s.item(Kind::Control, Some(s.project));
    for role in Role::ALL {
        let it = s.member(role);
        let team = matches!(role, Role::Owner | Role::Admin);
        assert_eq!(s.can(it, Action::ViewProject, here), team);
        assert_eq!(s.can(it, Action::ViewCompliance, control), team);
        s.world.members[it].projects = vec![s.project];
        assert!(s.can(it, Action::ViewProject, here));
        let reads_only = matches!(role, Role::Viewer | Role::ReadOnly);
        assert_eq!(s.can(it, Action::Collaborate, here), !reads_only);
        assert_eq!(s.can(it, Action::ManageProjectTeam, here), team);
    }
}

#[test]
fn contributors_run_gap_analyses_and_spend_credits() {
    let mut s = Scene::new();
    let here = project(s.project);
    let owner = s.member(Role::Owner);
    assert!(!s.can(owner, Action::RunGapAnalysis, here));
    assert!(!s.can(owner, Action::SpendCredits, organization(s.msp)));
    let viewer = s.member(Role::Viewer);
    s.world.members[viewer].contributor = true;
    assert!(s.can(viewer, Action::SpendCredits, organization(s.msp)));
    assert!(!s.can(viewer, Action::SpendCredits, organization(s.client)));
    assert!(!s.can(viewer, Action::RunGapAnalysis, here));
    s.world.members[viewer].projects = vec![s.project];
    assert!(s.can(viewer, Action::RunGapAnalysis, here));
    assert!(s.can(viewer, Action::SpendCredits, here));
}

#[test]
fn guests_see_only_their_project() {
    let mut s = Scene::new();
    let other = s.world.add_project(s.msp);
    let it = s.world.add_guest(s.project, true);
    let inside = s.item(Kind::Evidence, Some(s.project));
    let elsewhere = s.item(Kind::Evidence, Some(other));
    let general = s.item(Kind::Evidence, None);
    for action in [Action::ViewCompliance, Action::UploadEvidence] {
        assert!(s.guest_can(it, action, inside));
        assert!(!s.guest_can(it, action, elsewhere));
        assert!(!s.guest_can(it, action, general));
    }
    assert!(s.guest_can(it, Action::Collaborate, project(s.project)));
    assert!(!s.guest_can(it, Action::ViewProject, project(other)));
    assert!(!s.guest_can(it, Action::DraftEvidence, inside));
    s.world.guests[it].active = false;
    assert!(!s.guest_can(it, Action::ViewProject, project(s.project)));
}

#[test]
fn auditor_tokens_expire_and_are_revoked() {
    let mut s = Scene::new();
    let here = organization(s.msp);
    let active = s.world.add_auditor(s.msp, AuditorStatus::Active, NEW_YEAR, None);
    let at = Context::at;
    let open = Action::OpenPortal;
    assert!(s.auditor_can(active, open, here, at(NEW_YEAR - 1)));
    assert!(!s.auditor_can(active, open, here, at(NEW_YEAR)));
    assert!(!s.auditor_can(active, open, organization(s.client), at(0)));
    for status in [AuditorStatus::Pending, AuditorStatus::Revoked] {
        let it = s.world.add_auditor(s.msp, status, NEW_YEAR, None);
        assert!(!s.auditor_can(it, open, here, at(0)));
    }
}

#[test]
fn auditors_see_controls_and_policies_in_scope_for_the_period() {
    let mut s = Scene::new();
    let (from, to) = (NEW_YEAR, NEW_YEAR + 90 * DAY);
    let later = to + DAY;
    let scoped = s.world.add_auditor(s.msp, AuditorStatus::Active, later, Some((from, to)));
    let unscoped = s.world.add_auditor(s.msp, AuditorStatus::Active, later, None);
    let see = Action::ViewCompliance;
    for (active_from, active_until, expected) in [
        (from - 2, Some(from), false),
        (from - 2, Some(from + 1), true),
        (to, None, true),
        (to + 1, None, false),
        (from - 2, None, true),
        (from + 1, Some(to - 1), true),
    ] {
        let control = s.item(Kind::Control, None);
        s.world.items[control.index].active_from = active_from;
        s.world.items[control.index].active_until = active_until;
        let now = || Context::at(NEW_YEAR);
        assert_eq!(s.auditor_can(scoped, see, control, now()), expected);
        assert!(s.auditor_can(unscoped, see, control, now()));
    }
    for kind in [Kind::Evidence, Kind::Report, Kind::Framework] {
        let other = s.item(kind, None);
        assert!(!s.auditor_can(unscoped, see, other, Context::at(NEW_YEAR)));
    }
    let walled = s.item(Kind::Control, Some(s.project));
    assert!(!s.auditor_can(unscoped, see, walled, Context::at(NEW_YEAR)));
}

#[test]
fn auditors_act_on_their_own_requests_only() {
    let mut s = Scene::new();
    let [mine, other] = [0, 1].map(|_| s.world.add_auditor(s.msp, AuditorStatus::Active, NEW_YEAR + 1, None));
    let index = s.world.add_audit_request(s.msp, mine);
    let elsewhere = s.world.add_audit_request(s.client, mine);
    let kind = Kind::AuditRequest;
    let now = || Context::at(NEW_YEAR);
    for action in [Action::ViewAuditRequest, Action::ApproveAuditRequest, Action::FlagAuditRequest] {
        assert!(s.auditor_can(mine, action, Resource { kind, index }, now()));
        assert!(!s.auditor_can(other, action, Resource { kind, index }, now()));
        let foreign = Resource { kind, index: elsewhere };
        assert!(!s.auditor_can(mine, action, foreign, now()));
    }
    let see = Action::ViewCompliance;
    assert!(!s.auditor_can(mine, see, Resource { kind, index }, now()));
}

#[test]
fn downloads_stay_inside_the_audit_period() {
    let mut s = Scene::new();
    let (from, to) = (NEW_YEAR, NEW_YEAR + 90 * DAY);
    let here = organization(s.msp);
    let active = AuditorStatus::Active;
    let scoped = s.world.add_auditor(s.msp, active, to, Some((from, to)));
    let unscoped = s.world.add_auditor(s.msp, active, to, None);
    for (asked, expected) in [
        ((from, to), true),
        ((from, from), true),
        ((to, to), true),
        ((from - 1, to), false),
        ((from, to + 1), false),
        ((to, from), false),
    ] {
        let get = Action::DownloadAuditPackage;
        let context = || window(asked.0, asked.1);
        assert_eq!(s.auditor_can(scoped, get, here, context()), expected);
        let ordered = asked.0 <= asked.1;
        assert_eq!(s.auditor_can(unscoped, get, here, context()), ordered);
    }
    for (section, expected) in [("controls", true), ("requests", true), ("members", false)] {
        let context = Context { section: Some(section.to_owned()), ..window(from, to) };
        let export = Action::ExportSection;
        assert_eq!(s.auditor_can(scoped, export, here, context), expected);
    }
}

#[test]
fn what_does_not_fit_the_schema_is_denied() {
    let mut s = Scene::new();
    let owner = s.member(Role::Owner);
    let ticket = s.item(Kind::Ticket, None);
    for (action, resource) in [
        (Action::OpenPortal, organization(s.msp)),
        (Action::ViewCompliance, ticket),
        (Action::InviteMember, organization(s.msp)),
    ] {
        let ask = Ask { principal: Principal::Member(owner), action, resource, context: Context::at(NEW_YEAR) };
        assert!(!fits_schema(&ask));
        assert!(!allowed(&s.world, &ask));
    }
}
