//! Two products on one directory, each from its first invitation to the last revocation: one with four roles, contributor
//! seats, projects and guests; one with nine roles, billing, clients of an MSP and external auditors.
//!
//! `cargo run --release --features sqlite --example two_products` prints each command and each decision with the
//! policies that determined it. Each must be the one that stands here, or the program ends there.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick::directory::{Actor, Command, Directory, DirectoryError, Message, Secret, Sender};
use bailiwick::grc::{self, Action, Role};
use bailiwick::store::{Email, Id, Kind, Memory, Name, Period, Plan};
use bailiwick::{Clock, Decision, Entity, EntityUid, Request, Resource, Timestamp, Value};

fn main() {
    play(&mut std::io::stdout().lock());
}

/// Plays both products, and writes down what happens.
pub fn play(out: &mut dyn Write) {
    let mut stage = Stage::new(out);
    four_roles(&mut stage);
    nine_roles(&mut stage);
    let entries = stage.directory.verify().unwrap().unwrap();
    stage.note(&format!("the journal's chain of {entries} entries is whole"));
}

/// Members, projects, guests, contributor seats.
fn four_roles(stage: &mut Stage<'_>) {
    stage.note("one product: four roles, projects and contributor seats");
    let plan = Plan { bundled_seats: 5, seat_cents: 4900, contributor_seats: 2 };
    let (acme, olga) = stage.organization("Acme", plan, "olga", Role::Owner);
    let ann = stage.joins(&olga, acme, "ann", Role::Admin);
    let mia = stage.joins(&ann, acme, "mia", Role::Member);
    let vera = stage.joins(&ann, acme, "vera", Role::Viewer);
    let owner = Command::InviteMember { organization: acme, email: email("otto"), role: Role::Owner };
    stage.run(&ann, "invites otto as Owner", owner.clone(), "denied by team.owner-role");
    stage.run(&olga, "invites otto as Owner", owner, "done by team.manage");
    stage.run(&mia, "invites a friend", invite(acme, "friend", Role::Viewer), "denied: no policy permits it");

    stage.note("projects");
    let merger = stage.makes(
        &olga,
        "creates the project Merger",
        Command::CreateProject { organization: acme, name: name("Merger") },
        "done by projects.manage",
    );
    stage.names.insert(merger.to_string(), "Merger".to_owned());
    let internal = stage.makes(
        &ann,
        "creates the project Internal",
        Command::CreateProject { organization: acme, name: name("Internal") },
        "done by projects.manage",
    );
    stage.names.insert(internal.to_string(), "Internal".to_owned());
    stage.ask(&ann, Action::ViewProject, merger.clone(), "allow by projects.view");
    stage.ask(&mia, Action::ViewProject, merger.clone(), "deny by wall.project-member");
    for member in [&mia, &vera] {
        let add = Command::AddToProject { project: own(&merger), member: id(member) };
        stage.run(&ann, &format!("adds {} to Merger", stage.named(member)), add, "done by projects.manage");
    }
    stage.ask(&mia, Action::ViewProject, merger.clone(), "allow by projects.view");
    stage.ask(&mia, Action::Collaborate, merger.clone(), "allow by projects.collaborate");
    stage.ask(&vera, Action::Collaborate, merger.clone(), "deny: no policy permits it");
    stage.ask(&mia, Action::ViewProject, internal.clone(), "deny by wall.project-member");

    stage.note("contributor seats");
    stage.ask(&mia, Action::RunGapAnalysis, merger.clone(), "deny: no policy permits it");
    for (member, expected) in
        [(&mia, "done by team.manage"), (&vera, "done by team.manage"), (&ann, "refused: no_seat")]
    {
        let assign = Command::AssignContributorSeat { member: id(member) };
        stage.run(&olga, &format!("assigns a contributor seat to {}", stage.named(member)), assign, expected);
    }
    let team = stage.directory.team(&olga, acme).unwrap();
    assert_eq!((team.contributors, team.organization.plan.contributor_seats), (2, 2));
    stage.note(&format!("{} of {} contributors", team.contributors, team.organization.plan.contributor_seats));
    stage.ask(&mia, Action::RunGapAnalysis, merger.clone(), "allow by seats.contributor");
    stage.ask(&ann, Action::SpendCredits, Kind::Organization.uid(acme), "deny: no policy permits it");

    stage.note("somebody from outside, on one project");
    let invite = Command::InviteGuest { project: own(&merger), email: email("greta") };
    let invitation = stage.makes(&ann, "invites greta to Merger", invite, "done by projects.manage");
    let greta = stage.accepts("greta", own(&invitation));
    stage.ask(&greta, Action::ViewProject, merger.clone(), "allow by projects.guest");
    stage.ask(&greta, Action::ViewProject, internal, "deny by wall.project-guest");
    let deactivate = Command::DeactivateGuest { guest: own(&greta) };
    stage.run(&ann, "deactivates greta", deactivate, "done by projects.manage");
    stage.ask(&greta, Action::ViewProject, merger.clone(), "deny by wall.deactivated-guest");

    stage.note("locked out of two-factor authentication");
    let operator = Actor::Operator;
    stage.run(&operator, "records a lockout of mia", Command::RecordMfaLockout { member: id(&mia) }, "done");
    stage.run(&ann, "clears it", Command::ClearMfaLockout { member: id(&mia) }, "done by team.manage");
    stage.run(&ann, "resets mia's MFA", Command::ResetMfa { member: id(&mia) }, "done by team.manage");
    stage.run(&ann, "resets olga's MFA", Command::ResetMfa { member: id(&olga) }, "denied by team.owner-access");

    stage.note("roles change, and people leave");
    let to_viewer = |who: &Actor| Command::ChangeRole { member: id(who), role: Role::Viewer };
    stage.run(&olga, "makes mia a Viewer", to_viewer(&mia), "done by team.manage");
    stage.ask(&mia, Action::Collaborate, merger.clone(), "deny: no policy permits it");
    stage.run(&ann, "makes olga a Viewer", to_viewer(&olga), "denied by team.owner-access");
    stage.run(&operator, "makes olga a Viewer", to_viewer(&olga), "refused: last_administrator");
    stage.run(&ann, "removes vera", Command::RemoveMember { member: id(&vera) }, "done by team.manage");
    stage.ask(&vera, Action::ViewProject, merger, "deny: unknown_principal");
    stage.run(&ann, "deactivates mia", Command::DeactivateMember { member: id(&mia) }, "done by team.manage");
    stage.ask(&mia, Action::ViewOrganization, Kind::Organization.uid(acme), "deny by wall.deactivated-member");
}

