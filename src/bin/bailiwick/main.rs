//! The command `bailiwick`: decides files of requests, and checks, tests and formats policies.

mod authorize;
mod review;

use std::io::IsTerminal;
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
    let code = match Args::parse().command {
        Command::Authorize(args) => authorize::run(&args),
        Command::Check { path, format } => review::check(path, format),
        Command::Test { path, format } => review::test(path, format),
        Command::Fmt { paths, check } => review::fmt(paths, check),
    };
    ExitCode::from(code)
}

/// Prints an error as `bailiwick: …` and gives the exit status for input that cannot be used.
fn unusable(message: &dyn std::fmt::Display) -> u8 {
    eprintln!("bailiwick: {message}");
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
            Ok(()) => eprint!("{text}"),
            Err(_) => eprintln!("{finding}"),
        }
    }
}

fn print_bundle_error(error: &BundleError) {
    print_findings(error.findings());
    let count = error.findings().len();
    eprintln!("bailiwick: {count} {} in the policies", if count == 1 { "error" } else { "errors" });
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
