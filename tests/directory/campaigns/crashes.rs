//! A process that is killed in the middle of its commands: whatever it acknowledged is there, and nothing is half done.
//!
//! Its random numbers are sown, so that a directory in memory that carries out as many commands must be equal to the file
//! that is left, row by row and entry by entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::directory::{Actor, Command, Outcome};
use bailiwick::grc::Role;
use bailiwick::store::{Filter, Id, Logged, Memory, Sqlite, Store};
use bailiwick::Timestamp;

use super::{opened, say, told, Child, Launch};
use crate::world::{email, name, own, rows, sqlite, Acme, Folder, World, DAY, EPOCH, START};

/// What one crash left.
#[derive(Debug)]
pub struct Left {
    pub acknowledged: usize,
    /// As many, or one more: whose commit was done and not told any more.
    pub committed: usize,
}

/// The commands of a process, each from what those before it made.
struct Script {
    organization: Id,
    owner: Actor,
    member: Option<Id>,
    project: Option<Id>,
    auditor: Option<Id>,
}

impl Script {
    fn new(organization: Id, owner: Id) -> Self {
        Self { organization, owner: Actor::Member(owner), member: None, project: None, auditor: None }
    }

    fn command(&self, world: &World, n: usize) -> (Actor, Command) {
        let organization = self.organization;
        let (member, project, auditor) = (self.member, self.project, self.auditor);
        let address = email(&format!("p{n}@x.test"));
        let command = match n % 10 {
            0 => Command::InviteMember { organization, email: address, role: Role::Viewer },
            1 => return (Actor::Bearer, Command::AcceptInvitation { link: world.outbox.last() }),
            2 => Command::SetComplianceTeam { member: member.unwrap(), on: true },
            3 => Command::CreateProject { organization, name: name("Project") },
            4 => Command::AddToProject { project: project.unwrap(), member: member.unwrap() },
            5 => Command::InviteAuditor {
                organization,
                name: name("Ada"),
                email: address,
                firm: name("Firm"),
                period: None,
                expires_at: Timestamp::from_millis(START + DAY).unwrap(),
            },
            6 => Command::ResendAuditorInvitation { auditor: auditor.unwrap() },
            7 => Command::RevokeAuditor { auditor: auditor.unwrap() },
            8 => Command::DeactivateMember { member: member.unwrap() },
            _ => Command::RemoveMember { member: member.unwrap() },
        };
        (self.owner.clone(), command)
    }

    fn note(&mut self, n: usize, outcome: &Outcome) {
        let made = match n % 10 {
            1 => &mut self.member,
            3 => &mut self.project,
            5 => &mut self.auditor,
            _ => return,
        };
        *made = Some(own(outcome));
    }
}

fn key(n: usize) -> String {
    format!("crash-{n}")
}

/// What a process does that is to be killed.
pub fn child(path: &str, seed: &str, organization: &str, owner: &str) {
    let world = World::seeded(opened(path), seed.parse().unwrap());
    let mut script = Script::new(organization.parse().unwrap(), owner.parse().unwrap());
    say("ready");
    // It goes on until it is killed, or its parent is gone.
    let parent = std::thread::spawn(|| told().for_each(drop));
    for n in 0.. {
        if parent.is_finished() {
            return;
        }
        let (actor, command) = script.command(&world, n);
        let outcome = world.directory.run(&actor, &key(n), &command).unwrap();
        script.note(n, &outcome);
        say(&format!("done {n} {}", outcome.revision().number));
    }
}

