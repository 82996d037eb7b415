//! `bailiwick authorize`: a file of requests over a file of entities.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, Decision, Request};

use crate::inputs::{open, Inputs};
use crate::{say, text, unusable, Format};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: Inputs,
    /// Requests, one JSON object on each line
    #[arg(long)]
    requests: PathBuf,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> std::io::Result<u8> {
    let (bundle, authorizer) = match args.inputs.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    match open(&args.requests) {
        Ok(file) => answer(args, &bundle, &authorizer, BufReader::new(file), out),
        Err(message) => Ok(unusable(&message)),
    }
}

fn answer(
    args: &Args,
    bundle: &Bundle,
    authorizer: &Authorizer,
    mut requests: impl BufRead,
    out: &mut dyn Write,
) -> std::io::Result<u8> {
    let (mut line, mut number, mut answered, mut worst) = (Vec::new(), 0, 0, 0);
    loop {
        line.clear();
        match requests.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => number += 1,
            Err(e) => {
                out.flush()?;
                return Ok(unusable(&format!("`{}` cannot be read on: {e}", args.requests.display())));
            }
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        answered += 1;
        let request = std::str::from_utf8(&line)
            .map_err(|e| format!("not UTF-8 from byte {} on", e.valid_up_to()))
            .and_then(|text| request_from_json(bundle, text).map_err(|e| e.to_string()));
        match request {
            Ok(request) => {
                let decision = authorizer.is_authorized(&request);
                worst = worst.max(u8::from(!decision.allowed()));
                match args.format {
                    Format::Json => writeln!(out, "{}", decision.to_json())?,
                    Format::Text => print(out, number, bundle, authorizer, &request, &decision)?,
                }
            }
            Err(message) => {
                worst = 2;
                let message = message.replace('\n', " ");
                say(&format_args!("bailiwick: {}:{number}: {message}\n", args.requests.display()));
                match args.format {
                    Format::Json => writeln!(out, "{}", unreadable(authorizer, &message))?,
                    Format::Text => {
                        text::wrapped(out, &format!("{number}: DENY  "), INDENT, &format!("unreadable: {message}"))?;
                    }
                }
            }
        }
    }
    if answered == 0 {
        say(&format_args!("bailiwick: `{}` holds no request\n", args.requests.display()));
    }
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

const INDENT: &str = "     ";
const FURTHER: &str = "       ";

fn print(
    out: &mut dyn Write,
    number: usize,
    bundle: &Bundle,
    authorizer: &Authorizer,
    request: &Request,
    decision: &Decision,
) -> std::io::Result<()> {
    let word = if decision.allowed() { "ALLOW" } else { "DENY " };
    // Labels are for people, ids for policies: both are shown.
    let role = text::role_of(authorizer.snapshot().get(request.principal()).as_ref());
    let (principal, resource) = (text::uid(request.principal()), text::uid(request.resource().uid()));
    let asked = format!("{principal}{role}: {} on {resource}", request.action().id().escape_debug());
    text::wrapped(out, &format!("{number}: {word} "), INDENT, &asked)?;
    let mut say = |text: &str| text::wrapped(out, INDENT, FURTHER, text);
    for id in decision.determining() {
        match text::doc(bundle, id) {
            "" => say(&format!("by {id}"))?,
            doc => say(&format!("by {id}: {doc}"))?,
        }
    }
    if !decision.allowed() && decision.determining().len() == 0 && decision.errors().len() == 0 {
        say("no policy permits it")?;
    }
    for error in decision.errors() {
        say(&text::error(error))?;
    }
    if let Some(window) = decision.window() {
        say(&format!("for the window {} to {}", window.from, window.to))?;
    }
    if decision.indeterminate() {
        say("indeterminate: denied because it could not be decided")?;
    }
    Ok(())
}
