//! Templates of policy files, and the links that make policies of them.

use bailiwick::entities::{entity_from_json, request_from_json};
use bailiwick::{Authorizer, Bundle, BundleError, Decision, ErrorMode, Link, Snapshot, Source, Sources};
use serde_json::json;

use crate::files::Folder;

const SCHEMA: &str = r#"
entity Color enum ["red"];
entity Group;
entity User in [Group];
entity Doc { size?: Long };
action view, edit appliesTo { principal: User, resource: Doc };
"#;

const POLICIES: &str = r#"@id("reader")
@doc("Lets a group read a document.")
permit (principal in ?principal, action == Action::"view", resource == ?resource);

@id("plain")
@doc("Nobody edits what is small.")
forbid (principal, action == Action::"edit", resource) unless { resource has size && resource.size > 9 };

@id("keeper")
@doc("Lets somebody do everything.")
permit (principal == ?principal, action, resource);
"#;

const LINKS: &str = r#"[
  {"template_id": "reader", "link_id": "staff-plan",
   "args": {"?principal": "Group::\"staff\"", "?resource": "Doc::\"plan\""}},
  {"template_id": "keeper", "link_id": "olga", "args": {"?principal": "User::\"olga\""}}
]"#;

fn sources(policies: &str) -> Sources {
    Sources::new(Some(Source::new("schema", SCHEMA)), vec![Source::new("a.cedar", policies)])
}

fn load(policies: &str, links: &str, mode: ErrorMode) -> Result<Bundle, BundleError> {
    Bundle::from_sources(sources(policies).with_links_text(Source::new("links.json", links)), mode)
}

fn authorizer(bundle: &Bundle) -> Authorizer {
    let entities = [
        json!({"uid": {"type": "Group", "id": "staff"}}),
        json!({"uid": {"type": "User", "id": "olga"}}),
        json!({"uid": {"type": "User", "id": "sam"}, "parents": [{"type": "Group", "id": "staff"}]}),
        json!({"uid": {"type": "Doc", "id": "plan"}, "attrs": {"size": 10}}),
        json!({"uid": {"type": "Doc", "id": "other"}}),
    ];
    let entities = entities.iter().map(|e| entity_from_json(bundle, e).expect("an entity")).collect();
    let snapshot = Snapshot::from_entities(bundle, entities).expect("valid");
    let builder = Authorizer::builder().bundle(bundle.clone()).snapshot(snapshot).expect("it fits");
    builder.shadow(1, |request, ours, cedars| panic!("{request:?}\nours: {ours:?}\nCedar's: {cedars:?}")).build()
}

fn ask(authorizer: &Authorizer, who: &str, action: &str, what: &str) -> (bool, Vec<String>) {
    let request = json!({"principal": format!("User::\"{who}\""), "action": format!("Action::\"{action}\""),
        "resource": format!("Doc::\"{what}\"")});
    let request = request_from_json(&authorizer.bundle(), &request.to_string()).expect("a request");
    let decision: Decision = authorizer.is_authorized(&request);
    (decision.allowed(), decision.determining().map(str::to_owned).collect())
}

#[test]
fn a_linked_policy_decides_under_its_own_name() {
    for mode in [ErrorMode::Strict, ErrorMode::Cedar] {
        let bundle = load(POLICIES, LINKS, mode).expect("valid");
        let ids: Vec<_> = bundle.policies().iter().map(|p| (p.id(), p.template(), p.place().1)).collect();
        assert_eq!(ids, [("plain", None, 5), ("staff-plan", Some("reader"), 1), ("olga", Some("keeper"), 9)]);
        assert_eq!(bundle.coverage(), (3, 3), "compiled");
        assert_eq!(bundle.policy("olga").and_then(|p| p.doc()), Some("Lets somebody do everything."));
        let authorizer = authorizer(&bundle);
        let named = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        for (who, action, what, allowed, by) in [
            ("sam", "view", "plan", true, named(&["staff-plan"])),
            ("sam", "view", "other", false, named(&[])),
            ("sam", "edit", "plan", false, named(&[])),
            ("olga", "view", "plan", true, named(&["olga"])),
            ("olga", "edit", "plan", true, named(&["olga"])),
            ("olga", "edit", "other", false, named(&["plain"])),
        ] {
            assert_eq!(ask(&authorizer, who, action, what), (allowed, by), "{who} {action} {what}");
        }
    }
}

#[test]
fn links_given_by_a_program_are_those_of_a_file() {
    let uid = |text: &str| text.parse().expect("a uid");
    let links = [
        Link::new("reader", "staff-plan").principal(uid("Group::\"staff\"")).resource(uid("Doc::\"plan\"")),
        Link::new("keeper", "olga").principal(uid("User::\"olga\"")),
    ];
    let bundle = Bundle::from_sources(sources(POLICIES).with_links(&links), ErrorMode::Strict).expect("valid");
    assert_eq!(ask(&authorizer(&bundle), "sam", "view", "plan"), (true, vec!["staff-plan".to_owned()]));
    let strange = [Link::new("reader", "a\"b\n").principal(uid("Group::\"\\\"\\u{202e}\"")).resource(uid("Doc::\"\""))];
    let lenient = Bundle::from_sources(sources(POLICIES).with_links(&strange), ErrorMode::Cedar).expect("valid");
    assert_eq!(lenient.policies().last().map(|p| p.id()), Some("a\"b\n"));
}

