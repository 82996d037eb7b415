//! The commands, one by one.

use serde_json::json;

use super::auditors::Invited;
use super::command::{Actor, Command, Done};
use super::error::{DirectoryError, Rule};
use super::secret::{Secret, Token};
use super::work::{refuse, Sending, Step, Work};
use crate::model::grc::{self, Action, Role};
use crate::model::EntityUid;
use crate::store::{
    Answer, Auditor, AuditorStatus, Email, Guest, Id, Invitation, InvitationState, Inviter, Kind, Member, Name,
    Organization, Plan, Project, Row, Target,
};

impl Work<'_> {
    pub(super) fn perform(&mut self, command: &Command) -> Step<Done> {
        match command {
            Command::CreateOrganization { name, plan, email, role } => {
                self.operator_only()?;
                self.create(None, name, *plan, email, *role, Inviter::Operator)
            }
            Command::CreateClientOrganization { msp, name, email, role } => {
                self.create_client(*msp, name, email, *role)
            }
            Command::SetPlan { organization, plan } => self.set_plan(*organization, *plan),
            Command::InviteMember { organization, email, role } => self.invite_member(*organization, email, *role),
            Command::InviteGuest { project, email } => self.invite_guest(*project, email),
            Command::ResendInvitation { invitation } => self.resend(*invitation),
            Command::CancelInvitation { invitation } => self.cancel(*invitation),
            Command::AcceptInvitation { link } => self.accept(link),
            Command::ChangeRole { member, role } => self.change_role(*member, *role),
            Command::DeactivateMember { member } => self.deactivate(*member),
            Command::ReactivateMember { member } => self.reactivate(*member),
            Command::RemoveMember { member } => self.remove_member(*member),
            Command::SetComplianceTeam { member, on } => {
                self.edit(*member, Action::SetComplianceTeam, |m| m.compliance_team = *on)
            }
            Command::AssignContributorSeat { member } => self.assign_seat(*member),
            Command::UnassignContributorSeat { member } => {
                self.edit(*member, Action::UnassignContributorSeat, |m| m.contributor = false)
            }
            Command::RecordMfaLockout { member } => {
                let now = self.now;
                self.note(*member, |m| m.mfa_locked_at = m.mfa_locked_at.or(Some(now)))
            }
            Command::ClearMfaLockout { member } => {
                self.edit(*member, Action::ClearMfaLockout, |m| m.mfa_locked_at = None)
            }
            Command::ResetMfa { member } => self.edit(*member, Action::ResetMfa, |m| m.mfa_reset = true),
            Command::RecordMfaSetup { member } => self.note(*member, |m| m.mfa_reset = false),
            Command::AssignTechnician { technician, client } => self.assign(*technician, *client),
            Command::UnassignTechnician { technician, client } => self.unassign(*technician, *client),
            Command::CreateProject { organization, name } => self.create_project(*organization, name),
            Command::AddToProject { project, member } => self.on_project(*project, *member, true),
            Command::RemoveFromProject { project, member } => self.on_project(*project, *member, false),
            Command::DeactivateGuest { guest } => self.set_guest(*guest, false),
            Command::ReactivateGuest { guest } => self.set_guest(*guest, true),
            Command::RemoveGuest { guest } => self.remove_guest(*guest),
            Command::InviteAuditor { organization, name, email, firm, period, expires_at } => {
                let invited = Invited { name, email, firm, period: *period, expires_at: *expires_at };
                self.invite_auditor(*organization, invited)
            }
            Command::ResendAuditorInvitation { auditor } => self.resend_auditor(*auditor),
            Command::RevokeAuditor { auditor } => self.revoke_auditor(*auditor),
            Command::SetPassword { link, password } => self.set_password(link, password),
            Command::LogIn { .. } => Err(DirectoryError::Login),
            Command::LogOut { session } => self.log_out(session),
            Command::CreateAuditRequest { organization, auditor, title } => {
                self.request_audit(*organization, *auditor, title)
            }
            Command::ApproveAuditRequest { request } => {
                self.answer(*request, Action::ApproveAuditRequest, Answer::Approved)
            }
            Command::FlagAuditRequest { request } => self.answer(*request, Action::FlagAuditRequest, Answer::Flagged),
            Command::EraseTexts { number, place } => self.erase(*number, *place),
        }
    }

    // ------------------------------------------------------------ organizations

    fn create(
        &mut self,
        parent: Option<Id>,
        name: &Name,
        plan: Plan,
        email: &Email,
        role: Role,
        inviter: Inviter,
    ) -> Step<Done> {
        if !matches!(role, Role::Owner | Role::Admin) {
            return refuse(Rule::FirstRole, "the first member of an organization is `OWNER` or `ADMIN`");
        }
        let id = self.new_id()?;
        let action = if parent.is_some() { "createClientOrganization" } else { "createOrganization" };
        let row = Row::Organization(Organization { id, parent, name: name.clone(), plan });
        self.change(action, None, Some(&row))?;
        let invitation = self.invite(id, Target::Role(role), email, inviter, "inviteMember")?;
        Ok(Done { invitation: Some(invitation), ..self.done(Kind::Organization, id) })
    }

    fn create_client(&mut self, msp: Id, name: &Name, email: &Email, role: Role) -> Step<Done> {
        self.permit(Action::CreateClientOrganization, Kind::Organization.uid(msp))?;
        self.organization(msp)?;
        let inviter = match self.actor {
            Actor::Member(id) => Inviter::Creator(*id),
            _ => Inviter::Operator,
        };
        self.create(Some(msp), name, Plan::default(), email, role, inviter)
    }

    fn set_plan(&mut self, id: Id, plan: Plan) -> Step<Done> {
        self.operator_only()?;
        let old = self.organization(id)?;
        let new = Organization { plan, ..old.clone() };
        self.change("setPlan", Some(&Row::Organization(old)), Some(&Row::Organization(new)))?;
        Ok(self.done(Kind::Organization, id))
    }

    // ------------------------------------------------------------ invitations

    fn inviter(&self) -> Inviter {
        match self.actor {
            Actor::Member(id) => Inviter::Member(*id),
            _ => Inviter::Operator,
        }
    }

    fn invite_member(&mut self, organization: Id, email: &Email, role: Role) -> Step<Done> {
        self.permit_with(Action::InviteMember, Kind::Organization.uid(organization), |r| grc::with_role(r, role))?;
        self.organization(organization)?;
        if self.tx.active_member(organization, email)?.is_some() {
            return refuse(Rule::AlreadyMember, "the address is that of an active member of the organization");
        }
        let id = self.invite(organization, Target::Role(role), email, self.inviter(), "inviteMember")?;
        Ok(Done { invitation: Some(id), ..self.done(Kind::Invitation, id) })
    }

    fn invite_guest(&mut self, project: Id, email: &Email) -> Step<Done> {
        self.permit(Action::InviteGuest, Kind::Project.uid(project))?;
        let project = self.project(project)?;
        let target = Target::Project(project.id);
        let id = self.invite(project.organization, target, email, self.inviter(), "inviteGuest")?;
        Ok(Done { invitation: Some(id), ..self.done(Kind::Invitation, id) })
    }

    fn invite(&mut self, organization: Id, target: Target, email: &Email, inviter: Inviter, action: &str) -> Step<Id> {
        let project = match target {
            Target::Project(id) => Some(id),
            Target::Role(_) => None,
        };
        // One that has expired is in nobody's way.
        if let Some(old) = self.tx.pending(organization, project, email)? {
            if old.state_at(self.now) == InvitationState::Expired {
                let new = Invitation { state: InvitationState::Expired, link: None, ..old.clone() };
                self.change("expireInvitation", Some(&Row::Invitation(old)), Some(&Row::Invitation(new)))?;
            }
        }
        let id = self.new_id()?;
        let row = Invitation {
            id,
            organization,
            target,
            email: email.clone(),
            inviter,
            state: InvitationState::Pending,
            expires_at: self.expiry(),
            link: None,
        };
        let token = self.token(id)?;
        let row = Invitation { link: Some(token.hash()), ..row };
        self.send(&row, &token);
        self.change(action, None, Some(&Row::Invitation(row)))?;
        Ok(id)
    }

    fn send(&mut self, row: &Invitation, token: &Token) {
        self.sending = Some(Sending {
            address: row.email.clone(),
            link: token.secret(),
            organization: row.organization,
            invitation: row.id,
            expires_at: row.expires_at,
        });
    }

    fn resend(&mut self, id: Id) -> Step<Done> {
        let old = self.invitation(id)?;
        let resource = self.resource(&Row::Invitation(old.clone()));
        self.permit(Action::ResendInvitation, resource)?;
        // Whoever sends it again is from now on its inviter, and must be able to grant what it gives.
        match old.target {
            Target::Role(role) => {
                let organization = Kind::Organization.uid(old.organization);
                self.permit_with(Action::InviteMember, organization, |r| grc::with_role(r, role))?;
            }
            Target::Project(project) => self.permit(Action::InviteGuest, Kind::Project.uid(project))?,
        }
        if !old.is_open() {
            return refuse(Rule::State, format!("invitation `{id}` is {}, and is not sent again", old.state.id()));
        }
        let token = self.token(id)?;
        let new = Invitation {
            state: InvitationState::Pending,
            inviter: self.inviter(),
            expires_at: self.expiry(),
            link: Some(token.hash()),
            ..old.clone()
        };
        self.send(&new, &token);
        self.change("resendInvitation", Some(&Row::Invitation(old)), Some(&Row::Invitation(new)))?;
        Ok(Done { invitation: Some(id), ..self.done(Kind::Invitation, id) })
    }

    fn cancel(&mut self, id: Id) -> Step<Done> {
        let old = self.invitation(id)?;
        let resource = self.resource(&Row::Invitation(old.clone()));
        self.permit(Action::CancelInvitation, resource)?;
        let state = old.state_at(self.now);
        if state != InvitationState::Pending {
            return refuse(Rule::State, format!("invitation `{id}` is {}, and cannot be cancelled", state.id()));
        }
        let new = Invitation { state: InvitationState::Cancelled, link: None, ..old.clone() };
        self.change("cancelInvitation", Some(&Row::Invitation(old)), Some(&Row::Invitation(new)))?;
        Ok(self.done(Kind::Invitation, id))
    }

    fn accept(&mut self, link: &Secret) -> Step<Done> {
        if *self.actor != Actor::Bearer {
            return refuse(Rule::ByLink, "an invitation is accepted by whoever has its link");
        }
        let token = Token::read(link).ok_or(DirectoryError::Link)?;
        let row = match self.tx.get(Kind::Invitation, token.id())? {
            Some(Row::Invitation(row)) => Some(row),
            _ => None,
        };
        let right = token.is(row.as_ref().and_then(|row| row.link.as_ref()));
        let now = self.now;
        let usable = |row: &Invitation| right && row.state_at(now) == InvitationState::Pending;
        let old = row.filter(usable).ok_or(DirectoryError::Link)?;
        self.inviter_can_grant(&old)?;
        let id = self.new_id()?;
        let (organization, email) = (old.organization, old.email.clone());
        let made = match old.target {
            Target::Role(role) => Row::Member(Member {
                id,
                organization,
                email,
                role,
                active: true,
                compliance_team: false,
                contributor: false,
                mfa_locked_at: None,
                mfa_reset: false,
                projects: Default::default(),
                clients: Default::default(),
            }),
            Target::Project(project) => Row::Guest(Guest { id, organization, project, email, active: true }),
        };
        self.named = made.kind().uid(id).to_string();
        let new = Invitation { state: InvitationState::Accepted, link: None, ..old.clone() };
        self.change("acceptInvitation", Some(&Row::Invitation(old)), Some(&Row::Invitation(new)))?;
        self.change("acceptInvitation", None, Some(&made))?;
        Ok(self.done(made.kind(), id))
    }

    /// Nobody grants what they could not grant now.
    fn inviter_can_grant(&mut self, invitation: &Invitation) -> Step<()> {
        let organization = invitation.organization;
        let request = match (invitation.inviter, invitation.target) {
            (Inviter::Operator, _) => return Ok(()),
            (Inviter::Member(id), Target::Role(role)) => {
                let resource = Kind::Organization.uid(organization);
                grc::with_role(grc::request(Kind::Member.uid(id), Action::InviteMember, resource), role)
            }
            (Inviter::Member(id), Target::Project(project)) => {
                grc::request(Kind::Member.uid(id), Action::InviteGuest, Kind::Project.uid(project))
            }
            (Inviter::Creator(id), _) => {
                let parent = self.organization(organization)?.parent.unwrap_or(organization);
                let resource = Kind::Organization.uid(parent);
                grc::request(Kind::Member.uid(id), Action::CreateClientOrganization, resource)
            }
        };
        match self.ask(&request).allowed() {
            true => Ok(()),
            false => refuse(
                Rule::InviterCannotGrant,
                "whoever invited cannot grant this any more; ask for the invitation to be sent again",
            ),
        }
    }

    // ------------------------------------------------------------ members

    /// Changes a member, as the policies permit under `action`.
    fn edit(&mut self, id: Id, action: Action, edit: impl FnOnce(&mut Member)) -> Step<Done> {
        self.permit(action, Kind::Member.uid(id))?;
        let old = self.member(id)?;
        let mut new = old.clone();
        edit(&mut new);
        self.change(action.id(), Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, id))
    }

    /// Notes what the application has seen of a member.
    fn note(&mut self, id: Id, edit: impl FnOnce(&mut Member)) -> Step<Done> {
        self.operator_only()?;
        let old = self.member(id)?;
        let mut new = old.clone();
        edit(&mut new);
        let name = self.command_name();
        self.change(name, Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, id))
    }

    fn change_role(&mut self, id: Id, role: Role) -> Step<Done> {
        self.permit_with(Action::ChangeRole, Kind::Member.uid(id), |r| grc::with_role(r, role))?;
        let old = self.member(id)?;
        let new = Member { role, ..old.clone() };
        self.change("changeRole", Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, id))
    }

    fn assign_seat(&mut self, id: Id) -> Step<Done> {
        self.permit(Action::AssignContributorSeat, Kind::Member.uid(id))?;
        let old = self.member(id)?;
        if !old.active {
            return refuse(Rule::State, "a deactivated member gets no contributor seat");
        }
        let new = Member { contributor: true, ..old.clone() };
        self.change("assignContributorSeat", Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, id))
    }

    fn deactivate(&mut self, id: Id) -> Step<Done> {
        self.edit(id, Action::DeactivateMember, |m| m.active = false)
    }

    fn reactivate(&mut self, id: Id) -> Step<Done> {
        self.permit(Action::ReactivateMember, Kind::Member.uid(id))?;
        let old = self.member(id)?;
        let back = Member { active: true, ..old.clone() };
        let old = Row::Member(old);
        match self.change("reactivateMember", Some(&old), Some(&Row::Member(back.clone()))) {
            // D-8: without the seat, if none is free.
            Err(error) if error.rule() == Some(Rule::NoSeat) => {
                let back = Member { contributor: false, ..back };
                self.change("reactivateMember", Some(&old), Some(&Row::Member(back)))?;
                Ok(Done { without_seat: true, ..self.done(Kind::Member, id) })
            }
            changed => changed.map(|()| self.done(Kind::Member, id)),
        }
    }

    fn remove_member(&mut self, id: Id) -> Step<Done> {
        self.permit(Action::RemoveMember, Kind::Member.uid(id))?;
        let old = self.member(id)?;
        self.change("removeMember", Some(&Row::Member(old)), None)?;
        Ok(self.done(Kind::Member, id))
    }

    // ------------------------------------------------------------ technicians

    fn assign(&mut self, technician: Id, client: Id) -> Step<Done> {
        let (uid, resource) = (Kind::Member.uid(technician), Kind::Organization.uid(client));
        self.permit_with(Action::AssignTechnician, resource, |r| grc::with_technician(r, uid))?;
        let old = self.member(technician)?;
        if old.role != Role::MspTechnician {
            return refuse(Rule::NotTechnician, format!("member `{technician}` is no MSP Technician"));
        }
        let mut new = old.clone();
        new.clients.insert(client);
        self.change("assignTechnician", Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, technician))
    }

    fn unassign(&mut self, technician: Id, client: Id) -> Step<Done> {
        let (uid, resource) = (Kind::Member.uid(technician), Kind::Organization.uid(client));
        self.permit_with(Action::UnassignTechnician, resource, |r| grc::with_technician(r, uid))?;
        let old = self.member(technician)?;
        let mut new = old.clone();
        new.clients.remove(&client);
        self.change("unassignTechnician", Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, technician))
    }

    // ------------------------------------------------------------ projects

    fn create_project(&mut self, organization: Id, name: &Name) -> Step<Done> {
        self.permit(Action::CreateProject, Kind::Organization.uid(organization))?;
        self.organization(organization)?;
        let id = self.new_id()?;
        let row = Row::Project(Project { id, organization, name: name.clone() });
        self.change("createProject", None, Some(&row))?;
        Ok(self.done(Kind::Project, id))
    }

    fn on_project(&mut self, project: Id, member: Id, on: bool) -> Step<Done> {
        self.permit(Action::ManageProjectTeam, Kind::Project.uid(project))?;
        let project = self.project(project)?;
        let Some(Row::Member(old)) = self.tx.get(Kind::Member, member)? else {
            return refuse(Rule::Unknown, format!("there is no member `{member}`"));
        };
        if old.organization != project.organization {
            // Told like one that is not there: whoever manages the project does not see other organizations' members.
            return refuse(Rule::Unknown, format!("there is no member `{member}`"));
        }
        let mut new = old.clone();
        match on {
            true => new.projects.insert(project.id),
            false => new.projects.remove(&project.id),
        };
        let name = self.command_name();
        self.change(name, Some(&Row::Member(old)), Some(&Row::Member(new)))?;
        Ok(self.done(Kind::Member, member))
    }

    fn set_guest(&mut self, id: Id, active: bool) -> Step<Done> {
        let old = self.guest(id)?;
        self.permit(Action::ManageProjectTeam, Kind::Project.uid(old.project))?;
        let new = Guest { active, ..old.clone() };
        let name = self.command_name();
        self.change(name, Some(&Row::Guest(old)), Some(&Row::Guest(new)))?;
        Ok(self.done(Kind::Guest, id))
    }

    fn remove_guest(&mut self, id: Id) -> Step<Done> {
        let old = self.guest(id)?;
        self.permit(Action::ManageProjectTeam, Kind::Project.uid(old.project))?;
        self.change("removeGuest", Some(&Row::Guest(old)), None)?;
        Ok(self.done(Kind::Guest, id))
    }

    // ------------------------------------------------------------ the journal

    fn erase(&mut self, number: u64, place: u32) -> Step<Done> {
        self.operator_only()?;
        let entry = self.tx.entries(number)?.into_iter().find(|logged| logged.place == place);
        let (erased, row) = (self.tx.erase(number, place)?, self.over(entry.and_then(|logged| logged.entry.target))?);
        if erased == 0 && row.is_none() {
            return refuse(Rule::Unknown, format!("entry {number}.{place} has no texts"));
        }
        let details = json!({"number": number, "place": place, "erased": erased});
        self.log("eraseTexts", None, None, details, Vec::new());
        if let Some((old, new)) = row {
            self.change("eraseTexts", Some(&old), Some(&new))?;
        }
        Ok(Done::default())
    }

    /// The row that an entry is about, and the same without texts, where it has some and nobody needs them any more: that
    /// of an invitation that cannot be accepted as it is, or of an auditor who was revoked. An invitation that has expired
    /// is taken back, since nobody knows any more where to send it.
    fn over(&mut self, target: Option<String>) -> Step<Option<(Row, Row)>> {
        let uid = target.and_then(|target| target.parse::<EntityUid>().ok());
        let Some((uid, id)) = uid.and_then(|uid| uid.id().parse().ok().map(|id| (uid, id))) else { return Ok(None) };
        let kinds = [Kind::Invitation, Kind::Auditor];
        let Some(kind) = kinds.into_iter().find(|kind| kind.uid(id) == uid) else { return Ok(None) };
        let email = Email::erased();
        Ok(match self.tx.get(kind, id)? {
            Some(Row::Invitation(old)) if old.email != email => {
                let state = match old.state_at(self.now) {
                    InvitationState::Pending => return Ok(None),
                    InvitationState::Expired => InvitationState::Cancelled,
                    state => state,
                };
                let new = Invitation { email, state, link: None, ..old.clone() };
                Some((Row::Invitation(old), Row::Invitation(new)))
            }
            Some(Row::Auditor(old)) if old.status == AuditorStatus::Revoked && old.email != email => {
                let new = Auditor { name: Name::erased(), email, firm: Name::erased(), ..old.clone() };
                Some((Row::Auditor(old), Row::Auditor(new)))
            }
            _ => None,
        })
    }
}
