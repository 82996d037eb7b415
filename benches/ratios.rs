//! The table of figures: the library against raw Cedar and against the rules by hand, in turns.
//! `benches/README.md` says which property each row protects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a wrong answer stops it

mod contenders;
mod fixture;
mod harness;
mod rival;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bailiwick::grc::{self, Action};
use bailiwick::{Authorizer, Changes, Entity, EntityUid, Snapshot, Value};

use contenders::{Field, Raw, Set, BATCH, BUILT, BY_SLOT, BY_TEXT, HANDLES, RAW, REQUESTS, TEXTS, UNRELATED};
use harness::{interleave, nanos, number, Report, Spread, Timing};

/// Above this many members raw Cedar takes minutes to load, and is left out: its figure does not depend on them.
const RAW_MEMBERS: usize = 100_000;
/// From this many members on, distinct requests no longer fit the caches.
const COLD_MEMBERS: usize = 200_000;

fn main() {
    let mut report = Report::default();
    let sizes = fixture::sizes();
    for (nth, &members) in sizes.iter().enumerate() {
        let mut field = Field::new(members);
        let set = field.set(REQUESTS);
        describe(&field, &set);
        deciding(&mut report, &field, &set);
        if nth + 1 == sizes.len() {
            unrelated(&mut report, &mut field);
            cold(&mut report, &mut field);
            who(&mut report, &field);
            loading(&mut report, &field);
            changing(&mut report, &field);
            threads(&mut report, &field, &set);
        }
    }
    report.print();
}

fn describe(field: &Field, set: &Set) {
    let world = &field.world;
    let count = |name: &str| world.entities.iter().filter(|it| it.uid().type_name() == name).count();
    println!(
        "{} members, {} guests, {} auditors of {} organizations; {} entities in all",
        world.members,
        count("Grc::Guest"),
        count("Grc::Auditor"),
        world.organizations.len(),
        world.entities.len()
    );
    println!("{} requests, {} allowed; by hand and by the policies alike", set.requests.len(), set.allowed());
    let shares = set.shares(&field.authorizer);
    let shares: Vec<String> = shares.iter().map(|(id, count)| format!("{id} {count}")).collect();
    println!("determined by: {}\n", shares.join(", "));
}

fn named<'a>(timings: &'a [Timing], name: &str) -> &'a Timing {
    timings.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("nobody is called {name}"))
}

fn deciding(report: &mut Report, field: &Field, set: &Set) {
    let members = field.world.members;
    let raw = (members <= RAW_MEMBERS).then(|| Raw::new(field, set));
    let mut all = field.contenders(set);
    all.extend(raw.as_ref().map(Raw::contender));
    let timings = interleave(all, set.allowed(), 15);
    let of = |name| named(&timings, name);
    let row = |what: &str| format!("{what}, {members} members");
    report.ratio(row("string uids ÷ by hand on string ids"), of(TEXTS), of(BY_TEXT));
    report.ratio(row("string uids ÷ by hand on integer ids"), of(TEXTS), of(BY_SLOT));
    report.ratio(row("resolved handles ÷ by hand on integer ids"), of(HANDLES), of(BY_SLOT));
    report.ratio(row("requests built from strings ÷ by hand on string ids"), of(BUILT), of(BY_TEXT));
    report.ratio(row("one batch ÷ by hand on string ids"), of(BATCH), of(BY_TEXT));
    if let Some(raw) = &raw {
        report.ratio(row(&format!("raw Cedar, {} policies ÷ string uids", raw.policies())), of(RAW), of(TEXTS));
    } else {
        println!("raw Cedar left out: more than {RAW_MEMBERS} members\n");
    }
}

