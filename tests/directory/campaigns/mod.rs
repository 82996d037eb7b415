//! Campaigns: races, crashes and staleness. The tests run them with a few rounds, `examples/campaign.rs` with many.

pub mod crashes;
pub mod hands;
pub mod races;
pub mod staleness;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use bailiwick::store::{Sqlite, Store};

/// What tells a process that it is a campaign's child, and which.
pub const ROLE: &str = "BAILIWICK_CAMPAIGN";

/// The program itself once more. It is to call [`child`] with what [`ROLE`] holds.
pub type Launch<'l> = &'l dyn Fn() -> Command;

/// What a child process does: by the first word of its role, up to the end of its standard input.
pub fn child(role: &str) {
    let words: Vec<&str> = role.lines().collect();
    match words.as_slice() {
        ["hand", path] => hands::child(path),
        ["crash", path, seed, organization, owner] => crashes::child(path, seed, organization, owner),
        ["watch", path, organization, owner] => staleness::child(path, organization, owner),
        other => panic!("{other:?} is no role of a campaign"),
    }
}

/// Another process, spoken to by lines.
pub struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub fn begin(launch: Launch<'_>, role: &[&str]) -> Self {
        let mut command = launch();
        command.env(ROLE, role.join("\n")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        // One write, so that the other side gets it at once.
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What it says next; none once it has ended.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A test says things of its own.
            if let Some(said) = line.strip_prefix("@ ").and_then(|rest| rest.strip_suffix('\n')) {
                return Some(said.to_owned());
            }
        }
    }

    /// Ends it as the operating system does, by SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a child says to its parent: one write, whole or not at all.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@ {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The lines that the parent says.
pub fn told() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(Result::unwrap)
}

/// The file of another process's directory.
pub fn opened(path: &str) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(&PathBuf::from(path)).unwrap())
}
