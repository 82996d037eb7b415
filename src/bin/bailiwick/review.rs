//! `bailiwick check`, `test` and `fmt`: what a reviewer runs.

use std::path::{Path, PathBuf};

use bailiwick::review::{builtin_cases, read_cases, run_cases};
use bailiwick::{Bundle, Finding, Severity, Sources};

use crate::{print_bundle_error, print_findings, unusable, Format};

const DEFAULT: &str = "policies";

/// The bundle to review, and what to call it.
fn subject(path: Option<&Path>) -> Result<(Bundle, String), bailiwick::BundleError> {
    match path {
        Some(path) => Ok((Bundle::from_paths(&[path])?, format!("`{}`", path.display()))),
        None if Path::new(DEFAULT).is_dir() => Ok((Bundle::from_paths(&[DEFAULT])?, format!("`./{DEFAULT}`"))),
        None => Ok((Bundle::builtin(), "the built-in policies".into())),
    }
}

pub(crate) fn check(path: Option<PathBuf>, format: Format) -> u8 {
    let (findings, summary, unreadable) = match subject(path.as_deref()) {
        Ok((bundle, name)) => {
            let findings = bundle.review();
            (findings, format!("{name}: {} policies", bundle.policies().len()), false)
        }
        Err(error) => (error.findings().to_vec(), "not usable".into(), error.is_unreadable()),
    };
    match format {
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(finding_json).collect();
            println!("{}", serde_json::json!({ "findings": findings }));
        }
        Format::Text => {
            print_findings(&findings);
            println!("{summary}, {} findings", findings.len());
        }
    }
    match (unreadable, findings.is_empty()) {
        (true, _) => 2,
        (false, false) => 1,
        (false, true) => 0,
    }
}

fn finding_json(finding: &Finding) -> serde_json::Value {
    let place = finding.place();
    serde_json::json!({
        "severity": match finding.severity() { Severity::Error => "error", Severity::Warning => "warning" },
        "file": place.map(|p| p.0), "line": place.map(|p| p.1), "column": place.map(|p| p.2),
        "policy": finding.policy(), "message": finding.message(), "help": finding.help(),
    })
}

pub(crate) fn test(path: Option<PathBuf>, format: Format) -> u8 {
    let (bundle, name) = match subject(path.as_deref()) {
        Ok(found) => found,
        Err(error) => {
            print_bundle_error(&error);
            return 2;
        }
    };
    let folder = path.or_else(|| Path::new(DEFAULT).is_dir().then(|| DEFAULT.into()));
    let cases = match folder {
        Some(folder) => read_cases(&bundle, &folder.join("tests")),
        None => builtin_cases(&bundle),
    };
    let cases = match cases {
        Ok(cases) => cases,
        Err(error) => return unusable(&error),
    };
    let report = match run_cases(&bundle, &cases) {
        Ok(report) => report,
        Err(error) => return unusable(&error),
    };
    match format {
        Format::Json => {
            let failures = report
                .failures
                .iter()
                .map(|f| serde_json::json!({"file": f.file, "line": f.line, "name": f.name, "message": f.message}));
            let failures: Vec<_> = failures.collect();
            let (cases, exercised, unexercised) = (report.cases, &report.exercised, &report.unexercised);
            let counts = serde_json::json!({
                "cases": cases, "failures": failures, "exercised": exercised, "unexercised": unexercised
            });
            println!("{counts}");
        }
        Format::Text => {
            report.failures.iter().for_each(|failure| println!("FAILED {failure}"));
            report.unexercised.iter().for_each(|id| println!("UNEXERCISED `{id}`: no case needs this policy"));
            let (failed, unexercised) = (report.failures.len(), report.unexercised.len());
            println!("{name}: {} cases, {failed} failed, {unexercised} policies unexercised", report.cases);
        }
    }
    u8::from(!report.failures.is_empty() || !report.unexercised.is_empty())
}

pub(crate) fn fmt(mut paths: Vec<PathBuf>, check: bool) -> u8 {
    if paths.is_empty() {
        paths.push(DEFAULT.into());
    }
    // Parsed first, within the limits: a text that cannot be parsed leaves every file as it was.
    let sources = match Sources::read(&paths, None) {
        Ok(sources) => sources,
        Err(error) => {
            print_bundle_error(&error);
            return 2;
        }
    };
    let mut formatted = Vec::new();
    for source in sources.policies() {
        match bailiwick::bundle::format(source) {
            Ok(text) => formatted.push((source, text)),
            Err(finding) => {
                print_findings([&finding]);
                return 2;
            }
        }
    }
    let mut changed = 0;
    for (source, text) in formatted.into_iter().filter(|(source, text)| source.text() != text) {
        changed += 1;
        println!("{} {}", if check { "would format" } else { "formatted" }, source.name());
        if !check {
            if let Err(e) = write_whole(Path::new(source.name()), &text) {
                return unusable(&format!("`{}` cannot be written: {e}", source.name()));
            }
        }
    }
    u8::from(check && changed > 0)
}

/// Writes a file so that it holds the old text or the new, never a part.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
