//! Cedar's own corpus: `ErrorMode::Cedar` answers every request of it as the corpus says, with the same determining
//! and erring policies.
//!
//! The archive is no part of the project. It is looked for in `CEDAR_CORPUS`, else beside the project in
//! `../shared/cedar-corpus.tar.gz`; where it is absent, that is said aloud and written to `target/not-run.txt`.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, ErrorMode, Snapshot, Source, Sources};
use serde_json::{json, Value as Json};

/// Where the test command looks for what was not run.
fn not_run() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/not-run.txt")
}

/// The corpus's files by name; none where there is no archive.
fn corpus() -> Option<HashMap<String, String>> {
    let path = match std::env::var_os("CEDAR_CORPUS") {
        Some(path) => PathBuf::from(path),
        None => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cedar-corpus.tar.gz");
            if !path.exists() {
                return None;
            }
            path
        }
    };
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("`{}` cannot be read: {e}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut files = HashMap::new();
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry of the archive");
        let name = entry.path().expect("a name").to_string_lossy().trim_start_matches("./").to_owned();
        let mut text = String::new();
        if name.contains("corpus-tests/") && entry.header().entry_type().is_file() {
            entry.read_to_string(&mut text).expect("UTF-8");
            files.insert(name, text);
        }
    }
    Some(files)
}

#[derive(Default)]
struct Counts {
    cases: usize,
    requests: usize,
    allowed: usize,
    erring: usize,
    /// Cases that Cedar takes and this library refuses, with its reason.
    refused: Vec<String>,
    differences: Vec<String>,
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}

fn names(json: &Json) -> BTreeSet<String> {
    ids(json.as_array().expect("an array").iter().map(|id| id.as_str().expect("a text")))
}

fn run(name: &str, case: &Json, files: &HashMap<String, String>, counts: &mut Counts) {
    counts.cases += 1;
    let file = |key: &str| &files[case[key].as_str().expect("a file name")];
    let policies = vec![Source::new("policies", file("policies").as_str())];
    let sources = Sources::new(Some(Source::new("schema", file("schema").as_str())), policies);
    let bundle = match Bundle::from_sources(sources, ErrorMode::Cedar) {
        Ok(bundle) => bundle,
        Err(e) => return counts.refused.push(format!("{name}: bundle: {e}")),
    };
    let builder = Authorizer::builder().bundle(bundle.clone());
    let authorizer = match Snapshot::from_json(&bundle, file("entities").as_bytes()).and_then(|s| builder.snapshot(s)) {
        Ok(builder) => builder.build(),
        Err(e) => return counts.refused.push(format!("{name}: entities: {e}")),
    };
    for request in case["requests"].as_array().expect("requests") {
        let text = json!({"principal": request["principal"], "action": request["action"],
            "resource": request["resource"], "context": request["context"]});
        let asked = match request_from_json(&bundle, &text.to_string()) {
            Ok(asked) => asked,
            Err(e) => {
                counts.refused.push(format!("{name}: {}: {e}", request["description"]));
                continue;
            }
        };
        counts.requests += 1;
        let decision = authorizer.is_authorized(&asked);
        counts.allowed += usize::from(decision.allowed());
        counts.erring += usize::from(decision.errors().len() > 0);
        let word = if decision.allowed() { "allow" } else { "deny" };
        let reason = ids(decision.determining());
        // An error of no policy is no answer of Cedar's: it must show as a difference.
        let errors = ids(decision.errors().map(|e| e.policy().unwrap_or("none")));
        if request["decision"] != word || names(&request["reason"]) != reason || names(&request["errors"]) != errors {
            counts.differences.push(format!(
                "{name}: {}: expected {} by {} with errors in {}, found {word} by {reason:?} with errors in {errors:?}: {:?}",
                request["description"],
                request["decision"],
                request["reason"],
                request["errors"],
                decision.errors().collect::<Vec<_>>()
            ));
        }
    }
}

#[test]
fn the_cedar_corpus_is_answered_as_cedar_recorded_it() {
    let Some(files) = corpus() else {
        let line = "NOT RUN: the Cedar corpus, 1,010 cases: name the archive in CEDAR_CORPUS";
        // Past the test harness, which keeps quiet about tests that pass.
        writeln!(std::io::stderr(), "{line}").expect("standard error");
        std::fs::create_dir_all(not_run().parent().expect("a folder")).expect("the folder of the build");
        return std::fs::write(not_run(), format!("{line}\n")).expect("a file in it");
    };
    let _ = std::fs::remove_file(not_run());
    let mut cases: Vec<&String> =
        files.keys().filter(|name| name.ends_with(".json") && !name.ends_with(".entities.json")).collect();
    cases.sort();
    let mut counts = Counts::default();
    for name in cases {
        run(name, &serde_json::from_str(&files[name]).expect("JSON"), &files, &mut counts);
    }
    println!(
        "Cedar corpus: {} cases, {} requests, {} allowed, {} with erring policies, {} differences, {} refused",
        counts.cases,
        counts.requests,
        counts.allowed,
        counts.erring,
        counts.differences.len(),
        counts.refused.len()
    );
    assert!(counts.differences.is_empty(), "{}", counts.differences.join("\n"));
    assert!(counts.refused.is_empty(), "Cedar takes these:\n{}", counts.refused.join("\n"));
    assert!(counts.cases >= 1_000 && counts.requests >= 8_000 && counts.allowed >= 4_000 && counts.erring >= 400);
}
