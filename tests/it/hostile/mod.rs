//! Mutated input of every kind: an error or an answer, never a panic, and never an allow that Cedar would not give.

#[cfg(feature = "cli")]
mod command;
mod many;
mod nesting;
#[cfg(feature = "cli")]
mod wrong;

use std::panic::{catch_unwind, AssertUnwindSafe};

use bailiwick::cedar_policy as cedar;
use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, BundleError, Decision, ErrorMode, Snapshot, Source, Sources, Timestamp};
use serde_json::{json, Value as Json};

use crate::judge;
use crate::random::snapshot;

/// How many of each kind are mutated: texts of entities, requests, policies and schemas.
const ENTITIES: usize = 60_000;
const REQUESTS: usize = 60_000;
const POLICIES: usize = 14_000;
const SCHEMAS: usize = 2_000;

/// Pieces that parsers stumble over.
const PIECES: [&str; 24] = [
    "\0",
    "\u{202e}",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "(((",
    "))",
    ",",
    ":",
    "null",
    "true",
    "1e999",
    "9223372036854775808",
    "-1.5",
    "\\ud800",
    "/*",
    "//",
    "__entity",
    "::",
    "😀",
    "permit",
];

pub fn mutate(rng: &mut fastrand::Rng, text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=out.len());
        match rng.u8(..8) {
            0 => out.truncate(at),
            1 if at < out.len() => out[at] = rng.u8(..),
            2 if at < out.len() => drop(out.remove(at)),
            3 => drop(out.splice(at..at, PIECES[rng.usize(..PIECES.len())].bytes())),
            4 => {
                let end = (at + rng.usize(..40)).min(out.len());
                let piece = out[at..end].to_vec();
                drop(out.splice(at..at, piece));
            }
            5 => {
                let end = (at + rng.usize(..40)).min(out.len());
                drop(out.drain(at..end));
            }
            6 => {
                let piece = PIECES[rng.usize(..PIECES.len())].repeat(rng.usize(1..300));
                drop(out.splice(at..at, piece.bytes()));
            }
            _ => drop(out.splice(at..at, [rng.u8(128..)])),
        }
    }
    out
}

/// Values of every wrong kind, as JSON text.
const VALUES: [&str; 26] = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890123456789012345678901234567890",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"9999-12-31T23:59:59.999-2359\"",
    "\"10000-01-01\"",
    "\"-001-01-01\"",
    "\"2026-02-30T25:61:61Z\"",
    "{\"__extn\": {\"fn\": \"datetime\", \"arg\": \"0000-01-01T00:00:00+2359\"}}",
    "{\"__extn\": {\"fn\": \"duration\", \"arg\": \"9223372036854775808ms\"}}",
    "{\"__entity\": {\"type\": \"Grc::Role\", \"id\": \"BOSS\"}}",
    "{\"type\": \"Grc::Member\", \"id\": \"nobody\"}",
    "{\"type\": \"Grc::Role\", \"id\": \"OWNER\", \"id\": \"OWNER\"}",
    "[]",
    "{}",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
];

/// A JSON text with one part, at any depth, replaced by a value of another kind, repeated under its own key, or gone.
pub fn mutate_part(rng: &mut fastrand::Rng, json: &Json) -> String {
    let mut places = Vec::new();
    fn collect(json: &Json, pointer: String, places: &mut Vec<String>) {
        match json {
            Json::Object(map) => map.iter().for_each(|(k, v)| collect(v, format!("{pointer}/{k}"), places)),
            Json::Array(items) => {
                items.iter().enumerate().for_each(|(i, v)| collect(v, format!("{pointer}/{i}"), places))
            }
            _ => {}
        }
        places.push(pointer);
    }
    collect(json, String::new(), &mut places);
    let mut changed = json.clone();
    let place = changed.pointer_mut(&places[rng.usize(..places.len())]).expect("a place");
    let before = place.to_string();
    // A mark that no text here contains, for what JSON values cannot hold.
    *place = json!("\u{2}");
    let value = match rng.u8(..8) {
        0 => format!("{before}, \"uid\": {before}"),
        1 => format!("[{before}]"),
        2 => format!("{{\"a\": {before}}}"),
        _ => VALUES[rng.usize(..VALUES.len())].to_owned(),
    };
    changed.to_string().replace("\"\\u0002\"", &value)
}

fn survives<T>(what: &str, input: &[u8], f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| panic!("{what} panics on {:?}", String::from_utf8_lossy(input)))
}

