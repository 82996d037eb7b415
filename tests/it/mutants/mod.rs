//! Each built-in policy changed a little: some test must notice, or a reason is given why none can.
//!
//! A mutant is noticed when strict validation refuses it, when a decision differs from the judge's, or when on damaged
//! entities a forbid stumbles or a denial becomes an allow.

mod cases;
mod equivalent;
mod mutate;

use std::collections::BTreeSet;

use bailiwick::cedar_policy::{Policy, PolicyId, PolicySet, ValidationMode, Validator};
use bailiwick::Bundle;

use crate::judge::ask::Action;
use cases::{bit, cases, schema, Case, Expected, Outcome};

/// What stands in a policy's place.
struct Mutant {
    set: PolicySet,
    is_forbid: bool,
    actions: Vec<Action>,
}

/// Whether the case shows that `mutant`, or nothing, stands in the place of the policy with bit `own`.
fn notices(case: &Case, own: u64, forbids: u64, mutant: Option<&Mutant>) -> bool {
    let others = case.matched & !own;
    let Some(mutant) = mutant else {
        return !case.holds(others, forbids);
    };
    let forbids = if mutant.is_forbid { forbids | own } else { forbids & !own };
    let stumbling_tells = mutant.is_forbid && matches!(case.expected, Expected::Guarded { .. });
    let (with, without) = (case.holds(others | own, forbids), case.holds(others, forbids));
    // Most cases need no evaluating.
    if !mutant.actions.contains(&case.action) || (with == without && !stumbling_tells) {
        return !without;
    }
    match case.decide(&mutant.set, mutant.is_forbid) {
        Outcome::Matches => !with,
        Outcome::DoesNot => !without,
        Outcome::Stumbles => stumbling_tells || !without,
    }
}

#[test]
fn every_policy_mutant_is_noticed_or_explained() {
    let bundle = Bundle::builtin();
    let cases = cases(&bundle);
    let schema = schema(&bundle);
    let validator = Validator::new(schema.clone());
    let forbids = bundle.policies().iter().filter(|p| p.is_forbid()).map(|p| bit(&bundle, p.id())).sum();
    let (mut total, mut refused) = (0, 0);
    let mut by_kind = [0; 2];
    let mut survivors: BTreeSet<(String, String)> = BTreeSet::new();
    // Cases that noticed a mutant are tried first: few notice most.
    let mut keen: Vec<usize> = Vec::new();
    for policy in bundle.policies() {
        let own = bit(&bundle, policy.id());
        let id = PolicyId::new(policy.id());
        let json = Policy::parse(Some(id.clone()), policy.text()).expect("valid").to_json().expect("JSON");
        let removed = [("removed".to_owned(), None)].into_iter();
        let changed = mutate::mutants(&json).into_iter().map(|(what, json)| (what, Some(json)));
        let mut names = BTreeSet::new();
        for (what, json) in removed.chain(changed) {
            assert!(names.insert(what.clone()), "{}: two mutants are named `{what}`", policy.id());
            total += 1;
            let mutant = match json {
                None => None,
                Some(json) => {
                    let (is_forbid, actions) = (json["effect"] == "forbid", mutate::scope(&json));
                    let changed = Policy::from_json(Some(id.clone()), json).ok();
                    match changed.and_then(|policy| PolicySet::from_policies([policy]).ok()) {
                        Some(set) if validator.validate(&set, ValidationMode::Strict).validation_passed() => {
                            Some(Mutant { set, is_forbid, actions })
                        }
                        _ => {
                            refused += 1;
                            continue;
                        }
                    }
                }
            };
            let noticed = |at: &usize| notices(&cases[*at], own, forbids, mutant.as_ref());
            let at = match keen.iter().position(noticed) {
                Some(at) => Some(keen.remove(at)),
                None => (0..cases.len()).find(noticed),
            };
            match at {
                Some(at) => {
                    keen.insert(0, at);
                    by_kind[match cases[at].expected {
                        Expected::Allowed(_) => 0,
                        Expected::Guarded { .. } => 1,
                    }] += 1;
                }
                None => drop(survivors.insert((policy.id().to_owned(), what))),
            }
        }
    }
    let [judge, damage] = by_kind;
    println!(
        "{total} mutants against {} cases: {refused} refused by validation, {judge} noticed by the judge, {damage} on \
         damaged entities, {} equivalent",
        cases.len(),
        survivors.len()
    );
    equivalent::check(&survivors);
    assert!(total > 1_000, "only {total} mutants");
}
