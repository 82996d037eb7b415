//! Compiled policies against Cedar's own evaluator: random policies of every expression and linked templates, under
//! several schemas, on random entities with holes.
//!
//! Cedar reads texts and entities by itself, so that reading them is compared as well. `BAILIWICK_CEDAR_CASES=10000000
//! cargo test --release --features cli --test it random_policies -- --nocapture` runs as many as one likes;
//! `BAILIWICK_SEED` moves on to others.

mod cedar;
mod policies;
mod schemas;
mod world;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::entities::{entity_from_json, request_from_json};
use bailiwick::{Authorizer, Bundle, Decision, ErrorCode, ErrorMode, Link, Request, Snapshot, Source, Sources};
use fastrand::Rng;
use serde_json::json;

use crate::explain;
use crate::random::number;
use cedar::{Answer, Fault, Judge};
use policies::Policies;
use schemas::Schema;
use world::{Asked, Maker, World};
use write::{Forms, Writer};

/// What a run has met.
#[derive(Default)]
struct Met {
    requests: u64,
    allowed: u64,
    forbidden: u64,
    errors: u64,
    inline: u64,
    /// Inline resources in something that is stored, and is itself in something.
    inline_deep: u64,
    /// Inline resources whose uid is stored too.
    inline_stored: u64,
    /// Inline resources that would be above themselves.
    refused: u64,
    /// Requests to policy sets with links, those that a linked policy determined, and those on which one failed.
    linked: u64,
    link_determined: u64,
    link_failed: u64,
    /// How often Cedar decides otherwise.
    differences: u64,
    by_schema: BTreeMap<&'static str, u64>,
    /// Why policies had no answer: as Cedar says, and as we do.
    faults: BTreeMap<(Fault, Fault), u64>,
    forms: Forms,
    /// How many policies of a set were not compiled.
    uncovered: BTreeSet<usize>,
    /// What explanations of some of them told, by schema.
    told: BTreeMap<(&'static str, bool), explain::Told>,
}

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// To print every difference from Cedar, and check explanations too.
    Agree,
    /// To find one difference.
    #[cfg_attr(not(feature = "deliberate-bugs"), allow(dead_code))]
    Differ,
}

/// How many worlds a policy set is tried on, requests each is, and how many of them are explained, or decided by our own
/// way to Cedar too.
struct Share {
    worlds: usize,
    requests: usize,
    explained: u64,
    shadowed: u32,
}

impl Share {
    /// Of many cases more are about the same policies and world: loading takes longer than deciding.
    fn of(cases: u64) -> Self {
        match cases {
            0..1_000_000 => Self { worlds: 2, requests: 15, explained: 50, shadowed: 4 },
            _ => Self { worlds: 4, requests: 60, explained: 3_000, shadowed: 60 },
        }
    }
}

/// A policy set, loaded by us and by Cedar.
struct Loaded<'a> {
    schema: &'a Schema,
    declared: bool,
    policies: Policies,
    bundle: Bundle,
    judge: Judge<'a>,
}

impl<'a> Loaded<'a> {
    fn new(schema: &'a Schema, declared: bool, policies: Policies) -> Self {
        let text = declared.then(|| Source::new("s", schema.text.as_str()));
        let mut sources = Sources::new(text, vec![Source::new("p", policies.text.as_str())]);
        let links = policies.links.iter().map(|linked| {
            let uid = |at: usize| schema.uids[at].text.parse().expect("a uid");
            let link = Link::new(&linked.template, &linked.id);
            let link = linked.principal.map_or(link.clone(), |at| link.principal(uid(at)));
            linked.resource.map_or(link.clone(), |at| link.resource(uid(at)))
        });
        let links: Vec<Link> = links.collect();
        if !links.is_empty() {
            sources = sources.with_links(&links);
        }
        let bundle = Bundle::from_sources(sources, ErrorMode::Cedar);
        let bundle = bundle.unwrap_or_else(|e| panic!("{e}\n{}\n{links:?}", policies.text));
        let judge = Judge::new(schema, declared, &policies);
        Self { schema, declared, policies, bundle, judge }
    }

