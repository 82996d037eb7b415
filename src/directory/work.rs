//! A command under way: what it reads, decides, writes and logs, in one transaction.

use std::collections::BTreeSet;

use serde_json::{json, Map, Value as Json};

use super::command::{Actor, Command, Done};
use super::error::{Denial, DirectoryError, Refusal, Rule};
use super::secret::{Secret, Token};
use super::Directory;
use crate::engine::{self, Linked};
use crate::loader;
use crate::model::grc::{self, Action};
use crate::model::{Decision, DecisionError, EntityUid, Request, Resource, Timestamp};
use crate::store::{
    Auditor, Email, Entry, Id, Invitation, Kind, Member, Name, Obstacle, Organization, PasswordHash, Private, Project,
    Row, StoreError, Writing,
};

/// A link to be sent once the command is committed.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) address: Email,
    pub(super) link: Secret,
    pub(super) organization: Id,
    pub(super) invitation: Id,
    pub(super) expires_at: Timestamp,
}

pub(super) struct Work<'w> {
    directory: &'w Directory,
    pub(super) tx: Box<dyn Writing + 'w>,
    state: &'w Linked,
    pub(super) actor: &'w Actor,
    command: &'w Command,
    pub(super) now: Timestamp,
    /// The hash of the password that the command sets.
    pub(super) hashed: Option<PasswordHash>,
    /// Who is named in the journal.
    pub(super) named: String,
    /// The policies that permitted the command.
    permits: BTreeSet<String>,
    /// Name and address of the auditor who acts: they stand on the entries of its acts.
    acts: Vec<(&'static str, String)>,
    pub(super) changed: BTreeSet<(Kind, Id)>,
    pub(super) entries: Vec<Entry>,
    pub(super) sending: Option<Sending>,
}

/// A command's result so far.
pub(super) type Step<T> = Result<T, DirectoryError>;

pub(super) fn refuse<T>(rule: Rule, message: impl Into<String>) -> Step<T> {
    Err(Refusal::new(rule, message).into())
}

impl<'w> Work<'w> {
    pub(super) fn new(
        directory: &'w Directory,
        tx: Box<dyn Writing + 'w>,
        state: &'w Linked,
        actor: &'w Actor,
        command: &'w Command,
        now: Timestamp,
    ) -> Self {
        let named = match actor {
            Actor::Operator => "operator".to_owned(),
            Actor::Member(id) => Kind::Member.uid(*id).to_string(),
            Actor::Auditor(id) => Kind::Auditor.uid(*id).to_string(),
            // Until it is known whom the link makes.
            Actor::Bearer => "bearer".to_owned(),
        };
        Self {
            directory,
            tx,
            state,
            actor,
            command,
            now,
            hashed: None,
            named,
            permits: BTreeSet::new(),
            acts: Vec::new(),
            changed: BTreeSet::new(),
            entries: Vec::new(),
            sending: None,
        }
    }

    /// What the policies say to a request, at the command's instant.
    pub(super) fn ask(&self, request: &Request) -> Decision {
        let mut decision = Decision::default();
        let now = || Ok::<_, DecisionError>(self.now);
        engine::decide(self.state, request, &now, &mut decision);
        decision
    }

    /// Goes on only if the policies permit `action` on `resource` to the actor. The operator is outside them.
    pub(super) fn permit(&mut self, action: Action, resource: impl Into<Resource>) -> Step<()> {
        self.permit_with(action, resource, |request| request)
    }

    /// As [`Work::permit`], with what the action needs in its context.
    pub(super) fn permit_with(
        &mut self,
        action: Action,
        resource: impl Into<Resource>,
        context: impl FnOnce(Request) -> Request,
    ) -> Step<()> {
        let principal = match self.actor {
            Actor::Operator => return Ok(()),
            Actor::Member(id) => Kind::Member.uid(*id),
            Actor::Auditor(id) => Kind::Auditor.uid(*id),
            Actor::Bearer => return refuse(Rule::ByLink, "a link is for accepting an invitation only"),
        };
        let request = context(grc::request(principal.clone(), action, resource));
        let decision = self.ask(&request);
        if !decision.allowed() {
            let resource = request.resource().uid().clone();
            let denial = Denial { principal, action: action.uid(), resource, decision };
            return Err(DirectoryError::Denied(Box::new(denial)));
        }
        self.permits.extend(decision.determining().map(str::to_owned));
        Ok(())
    }

    /// The resource of a row that may have no entity any more.
    pub(super) fn resource(&self, row: &Row) -> Resource {
        let uid = row.kind().uid(row.id());
        match row {
            Row::Invitation(invitation) if !invitation.is_open() => {
                // As it was while it was open: who may handle it is told from what it is to.
                let open = Invitation { state: crate::store::InvitationState::Pending, ..invitation.clone() };
                loader::entity(&Row::Invitation(open)).map_or(uid.into(), Resource::from)
            }
            _ => uid.into(),
        }
    }

