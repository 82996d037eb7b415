//! Policy tests as files: JSON arrays of named cases, in the shape Cedar's `run-tests` reads, with `name`,
//! `indeterminate` and `source` added. A case's entities stand in it or in a file beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::authorizer::Authorizer;
use crate::bundle::Bundle;
use crate::entities::{request_from_tree, Snapshot};
use crate::model::json::Json;
use crate::model::Request;

/// One policy test.
#[derive(Debug, Clone)]
pub struct Case {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) request: Request,
    pub(super) entities: usize,
    allow: bool,
    indeterminate: bool,
    reason: BTreeSet<String>,
    errors: usize,
}

/// A test file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct CaseError {
    file: PathBuf,
    message: String,
}

/// A case whose decision is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// The test file.
    pub file: PathBuf,
    /// The case's name.
    pub name: String,
    /// What was expected and what was found, in words.
    pub message: String,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`: {}", self.file.display(), self.name, self.message)
    }
}

/// What running the cases showed.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many cases were decided.
    pub cases: usize,
    /// Those with another decision than expected.
    pub failures: Vec<CaseFailure>,
    /// Policies that no case exercises: a permit is exercised when it determines an allow, a forbid when the denial
    /// would be an allow without it. Policies with `@redundant` need no case.
    pub unexercised: Vec<String>,
}

/// The cases of a folder, with the entities they share.
#[derive(Debug, Default)]
pub struct Cases {
    /// The cases, by file and in the order they stand.
    pub cases: Vec<Case>,
    pub(super) states: Vec<Snapshot>,
}

/// Reads the `*.json` files of a folder that are test files: arrays of cases. Files whose name ends in
/// `.entities.json` are the cases' entities.
///
/// # Errors
/// When a file cannot be read or has another shape.
pub fn read_cases(bundle: &Bundle, folder: &Path) -> Result<Cases, CaseError> {
    let cases = read(bundle, folder, &|id| bundle.policy(id).is_some())?;
    if cases.cases.is_empty() {
        return Err(CaseError { file: folder.to_owned(), message: "holds no policy test".into() });
    }
    Ok(cases)
}

/// The cases of a folder as questions: their expected answers may name any policy, and there may be none.
///
/// # Errors
/// When a file cannot be read or has another shape.
pub fn read_questions(bundle: &Bundle, folder: &Path) -> Result<Cases, CaseError> {
    read(bundle, folder, &|_| true)
}

fn read(bundle: &Bundle, folder: &Path, is_policy: &dyn Fn(&str) -> bool) -> Result<Cases, CaseError> {
    let failed = |file: &Path, message: String| CaseError { file: file.to_owned(), message };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e.to_string()))? {
        let path = entry.map_err(|e| failed(folder, e.to_string()))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".json") && !name.ends_with(".entities.json") {
            files.push(path);
        }
    }
    files.sort();
    let mut out = Cases::default();
    let mut known: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read(&file).map_err(|e| failed(&file, e.to_string()))?;
        let Json::Array(items) = Json::parse(&text).map_err(|e| failed(&file, e))? else {
            return Err(failed(&file, "expected an array of cases".into()));
        };
        for (index, item) in items.iter().enumerate() {
            let name = match item.get("name") {
                Some(Json::String(name)) => name.clone(),
                _ => return Err(failed(&file, format!("case {index} has no `name`"))),
            };
            if !names.insert(name.clone()) {
                return Err(failed(&file, format!("two cases are named `{name}`")));
            }
            let in_case = |message: String| failed(&file, format!("`{name}`: {message}"));
            let entities = match item.get("entities") {
                Some(Json::String(path)) => {
                    let path = folder.join(path);
                    if let Some(at) = known.get(&path) {
                        *at
                    } else {
                        let reader = std::fs::File::open(&path).map_err(|e| failed(&path, e.to_string()))?;
                        let state = Snapshot::from_json(bundle, reader).map_err(|e| failed(&path, e.to_string()))?;
                        known.insert(path, out.states.len());
                        out.states.push(state);
                        out.states.len() - 1
                    }
                }
                _ => return Err(in_case("`entities` is not the name of a file".into())),
            };
            out.cases.push(case(bundle, is_policy, &file, &name, entities, item).map_err(in_case)?);
        }
    }
    Ok(out)
}

fn case(
    bundle: &Bundle,
    is_policy: &dyn Fn(&str) -> bool,
    file: &Path,
    name: &str,
    entities: usize,
    json: &Json,
) -> Result<Case, String> {
    const KEYS: [&str; 9] =
        ["name", "description", "source", "request", "entities", "decision", "indeterminate", "reason", "num_errors"];
    json.fields("the case", &KEYS)?;
    let request = request_from_tree(bundle, json.get("request").ok_or("there is no `request`")?);
    let request = request.map_err(|e| e.to_string())?;
    let allow = match json.get("decision") {
        Some(Json::String(text)) if text == "allow" => true,
        Some(Json::String(text)) if text == "deny" => false,
        _ => return Err("`decision` is neither `allow` nor `deny`".into()),
    };
    let mut reason = BTreeSet::new();
    let Some(Json::Array(ids)) = json.get("reason") else {
        return Err("`reason` is no array of policy ids".into());
    };
    for id in ids {
        match id {
            Json::String(id) if is_policy(id) => reason.insert(id.clone()),
            Json::String(id) => return Err(format!("`reason` names `{id}`, which is no policy")),
            _ => return Err("`reason` is no array of policy ids".into()),
        };
    }
    let errors = match json.get("num_errors") {
        None => 0,
        Some(Json::Long(n)) => usize::try_from(*n).map_err(|_| "`num_errors` is negative")?,
        Some(_) => return Err("`num_errors` is no number".into()),
    };
    let indeterminate = match json.get("indeterminate") {
        None => false,
        Some(Json::Bool(b)) => *b,
        Some(_) => return Err("`indeterminate` is neither true nor false".into()),
    };
    Ok(Case { file: file.to_owned(), name: name.to_owned(), request, entities, allow, indeterminate, reason, errors })
}

/// Decides all cases, and says which policies none of them exercises.
///
/// # Errors
/// When the entities do not fit the bundle.
pub fn run_cases(bundle: &Bundle, cases: &Cases) -> Result<Report, crate::EntityError> {
    let authorizers = |bundle: &Bundle| -> Result<Vec<Authorizer>, crate::EntityError> {
        let build =
            |state: &Snapshot| Ok(Authorizer::builder().bundle(bundle.clone()).snapshot(state.clone())?.build());
        cases.states.iter().map(build).collect()
    };
    let deciders = authorizers(bundle)?;
    let mut report = Report { cases: cases.cases.len(), ..Report::default() };
    let mut exercised: BTreeSet<String> = BTreeSet::new();
    let mut forbidden: BTreeMap<String, Vec<&Case>> = BTreeMap::new();
    for case in &cases.cases {
        let Some(decider) = deciders.get(case.entities) else {
            continue;
        };
        let decision = decider.is_authorized(&case.request);
        let reason: BTreeSet<String> = decision.determining().map(str::to_owned).collect();
        let word = |allow: bool| if allow { "allow" } else { "deny" };
        let list = |ids: &BTreeSet<String>| ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let mut wrong = Vec::new();
        if decision.allowed() != case.allow || reason != case.reason {
            wrong.push(format!(
                "expected {} by [{}], found {} by [{}]",
                word(case.allow),
                list(&case.reason),
                word(decision.allowed()),
                list(&reason)
            ));
        }
        if decision.indeterminate() != case.indeterminate || decision.errors().len() != case.errors {
            let errors: Vec<&str> = decision.errors().map(crate::DecisionError::message).collect();
            wrong.push(format!("expected {} errors, found [{}]", case.errors, errors.join("; ")));
        }
        if wrong.is_empty() {
            if decision.allowed() {
                exercised.extend(reason);
            } else {
                reason.into_iter().for_each(|id| forbidden.entry(id).or_default().push(case));
            }
        } else {
            let message = wrong.join("; ");
            report.failures.push(CaseFailure { file: case.file.clone(), name: case.name.clone(), message });
        }
    }
    for (id, denied) in forbidden {
        let Some(without) = bundle.without(&id) else {
            continue;
        };
        let deciders = authorizers(&without)?;
        let opens =
            |case: &&Case| deciders.get(case.entities).is_some_and(|d| d.is_authorized(&case.request).allowed());
        if denied.iter().any(opens) {
            exercised.insert(id);
        }
    }
    let needs_case = |p: &&crate::Policy| p.redundant().is_none() && !exercised.contains(p.id());
    report.unexercised = bundle.policies().iter().filter(needs_case).map(|p| p.id().to_owned()).collect();
    Ok(report)
}
