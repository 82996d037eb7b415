//! Explanations say what is so: the decision is the one that is made, and every clause is as it is told.

use std::collections::HashMap;

use bailiwick::entities::request_from_json;
use bailiwick::{
    Authorizer, Bundle, ErrorMode, Explanation, Part, PolicyReason, Request, Snapshot, Source, Sources, Value,
};
use serde_json::json;

use crate::judge;
use crate::random::{asked, authorizer, number, snapshot};

/// What was checked.
#[derive(Debug, Default)]
pub struct Told {
    pub allowed: u64,
    pub forbidden: u64,
    pub not_permitted: u64,
    pub out_of_scope: u64,
    pub failed: u64,
    pub indeterminate: u64,
    pub clauses: u64,
    pub held: u64,
    pub seen: u64,
    pub whole: u64,
    /// Bundles of one clause, by its text.
    alone: Alone,
}

/// Not shown, since what a bundle shows fills many screens.
#[derive(Default)]
struct Alone(HashMap<String, Bundle>);

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.len())
    }
}

/// Checks an explanation against the decision, against Cedar's evaluation of each clause, and against the files.
pub fn check(told: &mut Told, bundle: &Bundle, snapshot: &Snapshot, authorizer: &Authorizer, request: &Request) {
    let explanation = authorizer.explain(request);
    let decision = explanation.decision();
    assert_eq!(decision, &authorizer.is_authorized(request), "{request:?}");
    let ids = |reasons: &[PolicyReason]| reasons.iter().map(|r| r.id().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(explanation.determining()), decision.determining().collect::<Vec<_>>(), "{request:?}");
    let errors: Vec<&str> = decision.errors().filter_map(|e| e.policy()).collect();
    assert_eq!(ids(explanation.failed()), errors);
    told.failed += errors.len() as u64;
    told.indeterminate += u64::from(decision.indeterminate());
    let wondering = !decision.allowed() && decision.determining().len() == 0 && !decision.indeterminate();
    let permits = bundle.policies().iter().filter(|p| !p.is_forbid() && !errors.contains(&p.id())).count();
    assert_eq!(explanation.nearest().is_empty(), !wondering || permits == 0, "{explanation:?}");
    told.allowed += u64::from(decision.allowed());
    told.forbidden += u64::from(explanation.determining().iter().any(PolicyReason::is_forbid));
    told.not_permitted += u64::from(wondering && explanation.in_scope() > 0);
    told.out_of_scope += u64::from(wondering && explanation.in_scope() == 0);

    for reason in explanation.nearest() {
        assert!(!reason.is_forbid() && !reason.clauses().is_empty(), "{reason:?}");
        assert_eq!(reason.in_scope(), explanation.in_scope() > 0);
        assert!(reason.clauses().iter().all(|c| (c.part() == Part::Scope) != reason.in_scope()), "{reason:?}");
    }
    let held: Vec<usize> = explanation.nearest().iter().map(PolicyReason::held).collect();
    assert!(held.is_sorted_by(|a, b| a >= b), "{held:?}");
    assert!(explanation.failed().iter().all(|r| r.clauses().iter().any(|c| c.error().is_some())), "{explanation:?}");

    let mut alone = request.clone();
    if let Some(window) = decision.window() {
        let ends = [("from", window.from), ("to", window.to)].map(|(k, at)| (k.to_owned(), Value::Datetime(at)));
        alone = alone.with("window", Value::Record(ends.into()));
    }
    let all = [explanation.determining(), explanation.nearest(), explanation.failed()];
    for reason in all.into_iter().flatten() {
        for clause in reason.clauses() {
            told.clauses += 1;
            told.held += u64::from(clause.value() == Some(true));
            told.seen += clause.seen().len() as u64;
            if clause.part() == Part::Policy {
                told.whole += 1;
                println!("told as a whole: {reason:?}");
                continue;
            }
            if told.alone.0.len() > 500 {
                told.alone.0.clear();
            }
            // Alone, and by Cedar's evaluator too, the clause is what it is told to be.
            let one = told.alone.0.entry(clause.text().to_owned()).or_insert_with(|| {
                let text = format!("permit (principal, action, resource) when {{ {} }};", clause.text());
                let schema = bundle.sources().schema().cloned();
                let sources = Sources::new(schema, vec![Source::new("clause", text.as_str())]);
                Bundle::from_sources(sources, ErrorMode::Cedar).unwrap_or_else(|e| panic!("{e}\n{text}"))
            });
            let answer = self::authorizer(one, snapshot).is_authorized(&alone);
            let value = (answer.errors().len() == 0).then(|| answer.allowed());
            assert_eq!(clause.value(), value, "{clause:?}\n{alone:?}\n{answer:?}");
            assert_eq!(clause.error().is_some(), value.is_none());
            // It stands where it is told to stand.
            let (file, line, column) = clause.place();
            let source = bundle.sources().policies().iter().find(|s| s.name() == file).expect("the file");
            let at: String = source.text().lines().nth(line - 1).expect("the line").chars().skip(column - 1).collect();
            let first = |text: &str| text.split_whitespace().next().map(str::to_owned);
            let (first, told) = (first(&at).expect("a word"), first(clause.text()).expect("a word"));
            assert!(first.starts_with(&told) || told.starts_with(&first), "`{told}` at {line}:{column} of\n{at}");
        }
    }
}

