//! The command `bailiwick`: decides and explains requests, and checks, tests, compares and formats policies.

mod authorize;
mod diff;
mod directory;
mod explain;
mod fmt;
mod inputs;
mod query;
mod review;
mod text;

use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use bailiwick::{Bundle, BundleError, ErrorMode, Finding, Sources};
use clap::{Parser, Subcommand, ValueEnum};

/// Authorization for GRC and SaaS products: Cedar policies over members, projects, guests and auditors.
#[derive(Parser)]
#[command(version, max_term_width = 80)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum Errors {
    Strict,
    Cedar,
}

#[derive(Subcommand)]
enum Command {
    /// Decide requests: one answer for each line, in order. Exits with 1 if any was denied, 2 if one was unreadable
    Authorize(authorize::Args),
    /// Say why a request is allowed or denied: the policies that decided, or the clauses that were false
    Explain(explain::Args),
    /// List everyone who may do ACTION on RESOURCE
    WhoCan(query::WhoCan),
    /// List the actions that PRINCIPAL may do on RESOURCE, or with --action and --type the resources
    WhatCan(query::WhatCan),
    /// Check schema and policies: all findings at once. Exits with 1 if there are any
    Check {
        /// Policy folder or file [default: ./policies if there, else the built-in ones]
        path: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Run the policy tests in PATH/tests, and list policies that none exercises
    Test {
        /// Policy folder [default: ./policies if there, else the built-in ones]
        path: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// List what an edit changes: requests that are decided differently, loosened or tightened, and weakened walls.
    /// Exits with 1 if anything changed, 2 if OLD or NEW cannot be used
    Diff(diff::Args),
    /// Keep members, invitations, seats, projects and guests in one file. Exits with 1 if a policy or rule refuses
    Directory(directory::Args),
    /// Format policy files in place
    Fmt {
        /// Policy folders or files [default: ./policies]
        paths: Vec<PathBuf>,
        /// Change nothing; exit with 1 if something would change
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let command = Args::parse().command;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let code = match command {
        Command::Authorize(args) => authorize::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::WhoCan(args) => query::who_can(&args, &mut out),
        Command::WhatCan(args) => query::what_can(&args, &mut out),
        Command::Check { path, format } => review::check(path, format, &mut out),
        Command::Test { path, format } => review::test(path, format, &mut out),
        Command::Diff(args) => diff::run(&args, &mut out),
        Command::Directory(args) => directory::run(&args, &mut out),
        Command::Fmt { paths, check } => fmt::run(paths, check, &mut out),
    };
    ExitCode::from(code.and_then(|code| out.flush().map(|()| code)).unwrap_or_else(|e| match e.kind() {
        // Whoever read the output has seen enough.
        ErrorKind::BrokenPipe => 2,
        _ => unusable(&format!("the output cannot be written: {e}")),
    }))
}

/// Writes to stderr; where nobody reads it, to nobody.
fn say(text: &dyn std::fmt::Display) {
    let _ = write!(std::io::stderr().lock(), "{text}");
}

/// Prints an error as `bailiwick: …` and gives the exit status for input that cannot be used.
fn unusable(message: &dyn std::fmt::Display) -> u8 {
    say(&format_args!("bailiwick: {message}\n"));
    2
}

/// Prints findings with file, line and caret.
fn print_findings<'a>(findings: impl IntoIterator<Item = &'a Finding>) {
    let theme = match std::io::stderr().is_terminal() {
        true => miette::GraphicalTheme::unicode(),
        false => miette::GraphicalTheme::unicode_nocolor(),
    };
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(80).with_context_lines(0);
    for finding in findings {
        let mut text = String::new();
        match handler.render_report(&mut text, finding) {
            Ok(()) => say(&text),
            Err(_) => say(&format_args!("{finding}\n")),
        }
    }
}

/// Prints why the policies of `whose` cannot be used, and gives the exit status for that.
fn refused(whose: &str, error: &BundleError) -> u8 {
    print_findings(error.findings());
    let count = error.findings().len();
    unusable(&format_args!("{whose} cannot be used: {}", text::count(count, "error", "errors")))
}

/// The bundle of some paths; without one the built-in bundle.
fn bundle(paths: &[PathBuf], schema: Option<&std::path::Path>, errors: Errors) -> Result<Bundle, BundleError> {
    let mode = match errors {
        Errors::Strict => ErrorMode::Strict,
        Errors::Cedar => ErrorMode::Cedar,
    };
    if paths.is_empty() && schema.is_none() {
        return match mode {
            ErrorMode::Strict => Ok(Bundle::builtin()),
            ErrorMode::Cedar => Bundle::from_sources(Bundle::builtin().sources().clone(), mode),
        };
    }
    Bundle::from_sources(Sources::read(paths, schema)?, mode)
}
