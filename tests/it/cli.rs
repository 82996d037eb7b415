//! The command itself: exit statuses, messages, and what stands on stdout and stderr.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::files::Folder;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

struct Run {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("it ended by itself");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn run_in(folder: &Path, arguments: &[&str]) -> Run {
    command(folder, arguments).output().expect("the command runs").into()
}

/// Runs the command where the repository's own `policies` and `examples` are.
fn run(arguments: &[&str]) -> Run {
    run_in(Path::new(REPOSITORY), arguments)
}

/// Checks exit status and stderr, and that no line is a panic or wider than 80 columns but for JSON and paths.
fn check(run: &Run, code: i32, messages: &[&str]) {
    assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.out, run.err);
    for message in messages {
        assert!(run.err.contains(message), "expected `{message}` in\n{}", run.err);
    }
    assert!(!run.err.contains("panicked"), "{}", run.err);
    for line in run.out.lines().filter(|line| !line.starts_with(['{', '[']) && !line.contains('/')) {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

/// A copy of the repository's policies, without their tests.
fn policies(name: &str) -> Folder {
    let folder = Folder::new(name);
    for entry in std::fs::read_dir(Path::new(REPOSITORY).join("policies")).expect("policies") {
        let path = entry.expect("an entry").path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if ["cedar", "cedarschema"].contains(&extension) {
            let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
            folder.write(&format!("policies/{name}"), &std::fs::read_to_string(&path).expect("a text"));
        }
    }
    folder
}

/// Replaces the last occurrence of `from`.
fn replace_last(text: &str, from: &str, to: &str) -> String {
    let (before, after) = text.rsplit_once(from).expect("it occurs");
    format!("{before}{to}{after}")
}

const ENTITIES: &str = "examples/organizations.json";
const REQUESTS: &str = "examples/requests.jsonl";

#[test]
fn wrong_arguments_are_told() {
    check(&run(&[]), 2, &["Usage: bailiwick"]);
    check(&run(&["frobnicate"]), 2, &["unrecognized subcommand 'frobnicate'"]);
    check(&run(&["authorize"]), 2, &["--entities <ENTITIES>", "--requests <REQUESTS>"]);
    check(&run(&["check", "--format", "yaml"]), 2, &["possible values: text, json"]);
    check(&run(&["diff", "policies"]), 2, &["<NEW>"]);
    check(&run(&["diff", "policies", "policies", "--fail-on", "tightened"]), 2, &["possible values: loosened"]);
    let help = run(&["--help"]);
    check(&help, 0, &[]);
    for command in ["authorize", "check", "test", "diff", "fmt"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{}", help.out);
        check(&run(&[command, "--help"]), 0, &[]);
    }
}

#[test]
fn missing_files_and_folders_are_named() {
    let missing = &["`nowhere` cannot be read: No such file"][..];
    check(&run(&["authorize", "--entities", "nowhere", "--requests", REQUESTS]), 2, missing);
    check(&run(&["authorize", "--entities", ENTITIES, "--requests", "nowhere"]), 2, missing);
    check(&run(&["authorize", "--entities", ENTITIES, "--requests", REQUESTS, "--policies", "nowhere"]), 2, missing);
    check(&run(&["check", "nowhere"]), 2, missing);
    check(&run(&["test", "nowhere"]), 2, missing);
    check(&run(&["fmt", "nowhere"]), 2, missing);
    check(&run(&["diff", "nowhere", "policies"]), 2, &["`nowhere` cannot be read", "OLD, `nowhere`, cannot be used"]);
    check(&run(&["diff", "policies", "nowhere"]), 2, &["`nowhere` cannot be read", "NEW, `nowhere`, cannot be used"]);
    let folder = &["`examples` cannot be read: it is a folder, expected a file"][..];
    check(&run(&["authorize", "--entities", "examples", "--requests", REQUESTS]), 2, folder);
    check(&run(&["authorize", "--entities", ENTITIES, "--requests", "examples"]), 2, folder);
    check(&run(&["check", "examples"]), 2, &["`examples` holds no `*.cedar` file"]);
    let empty = Folder::new("cli-empty");
    check(&run_in(empty.path(), &["fmt"]), 2, &["`policies` cannot be read"]);
    let tested = run_in(empty.path(), &["test"]);
    check(&tested, 0, &[]);
    assert!(tested.out.starts_with("the built-in policies: ") && tested.out.contains(" 0 failed"), "{}", tested.out);
    let builtin = run_in(empty.path(), &["check"]);
    check(&builtin, 0, &[]);
    assert_eq!(builtin.out, "the built-in policies: 41 policies (all compiled), 0 findings\n");
}

#[test]
fn broken_policies_are_shown_with_their_place() {
    let folder = policies("cli-broken");
    let walls = folder.read("policies/walls.cedar");
    folder.write("policies/walls.cedar", &walls.replace("principal.active }", "principal.activ }"));
    let place = &["policies/walls.cedar:", "activ"][..];
    check(&run_in(folder.path(), &["check"]), 1, place);
    check(&run_in(folder.path(), &["test"]), 2, place);
    let whole = format!("{REPOSITORY}/policies");
    check(
        &run_in(folder.path(), &["diff", &whole, "policies"]),
        2,
        &["activ", "NEW, `policies`, cannot be used: 2 errors"],
    );
    check(
        &run_in(folder.path(), &["diff", "policies", &whole]),
        2,
        &["activ", "OLD, `policies`, cannot be used: 2 errors"],
    );
    folder.write("policies/walls.cedar", &walls.replace("unless", "unles"));
    check(&run_in(folder.path(), &["fmt"]), 2, &["1 file cannot be formatted; nothing was changed"]);
}

#[test]
fn requests_are_answered_in_order_and_the_worst_is_the_status() {
    let authorize = |requests: &Path, more: &[&str]| {
        let requests = requests.to_str().expect("UTF-8");
        run(&[&["authorize", "--entities", ENTITIES, "--requests", requests], more].concat())
    };
    let denied = run(&["authorize", "--entities", ENTITIES, "--requests", REQUESTS]);
    check(&denied, 1, &[]);
    assert!(
        denied.out.contains("DENY  Member eli (Analyst, EMPLOYEE): approve on PolicyDocument remote-work\n"),
        "{}",
        denied.out
    );
    let folder = Folder::new("cli-requests");
    let example = std::fs::read_to_string(Path::new(REPOSITORY).join(REQUESTS)).expect("requests");
    let allowed = folder.write("allowed.jsonl", example.lines().next().expect("a line"));
    check(&authorize(&allowed, &[]), 0, &[]);
    let empty = folder.write("empty.jsonl", "\n\n");
    check(&authorize(&empty, &[]), 0, &["holds no request"]);
    let broken = folder.write("broken.jsonl", &format!("{{\"principal\": 1}}\n{example}"));
    let unreadable = authorize(&broken, &["--format", "json"]);
    check(&unreadable, 2, &["broken.jsonl:1: "]);
    assert!(unreadable.out.lines().next().is_some_and(|line| line.contains("\"unreadable\"")), "{}", unreadable.out);
    assert_eq!(unreadable.out.lines().count(), example.lines().count() + 1);
}

#[test]
fn diff_tells_an_edit_by_text_json_and_status() {
    let folder = policies("cli-diff");
    let old = format!("{REPOSITORY}/policies");
    let diff = |more: &[&str]| run_in(folder.path(), &[&["diff", &old, "policies"], more].concat());
    let same = diff(&[]);
    check(&same, 0, &[]);
    assert_eq!(same.out, "no difference\n");
    check(&diff(&["--fail-on", "loosened"]), 0, &[]);

    let roles = folder.read("policies/roles.cedar");
    folder.write(
        "policies/roles.cedar",
        &roles.replace("see compliance content, acknowledge", "see content, acknowledge"),
    );
    let reworded = diff(&[]);
    check(&reworded, 0, &[]);
    assert!(reworded.out.contains("permit `roles.analyst`: only its notes or its layout"), "{}", reworded.out);

    let edited = roles.replace("principal.role == Grc::Role::\"EMPLOYEE\"", "principal.role == Grc::Role::\"OWNER\"");
    folder.write("policies/roles.cedar", &edited);
    check(&diff(&[]), 1, &[]);
    check(&diff(&["--fail-on", "loosened"]), 0, &[]);

    folder.write("policies/roles.cedar", &roles);
    let walls = folder.read("policies/walls.cedar");
    folder.write(
        "policies/walls.cedar",
        &replace_last(&walls, "principal has active && principal.active", "principal has active"),
    );
    let weaker = diff(&[]);
    check(&weaker, 1, &[]);
    assert!(weaker.out.starts_with("!!   A WALL IS WEAKER: `wall.deactivated-guest`"), "{}", weaker.out);
    assert!(
        weaker.out.contains("LOOSENED: ") && weaker.out.contains("denied by wall.deactivated-guest"),
        "{}",
        weaker.out
    );
    check(&diff(&["--fail-on", "loosened"]), 1, &[]);

    // The example can be asked as it stands, about the entities that come with it.
    let example = weaker.out.lines().find(|line| line.starts_with('{')).expect("a request");
    let requests = folder.write("example.jsonl", example);
    let json = diff(&["--format", "json", "--entities-to", "example.json"]);
    check(&json, 1, &[]);
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&json["loosens"], &json["walls"][0]["change"]), (&true.into(), &"edited".into()));
    let requests = requests.to_str().expect("UTF-8");
    let asked = ["authorize", "--entities", "example.json", "--requests", requests, "--policies"];
    check(&run_in(folder.path(), &[&asked[..], &[&old]].concat()), 1, &[]);
    check(&run_in(folder.path(), &[&asked[..], &["policies"]].concat()), 0, &[]);
}

