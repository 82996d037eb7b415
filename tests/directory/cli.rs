//! The command `bailiwick directory`, and `authorize --directory`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{json, Value};

use crate::world::Folder;

struct Run {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program on a directory's file, with something on its standard input.
fn run(folder: &Folder, args: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(args)
        .args(["--directory", folder.file().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[track_caller]
fn json_of(folder: &Folder, args: &[&str], input: &str) -> Value {
    let mut all = vec!["directory"];
    all.extend(args);
    all.extend(["--format", "json"]);
    let run = run(folder, &all, input);
    assert_eq!(run.code, 0, "{args:?}: {}{}", run.out, run.err);
    serde_json::from_str(&run.out).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_directory_is_made_filled_asked_and_verified_on_the_command_line() {
    let folder = Folder::new();
    let made = run(&folder, &["directory", "init"], "");
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    assert_eq!(run(&folder, &["directory", "init"], "").code, 2);

    let create = ["create-organization", "Acme", "--email", "olga@acme.test", "--contributor-seats", "5", "--operator"];
    let created = json_of(&folder, &create, "");
    let organization = text(&created["target"]).to_owned();
    let accepted = json_of(&folder, &["accept-invitation"], text(&created["link"]["token"]));
    let olga = text(&accepted["target"]).to_owned();

    let invite = ["invite-member", &organization, "vera@acme.test", "VIEWER", "--actor", &olga, "--key", "k1"];
    let invited = json_of(&folder, &invite, "");
    let again = json_of(&folder, &invite, "");
    assert_eq!((&again["replayed"], &again["link"]), (&json!(true), &Value::Null));
    assert_eq!(again["revision"], invited["revision"]);
    let accepted = json_of(&folder, &["accept-invitation"], text(&invited["link"]["token"]));
    let vera = text(&accepted["target"]).to_owned();

    // Refused by policy, refused by rule, and unusable.
    let denied = run(&folder, &["directory", "deactivate-member", &olga, "--actor", &vera], "");
    assert_eq!((denied.code, denied.out.as_str()), (1, ""));
    assert!(denied.err.contains("may not do `deactivateMember`"), "{}", denied.err);
    let last = run(&folder, &["directory", "deactivate-member", &olga, "--operator"], "");
    assert_eq!(last.code, 1);
    assert!(last.err.contains("the last active Owner"), "{}", last.err);
    let used = run(&folder, &["directory", "accept-invitation"], text(&invited["link"]["token"]));
    assert_eq!((used.code, used.err.as_str()), (1, "bailiwick: the link is not valid\n"));
    assert_eq!(run(&folder, &["directory", "deactivate-member", &olga], "").code, 2);

    let shown = run(&folder, &["directory", "show", &organization, "--actor", &olga], "");
    assert!(
        shown.out.contains("0 of 5 contributors") && shown.out.contains("vera@acme.test Viewer (VIEWER)"),
        "{}",
        shown.out
    );
    let billing = json_of(&folder, &["billing", &organization, "--actor", &olga], "");
    assert_eq!((&billing["used"], &billing["warning"]), (&json!(1), &json!("Over plan limit")));

    let request =
        |who: &str, action: &str| json!({"principal": who, "action": action, "resource": organization}).to_string();
    let requests = folder.file().with_extension("jsonl");
    std::fs::write(&requests, [request(&olga, "viewTeam"), request(&vera, "viewTeam")].join("\n")).unwrap();
    let decided = run(&folder, &["authorize", "--format", "json", "--requests", requests.to_str().unwrap()], "");
    assert_eq!(decided.code, 1, "{}", decided.err);
    let decisions: Vec<Value> = decided.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&decisions[0]["decision"], &decisions[1]["decision"]), (&json!("allow"), &json!("deny")));
    assert_eq!(decisions[0]["revision"]["number"], accepted["revision"]);

    let journal = run(&folder, &["directory", "journal", "--organization", &organization, "--actor", &olga], "");
    assert!(journal.out.contains("inviteMember") && journal.out.contains("by team.manage"), "{}", journal.out);
    let verified = run(&folder, &["directory", "verify"], "");
    assert_eq!((verified.code, verified.out.as_str()), (0, "7 entries: the chain is whole\n"));
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let edit = "DROP TRIGGER journal_stays; UPDATE journal SET actor = 'operator' WHERE number = 3";
    connection.execute_batch(edit).unwrap();
    let broken = run(&folder, &["directory", "verify"], "");
    assert_eq!(broken.code, 1);
    assert!(broken.out.starts_with("entry 3.0 is broken"), "{}", broken.out);
}

#[test]
fn an_export_is_imported_into_an_empty_directory() {
    let (from, to) = (Folder::new(), Folder::new());
    for folder in [&from, &to] {
        assert_eq!(run(folder, &["directory", "init"], "").code, 0);
    }
    let created = json_of(&from, &["create-organization", "Acme", "--email", "olga@acme.test", "--operator"], "");
    json_of(&from, &["accept-invitation"], text(&created["link"]["token"]));
    let exported = run(&from, &["directory", "export", "--operator"], "");
    assert_eq!(exported.out.lines().count(), 3);
    let rows = to.file().with_extension("jsonl");
    std::fs::write(&rows, &exported.out).unwrap();
    let import = ["directory", "import", rows.to_str().unwrap(), "--operator"];
    let imported = run(&to, &import, "");
    assert_eq!((imported.code, imported.out.as_str()), (0, "3 rows, revision 1\n"), "{}", imported.err);
    assert_eq!(run(&to, &["directory", "export", "--operator"], "").out, exported.out);
    assert_eq!(run(&to, &import, "").code, 1);
    std::fs::write(&rows, "{\"member\":{}}\n").unwrap();
    let bad = run(&from, &import[..], "");
    assert_eq!(bad.code, 1, "{}", bad.err);
}

/// The code blocks of a kind in a part of README.md, in their order.
fn blocks<'t>(part: &'t str, kind: &str) -> Vec<&'t str> {
    let begin = format!("```{kind}\n");
    part.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Runs README's commands as a shell does. Between them its reader keeps what they print where README says so: the uid of
/// what was made in a variable, the link's token in the file `token`.
#[test]
#[cfg(unix)]
fn the_commands_of_the_readme_print_what_it_says() {
    let readme = include_str!("../../README.md");
    let part = readme.split("\n## ").find(|part| part.starts_with("The directory\n")).unwrap();
    let (commands, printed) = (blocks(part, "sh"), blocks(part, "text"));
    let ([commands], [printed]) = (&commands[..], &printed[..]) else { panic!("{commands:?} {printed:?}") };
    let folder = Folder::new();
    let home = folder.file().parent().unwrap().to_owned();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bailiwick")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut kept: Vec<(&str, String)> = Vec::new();
    let mut last = String::new();
    for line in commands.lines() {
        let mut shell = Command::new("sh");
        shell.args(["-euc", line]).current_dir(&home).env("PATH", &path).envs(kept.iter().cloned());
        let ran = shell.output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success() && err.is_empty(), "{line}: {err}");
        last = String::from_utf8(ran.stdout).unwrap();
        for said in last.lines() {
            if let Some((_, token)) = said.strip_prefix("send to ").and_then(|rest| rest.split_once(": ")) {
                std::fs::write(home.join("token"), token).unwrap();
            }
            let Some((_, uid)) = said.strip_prefix("done, ").and_then(|rest| rest.split_once(": ")) else { continue };
            for (name, kind) in [("ORGANIZATION", "Grc::Organization::"), ("OLGA", "Grc::Member::")] {
                // The first of its kind: Olga, and her organization.
                if uid.starts_with(kind) && kept.iter().all(|(own, _)| *own != name) {
                    kept.push((name, uid.to_owned()));
                }
            }
        }
    }
    assert_eq!(&last, printed);
    assert_eq!((commands.lines().count(), kept.len()), (6, 2));
}

#[test]
fn an_auditor_logs_in_and_out_on_the_command_line() {
    let folder = Folder::new();
    assert_eq!(run(&folder, &["directory", "init"], "").code, 0);
    let created = json_of(&folder, &["create-organization", "Acme", "--email", "olga@acme.test", "--operator"], "");
    let organization = text(&created["target"]);
    let invite =
        ["invite-auditor", organization, "Ada", "ada@firm.test", "Firm", "--expires-at", "2100-01-01T00:00:00Z"];
    let invited = json_of(&folder, &[&invite[..], &["--operator"]].concat(), "");
    let link = text(&invited["link"]["token"]);
    let set = run(&folder, &["directory", "set-password"], &format!("{link}\ncorrect horse battery\n"));
    assert_eq!(set.code, 0, "{}", set.err);
    let session = json_of(&folder, &["log-in", text(&invited["target"])], "correct horse battery\n");
    let token = text(&session["token"]);
    let out = json_of(&folder, &["log-out", "--key", "out"], token);
    assert_eq!((&out["revision"], &out["target"]), (&json!(5), &invited["target"]));
    assert_eq!(json_of(&folder, &["log-out", "--key", "out"], token)["replayed"], json!(true));
    let again = run(&folder, &["directory", "log-out"], token);
    assert_eq!((again.code, again.err.as_str()), (1, "bailiwick: the login is not valid\n"));
}
