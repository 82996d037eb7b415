//! What `review::diff` says of edits whose effect is known.

use std::path::Path;

use bailiwick::review::{diff, diff_some, read_questions, Cases, Change, Diff, Edit, SmallWorld, WallChange};
use bailiwick::{decide_on, Bundle, Decision, ErrorMode, Snapshot, Source, Sources};

/// The built-in policies, each changed by `edit`, which leaves out those it gives nothing for; `more` is added.
fn edited(edit: impl Fn(&str, &str) -> Option<String>, more: &str) -> Bundle {
    let builtin = Bundle::builtin();
    let texts: Vec<String> = builtin.policies().iter().filter_map(|p| edit(p.id(), p.text())).collect();
    let schema = builtin.sources().schema().expect("a schema").text().to_owned();
    bundle(&schema, &format!("{}\n{more}", texts.join("\n")))
}

fn bundle(schema: &str, policies: &str) -> Bundle {
    let sources = Sources::new(Some(Source::new("schema", schema)), vec![Source::new("policies", policies)]);
    Bundle::from_sources(sources, ErrorMode::Strict).unwrap_or_else(|e| panic!("{e}"))
}

fn without(id: &str) -> Bundle {
    edited(|other, text| (other != id).then(|| text.to_owned()), "")
}

/// With `from` in the policy `id` replaced by `to`.
fn replaced(id: &str, from: &str, to: &str) -> Bundle {
    let edit = |other: &str, text: &str| {
        assert!(other != id || text.contains(from), "`{id}` does not contain `{from}`");
        Some(if other == id { text.replace(from, to) } else { text.to_owned() })
    };
    edited(edit, "")
}

fn from_builtin(new: &Bundle) -> Diff {
    diff(&Bundle::builtin(), new, &Cases::default(), &Cases::default())
}

/// For edits that touch nearly every request: about eight requests are decided for each role, action and type of
/// resource, which an unoptimised build has time for.
fn sampled(new: &Bundle) -> Diff {
    diff_some(&Bundle::builtin(), new, (&Cases::default(), &Cases::default()), 8)
}

fn counts(diff: &Diff) -> [usize; 5] {
    use Change::{Loosened, OnlyNew, OnlyOld, OtherReason, Tightened};
    [Loosened, Tightened, OtherReason, OnlyOld, OnlyNew].map(|change| diff.count(change))
}

#[test]
fn the_same_policies_do_not_differ() {
    let diff = from_builtin(&edited(|_, text| Some(text.to_owned()), ""));
    assert!(diff.is_empty() && !diff.is_changed() && !diff.is_loosened(), "{diff:?}");
    let tried = diff.tried.small_world.expect("the built-in model has a small world");
    assert!(tried > 20_000, "only {tried} requests");
    assert_eq!(diff.tried.decided, 0, "nothing changed, so nothing had to be decided");
}

#[test]
fn the_small_world_fits_the_builtin_schema_and_exercises_every_policy_both_ways() {
    let bundle = Bundle::builtin();
    let world = SmallWorld::of(&bundle).expect("the built-in model");
    assert_eq!(world.untried(), []);
    let snapshot = Snapshot::from_entities(&bundle, world.entities().to_vec()).expect("all of it fits");
    let mut seen = std::collections::BTreeSet::new();
    let mut allowed = 0;
    let mut decision = Decision::default();
    assert!(world.requests().iter().all(|r| r.context().get("now").is_some()));
    let of_members = |r: &&bailiwick::Request| r.principal().type_name() == "Grc::Member";
    let others = world.requests().iter().filter(|r| !of_members(r));
    // Of the members' requests every fifth, which an unoptimised build has time for.
    for request in world.requests().iter().filter(of_members).step_by(5).chain(others) {
        decide_on(&bundle, &snapshot, request, &mut decision);
        assert!(decision.errors().all(|e| e.code().as_str() == "window"), "{request:?}: {decision:?}");
        allowed += usize::from(decision.allowed());
        seen.extend(decision.determining().map(str::to_owned));
    }
    assert!(allowed > 1_000, "only {allowed} are allowed");
    for policy in bundle.policies().iter().filter(|p| p.redundant().is_none()) {
        assert!(seen.contains(policy.id()), "`{}` determines no answer", policy.id());
    }
}

#[test]
fn a_request_reads_back_from_its_json() {
    let bundle = Bundle::builtin();
    let world = SmallWorld::of(&bundle).expect("the built-in model");
    for request in world.requests().iter().step_by(97) {
        let json = request.to_json().to_string();
        assert_eq!(&bailiwick::entities::request_from_json(&bundle, &json).expect("readable"), request);
    }
}

