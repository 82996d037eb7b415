//! Mutated input of every kind: an error or an answer, never a panic, and never an allow that the original had not.

use std::panic::{catch_unwind, AssertUnwindSafe};

use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, ErrorMode, Snapshot, Source, Sources};

use crate::judge;
use crate::random::snapshot;

/// How often each kind of input is mutated; together more than 100,000.
const JSON: usize = 60_000;
const TEXT: usize = 6_000;

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

fn mutate(rng: &mut fastrand::Rng, text: &[u8]) -> Vec<u8> {
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

fn survives<T>(what: &str, input: &[u8], f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| panic!("{what} panics on {:?}", String::from_utf8_lossy(input)))
}

#[test]
fn mutated_entities_and_requests_give_an_error_or_an_answer() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(5);
    let world = judge::generate::world(&mut rng);
    let all = judge::entities_json(&world);
    let whole = snapshot(&bundle, &world);
    let authorizer = Authorizer::builder().snapshot(whole).expect("it fits").build();
    let (mut loaded, mut errors, mut read, mut unreadable) = (0, 0, 0, 0);
    for _ in 0..JSON {
        // A handful of entities is as good as all, and quicker.
        let entities = all.as_array().expect("an array");
        let from = rng.usize(..entities.len());
        let some = serde_json::to_vec(&entities[from..(from + 3).min(entities.len())]).expect("JSON");
        let text = mutate(&mut rng, &some);
        match survives("the loader", &text, || Snapshot::from_json(&bundle, &text[..])) {
            Ok(_) => loaded += 1,
            Err(e) => {
                assert!(!e.to_string().is_empty() && e.to_string().len() < 20_000);
                errors += 1;
            }
        }
        let ask = judge::generate::ask(&mut rng, &world);
        let original = judge::request_json(&world, &ask).to_string();
        let text = mutate(&mut rng, original.as_bytes());
        let Ok(text) = String::from_utf8(text) else { continue };
        match survives("reading a request", text.as_bytes(), || request_from_json(&bundle, &text)) {
            Ok(request) => {
                read += 1;
                let decision = survives("deciding", text.as_bytes(), || authorizer.is_authorized(&request));
                // What can still be read may be another request: then it is decided as that one, with nothing doubtful.
                assert!(!(decision.allowed() && (decision.indeterminate() || decision.determining().len() == 0)));
            }
            Err(e) => {
                assert!(e.to_string().len() < 20_000);
                unreadable += 1;
            }
        }
    }
    println!("entities: {loaded} loaded, {errors} refused; requests: {read} read, {unreadable} unreadable");
    assert!(errors > JSON / 2 && unreadable > JSON / 4 && read > 1_000);
}

#[test]
fn mutated_policies_and_schemas_give_findings_or_a_bundle() {
    let sources = Bundle::builtin().sources().clone();
    let schema = sources.schema().expect("a schema").clone();
    let mut rng = fastrand::Rng::with_seed(6);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..TEXT * 2 {
        let original = &sources.policies()[rng.usize(..sources.policies().len())];
        let (schema, policies) = if round % 8 == 0 {
            let text = mutate(&mut rng, schema.text().as_bytes());
            (
                Source::new("s", String::from_utf8_lossy(&text).into_owned()),
                "@id(\"a\") permit (principal, action, resource);".to_owned(),
            )
        } else {
            // One policy of the file: parsing all of it each time would only take longer.
            let text = original.text().split("\n@id").last().unwrap_or_default();
            let text = mutate(&mut rng, format!("@id{text}").as_bytes());
            let small = "namespace Grc { entity Organization; action a appliesTo { principal: [Organization], resource: [Organization] }; }";
            (Source::new("s", small), String::from_utf8_lossy(&text).into_owned())
        };
        let text = policies.clone();
        let all = Sources::new(Some(schema), vec![Source::new("p", policies)]);
        match survives("the bundle", text.as_bytes(), || Bundle::from_sources(all, ErrorMode::Strict)) {
            Ok(_) => valid += 1,
            Err(e) => {
                assert!(e.findings().iter().all(|f| f.place().is_some()), "no place: {e}\n{text}");
                invalid += 1;
            }
        }
    }
    println!("policies and schemas: {valid} valid, {invalid} with findings");
    assert!(invalid > TEXT);
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