#[test]
fn mutated_entities_are_refused_with_a_place_or_loaded() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut loaded, mut errors) = (0, 0);
    let mut entities = Json::Null;
    for round in 0..ENTITIES {
        if round % 1_000 == 0 {
            entities = judge::entities_json(&judge::generate::world(&mut rng));
        }
        // Mostly a handful of entities, which is quicker; at times all of a few that need no others.
        let some = if round % 5 == 0 {
            judge::entities_json(&crate::loader_cedar::few(&mut rng))
        } else {
            let all = entities.as_array().expect("an array");
            let from = rng.usize(..all.len());
            json!(all[from..(from + 3).min(all.len())])
        };
        let text = match round % 2 {
            0 => mutate(&mut rng, some.to_string().as_bytes()),
            _ => mutate_part(&mut rng, &some).into_bytes(),
        };
        match survives("the loader", &text, || Snapshot::from_json(&bundle, &text[..])) {
            Ok(_) => loaded += 1,
            Err(e) => {
                let message = e.to_string();
                assert!(message.len() < 20_000);
                // Which entity, or else which line and column.
                let placed = e.faults().iter().all(|f| f.index().is_some() || f.message().contains(" at line "));
                assert!(placed && !e.faults().is_empty(), "no place: {message}\n{}", String::from_utf8_lossy(&text));
                errors += 1;
            }
        }
    }
    println!("{ENTITIES} mutated entity texts: {loaded} loaded, {errors} refused, no panic");
    assert!(errors > ENTITIES / 2 && loaded > 50);
}

const NOW: &str = "2026-03-01T00:00:00Z";

#[test]
fn mutated_requests_are_refused_or_allowed_only_where_cedar_allows_them() {
    let bundle = Bundle::builtin();
    let texts: String = bundle.policies().iter().map(|p| p.text()).collect();
    let policies: cedar::PolicySet = texts.parse().expect("valid");
    let schema = bundle.sources().schema().expect("a schema").text();
    let schema = cedar::Schema::from_cedarschema_str(schema).expect("valid").0;
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut read, mut unreadable, mut allowed, mut not_utf8) = (0, 0, 0, 0);
    for _ in 0..REQUESTS / 1_000 {
        let world = judge::generate::world(&mut rng);
        let builder = Authorizer::builder().snapshot(snapshot(&bundle, &world)).expect("it fits");
        let authorizer = builder.clock(Timestamp::parse(NOW).expect("an instant")).build();
        let entities = cedar::Entities::from_json_value(judge::entities_json(&world), Some(&schema)).expect("valid");
        for round in 0..1_000 {
            let mut ask = || judge::request_json(&world, &judge::generate::ask(&mut rng, &world));
            let (mut original, other) = (ask(), ask());
            let text = match round % 4 {
                0 => mutate(&mut rng, original.to_string().as_bytes()),
                1 => mutate_part(&mut rng, &original).into_bytes(),
                // Parts of two requests, as a confused caller would put them together.
                2 => {
                    let part = ["principal", "action", "resource", "context"][rng.usize(..4)];
                    original[part] = other[part].clone();
                    original.to_string().into_bytes()
                }
                _ => {
                    let context = mutate_part(&mut rng, &original["context"]);
                    original["context"] = json!("\u{2}");
                    original.to_string().replace("\"\\u0002\"", &context).into_bytes()
                }
            };
            // The command refuses these before they are read; here what a careless caller would make of them is.
            not_utf8 += usize::from(std::str::from_utf8(&text).is_err());
            let text = String::from_utf8_lossy(&text).into_owned();
            match survives("reading a request", text.as_bytes(), || request_from_json(&bundle, &text)) {
                Ok(request) => {
                    read += 1;
                    let decision = survives("deciding", text.as_bytes(), || authorizer.is_authorized(&request));
                    if decision.allowed() {
                        allowed += 1;
                        assert!(cedar_allows(&text, &decision, &policies, &schema, &entities), "only here: {text}");
                    }
                }
                Err(e) => {
                    let message = e.to_string();
                    assert!(!message.is_empty() && message.len() < 4_000);
                    unreadable += 1;
                }
            }
        }
    }
    println!(
        "{REQUESTS} mutated requests: {unreadable} unreadable ({not_utf8} not UTF-8), {read} read, {allowed} allowed, \
         all of them by Cedar too"
    );
    assert!(unreadable > REQUESTS / 4 && read > REQUESTS / 5 && allowed > 1_000);
}