/// Nine roles, the compliance team, billing, an MSP and its client, external auditors.
fn nine_roles(stage: &mut Stage<'_>) {
    stage.note("another product: nine roles, billing, an MSP and external auditors");
    let plan = Plan { bundled_seats: 3, seat_cents: 4900, contributor_seats: 0 };
    let (borealis, adam) = stage.organization("Borealis", plan, "adam", Role::Admin);
    let omar = stage.joins(&adam, borealis, "omar", Role::ComplianceOfficer);
    let cora = stage.joins(&adam, borealis, "cora", Role::ComplianceAdmin);
    let rita = stage.joins(&adam, borealis, "rita", Role::ReadOnly);
    let mona = stage.joins(&adam, borealis, "mona", Role::MspAdmin);
    let tim = stage.joins(&adam, borealis, "tim", Role::MspTechnician);
    let invitation = stage.makes(&adam, "invites eli", invite(borealis, "eli", Role::Employee), "done by team.manage");
    stage.note("eight days pass");
    stage.clock.forward(8);
    let link = stage.links.newest(own(&invitation));
    stage.run(&Actor::Bearer, "accepts with eli's link", Command::AcceptInvitation { link }, "refused: link");
    let resend = Command::ResendInvitation { invitation: own(&invitation) };
    stage.run(&adam, "sends eli's invitation again", resend, "done by team.manage");
    let eli = member(&stage.accepts("eli", own(&invitation)));

    stage.note("roles on what the application itself keeps");
    let organization = Kind::Organization.uid(borealis);
    let content = |uid: EntityUid| Entity::new(uid).with("organization", Value::Entity(organization.clone()));
    let in_force = |uid: EntityUid, since: i64| content(uid).with("activeFrom", Value::Datetime(at(since)));
    let policy = || in_force(grc::policy_document("remote-work"), -200);
    let control = || in_force(grc::control("backups"), -200);
    let ticket = || content(grc::ticket("t-1"));
    stage.ask(&omar, Action::Approve, policy(), "allow by roles.approver");
    stage.ask(&eli, Action::Approve, policy(), "deny: no policy permits it");
    stage.ask(&eli, Action::AcknowledgePolicy, policy(), "allow by roles.analyst");
    stage.ask(&cora, Action::ManageControl, control(), "allow by roles.run-compliance");
    stage.ask(&cora, Action::ManageSettings, organization.clone(), "deny: no policy permits it");
    stage.ask(&rita, Action::ViewCompliance, control(), "allow by roles.read-only");
    stage.ask(&rita, Action::ManageTicket, ticket(), "deny by wall.read-only");
    stage.ask(&tim, Action::ViewCompliance, control(), "deny: no policy permits it");
    let mark = Command::SetComplianceTeam { member: id(&tim), on: true };
    stage.run(&adam, "puts tim on the compliance team", mark, "done by team.manage");
    stage.ask(&tim, Action::ViewCompliance, control(), "allow by compliance-team.take-part");
    stage.ask(&tim, Action::BeAssigned, control(), "allow by compliance-team.take-part");

    stage.note("billing");
    let billing = |stage: &mut Stage<'_>, used, warning, after| {
        let bill = stage.directory.billing(&adam, borealis).unwrap();
        assert_eq!((bill.used, bill.monthly_total), (used, 14_700));
        assert_eq!((bill.warning(), bill.after_update), (warning, after));
        let warned = bill.warning().map_or(String::new(), |warning| format!(", {warning}"));
        stage.note(&format!("{used} of 3 bundled seats used, {} cents a month{warned}", bill.monthly_total));
    };
    billing(stage, 4, Some("Over plan limit"), Some(19_600));
    let deactivate = Command::DeactivateMember { member: id(&rita) };
    stage.run(&adam, "deactivates rita", deactivate, "done by team.manage");
    billing(stage, 3, None, None);
    stage.ask(&rita, Action::ViewOrganization, organization.clone(), "deny by wall.deactivated-member");
    stage.run(&adam, "reactivates rita", Command::ReactivateMember { member: id(&rita) }, "done by team.manage");
    stage.ask(&rita, Action::ViewOrganization, organization.clone(), "allow by roles.view-organization");

    stage.note("a client of the MSP");
    let client = Command::CreateClientOrganization {
        msp: borealis,
        name: name("Client"),
        email: email("carl"),
        role: Role::Admin,
    };
    stage.run(&adam, "creates a client", client.clone(), "denied: no policy permits it");
    let client = stage.makes(&mona, "creates a client", client, "done by msp.create-client");
    let carl = member(&stage.accepts("carl", stage.links.last()));
    stage.names.insert(client.to_string(), "Client".to_owned());
    stage.ask(&carl, Action::ViewTeam, client.clone(), "allow by team.manage");
    let theirs = || Entity::new(grc::ticket("t-2")).with("organization", Value::Entity(client.clone()));
    stage.ask(&tim, Action::ManageTicket, theirs(), "deny by wall.tenant-content");
    let assign = Command::AssignTechnician { technician: id(&tim), client: own(&client) };
    stage.run(&mona, "assigns tim to the client", assign, "done by msp.assign-technician");
    stage.ask(&tim, Action::ManageTicket, theirs(), "allow by msp.technician");
    stage.ask(&adam, Action::ManageTicket, theirs(), "deny by wall.tenant-content");

    stage.note("an external auditor");
    let period = Period { from: at(-90), to: at(-1) };
    let invite = Command::InviteAuditor {
        organization: borealis,
        name: name("Ada"),
        email: email("ada"),
        firm: name("Firm & Partners"),
        period: Some(period),
        expires_at: at(60),
    };
    stage.run(&cora, "invites the auditor ada", invite.clone(), "denied: no policy permits it");
    let auditor = own(&stage.makes(&adam, "invites the auditor ada", invite, "done by team.manage"));
    let ada = stage.name(Actor::Auditor(auditor), "ada");
    stage.ask(&ada, Action::OpenPortal, organization.clone(), "deny by wall.auditor-active");
    let link = stage.links.newest(auditor);
    assert_eq!(stage.directory.open_link(&link).unwrap().firm, name("Firm & Partners"));
    assert!(stage.directory.open_link(&link).is_ok(), "looking does not use it up");
    let password = Secret::new("correct horse battery");
    let set = Command::SetPassword { link: link.clone(), password: password.clone() };
    stage.run(&Actor::Bearer, "sets ada's password with the link", set.clone(), "done");
    stage.run(&Actor::Bearer, "sets ada's password with the link", set, "refused: link");
    let session = stage.directory.log_in(auditor, &password).unwrap().token;
    assert_eq!(stage.directory.session(&session).unwrap(), ada);
    stage.ask(&ada, Action::OpenPortal, organization.clone(), "allow by auditors.open-portal");
    let title = name("access reviews of the last quarter");
    let put = Command::CreateAuditRequest { organization: borealis, auditor, title };
    let request = stage.makes(&cora, "puts a request to ada", put, "done by roles.run-compliance");
    let approve = Command::ApproveAuditRequest { request: own(&request) };
    stage.run(&ada, "approves it", approve, "done by auditors.own-requests");
    stage.ask(&ada, Action::ViewCompliance, control(), "allow by auditors.view-scope");
    let newer = in_force(grc::control("newer than the period"), 0);
    stage.ask(&ada, Action::ViewCompliance, newer, "deny: no policy permits it");
    stage.ask(&ada, Action::ManageControl, control(), "deny: invalid_request");
    let package = grc::request(ada.uid(), Action::DownloadAuditPackage, organization.clone());
    let package = grc::with_window(package, at(-365), at(0));
    let decision = stage.decide(&package, "allow by auditors.download-package");
    let window = decision.window().unwrap();
    assert_eq!((window.from, window.to), (period.from, period.to), "clamped to the audit period");
    stage.note("a year was asked for, the audit period is what the package has");
    let resend = Command::ResendAuditorInvitation { auditor };
    stage.run(&adam, "sends ada's invitation again", resend, "done by team.manage");
    let newest = stage.links.newest(auditor);
    stage.run(&adam, "revokes ada", Command::RevokeAuditor { auditor }, "done by team.manage");
    stage.ask(&ada, Action::OpenPortal, organization.clone(), "deny by wall.auditor-active");
    assert!(stage.directory.open_link(&newest).is_err(), "the link has ended");
    assert!(stage.directory.session(&session).is_err(), "so has the session");
    assert!(stage.directory.log_in(auditor, &password).is_err(), "so has the password");
    stage.note("ada's link, session and password have ended with it");
    let log = stage.directory.auditors(&adam, borealis).unwrap().log;
    let log: Vec<&str> = log.iter().map(|logged| logged.entry.action.as_str()).collect();
    assert_eq!(log, ["inviteAuditor", "setPassword", "logIn", "resendAuditorInvitation", "revokeAuditor"]);
    stage.note(&format!("the log of invitations: {}", log.join(", ")));
}

