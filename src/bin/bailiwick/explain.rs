//! `bailiwick explain`: why a request is allowed or denied.

use std::io::{BufRead, BufReader, Result, Write};
use std::path::{Path, PathBuf};

use bailiwick::entities::request_from_json;
use bailiwick::{grc, Authorizer, Bundle, ClauseReason, Explanation, Part, PolicyReason, Request, Seen, Sight, Value};

use crate::inputs::{open, Asked, Inputs};
use crate::{text, unusable, Format};

const USAGE: &str = "bailiwick explain --entities FILE [OPTIONS] PRINCIPAL ACTION RESOURCE
       bailiwick explain --entities FILE [OPTIONS] --requests FILE [--line N]";

#[derive(clap::Args)]
#[command(override_usage = USAGE)]
pub(crate) struct Args {
    /// A uid, such as 'Grc::Member::"ann"'
    #[arg(required_unless_present = "requests", requires = "resource")]
    principal: Option<String>,
    /// An action of the schema; a uid, where it is not of the built-in model
    action: Option<String>,
    /// A stored resource's uid, such as 'Grc::Organization::"acme"', or a whole entity as JSON
    resource: Option<String>,
    /// The context, as JSON [default: {}]; the present instant stands in for `now`
    #[arg(long, value_name = "JSON", conflicts_with = "requests")]
    context: Option<String>,
    /// A file of requests instead, as `authorize` reads it
    #[arg(long, conflicts_with = "principal")]
    requests: Option<PathBuf>,
    /// The line of the request in that file; may be left out where it is the only one
    #[arg(long, value_name = "N", requires = "requests")]
    line: Option<usize>,
    #[command(flatten)]
    inputs: Inputs,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<u8> {
    let (bundle, authorizer) = match args.inputs.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let request = match request(args, &bundle) {
        Ok(request) => request,
        Err(message) => return Ok(unusable(&message)),
    };
    let explanation = authorizer.explain(&request);
    match args.format {
        Format::Json => writeln!(out, "{}", explanation.to_json())?,
        Format::Text => print(out, &authorizer, &request, &explanation)?,
    }
    Ok(0)
}

fn request(args: &Args, bundle: &Bundle) -> std::result::Result<Request, String> {
    if let Some(path) = &args.requests {
        return from_file(path, args.line, bundle);
    }
    let (principal, resource, context) = (args.principal.as_deref(), args.resource.as_deref(), args.context.as_deref());
    Asked { principal, action: args.action.as_deref().unwrap_or_default(), resource, context }.read(bundle)
}

fn from_file(path: &Path, line: Option<usize>, bundle: &Bundle) -> std::result::Result<Request, String> {
    let name = path.display();
    let mut found: Option<(usize, String)> = None;
    for (number, text) in BufReader::new(open(path)?).lines().enumerate().map(|(at, text)| (at + 1, text)) {
        let text = text.map_err(|e| format!("`{name}` cannot be read: {e}"))?;
        if text.trim().is_empty() || line.is_some_and(|line| line != number) {
            continue;
        }
        if found.is_some() {
            return Err(format!("`{name}` holds several requests; say with `--line` which one"));
        }
        found = Some((number, text));
        if line.is_some() {
            break;
        }
    }
    let (number, text) = found.ok_or_else(|| match line {
        Some(line) => format!("`{name}` holds no request on line {line}"),
        None => format!("`{name}` holds no request"),
    })?;
    request_from_json(bundle, &text).map_err(|e| format!("{name}:{number}: {e}"))
}

const INDENT: &str = "      ";

fn print(out: &mut dyn Write, authorizer: &Authorizer, request: &Request, told: &Explanation) -> Result<()> {
    let decision = told.decision();
    let role = text::role_of(authorizer.snapshot().get(request.principal()).as_ref());
    let asked = format!("{}{role}: {}", text::uid(request.principal()), text::asked(request));
    text::wrapped(out, if decision.allowed() { "ALLOW " } else { "DENY  " }, INDENT, &asked)?;
    let mut say = |words: &str| text::wrapped(out, INDENT, INDENT, words);
    if let Some(window) = decision.window() {
        say(&format!("for the window {} to {}", window.from, window.to))?;
    }
    for error in decision.errors().filter(|e| e.policy().is_none()) {
        say(&text::error(error))?;
    }
    if decision.indeterminate() {
        say("indeterminate: denied because it could not be decided")?;
    }
    let number = |count: usize| text::count(count, "permit", "permits");
    match (told.nearest().len(), told.in_scope()) {
        (0, _) if decision.allowed() || decision.determining().len() > 0 || decision.errors().len() > 0 => {}
        (0, _) => say("no policy permits it: there is no permit")?,
        (shown, 0) => {
            let those = if shown == 1 { "this one is" } else { "these are" };
            say(&format!("no policy permits it; no permit is about such a request, {those} nearest:"))?;
        }
        (shown, all) if shown == all => {
            say(&format!("no policy permits it; {} {} about such a request:", number(all), are(all)))?;
        }
        (shown, all) => {
            say(&format!("no policy permits it; {} are about such a request, the {shown} nearest:", number(all)))?
        }
    }
    let allowed = if decision.allowed() { "allowed by" } else { "denied by" };
    told.determining().iter().try_for_each(|reason| policy(out, allowed, reason))?;
    told.failed().iter().try_for_each(|reason| policy(out, "error in", reason))?;
    told.nearest().iter().try_for_each(|reason| policy(out, "not by", reason))
}

fn are(count: usize) -> &'static str {
    if count == 1 {
        "is"
    } else {
        "are"
    }
}

