//! Nesting and chains, at the limits and far beyond: within them everything works on a stack of 2 MB, beyond them a
//! text is refused with a place, before anything that recurses sees it.

use bailiwick::entities::{entity_from_json, request_from_json};
use bailiwick::{grc, Authorizer, Bundle, Entity, ErrorMode, Snapshot, Source, Sources, Value};

/// Runs `f` on a thread with the stack that threads have by default.
pub(super) fn on_two_megabytes<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(f).expect("a thread");
    thread.join().expect("neither panic nor overflow")
}

const SCHEMA: &str = "entity User = { age: Long, boss: User, at: datetime };
    action view appliesTo { principal: User, resource: User };";

fn bundle(schema: &str, policy: &str) -> Result<Bundle, bailiwick::BundleError> {
    let sources = Sources::new(Some(Source::new("s", schema)), vec![Source::new("p", policy)]);
    Bundle::from_sources(sources, ErrorMode::Strict)
}

/// The one entity there is, asking about itself.
fn decide(bundle: &Bundle) -> bailiwick::Decision {
    let entities = br#"[{"uid": {"type": "User", "id": "u"}, "parents": [], "attrs": {"age": 1,
        "boss": {"type": "User", "id": "u"}, "at": "2026-01-01"}}]"#;
    let request = r#"{"principal": "User::\"u\"", "action": "Action::\"view\"", "resource": "User::\"u\""}"#;
    let request = request_from_json(bundle, request).expect("a request");
    let authorizer = Authorizer::builder().bundle(bundle.clone()).entities_json(&entities[..]).expect("entities");
    authorizer.build().is_authorized(&request)
}

/// A policy's text with something in it `n` times.
type Shape = fn(usize) -> String;

/// Shapes of policies: the most that is within the limits, and the text. All hold where they are valid.
const POLICIES: &[(&str, usize, Shape)] = &[
    ("brackets", 63, |n| when(&format!("{}true{}", "(".repeat(n), ")".repeat(n)))),
    ("||", 950, |n| when(&format!("{}true", "principal.age == 2 || ".repeat(n)))),
    ("&&", 950, |n| when(&format!("{}true", "principal.age == 1 && ".repeat(n)))),
    ("!", 4, |n| when(&format!("{}(principal.age == {})", "!".repeat(n), 1 + n % 2))),
    ("-", 4, |n| when(&format!("{}1 == {}1", "-".repeat(n), if n % 2 == 0 { "" } else { "-" }))),
    ("if … else", 300, |n| when(&format!("{}true", "if principal.age == 2 then false else ".repeat(n)))),
    ("if in if", 60, |n| when(&format!("{}true{}", "if (".repeat(n), ") then true else false".repeat(n)))),
    ("+", 900, |n| when(&format!("principal.age{} > 0", " + 1".repeat(n)))),
    ("*", 900, |n| when(&format!("principal.age{} == 1", " * 1".repeat(n)))),
    ("attributes", 900, |n| when(&format!("principal{}.age == 1", ".boss".repeat(n)))),
    ("attributes in brackets", 900, |n| when(&format!("principal{}.age == 1", "[\"boss\"]".repeat(n)))),
    ("has", 800, |n| when(&format!("principal has boss{}", ".boss".repeat(n)))),
    ("methods", 300, |n| when(&format!("principal.at{} > principal.at", ".offset(duration(\"1ms\"))".repeat(n)))),
    ("calls", 900, |n| when(&format!("true || principal{} == 1", "()".repeat(n)))),
    ("sets", 62, |n| when(&format!("{0}1{1} == {0}1{1}", "[".repeat(n), "]".repeat(n)))),
    ("records", 62, |n| when(&format!("{0}1{1} == {0}1{1}", "{a: ".repeat(n), "}".repeat(n)))),
    ("sets side by side", 100_000, |n| when(&format!("[{}[1]].contains([1])", "[1], ".repeat(n)))),
    ("names", 900, |n| when(&format!("principal == {}User::\"u\" || true", "a::".repeat(n)))),
    ("annotations", 900, |n| {
        let all: String = (0..n).map(|i| format!("@x{i}(\"y\")\n")).collect();
        format!("{all}{}", when("true"))
    }),
    ("conditions", 900, |n| {
        when("true").replace("when { true };", &format!("{};", "when { principal.age == 1 }\n".repeat(n)))
    }),
    ("comments", 100_000, |n| format!("{}\n{}", "// ((((\n".repeat(n), when("true"))),
    // Cedar ends a comment at a carriage return too.
    ("brackets after a comment's end", 63, |n| when(&format!("// here\r{}true{}\n", "(".repeat(n), ")".repeat(n)))),
    ("stars", 100_000, |n| when(&format!("\"aaaaaaaaaaaaaaaa\" like \"{}\"", "*".repeat(n)))),
    ("a text", (4 << 20) - 200, |n| when(&format!("\"{}\" != \"\"", "x".repeat(n)))),
    ("semicolons", 0, |n| when("true") + &";".repeat(n)),
    ("policies", 9_980, |n| (0..n).map(|i| format!("@id(\"p{i}\") permit (principal, action, resource);\n")).collect()),
];

