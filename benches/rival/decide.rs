//! The rules. At most three look-ups for a decision: the principal, the resource, and where it matters the MSP of the
//! resource's organization or the technician.

use super::request::{Action, Content, Context, Ids, Kind, Principal, Request, Role, Table};
use super::store::{Auditor, Detail, Guest, Item, Member, Store};

/// Whether the request is allowed. What is unknown, or does not belong together, is denied.
pub fn allows<I: Ids>(store: &Store<I>, request: &Request<I::Id>) -> bool {
    let outcome = match &request.principal {
        Principal::Member(id) => store.members.get(id).and_then(|member| member_may(store, id, member, request)),
        Principal::Guest(id) => store.guests.get(id).and_then(|guest| guest_may(store, guest, request)),
        Principal::Auditor(id) => store.auditors.get(id).and_then(|auditor| auditor_may(store, id, auditor, request)),
    };
    outcome == Some(true)
}

/// None where something is unknown, as is a context without what the action needs.
type Answer = Option<bool>;

fn member_may<I: Ids>(store: &Store<I>, id: &I::Id, member: &Member<I::Id>, request: &Request<I::Id>) -> Answer {
    if !member.active {
        return Some(false);
    }
    let Request { action, resource, context, .. } = request;
    match request.kind {
        Kind::Organization => on_organization(store, member, *action, resource, context),
        Kind::Member => on_member(store, id, member, *action, resource, context),
        Kind::Project => on_project(store, member, *action, resource),
        Kind::Content(kind) => on_content(store, member, *action, kind, store.item(kind, resource)?),
        Kind::Invitation => {
            let invitation = store.invitations.get(resource)?;
            let may = matches!(action, Action::ResendInvitation | Action::CancelInvitation)
                && invitation.organization == member.organization
                && manages(member)
                && (invitation.role != Some(Role::Owner) || member.role == Role::Owner);
            Some(may)
        }
        Kind::Auditor => {
            let may = matches!(action, Action::ResendAuditorInvitation | Action::RevokeAuditor)
                && store.auditors.get(resource)?.organization == member.organization
                && manages(member);
            Some(may)
        }
        Kind::Guest => Some(false),
    }
}

/// Owners and Admins have the run of their organization, its projects included.
fn manages<Id>(member: &Member<Id>) -> bool {
    matches!(member.role, Role::Owner | Role::Admin)
}

fn on_organization<I: Ids>(
    store: &Store<I>,
    member: &Member<I::Id>,
    action: Action,
    id: &I::Id,
    context: &Context<I::Id>,
) -> Answer {
    let organization = store.organizations.get(id)?;
    let own = *id == member.organization;
    let client = organization.msp.as_ref() == Some(&member.organization);
    let role = member.role;
    let may = match action {
        Action::ViewOrganization => own || (client && role == Role::MspAdmin),
        Action::AccessPsa if own => {
            manages(member) || matches!(role, Role::ReadOnly | Role::MspAdmin | Role::MspTechnician)
        }
        Action::AccessPsa => client && role == Role::MspTechnician && member.clients.contains(id),
        Action::AssignTechnician | Action::UnassignTechnician => {
            let technician = context.technician.as_ref()?;
            client && role == Role::MspAdmin && {
                let technician = store.members.get(technician)?;
                technician.organization == member.organization
                    && (action == Action::UnassignTechnician || technician.role == Role::MspTechnician)
            }
        }
        _ if !own => false,
        Action::ViewSettings
        | Action::ViewBilling
        | Action::ManageSettings
        | Action::ManageIntegrations
        | Action::ManageBilling
        | Action::ViewTeam
        | Action::ViewInvitationLog
        | Action::InviteAuditor
        | Action::CreateProject => manages(member),
        Action::InviteMember => {
            let given = context.role?;
            manages(member) && (given != Role::Owner || role == Role::Owner)
        }
        Action::ReceiveNotification => member.compliance_team,
        Action::CreateClientOrganization => role == Role::MspAdmin,
        Action::SpendCredits => member.contributor && role != Role::ReadOnly,
        _ => false,
    };
    Some(may)
}

