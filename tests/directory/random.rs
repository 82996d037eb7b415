//! Random commands: memory and SQLite give the same answers and end in the same state, and the snapshot that followed
//! by changes is the one that is loaded whole.

use std::collections::BTreeMap;

use bailiwick::directory::{Actor, Command, DirectoryError, Outcome, Secret};
use bailiwick::grc::Role;
use bailiwick::store::{Filter, Id, Kind, Memory, Period, Plan, Row, Store};
use bailiwick::{loader, Entity, Snapshot, Timestamp};

use crate::world::{email, id, name, rows, sqlite, Folder, World, DAY, EPOCH, PLAN, START};

/// The ids there are, as memory has them.
#[derive(Default)]
struct Ids {
    all: BTreeMap<Kind, Vec<Id>>,
    /// Members with a project of their organization, and technicians with a client of theirs.
    with_project: Vec<(Id, Id)>,
    with_client: Vec<(Id, Id)>,
}

impl Ids {
    fn of(store: &dyn Store) -> Self {
        let mut ids = Self::default();
        let rows = rows(store);
        for row in &rows {
            ids.all.entry(row.kind()).or_default().push(row.id());
            let Row::Member(member) = row else { continue };
            for other in &rows {
                match other {
                    Row::Project(project) if project.organization == member.organization => {
                        ids.with_project.push((member.id, project.id));
                    }
                    Row::Organization(client)
                        if client.parent == Some(member.organization) && member.role == Role::MspTechnician =>
                    {
                        ids.with_client.push((member.id, client.id));
                    }
                    _ => {}
                }
            }
        }
        ids
    }

    /// One of them, those made last more often; rarely one that is not there.
    fn pick(&self, random: &mut fastrand::Rng, kind: Kind) -> Id {
        match self.all.get(&kind) {
            Some(ids) if random.u8(..) > 2 => {
                let back = random.usize(0..ids.len()).min(random.usize(0..ids.len()));
                ids[ids.len() - 1 - back]
            }
            _ => id(random.u128(0..1000)),
        }
    }
}

/// The links that were sent, and the sessions that were begun, in their order.
#[derive(Default)]
struct Links {
    invitations: Vec<Secret>,
    auditors: Vec<Secret>,
    sessions: Vec<Secret>,
}

/// One of the last, rarely one that was never sent.
fn one_of_the_last(random: &mut fastrand::Rng, links: &[Secret], last: usize) -> Secret {
    let link = links.len().checked_sub(1 + random.usize(0..last)).and_then(|at| links.get(at));
    link.cloned().unwrap_or(Secret::new("0"))
}

fn password() -> Secret {
    Secret::new("correct horse battery")
}

/// What a command led to, as a text where it failed.
type Answer = Result<Option<Outcome>, String>;

/// Carries out a command. A login has a way of its own, now and then with a wrong password.
fn carry_out(
    world: &World,
    actor: &Actor,
    key: &str,
    command: &Command,
    wrong: bool,
    sessions: &mut Vec<Secret>,
) -> Answer {
    let ran = match command {
        Command::LogIn { auditor } => {
            let password = if wrong { Secret::new("wrong horse battery") } else { password() };
            world.directory.log_in(*auditor, &password).map(|session| {
                assert_eq!(world.directory.session(&session.token).unwrap(), Actor::Auditor(*auditor));
                sessions.push(session.token);
                None
            })
        }
        command => world.directory.run(actor, key, command).map(Some),
    };
    ran.map_err(|error| match error {
        DirectoryError::Denied(denial) => format!("denied: {denial}"),
        DirectoryError::KeyReused(_) => "key reused".into(),
        DirectoryError::Login => "login".into(),
        error => error.rule().map_or(format!("error: {error}"), |rule| format!("{}: {error}", rule.as_str())),
    })
}