fn when(condition: &str) -> String {
    format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};")
}

/// More of a shape than its limit: a little, and as much as there is room for.
fn beyond(most: usize) -> [usize; 3] {
    [most * 2 + 50, most + 10_000, most + 300_000]
}

/// Shapes that do not nest and are as long as a file may be.
const FLAT: [&str; 4] = ["sets side by side", "comments", "stars", "attributes side by side"];

#[test]
fn policies_within_the_limits_are_decided_on_two_megabytes_and_those_beyond_are_refused_with_a_place() {
    for (what, most, shape) in POLICIES {
        // Cedar refuses a name of namespaces that are not there, and a call of what is no function.
        let unknown = matches!(*what, "names" | "calls");
        let (decision, findings) = on_two_megabytes(move || match bundle(SCHEMA, &shape(*most)) {
            Ok(bundle) => (Some(decide(&bundle)), String::new()),
            Err(e) => (None, e.findings()[0].to_string()),
        });
        match decision {
            Some(decision) if !unknown => {
                // An evaluator that runs out of stack says so, and the policy does not count.
                let stack = decision.errors().any(|e| e.message().contains("recursion limit"));
                assert!(decision.allowed() || stack, "{what}: {decision:?}");
            }
            found => assert!(unknown && found.is_none(), "{what}: {findings}"),
        }
        for n in beyond(*most) {
            let text = shape(n);
            if text.len() > 8 << 20 {
                continue;
            }
            let result = on_two_megabytes(move || bundle(SCHEMA, &text).map(|b| decide(&b)));
            match result {
                Ok(_) => assert!(FLAT.contains(what), "{what} {n} is loaded"),
                Err(e) => {
                    let finding = &e.findings()[0];
                    assert!(finding.place().is_some(), "{what} {n}: {finding}");
                    assert!(finding.to_string().len() < 2_000, "{what} {n}: a long message");
                }
            }
        }
    }
}

/// Shapes of schemas.
const SCHEMAS: &[(&str, usize, Shape)] = &[
    ("records", 60, |n| entity(&format!("{}Long{}", "{ a: ".repeat(n), "}".repeat(n)))),
    ("sets", 60, |n| entity(&format!("{}Long{}", "Set<".repeat(n), ">".repeat(n)))),
    ("names for names", 60, |n| types(n, |of| of.to_owned())),
    ("records by name", 30, |n| types(n, |of| format!("{{ a: {of} }}"))),
    ("records by name, twice", 12, |n| types(n, |of| format!("{{ a: {of}, b: {of} }}"))),
    ("sets by name", 30, |n| types(n, |of| format!("Set<{of}>"))),
    ("entity types in each other", 500, |n| {
        let types: String = (1..n).map(|i| format!("entity E{i} in [E{}];\n", i - 1)).collect();
        format!("entity E0;\n{types}{}", entity("Long"))
    }),
    ("pairs of principal and resource", 500, |n| {
        let types = |n: usize| (0..n).map(|i| format!("E{i}")).collect::<Vec<_>>().join(", ");
        let (few, all) = (types(n.min(200)), types(n));
        format!("entity {all};\naction many appliesTo {{ principal: [{few}], resource: [{all}] }};\n{SCHEMA}")
    }),
    ("action groups", 500, |n| {
        let groups: String = (1..n).map(|i| format!("action g{i} in [g{}];\n", i - 1)).collect();
        format!("action g0;\n{groups}{}", entity("Long"))
    }),
    ("names", 900, |n| entity(&format!("{}Long", "a::".repeat(n)))),
    ("records after a comment's end", 60, |n| {
        entity(&format!("// here\r{}Long{}\n", "{ a: ".repeat(n), "}".repeat(n)))
    }),
    ("attributes side by side", 900, |n| {
        let all: String = (0..n).map(|i| format!("a{i}: Long, ")).collect();
        entity(&format!("{{ {all} }}"))
    }),
];