#[test]
fn a_removed_policy_leaves_the_tests_readable_for_diff() {
    let folder = policies("cli-diff-tests");
    let test = "policies/tests/auditors.json";
    let tests = std::fs::read_to_string(Path::new(REPOSITORY).join(test)).expect("tests");
    folder.write(test, &tests);
    let world = "policies/tests/world.entities.json";
    folder.write(world, &std::fs::read_to_string(Path::new(REPOSITORY).join(world)).expect("entities"));
    let walls = folder.read("policies/walls.cedar");
    let at = walls.find("@id(\"wall.auditor-no-project\")").expect("the wall");
    let end = at + walls[at..].find("};").expect("its end") + 2;
    folder.write("policies/walls.cedar", &format!("{}{}", &walls[..at], &walls[end..]));
    let diff = run_in(folder.path(), &["diff", &format!("{REPOSITORY}/policies"), "policies"]);
    check(&diff, 1, &[]);
    assert!(diff.out.starts_with("!!   A WALL IS GONE: `wall.auditor-no-project`"), "{}", diff.out);
    check(&run_in(folder.path(), &["test"]), 2, &["names `wall.auditor-no-project`, which is no policy"]);
}

#[test]
fn fmt_changes_files_in_place_and_nothing_else_about_them() {
    let folder = policies("cli-fmt");
    let fmt = |arguments: &[&str]| run_in(folder.path(), &[&["fmt"], arguments].concat());
    let clean = fmt(&[]);
    check(&clean, 0, &[]);
    assert_eq!(clean.out, "8 files looked at, nothing to format\n");

    let seats = folder.read("policies/seats.cedar");
    let untidy = seats.replace("permit (\n", "permit(\n");
    assert_ne!(untidy, seats);
    folder.write("policies/seats.cedar", &untidy);
    let would = fmt(&["--check"]);
    check(&would, 1, &[]);
    assert_eq!(would.out, "would format policies/seats.cedar\n");
    assert_eq!(folder.read("policies/seats.cedar"), untidy, "--check changes nothing");
    let formatted = fmt(&["policies", "policies/seats.cedar"]);
    check(&formatted, 0, &[]);
    assert_eq!(folder.read("policies/seats.cedar"), seats);
    check(&fmt(&["--check"]), 0, &[]);
}