fn command(random: &mut fastrand::Rng, ids: &Ids, links: &Links) -> (Actor, Command) {
    let role = Role::ALL[random.usize(0..Role::ALL.len())];
    // Few addresses, so that they meet; in more than one case.
    let n = random.u8(0..60);
    let address = if random.bool() { format!("p{n}@x.test") } else { format!("P{n}@X.test") };
    let address = email(&address);
    let plan = Plan { contributor_seats: random.u32(0..6), ..PLAN };
    let (organization, project, member, guest, invitation) = (
        ids.pick(random, Kind::Organization),
        ids.pick(random, Kind::Project),
        ids.pick(random, Kind::Member),
        ids.pick(random, Kind::Guest),
        ids.pick(random, Kind::Invitation),
    );
    let one_of = |random: &mut fastrand::Rng, pairs: &[(Id, Id)], other: (Id, Id)| match pairs.len() {
        0 => other,
        _ if random.u8(0..4) == 0 => other,
        // Few of them, so that they meet again.
        len => pairs[random.usize(0..len.min(8))],
    };
    let (technician, client) = one_of(random, &ids.with_client, (member, organization));
    let (colleague, of_theirs) = one_of(random, &ids.with_project, (member, project));
    let auditor = ids.pick(random, Kind::Auditor);
    let request = ids.pick(random, Kind::AuditRequest);
    let hour = 3_600_000;
    let at = |hours: i64| Timestamp::from_millis(START + hours * hour).unwrap();
    let command = match random.u32(0..116) {
        0 => Command::CreateOrganization { name: name("Acme"), plan, email: address, role: Role::Owner },
        1..=2 => Command::CreateClientOrganization {
            msp: organization,
            name: name("Client"),
            email: address,
            role: Role::Admin,
        },
        3..=5 => Command::SetPlan { organization, plan },
        6..=19 => Command::InviteMember { organization, email: address, role },
        20..=24 => Command::InviteGuest { project, email: address },
        25..=29 => Command::ResendInvitation { invitation },
        30..=32 => Command::CancelInvitation { invitation },
        33..=49 => {
            let link = one_of_the_last(random, &links.invitations, 12);
            return (Actor::Bearer, Command::AcceptInvitation { link });
        }
        50..=55 => Command::ChangeRole { member, role },
        56..=60 => Command::DeactivateMember { member },
        61..=65 => Command::ReactivateMember { member },
        66..=67 => Command::RemoveMember { member },
        68..=70 => Command::SetComplianceTeam { member, on: random.bool() },
        71..=76 => Command::AssignContributorSeat { member },
        77..=78 => Command::UnassignContributorSeat { member },
        79 => Command::RecordMfaLockout { member },
        80 => Command::ClearMfaLockout { member },
        81 => Command::ResetMfa { member },
        82 => Command::RecordMfaSetup { member },
        83..=85 => Command::AssignTechnician { technician, client },
        86 => Command::UnassignTechnician { technician, client },
        87..=89 => Command::CreateProject { organization, name: name("Project") },
        90..=93 => Command::AddToProject { project: of_theirs, member: colleague },
        94 => Command::RemoveFromProject { project: of_theirs, member: colleague },
        95..=96 => Command::DeactivateGuest { guest },
        97 => Command::ReactivateGuest { guest },
        98 => Command::RemoveGuest { guest },
        99..=102 => {
            let period = random.bool().then(|| Period { from: at(random.i64(0..9)), to: at(random.i64(0..9)) });
            let expires_at = at(random.i64(0..24 * 400));
            let (name, firm) = (name("Aud"), name("Firm"));
            Command::InviteAuditor { organization, name, email: address, firm, period, expires_at }
        }
        103 => Command::ResendAuditorInvitation { auditor },
        104 => Command::RevokeAuditor { auditor },
        105..=106 => Command::CreateAuditRequest { organization, auditor, title: name("Title") },
        107..=110 => {
            let (approve, flag) = (Command::ApproveAuditRequest { request }, Command::FlagAuditRequest { request });
            let command = if random.bool() { approve } else { flag };
            return (Actor::Auditor(auditor), command);
        }
        111..=112 => {
            let link = one_of_the_last(random, &links.auditors, 4);
            return (Actor::Bearer, Command::SetPassword { link, password: password() });
        }
        113 => return (Actor::Bearer, Command::LogIn { auditor }),
        114 => {
            let session = one_of_the_last(random, &links.sessions, 4);
            return (Actor::Bearer, Command::LogOut { session });
        }
        _ => Command::EraseTexts { number: random.u64(0..200), place: random.u32(0..2) },
    };
    let actor = match random.u8(0..10) {
        0..=6 => Actor::Operator,
        _ => Actor::Member(ids.pick(random, Kind::Member)),
    };
    (actor, command)
}

fn entities(snapshot: &Snapshot) -> Vec<Entity> {
    let mut all: Vec<Entity> = snapshot.iter().collect();
    all.sort_by(|a, b| a.uid().cmp(b.uid()));
    all
}

/// How many worlds there are: the more, the smaller each stays, and the quicker it is loaded whole.
const WORLDS: u64 = 5;
/// How many commands each of them is given.
const ROUNDS: usize = 2_000;

#[test]
fn random_commands_leave_memory_and_sqlite_equal_and_the_snapshot_as_it_is_loaded_at_every_revision() {
    let mut met = BTreeMap::new();
    (0..WORLDS).for_each(|seed| world(seed, &mut met));
    // Every command was carried out, and every rule met.
    let missing: Vec<&str> = EVERY.into_iter().filter(|what| !met.contains_key(*what)).collect();
    assert!(missing.is_empty(), "never met: {missing:?} among {met:#?}");
}

