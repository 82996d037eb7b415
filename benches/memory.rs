//! What is allocated: for each decision, and for each member held. A program of its own, since it counts allocations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a wrong answer stops it

mod contenders;
mod fixture;
mod harness;
mod rival;

use std::alloc::System;

use bailiwick::{Bundle, Snapshot};
use stats_alloc::{Region, StatsAlloc, INSTRUMENTED_SYSTEM};

use contenders::{Field, Raw, REQUESTS};
use fixture::World;
use harness::{Report, Spread};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let mut report = Report::default();
    let members = fixture::sizes().into_iter().max().expect("there is a size");
    held(&mut report, members);
    decided(&mut report, members);
    report.print();
}

/// Bytes asked for and kept while `make` makes something.
fn kept<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(ALLOCATOR);
    let made = make();
    let change = region.change();
    (made, change.bytes_allocated.saturating_sub(change.bytes_deallocated))
}

/// The memory of a snapshot with members, less that of the same one without.
fn held(report: &mut Report, members: usize) {
    let bundle = Bundle::builtin();
    let world = World::new(members);
    let entities = world.entities.len();
    let (all, without) = (world.json(), fixture::json(&world.without_members()));
    drop(world);
    let (snapshot, bytes) = kept(|| Snapshot::from_json(&bundle, &*all).expect("the world fits the schema"));
    let (rest, rest_bytes) = kept(|| Snapshot::from_json(&bundle, &*without).expect("the world fits the schema"));
    assert_eq!((snapshot.len(), rest.len()), (entities, entities - members));
    let each = (bytes - rest_bytes) as f64 / members as f64;
    report.figure(format!("memory a member, {members} members"), Spread::of([each]), "bytes");
    report.note(format!(
        "{} MB with all {entities} entities, {} MB without members",
        bytes / 1_000_000,
        rest_bytes / 1_000_000
    ));
}

/// Allocations for each decision, once everything is warm.
fn decided(report: &mut Report, members: usize) {
    let mut field = Field::new(members);
    let set = field.set(REQUESTS);
    let raw = (members <= 100_000).then(|| Raw::new(&field, &set));
    for mut contender in field.contenders(&set).into_iter().chain(raw.as_ref().map(Raw::contender)) {
        assert_eq!((contender.pass)(), set.allowed());
        let region = Region::new(ALLOCATOR);
        (contender.pass)();
        let change = region.change();
        let each = (change.allocations + change.reallocations) as f64 / contender.decisions as f64;
        report.figure(format!("allocations a decision: {}", contender.name), Spread::of([each]), "");
    }
}
