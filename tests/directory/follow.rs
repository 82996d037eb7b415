//! Keeping up with what others commit, and denying once nobody can say that the newest state is known.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bailiwick::directory::{Command, Directory};
use bailiwick::grc::{self, Action};
use bailiwick::query::Page;
use bailiwick::store::{Id, Kind, Sqlite, Store};
use bailiwick::{Authorizer, Context, ErrorCode, Request};

use crate::world::{on_both, sqlite, Acme, Folder};

/// Time that passes when it is told to.
#[derive(Clone, Default)]
struct Ticks(Arc<AtomicU64>);

impl Ticks {
    fn pass(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A reader of the store, without a thread that looks.
fn reader(store: Arc<dyn Store>, acme: &Acme) -> (Directory, Ticks) {
    let ticks = Ticks::default();
    let own = ticks.clone();
    let builder = Directory::builder().clock(acme.world.clock.clone()).look_every(None).ticks(move || own.now());
    (builder.open(store).unwrap(), ticks)
}

fn view(acme: &Acme, member: Id) -> Request {
    grc::request(Kind::Member.uid(member), Action::ViewOrganization, Kind::Organization.uid(acme.organization))
}

/// Whether it is allowed, and the code of the error if there is one.
fn ask(authorizer: &Authorizer, request: &Request) -> (bool, Option<ErrorCode>) {
    let decision = authorizer.is_authorized(request);
    assert_eq!(decision.indeterminate(), decision.errors().next().is_some(), "{decision:?}");
    let code = decision.errors().next().map(|error| error.code());
    (decision.allowed(), code)
}

#[test]
fn a_state_is_decided_on_until_it_is_too_old_and_again_once_it_is_known_to_be_the_newest() {
    on_both(|store| {
        let acme = Acme::new(Arc::clone(&store));
        let (reader, ticks) = reader(store, &acme);
        let (authorizer, request) = (reader.authorizer(), view(&acme, acme.analyst_id));
        let stale = (false, Some(ErrorCode::Stale));
        assert_eq!(ask(authorizer, &request), (true, None));
        ticks.pass(2_000);
        assert_eq!(ask(authorizer, &request), (true, None), "at the very bound");
        ticks.pass(1);
        assert_eq!(ask(authorizer, &request), stale);
        assert!(!authorizer.health().fresh);
        // So is everything else.
        let many = authorizer.is_authorized_many(std::slice::from_ref(&request));
        assert!(!many[0].allowed() && many[0].indeterminate());
        let explanation = authorizer.explain(&request);
        assert_eq!(explanation.decision().errors().next().unwrap().code(), ErrorCode::Stale);
        let action = Action::ViewOrganization.uid();
        let all =
            authorizer.who_can(&action, Kind::Organization.uid(acme.organization), &Context::default(), &Page::all());
        assert_eq!(all.unwrap_err().error().code(), ErrorCode::Stale);
        reader.refresh().unwrap();
        assert_eq!(ask(authorizer, &request), (true, None));
        // Time that goes back shows nothing.
        ticks.0.store(2_000, Ordering::SeqCst);
        assert_eq!(ask(authorizer, &request), stale);
    });
}

#[test]
fn what_another_process_commits_is_denied_on_no_later_than_the_bound() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    // A connection of its own, as another process has.
    let (reader, ticks) = reader(Arc::new(Sqlite::open(&folder.file()).unwrap()), &acme);
    let request = view(&acme, acme.analyst_id);
    let at_once = acme.world.directory.authorizer();
    for _ in 0..20 {
        assert_eq!(ask(reader.authorizer(), &request), (true, None));
        acme.world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
        assert!(!ask(at_once, &request).0, "the next decision of the same process");
        ticks.pass(2_001);
        assert_eq!(ask(reader.authorizer(), &request), (false, Some(ErrorCode::Stale)));
        reader.refresh().unwrap();
        assert_eq!(ask(reader.authorizer(), &request), (false, None));
        assert_eq!(reader.authorizer().snapshot().revision(), at_once.snapshot().revision());
        acme.world.ok(&acme.owner, Command::ReactivateMember { member: acme.analyst_id });
        reader.refresh().unwrap();
    }
}

#[test]
fn a_commands_own_reading_shows_that_the_state_is_the_newest() {
    on_both(|store| {
        let acme = Acme::new(Arc::clone(&store));
        let (reader, ticks) = reader(store, &acme);
        ticks.pass(5_000);
        reader.run(&acme.owner, "key", &Command::SetComplianceTeam { member: acme.analyst_id, on: true }).unwrap();
        assert_eq!(ask(reader.authorizer(), &view(&acme, acme.analyst_id)), (true, None));
    });
}

#[test]
fn the_thread_brings_what_another_process_commits() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.file()).unwrap());
    let builder = Directory::builder().clock(acme.world.clock.clone()).look_every(Duration::from_millis(1));
    let reader = builder.open(store).unwrap();
    let request = view(&acme, acme.analyst_id);
    assert!(ask(reader.authorizer(), &request).0);
    let outcome = acme.world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
    while reader.authorizer().health().revision < outcome.revision() {
        std::thread::yield_now();
    }
    assert_eq!(ask(reader.authorizer(), &request), (false, None));
}