/// Gives a world its commands, and counts in `met` what they led to.
fn world(seed: u64, met: &mut BTreeMap<String, usize>) {
    let folder = Folder::new();
    let worlds = [World::seeded(std::sync::Arc::new(Memory::new(EPOCH)), seed), World::seeded(sqlite(&folder), seed)];
    let [memory, file] = &worlds;
    let mut random = fastrand::Rng::with_seed(11 + seed);
    let (mut ids, mut links) = (Ids::default(), Links::default());
    let mut said: Vec<(String, Actor, Command)> = Vec::new();
    let head = || file.store.read().unwrap().head().unwrap();
    let mut compared = 0;
    for round in 0..ROUNDS {
        if round % 20 == 0 {
            ids = Ids::of(&*memory.store);
        }
        if random.u8(0..50) == 0 {
            let step = random.i64(0..4 * DAY);
            for world in &worlds {
                world.clock.forward(step);
            }
        }
        let (mut actor, mut command) = command(&mut random, &ids, &links);
        // Now and then a key comes again: with the same command, or with another.
        let mut key = format!("k{round}");
        match (random.u8(0..80), said.get(random.usize(0..said.len().max(1)))) {
            (0, Some(before)) => (key, actor, command) = before.clone(),
            (1, Some(before)) => key.clone_from(&before.0),
            _ => {}
        }
        let wrong = random.u8(0..3) == 0;
        let mut begun = [Vec::new(), Vec::new()];
        let [of_one, of_two] = &mut begun;
        let one = carry_out(memory, &actor, &key, &command, wrong, of_one);
        let two = carry_out(file, &actor, &key, &command, wrong, of_two);
        assert_eq!(one, two, "round {round}: {actor:?} {command:?}");
        assert_eq!(begun[0], begun[1], "round {round}");
        links.sessions.append(&mut begun[0]);
        let kind = match &one {
            Ok(Some(outcome)) if outcome.replayed() => "replayed".to_owned(),
            Ok(_) => format!("{} done", command.name()),
            Err(error) => error.split(':').next().unwrap().to_owned(),
        };
        *met.entry(kind).or_default() += 1;
        if let Ok(Some(outcome)) = one.as_ref() {
            if let Some(sent) = outcome.invitation().filter(|_| !outcome.replayed()) {
                let to_auditors =
                    matches!(command, Command::InviteAuditor { .. } | Command::ResendAuditorInvitation { .. });
                let links = if to_auditors { &mut links.auditors } else { &mut links.invitations };
                links.push(memory.outbox.newest(sent));
            }
            said.push((key, actor, command));
        }
        let number = head().number;
        assert_eq!(file.directory.authorizer().health().revision.number, number, "round {round}");
        if number > compared {
            assert_eq!(number, compared + 1, "round {round}");
            compared = number;
            let whole = entities(&loader::snapshot(&file.directory.authorizer().bundle(), &*file.store).unwrap());
            for world in &worlds {
                assert_eq!(entities(&world.directory.authorizer().snapshot()), whole, "round {round}");
            }
        }
        if round % 20 == 0 {
            assert_eq!(rows(&*memory.store), rows(&*file.store), "round {round}");
        }
    }
    assert_eq!(rows(&*memory.store), rows(&*file.store));
    let journal = |world: &World| world.directory.journal(&Actor::Operator, &Filter::default()).unwrap();
    assert_eq!(journal(memory), journal(file));
    assert_eq!(memory.store.read().unwrap().head().unwrap(), head());
    assert!(file.directory.verify().unwrap().is_ok());
    assert!(compared as usize > ROUNDS / 3, "only {compared} revisions of {ROUNDS} commands");
}

const EVERY: [&str; 50] = [
    "createOrganization done",
    "createClientOrganization done",
    "setPlan done",
    "inviteMember done",
    "inviteGuest done",
    "resendInvitation done",
    "cancelInvitation done",
    "acceptInvitation done",
    "changeRole done",
    "deactivateMember done",
    "reactivateMember done",
    "removeMember done",
    "setComplianceTeam done",
    "assignContributorSeat done",
    "unassignContributorSeat done",
    "recordMfaLockout done",
    "clearMfaLockout done",
    "resetMfa done",
    "recordMfaSetup done",
    "assignTechnician done",
    "unassignTechnician done",
    "createProject done",
    "addToProject done",
    "removeFromProject done",
    "deactivateGuest done",
    "reactivateGuest done",
    "removeGuest done",
    "eraseTexts done",
    "inviteAuditor done",
    "resendAuditorInvitation done",
    "revokeAuditor done",
    "createAuditRequest done",
    "setPassword done",
    "logIn done",
    "logOut done",
    "login",
    "period",
    "replayed",
    "key reused",
    "denied",
    "unknown",
    "operator_only",
    "as_it_is",
    "state",
    "last_administrator",
    "no_seat",
    "already_member",
    "already_invited",
    "misplaced",
    "not_technician",
];
