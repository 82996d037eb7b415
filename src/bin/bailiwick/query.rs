//! `bailiwick who-can` and `what-can`: questions to many.

use std::io::{Result, Write};

use bailiwick::query::{Found, Page, QueryError};
use bailiwick::{Authorizer, Bundle, EntityUid};
use serde_json::json;

use crate::inputs::{context_of_any, Asked, Inputs};
use crate::{text, unusable, Format};

#[derive(clap::Args)]
pub(crate) struct Paging {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Those after this uid, the last one of the page before
    #[arg(long, value_name = "UID")]
    after: Option<EntityUid>,
}

/// What both commands are given.
#[derive(clap::Args)]
pub(crate) struct Given {
    /// The context, as JSON [default: {}]; the present instant stands in for `now`
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    inputs: Inputs,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(clap::Args)]
pub(crate) struct WhoCan {
    /// An action of the schema; a uid, where it is not of the built-in model
    action: String,
    /// A stored resource's uid, such as 'Grc::Organization::"acme"', or a whole entity as JSON
    resource: String,
    #[command(flatten)]
    given: Given,
}

#[derive(clap::Args)]
pub(crate) struct WhatCan {
    /// A stored principal's uid, such as 'Grc::Member::"ann"'
    principal: EntityUid,
    /// A stored resource's uid, such as 'Grc::Organization::"acme"', or a whole entity as JSON
    #[arg(required_unless_present = "action", conflicts_with = "action")]
    resource: Option<String>,
    /// List the resources that PRINCIPAL may do this action on
    #[arg(long, requires = "type_name")]
    action: Option<String>,
    /// The type of these resources, such as Grc::Control
    #[arg(long = "type", value_name = "TYPE", requires = "action")]
    type_name: Option<String>,
    #[command(flatten)]
    given: Given,
}

impl Paging {
    fn page(&self) -> Page {
        let most = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        match &self.after {
            Some(after) => Page::after(after.clone(), most),
            None => Page::first(most),
        }
    }
}

pub(crate) fn who_can(args: &WhoCan, out: &mut dyn Write) -> Result<u8> {
    let (bundle, authorizer) = match args.given.inputs.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let (resource, context) = (Some(args.resource.as_str()), args.given.context.as_deref());
    let asked = match (Asked { principal: None, action: &args.action, resource, context }).read(&bundle) {
        Ok(asked) => asked,
        Err(message) => return Ok(unusable(&message)),
    };
    let found =
        authorizer.who_can(asked.action(), asked.resource().clone(), asked.context(), &args.given.paging.page());
    let what = format!("{} on {}", asked.action().id().escape_debug(), text::uid(asked.resource().uid()));
    let told = |total| format!("{} may do {what}", text::count(total, "principal", "principals"));
    list(found, &authorizer, args.given.format, &told, out)
}

pub(crate) fn what_can(args: &WhatCan, out: &mut dyn Write) -> Result<u8> {
    let (bundle, authorizer) = match args.given.inputs.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    match (&args.action, &args.type_name) {
        (Some(action), Some(type_name)) => resources(args, &bundle, &authorizer, (action, type_name), out),
        _ => actions(args, &bundle, &authorizer, out),
    }
}

fn resources(
    args: &WhatCan,
    bundle: &Bundle,
    authorizer: &Authorizer,
    (action, type_name): (&str, &str),
    out: &mut dyn Write,
) -> Result<u8> {
    let asked = Asked { principal: None, action, resource: None, context: args.given.context.as_deref() };
    let asked = match asked.read(bundle) {
        Ok(asked) => asked,
        Err(message) => return Ok(unusable(&message)),
    };
    // As an action's id alone is of the built-in model, so is a type without a namespace.
    let of_model = asked.action().type_name() == "Grc::Action" && !type_name.contains("::");
    let type_name = if of_model { format!("Grc::{type_name}") } else { type_name.to_owned() };
    let (page, action) = (args.given.paging.page(), asked.action());
    let found = authorizer.allowed_resources(&args.principal, action, &type_name, asked.context(), &page);
    let role = text::role_of(authorizer.snapshot().get(&args.principal).as_ref());
    let (who, action) = (text::uid(&args.principal), action.id().escape_debug());
    let short = text::short(&type_name);
    let told = |total| format!("{} {short}, on which {who}{role} may do {action}", text::grouped(total));
    list(found, authorizer, args.given.format, &told, out)
}