#[cfg(unix)]
#[test]
fn fmt_keeps_permissions_follows_links_and_respects_write_protection() {
    use std::os::unix::fs::{symlink, PermissionsExt};
    let folder = policies("cli-fmt-links");
    let seats = folder.read("policies/seats.cedar");
    let untidy = seats.replace("permit (\n", "permit(\n");
    let real = folder.write("elsewhere/seats.cedar", &untidy);
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("permissions");
    let link = folder.path().join("policies/seats.cedar");
    std::fs::remove_file(&link).expect("removed");
    symlink("../elsewhere/seats.cedar", &link).expect("a link");
    check(&run_in(folder.path(), &["fmt"]), 0, &[]);
    assert!(link.symlink_metadata().expect("there").file_type().is_symlink());
    assert_eq!(folder.read("elsewhere/seats.cedar"), seats);
    assert_eq!(real.metadata().expect("there").permissions().mode() & 0o777, 0o640);

    folder.write("elsewhere/seats.cedar", &untidy);
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o440)).expect("permissions");
    check(&run_in(folder.path(), &["fmt"]), 2, &["cannot be written: it is write-protected"]);
    assert_eq!(folder.read("elsewhere/seats.cedar"), untidy);
    assert_eq!(std::fs::read_dir(folder.path().join("elsewhere")).expect("there").count(), 1, "no scraps are left");
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    let folder = Folder::new("cli-pipe");
    let line = std::fs::read_to_string(Path::new(REPOSITORY).join(REQUESTS)).expect("requests");
    let requests = folder.write("many.jsonl", &line.repeat(2_000));
    let entities = format!("{REPOSITORY}/{ENTITIES}");
    let arguments = ["authorize", "--entities", &entities, "--requests", requests.to_str().expect("UTF-8")];
    let mut child = command(folder.path(), &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.err.as_str()), (2, ""));
}