#[test]
fn removing_a_forbid_loosens_and_is_warned_of() {
    let builtin = Bundle::builtin();
    let forbids: Vec<_> = builtin.policies().iter().filter(|p| p.is_forbid()).collect();
    assert_eq!(forbids.len(), 15);
    for forbid in forbids {
        let diff = sampled(&without(forbid.id()));
        let [loosened, tightened, _, only_old, only_new] = counts(&diff);
        assert_eq!((tightened, only_old, only_new), (0, 0, 0), "{}", forbid.id());
        let [wall] = diff.walls.as_slice() else { panic!("{}: {:?}", forbid.id(), diff.walls) };
        assert_eq!((wall.id.as_str(), wall.change), (forbid.id(), WallChange::Gone));
        assert_eq!(wall.loosened, loosened);
        assert_eq!(loosened > 0, forbid.redundant().is_none(), "{}: {loosened} loosened", forbid.id());
        assert!(diff.is_changed() && diff.is_loosened());
        for group in diff.groups.iter().filter(|g| g.change == Change::Loosened) {
            assert_eq!(group.witness.old.determining().collect::<Vec<_>>(), [forbid.id()]);
            assert!(group.witness.new.allowed() && !group.witness.old.allowed());
        }
    }
}

#[test]
fn removing_a_permit_tightens() {
    let builtin = Bundle::builtin();
    for permit in builtin.policies().iter().filter(|p| !p.is_forbid()) {
        let diff = sampled(&without(permit.id()));
        let [loosened, tightened, _, only_old, only_new] = counts(&diff);
        assert_eq!((loosened, only_old, only_new), (0, 0, 0), "{}", permit.id());
        assert!(tightened > 0, "{}: nothing tightened", permit.id());
        assert!(diff.walls.is_empty() && diff.is_changed() && !diff.is_loosened(), "{}", permit.id());
    }
}

#[test]
fn a_permit_for_everything_loosens_only_where_no_wall_stands() {
    let new = edited(|_, text| Some(text.to_owned()), "@id(\"x\") permit (principal, action, resource);");
    let diff = sampled(&new);
    let [loosened, tightened, other, ..] = counts(&diff);
    assert!(loosened > 1_000 && tightened == 0 && other > 500, "{:?}", counts(&diff));
    assert!(diff.walls.is_empty() && diff.is_loosened());
    for group in &diff.groups {
        assert_eq!(group.witness.old.determining().len() > 0, group.change == Change::OtherReason, "{group:?}");
    }
    let roles = |group: &&bailiwick::review::Group| group.role.as_deref() == Some("READ_ONLY");
    for group in diff.groups.iter().filter(roles).filter(|g| g.change == Change::Loosened) {
        assert!(!["approve", "manageTicket", "collaborate"].contains(&group.action.id()), "{group:?}");
    }
}

/// What is left out because no policy that can apply changed must not differ. Here every request of the role that the
/// edit is about is decided, and every eleventh of the others.
#[test]
fn what_is_not_decided_does_not_differ() {
    let scope = replaced("roles.analyst", "\"runAssessment\"", "\"approve\"");
    let [loosened, tightened, ..] = compared_with_deciding(&scope);
    assert!(loosened > 0 && tightened > 0, "{loosened}, {tightened}");
    // Here the scope stays, so that only the text tells which requests are touched.
    let condition = "principal.role == Grc::Role::\"EMPLOYEE\"";
    let narrowed = replaced("roles.analyst", condition, &format!("{condition} && principal.contributor"));
    let [loosened, tightened, ..] = compared_with_deciding(&narrowed);
    assert!(loosened == 0 && tightened > 0, "{loosened}, {tightened}");
}

/// Holds the difference from the built-in policies, edited in what they say of Analysts, against deciding.
fn compared_with_deciding(new: &Bundle) -> [usize; 5] {
    let old = Bundle::builtin();
    let world = SmallWorld::of(&old).expect("the built-in model");
    let snapshot = Snapshot::from_entities(&old, world.entities().to_vec()).expect("all of it fits");
    let mut expected = [0; 5];
    let (mut before, mut after) = (Decision::default(), Decision::default());
    let employee = |r: &bailiwick::Request| r.principal().id().contains("employee");
    let requests = world.requests().iter().enumerate().filter(|(at, r)| employee(r) || at.is_multiple_of(11));
    for (_, request) in requests {
        decide_on(&old, &snapshot, request, &mut before);
        decide_on(new, &snapshot, request, &mut after);
        let same_reason = before.determining().eq(after.determining());
        match (before.allowed(), after.allowed()) {
            (false, true) => expected[0] += 1,
            (true, false) => expected[1] += 1,
            _ => expected[2] += usize::from(!same_reason),
        }
    }
    let diff = from_builtin(new);
    assert_eq!(counts(&diff), expected);
    assert!(diff.tried.decided < diff.tried.small_world.unwrap_or(0) / 4, "{:?}", diff.tried);
    assert!(diff.groups.iter().all(|g| g.role.as_deref() == Some("EMPLOYEE")));
    expected
}

