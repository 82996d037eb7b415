//! What a directory shows: the team, a project's team, billing, the journal. Each is decided by the policies as well.

use super::command::Actor;
use super::error::{Denial, DirectoryError, Refusal, Rule};
use super::Directory;
use crate::engine::{self, Linked};
use crate::model::grc::{self, Action};
use crate::model::{Decision, DecisionError, EntityUid, Timestamp};
use crate::store::{Auditor, Filter, Guest, Id, Invitation, Kind, Logged, Member, Organization, Project, Reading, Row};

/// An organization's team page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Team {
    /// The organization.
    pub organization: Organization,
    /// Its members, deactivated ones too, in the order of their ids.
    pub members: Vec<Member>,
    /// Its invitations that can be accepted or sent again.
    pub invitations: Vec<Invitation>,
    /// How many contributor seats are held, of those that its plan has.
    pub contributors: u64,
}

/// A project's team page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectTeam {
    /// The project.
    pub project: Project,
    /// The members who were added to it. Owners and Admins are on it without that.
    pub members: Vec<Member>,
    /// Its guests.
    pub guests: Vec<Guest>,
    /// Its invitations that can be accepted or sent again.
    pub invitations: Vec<Invitation>,
}

/// What an organization pays for its PSA seats, in cents a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Billing {
    /// Seats in use: active members who may enter the PSA module of their own organization.
    pub used: u64,
    /// Seats that the plan bundles.
    pub bundled: u64,
    /// Seats in use beyond those.
    pub overage: u64,
    /// What is charged: the bundled seats' price.
    pub monthly_total: u64,
    /// What would be charged for the seats in use; none unless they are more than the bundled ones.
    pub after_update: Option<u64>,
}

impl Billing {
    /// Of so many seats used, so many bundled, and a seat's price.
    pub fn of(used: u64, bundled: u32, seat_cents: u32) -> Self {
        let (bundled, price) = (u64::from(bundled), u64::from(seat_cents));
        let overage = used.saturating_sub(bundled);
        let after_update = (overage > 0).then(|| used.saturating_mul(price));
        Self { used, bundled, overage, monthly_total: bundled.saturating_mul(price), after_update }
    }

    /// The warning that goes with it.
    pub fn warning(&self) -> Option<&'static str> {
        self.after_update.map(|_| "Over plan limit")
    }
}

/// A question to a state, at an instant.
struct View<'v> {
    tx: Box<dyn Reading + 'v>,
    state: std::sync::Arc<Linked>,
    now: Timestamp,
}

impl View<'_> {
    fn decide(&self, principal: &EntityUid, action: Action, resource: &EntityUid) -> Decision {
        let mut decision = Decision::default();
        let now = || Ok::<_, DecisionError>(self.now);
        let request = grc::request(principal.clone(), action, resource.clone());
        engine::decide(&self.state, &request, &now, &mut decision);
        decision
    }

    fn permit(&self, actor: &Actor, action: Action, resource: EntityUid) -> Result<(), DirectoryError> {
        let principal = match actor {
            Actor::Operator => return Ok(()),
            Actor::Member(id) => Kind::Member.uid(*id),
            Actor::Auditor(id) => Kind::Auditor.uid(*id),
            Actor::Bearer => return Err(Refusal::new(Rule::ByLink, "a link shows nothing").into()),
        };
        let decision = self.decide(&principal, action, &resource);
        match decision.allowed() {
            true => Ok(()),
            false => {
                let denial = Denial { principal, action: action.uid(), resource, decision };
                Err(DirectoryError::Denied(Box::new(denial)))
            }
        }
    }

    fn organization(&mut self, id: Id) -> Result<Organization, DirectoryError> {
        match self.tx.get(Kind::Organization, id)? {
            Some(Row::Organization(row)) => Ok(row),
            _ => Err(Refusal::new(Rule::Unknown, format!("there is no organization `{id}`")).into()),
        }
    }

    fn members(&mut self, organization: Id) -> Result<Vec<Member>, DirectoryError> {
        let mut members = Vec::new();
        self.tx.scan(Kind::Member, Some(organization), &mut |row| {
            if let Row::Member(member) = row {
                members.push(member);
            }
            Ok(())
        })?;
        Ok(members)
    }

    fn invitations(&mut self, organization: Id) -> Result<Vec<Invitation>, DirectoryError> {
        let (mut open, now) = (Vec::new(), self.now);
        self.tx.scan(Kind::Invitation, Some(organization), &mut |row| {
            if let Row::Invitation(row) = row {
                if row.is_open() {
                    open.push(Invitation { state: row.state_at(now), ..row });
                }
            }
            Ok(())
        })?;
        Ok(open)
    }
}