fn entity(of: &str) -> String {
    format!("{SCHEMA}\nentity Thing = {{ t?: {of} }};")
}

/// `n` types, each made of the one before.
fn types(n: usize, of: fn(&str) -> String) -> String {
    let types: String = (1..=n).map(|i| format!("type T{i} = {};\n", of(&format!("T{}", i - 1)))).collect();
    format!("type T0 = Long;\n{types}{}", entity(&format!("T{n}")))
}

#[test]
fn schemas_within_the_limits_are_loaded_and_those_beyond_are_refused_with_a_place() {
    for (what, most, shape) in SCHEMAS {
        let unknown = *what == "names";
        let policy = when("true");
        let text = shape(*most);
        let loaded = on_two_megabytes(move || bundle(&text, &policy).map(|b| decide(&b).allowed()));
        match loaded {
            Ok(allowed) => assert!(allowed && !unknown, "{what}"),
            Err(e) => assert!(unknown, "{what}: {e}"),
        }
        for n in beyond(*most) {
            let text = shape(n);
            let result = on_two_megabytes(move || bundle(&text, &when("true")).map(drop));
            match result {
                Ok(()) => assert!(FLAT.contains(what), "{what} {n} is loaded"),
                Err(e) => {
                    let finding = &e.findings()[0];
                    assert!(finding.place().is_some(), "{what} {n}: {finding}");
                    assert!(finding.to_string().len() < 2_000, "{what} {n}: a long message");
                }
            }
        }
    }
}

/// Shapes of JSON values: brackets within brackets.
const VALUES: [(&str, &str, &str); 4] = [
    ("arrays", "[", "]"),
    ("records", "{\"a\": ", "}"),
    ("entities", "{\"__entity\": ", "}"),
    ("extensions", "{\"__extn\": {\"fn\": \"ip\", \"arg\": ", "}}"),
];