    /// Decides random requests on a random world.
    fn decide(&self, rng: &mut Rng, aim: Aim, share: &Share, met: &mut Met) {
        let mut maker = Maker { rng, schema: self.schema, declared: self.declared };
        let world = maker.world();
        let list = world.stored.iter().map(|e| entity_from_json(&self.bundle, &e.json).expect("an entity")).collect();
        let snapshot = Snapshot::from_entities(&self.bundle, list).expect("no cycle");
        let policies = &self.policies;
        let show = |request: &Request| {
            let links: Vec<_> = policies.links.iter().map(|l| (&l.template, &l.id, l.principal, l.resource)).collect();
            let entities = json!(world.stored.iter().map(|e| &e.json).collect::<Vec<_>>());
            format!("{}\n{links:?}\n{entities}\n{}", policies.text, request.to_json())
        };
        let builder = Authorizer::builder().bundle(self.bundle.clone()).snapshot(snapshot.clone()).expect("it fits");
        let shown = policies.text.clone();
        let authorizer = builder
            .shadow(if aim == Aim::Agree { share.shadowed } else { 0 }, move |request, ours, cedars| {
                panic!("{shown}\n{request:?}\nours: {ours:?}\nCedar's: {cedars:?}")
            })
            .build();
        let stored: Vec<_> = world.stored.iter().map(|e| self.judge.entity(e)).collect();
        let mut entities: Vec<_> = (0..=world.inline.len()).map(|_| None).collect();
        for _ in 0..share.requests {
            let asked = maker.request(&world);
            let json = asked.json(self.schema, &world);
            let request = request_from_json(&self.bundle, &json.to_string()).unwrap_or_else(|e| panic!("{e}: {json}"));
            let decision = authorizer.is_authorized(&request);
            let place = asked.inline.map_or(0, |at| at + 1);
            let entities = entities[place].get_or_insert_with(|| {
                let inline = asked.inline.map(|at| self.judge.entity(&world.inline[at]));
                self.judge.entities(&stored, inline.as_ref())
            });
            let answer = entities.as_ref().map(|entities| self.judge.decide(&asked, entities));
            let ours = told(&decision);
            let same = match (&answer, &ours) {
                // Cedar refuses such entities, and we the request.
                (None, None) => true,
                (Some(cedars), Some(ours)) => {
                    let ids = |answer: &Answer| answer.faults.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
                    (ours.allowed, &ours.determining, ids(ours)) == (cedars.allowed, &cedars.determining, ids(cedars))
                }
                _ => false,
            };
            met.requests += 1;
            met.count(self, &world, &asked, ours.as_ref(), answer.as_ref());
            if !same {
                met.differences += 1;
                if aim == Aim::Differ {
                    return;
                }
                println!("{}\nours:  {decision:?}\ncedar: {answer:?}", show(&request));
            }
            if met.requests.is_multiple_of(share.explained) && aim == Aim::Agree && policies.links.is_empty() {
                let told = met.told.entry((self.schema.name, self.declared)).or_default();
                explain::check(told, &self.bundle, &snapshot, &authorizer, &request);
            }
        }
    }
}

impl Met {
    fn count(&mut self, of: &Loaded<'_>, world: &World, asked: &Asked, ours: Option<&Answer>, cedars: Option<&Answer>) {
        *self.by_schema.entry(if of.declared { of.schema.name } else { "none" }).or_default() += 1;
        if let Some(inline) = asked.inline.map(|at| &world.inline[at]) {
            let stored = |at: usize| world.stored.iter().find(|e| e.at == at);
            self.inline += 1;
            let deep = inline.parents.iter().filter_map(|at| stored(*at)).any(|parent| !parent.parents.is_empty());
            self.inline_deep += u64::from(deep);
            self.inline_stored += u64::from(stored(inline.at).is_some());
        }
        let (Some(ours), Some(cedars)) = (ours, cedars) else {
            self.refused += 1;
            return;
        };
        self.allowed += u64::from(ours.allowed);
        self.forbidden += u64::from(!ours.allowed && !ours.determining.is_empty());
        self.errors += u64::from(!ours.faults.is_empty());
        let is_link = |id: &String| of.policies.links.iter().any(|link| link.id == *id);
        self.linked += u64::from(!of.policies.links.is_empty());
        self.link_determined += u64::from(ours.determining.iter().any(is_link));
        self.link_failed += u64::from(ours.faults.iter().any(|(id, _)| is_link(id)));
        for ((_, ours), (_, cedars)) in ours.faults.iter().zip(&cedars.faults) {
            *self.faults.entry((*cedars, *ours)).or_default() += 1;
        }
    }

    fn fault(&self, fault: Fault) -> u64 {
        self.faults.iter().filter(|((cedars, _), _)| *cedars == fault).map(|(_, n)| n).sum()
    }
}

/// What we decided; none for a request that we refused.
fn told(decision: &Decision) -> Option<Answer> {
    if decision.errors().any(|e| e.code() != ErrorCode::Evaluation) {
        return None;
    }
    let fault = |message: &str| {
        let begins = [
            ("there is no attribute", Fault::MissingAttribute),
            ("there is no such tag", Fault::UnknownTag),
            ("expected", Fault::WrongType),
            ("a number, instant or duration out of", Fault::Overflow),
            ("the text is no", Fault::Extension),
        ];
        let found = begins.into_iter().find(|(begin, _)| message.starts_with(begin));
        let missing = || message.ends_with("is asked of an entity that is not stored").then_some(Fault::MissingEntity);
        found.map(|(_, fault)| fault).or_else(missing).unwrap_or_else(|| panic!("{message}"))
    };
    let faults = decision.errors().map(|e| (e.policy().expect("a policy").to_owned(), fault(&e.message())));
    let mut faults: Vec<_> = faults.collect();
    faults.sort();
    let determining = decision.determining().map(str::to_owned).collect();
    Some(Answer { allowed: decision.allowed(), determining, faults })
}