// ------------------------------------------------------------ the stage

/// A directory, its clock and its links, who is who, and where all is written down.
struct Stage<'o> {
    directory: Directory,
    clock: Calendar,
    links: Links,
    names: BTreeMap<String, String>,
    commands: u32,
    out: &'o mut dyn Write,
}

impl<'o> Stage<'o> {
    fn new(out: &'o mut dyn Write) -> Self {
        let (clock, links) = (Calendar::default(), Links::default());
        let directory =
            Directory::builder().clock(clock.clone()).sender(links.clone()).open(Arc::new(Memory::new(1))).unwrap();
        Self { directory, clock, links, names: BTreeMap::new(), commands: 0, out }
    }

    fn note(&mut self, text: &str) {
        writeln!(self.out, "-- {text}").unwrap();
    }

    fn name(&mut self, who: Actor, name: &str) -> Actor {
        self.names.insert(who.uid().to_string(), name.to_owned());
        who
    }

    fn named(&self, who: &Actor) -> String {
        match who {
            Actor::Operator => "the operator".to_owned(),
            Actor::Bearer => "somebody".to_owned(),
            who => self.shown(&who.uid()),
        }
    }

    /// Carries out a command, and gives what it made or changed.
    #[track_caller]
    fn run(&mut self, who: &Actor, what: &str, command: Command, expected: &str) -> Option<EntityUid> {
        self.commands += 1;
        let ran = self.directory.run(who, &format!("command-{}", self.commands), &command);
        let answer = match &ran {
            Ok(outcome) => {
                let by = self.permitted(outcome.revision().number);
                if by.is_empty() {
                    "done".to_owned()
                } else {
                    format!("done by {}", by.join(", "))
                }
            }
            Err(DirectoryError::Denied(denial)) => format!("denied{}", reasons(denial.decision())),
            Err(DirectoryError::Link) => "refused: link".to_owned(),
            Err(error) => format!("refused: {}", error.rule().unwrap_or_else(|| panic!("{error}")).as_str()),
        };
        self.say(&self.named(who), what, &answer, expected);
        ran.ok().and_then(|outcome| outcome.target())
    }