impl Directory {
    fn view(&self) -> Result<View<'_>, DirectoryError> {
        let now = self.shared.authorizer.now().map_err(DirectoryError::Clock)?;
        let (tx, state) = self.reading()?;
        Ok(View { tx, state, now })
    }

    /// An organization's team, to whom `viewTeam` is permitted.
    ///
    /// # Errors
    /// When it is not, or the store cannot be read.
    pub fn team(&self, actor: &Actor, organization: Id) -> Result<Team, DirectoryError> {
        let mut view = self.view()?;
        view.permit(actor, Action::ViewTeam, Kind::Organization.uid(organization))?;
        Ok(Team {
            organization: view.organization(organization)?,
            members: view.members(organization)?,
            invitations: view.invitations(organization)?.into_iter().filter(|i| role_of(i).is_some()).collect(),
            contributors: view.tx.seats_held(organization)?,
        })
    }

    /// A project's team, to whom `manageProjectTeam` is permitted.
    ///
    /// # Errors
    /// When it is not, or the store cannot be read.
    pub fn project_team(&self, actor: &Actor, project: Id) -> Result<ProjectTeam, DirectoryError> {
        let mut view = self.view()?;
        view.permit(actor, Action::ManageProjectTeam, Kind::Project.uid(project))?;
        let Some(Row::Project(project)) = view.tx.get(Kind::Project, project)? else {
            return Err(Refusal::new(Rule::Unknown, format!("there is no project `{project}`")).into());
        };
        let mut guests = Vec::new();
        view.tx.scan(Kind::Guest, Some(project.organization), &mut |row| {
            if let Row::Guest(guest) = row {
                guests.extend((guest.project == project.id).then_some(guest));
            }
            Ok(())
        })?;
        let to_it = crate::store::Target::Project(project.id);
        let mut members = view.members(project.organization)?;
        members.retain(|member| member.projects.contains(&project.id));
        let mut invitations = view.invitations(project.organization)?;
        invitations.retain(|invitation| invitation.target == to_it);
        Ok(ProjectTeam { project, members, guests, invitations })
    }

    /// An organization's seats and what they cost, to whom `viewBilling` is permitted.
    ///
    /// # Errors
    /// When it is not, or the store cannot be read, or whether a member uses a seat cannot be decided.
    pub fn billing(&self, actor: &Actor, organization: Id) -> Result<Billing, DirectoryError> {
        let mut view = self.view()?;
        let uid = Kind::Organization.uid(organization);
        view.permit(actor, Action::ViewBilling, uid.clone())?;
        let plan = view.organization(organization)?.plan;
        let mut used = 0;
        for member in view.members(organization)?.iter().filter(|member| member.active) {
            let principal = Kind::Member.uid(member.id);
            let decision = view.decide(&principal, Action::AccessPsa, &uid);
            if decision.indeterminate() {
                let (action, resource) = (Action::AccessPsa.uid(), uid);
                return Err(DirectoryError::Denied(Box::new(Denial { principal, action, resource, decision })));
            }
            used += u64::from(decision.allowed());
        }
        Ok(Billing::of(used, plan.bundled_seats, plan.seat_cents))
    }

    /// The journal's entries that pass `filter`, oldest first. To a member those of an organization on which
    /// `viewInvitationLog` is permitted to it; the filter must name it.
    ///
    /// # Errors
    /// When it is not permitted, or the store cannot be read.
    pub fn journal(&self, actor: &Actor, filter: &Filter) -> Result<Vec<Logged>, DirectoryError> {
        let mut view = self.view()?;
        match (actor, filter.organization) {
            (Actor::Operator, _) => {}
            (_, Some(id)) => view.permit(actor, Action::ViewInvitationLog, Kind::Organization.uid(id))?,
            (_, None) => {
                let message = "the journal of all organizations is for the operator";
                return Err(Refusal::new(Rule::OperatorOnly, message).into());
            }
        }
        let mut found = Vec::new();
        view.tx.journal(filter, &mut |logged| {
            found.push(logged);
            Ok(())
        })?;
        Ok(found)
    }
}

/// An organization's auditors, with the log of their invitations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Auditors {
    /// Its auditors, revoked and expired ones too.
    pub auditors: Vec<Auditor>,
    /// The journal's entries about them: who invited whom, when, and every change of status.
    pub log: Vec<Logged>,
}

impl Directory {
    /// An organization's auditors and the log of their invitations, to whom `viewInvitationLog` is permitted.
    ///
    /// # Errors
    /// When it is not, or the store cannot be read.
    pub fn auditors(&self, actor: &Actor, organization: Id) -> Result<Auditors, DirectoryError> {
        let mut view = self.view()?;
        view.permit(actor, Action::ViewInvitationLog, Kind::Organization.uid(organization))?;
        let mut auditors = Vec::new();
        view.tx.scan(Kind::Auditor, Some(organization), &mut |row| {
            if let Row::Auditor(row) = row {
                auditors.push(row);
            }
            Ok(())
        })?;
        let (mut log, about) = (Vec::new(), "Grc::Auditor::");
        let filter = Filter { organization: Some(organization), ..Filter::default() };
        view.tx.journal(&filter, &mut |logged| {
            if logged.entry.target.as_ref().is_some_and(|target| target.starts_with(about)) {
                log.push(logged);
            }
            Ok(())
        })?;
        Ok(Auditors { auditors, log })
    }
}

fn role_of(invitation: &Invitation) -> Option<crate::model::grc::Role> {
    match invitation.target {
        crate::store::Target::Role(role) => Some(role),
        crate::store::Target::Project(_) => None,
    }
}
