//! Threads and processes that race, processes that are killed, and processes that decide as others revoke.

use std::process::Command;

use crate::campaigns::races::{self, By, RACES};
use crate::campaigns::{child, crashes, staleness, Launch, ROLE};

/// Runs a test that begins other processes. These are this program with this one test, which a variable tells what to do.
pub fn with_processes(test: &str, run: impl FnOnce(Launch<'_>)) {
    if let Ok(role) = std::env::var(ROLE) {
        #[cfg(all(feature = "cli", unix))]
        if let ["disk", path, owner, member, organization] = role.lines().collect::<Vec<_>>()[..] {
            return crate::disk::child(path, owner, member, organization);
        }
        return child(&role);
    }
    run(&|| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]);
        command
    });
}

fn race(rounds: usize, by: By<'_>) {
    for race in &RACES {
        let tally = races::run(race, rounds, by);
        assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
        assert_eq!(tally.won.iter().sum::<usize>(), rounds, "{}", race.name);
    }
}

#[test]
fn threads_in_memory_break_no_rule() {
    race(200, By::ThreadsInMemory);
}

#[test]
fn threads_on_a_file_break_no_rule() {
    race(200, By::ThreadsOnAFile);
}

#[test]
fn processes_break_no_rule() {
    with_processes("races::processes_break_no_rule", |launch| race(200, By::Processes(launch)));
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    with_processes("races::a_killed_process_loses_nothing_that_it_acknowledged", |launch| {
        let mut random = fastrand::Rng::with_seed(3);
        let mut left: Vec<crashes::Left> = Vec::new();
        for nth in 0..20 {
            left.push(crashes::crash(launch, &mut random).unwrap_or_else(|what| panic!("crash {nth}: {what}")));
        }
        assert!(left.iter().any(|left| left.acknowledged > 0 && left.committed > 0), "{left:?}");
    });
}

#[test]
fn processes_that_decide_all_the_while_deny_whoever_is_revoked() {
    with_processes("races::processes_that_decide_all_the_while_deny_whoever_is_revoked", |launch| {
        // Each of them ends only when it denies.
        let seen = staleness::run(launch, 8);
        assert_eq!((seen.delays.len(), seen.denied), (16, 0), "{seen:?}");
    });
}
