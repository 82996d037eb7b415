//! The built-in policies and their tests, and what the loader says of broken ones.

use std::path::Path;

use bailiwick::review::{read_cases, run_cases};
use bailiwick::{Bundle, ErrorMode, Source, Sources};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policies"))
}

#[test]
fn the_builtin_bundle_is_the_folder() {
    let from_folder = Bundle::from_paths(&[folder()]).expect("valid");
    assert_eq!(from_folder.version(), Bundle::builtin().version(), "src/bundle/builtin.in lists other files");
}

#[test]
fn the_builtin_policies_have_no_findings() {
    let findings: Vec<String> = Bundle::builtin().review().iter().map(|f| format!("{:?} {f}", f.place())).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_policy_test_holds_and_every_policy_is_exercised() {
    let bundle = Bundle::builtin();
    let cases = read_cases(&bundle, &folder().join("tests")).unwrap_or_else(|e| panic!("{e}"));
    let report = run_cases(&bundle, &cases).unwrap_or_else(|e| panic!("{e}"));
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(report.unexercised.is_empty(), "no case exercises {:?}", report.unexercised);
    assert!(report.cases >= 100, "only {} cases", report.cases);
}

fn findings(schema: &str, files: &[&str]) -> String {
    let policies = files.iter().enumerate().map(|(i, text)| Source::new(format!("{i}.cedar"), *text)).collect();
    let sources = Sources::new(Some(Source::new("s.cedarschema", schema)), policies);
    Bundle::from_sources(sources, ErrorMode::Strict).expect_err("it must be refused").to_string()
}

const SCHEMA: &str = "entity User = { age: Long }; action view appliesTo { principal: User, resource: User };";

#[test]
fn all_findings_of_all_files_come_at_once_with_their_places() {
    let message = findings(
        SCHEMA,
        &[
            "@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\")\npermit (principal, action, resource);",
            "permit (principal, action, resource);",
            "@id(\"c\")\npermit (principal, action resource);",
        ],
    );
    for expected in [
        "0.cedar:3:1: `@id(\"a\")` is also the id of 0.cedar:1",
        "1.cedar:1:1: the policy has no `@id`",
        "2.cedar:2:27",
    ] {
        assert!(message.contains(expected), "expected `{expected}` in\n{message}");
    }
    let message = findings(
        SCHEMA,
        &["@id(\"a\") permit (principal, action, resource)\nwhen { principal.agee > 1 };\n\n@id(\"b\") permit (principal, action, resource)\nwhen { principal.age == \"x\" };"],
    );
    assert!(message.contains("0.cedar:2:8") && message.contains("0.cedar:5:"), "{message}");
}

#[test]
fn nesting_and_chains_beyond_the_limits_are_findings() {
    let policy = |condition: &str| format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};");
    let deep = policy(&format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000)));
    assert!(findings(SCHEMA, &[&deep]).contains("nested deeper than 64"));
    for chain in [
        vec!["true"; 5_000].join(" || "),
        format!("{}true", "!".repeat(5_000)),
        format!("{}1 == 1", "-".repeat(5_000)),
        format!("{}true", "if true then true else ".repeat(2_000)),
        format!("principal{}", ".age".repeat(5_000)),
        "(".repeat(30)
            + &vec!["true"; 500].join(" && ")
            + &" || true)".repeat(30).replace("||", &"|| true ".repeat(30)),
    ] {
        let message = findings(SCHEMA, &[&policy(&chain)]);
        assert!(message.contains("0.cedar:1:"), "{message}");
    }
    let schema = format!("entity A = {{ a: {}Long{} }};", "Set<".repeat(5_000), ">".repeat(5_000));
    assert!(findings(&schema, &["@id(\"a\") permit (principal, action, resource);"]).contains("nested deeper"));
}

#[test]
fn a_long_chain_within_the_limits_is_decided_on_a_small_stack() {
    let chain = vec!["principal.age == 2"; 450].join(" || ");
    let text = format!("@id(\"a\") permit (principal, action, resource) when {{ {chain} }};");
    let sources = Sources::new(Some(Source::new("s", SCHEMA)), vec![Source::new("p", text)]);
    let bundle = Bundle::from_sources(sources, ErrorMode::Strict).expect("within the limits");
    let decide = move || {
        let entities = br#"[{"uid": {"type": "User", "id": "u"}, "attrs": {"age": 1}, "parents": []}]"#;
        let request = r#"{"principal": "User::\"u\"", "action": "Action::\"view\"", "resource": "User::\"u\""}"#;
        let request = bailiwick::entities::request_from_json(&bundle, request).expect("a request");
        let builder = bailiwick::Authorizer::builder().bundle(bundle.clone());
        builder.entities_json(&entities[..]).expect("entities").build().is_authorized(&request).allowed()
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(decide).expect("a thread");
    assert!(!thread.join().expect("no overflow"));
}

#[test]
fn a_forbid_that_could_fail_open_is_a_finding_of_the_review() {
    let text = "@id(\"a\") forbid (principal, action, resource) when { principal.age > 3 };";
    let sources = Sources::new(Some(Source::new("s", SCHEMA)), vec![Source::new("p", text)]);
    let bundle = Bundle::from_sources(sources, ErrorMode::Strict).expect("valid");
    let findings: Vec<String> = bundle.review().iter().map(ToString::to_string).collect();
    assert!(findings.iter().any(|f| f.contains("no `@doc`")), "{findings:?}");
    assert!(findings.iter().any(|f| f.contains("forbids what is bad")), "{findings:?}");
    assert!(findings.iter().any(|f| f.contains("`principal.age` without `has`")), "{findings:?}");
}