fn policy(out: &mut dyn Write, word: &str, reason: &PolicyReason) -> Result<()> {
    let (file, line) = reason.place();
    writeln!(out, "\n{word} {}, {file}:{line}", reason.id())?;
    let mut say = |words: &str| text::wrapped(out, "  ", "  ", words);
    if let Some(doc) = reason.doc() {
        say(doc)?;
    }
    if let Some(source) = reason.source() {
        say(&format!("source: {source}"))?;
    }
    if reason.is_forbid() && reason.clauses().is_empty() {
        say("it has no condition: it applies to all of its scope")?;
    }
    if reason.clauses().len() > 1 && reason.in_scope() {
        say("it would take at least one of these to be otherwise:")?;
    }
    reason.clauses().iter().try_for_each(|c| clause(out, c))?;
    match reason.more() {
        0 => Ok(()),
        more => text::wrapped(out, "  ", "  ", &format!("and {}", text::count(more, "clause more", "clauses more"))),
    }
}

fn clause(out: &mut dyn Write, clause: &ClauseReason) -> Result<()> {
    let (word, rest) = match clause.value() {
        Some(true) => ("  true:   ", "          "),
        Some(false) => ("  false:  ", "          "),
        None => ("  failed: ", "          "),
    };
    text::wrapped(out, word, rest, clause.text())?;
    let (file, line, column) = clause.place();
    let part = match clause.part() {
        Part::Scope => " (scope)",
        Part::Policy => " (the whole policy)",
        _ => "",
    };
    writeln!(out, "{rest}at {file}:{line}:{column}{part}")?;
    if let Some(error) = clause.error() {
        text::wrapped(out, rest, rest, error)?;
    }
    clause.seen().iter().try_for_each(|seen| text::wrapped(out, rest, &format!("{rest}  "), &sight(seen)))
}

fn sight(seen: &Seen) -> String {
    let of = seen.of();
    match seen.sight() {
        Sight::Absent => format!("{of} is absent"),
        Sight::NotStored => format!("{of} is asked of an entity that is not stored"),
        Sight::Ancestors { total: 0, .. } => format!("{of} is in nothing"),
        Sight::Ancestors { first, total } => {
            let all = first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let more = total - first.len();
            let more = if more > 0 { format!(" and {}", text::count(more, "other", "others")) } else { String::new() };
            format!("{of} is in {all}{more}")
        }
        Sight::Value(value) => format!("{of} = {}", cedar(value)),
        _ => of.to_owned(),
    }
}

/// A value as policies write it, with the label behind a role.
fn cedar(value: &Value) -> String {
    let written = match value {
        Value::Entity(uid) if uid.type_name() == "Grc::Role" => {
            let label = grc::Role::from_id(uid.id()).map_or(String::new(), |role| format!(" ({})", role.label()));
            format!("{uid}{label}")
        }
        Value::Entity(uid) => uid.to_string(),
        Value::Datetime(at) => format!("datetime(\"{at}\")"),
        Value::Set(items) => format!("[{}]", items.iter().map(cedar).collect::<Vec<_>>().join(", ")),
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{}: {}", name.escape_debug(), cedar(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_json().to_string(),
    };
    match written.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", written.get(..at).unwrap_or_default()),
        None => written,
    }
}
