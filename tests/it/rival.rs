//! The rules by hand, which the benches compare the library with, against the judge: a rival that is wrong would be
//! no measure. Both ways of naming things are tried.

#[path = "../../benches/rival/mod.rs"]
mod by_hand;

use bailiwick::{Bundle, Entity, Request, Snapshot};
use by_hand::{allows, Ids, Slots, Store, Texts};

use crate::judge;
use crate::random::{asked, snapshot};

/// A store and the names it was made with.
struct Named<N, I: Ids> {
    names: N,
    store: Store<I>,
}

type Stores = (Named<Texts, by_hand::ByText>, Named<Slots, by_hand::BySlot>);

fn stores(snapshot: &Snapshot) -> Stores {
    let entities: Vec<Entity> = snapshot.iter().collect();
    let entities: Vec<&Entity> = entities.iter().collect();
    let (mut texts, mut slots) = (Texts, Slots::default());
    let store = by_hand::store(entities.iter().copied(), &mut texts).expect("the world fits the model");
    let slot_store = by_hand::store(entities.iter().copied(), &mut slots).expect("the world fits the model");
    (Named { names: texts, store }, Named { names: slots, store: slot_store })
}

/// What the rules by hand say, by text and by slot.
fn answers((texts, slots): &mut Stores, request: &Request) -> [bool; 2] {
    let by_text = by_hand::request(request, &mut texts.names).expect("the request fits the model");
    let by_slot = by_hand::request(request, &mut slots.names).expect("the request fits the model");
    [allows(&texts.store, &by_text), allows(&slots.store, &by_slot)]
}

#[test]
fn the_rules_by_hand_decide_random_worlds_as_the_judge_does() {
    const CASES: usize = 50_000;
    const PER_WORLD: usize = 1_000;
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut allowed = 0;
    for _ in 0..CASES / PER_WORLD {
        let world = judge::generate::world(&mut rng);
        let mut stores = stores(&snapshot(&bundle, &world));
        for _ in 0..PER_WORLD {
            let case = asked(&bundle, &world, &judge::generate::ask(&mut rng, &world));
            let found = answers(&mut stores, &case.request);
            assert_eq!(found, [case.allowed; 2], "the judge says {}\n{}", case.allowed, case.text);
            allowed += usize::from(case.allowed);
        }
    }
    println!("{CASES} random cases by hand, {allowed} allowed, 0 disagreements");
    assert!(allowed * 10 >= CASES * 3, "only {allowed} of {CASES} were allowed");
}

#[test]
fn the_rules_by_hand_decide_the_small_world_as_the_judge_does() {
    let bundle = Bundle::builtin();
    let world = judge::small_world();
    let mut stores = stores(&snapshot(&bundle, &world));
    let asks = judge::all_asks(&world);
    for ask in &asks {
        let case = asked(&bundle, &world, ask);
        assert_eq!(answers(&mut stores, &case.request), [case.allowed; 2], "{}", case.text);
    }
    println!("{} requests of the small world by hand, 0 disagreements", asks.len());
}

#[test]
fn the_rules_by_hand_deny_what_is_unknown() {
    let bundle = Bundle::builtin();
    let world = judge::small_world();
    let whole = snapshot(&bundle, &world);
    let mut denied = 0;
    for ask in judge::all_asks(&world).iter().step_by(7) {
        let case = asked(&bundle, &world, ask);
        if !case.allowed {
            continue;
        }
        for uid in [case.request.principal(), case.request.resource().uid()] {
            let found = answers(&mut stores(&whole.damaged(uid, None)), &case.request);
            assert_eq!(found, [false; 2], "without `{uid}`: {}", case.text);
            denied += 1;
        }
    }
    assert!(denied >= 100, "only {denied} tries");
}
