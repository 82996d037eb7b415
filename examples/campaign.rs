//! Campaigns over the directory, longer than tests can be.
//!
//! `cargo run --release --features cli --example campaign -- races 10000` lets threads and processes race so many times
//! each, `… crashes 500` kills a process in the middle of its commands, `… staleness 1000` revokes against processes that
//! decide all the while. It exits with 1 when a rule was broken.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code)] // the tests use the rest

#[path = "../tests/directory/campaigns/mod.rs"]
mod campaigns;
#[path = "../tests/directory/world.rs"]
mod world;

use std::process::{Command, ExitCode};
use std::time::Instant;

use campaigns::races::{By, RACES};
use campaigns::{crashes, races, staleness, ROLE};

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        campaigns::child(&role);
        return ExitCode::SUCCESS;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (mode, count) = match args[..] {
        [mode, count] if count.parse::<usize>().is_ok_and(|count| count > 0) => (mode, count.parse().unwrap()),
        _ => ("", 0),
    };
    let begin = Instant::now();
    let sound = match mode {
        "races" => race(count),
        "crashes" => crash(count),
        "staleness" => stale(count),
        _ => {
            eprintln!("campaign: expected `races`, `crashes` or `staleness`, and how many");
            return ExitCode::from(2);
        }
    };
    println!("in {:.0} s", begin.elapsed().as_secs_f64());
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

/// This program once more.
fn launch() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

fn race(rounds: usize) -> bool {
    let mut sound = true;
    for race in &RACES {
        let ways = [
            ("threads in memory", By::ThreadsInMemory),
            ("threads on a file", By::ThreadsOnAFile),
            ("processes", By::Processes(&launch)),
        ];
        for (way, by) in ways {
            let tally = races::run(race, rounds, by);
            let ([first, second, both], violations) = (tally.won, tally.violations.len());
            println!("{}, {way}: {first} + {second} + {both} rounds, {violations} violations", race.name);
            tally.violations.iter().take(10).for_each(|what| println!("  {what}"));
            sound &= violations == 0 && first + second + both == rounds;
        }
    }
    sound
}

fn crash(count: usize) -> bool {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut acknowledged, mut untold, mut broken) = (0, 0, 0);
    for nth in 0..count {
        match crashes::crash(&launch, &mut random) {
            Ok(left) => {
                acknowledged += left.acknowledged;
                untold += left.committed - left.acknowledged;
            }
            Err(what) => {
                println!("crash {nth}: {what}");
                broken += 1;
            }
        }
    }
    println!("{count} crashes, {acknowledged} commands acknowledged, {untold} committed and not told, {broken} broken");
    broken == 0
}

fn stale(times: usize) -> bool {
    let mut seen = staleness::run(&launch, times);
    seen.delays.sort_unstable();
    let millis = |micros: u64| micros as f64 / 1000.0;
    let (median, largest) = (seen.delays[seen.delays.len() / 2], seen.delays[seen.delays.len() - 1]);
    let late = seen.delays.iter().filter(|delay| **delay > 2_000_000).count();
    println!("{times} revocations and deactivations against two processes: {late} allowed later than 2,000 ms");
    println!("allowed after the acknowledgement: median {:.1} ms, largest {:.1} ms", millis(median), millis(largest));
    println!("{} other decisions, {} denied; {} stale", seen.decided, seen.denied, seen.stale);
    late == 0 && seen.denied == 0 && seen.stale == 0
}
