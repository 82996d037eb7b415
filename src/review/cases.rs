//! Policy tests as files: JSON arrays of named cases, in the shape Cedar's `run-tests` reads, with keys of our own.
//!
//! `policies/tests/README.md` describes every key. Files in the folder itself hold plain cases, which Cedar alone
//! must answer as the library does; those in `special/` show what the library adds; those in `tables/` are tables.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::tables;
use crate::bundle::{Bundle, ErrorMode};
use crate::entities::{request_from_tree, EntityReader, Snapshot};
use crate::model::json::Json;
use crate::model::{EntityUid, Request, Resource, Timestamp, Value, Window};

/// One policy test: a request, what it is asked of, and the answer it must get.
#[derive(Debug, Clone)]
pub struct Case {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) source: Option<String>,
    pub(super) request: Request,
    /// Which of the states of [`Cases`].
    pub(super) state: usize,
    /// Whose rules it is decided by: the library's (strict), Cedar's alone, or both, with one answer.
    pub(super) decided_by: DecidedBy,
    /// What the clock shows, one after the other; none where it cannot be read.
    pub(super) clock: Vec<Option<Timestamp>>,
    pub(super) expected: Expected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecidedBy {
    Both,
    Library,
    Cedar,
}

/// The answer a case must get.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub(super) allow: bool,
    pub(super) indeterminate: bool,
    pub(super) reason: BTreeSet<String>,
    pub(super) num_errors: usize,
    /// The codes of the errors, sorted, where the case states them.
    pub(super) errors: Option<Vec<String>>,
    /// The effective window, where the case states it.
    pub(super) window: Option<Window>,
}

impl Case {
    /// The file it stands in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line it begins at, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Its name; for one request of a table `NAME: WHO ACTION on RESOURCE`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The statement's place: `T: roles`, `D-4`.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// What is asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Whether it must be allowed.
    pub fn allowed(&self) -> bool {
        self.expected.allow
    }

    /// The policies that must determine the answer.
    pub fn reason(&self) -> impl ExactSizeIterator<Item = &str> {
        self.expected.reason.iter().map(String::as_str)
    }
}

/// A test file that cannot be used, and the place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseError {
    file: PathBuf,
    line: Option<usize>,
    case: Option<String>,
    key: Option<String>,
    message: String,
}

impl CaseError {
    fn file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, case: None, key: None, message: message.into() }
    }
}

impl std::fmt::Display for CaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        match (&self.case, &self.key) {
            (Some(case), Some(key)) => write!(f, " case `{case}`, key `{key}`:")?,
            (Some(case), None) => write!(f, " case `{case}`:")?,
            _ => {}
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for CaseError {}

/// What is wrong with a case, and under which of its keys.
pub(super) struct Fault {
    key: Option<&'static str>,
    message: String,
}

impl Fault {
    pub(super) fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key: Some(key), message: message.into() }
    }

    fn of(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into() }
    }
}

/// Cases, with the entities they are decided on.
#[derive(Debug, Default)]
pub struct Cases {
    /// The cases, by file and in the order they stand; each request of a table is one.
    pub cases: Vec<Case>,
    pub(super) states: Vec<Snapshot>,
    /// How many cases were left out, since they are Cedar's alone to decide.
    pub by_cedar_alone: usize,
}

impl Cases {
    /// The entities that `case` is decided on; none when it is no case of these.
    pub fn entities(&self, case: &Case) -> Option<&Snapshot> {
        self.states.get(case.state)
    }
}

/// The built-in policy tests, by file name.
const BUILTIN: &[(&str, &str)] = &include!("builtin.in");

/// The folder of tests whose cases the library alone answers so.
const SPECIAL: &str = "special";
/// The folder of tables.
const TABLES: &str = "tables";