    #[track_caller]
    fn makes(&mut self, who: &Actor, what: &str, command: Command, expected: &str) -> EntityUid {
        self.run(who, what, command, expected).expect("it was carried out")
    }

    /// The policies that the journal names for a revision.
    fn permitted(&self, number: u64) -> Vec<String> {
        let all = self.directory.journal(&Actor::Operator, &Default::default()).unwrap();
        let entry = all.iter().find(|logged| logged.number == number).unwrap();
        let decision: serde_json::Value = serde_json::from_str(&entry.entry.decision).unwrap();
        let ids = decision["policies"].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn ask(&mut self, who: &impl Principal, action: Action, resource: impl Into<Resource>, expected: &str) {
        self.decide(&grc::request(who.uid(), action, resource), expected);
    }

    #[track_caller]
    fn decide(&mut self, request: &Request, expected: &str) -> Decision {
        let decision = self.directory.is_authorized(request);
        let answer = if decision.allowed() { "allow" } else { "deny" };
        let resource = request.resource().uid();
        let kind = resource.type_name().trim_start_matches("Grc::");
        let what = format!("{} on {kind} {}", request.action().id(), self.shown(resource));
        self.say(&self.shown(request.principal()), &what, &format!("{answer}{}", reasons(&decision)), expected);
        decision
    }

    fn shown(&self, resource: &EntityUid) -> String {
        self.names.get(&resource.to_string()).cloned().unwrap_or_else(|| resource.id().to_owned())
    }

    #[track_caller]
    fn say(&mut self, who: &str, what: &str, answer: &str, expected: &str) {
        let line = format!("{who} {what}: {answer}");
        assert_eq!(answer, expected, "{line}");
        writeln!(self.out, "{line}").unwrap();
    }

    /// An organization and its first member.
    fn organization(&mut self, called: &str, plan: Plan, first: &str, role: Role) -> (Id, Actor) {
        let command = Command::CreateOrganization { name: name(called), plan, email: email(first), role };
        let what = format!("creates {called} and invites {first} as {}", role.label());
        let made = self.makes(&Actor::Operator, &what, command, "done");
        self.names.insert(made.to_string(), called.to_owned());
        (own(&made), member(&self.accepts(first, self.links.last())))
    }

    /// Invites somebody, who accepts.
    fn joins(&mut self, who: &Actor, organization: Id, called: &str, role: Role) -> Actor {
        let what = format!("invites {called} as {}", role.label());
        let invitation = self.makes(who, &what, invite(organization, called, role), "done by team.manage");
        member(&self.accepts(called, own(&invitation)))
    }

    fn accepts(&mut self, called: &str, invitation: Id) -> EntityUid {
        let link = self.links.newest(invitation);
        let what = format!("accepts with {called}'s link");
        let made = self.makes(&Actor::Bearer, &what, Command::AcceptInvitation { link }, "done");
        self.names.insert(made.to_string(), called.to_owned());
        made
    }
}

fn reasons(decision: &Decision) -> String {
    let ids: Vec<&str> = decision.determining().collect();
    match decision.errors().next() {
        Some(error) => format!(": {}", error.code().as_str()),
        None if ids.is_empty() => ": no policy permits it".to_owned(),
        None => format!(" by {}", ids.join(", ")),
    }
}

/// Who asks: whoever gives commands too, or a guest, who gives none.
trait Principal {
    fn uid(&self) -> EntityUid;
}

impl Principal for Actor {
    fn uid(&self) -> EntityUid {
        match self {
            Actor::Member(id) => Kind::Member.uid(*id),
            Actor::Auditor(id) => Kind::Auditor.uid(*id),
            other => panic!("{other:?} has no uid"),
        }
    }
}

impl Principal for EntityUid {
    fn uid(&self) -> EntityUid {
        self.clone()
    }
}

fn member(uid: &EntityUid) -> Actor {
    Actor::Member(own(uid))
}

fn id(who: &Actor) -> Id {
    own(&who.uid())
}

fn own(uid: &EntityUid) -> Id {
    uid.id().parse().unwrap()
}

fn email(who: &str) -> Email {
    format!("{who}@example.test").parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn invite(organization: Id, who: &str, role: Role) -> Command {
    Command::InviteMember { organization, email: email(who), role }
}

const DAY: i64 = 24 * 60 * 60 * 1000;

/// So many days after the beginning.
fn at(days: i64) -> Timestamp {
    // 2026-03-01T09:00:00Z
    Timestamp::from_millis(1_772_355_600_000 + days * DAY).unwrap()
}

/// The application's clock, which days can be put forward.
#[derive(Clone, Default)]
struct Calendar(Arc<AtomicI64>);

impl Calendar {
    fn forward(&self, days: i64) {
        self.0.fetch_add(days, Ordering::SeqCst);
    }
}

impl Clock for Calendar {
    fn now(&self) -> Option<Timestamp> {
        Some(at(self.0.load(Ordering::SeqCst)))
    }
}

/// The application's mail: whoever has the newest link of an invitation can use it.
#[derive(Clone, Default)]
struct Links(Arc<Mutex<Vec<(Id, Secret)>>>);

impl Links {
    fn newest(&self, invitation: Id) -> Secret {
        let sent = self.0.lock().unwrap();
        sent.iter().rev().find(|(id, _)| *id == invitation).expect("it was sent").1.clone()
    }

    fn last(&self) -> Id {
        self.0.lock().unwrap().last().expect("something was sent").0
    }
}

impl Sender for Links {
    fn send(&self, message: &Message<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.lock().unwrap().push((message.invitation, message.link.clone()));
        Ok(())
    }
}
