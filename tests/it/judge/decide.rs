//! The decision, from the text of the model: sections 2 to 6.

use super::ask::{fits_schema, Action, Ask, Context, Group, Principal, Verb};
use super::world::{Auditor, AuditorStatus, Guest, InvitedTo, Item, Kind, Member, Role, World};

/// Whether the model allows it. What does not fit the schema is denied, and a
/// window is decided as given: the clamp is not part of this.
pub fn allowed(world: &World, ask: &Ask) -> bool {
    if !fits_schema(ask) {
        return false;
    }
    match ask.principal {
        Principal::Member(i) => member(world, i, ask),
        Principal::Guest(i) => guest(world, &world.guests[i], ask),
        Principal::Auditor(i) => auditor(world, i, ask),
    }
}

// ---- Members: the walls (section 4), then the grants (sections 2, 3, 5) ----

fn member(world: &World, index: usize, ask: &Ask) -> bool {
    let me = &world.members[index];
    let (action, resource) = (ask.action, ask.resource);

    // Deactivated: permitted nothing.
    if !me.active {
        return false;
    }
    // READ_ONLY: no action in group `write`, whatever else it holds.
    if me.role == Role::ReadOnly && action.verb() == Verb::Write {
        return false;
    }
    // Project: out of reach for all but OWNER, ADMIN and those in it. OWNER
    // and ADMIN of another organization are stopped by the tenant wall.
    if let Some(project) = resource.project(world) {
        if !is_team_role(me) && !me.projects.contains(&project) {
            return false;
        }
    }
    // Tenant: its own organization, or what MSP reach leaves open.
    let organization = resource.organization(world);
    if organization != me.organization {
        return client_of_mine(world, me, organization) && msp_reach(world, me, organization, ask);
    }

    match action.group() {
        Group::Organization => organization_action(me, action),
        Group::Team => team_action(world, index, ask),
        Group::Compliance => compliance_action(me, action),
        Group::Psa => psa_action(me, action),
        // On its own organization only; assigning is about clients.
        Group::Msp => action == Action::CreateClientOrganization && me.role == Role::MspAdmin,
        Group::Project => project_action(me, action),
        Group::Auditor => false,
    }
}

/// OWNER and ADMIN (section 2).
fn is_team_role(me: &Member) -> bool {
    matches!(me.role, Role::Owner | Role::Admin)
}

/// One level: the client's parent is the principal's organization (section 4).
fn client_of_mine(world: &World, me: &Member, organization: usize) -> bool {
    world.organizations[organization].parent == Some(me.organization)
}

/// What a member may do in a client of its own organization (sections 3, 4).
fn msp_reach(world: &World, me: &Member, client: usize, ask: &Ask) -> bool {
    match me.role {
        Role::MspAdmin => match ask.action {
            Action::ViewOrganization | Action::ViewCompliance | Action::ViewPsa => true,
            Action::AssignTechnician => {
                technician_of_mine(world, me, &ask.context, |it| it.role == Role::MspTechnician)
            }
            Action::UnassignTechnician => technician_of_mine(world, me, &ask.context, |_| true),
            _ => false,
        },
        // D-3: the assignment counts for clients of its own MSP only, which
        // the caller has seen to.
        Role::MspTechnician => ask.action.group() == Group::Psa && me.clients.contains(&client),
        // T: ADMIN has a single organization, and so has everyone else.
        _ => false,
    }
}

fn technician_of_mine(world: &World, me: &Member, context: &Context, suits: impl Fn(&Member) -> bool) -> bool {
    context.technician.is_some_and(|technician| {
        let technician = &world.members[technician];
        technician.organization == me.organization && suits(technician)
    })
}

/// Group `organization`, in the own organization.
fn organization_action(me: &Member, action: Action) -> bool {
    match action {
        Action::ViewOrganization => true,
        _ => is_team_role(me),
    }
}

/// Group `team`, in the own organization: team roles, and what makes, unmakes
/// or touches an OWNER only by an OWNER (D-1).
fn team_action(world: &World, index: usize, ask: &Ask) -> bool {
    let me = &world.members[index];
    if !is_team_role(me) {
        return false;
    }
    let owner = me.role == Role::Owner;
    let resource = ask.resource;
    let myself = resource.kind == Kind::Member && resource.index == index;
    let on_owner = resource.kind == Kind::Member && world.members[resource.index].role == Role::Owner;
    let to_owner = ask.context.role == Some(Role::Owner);
    match ask.action {
        Action::InviteMember => owner || !to_owner,
        Action::ResendInvitation | Action::CancelInvitation => {
            let invites_owner = matches!(world.invitations[resource.index].to, InvitedTo::Role(Role::Owner));
            owner || !invites_owner
        }
        // D-10: never one's own.
        Action::ChangeRole => !myself && (owner || !(to_owner || on_owner)),
        Action::ResetMfa => !myself && (owner || !on_owner),
        Action::ClearMfaLockout => !myself,
        Action::DeactivateMember | Action::ReactivateMember | Action::RemoveMember => owner || !on_owner,
        // An OWNER's seat and compliance-team flag an ADMIN may handle.
        Action::SetComplianceTeam | Action::AssignContributorSeat | Action::UnassignContributorSeat => true,
        Action::ViewTeam
        | Action::ViewInvitationLog
        | Action::InviteAuditor
        | Action::ResendAuditorInvitation
        | Action::RevokeAuditor => true,
        _ => false,
    }
}