/// With `BAILIWICK_BENCH_UNRELATED=10000`: what policies cost that are about somebody else.
fn unrelated(report: &mut Report, field: &mut Field) {
    let Ok(text) = std::env::var("BAILIWICK_BENCH_UNRELATED") else {
        return;
    };
    let Ok(count) = text.parse() else {
        eprintln!("`BAILIWICK_BENCH_UNRELATED` is `{text}`; expected a number of policies");
        std::process::exit(2);
    };
    let authorizer = field.with_unrelated(count);
    let set = field.set(REQUESTS / 10);
    set.agree(&authorizer);
    let both = vec![
        contenders::library(TEXTS, &field.authorizer, &set.requests),
        contenders::library(UNRELATED, &authorizer, &set.requests),
    ];
    let timings = interleave(both, set.allowed(), 7);
    report.ratio(
        format!("with {count} unrelated policies ÷ without"),
        named(&timings, UNRELATED),
        named(&timings, TEXTS),
    );
}

/// Distinct requests on a large world, so that nothing is in the caches.
fn cold(report: &mut Report, field: &mut Field) {
    let members = field.world.members;
    if members < COLD_MEMBERS {
        return;
    }
    let set = field.set(members / 10);
    let mut all = field.contenders(&set);
    all.retain(|it| [TEXTS, BY_TEXT, BY_SLOT].contains(&it.name));
    let timings = interleave(all, set.allowed(), 3);
    let row = |what: &str| format!("{what}, {} distinct requests, {members} members", set.requests.len());
    report.ratio(row("cold: string uids ÷ by hand on string ids"), named(&timings, TEXTS), named(&timings, BY_TEXT));
    report.ratio(row("cold: string uids ÷ by hand on integer ids"), named(&timings, TEXTS), named(&timings, BY_SLOT));
}

/// Everyone who may do something on one resource, out of all members.
fn who(report: &mut Report, field: &Field) {
    let is_organization = |it: &&Entity| it.uid().type_name() == "Grc::Organization";
    let organization = field.world.entities.iter().find(is_organization).expect("there is one").uid().clone();
    let action = Action::AccessPsa.uid();
    let page = bailiwick::query::Page::all();
    let ask = || {
        field
            .authorizer
            .who_can(&action, organization.clone(), &bailiwick::Context::default(), &page)
            .expect("it is known")
    };
    let members = field.world.entities.iter().filter(is_member);
    let by_hand = members.filter(|member| {
        let request = grc::request(member.uid().clone(), Action::AccessPsa, organization.clone())
            .with("now", Value::Datetime(bailiwick::Timestamp::MIN));
        field.allows_by_hand(&request)
    });
    assert_eq!(ask().total(), by_hand.count(), "not those whom the rules by hand allow");
    let millis = (0..7).map(|_| {
        let begin = Instant::now();
        let found = ask();
        (begin.elapsed().as_secs_f64() * 1e3, found)
    });
    let millis: Vec<f64> = millis.map(|(took, _)| took).collect();
    report.figure(format!("who_can, {} members", field.world.members), Spread::of(millis), "ms");
    report.note("of all members, those who may access the PSA tools of one organization");
}

fn loading(report: &mut Report, field: &Field) {
    let json = field.world.json();
    let bundle = field.authorizer.bundle();
    let entities = field.world.entities.len();
    let rounds = if field.world.members > RAW_MEMBERS { 1 } else { 7 };
    let seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            let snapshot = Snapshot::from_json(&bundle, &*json).expect("the world fits the schema");
            let took = begin.elapsed().as_secs_f64();
            assert_eq!(snapshot.len(), entities);
            took
        })
        .collect();
    let took = Spread::of(seconds.iter().copied());
    report.figure(
        format!("JSON to checked snapshot, {} members", field.world.members),
        Spread::of(seconds.iter().map(|it| entities as f64 / it)),
        "entities/s",
    );
    report.note(format!("{entities} entities, {} MB, {}", json.len() / 1_000_000, nanos(took.median * 1e9)));
}

fn is_member(entity: &&Entity) -> bool {
    entity.uid().type_name() == "Grc::Member"
}

fn flag(entity: &Entity, name: &str) -> bool {
    entity.attribute(name) == Some(&Value::Bool(true))
}