#[test]
fn a_wall_weakened_by_an_edit_is_named() {
    let new = replaced(
        "wall.read-only",
        "principal.role != Grc::Role::\"READ_ONLY\"",
        "principal.role != Grc::Role::\"OWNER\"",
    );
    let diff = sampled(&new);
    let [wall] = diff.walls.as_slice() else { panic!("{:?}", diff.walls) };
    assert_eq!((wall.id.as_str(), wall.change), ("wall.read-only", WallChange::Edited));
    let [loosened, tightened, ..] = counts(&diff);
    assert!(loosened > 0 && wall.loosened == loosened && tightened > 0);
}

#[test]
fn a_wall_turned_into_a_permit_is_warned_of() {
    let diff = from_builtin(&replaced("wall.deactivated-guest", "forbid (", "permit ("));
    let [wall] = diff.walls.as_slice() else { panic!("{:?}", diff.walls) };
    assert_eq!((wall.id.as_str(), wall.change), ("wall.deactivated-guest", WallChange::Permit));
    assert!(diff.policies.iter().any(|p| p.edit == Edit::Turned && p.forbid));
    assert!(wall.loosened > 0 && diff.count(Change::Loosened) >= wall.loosened, "{wall:?}");
    assert!(diff.is_loosened());
}

/// A wall can fall without being touched: here an action leaves the group that the wall is about.
#[test]
fn a_wall_weakened_by_the_schema_is_named() {
    let builtin = Bundle::builtin();
    let schema = builtin.sources().schema().expect("a schema").text();
    let moved = schema.replace("action collaborate in [write, project]", "action collaborate in [read, project]");
    assert_ne!(moved, schema);
    let policies: Vec<&str> = builtin.policies().iter().map(bailiwick::Policy::text).collect();
    let new = bundle(&moved, &policies.join("\n"));
    let diff = diff_some(&builtin, &new, (&Cases::default(), &Cases::default()), 24);
    assert!(diff.schema_edited && diff.policies.is_empty());
    let [wall] = diff.walls.as_slice() else { panic!("{:?}", diff.walls) };
    assert_eq!((wall.id.as_str(), wall.change), ("wall.read-only", WallChange::Schema));
    assert!(wall.loosened > 0 && diff.count(Change::Loosened) == wall.loosened);
}

#[test]
fn another_name_or_other_notes_change_no_answer() {
    let diff = from_builtin(&replaced("wall.read-only", "@id(\"wall.read-only\")", "@id(\"wall.looks-only\")"));
    assert_eq!(counts(&diff), [0; 5]);
    let [change] = diff.policies.as_slice() else { panic!("{:?}", diff.policies) };
    assert_eq!((change.id.as_str(), &change.edit), ("wall.looks-only", &Edit::Renamed("wall.read-only".into())));
    assert!(diff.walls.is_empty() && diff.is_changed() && !diff.is_loosened());

    let diff = from_builtin(&replaced("wall.read-only", "changes nothing", "changes nothing at all"));
    assert_eq!(diff.policies.iter().map(|p| &p.edit).collect::<Vec<_>>(), [&Edit::Reworded]);
    assert!(!diff.is_changed() && !diff.is_empty());
}

#[test]
fn policy_tests_are_asked_too_and_once() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/tests"));
    let builtin = Bundle::builtin();
    let read = |bundle: &Bundle| read_questions(bundle, folder).unwrap_or_else(|e| panic!("{e}"));
    // The small world has no member `admin`; the tests do.
    let new = edited(
        |id, text| (id != "roles.approver").then(|| text.to_owned()),
        "@id(\"x\") permit (principal == Grc::Member::\"admin\", action, resource);",
    );
    let diff = diff_some(&builtin, &new, (&read(&builtin), &read(&new)), 8);
    assert_eq!(diff.tried.cases, read(&builtin).cases.len());
    let loosened: Vec<_> = diff.groups.iter().filter(|g| g.change == Change::Loosened).collect();
    assert!(!loosened.is_empty() && loosened.iter().all(|g| g.witness.case.is_some()), "{loosened:?}");
    assert!(diff.groups.iter().any(|g| g.change == Change::Tightened && g.witness.case.is_none()));
}