/// Reads the policy tests of a folder: its `*.json` files and those in its folders `special` and `tables`. Files whose
/// name ends in `.entities.json` are entities for the cases.
///
/// # Errors
/// When a file cannot be read, or a case has another shape or is not what its folder is for.
pub fn read_cases(bundle: &Bundle, folder: &Path) -> Result<Cases, CaseError> {
    let cases = Reader::read(bundle, Some(bundle), folder, texts(folder)?)?;
    if cases.cases.is_empty() {
        return Err(CaseError::file(folder, "holds no policy test"));
    }
    Ok(cases)
}

/// The cases of a folder as questions: their expected answers may name any policy, and there may be none. What a case's
/// clock shows is in the request's context. Cases that are Cedar's alone to decide are left out, and counted.
///
/// # Errors
/// As [`read_cases`].
pub fn read_questions(bundle: &Bundle, folder: &Path) -> Result<Cases, CaseError> {
    let mut cases = Reader::read(bundle, None, folder, texts(folder)?)?;
    for case in &mut cases.cases {
        if let (Some(Some(now)), false) = (case.clock.last(), case.request.context.get("now").is_some()) {
            case.request.context.set("now", Value::Datetime(*now));
        }
    }
    Ok(cases)
}

/// The texts of a folder's test files, by name.
fn texts<'a>(folder: &Path) -> Result<BTreeMap<String, Cow<'a, [u8]>>, CaseError> {
    let mut texts = BTreeMap::new();
    for part in ["", SPECIAL, TABLES] {
        let path = if part.is_empty() { folder.to_owned() } else { folder.join(part) };
        if !part.is_empty() && !path.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&path).map_err(|e| CaseError::file(&path, e.to_string()))? {
            let path = entry.map_err(|e| CaseError::file(&path, e.to_string()))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".json") {
                let text = std::fs::read(&path).map_err(|e| CaseError::file(&path, e.to_string()))?;
                let name = if part.is_empty() { name } else { format!("{part}/{name}") };
                texts.insert(name, Cow::Owned(text));
            }
        }
    }
    Ok(texts)
}

/// The tests of the built-in policies, to be asked of `bundle`.
///
/// # Errors
/// When `bundle` has another schema, or not the policies that the tests name.
pub fn builtin_cases(bundle: &Bundle) -> Result<Cases, CaseError> {
    let texts = BUILTIN.iter().map(|(name, text)| ((*name).to_owned(), Cow::Borrowed(text.as_bytes())));
    Reader::read(bundle, Some(bundle), Path::new("policies/tests"), texts.collect())
}

struct Reader<'a> {
    bundle: &'a Bundle,
    /// The policies that expected answers may name; none where they may name any.
    policies: Option<&'a Bundle>,
    cedar: Bundle,
    folder: &'a Path,
    texts: BTreeMap<String, Cow<'a, [u8]>>,
    /// Files of entities read so far, and where in `out.states`.
    shared: HashMap<(String, ErrorMode), usize>,
    names: BTreeSet<String>,
    out: Cases,
}

impl<'a> Reader<'a> {
    fn read(
        bundle: &'a Bundle,
        policies: Option<&'a Bundle>,
        folder: &'a Path,
        texts: BTreeMap<String, Cow<'a, [u8]>>,
    ) -> Result<Cases, CaseError> {
        let cedar = bundle.in_mode(ErrorMode::Cedar);
        let cedar = cedar.ok_or_else(|| CaseError::file(folder, "no thread can be had to read the policies on"))?;
        let files: Vec<String> = texts.keys().filter(|name| !name.ends_with(".entities.json")).cloned().collect();
        let (shared, names, out) = (HashMap::new(), BTreeSet::new(), Cases::default());
        let mut reader = Self { bundle, policies, cedar, folder, texts, shared, names, out };
        for name in files {
            reader.file(&name)?;
        }
        Ok(reader.out)
    }