/// Decides random requests under random policies both ways.
fn run(aim: Aim, cases: u64, seed: u64) -> Met {
    let schemas = schemas::all();
    let mut rng = Rng::with_seed(seed);
    let mut met = Met::default();
    let share = Share::of(cases);
    while met.requests < cases && (aim == Aim::Agree || met.differences == 0) {
        let schema = &schemas[rng.usize(..schemas.len())];
        let mut forms = std::mem::take(&mut met.forms);
        let policies = Writer { rng: &mut rng, schema, forms: &mut forms, written: Vec::new() }.policies();
        met.forms = forms;
        let declared = rng.u32(..10) > 0;
        let loaded = Loaded::new(schema, declared, policies);
        met.uncovered.insert(loaded.bundle.coverage().1 - loaded.bundle.coverage().0);
        for _ in 0..share.worlds {
            loaded.decide(&mut rng, aim, &share, &mut met);
            assert!(aim == Aim::Differ || met.differences == 0, "differences from Cedar, printed above");
        }
    }
    met
}

#[test]
fn random_policies_are_decided_as_cedar_does() {
    let cases = number("BAILIWICK_CEDAR_CASES", 60_000);
    let met = run(Aim::Agree, cases, number("BAILIWICK_SEED", 1));
    println!(
        "{} random requests under random policies, 0 differences: {} allowed, {} forbidden, {} with errors",
        met.requests, met.allowed, met.forbidden, met.errors
    );
    println!(
        "{} inline, {} of them with ancestors stored, {} stored too, {} refused",
        met.inline, met.inline_deep, met.inline_stored, met.refused
    );
    println!("{} with links, {} determined by one, {} failed in one", met.linked, met.link_determined, met.link_failed);
    println!("by schema: {:?}", met.by_schema);
    println!("errors, as Cedar says and as we do: {:?}", met.faults);
    println!("forms of expression: {:?}", met.forms);
    let sum = |of: fn(&explain::Told) -> u64| met.told.values().map(of).sum::<u64>();
    let (clauses, failed, held, whole) = (sum(|t| t.clauses), sum(|t| t.failed), sum(|t| t.held), sum(|t| t.whole));
    println!("explained: {held} of {clauses} clauses told were true, {failed} failed");
    assert!(clauses >= 1_000 && failed >= 100 && whole == 0, "{:?}", met.told);
    assert_eq!(met.uncovered.iter().collect::<Vec<_>>(), [&0], "policies that were not compiled");
    assert!(met.forms.len() >= 40 && met.forms.values().all(|n| *n >= 20), "{:?}", met.forms);
    let often = [
        ("allowed", met.allowed),
        ("forbidden", met.forbidden),
        ("errors", met.errors),
        ("inline", met.inline),
        ("links", met.linked),
    ];
    let schemas = met.by_schema.iter().map(|(name, n)| (*name, *n));
    for (what, n) in often.into_iter().chain(schemas) {
        assert!(n * 50 >= met.requests, "only {n} of {} {what}", met.requests);
    }
    let seldom = [
        ("inline with ancestors", met.inline_deep),
        ("inline and stored too", met.inline_stored),
        ("refused", met.refused),
        ("determined by a link", met.link_determined),
        ("failed in a link", met.link_failed),
    ];
    let faults = Fault::ALL.map(|fault| (fault.word(), met.fault(fault)));
    for (what, n) in seldom.into_iter().chain(faults) {
        assert!(n * 2_000 >= met.requests, "only {n} of {} {what}", met.requests);
    }
    assert_eq!(met.by_schema.len(), 5, "{:?}", met.by_schema);
    for ((cedars, ours), n) in &met.faults {
        // An action has no attributes and no tags, and Cedar's extensions report their overflow as errors of their own.
        let alike = match cedars {
            Fault::MissingAttribute | Fault::UnknownTag => *ours == Fault::MissingEntity,
            Fault::Extension => *ours == Fault::Overflow,
            _ => false,
        };
        assert!(cedars == ours || alike, "{n} times {cedars:?} to Cedar, and {ours:?} to us");
    }
}

/// `cargo test --workspace --features cli,bailiwick/deliberate-bugs --test it deliberate_bugs` runs it, as `./test.sh`
/// does: alone, since a bug is in the whole process.
#[cfg(feature = "deliberate-bugs")]
#[test]
fn deliberate_bugs_are_found() {
    for bug in bailiwick::Bug::ALL {
        bailiwick::Bug::put_in(Some(bug));
        let met = run(Aim::Differ, 100_000, 1);
        println!("{bug:?}: found within {} requests", met.requests);
        assert!(met.differences > 0, "nothing notices {bug:?}");
    }
    bailiwick::Bug::put_in(None);
    let met = run(Aim::Differ, 3_000, 1);
    assert_eq!((met.requests >= 3_000, met.differences), (true, 0), "differences without a bug");
}
