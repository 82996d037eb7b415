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
    for command in ["authorize", "explain", "who-can", "what-can", "check", "test", "diff", "fmt"] {
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
fn explain_tells_the_clause_its_place_and_what_it_saw() {
    let line = |number: &str| run(&["explain", "--entities", ENTITIES, "--requests", REQUESTS, "--line", number]);
    let not_permitted = line("3");
    check(&not_permitted, 0, &[]);
    for part in [
        "DENY  Member eli (Analyst, EMPLOYEE): approve on PolicyDocument remote-work",
        "no policy permits it; 2 permits are about such a request:",
        "\nnot by roles.approver, policies/roles.cedar:",
        "\n  false:  principal.role in [Grc::Role::\"COMPLIANCE_OFFICER\",\n",
        "principal.role = Grc::Role::\"EMPLOYEE\" (Analyst)\n",
    ] {
        assert!(not_permitted.out.contains(part), "expected {part} in\n{}", not_permitted.out);
    }
    let forbidden = line("11");
    check(&forbidden, 0, &[]);
    let told =
        "false:  principal in resource\n          at policies/walls.cedar:90:6\n          principal is in nothing\n";
    assert!(forbidden.out.contains(told), "{}", forbidden.out);
    let allowed = line("1");
    check(&allowed, 0, &[]);
    assert!(allowed.out.contains("allowed by roles.manage-organization, policies/roles.cedar:17\n"), "{}", allowed.out);

    // The same request by its parts, for programs.
    let (eli, document) = ("Grc::Member::\"eli\"", "Grc::PolicyDocument::\"remote-work\"");
    let parts = [eli, "approve", document, "--context", "{\"now\": \"2026-03-01T09:00:00Z\"}"];
    let json = run(&[&["explain", "--entities", ENTITIES, "--format", "json"], &parts[..]].concat());
    check(&json, 0, &[]);
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&json["decision"]["decision"], &json["in_scope"]), (&"deny".into(), &2.into()));
    assert_eq!(json["nearest"][0]["clauses"][0]["seen"][0]["of"], "principal.role");
    let unknown = run(&["explain", "--entities", ENTITIES, "Grc::Member::\"nobody\"", "approve", document]);
    check(&unknown, 0, &[]);
    assert!(unknown.out.contains("is not stored (unknown_principal)"), "{}", unknown.out);
}

#[test]
fn the_readmes_show_what_these_commands_print() {
    let explained = run(&["explain", "--entities", ENTITIES, "--requests", REQUESTS, "--line", "11"]).out;
    let document = "Grc::PolicyDocument::\"remote-work\"";
    let who = run(&["who-can", "approve", document, "--entities", ENTITIES]).out;
    let (eli, acme) = ("Grc::Member::\"eli\"", "Grc::Organization::\"acme\"");
    let what = run(&["what-can", eli, acme, "--entities", ENTITIES]).out;
    let read = |name: &str| std::fs::read_to_string(Path::new(REPOSITORY).join(name)).expect("a text");
    let shown = |text: &str| format!("```text\n{text}```\n");
    let (readme, reviewers) = (read("README.md"), read("policies/README.md"));
    assert!(readme.contains(&shown(&explained)) && reviewers.contains(&shown(&explained)), "{explained}");
    assert!(readme.contains(&shown(&(who.clone() + &what))), "{who}{what}");
}

#[test]
fn questions_to_many_are_answered_by_pages() {
    let acme = "Grc::Organization::\"acme\"";
    let who = |more: &[&str]| run(&[&["who-can", "viewOrganization", acme, "--entities", ENTITIES], more].concat());
    let all = who(&[]);
    check(&all, 0, &[]);
    assert!(all.out.starts_with("Member ann (Admin, ADMIN)\n"), "{}", all.out);
    assert!(all.out.ends_with("6 principals may do viewOrganization on Organization acme\n"), "{}", all.out);
    let mut paged = String::new();
    let mut after: Option<String> = None;
    for page in 0..3 {
        let more = after.as_deref().map_or(vec![], |after| vec!["--after", after]);
        let found = who(&[&["--limit", "2"], &more[..]].concat());
        check(&found, 0, &[]);
        assert!(found.out.contains("; 2 shown\n"), "{}", found.out);
        paged += &found.out.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
        let next = found.out.lines().find_map(|line| line.strip_prefix("the next: --after "));
        after = next.map(|uid| uid.trim_matches('\'').to_owned());
        assert_eq!(after.is_some(), page < 2, "{}", found.out);
    }
    assert!(all.out.starts_with(&paged), "{paged}");
    let json = who(&["--format", "json", "--limit", "1"]);
    assert_eq!(json.out, "{\"uids\":[\"Grc::Member::\\\"ann\\\"\"],\"total\":6,\"more\":true}\n");

    let what = |more: &[&str]| run(&[&["what-can", "--entities", ENTITIES], more].concat());
    let actions = what(&["Grc::Member::\"eli\"", acme]);
    check(&actions, 0, &[]);
    let told = "Member eli (Analyst, EMPLOYEE) on Organization acme: 1 action allowed\n  viewOrganization\n3 actions undecided";
    assert!(actions.out.starts_with(told) && actions.out.contains("\n  inviteMember\n"), "{}", actions.out);
    let owner = "{\"now\": \"2026-03-01T09:00:00Z\", \"role\": {\"type\": \"Grc::Role\", \"id\": \"ADMIN\"}}";
    let actions = what(&["Grc::Member::\"ann\"", acme, "--context", owner, "--format", "json"]);
    check(&actions, 0, &[]);
    let json: serde_json::Value = serde_json::from_str(&actions.out).expect("JSON");
    assert!(json["allowed"].as_array().expect("a list").contains(&"Grc::Action::\"inviteMember\"".into()), "{json}");
    let resources = what(&["Grc::Member::\"mia\"", "--action", "viewCompliance", "--type", "Control"]);
    check(&resources, 0, &[]);
    let told = "Control access-review\n1 Control, on which Member mia (MSP Admin, MSP_ADMIN) may do viewCompliance\n";
    assert_eq!(resources.out, told);
}