/// Moves a file with what stands beside it.
fn moved(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        let _ = std::fs::remove_file(with(to));
        if with(from).exists() {
            std::fs::rename(with(from), with(to)).unwrap();
        }
    }
}

/// A copy of the file as it is now. Nobody writes to it meanwhile.
fn copied(file: &Path) -> PathBuf {
    let copy = file.with_file_name("copy.db");
    rusqlite::Connection::open(file).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    copy
}

fn entities(directory: &Directory) -> Vec<bailiwick::Entity> {
    let mut all: Vec<_> = directory.authorizer().snapshot().iter().collect();
    all.sort_by(|a, b| a.uid().cmp(b.uid()));
    all
}

/// A reader's connections were once of the file that was gone, and so were its decisions, for ever.
#[test]
fn a_file_that_an_older_copy_was_put_in_the_place_of_is_loaded_anew() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let copy = copied(&folder.file());
    acme.world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
    let (reader, _ticks) = reader(Arc::new(Sqlite::open(&folder.file()).unwrap()), &acme);
    let request = view(&acme, acme.analyst_id);
    assert_eq!(ask(reader.authorizer(), &request), (false, None));
    let newer = reader.authorizer().snapshot().revision();
    moved(&folder.file(), &folder.file().with_file_name("gone.db"));
    assert!(reader.refresh().unwrap_err().to_string().starts_with("there is no directory at"));
    moved(&copy, &folder.file());
    let revision = reader.refresh().unwrap();
    assert!(revision < newer && revision.epoch == newer.epoch, "{revision:?}");
    assert_eq!(ask(reader.authorizer(), &request), (true, None), "as the older copy says");
}

/// Numbers alone were compared once: of a copy that had gone on beyond the reader's revision, only what changed after
/// that revision was read, and grants of the history that was gone stayed.
#[test]
fn a_copy_that_went_on_from_an_older_revision_is_loaded_anew() {
    for more in [1, 2, 5] {
        let folder = Folder::new();
        let acme = Acme::new(sqlite(&folder));
        let (file, owner) = (folder.file(), &acme.owner);
        let copy = copied(&file);
        let (reader, _ticks) = reader(Arc::new(Sqlite::open(&file).unwrap()), &acme);
        let late = acme.world.member(acme.organization, "late@acme.test", grc::Role::Admin);
        let request = view(&acme, late);
        let known = reader.refresh().unwrap();
        assert_eq!(ask(reader.authorizer(), &request), (true, None));

        moved(&file, &file.with_file_name("gone.db"));
        moved(&copy, &file);
        let other = crate::world::World::new(Arc::new(Sqlite::open(&file).unwrap()));
        let organization = acme.organization;
        for nth in 0..more {
            let name = crate::world::name(&format!("Project {nth}"));
            other.ok(owner, Command::CreateProject { organization, name });
        }
        let revision = reader.refresh().unwrap();
        assert_eq!(revision.number + 2, known.number + more, "the copy was made two commands before");
        assert_eq!(entities(&reader), entities(&other.directory), "{more} more");
        let gone = (false, Some(ErrorCode::UnknownPrincipal));
        assert_eq!(ask(reader.authorizer(), &request), gone, "{more} more");
        // So does a process that writes.
        acme.world.ok(owner, Command::SetComplianceTeam { member: acme.analyst_id, on: true });
        assert_eq!(ask(acme.world.directory.authorizer(), &request), gone, "{more} more");
        reader.refresh().unwrap();
        assert_eq!(entities(&reader), entities(&acme.world.directory), "{more} more");
        assert!(reader.verify().unwrap().is_ok());
    }
}
