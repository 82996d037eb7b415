//! `bailiwick authorize`: a file of requests over a file of entities.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;

use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, Decision, Request, Snapshot};

use crate::{bundle, print_bundle_error, unusable, Errors, Format};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Entities, as Cedar entity JSON
    #[arg(long)]
    entities: PathBuf,
    /// Requests, one JSON object on each line
    #[arg(long)]
    requests: PathBuf,
    /// Policy folders or files [default: the built-in policies]
    #[arg(long, num_args = 1..)]
    policies: Vec<PathBuf>,
    /// The schema, where the policy folder holds none
    #[arg(long)]
    schema: Option<PathBuf>,
    /// How errors while deciding are treated
    #[arg(long, value_enum, default_value = "strict")]
    errors: Errors,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> u8 {
    let bundle = match bundle(&args.policies, args.schema.as_deref(), args.errors) {
        Ok(bundle) => bundle,
        Err(error) => {
            print_bundle_error(&error);
            return 2;
        }
    };
    let authorizer = match authorizer(args, &bundle) {
        Ok(authorizer) => authorizer,
        Err(message) => return unusable(&message),
    };
    let requests = match File::open(&args.requests) {
        Ok(file) => BufReader::new(file),
        Err(e) => return unusable(&format!("`{}` cannot be read: {e}", args.requests.display())),
    };
    match answer(args, &bundle, &authorizer, requests) {
        Ok(code) => code,
        Err(e) => unusable(&e),
    }
}

fn authorizer(args: &Args, bundle: &Bundle) -> Result<Authorizer, String> {
    let path = args.entities.display();
    let file = File::open(&args.entities).map_err(|e| format!("`{path}` cannot be read: {e}"))?;
    let bar = std::io::stderr().is_terminal().then(indicatif::ProgressBar::new_spinner);
    let mut progress = |read: usize| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{read} entities read"));
            bar.tick();
        }
    };
    let snapshot = Snapshot::from_json_with_progress(bundle, file, &mut progress);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let snapshot = snapshot.map_err(|e| format!("`{path}` is refused; nothing was loaded\n{e}"))?;
    let builder = Authorizer::builder().bundle(bundle.clone());
    Ok(builder.snapshot(snapshot).map_err(|e| e.to_string())?.build())
}

fn answer(args: &Args, bundle: &Bundle, authorizer: &Authorizer, mut requests: impl BufRead) -> std::io::Result<u8> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut line, mut number, mut worst) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        if requests.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let request = std::str::from_utf8(&line)
            .map_err(|e| format!("not UTF-8 from byte {} on", e.valid_up_to()))
            .and_then(|text| request_from_json(bundle, text).map_err(|e| e.to_string()));
        match request {
            Ok(request) => {
                let decision = authorizer.is_authorized(&request);
                worst = worst.max(u8::from(!decision.allowed()));
                match args.format {
                    Format::Json => writeln!(out, "{}", decision.to_json())?,
                    Format::Text => print(&mut out, number, bundle, authorizer, &request, &decision)?,
                }
            }
            Err(message) => {
                worst = 2;
                let message = message.replace('\n', " ");
                eprintln!("bailiwick: {}:{number}: {message}", args.requests.display());
                match args.format {
                    Format::Json => writeln!(out, "{}", unreadable(authorizer, &message))?,
                    Format::Text => writeln!(out, "{number}: DENY  unreadable request: {message}")?,
                }
            }
        }
    }
    out.flush()?;
    Ok(worst)
}

/// The denial for a line that is no request.
fn unreadable(authorizer: &Authorizer, message: &str) -> serde_json::Value {
    let health = authorizer.health();
    serde_json::json!({
        "decision": "deny", "indeterminate": true, "determining": [],
        "errors": [{"policy": null, "code": "unreadable", "message": message}],
        "revision": {"epoch": health.revision.epoch, "number": health.revision.number}, "bundle": health.bundle,
    })
}

fn print(
    out: &mut impl Write,
    number: usize,
    bundle: &Bundle,
    authorizer: &Authorizer,
    request: &Request,
    decision: &Decision,
) -> std::io::Result<()> {
    let word = if decision.allowed() { "ALLOW" } else { "DENY " };
    let short = |uid: &bailiwick::EntityUid| {
        let kind = uid.type_name().rsplit("::").next().unwrap_or_default().to_owned();
        format!("{kind} {}", uid.id().escape_debug())
    };
    // Labels are for people, ids for policies: both are shown.
    let role = authorizer.snapshot().get(request.principal()).and_then(|p| match p.attribute("role") {
        Some(bailiwick::Value::Entity(role)) => bailiwick::grc::Role::from_id(role.id()),
        _ => None,
    });
    let role = role.map_or(String::new(), |role| format!(" ({}, {})", role.label(), role.id()));
    let (principal, resource) = (short(request.principal()), short(request.resource().uid()));
    writeln!(out, "{number}: {word} {principal}{role}: {} on {resource}", request.action().id().escape_debug())?;
    for id in decision.determining() {
        let doc = bundle.policy(id).and_then(|p| p.doc()).unwrap_or_default();
        writeln!(out, "     by {id}: {doc}")?;
    }
    if !decision.allowed() && decision.determining().len() == 0 && decision.errors().len() == 0 {
        writeln!(out, "     no policy permits it")?;
    }
    for error in decision.errors() {
        let of = error.policy().map_or(String::new(), |id| format!(" in {id}"));
        writeln!(out, "     error{of}: {} ({})", error.message(), error.code())?;
    }
    if let Some(window) = decision.window() {
        writeln!(out, "     for the window {} to {}", window.from, window.to)?;
    }
    if decision.indeterminate() {
        writeln!(out, "     indeterminate: denied because it could not be decided")?;
    }
    Ok(())
}