/// Writes a page of uids, and how many there are.
fn list(
    found: std::result::Result<Found, QueryError>,
    authorizer: &Authorizer,
    format: Format,
    told_total: &dyn Fn(usize) -> String,
    out: &mut dyn Write,
) -> Result<u8> {
    let found = match found {
        Ok(found) => found,
        Err(error) => return Ok(unusable(&told(&error))),
    };
    if format == Format::Json {
        let uids: Vec<String> = found.uids().iter().map(ToString::to_string).collect();
        writeln!(out, "{}", json!({"uids": uids, "total": found.total(), "more": found.has_more()}))?;
        return Ok(0);
    }
    let snapshot = authorizer.snapshot();
    for uid in found.uids() {
        let role = text::role_of(snapshot.get(uid).as_ref());
        text::wrapped(out, "", "  ", &format!("{}{role}", text::uid(uid)))?;
    }
    let shown = match found.uids().len() {
        all if all == found.total() => String::new(),
        some => format!("; {} shown", text::grouped(some)),
    };
    text::wrapped(out, "", "  ", &format!("{}{shown}", told_total(found.total())))?;
    if let (true, Some(last)) = (found.has_more(), found.uids().last()) {
        writeln!(out, "the next: --after '{last}'")?;
    }
    Ok(0)
}

fn actions(args: &WhatCan, bundle: &Bundle, authorizer: &Authorizer, out: &mut dyn Write) -> Result<u8> {
    let Some(first) = bundle.actions().into_iter().next() else {
        return Ok(unusable(&"the schema declares no action"));
    };
    if args.given.paging.limit.is_some() || args.given.paging.after.is_some() {
        return Ok(unusable(&"`--limit` and `--after` go with `--action` and `--type`"));
    }
    let first = first.to_string();
    let asked = Asked { principal: None, action: &first, resource: args.resource.as_deref(), context: None };
    let (resource, context) = match (asked.read(bundle), context_of_any(bundle, args.given.context.as_deref())) {
        (Ok(asked), Ok(context)) => (asked.resource().clone(), context),
        (Err(message), _) | (_, Err(message)) => return Ok(unusable(&message)),
    };
    let answer = match authorizer.allowed_actions(&args.principal, resource.clone(), &context) {
        Ok(answer) => answer,
        Err(error) => return Ok(unusable(&told(&error))),
    };
    if args.given.format == Format::Json {
        let uids = |uids: &[EntityUid]| uids.iter().map(ToString::to_string).collect::<Vec<_>>();
        writeln!(out, "{}", json!({"allowed": uids(answer.allowed()), "undecided": uids(answer.undecided())}))?;
        return Ok(0);
    }
    let role = text::role_of(authorizer.snapshot().get(&args.principal).as_ref());
    let who = format!("{}{role} on {}", text::uid(&args.principal), text::uid(resource.uid()));
    let number = |uids: &[EntityUid]| text::count(uids.len(), "action", "actions");
    text::wrapped(out, "", "  ", &format!("{who}: {} allowed", number(answer.allowed())))?;
    for action in answer.allowed() {
        text::wrapped(out, "  ", "    ", &action.id().escape_debug().to_string())?;
    }
    if !answer.undecided().is_empty() {
        let undecided = number(answer.undecided());
        text::wrapped(out, "", "  ", &format!("{undecided} undecided for want of context; give it with --context"))?;
        for action in answer.undecided() {
            text::wrapped(out, "  ", "    ", &action.id().escape_debug().to_string())?;
        }
    }
    Ok(0)
}

/// Why there is no answer, and on which of the many that was met.
fn told(error: &QueryError) -> String {
    let on = error.on().map_or(String::new(), |uid| format!(", met on `{uid}`"));
    format!("no answer: {}{on} ({})", error.error().message(), error.error().code())
}