/// Whether Cedar, left to read the same text by itself, allows it.
fn cedar_allows(
    text: &str,
    decision: &Decision,
    policies: &cedar::PolicySet,
    schema: &cedar::Schema,
    entities: &cedar::Entities,
) -> bool {
    let json: Json = serde_json::from_str(text).expect("it was read");
    let uid = |json: &Json| -> Option<cedar::EntityUid> {
        match json.as_str() {
            Some(text) if text.contains('"') => text.parse().ok(),
            Some(id) => format!("Grc::Action::\"{id}\"").parse().ok(),
            None => cedar::EntityUid::from_json(json.clone()).ok(),
        }
    };
    // What the library does before it asks: an instant where there is none, and the window it clamped.
    let mut context = json.get("context").cloned().unwrap_or_else(|| json!({}));
    if context.get("now").is_none() {
        context["now"] = json!(NOW);
    }
    if let Some(window) = decision.window() {
        context["window"] = json!({"from": window.from.to_string(), "to": window.to.to_string()});
    }
    let ask = || {
        let (principal, action, resource) = (uid(&json["principal"])?, uid(&json["action"])?, uid(&json["resource"])?);
        let context = cedar::Context::from_json_value(context.clone(), Some((schema, &action))).ok()?;
        cedar::Request::new(principal, action, resource, context, Some(schema)).ok()
    };
    ask().is_some_and(|request| {
        cedar::Authorizer::new().is_authorized(&request, policies, entities).decision() == cedar::Decision::Allow
    })
}

/// What every refusal of texts must be: findings, each with a place and a message that people can read.
fn check_findings(error: &BundleError, text: &str) {
    assert!(!error.findings().is_empty());
    for finding in error.findings() {
        let message = finding.to_string();
        assert!(finding.place().is_some(), "no place: {message}\n{text}");
        assert!(!message.is_empty() && message.len() < 4_000 && !message.contains('\n'), "{message}\n{text}");
        #[cfg(feature = "cli")]
        survives("showing a finding", text.as_bytes(), || {
            let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
            let mut out = String::new();
            handler.render_report(&mut out, finding).expect("it can be shown");
            assert!(!out.is_empty());
        });
    }
}

#[test]
fn mutated_policies_and_schemas_give_findings_or_a_bundle() {
    let sources = Bundle::builtin().sources().clone();
    let schema = sources.schema().expect("a schema").clone();
    let mut rng = fastrand::Rng::with_seed(6);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..POLICIES + SCHEMAS {
        let original = &sources.policies()[rng.usize(..sources.policies().len())];
        let (schema, policies) = if round < SCHEMAS {
            let text = mutate(&mut rng, schema.text().as_bytes());
            (
                Source::new("s", String::from_utf8_lossy(&text).into_owned()),
                "@id(\"a\") permit (principal, action, resource);".to_owned(),
            )
        } else {
            // One policy of the file: parsing all of it each time would only take longer.
            let all: Vec<&str> = original.text().split("\n@id").skip(1).collect();
            let one = format!("@id{}", all[rng.usize(..all.len())]);
            let text = mutate(&mut rng, one.as_bytes());
            let small = "namespace Grc { entity Organization; action a appliesTo { principal: [Organization], resource: [Organization] }; }";
            (Source::new("s", small), String::from_utf8_lossy(&text).into_owned())
        };
        let text = policies.clone();
        let source = Source::new("p", policies);
        #[cfg(feature = "cli")]
        if round % 4 == 0 {
            drop(survives("formatting", text.as_bytes(), || bailiwick::bundle::format(&source)));
        }
        let all = Sources::new(Some(schema), vec![source]);
        let mode = if round % 3 == 0 { ErrorMode::Cedar } else { ErrorMode::Strict };
        match survives("the bundle", text.as_bytes(), || Bundle::from_sources(all, mode)) {
            Ok(_) => valid += 1,
            Err(e) => {
                check_findings(&e, &text);
                invalid += 1;
            }
        }
    }
    println!("{} mutated policies and schemas: {valid} valid, {invalid} with findings, no panic", POLICIES + SCHEMAS);
    assert!(invalid > POLICIES / 2 && valid > 100);
}

#[test]
fn ten_megabyte_strings_are_read_or_refused_with_a_short_message() {
    let bundle = Bundle::builtin();
    let big = "x".repeat(10 << 20);
    let request = |principal: &str| {
        format!(r#"{{"principal": {principal}, "action": "viewTeam", "resource": "Grc::Organization::\"o\""}}"#)
    };
    let strange = request(&format!("{{\"type\": \"{big}\", \"id\": \"{big}\"}}"));
    let strange = request_from_json(&bundle, &strange).expect("it has the shape of a uid");
    let decision = Authorizer::builder().build().is_authorized(&strange);
    assert!(!decision.allowed() && decision.to_json().to_string().len() < 4_000);
    for principal in [format!("\"{big}\""), format!("{{\"{big}\": 1}}")] {
        let error = request_from_json(&bundle, &request(&principal)).expect_err("no uid");
        assert!(error.to_string().len() < 1_000, "{} bytes", error.to_string().len());
    }
    let entities = format!(r#"[{{"uid": {{"type": "Grc::Project", "id": "{big}"}}, "attrs": {{"{big}": 1}}}}]"#);
    let error = Snapshot::from_json(&bundle, entities.as_bytes()).expect_err("unknown attribute");
    assert!(error.to_string().len() < 2_000, "{} bytes", error.to_string().len());
}