#[test]
fn what_is_told_is_so_in_random_worlds() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(number("BAILIWICK_SEED", 31));
    let mut told = Told::default();
    for _ in 0..40 {
        let world = judge::generate::world(&mut rng);
        let snapshot = snapshot(&bundle, &world);
        let authorizer = authorizer(&bundle, &snapshot);
        for _ in 0..30 {
            let request = asked(&bundle, &world, &judge::generate::ask(&mut rng, &world)).request;
            check(&mut told, &bundle, &snapshot, &authorizer, &request);
        }
    }
    println!("{told:?}");
    assert!(told.allowed > 100 && told.forbidden > 100 && told.not_permitted > 100 && told.indeterminate > 10);
    assert!(told.clauses > 1_000 && told.seen > 1_000 && told.whole == 0, "{told:?}");
}

const SCHEMA: &str = r#"
entity Group in [Group];
entity User in [Group] { level?: Long, box?: { deep: Long }, name: String } tags String;
entity Doc in [Group] { owner?: User, open: Bool };
action view, edit appliesTo { principal: User, resource: Doc, context: { n?: Long } };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "u"}, "attrs": {"level": 2, "name": "a && b"}, "parents": [{"type": "Group", "id": "g"}],
   "tags": {"k": "v"}},
  {"uid": {"type": "Group", "id": "g"}, "attrs": {}, "parents": [{"type": "Group", "id": "top"}]},
  {"uid": {"type": "Group", "id": "top"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Doc", "id": "d"}, "attrs": {"open": false}, "parents": []}
]"#;

/// Explains `User::"u"` doing `view` on `Doc::"d"` under a policy text.
fn explained(mode: ErrorMode, policies: &str) -> Explanation {
    let sources = Sources::new(Some(Source::new("s", SCHEMA)), vec![Source::new("p", policies)]);
    let bundle = Bundle::from_sources(sources, mode).expect("valid");
    let request = r#"{"principal": "User::\"u\"", "action": "Action::\"view\"", "resource": "Doc::\"d\""}"#;
    let request = request_from_json(&bundle, request).expect("a request");
    let snapshot = Snapshot::from_json(&bundle, ENTITIES.as_bytes()).expect("entities");
    let authorizer = authorizer(&bundle, &snapshot);
    check(&mut Told::default(), &bundle, &snapshot, &authorizer, &request);
    authorizer.explain(&request)
}

/// The clauses told of the first policy in a list: text, line and column, and what they were.
fn clauses(reasons: &[PolicyReason]) -> Vec<(String, usize, usize, Option<bool>)> {
    let clauses = reasons.first().into_iter().flat_map(PolicyReason::clauses);
    clauses.map(|c| (c.text().to_owned(), c.place().1, c.place().2, c.value())).collect()
}

fn when(condition: &str) -> Vec<(String, usize, usize, Option<bool>)> {
    let policy = format!("@id(\"one\")\npermit (principal, action, resource)\nwhen {{\n{condition}\n}};");
    clauses(explained(ErrorMode::Cedar, &policy).nearest())
}

#[test]
fn the_first_clause_that_was_false_is_told_with_its_place() {
    let told = |text: &str, line, column, value| vec![(text.to_owned(), line, column, Some(value))];
    assert_eq!(when("true &&\n  resource.open && 1 == 2"), told("resource.open", 5, 3, false));
    assert_eq!(when("(true && // and &&\n (1 < 2 && 2 <\n1))"), told("2 < 1", 5, 12, false));
    // Quotes, comments and brackets hide operators.
    assert_eq!(
        when("principal.name == \"a && b\" && [true && true].contains(false)"),
        told("[true && true].contains(false)", 4, 31, false)
    );
    // A negation is told by what it denies, which was true.
    assert_eq!(when("!(principal has level && principal.level == 2) || 1 == 2"), {
        let mut both = told("principal has level", 4, 3, true);
        both.extend(told("principal.level == 2", 4, 26, true));
        both.extend(told("1 == 2", 4, 51, false));
        both
    });
    // Of a choice the branch that was taken.
    assert_eq!(
        when("if principal has box then principal.box.deep == 1 else if resource.open then true else 1 == 3"),
        told("1 == 3", 4, 88, false)
    );
    assert_eq!(when("if 1 == 1 then if 1 == 2 then true else 1 == 5 else true"), told("1 == 5", 4, 41, false));
    // Of alternatives the first false clause of each.
    assert_eq!(when("(1 == 1 && 1 == 2) || 1 == 3 && 1 == 4"), {
        let mut both = told("1 == 2", 4, 12, false);
        both.extend(told("1 == 3", 4, 23, false));
        both
    });
    assert_eq!(when("(((resource).open))"), told("(resource).open", 4, 3, false));
}

#[test]
fn what_a_clause_saw_is_told() {
    let seen = |condition: &str| {
        let policy = format!("@id(\"one\") permit (principal, action, resource) when {{ {condition} }};");
        let explanation = explained(ErrorMode::Cedar, &policy).to_json();
        let reasons = [&explanation["nearest"], &explanation["failed"]];
        let reason = reasons.iter().find_map(|list| list.get(0)).expect("a policy");
        reason["clauses"][0]["seen"].clone()
    };
    assert_eq!(seen("principal.level > 3"), json!([{"of": "principal.level", "value": 2}]));
    assert_eq!(seen("principal has box.deep"), json!([{"of": "principal.box", "missing": "absent"}]));
    assert_eq!(seen("resource.owner.level == 1"), json!([{"of": "resource.owner", "missing": "absent"}]));
    assert_eq!(
        seen("resource in principal"),
        json!([{"of": "resource", "ancestors": [], "total": 0}]),
        "what stands right of `in` was named in the request"
    );
    assert_eq!(
        seen("principal in resource"),
        json!([{"of": "principal", "ancestors": ["Group::\"g\"", "Group::\"top\""], "total": 2}])
    );
    assert_eq!(seen("principal.getTag(\"k\") == \"w\""), json!([{"of": "principal.getTag(\"k\")", "value": "v"}]));
    assert_eq!(seen("principal.hasTag(\"x\")"), json!([{"of": "principal.getTag(\"x\")", "missing": "absent"}]));
    assert_eq!(seen("User::\"none\".name == \"\""), json!([{"of": "User::\"none\".name", "missing": "not stored"}]));
    assert_eq!(seen("context has \"odd name\""), json!([{"of": "context[\"odd name\"]", "missing": "absent"}]));
}

#[test]
fn a_forbid_is_told_by_the_clause_that_made_it_apply() {
    let policies = "@id(\"p\") @doc(\"d\") permit (principal, action, resource);\n@id(\"f\") @source(\"s\") forbid (principal, action, resource)\nunless { resource has owner &&\n resource.owner == principal };";
    let explanation = explained(ErrorMode::Strict, policies);
    assert_eq!(clauses(explanation.determining()), [("resource has owner".to_owned(), 3, 10, Some(false))]);
    let forbid = &explanation.determining()[0];
    assert_eq!((forbid.id(), forbid.source(), forbid.place()), ("f", Some("s"), ("p", 2)));
    assert!(forbid.clauses()[0].part() == Part::Unless && explanation.nearest().is_empty());
    // A forbid that is only its scope has no clause to tell.
    let policies = "@id(\"f\") forbid (principal is User, action, resource);";
    assert_eq!(clauses(explained(ErrorMode::Strict, policies).determining()), []);
    let policies = "@id(\"p\") @doc(\"d\") permit (principal, action, resource);";
    let allowed = explained(ErrorMode::Strict, policies);
    assert_eq!((allowed.determining()[0].doc(), allowed.determining()[0].clauses().len()), (Some("d"), 0));
}

#[test]
fn the_nearest_permits_come_in_the_order_that_is_promised() {
    let permit = |id: &str, scope: &str, clause: &str| format!("@id(\"{id}\") permit ({scope}) when {{ {clause} }};\n");
    let all = "principal, action, resource";
    let policies = permit("none-held", all, "1 == 2")
        + &permit("two-held-two-left", all, "true && true && 1 == 2 && true")
        + &permit("two-held-one-left", all, "true && true && 1 == 2")
        + &permit("elsewhere", "principal, action == Action::\"edit\", resource", "true")
        + &permit("none-held-either", all, "1 == 2");
    let explanation = explained(ErrorMode::Cedar, &policies);
    let ids: Vec<&str> = explanation.nearest().iter().map(PolicyReason::id).collect();
    assert_eq!(ids, ["two-held-one-left", "two-held-two-left", "none-held", "none-held-either"]);
    assert_eq!(explanation.in_scope(), 4);

    // Where no scope allows the request, the parts of the scope are told.
    let policies = permit("far", "principal is Group, action == Action::\"edit\", resource in Group::\"g\"", "true")
        + &permit("near", "principal == User::\"u\", action == Action::\"edit\", resource is Doc", "true");
    let explanation = explained(ErrorMode::Cedar, &policies);
    let ids: Vec<(&str, usize)> = explanation.nearest().iter().map(|r| (r.id(), r.held())).collect();
    assert_eq!((ids, explanation.in_scope()), (vec![("near", 2), ("far", 0)], 0));
    assert_eq!(clauses(explanation.nearest())[0].0, "action == Action::\"edit\"");
}

#[test]
fn what_could_not_be_evaluated_is_told_with_the_clause_that_failed() {
    let policies = "@id(\"f\") @doc(\"d\") forbid (principal, action, resource)\nwhen { true && principal.box.deep == 1 };\n@id(\"p\") permit (principal, action, resource);";
    let explanation = explained(ErrorMode::Cedar, policies);
    assert!(explanation.decision().allowed() && explanation.failed()[0].id() == "f");
    assert_eq!(clauses(explanation.failed()), [("principal.box.deep == 1".to_owned(), 2, 16, None)]);
    assert_eq!(explanation.failed()[0].clauses()[0].error(), Some("there is no attribute `box`"));
}

#[test]
fn a_request_that_is_not_put_to_the_policies_has_only_its_error() {
    let authorizer = Authorizer::builder().build();
    let request =
        r#"{"principal": "Grc::Member::\"nobody\"", "action": "viewTeam", "resource": "Grc::Organization::\"o\""}"#;
    let request = request_from_json(&authorizer.bundle(), request).expect("a request");
    let explanation = authorizer.explain(&request).to_json();
    assert_eq!(explanation["decision"]["errors"][0]["code"], "unknown_principal");
    assert_eq!((&explanation["determining"], &explanation["nearest"]), (&json!([]), &json!([])));
}

#[test]
fn long_chains_and_deep_brackets_are_explained_on_any_stack() {
    let last = |condition: &str| when(condition).last().map(|(text, _, _, value)| (text.clone(), *value));
    let false_one = Some(("1 == 2".to_owned(), Some(false)));
    assert_eq!(last(&format!("{}1 == 2", "true && ".repeat(990))), false_one);
    assert_eq!(last(&format!("{}1 == 2{}", "(true && ".repeat(60), ")".repeat(60))), false_one);
    assert_eq!(last(&format!("{}1 == 2", "if false then true else ".repeat(300))), false_one);
    // Many alternatives are counted, not listed.
    let policy =
        format!("@id(\"one\") permit (principal, action, resource) when {{ {}1 == 2 }};", "1 == 3 || ".repeat(90));
    let explanation = explained(ErrorMode::Cedar, &policy);
    assert_eq!((explanation.nearest()[0].clauses().len(), explanation.nearest()[0].more()), (8, 83));
}