    fn file(&mut self, file: &str) -> Result<(), CaseError> {
        let path = self.folder.join(file);
        let text = self.texts.get(file).cloned().unwrap_or_default();
        let Json::Array(items) = Json::parse(&text).map_err(|e| CaseError::file(&path, e))? else {
            return Err(CaseError::file(&path, "expected an array of cases"));
        };
        for (item, line) in items.iter().zip(lines_of_items(&text).into_iter().chain(std::iter::repeat(1))) {
            let name = match item.get("name") {
                Some(Json::String(name)) => Some(name.clone()),
                _ => None,
            };
            let place = (path.as_path(), line);
            self.item(file, place, name.as_deref(), item).map_err(|fault| CaseError {
                file: path.clone(),
                line: Some(line),
                case: name,
                key: fault.key.map(str::to_owned),
                message: fault.message,
            })?;
        }
        Ok(())
    }

    fn item(&mut self, file: &str, place: (&Path, usize), name: Option<&str>, item: &Json) -> Result<(), Fault> {
        let name = name.ok_or_else(|| Fault::of("the case has no `name`"))?;
        if !self.names.insert(name.to_owned()) {
            return Err(Fault::at("name", "another case has this name"));
        }
        if let Some(text) =
            ["source", "description"].iter().find(|key| !matches!(item.get(key), None | Some(Json::String(_))))
        {
            return Err(Fault::at(text, "is no text"));
        }
        let kind = file.split_once('/').map_or("", |(kind, _)| kind);
        if kind == TABLES {
            let table = tables::read(self.bundle, self.policies, item)?;
            let state = self.state(item, ErrorMode::Strict)?;
            for row in table {
                let name = format!("{name}: {}", row.name);
                let mut case = self.case(place, name, item, row.request, state);
                case.expected = row.expected;
                self.check_plain(&case)?;
                self.out.cases.push(case);
            }
            return Ok(());
        }
        let special = kind == SPECIAL;
        const KEYS: [&str; 9] = [
            "name",
            "description",
            "source",
            "request",
            "entities",
            "decision",
            "reason",
            "num_errors",
            "indeterminate",
        ];
        const MORE: [&str; 4] = ["mode", "clock", "errors", "window"];
        if let (false, Some(key)) = (special, MORE.iter().find(|key| item.get(key).is_some())) {
            return Err(Fault::at(key, format!("belongs in a file in `{SPECIAL}/`")));
        }
        item.fields("the case", &[&KEYS[..], &MORE[..]].concat()).map_err(Fault::of)?;
        let mode = match item.get("mode") {
            None => ErrorMode::Strict,
            Some(Json::String(mode)) if mode == "strict" => ErrorMode::Strict,
            Some(Json::String(mode)) if mode == "cedar" => ErrorMode::Cedar,
            Some(_) => return Err(Fault::at("mode", "is neither `strict` nor `cedar`")),
        };
        if self.policies.is_none() && mode == ErrorMode::Cedar {
            self.out.by_cedar_alone += 1;
            return Ok(());
        }
        let state = self.state(item, mode)?;
        let request = item.get("request").ok_or_else(|| Fault::of("there is no `request`"))?;
        let request = request_from_tree(self.bundle, request).map_err(|e| Fault::at("request", e.to_string()))?;
        let mut case = self.case(place, name.to_owned(), item, request, state);
        case.expected = expected(self.policies, item)?;
        case.clock = clock(item)?;
        if special {
            case.decided_by = if mode == ErrorMode::Cedar { DecidedBy::Cedar } else { DecidedBy::Library };
            if mode == ErrorMode::Strict && case.clock.is_empty() {
                self.check_now(&case)?;
            }
        } else {
            self.check_plain(&case)?;
        }
        self.out.cases.push(case);
        Ok(())
    }

    fn case(&self, (file, line): (&Path, usize), name: String, item: &Json, request: Request, state: usize) -> Case {
        let source = match item.get("source") {
            Some(Json::String(source)) => Some(source.clone()),
            _ => None,
        };
        let (clock, expected) = (Vec::new(), Expected::default());
        let decided_by = DecidedBy::Both;
        Case { file: file.to_owned(), line, name, source, request, state, decided_by, clock, expected }
    }