fn on_member<I: Ids>(
    store: &Store<I>,
    id: &I::Id,
    member: &Member<I::Id>,
    action: Action,
    other_id: &I::Id,
    context: &Context<I::Id>,
) -> Answer {
    let other = store.members.get(other_id)?;
    if other.organization != member.organization || !manages(member) {
        return Some(false);
    }
    // Nothing that makes or unmakes an Owner, or touches one's access, but by an Owner.
    let owner = member.role == Role::Owner;
    let may_touch = owner || other.role != Role::Owner;
    let oneself = id == other_id;
    let may = match action {
        Action::ChangeRole => {
            let given = context.role?;
            may_touch && (owner || given != Role::Owner) && !oneself
        }
        Action::DeactivateMember | Action::ReactivateMember | Action::RemoveMember => may_touch,
        Action::SetComplianceTeam | Action::AssignContributorSeat | Action::UnassignContributorSeat => true,
        Action::ClearMfaLockout => !oneself,
        Action::ResetMfa => may_touch && !oneself,
        _ => false,
    };
    Some(may)
}

fn on_project<I: Ids>(store: &Store<I>, member: &Member<I::Id>, action: Action, id: &I::Id) -> Answer {
    let project = store.projects.get(id)?;
    if project.organization != member.organization || !(manages(member) || member.projects.contains(id)) {
        return Some(false);
    }
    let may = match action {
        Action::ViewProject => true,
        Action::Collaborate => !matches!(member.role, Role::Viewer | Role::ReadOnly),
        Action::ManageProjectTeam | Action::InviteGuest => manages(member),
        Action::RunGapAnalysis | Action::SpendCredits => member.contributor && member.role != Role::ReadOnly,
        _ => false,
    };
    Some(may)
}

fn on_content<I: Ids>(
    store: &Store<I>,
    member: &Member<I::Id>,
    action: Action,
    kind: Content,
    item: &Item<I::Id>,
) -> Answer {
    use Content::{
        Assessment, Asset, AuditRequest, Control, Evidence, Framework, KnowledgeArticle, PolicyDocument, Report,
        Ticket, TimeEntry,
    };
    use Role::{Admin, ComplianceAdmin, Employee, MspAdmin, MspTechnician, Owner, ReadOnly};

    if !matches!(
        (action, kind),
        (Action::ViewCompliance, Framework | Control | PolicyDocument | Assessment | Evidence | Report | AuditRequest)
            | (Action::AdoptFramework, Framework)
            | (Action::ManageControl | Action::UpdateControlStatus, Control)
            | (Action::ManagePolicyDocument | Action::AcknowledgePolicy, PolicyDocument)
            | (Action::GenerateReport, Report)
            | (Action::ManageAuditRequest, AuditRequest)
            | (Action::Review | Action::Approve, PolicyDocument | Control | Assessment)
            | (Action::UploadEvidence | Action::DraftEvidence, Evidence)
            | (Action::RunAssessment, Assessment)
            | (Action::BeAssigned, Control | Assessment)
            | (Action::ViewPsa, Ticket | TimeEntry | Asset | KnowledgeArticle)
            | (Action::ManageTicket, Ticket)
            | (Action::TrackTime, TimeEntry)
            | (Action::ManageAsset, Asset)
            | (Action::ManageKnowledgeBase, KnowledgeArticle)
    ) {
        return Some(false);
    }

    let role = member.role;
    if item.organization != member.organization {
        // A project belongs to the item's organization, and nobody from another is on it.
        if item.project.is_some() {
            return Some(false);
        }
        let reaches = match action {
            Action::ViewCompliance => role == MspAdmin,
            Action::ViewPsa => role == MspAdmin || assigned(member, item),
            Action::ManageTicket | Action::TrackTime | Action::ManageAsset | Action::ManageKnowledgeBase => {
                assigned(member, item)
            }
            _ => false,
        };
        return Some(
            reaches && store.organizations.get(&item.organization)?.msp.as_ref() == Some(&member.organization),
        );
    }

    if !item.project.as_ref().is_none_or(|project| manages(member) || member.projects.contains(project)) {
        return Some(false);
    }
    let runs = matches!(role, Owner | Admin | ComplianceAdmin);
    let approver = matches!(role, Role::ComplianceOfficer | Role::PrivacyOfficer | Role::SecurityOfficer);
    let may = match action {
        Action::ViewCompliance => role != MspTechnician || member.compliance_team,
        Action::BeAssigned => member.compliance_team,
        Action::Review | Action::Approve | Action::UpdateControlStatus => runs || approver,
        Action::UploadEvidence => runs || approver || role == Role::Member,
        Action::AcknowledgePolicy | Action::DraftEvidence | Action::RunAssessment => {
            runs || matches!(role, Employee | Role::Member)
        }
        Action::ViewPsa => manages(member) || matches!(role, ReadOnly | MspAdmin | MspTechnician),
        Action::ManageTicket | Action::TrackTime | Action::ManageAsset | Action::ManageKnowledgeBase => {
            manages(member) || role == MspTechnician
        }
        // What is left is administration of compliance content.
        _ => runs,
    };
    Some(may)
}

