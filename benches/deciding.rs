//! Absolute figures for deciding, by criterion: 2,000 mixed requests in one iteration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a wrong answer stops it

mod contenders;
mod fixture;
mod rival;

use std::time::Duration;

use contenders::{Field, Raw, REQUESTS};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .configure_from_args();
    for members in fixture::sizes() {
        let mut field = Field::new(members);
        let set = field.set(REQUESTS);
        let raw = (members <= 100_000).then(|| Raw::new(&field, &set));
        let mut group = criterion.benchmark_group(format!("deciding, {members} members"));
        group.throughput(Throughput::Elements(REQUESTS as u64));
        for mut contender in field.contenders(&set).into_iter().chain(raw.as_ref().map(Raw::contender)) {
            group.bench_function(contender.name, |bencher| bencher.iter(|| (contender.pass)()));
        }
        group.finish();
    }
    criterion.final_summary();
}