    /// The state a case is decided on: entities in the case, or those of a file in the tests' folder.
    fn state(&mut self, item: &Json, mode: ErrorMode) -> Result<usize, Fault> {
        let fail = |message: String| Fault::at("entities", message);
        let bundle = if mode == ErrorMode::Cedar { &self.cedar } else { self.bundle };
        let (state, shared) = match item.get("entities") {
            Some(Json::String(name)) => {
                let key = (name.clone(), mode);
                if let Some(at) = self.shared.get(&key) {
                    return Ok(*at);
                }
                let text = self.texts.get(name).filter(|_| name.ends_with(".entities.json"));
                let text = text.ok_or_else(|| {
                    fail(format!("there is no `{name}` in the tests' folder, with a name ending in `.entities.json`"))
                })?;
                (Snapshot::from_json(bundle, &**text), Some(key))
            }
            Some(Json::Array(entities)) => {
                let mut reader = EntityReader::new(bundle);
                entities.iter().for_each(|entity| reader.push(entity));
                (reader.finish().and_then(|entities| Snapshot::from_entities(bundle, entities)), None)
            }
            Some(_) | None => {
                return Err(fail("is neither an array of entities nor the name of a file of them".into()))
            }
        };
        self.out.states.push(state.map_err(|e| fail(e.to_string().replace('\n', "; ")))?);
        let at = self.out.states.len() - 1;
        if let Some(key) = shared {
            self.shared.insert(key, at);
        }
        Ok(at)
    }

    /// Plain cases and tables must mean the same to Cedar alone, today and next year.
    fn check_plain(&self, case: &Case) -> Result<(), Fault> {
        let request = &case.request;
        let types = self.bundle.inner.types.as_ref();
        let state = self.out.states.get(case.state);
        let exists = |uid: &EntityUid| {
            state.is_some_and(|s| s.get(uid).is_some())
                || types.is_some_and(|t| t.is_listed(uid) || t.actions.contains_key(uid))
        };
        let missing = |what: &str, uid: &EntityUid| {
            Err(Fault::at(
                "request",
                format!(
                    "the {what} `{uid}` is not among the entities; a case that wants it so belongs in `{SPECIAL}/`"
                ),
            ))
        };
        match request.resource() {
            _ if !exists(request.principal()) => return missing("principal", request.principal()),
            Resource::Inline(_) => {
                return Err(Fault::at("request", format!("a whole entity as resource belongs in `{SPECIAL}/`")))
            }
            Resource::Stored(handle) if !exists(handle.uid()) => return missing("resource", handle.uid()),
            Resource::Stored(_) => {}
        }
        self.check_now(case)
    }

    fn check_now(&self, case: &Case) -> Result<(), Fault> {
        let wants = self.bundle.inner.types.as_ref().is_some_and(|t| t.wants_now(case.request.action()));
        if wants && case.request.context.get("now").is_none() {
            return Err(Fault::at("request", "the context has no `now`, so the answer would change with time"));
        }
        Ok(())
    }
}