/// A member is deactivated or reactivated; the next decision sees it.
fn changing(report: &mut Report, field: &Field) {
    let authorizer = &field.authorizer;
    let members: Vec<&Entity> = field.world.entities.iter().filter(is_member).collect();
    let mut rng = fastrand::Rng::with_seed(4);
    let mut micros = Vec::new();
    for _ in 0..2_000 {
        let member = members[rng.usize(..members.len())];
        let Some(Value::Entity(organization)) = member.attribute("organization") else {
            panic!("every member has an organization");
        };
        let request = grc::request(member.uid().clone(), Action::ViewOrganization, organization.clone())
            .with("now", Value::Datetime(bailiwick::Timestamp::MIN));
        for active in [!flag(member, "active"), flag(member, "active")] {
            let changes = Changes::new().upsert(member.clone().with("active", Value::Bool(active)));
            let begin = Instant::now();
            authorizer.apply(&changes).expect("the change is sound");
            micros.push(begin.elapsed().as_nanos() as f64 / 1e3);
            assert_eq!(authorizer.is_authorized(&request).allowed(), active, "the change is not visible");
        }
    }
    let changes = micros.len();
    report.figure(format!("one member changed, {} members", field.world.members), Spread::of(micros), "µs");
    report.note(format!("{changes} changes, each seen by the next decision"));
}

/// How long each number of threads decides in a round.
const STRETCH: Duration = Duration::from_millis(500);
/// How often the writer changes a member.
const PACE: Duration = Duration::from_millis(1);

/// Two threads deciding ÷ one, while a third changes members whom no request is about.
fn threads(report: &mut Report, field: &Field, set: &Set) {
    let mut met: HashSet<&EntityUid> = HashSet::new();
    for request in &set.requests {
        met.extend([request.principal(), request.resource().uid()]);
        if let Some(Value::Entity(uid)) = request.context().get("technician") {
            met.insert(uid);
        }
    }
    let members: Vec<&Entity> =
        field.world.entities.iter().filter(is_member).filter(|it| !met.contains(it.uid())).collect();
    if members.is_empty() {
        println!("threads left out: the requests are about all members");
        return;
    }
    let mut written = Vec::new();
    let mut run = |threads| {
        let (decisions, changes) = decide_while_writing(&field.authorizer, set, &members, threads);
        written.push(changes);
        decisions
    };
    let rounds: Vec<(f64, f64)> = (0..7).map(|_| (run(1), run(2))).collect();
    report.figure("decisions a second, two threads ÷ one", Spread::of(rounds.iter().map(|(one, two)| two / one)), "×");
    let middle = |figures: Vec<f64>| number(Spread::of(figures).median);
    let (one, two) = rounds.into_iter().unzip();
    report.note(format!("{} ÷ {}, {} changes a second", middle(two), middle(one), middle(written)));
}

/// Decisions and changes a second.
fn decide_while_writing(authorizer: &Authorizer, set: &Set, members: &[&Entity], threads: usize) -> (f64, f64) {
    let stop = &AtomicBool::new(false);
    let allowed = set.allowed();
    let decide = move || {
        let (begin, mut decided) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(contenders::pass(authorizer, &set.requests), allowed, "a change changed the answers");
            decided += set.requests.len();
        }
        decided as f64 / begin.elapsed().as_secs_f64()
    };
    let write = move || {
        let (begin, mut changes) = (Instant::now(), 0_u32);
        while !stop.load(Ordering::Relaxed) {
            let member = members[changes as usize % members.len()];
            // Flipped, and in the next sweep flipped back.
            let contributor = flag(member, "contributor") != (changes as usize / members.len()).is_multiple_of(2);
            let member = member.clone().with("contributor", Value::Bool(contributor));
            authorizer.apply(&Changes::new().upsert(member)).expect("the change is sound");
            changes += 1;
            std::thread::sleep((PACE * changes).saturating_sub(begin.elapsed()));
        }
        f64::from(changes) / begin.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let deciders: Vec<_> = (0..threads).map(|_| scope.spawn(decide)).collect();
        let writer = scope.spawn(write);
        std::thread::sleep(STRETCH);
        stop.store(true, Ordering::Relaxed);
        let decided = deciders.into_iter().map(|it| it.join().expect("deciding goes on to the end")).sum();
        (decided, writer.join().expect("writing goes on to the end"))
    })
}