    pub(super) fn command_name(&self) -> &'static str {
        self.command.name()
    }

    pub(super) fn operator_only(&self) -> Step<()> {
        match self.actor {
            Actor::Operator => Ok(()),
            _ => refuse(Rule::OperatorOnly, format!("`{}` is for the operator", self.command.name())),
        }
    }

    fn get(&mut self, kind: Kind, id: Id) -> Step<Option<Row>> {
        Ok(self.tx.get(kind, id)?)
    }

    /// A row that is not there is told like one that the actor has no access to: the policies deny what is unknown.
    fn unknown<T>(&mut self, kind: Kind, id: Id, action: Action) -> Step<T> {
        self.permit(action, kind.uid(id))?;
        refuse(Rule::Unknown, format!("there is no {} `{id}`", kind.id()))
    }

    pub(super) fn organization(&mut self, id: Id) -> Step<Organization> {
        match self.get(Kind::Organization, id)? {
            Some(Row::Organization(row)) => Ok(row),
            _ => self.unknown(Kind::Organization, id, Action::ViewTeam),
        }
    }

    pub(super) fn project(&mut self, id: Id) -> Step<Project> {
        match self.get(Kind::Project, id)? {
            Some(Row::Project(row)) => Ok(row),
            _ => self.unknown(Kind::Project, id, Action::ManageProjectTeam),
        }
    }

    pub(super) fn member(&mut self, id: Id) -> Step<Member> {
        match self.get(Kind::Member, id)? {
            Some(Row::Member(row)) => Ok(row),
            _ => self.unknown(Kind::Member, id, Action::ChangeRole),
        }
    }

    pub(super) fn invitation(&mut self, id: Id) -> Step<Invitation> {
        match self.get(Kind::Invitation, id)? {
            Some(Row::Invitation(row)) => Ok(row),
            _ => self.unknown(Kind::Invitation, id, Action::ResendInvitation),
        }
    }

    pub(super) fn guest(&mut self, id: Id) -> Step<crate::store::Guest> {
        match self.get(Kind::Guest, id)? {
            Some(Row::Guest(row)) => Ok(row),
            // No action is about guests: nothing is decided without their project.
            _ => match self.actor {
                Actor::Bearer => refuse(Rule::ByLink, "a link is for accepting an invitation only"),
                _ => refuse(Rule::Unknown, format!("there is no guest `{id}`")),
            },
        }
    }

    pub(super) fn new_id(&self) -> Step<Id> {
        Ok(Id::new(self.now, &self.directory.draw()?))
    }

    /// A new token for a row's link.
    pub(super) fn token(&self, id: Id) -> Step<Token> {
        Ok(Token::new(id, self.directory.draw()?))
    }

    /// From when on a link that is made now does not work.
    pub(super) fn expiry(&self) -> Timestamp {
        let life = i64::try_from(self.directory.invitation_life.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.now.millis().saturating_add(life)).unwrap_or(Timestamp::MAX)
    }

    /// Writes a change of a row, and logs it as `action`.
    pub(super) fn change(&mut self, action: &str, old: Option<&Row>, new: Option<&Row>) -> Step<()> {
        let Some(row) = new.or(old) else { return Ok(()) };
        let written = match (old, new) {
            (None, Some(new)) => self.tx.insert(new)?,
            (Some(old), Some(new)) if old == new => return refuse(Rule::AsItIs, as_it_is(row)),
            (Some(old), Some(new)) => self.tx.replace(old, new)?,
            (Some(old), None) => self.tx.remove(old)?,
            (None, None) => Ok(()),
        };
        if let Err(obstacle) = written {
            return Err(refusal(obstacle, row).into());
        }
        self.changed.insert((row.kind(), row.id()));
        let (from, to) = differing(old, new)?;
        let private = self.private(old.is_none().then_some(row))?;
        let (organization, target) = (row.organization(), row.kind().uid(row.id()));
        self.log(action, Some(organization), Some(&target), json!({"from": from, "to": to}), private);
        Ok(())
    }

    pub(super) fn log(
        &mut self,
        action: &str,
        organization: Option<Id>,
        target: Option<&EntityUid>,
        details: Json,
        private: Vec<Private>,
    ) {
        let decision = json!({"policies": self.permits, "bundle": self.state.bundle().version()});
        self.entries.push(Entry {
            at: self.now,
            actor: self.named.clone(),
            action: action.to_owned(),
            organization,
            target: target.map(ToString::to_string),
            details: details.to_string(),
            decision: decision.to_string(),
            private,
        });
    }

    /// As [`Work::change`]; where nothing changes it is logged all the same.
    pub(super) fn change_or_log(&mut self, action: &str, old: &Row, new: &Row) -> Step<()> {
        if old != new {
            return self.change(action, Some(old), Some(new));
        }
        let private = self.private(None)?;
        let (organization, target) = (old.organization(), old.kind().uid(old.id()));
        self.log(action, Some(organization), Some(&target), json!({"from": {}, "to": {}}), private);
        Ok(())
    }

    /// From here on the auditor is who acts.
    pub(super) fn act_as(&mut self, auditor: &Auditor) {
        self.named = Kind::Auditor.uid(auditor.id).to_string();
        let email = auditor.email.as_str().to_owned();
        self.acts = vec![("actor name", auditor.name.as_str().to_owned()), ("actor email", email)];
    }

    /// The names and addresses that stand beside an entry: those of a new row, and those of the auditor who acts.
    fn private(&self, row: Option<&Row>) -> Step<Vec<Private>> {
        let name = |name: &Name| ("name", name.as_str().to_owned());
        let email = |email: &Email| ("email", email.as_str().to_owned());
        let mut texts = match row {
            Some(Row::Organization(row)) => vec![name(&row.name)],
            Some(Row::Project(row)) => vec![name(&row.name)],
            Some(Row::Member(row)) => vec![email(&row.email)],
            Some(Row::Guest(row)) => vec![email(&row.email)],
            Some(Row::Invitation(row)) => vec![email(&row.email)],
            Some(Row::Auditor(row)) => vec![name(&row.name), email(&row.email), ("firm", row.firm.as_str().to_owned())],
            Some(Row::AuditRequest(row)) => vec![("title", row.title.as_str().to_owned())],
            Some(Row::Session(_)) | None => Vec::new(),
        };
        texts.extend(self.acts.iter().cloned());
        texts.iter().map(|(name, text)| Ok(Private::new(name, text, self.directory.draw()?))).collect()
    }

    pub(super) fn done(&self, kind: Kind, id: Id) -> Done {
        Done { target: kind.uid(id).to_string(), ..Done::default() }
    }
}