/// Group `compliance`, in the own organization.
fn compliance_action(me: &Member, action: Action) -> bool {
    // Section 5: the flag, whatever the role, and nothing but the flag.
    if matches!(action, Action::BeAssigned | Action::ReceiveNotification) {
        return me.compliance_team;
    }
    if action == Action::ViewCompliance && me.compliance_team {
        return true;
    }
    match me.role {
        Role::Owner | Role::Admin | Role::ComplianceAdmin => true,
        Role::ComplianceOfficer | Role::PrivacyOfficer | Role::SecurityOfficer => matches!(
            action,
            Action::ViewCompliance
                | Action::Review
                | Action::Approve
                | Action::UpdateControlStatus
                | Action::UploadEvidence
        ),
        Role::Employee => matches!(
            action,
            Action::ViewCompliance | Action::AcknowledgePolicy | Action::DraftEvidence | Action::RunAssessment
        ),
        Role::Member => matches!(
            action,
            Action::ViewCompliance
                | Action::UploadEvidence
                | Action::AcknowledgePolicy
                | Action::DraftEvidence
                | Action::RunAssessment
        ),
        Role::ReadOnly | Role::Viewer | Role::MspAdmin => action == Action::ViewCompliance,
        Role::MspTechnician => false,
    }
}

/// Group `psa`, in the own organization.
fn psa_action(me: &Member, action: Action) -> bool {
    match me.role {
        Role::Owner | Role::Admin | Role::MspTechnician => true,
        Role::ReadOnly | Role::MspAdmin => {
            matches!(action, Action::AccessPsa | Action::ViewPsa)
        }
        _ => false,
    }
}

/// Group `project`, in the own organization; for a project the wall has seen
/// to it that the member has access.
fn project_action(me: &Member, action: Action) -> bool {
    match action {
        Action::ViewProject => true,
        // D-11; READ_ONLY is stopped by its wall as well.
        Action::Collaborate => !matches!(me.role, Role::Viewer | Role::ReadOnly),
        // M: seats are independent of the role (D-2, D-7).
        Action::RunGapAnalysis | Action::SpendCredits => me.contributor,
        Action::CreateProject | Action::ManageProjectTeam | Action::InviteGuest => is_team_role(me),
        _ => false,
    }
}

// ---- Guests (section 5) ----

fn guest(world: &World, me: &Guest, ask: &Ask) -> bool {
    // It sees its project and what is in it, and nothing else.
    me.active
        && ask.resource.organization(world) == me.organization
        && ask.resource.project(world) == Some(me.project)
        && matches!(
            ask.action,
            Action::ViewProject | Action::Collaborate | Action::ViewCompliance | Action::UploadEvidence
        )
}

// ---- External auditors (sections 4 and 6) ----

fn auditor(world: &World, index: usize, ask: &Ask) -> bool {
    let me = &world.auditors[index];
    // The auditor wall: active, not expired, no write, no project's content.
    if me.status != AuditorStatus::Active || ask.context.now >= me.expires_at {
        return false;
    }
    if ask.action.verb() == Verb::Write || ask.resource.project(world).is_some() {
        return false;
    }
    // The tenant wall, without exceptions.
    if ask.resource.organization(world) != me.organization {
        return false;
    }
    match ask.action {
        Action::OpenPortal => true,
        Action::ViewAuditRequest | Action::ApproveAuditRequest | Action::FlagAuditRequest => {
            world.items[ask.resource.index].auditor == Some(index)
        }
        Action::ViewCompliance => {
            matches!(ask.resource.kind, Kind::Control | Kind::PolicyDocument)
                && in_scope(me, &world.items[ask.resource.index])
        }
        Action::DownloadAuditPackage => window_permitted(me, &ask.context),
        Action::ExportSection => {
            window_permitted(me, &ask.context)
                && matches!(ask.context.section.as_deref(), Some("controls" | "policies" | "requests"))
        }
        _ => false,
    }
}

/// Whether [activeFrom, activeUntil) overlaps the period, both ends of which
/// are included; without a period, everything that is ever active.
fn in_scope(me: &Auditor, item: &Item) -> bool {
    if item.active_until.is_some_and(|until| until <= item.active_from) {
        return false;
    }
    match me.period {
        None => true,
        Some((from, to)) => from <= to && item.active_from <= to && item.active_until.is_none_or(|until| until > from),
    }
}

/// Whether the window lies inside the period. Reversed, it never does.
fn window_permitted(me: &Auditor, context: &Context) -> bool {
    let Some((from, to)) = context.window else {
        return false;
    };
    from <= to && me.period.is_none_or(|(period_from, period_to)| period_from <= from && to <= period_to)
}