#[test]
fn links_are_part_of_the_version_and_outlive_a_policy_taken_out() {
    let whole = load(POLICIES, LINKS, ErrorMode::Strict).expect("valid");
    let other = load(POLICIES, &LINKS.replace("User::\\\"olga", "User::\\\"sam"), ErrorMode::Strict).expect("valid");
    assert_ne!(whole.version(), other.version());
    assert_eq!(ask(&authorizer(&other), "sam", "edit", "plan"), (true, vec!["olga".to_owned()]));
    let without = whole.without("plain").expect("it is there");
    assert_eq!(ask(&authorizer(&without), "olga", "edit", "other"), (true, vec!["olga".to_owned()]));
    let without = whole.without("olga").expect("it is there");
    assert_eq!(ask(&authorizer(&without), "olga", "edit", "plan"), (false, vec![]));
}

#[test]
fn each_wrong_link_is_refused_with_its_place() {
    let link = |template: &str, id: &str, args: &str| {
        format!(
            "[\n  {{\"template_id\": \"{template}\",\n   \"link_id\": \"{id}\",\n   \"args\": {{\n    {}}}}}\n]",
            args.replace(", ", ",\n    ")
        )
    };
    let (principal, resource) = (r#""?principal": "Group::\"staff\"""#, r#""?resource": "Doc::\"plan\"""#);
    let both = format!("{principal}, {resource}");
    let first = link("reader", "x", &both);
    for (links, line, expected) in [
        (link("rader", "x", &both), 2, "there is no template `rader`"),
        (link("plain", "x", &both), 2, "there is no template `plain`"),
        (link("reader", "plain", &both), 3, "`plain` is also the id of a.cedar:5"),
        (link("reader", "keeper", &both), 3, "`keeper` is also the id of a.cedar:9"),
        (link("reader", "", &both), 3, "`link_id` is empty"),
        (link("reader", "x", principal), 4, "`args` has no `?resource`, which the template has"),
        (link("keeper", "x", &both), 6, "the template has no slot `?resource`"),
        (link("reader", "x", &format!("\"?principal\": \"staff\", {resource}")), 5, "`staff` is not an entity uid"),
        (link("reader", "x", &format!("\"?principal\": \"Team::\\\"t\\\"\", {resource}")), 5, "no entity type `Team`"),
        (link("reader", "x", &format!("\"?principal\": \"Color::\\\"blue\\\"\", {resource}")), 5, "does not list"),
        (
            link("reader", "x", &format!("{principal}, \"?other\": \"Doc::\\\"a\\\"\"")),
            4,
            "`args` has the unknown key `?other`; its keys are `?principal`, `?resource`",
        ),
        (link("reader", "x", &format!("{both}, {resource}")), 7, "duplicate key `?resource`"),
        (link("reader", "x", "\"?principal\": 1"), 5, "`?principal` is an integer, expected a text"),
        (
            first.replace("link_id", "id"),
            2,
            "the link has the unknown key `id`; its keys are `template_id`, `link_id`, `args`",
        ),
        (first.replace(']', ",\n]"), 8, "expected value"),
        (first.replace(']', ""), 7, "expected `,` or `]`"),
        (first.replace(']', "] x"), 7, "expected nothing after the array"),
        (format!("{}\n, 1]", first.trim_end_matches(['\n', ']'])), 7, "the link is an integer, expected an object"),
        ("{}".to_owned(), 1, "expected an array of links"),
        (String::new(), 1, "expected an array of links"),
        ("[[\"reader\"]]".to_owned(), 1, "the link is an array, expected an object"),
        (first.replace("{\n", "[").replace("}}", "]}"), 4, "expected"),
        ("[".repeat(1_000_000), 1, "recursion limit exceeded"),
    ] {
        for mode in [ErrorMode::Strict, ErrorMode::Cedar] {
            let schema_matters = expected.contains("entity type") || expected.contains("list");
            let error = match load(POLICIES, &links, mode) {
                Ok(_) if mode == ErrorMode::Cedar && schema_matters => continue,
                Ok(_) => panic!("loaded: {links}"),
                Err(e) => e,
            };
            let found: Vec<_> = error.findings().iter().map(|f| (f.place(), f.message())).collect();
            let is = |(place, message): &(Option<(&str, usize, usize)>, &str)| {
                place.is_some_and(|(file, at, _)| file == "links.json" && at == line) && message.contains(expected)
            };
            assert!(found.iter().any(is), "expected `{expected}` in line {line}:\n{links:.400}\n{found:?}");
        }
    }
    let twice = LINKS.replace("olga\", \"args", "staff-plan\", \"args");
    let error = load(POLICIES, &twice, ErrorMode::Strict).expect_err("the id is there twice").to_string();
    assert!(error.starts_with("links.json:4:") && error.contains("also the id of links.json:2"), "{error}");
}

#[test]
fn a_template_that_no_link_uses_is_refused_and_the_message_says_how_to_link_it() {
    for links in [
        None,
        Some("[]"),
        Some(r#"[{"template_id": "keeper", "link_id": "o", "args": {"?principal": "User::\"o\""}}]"#),
    ] {
        let sources = match links {
            Some(text) => sources(POLICIES).with_links_text(Source::new("links.json", text)),
            None => sources(POLICIES),
        };
        let error = Bundle::from_sources(sources.clone(), ErrorMode::Strict).expect_err("unused");
        let finding = &error.findings()[0];
        assert_eq!(finding.place(), Some(("a.cedar", 1, 1)));
        assert_eq!(finding.message(), "the template `reader` has no effect: no link uses it");
        assert!(finding.help().is_some_and(|help| help.contains("`links.json`") && help.contains("template_id")));
        assert!(Bundle::from_sources(sources, ErrorMode::Cedar).is_ok(), "Cedar allows it");
    }
    let nameless = POLICIES.replace("@id(\"reader\")", "");
    let error = load(&nameless, LINKS, ErrorMode::Strict).expect_err("nameless").to_string();
    assert!(error.contains("the policy has no `@id`"), "{error}");
}

#[test]
fn templates_are_validated_and_a_link_that_can_never_apply_is_a_warning_at_the_link() {
    let wrong = POLICIES.replace("action, resource);", "action, resource) when { resource.sise > 1 };");
    let error = load(&wrong, LINKS, ErrorMode::Strict).expect_err("no such attribute");
    assert_eq!(error.findings()[0].place().map(|(file, line, _)| (file, line)), Some(("a.cedar", 11)), "{error}");
    let never = LINKS.replace("User::\\\"olga", "Doc::\\\"plan");
    let review = load(POLICIES, &never, ErrorMode::Strict).expect("valid").review();
    let found: Vec<_> = review.iter().map(|f| (f.place().map(|p| (p.0, p.1)), f.policy(), f.message())).collect();
    let is = |f: &(Option<(&str, usize)>, Option<&str>, &str)| {
        (f.0, f.1) == (Some(("links.json", 4)), Some("olga")) && f.2.contains("unable to find an applicable action")
    };
    assert!(found.iter().any(is), "{found:?}");
}

#[test]
fn a_folder_brings_its_links() {
    let folder = Folder::new("links");
    let schema = folder.write("schema.cedarschema", SCHEMA);
    let policies = folder.write("a.cedar", POLICIES);
    assert!(Bundle::from_paths(&[folder.path()]).is_err(), "nothing links the templates");
    let links = folder.write("links.json", LINKS);
    let bundle = Bundle::from_paths(&[folder.path()]).expect("valid");
    assert_eq!(bundle.policies().len(), 3);
    let sources = Sources::read(&[policies, links], Some(&schema)).expect("readable");
    let again = Bundle::from_sources(sources, ErrorMode::Strict).expect("valid");
    assert_eq!(again.version(), bundle.version());
}

#[test]
fn a_linked_policy_is_explained_by_its_clauses_with_who_stands_in_the_slots() {
    let authorizer = authorizer(&load(POLICIES, LINKS, ErrorMode::Strict).expect("valid"));
    let request = json!({"principal": "User::\"sam\"", "action": "Action::\"view\"", "resource": "Doc::\"other\""});
    let request = request_from_json(&authorizer.bundle(), &request.to_string()).expect("a request");
    let explanation = authorizer.explain(&request);
    let nearest = explanation.nearest().iter().find(|permit| permit.id() == "staff-plan").expect("it is near");
    assert_eq!((nearest.place(), nearest.held()), (("a.cedar", 1), 2));
    let clauses: Vec<_> =
        nearest.clauses().iter().map(|clause| (clause.text(), clause.place(), clause.value())).collect();
    assert_eq!(clauses, [("resource == Doc::\"plan\"", ("a.cedar", 3, 60), Some(false))]);
}

#[test]
fn linked_policies_are_told_in_the_order_of_ids_where_the_schema_foresees_no_such_request() {
    // A listed entity in a slot is no rarer than its type, so that the link is among the policies for everybody: it came
    // after all others there.
    let policies = "@id(\"z\") permit (principal, action, resource);\n@id(\"t\") permit (principal == ?principal, action, resource);";
    let links = r#"[{"template_id": "t", "link_id": "a", "args": {"?principal": "Color::\"red\""}}]"#;
    let authorizer = authorizer(&load(policies, links, ErrorMode::Cedar).expect("valid"));
    let request = json!({"principal": "Color::\"red\"", "action": "Action::\"view\"", "resource": "Doc::\"plan\""});
    let request = request_from_json(&authorizer.bundle(), &request.to_string()).expect("a request");
    let decision = authorizer.is_authorized(&request);
    assert_eq!(decision.determining().collect::<Vec<_>>(), ["a", "z"]);
}