/// Kills a process at a moment that `random` chooses, and says what it left.
///
/// # Errors
/// What is lost, half done or broken.
pub fn crash(launch: Launch<'_>, random: &mut fastrand::Rng) -> Result<Left, String> {
    let folder = Folder::new();
    let seed = random.u64(..1 << 40) * 2;
    let base = Acme::of(World::seeded(sqlite(&folder), seed));
    let (organization, owner) = (base.organization, base.owner_id);
    // Whether another process has the file open meanwhile.
    let base = random.bool().then_some(base);
    let file = folder.file();
    let ids = [organization, owner].map(|id| id.to_string());
    let own_seed = (seed + 1).to_string();
    let role = ["crash", file.to_str().unwrap(), &own_seed, &ids[0], &ids[1]];
    let acknowledged = kill(Child::begin(launch, &role), random);
    drop(base);

    let integrity = integrity(&file);
    holds(integrity == "ok", || format!("SQLite says: {integrity}"))?;
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&file).map_err(|e| e.to_string())?);
    let after = World::seeded(Arc::clone(&store), seed + 2);
    let verified = after.directory.verify().map_err(|e| e.to_string())?;
    holds(verified.is_ok(), || format!("the journal: {verified:?}"))?;

    // What memory holds after as many commands.
    let twin: Arc<dyn Store> = Arc::new(Memory::new(EPOCH));
    drop(Acme::of(World::seeded(Arc::clone(&twin), seed)));
    let began = head(&twin);
    let committed = usize::try_from(head(&store) - began).map_err(|e| e.to_string())?;
    let twins = World::seeded(Arc::clone(&twin), seed + 1);
    let mut script = Script::new(organization, owner);
    let mut ran = Vec::new();
    for n in 0..committed {
        let (actor, command) = script.command(&twins, n);
        let outcome = twins.directory.run(&actor, &key(n), &command).map_err(|e| e.to_string())?;
        script.note(n, &outcome);
        ran.push((actor, command, outcome));
    }
    let told = acknowledged.len();
    holds(told == committed || told + 1 == committed, || format!("{told} acknowledged, {committed} committed"))?;
    for (n, number) in acknowledged.iter().enumerate() {
        let expected = ran[n].2.revision().number;
        holds(*number == expected, || format!("command {n} was told to be revision {number}, not {expected}"))?;
    }
    holds(rows(&*store) == rows(&*twin), || "the rows are not those of as many commands".into())?;
    let (journal, twins_journal) = (journal(&after), journal(&twins));
    holds(journal == twins_journal, || "the journal is not that of as many commands".into())?;

    // Each is told again, and the next one goes on.
    for (n, (actor, command, outcome)) in ran.iter().enumerate() {
        let again = after.directory.run(actor, &key(n), command).map_err(|e| format!("command {n}: {e}"))?;
        let same = again.replayed() && again.revision() == outcome.revision() && again.target() == outcome.target();
        holds(same, || format!("command {n} is not told again: {again:?}"))?;
    }
    let (actor, command) = script.command(&twins, committed);
    let next = after.directory.run(&actor, &key(committed), &command).map_err(|e| e.to_string())?;
    holds(!next.replayed(), || "a command was recorded that was not carried out".into())?;
    Ok(Left { acknowledged: told, committed })
}

/// Kills it after some acknowledgements and some time more, or at some time after its beginning. Gives the revisions that
/// it acknowledged.
fn kill(mut child: Child, random: &mut fastrand::Rng) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut hear = |said: String| {
        if let ["done", n, number] = said.split(' ').collect::<Vec<_>>()[..] {
            assert_eq!(n.parse(), Ok(numbers.len()));
            numbers.push(number.parse().unwrap());
        }
    };
    let wait = if random.u8(0..5) == 0 {
        random.u64(0..200_000)
    } else {
        assert_eq!(child.hear().as_deref(), Some("ready"));
        (0..random.usize(0..25)).for_each(|_| hear(child.hear().expect("it goes on until it is killed")));
        random.u64(0..4_000)
    };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(wait) {
        std::hint::spin_loop();
    }
    child.kill();
    while let Some(said) = child.hear() {
        hear(said);
    }
    numbers
}

fn holds(what: bool, told: impl FnOnce() -> String) -> Result<(), String> {
    if what {
        Ok(())
    } else {
        Err(told())
    }
}

fn head(store: &Arc<dyn Store>) -> u64 {
    store.read().unwrap().head().unwrap().number
}

fn journal(world: &World) -> Vec<Logged> {
    world.directory.journal(&Actor::Operator, &Filter::default()).unwrap()
}

fn integrity(file: &std::path::Path) -> String {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}
