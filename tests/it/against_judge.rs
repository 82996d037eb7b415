//! Decisions against the judge: random worlds, and every request of a small one.
//!
//! `BAILIWICK_CASES` runs as many as one likes: CONTRIBUTING.md has the command.

use std::collections::BTreeMap;

use bailiwick::{Bundle, Decision};

use crate::judge;
use crate::random::{asked, authorizer, number, snapshot, Asked};

fn check(case: &Asked, decision: &Decision) {
    assert_eq!(
        decision.allowed(),
        case.allowed,
        "the judge says {}, the policies {:?} with {:?}\n{}",
        case.allowed,
        decision.determining().collect::<Vec<_>>(),
        decision.errors().collect::<Vec<_>>(),
        case.text
    );
}

#[test]
fn random_worlds_are_decided_as_the_judge_does() {
    const PER_WORLD: u64 = 1_000;
    let cases = number("BAILIWICK_CASES", 200_000);
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(number("BAILIWICK_SEED", 1));
    let mut allowed = 0;
    let mut determined: BTreeMap<String, u64> = BTreeMap::new();
    let mut done = 0;
    while done < cases {
        let world = judge::generate::world(&mut rng);
        let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
        for _ in 0..PER_WORLD.min(cases - done) {
            let case = asked(&bundle, &world, &judge::generate::ask(&mut rng, &world));
            let decision = authorizer.is_authorized(&case.request);
            check(&case, &decision);
            allowed += u64::from(decision.allowed());
            for id in decision.determining() {
                *determined.entry(id.to_owned()).or_default() += 1;
            }
            done += 1;
        }
    }
    println!("{done} random cases, {allowed} allowed, 0 disagreements");
    assert!(allowed * 10 >= done * 3, "only {allowed} of {done} were allowed");
    if done >= 200_000 {
        for policy in bundle.policies().iter().filter(|p| p.redundant().is_none()) {
            let count = determined.get(policy.id()).copied().unwrap_or(0);
            assert!(count >= 100, "`{}` determined only {count} of {done}", policy.id());
        }
    }
}

#[test]
fn the_small_world_is_decided_as_the_judge_does_in_every_request() {
    let bundle = Bundle::builtin();
    let world = judge::small_world();
    let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
    let asks = judge::all_asks(&world);
    assert!(asks.len() >= 10_000, "only {} requests", asks.len());
    for ask in &asks {
        let case = asked(&bundle, &world, ask);
        check(&case, &authorizer.is_authorized(&case.request));
    }
    println!("{} requests of the small world, 0 disagreements", asks.len());
}