/// What differs between two states of a row, without ids, names and addresses.
fn differing(old: Option<&Row>, new: Option<&Row>) -> Step<(Json, Json)> {
    let facts = |row: Option<&Row>| -> Step<Option<Map<String, Json>>> {
        let Some(row) = row else { return Ok(None) };
        let whole = serde_json::to_value(row).map_err(|e| StoreError::Other(Box::new(e)))?;
        let inner = whole.as_object().and_then(|object| object.values().next()).and_then(Json::as_object).cloned();
        let mut facts = inner.unwrap_or_default();
        facts.retain(|key, _| !matches!(key.as_str(), "id" | "organization" | "email" | "name" | "firm" | "title"));
        Ok(Some(facts))
    };
    let (mut from, mut to) = (facts(old)?, facts(new)?);
    if let (Some(from), Some(to)) = (&mut from, &mut to) {
        let same: Vec<String> =
            from.iter().filter(|(key, v)| to.get(*key) == Some(v)).map(|(key, _)| key.clone()).collect();
        for key in same {
            from.remove(&key);
            to.remove(&key);
        }
    }
    let json = |facts: Option<Map<String, Json>>| facts.map_or(Json::Null, Json::Object);
    Ok((json(from), json(to)))
}

fn as_it_is(row: &Row) -> String {
    format!("{} `{}` is that way already", row.kind().id(), row.id())
}

/// What an obstacle means for a row.
pub(super) fn refusal(obstacle: Obstacle, row: &Row) -> Refusal {
    let named = format!("{} `{}`", row.kind().id(), row.id());
    match (obstacle, row) {
        (Obstacle::Changed, _) => Refusal::new(Rule::State, format!("{named} was changed meanwhile")),
        (Obstacle::LastAdministrator, _) => {
            let message = format!("{named} is the last active Owner, or where there is none the last active Admin");
            Refusal::new(Rule::LastAdministrator, message)
        }
        (Obstacle::NoSeat, Row::Organization(_)) => {
            Refusal::new(Rule::NoSeat, "more contributor seats are held than the plan would have")
        }
        (Obstacle::NoSeat, _) => Refusal::new(Rule::NoSeat, "all contributor seats are taken"),
        (Obstacle::Taken, Row::Invitation(_) | Row::Auditor(_)) => {
            Refusal::new(Rule::AlreadyInvited, "the address has a pending invitation there already")
        }
        (Obstacle::Taken, Row::Member(_)) => {
            Refusal::new(Rule::AlreadyMember, "the address is that of an active member of the organization")
        }
        (Obstacle::Taken, Row::Guest(_)) => {
            Refusal::new(Rule::AlreadyMember, "the address is that of an active guest of the project")
        }
        (Obstacle::Taken, _) => Refusal::new(Rule::AsItIs, format!("{named} is there already")),
        (Obstacle::Misplaced, Row::Organization(_)) => {
            Refusal::new(Rule::Misplaced, "its MSP is not there, or is a client itself; a client has no clients")
        }
        (Obstacle::Misplaced, _) => {
            Refusal::new(Rule::Misplaced, format!("{named} would refer to something that is another organization's"))
        }
    }
}