/// Whether the member is a technician assigned to the item's organization.
fn assigned<Id: PartialEq>(member: &Member<Id>, item: &Item<Id>) -> bool {
    member.role == Role::MspTechnician && member.clients.contains(&item.organization)
}

fn guest_may<I: Ids>(store: &Store<I>, guest: &Guest<I::Id>, request: &Request<I::Id>) -> Answer {
    if !guest.active {
        return Some(false);
    }
    let id = &request.resource;
    let may = match (request.action, request.kind) {
        (Action::ViewProject | Action::Collaborate, Kind::Project) => {
            store.projects.get(id)?.organization == guest.organization && *id == guest.project
        }
        (Action::UploadEvidence, Kind::Content(kind @ Content::Evidence))
        | (
            Action::ViewCompliance,
            Kind::Content(
                kind @ (Content::Framework
                | Content::Control
                | Content::PolicyDocument
                | Content::Assessment
                | Content::Evidence
                | Content::Report),
            ),
        ) => {
            let item = store.item(kind, id)?;
            item.organization == guest.organization && item.project.as_ref() == Some(&guest.project)
        }
        _ => false,
    };
    Some(may)
}

fn auditor_may<I: Ids>(store: &Store<I>, id: &I::Id, auditor: &Auditor<I::Id>, request: &Request<I::Id>) -> Answer {
    let context = &request.context;
    if !auditor.active || context.now >= auditor.expires_at {
        return Some(false);
    }
    let resource = &request.resource;
    let may = match (request.action, request.kind) {
        (Action::OpenPortal | Action::DownloadAuditPackage | Action::ExportSection, Kind::Organization) => {
            store.organizations.get(resource)?;
            *resource == auditor.organization
                && match request.action {
                    Action::OpenPortal => true,
                    Action::DownloadAuditPackage => some_of_period(auditor, context.window?),
                    _ => {
                        matches!(context.section.as_deref()?, "controls" | "policies" | "requests")
                            && some_of_period(auditor, context.window?)
                    }
                }
        }
        (Action::ViewCompliance, Kind::Content(kind @ (Content::Control | Content::PolicyDocument))) => {
            let item = store.item(kind, resource)?;
            item.organization == auditor.organization && item.project.is_none() && in_scope(auditor, &item.detail)
        }
        (
            Action::ViewAuditRequest | Action::ApproveAuditRequest | Action::FlagAuditRequest,
            Kind::Content(kind @ Content::AuditRequest),
        ) => {
            let item = store.item(kind, resource)?;
            item.organization == auditor.organization && matches!(&item.detail, Detail::PutTo(to) if to == id)
        }
        _ => false,
    };
    Some(may)
}

/// Whether something of the window is left once it is cut down to the auditor's period.
fn some_of_period<Id>(auditor: &Auditor<Id>, (from, to): (i64, i64)) -> bool {
    let (first, last) = auditor.period.unwrap_or((from, to));
    from <= to && from.max(first) <= to.min(last)
}

/// Whether the content was in force at some time of the auditor's period, or at all where there is none.
fn in_scope<Id>(auditor: &Auditor<Id>, detail: &Detail<Id>) -> bool {
    let Detail::InForce(from, until) = *detail else {
        return false;
    };
    auditor.period.is_none_or(|(first, last)| from <= last && until.is_none_or(|until| first < until))
}