#[test]
fn questions_that_cannot_be_asked_are_told() {
    let ask = |arguments: &[&str]| run(&[arguments, &["--entities", ENTITIES]].concat());
    let (eli, acme) = ("Grc::Member::\"eli\"", "Grc::Organization::\"acme\"");
    check(&ask(&["explain"]), 2, &["<PRINCIPAL>"]);
    check(&ask(&["explain", eli]), 2, &["<ACTION>", "<RESOURCE>"]);
    check(&ask(&["explain", "eli", "approve", acme]), 2, &["`eli` is not an entity uid"]);
    check(&ask(&["explain", eli, "fly", acme]), 2, &["unknown action `fly`"]);
    check(&ask(&["explain", eli, "viewTeam", acme, "--context", "[]"]), 2, &["expected an object"]);
    check(&ask(&["explain", eli, "viewTeam", acme, "--context", "{"]), 2, &["`--context` cannot be read: EOF"]);
    check(&ask(&["explain", "--requests", "nowhere"]), 2, &["`nowhere` cannot be read"]);
    check(&ask(&["explain", "--requests", REQUESTS]), 2, &["holds several requests; say with `--line` which one"]);
    check(&ask(&["explain", "--requests", REQUESTS, "--line", "99"]), 2, &["holds no request on line 99"]);
    check(&ask(&["explain", "--requests", ENTITIES, "--line", "1"]), 2, &["organizations.json:1: "]);
    check(&ask(&["who-can", "viewTeam", "Grc::Organization::\"no\""]), 2, &["no answer: ", "(unknown_resource)"]);
    check(&ask(&["who-can", "approve", acme]), 2, &["`approve` is not for a", "(invalid_request)"]);
    check(&ask(&["who-can", "inviteMember", acme]), 2, &["`role`: required attribute is missing"]);
    check(&ask(&["who-can", "viewTeam", acme, "--limit", "0"]), 2, &["0 is not in 1.."]);
    check(&ask(&["what-can", "Grc::Member::\"no\"", acme]), 2, &["(unknown_principal)"]);
    check(&ask(&["what-can", eli]), 2, &["<RESOURCE>"]);
    check(&ask(&["what-can", eli, acme, "--limit", "1"]), 2, &["go with `--action` and `--type`"]);
    check(&ask(&["what-can", eli, acme, "--context", "{\"role\": 1.5}"]), 2, &["`--context` cannot be read"]);
    check(&ask(&["what-can", eli, "--action", "approve"]), 2, &["--type <TYPE>"]);
    check(&ask(&["what-can", eli, "--action", "approve", "--type", "Foo"]), 2, &["`Grc::Foo` is not an entity type"]);
    let folder = policies("cli-explain-broken");
    let walls = folder.read("policies/walls.cedar");
    folder.write("policies/walls.cedar", &walls.replace("principal.active }", "principal.activ }"));
    let broken = folder.path().join("policies");
    let broken = ["--policies", broken.to_str().expect("UTF-8")];
    for command in [&["explain", eli, "viewTeam", acme][..], &["who-can", "viewTeam", acme], &["what-can", eli, acme]] {
        check(&ask(&[command, &broken[..]].concat()), 2, &["walls.cedar:", "the policies cannot be used: 2 errors"]);
        let missing = [command, &["--entities", "nowhere"][..]].concat();
        check(&run(&missing), 2, &["`nowhere` cannot be read"]);
    }
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
