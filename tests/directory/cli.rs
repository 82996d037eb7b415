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