fn expected(policies: Option<&Bundle>, json: &Json) -> Result<Expected, Fault> {
    let allow = match json.get("decision") {
        Some(Json::String(text)) if text == "allow" => true,
        Some(Json::String(text)) if text == "deny" => false,
        _ => return Err(Fault::at("decision", "is neither `allow` nor `deny`")),
    };
    let Some(Json::Array(ids)) = json.get("reason") else {
        return Err(Fault::at("reason", "is no array of policy ids"));
    };
    let mut reason = BTreeSet::new();
    for id in ids {
        let Json::String(id) = id else {
            return Err(Fault::at("reason", "is no array of policy ids"));
        };
        reason.insert(decides(policies, id, allow).map_err(|e| Fault::at("reason", e))?);
    }
    if allow && reason.is_empty() {
        return Err(Fault::at("reason", "is empty; an allow has a permit"));
    }
    let errors = match json.get("errors") {
        None => None,
        Some(Json::Array(codes)) => {
            let code = |code: &Json| match code {
                Json::String(code) => Ok(code.clone()),
                _ => Err(Fault::at("errors", "is no array of error codes")),
            };
            let mut codes = codes.iter().map(code).collect::<Result<Vec<_>, _>>()?;
            codes.sort();
            Some(codes)
        }
        Some(_) => return Err(Fault::at("errors", "is no array of error codes")),
    };
    let listed = errors.as_ref().map(Vec::len);
    let num_errors = match json.get("num_errors") {
        None => listed.unwrap_or(0),
        Some(Json::Long(n)) => usize::try_from(*n).map_err(|_| Fault::at("num_errors", "is negative"))?,
        Some(_) => return Err(Fault::at("num_errors", "is no number")),
    };
    if listed.is_some_and(|listed| listed != num_errors) {
        return Err(Fault::at("num_errors", "is not the number of the codes in `errors`"));
    }
    let indeterminate = match json.get("indeterminate") {
        None => false,
        Some(Json::Bool(true)) if allow => {
            return Err(Fault::at("indeterminate", "is true, but such an answer is a denial"))
        }
        Some(Json::Bool(b)) => *b,
        Some(_) => return Err(Fault::at("indeterminate", "is neither true nor false")),
    };
    let window = match json.get("window") {
        None => None,
        Some(window) => {
            window.fields("the window", &["from", "to"]).map_err(|e| Fault::at("window", e))?;
            let end = |key: &str| window.get(key).and_then(instant);
            match (end("from"), end("to")) {
                (Some(from), Some(to)) => Some(Window { from, to }),
                _ => return Err(Fault::at("window", "is not `{\"from\": …, \"to\": …}` with two instants")),
            }
        }
    };
    Ok(Expected { allow, indeterminate, reason, num_errors, errors, window })
}

/// The policy `id`, which must be there and able to determine such an answer.
pub(super) fn decides(policies: Option<&Bundle>, id: &str, allow: bool) -> Result<String, String> {
    let Some(bundle) = policies else { return Ok(id.to_owned()) };
    match bundle.policy(id) {
        None => Err(format!("names `{id}`, which is no policy")),
        Some(policy) if policy.is_forbid() == allow => {
            let (is, answer) = if allow { ("forbid", "an allow") } else { ("permit", "a denial") };
            Err(format!("names `{id}`, a {is}, which never determines {answer}"))
        }
        Some(_) => Ok(id.to_owned()),
    }
}

fn clock(json: &Json) -> Result<Vec<Option<Timestamp>>, Fault> {
    let fail = || Fault::at("clock", "is neither an instant such as `2026-03-01T09:00:00Z` nor an array of them");
    let shown = |json: &Json| match json {
        Json::Null => Ok(None),
        json => instant(json).map(Some).ok_or_else(fail),
    };
    match json.get("clock") {
        None => Ok(Vec::new()),
        Some(Json::Array(instants)) if instants.is_empty() => Err(fail()),
        Some(Json::Array(instants)) => instants.iter().map(shown).collect(),
        Some(one) => Ok(vec![shown(one)?]),
    }
}

fn instant(json: &Json) -> Option<Timestamp> {
    match json {
        Json::String(text) => Timestamp::parse(text),
        _ => None,
    }
}

/// The lines, from 1, at which the items of a JSON array begin. The text is known to be JSON.
fn lines_of_items(text: &[u8]) -> Vec<usize> {
    let (mut out, mut line, mut depth) = (Vec::new(), 1, 0_usize);
    let (mut in_text, mut escaped, mut awaited) = (false, false, false);
    for byte in text {
        match byte {
            b'\n' => line += 1,
            _ if in_text => {
                in_text = escaped || *byte != b'"';
                escaped = !escaped && *byte == b'\\';
                continue;
            }
            b' ' | b'\t' | b'\r' => continue,
            b',' => awaited = awaited || depth == 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {
                if awaited && depth == 1 {
                    out.push(line);
                    awaited = false;
                }
                match byte {
                    b'[' | b'{' => {
                        awaited = awaited || depth == 0;
                        depth += 1;
                    }
                    b'"' => in_text = true,
                    _ => {}
                }
            }
        }
    }
    out
}
