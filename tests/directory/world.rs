//! What the tests stand on: stores, a clock that is set, links that are caught, and a small organization.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick::directory::{Actor, Command, Directory, DirectoryError, Message, Outcome, Rule, Secret, Sender};
use bailiwick::grc::Role;
use bailiwick::store::{Email, Id, Kind, Memory, Name, Plan, Row, Sqlite, Store};
use bailiwick::{Clock, Timestamp};

/// A folder of its own, removed when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("directory-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        // Examples have none.
        let temporary = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = temporary.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("directory.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn sqlite(folder: &Folder) -> Arc<dyn Store> {
    Arc::new(Sqlite::create(&folder.file(), EPOCH).unwrap())
}

pub const EPOCH: u64 = 77;

/// Runs a test on each store.
pub fn on_both(test: impl Fn(Arc<dyn Store>)) {
    test(Arc::new(Memory::new(EPOCH)));
    let folder = Folder::new();
    test(sqlite(&folder));
}

/// A clock that shows what it is set to.
#[derive(Clone)]
pub struct Dial(Arc<AtomicI64>);

pub const START: i64 = 1_772_000_000_000;
pub const DAY: i64 = 24 * 60 * 60 * 1000;

impl Dial {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }

    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub fn forward(&self, millis: i64) -> i64 {
        self.0.fetch_add(millis, Ordering::SeqCst) + millis
    }
}

impl Clock for Dial {
    fn now(&self) -> Option<Timestamp> {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Keeps what was sent: the newest link of each invitation last.
#[derive(Clone, Default)]
pub struct Outbox(Arc<Mutex<Vec<(Id, Secret)>>>);

impl Outbox {
    pub fn newest(&self, invitation: Id) -> Secret {
        let sent = self.0.lock().unwrap();
        sent.iter().rev().find(|(id, _)| *id == invitation).expect("it was sent").1.clone()
    }

    /// The link that was sent last.
    pub fn last(&self) -> Secret {
        self.0.lock().unwrap().last().expect("something was sent").1.clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Sender for Outbox {
    fn send(&self, message: &Message<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.lock().unwrap().push((message.invitation, message.link.clone()));
        Ok(())
    }
}

pub fn email(text: &str) -> Email {
    text.parse().unwrap()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn id(n: u128) -> Id {
    Id::from_bytes((0x0190_0000_0000_7000_8000_0000_0000_0000_u128 + n).to_be_bytes())
}

/// A directory with its clock and what it sent.
pub struct World {
    pub directory: Directory,
    pub store: Arc<dyn Store>,
    pub clock: Dial,
    pub outbox: Outbox,
}

impl World {
    pub fn new(store: Arc<dyn Store>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::seeded(store, NEXT.fetch_add(1, Ordering::SeqCst))
    }

    /// One that draws the same ids as another of the same seed.
    pub fn seeded(store: Arc<dyn Store>, seed: u64) -> Self {
        let (clock, outbox) = (Dial::new(), Outbox::default());
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let directory = Directory::builder()
            .clock(clock.clone())
            .sender(outbox.clone())
            .random(move |bytes| {
                random.lock().unwrap().fill(bytes);
                Ok(())
            })
            .open(Arc::clone(&store))
            .unwrap();
        Self { directory, store, clock, outbox }
    }

    /// Carries out a command under a key of its own.
    pub fn run(&self, actor: &Actor, command: Command) -> Result<Outcome, DirectoryError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = format!("key-{}", NEXT.fetch_add(1, Ordering::SeqCst));
        self.directory.run(actor, &key, &command)
    }

    #[track_caller]
    pub fn ok(&self, actor: &Actor, command: Command) -> Outcome {
        self.run(actor, command.clone()).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// The rule that a command breaks.
    #[track_caller]
    pub fn rule(&self, actor: &Actor, command: Command) -> Rule {
        match self.run(actor, command.clone()) {
            Err(DirectoryError::Refused(refusal)) => refusal.rule(),
            other => panic!("{command:?}: {other:?}"),
        }
    }

    /// The policies that deny a command; none where no policy permits it.
    #[track_caller]
    pub fn denied(&self, actor: &Actor, command: Command) -> Vec<String> {
        match self.run(actor, command.clone()) {
            Err(DirectoryError::Denied(denial)) => denial.decision().determining().map(str::to_owned).collect(),
            other => panic!("{command:?}: {other:?}"),
        }
    }

    /// An organization without members, and its first invitation.
    pub fn organization(&self, plan: Plan) -> (Id, Id) {
        let (name, email) = (name("Acme"), email("first@acme.test"));
        let outcome = self.ok(&Actor::Operator, Command::CreateOrganization { name, plan, email, role: Role::Owner });
        (own(&outcome), outcome.invitation().unwrap())
    }

    pub fn accept(&self, invitation: Id) -> Id {
        own(&self.ok(&Actor::Bearer, Command::AcceptInvitation { link: self.outbox.newest(invitation) }))
    }

    /// A member who came by an invitation of the operator.
    pub fn member(&self, organization: Id, address: &str, role: Role) -> Id {
        let invite = Command::InviteMember { organization, email: email(address), role };
        self.accept(self.ok(&Actor::Operator, invite).invitation().unwrap())
    }

    pub fn row(&self, kind: Kind, id: Id) -> Option<Row> {
        self.store.read().unwrap().get(kind, id).unwrap()
    }

    pub fn member_row(&self, id: Id) -> bailiwick::store::Member {
        match self.row(Kind::Member, id) {
            Some(Row::Member(member)) => member,
            other => panic!("{other:?}"),
        }
    }
}

/// All rows, with what hides from an export.
pub fn rows(store: &dyn Store) -> Vec<Row> {
    let (mut all, mut tx) = (Vec::new(), store.read().unwrap());
    for kind in Kind::ALL {
        let visit = &mut |row| {
            all.push(row);
            Ok(())
        };
        tx.scan(kind, None, visit).unwrap();
    }
    all
}

/// The id of what a command made or changed.
pub fn own(outcome: &Outcome) -> Id {
    outcome.target().unwrap().id().parse().unwrap()
}

/// An organization with an Owner, an Admin, an Analyst and a project, and three contributor seats.
pub struct Acme {
    pub world: World,
    pub organization: Id,
    pub owner: Actor,
    pub owner_id: Id,
    pub admin: Actor,
    pub admin_id: Id,
    pub analyst: Actor,
    pub analyst_id: Id,
    pub project: Id,
}

pub const PLAN: Plan = Plan { bundled_seats: 2, seat_cents: 4900, contributor_seats: 2 };

impl Acme {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::of(World::new(store))
    }

    pub fn of(world: World) -> Self {
        let (organization, invitation) = world.organization(PLAN);
        let owner_id = world.accept(invitation);
        let admin_id = world.member(organization, "ann@acme.test", Role::Admin);
        let analyst_id = world.member(organization, "eli@acme.test", Role::Employee);
        let owner = Actor::Member(owner_id);
        let project = own(&world.ok(&owner, Command::CreateProject { organization, name: name("Merger") }));
        let (admin, analyst) = (Actor::Member(admin_id), Actor::Member(analyst_id));
        Self { world, organization, owner, owner_id, admin, admin_id, analyst, analyst_id, project }
    }
}
