//! `bailiwick check` and `test`: whether policies are as they should be.

use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use bailiwick::review::{builtin_cases, read_cases, run_cases};
use bailiwick::{Bundle, Finding, Severity};

use crate::{print_findings, refused, text, unusable, Format};

/// The folder that is meant when none is named.
pub(crate) const DEFAULT: &str = "policies";

/// The bundle to review, and what to call it.
fn subject(path: Option<&Path>) -> std::result::Result<(Bundle, String), bailiwick::BundleError> {
    match path {
        Some(path) => Ok((Bundle::from_paths(&[path])?, format!("`{}`", path.display()))),
        None if Path::new(DEFAULT).is_dir() => Ok((Bundle::from_paths(&[DEFAULT])?, format!("`./{DEFAULT}`"))),
        None => Ok((Bundle::builtin(), "the built-in policies".into())),
    }
}

pub(crate) fn check(path: Option<PathBuf>, format: Format, out: &mut dyn Write) -> Result<u8> {
    let (findings, summary, unreadable) = match subject(path.as_deref()) {
        Ok((bundle, name)) => {
            let (compiled, all) = bundle.coverage();
            let policies = text::count(all, "policy", "policies");
            let left = if compiled == all {
                "all compiled".into()
            } else {
                format!("{compiled} compiled, the others left to Cedar")
            };
            let policies = format!("{policies} ({left})");
            (bundle.review(), format!("{name}: {policies}"), false)
        }
        Err(error) => {
            let name = path.as_deref().unwrap_or(Path::new(DEFAULT)).display();
            (error.findings().to_vec(), format!("`{name}` cannot be used"), error.is_unreadable())
        }
    };
    match format {
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(finding_json).collect();
            writeln!(out, "{}", serde_json::json!({ "findings": findings }))?;
        }
        Format::Text => {
            print_findings(&findings);
            writeln!(out, "{summary}, {}", text::count(findings.len(), "finding", "findings"))?;
        }
    }
    Ok(match (unreadable, findings.is_empty()) {
        (true, _) => 2,
        (false, false) => 1,
        (false, true) => 0,
    })
}

fn finding_json(finding: &Finding) -> serde_json::Value {
    let place = finding.place();
    serde_json::json!({
        "severity": match finding.severity() { Severity::Error => "error", Severity::Warning => "warning" },
        "file": place.map(|p| p.0), "line": place.map(|p| p.1), "column": place.map(|p| p.2),
        "policy": finding.policy(), "message": finding.message(), "help": finding.help(),
    })
}

pub(crate) fn test(path: Option<PathBuf>, format: Format, out: &mut dyn Write) -> Result<u8> {
    let (bundle, name) = match subject(path.as_deref()) {
        Ok(found) => found,
        Err(error) => return Ok(refused("the policies", &error)),
    };
    let folder = path.or_else(|| Path::new(DEFAULT).is_dir().then(|| DEFAULT.into()));
    let cases = match folder.map(|folder| folder.join("tests")) {
        Some(folder) if !folder.is_dir() => {
            let folder = folder.display();
            return Ok(unusable(&format!("there are no policy tests for {name}: `{folder}` is no folder")));
        }
        Some(folder) => read_cases(&bundle, &folder),
        None => builtin_cases(&bundle),
    };
    let cases = match cases {
        Ok(cases) => cases,
        Err(error) => return Ok(unusable(&error)),
    };
    let report = match run_cases(&bundle, &cases) {
        Ok(report) => report,
        Err(error) => return Ok(unusable(&error)),
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
            writeln!(out, "{counts}")?;
        }
        Format::Text => {
            for failure in &report.failures {
                text::wrapped(out, "FAILED ", "       ", &failure.to_string())?;
            }
            for id in &report.unexercised {
                writeln!(out, "UNEXERCISED `{id}`: no case needs this policy")?;
            }
            let (failed, unexercised) = (report.failures.len(), report.unexercised.len());
            let cases = text::count(report.cases, "case", "cases");
            let unexercised = text::count(unexercised, "policy", "policies");
            writeln!(out, "{name}: {cases}, {failed} failed, {unexercised} unexercised")?;
        }
    }
    Ok(u8::from(!report.failures.is_empty() || !report.unexercised.is_empty()))
}
