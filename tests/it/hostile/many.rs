//! Tens of thousands of policies, and a megabyte in one: an answer or an error on a stack of 2 MB.

use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, BundleError, EntityUid, ErrorMode, Link, Source, Sources};

use super::nesting::on_two_megabytes;

const SCHEMA: &str = "entity User = { age: Long };
    entity Doc = { owner: User };
    action view, edit appliesTo { principal: User, resource: Doc };";

/// Of every hundred policies the general ones; the others name one principal or one resource.
fn policy(i: usize) -> String {
    let id = format!("@id(\"p{i}\")");
    match i % 100 {
        0 => {
            format!("{id} permit (principal, action == Action::\"view\", resource) when {{ principal.age == {i} }};\n")
        }
        1 => format!("{id} forbid (principal, action, resource) when {{ principal.age == {i} }};\n"),
        n if n % 3 == 0 => format!("{id} forbid (principal, action, resource == Doc::\"d{i}\");\n"),
        _ => format!("{id} permit (principal == User::\"u{i}\", action, resource);\n"),
    }
}

fn load(policies: Vec<Source>, links: &[Link]) -> Result<Bundle, BundleError> {
    Bundle::from_sources(Sources::new(Some(Source::new("s", SCHEMA)), policies).with_links(links), ErrorMode::Strict)
}

#[test]
fn many_policies_over_many_files_are_loaded_decided_and_dropped() {
    let many = std::env::var("BAILIWICK_POLICIES").map_or(20_000, |n| n.parse().expect("a number"));
    on_two_megabytes(move || {
        // Two templates, each linked to one principal in a hundred of the policies.
        let template = "@id(\"seen\") permit (principal == ?principal, action == Action::\"view\", resource);
            @id(\"barred\") forbid (principal == ?principal, action == Action::\"edit\", resource);";
        let link = |template: &str, of: usize| {
            let user = EntityUid::new("User", &format!("linked{of}")).expect("a uid");
            Link::new(template, format!("{template}{of}")).principal(user)
        };
        let links: Vec<Link> = (0..many / 100).flat_map(|of| [link("seen", of), link("barred", of)]).collect();
        let files = (0..many).step_by(9_000).map(|from| {
            let text: String = (from..many.min(from + 9_000)).map(policy).collect();
            Source::new(format!("{from}.cedar"), text)
        });
        let files = files.chain([Source::new("templates.cedar", template)]).collect();
        let bundle = load(files, &links).expect("valid");
        assert_eq!(bundle.policies().len(), many + links.len());

        let user = |id: &str, age: usize| {
            format!(r#"{{"uid": {{"type": "User", "id": "{id}"}}, "attrs": {{"age": {age}}}, "parents": []}}"#)
        };
        let doc = |id: &str| {
            let owner = r#"{"type": "User", "id": "u2"}"#;
            format!(r#"{{"uid": {{"type": "Doc", "id": "{id}"}}, "attrs": {{"owner": {owner}}}, "parents": []}}"#)
        };
        let last = many - 2;
        let entities = [
            user("u2", 1_000_000_000),
            user(&format!("u{last}"), 1_000_000_000),
            user("barred", 101),
            user("of an age", 100),
            user("linked7", 1_000_000_000),
            doc("d"),
            doc("d3"),
        ];
        let entities = format!("[{}]", entities.join(","));
        let builder = Authorizer::builder().bundle(bundle.clone());
        let authorizer = builder.entities_json(entities.as_bytes()).expect("entities").build();
        let named = format!("u{last}");
        let by_last = format!("p{last}");
        for (principal, action, resource, allowed, by) in [
            ("u2", "view", "d", true, "p2"),
            (named.as_str(), "edit", "d", true, by_last.as_str()),
            ("u2", "view", "d3", false, "p3"),
            ("barred", "view", "d", false, "p101"),
            ("of an age", "view", "d", true, "p100"),
            ("linked7", "view", "d", true, "seen7"),
            ("linked7", "edit", "d", false, "barred7"),
        ] {
            let request = format!(
                r#"{{"principal": "User::\"{principal}\"", "action": "Action::\"{action}\"", "resource": "Doc::\"{resource}\""}}"#
            );
            let decision = authorizer.is_authorized(&request_from_json(&bundle, &request).expect("a request"));
            assert_eq!((decision.allowed(), decision.errors().count()), (allowed, 0), "{principal}: {decision:?}");
            assert_eq!(decision.determining().collect::<Vec<_>>(), [by], "{principal} {action} {resource}");
        }
    });
    println!("{many} policies");
}

/// A megabyte in one policy: what it is made of, and whether it is loaded.
#[test]
fn a_megabyte_in_one_policy_is_decided_or_refused_with_a_place() {
    let repeated = |piece: &str| piece.repeat((1 << 20) / piece.len());
    for (what, condition, loaded) in [
        ("||", format!("{}true", repeated("principal.age == 2 || ")), false),
        ("&&", format!("{}true", repeated("principal.age == 1 && ")), false),
        ("+", format!("principal.age{} > 0", repeated(" + 1")), false),
        ("brackets", format!("{}true{}", "(".repeat(1 << 19), ")".repeat(1 << 19)), false),
        ("if", format!("{}true", repeated("if principal.age == 2 then false else ")), false),
        ("attributes", format!("principal{} == 1", repeated(".age")), false),
        ("a set of numbers", format!("[{}1].contains(principal.age)", repeated("1234567, ")), true),
        ("a set of chains", format!("[{}true].contains(true)", repeated("1 + 1 + 1 == 3, ")), true),
        ("a text", format!("\"{}\" != \"\"", repeated("x")), true),
    ] {
        on_two_megabytes(move || {
            let text = format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};");
            let bundle = match load(vec![Source::new("p", text)], &[]) {
                Ok(bundle) => bundle,
                Err(e) => {
                    assert!(!loaded && e.findings()[0].place().is_some(), "{what}: {}", e.findings()[0]);
                    return;
                }
            };
            assert!(loaded, "{what} is loaded");
            let entities = r#"[{"uid": {"type": "User", "id": "u"}, "attrs": {"age": 1}, "parents": []},
                {"uid": {"type": "Doc", "id": "d"}, "parents": [], "attrs": {"owner": {"type": "User", "id": "u"}}}]"#;
            let builder = Authorizer::builder().bundle(bundle.clone());
            let authorizer = builder.entities_json(entities.as_bytes()).expect("entities").build();
            let request = r#"{"principal": "User::\"u\"", "action": "Action::\"view\"", "resource": "Doc::\"d\""}"#;
            let decision = authorizer.is_authorized(&request_from_json(&bundle, request).expect("a request"));
            assert_eq!((decision.allowed(), decision.errors().count()), (true, 0), "{what}: {decision:?}");
        });
    }
}
