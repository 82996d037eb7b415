//! The directory: commands a second, and a large one imported, opened and loaded. By the clock, since a commit waits for
//! the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a wrong answer stops it

mod contenders;
mod fixture;
mod harness;
#[allow(dead_code)] // what it is a program for
#[path = "../examples/many_rows.rs"]
mod many_rows;
mod rival;
#[allow(dead_code)] // the tests use the rest
#[path = "../tests/directory/world.rs"]
mod world;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use bailiwick::directory::{Actor, Command, Directory};
use bailiwick::grc::Role;
use bailiwick::store::{Memory, Sqlite, Store};

use harness::{Report, Spread};
use world::{email, name, own, sqlite, Acme, Folder, World, EPOCH};

fn main() {
    let mut report = Report::default();
    let folder = Folder::new();
    commands(&mut report, "memory", &Acme::new(Arc::new(Memory::new(EPOCH))));
    commands(&mut report, "a file", &Acme::new(sqlite(&folder)));
    large(&mut report);
    report.print();
}

/// How many members, and as many organizations as make 50 each.
fn size() -> u64 {
    match std::env::var("BAILIWICK_BENCH_DIRECTORY") {
        Err(_) => 20_000,
        Ok(text) => text.parse().ok().filter(|size| *size >= 50).unwrap_or_else(|| {
            eprintln!("`BAILIWICK_BENCH_DIRECTORY` is `{text}`; expected a number of members, at least 50");
            std::process::exit(2);
        }),
    }
}

/// Seven commands, each on what those before made.
fn seven(acme: &Acme, nth: usize) {
    let (world, organization) = (&acme.world, acme.organization);
    let address = email(&format!("b{nth}@x.test"));
    let invite = Command::InviteMember { organization, email: address, role: Role::Viewer };
    let member = world.accept(world.ok(&acme.owner, invite).invitation().unwrap());
    world.ok(&acme.owner, Command::SetComplianceTeam { member, on: true });
    let project = own(&world.ok(&acme.owner, Command::CreateProject { organization, name: name("Project") }));
    world.ok(&acme.owner, Command::AddToProject { project, member });
    world.ok(&acme.owner, Command::DeactivateMember { member });
    world.ok(&acme.owner, Command::RemoveMember { member });
}

fn commands(report: &mut Report, what: &str, acme: &Acme) {
    let number = || acme.world.store.read().unwrap().head().unwrap().number;
    let before = number();
    let rates: Vec<f64> = (0..30)
        .map(|round| {
            let begin = Instant::now();
            (0..10).for_each(|nth| seven(acme, round * 10 + nth));
            70.0 / begin.elapsed().as_secs_f64()
        })
        .collect();
    assert_eq!(number(), before + 30 * 70);
    report.figure(format!("commands, {what}"), Spread::of(rates), "a second");
    report.note("invite, accept, change, create a project, add, deactivate, remove");
}

fn large(report: &mut Report) {
    let members = size();
    let organizations = members / 50;
    let folder = Folder::new();
    let rows = folder.file().with_extension("jsonl");
    let mut out = BufWriter::new(File::create(&rows).unwrap());
    many_rows::write(&mut out, members, organizations).unwrap();
    out.flush().unwrap();
    let entities = usize::try_from(members + organizations).unwrap();

    let directory = Directory::builder().open(sqlite(&folder)).unwrap();
    let begin = Instant::now();
    let (count, _) = directory.import(BufReader::new(File::open(&rows).unwrap())).unwrap();
    report.figure(format!("import, {members} members"), Spread::of([begin.elapsed().as_secs_f64()]), "s");
    report.note(format!("of {organizations} organizations, loaded and on the disk"));
    assert_eq!(count, entities);
    drop(directory);

    let opened = || {
        let begin = Instant::now();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.file()).unwrap());
        let directory = Directory::builder().open(Arc::clone(&store)).unwrap();
        let took = begin.elapsed().as_secs_f64();
        assert!(directory.authorizer().snapshot().len() >= entities);
        (took, store)
    };
    let took: Vec<f64> = (0..3).map(|_| opened().0).collect();
    report.figure(format!("open and load, {members} members"), Spread::of(took), "s");
    report.note("the file in the system's cache");

    let acme = Acme::new(opened().1);
    commands(report, &format!("a file, {members} members"), &acme);
    let verified = acme.world.directory.verify().unwrap();
    assert!(verified.is_ok(), "{verified:?}");
    assert!(World::new(Arc::clone(&acme.world.store)).directory.team(&Actor::Operator, acme.organization).is_ok());
}