#[test]
fn nested_entities_and_requests_are_read_within_the_limits_and_refused_beyond() {
    let bundle = bundle(SCHEMA, &when("true")).expect("valid");
    for (what, open, close) in VALUES {
        for n in [1, 63, 64, 65, 127, 128, 129, 10_000, 1_000_000] {
            let value = format!("{}1{}", open.repeat(n), close.repeat(n));
            let bundle = bundle.clone();
            on_two_megabytes(move || {
                let uid = r#"{"type": "User", "id": "u"}"#;
                // In an attribute, a tag, a parent and the uid; in the context, an inline resource and a principal.
                for entity in [
                    format!(r#"{{"uid": {uid}, "parents": [], "attrs": {{"age": {value}}}}}"#),
                    format!(r#"{{"uid": {uid}, "parents": [], "attrs": {{}}, "tags": {{"age": {value}}}}}"#),
                    format!(r#"{{"uid": {uid}, "parents": {value}, "attrs": {{}}}}"#),
                    format!(r#"{{"uid": {value}, "parents": [], "attrs": {{}}}}"#),
                    value.clone(),
                ] {
                    let text = format!("[{entity}]");
                    let error = Snapshot::from_json(&bundle, text.as_bytes()).expect_err(what).to_string();
                    assert!(error.contains("entity 0") || error.contains("line 1"), "{what} {n}: no place: {error}");
                    let request = |principal: &str, resource: &str, context: &str| {
                        format!(
                            r#"{{"principal": {principal}, "action": "Action::\"view\"", "resource": {resource}, "context": {context}}}"#
                        )
                    };
                    for text in [
                        request(uid, uid, &format!("{{\"a\": {value}}}")),
                        request(uid, &entity, "{}"),
                        request(&value, uid, "{}"),
                    ] {
                        let Ok(request) = request_from_json(&bundle, &text) else { continue };
                        let decision = Authorizer::builder().bundle(bundle.clone()).build().is_authorized(&request);
                        assert!(!decision.allowed() && decision.indeterminate(), "{what} {n}: {decision:?}");
                    }
                }
            });
        }
    }
}

/// A value that no text can give: a program has nested it `n` times.
fn built(n: usize, record: bool) -> Value {
    (0..n).fold(Value::Long(1), |inner, _| match record {
        true => Value::Record([("a".to_owned(), inner)].into()),
        false => Value::Set([inner].into()),
    })
}

#[test]
fn values_that_a_program_nests_too_deep_are_refused_wherever_they_are_given() {
    on_two_megabytes(|| {
        // Dropping one takes no more stack, however deep it is.
        assert!(matches!(&built(1_000_000, false), Value::Set(items) if items.len() == 1));
        let acme = || Value::Entity(grc::organization("acme"));
        let member = Entity::new(grc::member("m"))
            .with("organization", acme())
            .with("role", grc::Role::Owner.value())
            .with("active", Value::Bool(true))
            .with("complianceTeam", Value::Bool(false))
            .with("contributor", Value::Bool(false))
            .with("clients", Value::Set([].into()));
        let control = |name: &str, value: Value| {
            Entity::new(grc::control("c"))
                .with("organization", acme())
                .with("activeFrom", Value::Datetime(bailiwick::Timestamp::MIN))
                .with(name, value)
        };
        for mode in [ErrorMode::Strict, ErrorMode::Cedar] {
            let bundle = Bundle::from_sources(Bundle::builtin().sources().clone(), mode).expect("valid");
            let stored = vec![Entity::new(grc::organization("acme")), member.clone()];
            let snapshot = Snapshot::from_entities(&bundle, stored).expect("valid");
            let authorizer = Authorizer::builder().bundle(bundle.clone()).snapshot(snapshot).expect("it fits").build();
            let approve = |resource: Entity| grc::request(grc::member("m"), grc::Action::Approve, resource);
            let whole = approve(control("activeFrom", Value::Datetime(bailiwick::Timestamp::MIN)));
            let now = Value::Datetime(bailiwick::Timestamp::MIN);
            assert!(authorizer.is_authorized(&whole.clone().with("now", now)).allowed());
            for (n, record) in
                [(65, false), (65, true), (10_000, false), (10_000, true), (50_000, false), (50_000, true)]
            {
                for request in [
                    whole.clone().with("more", built(n, record)),
                    whole.clone().with("now", built(n, record)),
                    approve(control("more", built(n, record))),
                    approve(control("project", built(n, record))),
                ] {
                    let decision = authorizer.is_authorized(&request);
                    assert!(!decision.allowed() && decision.indeterminate(), "{n}: {decision:?}");
                    let message = decision.errors().next().expect("an error").message();
                    assert_eq!(message, "a value of the request is nested deeper than 64");
                }
                let entity = control("more", built(n, record));
                let error = authorizer.apply(&bailiwick::Changes::new().upsert(entity)).expect_err("too deep");
                assert!(error.to_string().contains("nested deeper than 64"), "{error}");
            }
        }
    });
    // As deep as a text may be, on an ordinary stack.
    let bundle = Bundle::builtin();
    let json = |n: usize| {
        let value = format!("{}1{}", "[".repeat(n), "]".repeat(n));
        serde_json::from_str(&format!(
            r#"{{"uid": {{"type": "Grc::Control", "id": "c"}}, "attrs": {{"more": {value}}}}}"#
        ))
        .expect("JSON")
    };
    assert!(entity_from_json(&bundle, &json(64)).is_ok());
    assert!(entity_from_json(&bundle, &json(65)).expect_err("too deep").to_string().contains("nested deeper than 64"));
}