/// The built-in schema with `from` replaced by `to`, and the built-in policies that are left by `keep`.
fn other_schema(from: &str, to: &str, more: &str) -> Bundle {
    let builtin = Bundle::builtin();
    let schema = builtin.sources().schema().expect("a schema").text();
    assert!(schema.contains(from), "the schema does not contain `{from}`");
    let policies: Vec<&str> = builtin.policies().iter().map(bailiwick::Policy::text).collect();
    bundle(&schema.replace(from, to), &format!("{}\n{more}", policies.join("\n")))
}

#[test]
fn what_only_one_schema_can_ask_is_counted() {
    // An action more, and everybody may do it.
    let action = "action wave in [read, project] appliesTo { principal: [Member], resource: [Project], context: { now: datetime } };";
    let new = other_schema(
        "action openPortal",
        &format!("{action}\naction openPortal"),
        "@id(\"x\") permit (principal is Grc::Member, action == Grc::Action::\"wave\", resource);",
    );
    let diff = sampled(&new);
    let [loosened, tightened, other, only_old, only_new] = counts(&diff);
    assert_eq!((loosened, tightened, other, only_old), (0, 0, 0, 0));
    assert!(only_new > 50 && diff.groups.iter().any(|g| g.allowed > 0), "{only_new}");
    assert!(diff.is_loosened());

    // The other way round the action is gone.
    let back = diff_some(&new, &Bundle::builtin(), (&Cases::default(), &Cases::default()), 8);
    assert!(back.count(Change::OnlyOld) > 50 && back.count(Change::OnlyNew) == 0, "{:?}", counts(&back));
    assert!(back.is_loosened());

    // A context that the small world cannot fill.
    let action = action.replace("now: datetime", "now: datetime, shade: Long");
    let diff = sampled(&other_schema("action openPortal", &format!("{action}\naction openPortal"), ""));
    assert_eq!(counts(&diff), [0; 5]);
    let [untried] = diff.untried.as_slice() else { panic!("{:?}", diff.untried) };
    assert!(untried.why.contains("`shade`"), "{untried:?}");
    assert!(diff.is_changed() && diff.is_loosened());

    // A role more: nobody holds it under the old schema.
    let diff = sampled(&other_schema("\"VIEWER\"\n", "\"VIEWER\", \"INTERN\"\n", ""));
    assert!(diff.count(Change::OnlyNew) > 100 && diff.count(Change::OnlyOld) == 0, "{:?}", counts(&diff));

    // Every auditor of the small world lacks what the new schema asks for.
    let diff = sampled(&other_schema("expiresAt: datetime,", "expiresAt: datetime, firm: String,", ""));
    assert!(diff.count(Change::OnlyOld) > 500 && diff.count(Change::OnlyNew) == 0, "{:?}", counts(&diff));
    assert!(diff.groups.iter().any(|g| g.principal == "Grc::Auditor" && g.allowed > 0));
}

#[test]
fn of_another_model_only_the_tests_are_tried() {
    let schema = "entity User = { age: Long }; action view appliesTo { principal: User, resource: User };";
    let old = bundle(schema, "@id(\"a\") permit (principal, action, resource);");
    let new = bundle(schema, "@id(\"a\") permit (principal, action, resource) when { principal.age > 3 };");
    let nothing = diff(&old, &new, &Cases::default(), &Cases::default());
    assert_eq!((nothing.tried.small_world, nothing.tried.cases), (None, 0));
    assert!(nothing.is_changed() && nothing.is_loosened(), "an edit that nothing tried is not shown to be harmless");
    let same = diff(&old, &old, &Cases::default(), &Cases::default());
    assert!(same.is_empty() && !same.is_changed() && !same.is_loosened());

    let folder = crate::files::Folder::new("other-model");
    let case = r#"[{"name": "c", "request": {"principal": "User::\"u\"", "action": "Action::\"view\"",
        "resource": "User::\"u\"", "context": {}}, "entities": "e.entities.json", "decision": "allow", "reason": ["gone"]}]"#;
    folder.write("c.json", case);
    folder.write("e.entities.json", r#"[{"uid": {"type": "User", "id": "u"}, "attrs": {"age": 1}, "parents": []}]"#);
    let cases = read_questions(&old, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let tightened = diff(&old, &new, &cases, &Cases::default());
    assert_eq!((tightened.tried.cases, tightened.count(Change::Tightened)), (1, 1));
    assert!(tightened.is_changed() && !tightened.is_loosened());
}
