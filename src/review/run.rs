//! Running policy tests: which answers differ, and which policies no test exercises.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use super::cases::{Case, Cases, DecidedBy};
use crate::authorizer::{Authorizer, Clock};
use crate::bundle::{Bundle, ErrorMode};
use crate::entities::EntityError;
use crate::model::{Decision, Timestamp};

/// A case whose decision is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// The test file.
    pub file: PathBuf,
    /// The line the case begins at, from 1.
    pub line: usize,
    /// The case's name.
    pub name: String,
    /// What was expected and what was found, in words.
    pub message: String,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`: {}", self.file.display(), self.line, self.name, self.message)
    }
}

/// What running the cases showed.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many cases were decided, each request of a table counted.
    pub cases: usize,
    /// Those with another decision than expected.
    pub failures: Vec<CaseFailure>,
    /// How many cases exercise each policy: a permit is exercised when it determines an allow, a forbid when the
    /// denial would be an allow without it. Failed cases do not count.
    pub exercised: BTreeMap<String, usize>,
    /// Policies that no case exercises. Those with `@redundant` need none.
    pub unexercised: Vec<String>,
}

/// Decides all cases, and says which policies none of them exercises.
///
/// # Errors
/// When the entities do not fit the bundle.
pub fn run_cases(bundle: &Bundle, cases: &Cases) -> Result<Report, EntityError> {
    let mut deciders = Deciders::new(bundle.clone(), cases);
    let cedar = bundle.in_mode(ErrorMode::Cedar);
    let mut by_cedar = cedar.as_ref().map(|cedar| Deciders::new(cedar.clone(), cases));
    let mut report = Report { cases: cases.cases.len(), ..Report::default() };
    let mut forbidden: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for policy in bundle.policies() {
        report.exercised.insert(policy.id().to_owned(), 0);
    }
    for case in &cases.cases {
        let mut wrong = Vec::new();
        if case.decided_by != DecidedBy::Cedar {
            wrong.extend(differences(case, &deciders.decide(case)?));
        }
        if case.decided_by != DecidedBy::Library {
            let found = match &mut by_cedar {
                Some(by_cedar) => differences(case, &by_cedar.decide(case)?),
                None => Some("it cannot be decided".into()),
            };
            wrong.extend(found.map(|wrong| format!("by Cedar's rules alone: {wrong}")));
        }
        if !wrong.is_empty() {
            report.failures.push(CaseFailure {
                file: case.file.clone(),
                line: case.line,
                name: case.name.clone(),
                message: wrong.join("; "),
            });
        } else if case.expected.allow {
            for id in &case.expected.reason {
                report.exercised.entry(id.clone()).and_modify(|count| *count += 1);
            }
        } else {
            case.expected.reason.iter().for_each(|id| forbidden.entry(id).or_default().push(case));
        }
    }
    for (id, denied) in forbidden {
        let (Some(without), Some(cedar)) = (bundle.without(id), cedar.as_ref().and_then(|cedar| cedar.without(id)))
        else {
            continue;
        };
        let (mut without, mut cedar) = (Deciders::new(without, cases), Deciders::new(cedar, cases));
        for case in denied {
            let deciders = if case.decided_by == DecidedBy::Cedar { &mut cedar } else { &mut without };
            if deciders.decide(case)?.allowed() {
                report.exercised.entry(id.to_owned()).and_modify(|count| *count += 1);
            }
        }
    }
    let needs_case = |p: &&crate::Policy| p.redundant().is_none() && report.exercised.get(p.id()) == Some(&0);
    report.unexercised = bundle.policies().iter().filter(needs_case).map(|p| p.id().to_owned()).collect();
    Ok(report)
}

/// Where a decision is not the expected one, in words.
fn differences(case: &Case, decision: &Decision) -> Option<String> {
    let expected = &case.expected;
    let reason: BTreeSet<String> = decision.determining().map(str::to_owned).collect();
    let mut codes: Vec<String> = decision.errors().map(|e| e.code().to_string()).collect();
    codes.sort();
    let word = |allow: bool| if allow { "allow" } else { "deny" };
    let list = |ids: &BTreeSet<String>| ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut wrong = Vec::new();
    if decision.allowed() != expected.allow || reason != expected.reason {
        wrong.push(format!(
            "expected {} by [{}], found {} by [{}]",
            word(expected.allow),
            list(&expected.reason),
            word(decision.allowed()),
            list(&reason)
        ));
    }
    if decision.indeterminate() != expected.indeterminate {
        let word = |indeterminate: bool| if indeterminate { "indeterminate" } else { "not indeterminate" };
        wrong.push(format!("expected {}, found {}", word(expected.indeterminate), word(decision.indeterminate())));
    }
    let as_expected = expected.errors.as_ref().map_or(codes.len() == expected.num_errors, |errors| *errors == codes);
    if !as_expected {
        let wanted = match &expected.errors {
            Some(errors) => format!("the errors [{}]", errors.join(", ")),
            None => format!("{} errors", expected.num_errors),
        };
        let found: Vec<String> = decision.errors().map(|e| format!("{}: {}", e.code(), e.message())).collect();
        wrong.push(format!("expected {wanted}, found [{}]", found.join("; ")));
    }
    if let (Some(window), found) = (expected.window, decision.window()) {
        if found != Some(window) {
            let found = found.map_or("none".into(), |w| format!("{} to {}", w.from, w.to));
            wrong.push(format!("expected the window {} to {}, found {found}", window.from, window.to));
        }
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// One bundle over the states of some cases; authorizers are made when a case needs one.
struct Deciders<'a> {
    bundle: Bundle,
    cases: &'a Cases,
    made: HashMap<usize, Authorizer>,
}

impl<'a> Deciders<'a> {
    fn new(bundle: Bundle, cases: &'a Cases) -> Self {
        Self { bundle, cases, made: HashMap::new() }
    }

    fn decide(&mut self, case: &Case) -> Result<Decision, EntityError> {
        let Some(state) = self.cases.states.get(case.state) else {
            return Ok(Decision::default());
        };
        let build = || Authorizer::builder().bundle(self.bundle.clone()).snapshot(state.clone());
        if !case.clock.is_empty() {
            let at = Arc::new(AtomicUsize::new(0));
            let authorizer = build()?.clock(Shown { instants: case.clock.clone(), at: Arc::clone(&at) }).build();
            let mut decision = Decision::default();
            for index in 0..case.clock.len() {
                at.store(index, Ordering::SeqCst);
                authorizer.decide_into(&case.request, &mut decision);
            }
            return Ok(decision);
        }
        let authorizer = match self.made.entry(case.state) {
            std::collections::hash_map::Entry::Occupied(made) => made.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(build()?.build()),
        };
        Ok(authorizer.is_authorized(&case.request))
    }
}

/// A clock that shows what a case says.
struct Shown {
    instants: Vec<Option<Timestamp>>,
    at: Arc<AtomicUsize>,
}

impl Clock for Shown {
    fn now(&self) -> Option<Timestamp> {
        self.instants.get(self.at.load(Ordering::SeqCst)).copied().flatten()
    }
}
