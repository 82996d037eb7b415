//! Broken files through the real command: a message on standard error, an exit status that says so, and no allow.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for each test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn bailiwick(args: &[&Path]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(args).output().expect("the command runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    // A panic is 101, an abort has no status.
    assert!(matches!(output.status.code(), Some(0..=2)), "{:?} of {args:?}: {errors}", output.status);
    assert!(!errors.contains("panicked"), "{errors}");
    output
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Texts that are wrong in every format the command reads.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000)).into_bytes();
    vec![
        ("nothing but a quote", b"\"".to_vec()),
        ("a NUL", b"\0".to_vec()),
        ("a megabyte of NULs", vec![0; 1 << 20]),
        ("no UTF-8", vec![0xff, 0xfe, b'[', b']']),
        ("UTF-8 cut short", "[\u{1F600}".as_bytes()[..3].to_vec()),
        ("a byte order mark", "\u{feff}[]".as_bytes().to_vec()),
        ("UTF-16", "[]".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a number", b"9".repeat(1 << 20)),
        ("a text of 10 MB", format!("[\"{}\"]", "x".repeat(10 << 20)).into_bytes()),
        ("a key of 10 MB", format!("[{{\"{}\": 1}}]", "x".repeat(10 << 20)).into_bytes()),
        ("arrays", deep("[", "]")),
        ("arrays that never end", b"[".repeat(1 << 20)),
        ("objects", deep("{\"a\":", "}")),
        ("brackets", deep("(", ")")),
        ("duplicate keys", br#"[{"uid": 1, "uid": 1}]"#.to_vec()),
        ("commas", b",".repeat(100_000)),
        ("semicolons", b";".repeat(100_000)),
        ("at signs", b"@".repeat(100_000)),
        ("permits", b"permit ".repeat(20_000)),
        ("not quite JSON", b"{'uid': None}".to_vec()),
    ]
}

#[test]
fn broken_entities_and_requests_give_no_answer_that_allows() {
    let folder = folder("json");
    let (entities, requests) = (Path::new("examples/organizations.json"), Path::new("examples/requests.jsonl"));
    let run = |entities: &Path, requests: &Path, format: &str| {
        let (authorize, e, r, f) = ("authorize", "--entities", "--requests", "--format");
        let args = [authorize, e, "", r, "", f, format].map(Path::new);
        let [authorize, e, _, r, _, f, format] = args;
        bailiwick(&[authorize, e, entities, r, requests, f, format])
    };
    let mut runs = 0;
    for (at, (what, bytes)) in broken().into_iter().enumerate() {
        let file = folder.join("broken");
        std::fs::write(&file, &bytes).expect("a file");
        let format = ["text", "json"][at % 2];
        let output = run(&file, requests, format);
        assert_eq!(status(&output), 2, "{what} as entities");
        assert!(output.stdout.is_empty(), "{what} as entities is answered");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.starts_with("bailiwick: `") && errors.len() < 4_000, "{what} as entities: {errors}");

        let output = run(entities, &file, format);
        assert_eq!(status(&output), 2, "{what} as requests");
        let (answers, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(errors.contains("broken:1: "), "{what} as requests: no place: {}", &errors[..errors.len().min(500)]);
        assert!(!answers.contains("ALLOW") && !answers.contains("\"allow\""), "{what} as requests is allowed");
        assert_eq!(answers.lines().count(), errors.lines().count(), "{what}: an answer for each line");
        runs += 2;
    }
    // A bad line among good ones: each good one has its answer, in its place.
    let good = std::fs::read_to_string(requests).expect("the example");
    let lines = good.lines().filter(|line| !line.trim().is_empty()).count();
    let file = folder.join("mixed");
    std::fs::write(&file, [good.as_bytes(), b"{\"principal\": \xff}\n\n[[\n", good.as_bytes()].concat())
        .expect("a file");
    let output = run(entities, &file, "json");
    assert_eq!(status(&output), 2);
    let answers: Vec<serde_json::Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), lines * 2 + 2);
    for at in [lines, lines + 1] {
        assert_eq!(answers[at]["errors"][0]["code"], "unreadable");
    }
    for at in 0..lines {
        assert_eq!(answers[at]["decision"], answers[lines + 2 + at]["decision"]);
    }
    println!("{} runs of the command over broken entities and requests", runs + 1);
}

#[test]
fn broken_policies_schemas_and_tests_are_refused_by_every_command() {
    let policy = "@id(\"a\") @doc(\"d\") permit (principal, action, resource);";
    let schema = "entity User; action view appliesTo { principal: User, resource: User };";
    let mut runs = 0;
    for (at, (what, bytes)) in broken().into_iter().enumerate() {
        for (file, other, content) in
            [("a.cedar", "schema.cedarschema", schema), ("schema.cedarschema", "a.cedar", policy)]
        {
            let folder = folder("policies");
            std::fs::write(folder.join(file), &bytes).expect("a file");
            std::fs::write(folder.join(other), content).expect("a file");
            std::fs::create_dir(folder.join("tests")).expect("a folder");
            std::fs::write(folder.join("tests/a.json"), "[]").expect("a file");
            // What each reads first is the same: in turn is enough.
            let command = if file == "a.cedar" { ["check", "test", "fmt"][at % 3] } else { ["check", "test"][at % 2] };
            let output = bailiwick(&[Path::new(command), &folder]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_ne!(status(&output), 0, "`{command}` takes {what} as {file}: {errors}");
            assert!(errors.contains(file), "`{command}` of {what}: {file} is not named: {errors}");
            runs += 1;
            assert_eq!(std::fs::read(folder.join(file)).expect("it is there"), bytes, "{what} was rewritten");
        }
        let folder = folder("tests");
        std::fs::write(folder.join("a.cedar"), policy).expect("a file");
        std::fs::write(folder.join("schema.cedarschema"), schema).expect("a file");
        std::fs::create_dir(folder.join("tests")).expect("a folder");
        std::fs::write(folder.join("tests/broken.json"), &bytes).expect("a file");
        let output = bailiwick(&[Path::new("test"), &folder]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(status(&output), 2, "{what} as policy tests: {errors}");
        assert!(errors.contains("broken.json"), "{what} as policy tests: {errors}");
        runs += 1;
    }
    println!("{runs} runs of the command over broken policies, schemas and policy tests");
}
