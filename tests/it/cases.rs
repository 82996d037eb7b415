//! The case files: complete, listed in SOURCES.md, and errors in them named with their place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bailiwick::review::{builtin_cases, read_cases, run_cases, Cases};
use bailiwick::{Bundle, Value};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/tests"))
}

fn cases(bundle: &Bundle) -> Cases {
    read_cases(bundle, folder()).unwrap_or_else(|e| panic!("{e}"))
}

/// The name under which a case stands in its file: for a request of a table the table's.
fn written_name(cases: &Cases, at: usize) -> &str {
    let case = &cases.cases[at];
    match case.file().parent().and_then(Path::file_name) {
        Some(parent) if parent == "tables" => case.name().split(": ").next().expect("a name"),
        _ => case.name(),
    }
}

#[test]
fn the_builtin_cases_are_the_folder() {
    let bundle = Bundle::builtin();
    let (from_folder, builtin) = (cases(&bundle), builtin_cases(&bundle).unwrap_or_else(|e| panic!("{e}")));
    let list = |cases: &Cases| -> Vec<String> {
        cases.cases.iter().map(|c| format!("{:?} {} {:?}", c.file().file_name(), c.line(), c)).collect()
    };
    let strip = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|l| l.replace(&format!("{}/", env!("CARGO_MANIFEST_DIR")), "")).collect()
    };
    assert_eq!(strip(list(&from_folder)), strip(list(&builtin)), "src/review/builtin.in lists other files");
    let report = run_cases(&bundle, &builtin).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.failures.is_empty() && report.unexercised.is_empty(), "{:?}", report.failures);
}

#[test]
fn every_action_is_allowed_once_and_denied_once() {
    let bundle = Bundle::builtin();
    let cases = cases(&bundle);
    let mut seen: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for case in &cases.cases {
        seen.entry(case.request().action().to_string()).or_default()[usize::from(case.allowed())] += 1;
    }
    for action in bundle.actions() {
        let group =
            ["read", "write", "portal", "organization", "team", "compliance", "psa", "msp", "project", "auditor"];
        if !group.contains(&action.id()) {
            let [denied, allowed] = seen.get(&action.to_string()).copied().unwrap_or_default();
            assert!(denied > 0 && allowed > 0, "`{action}`: {allowed} cases allowed, {denied} denied");
        }
    }
    assert!(seen.len() > 50, "only {} actions", seen.len());
}

#[test]
fn every_role_asks_every_action_of_members() {
    let bundle = Bundle::builtin();
    let cases = cases(&bundle);
    let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in &cases.cases {
        let principal = cases.entities(case).expect("entities").get(case.request().principal());
        if let Some(Value::Entity(role)) = &principal.and_then(|p| p.attribute("role").cloned()) {
            asked.entry(case.request().action().id().to_owned()).or_default().insert(role.id().to_owned());
        }
    }
    let of_auditors = ["openPortal", "viewAuditRequest", "approveAuditRequest", "flagAuditRequest"];
    let of_auditors = [&of_auditors[..], &["downloadAuditPackage", "exportSection"]].concat();
    asked.retain(|action, _| !of_auditors.contains(&action.as_str()));
    for (action, roles) in &asked {
        assert_eq!(roles.len(), 12, "`{action}` is asked by {roles:?} alone");
    }
    assert!(asked.len() > 45, "only {} actions", asked.len());
}

/// A row of SOURCES.md that names cases.
struct Row<'a> {
    statement: &'a str,
    policies: Vec<&'a str>,
    allowed: Vec<&'a str>,
    denied: Vec<&'a str>,
}

fn rows(text: &str) -> Vec<Row<'_>> {
    fn names<'a>(cell: &'a str, between: &str) -> Vec<&'a str> {
        cell.split(between).map(|name| name.trim_matches('`')).filter(|name| *name != "—").collect()
    }
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| statement |")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [statement, policies, allowed, denied] = cells[..] {
            let (policies, allowed, denied) = (names(policies, " "), names(allowed, "; "), names(denied, "; "));
            rows.push(Row { statement, policies, allowed, denied });
        }
    }
    rows
}

#[test]
fn sources_md_names_every_case_and_only_policies_that_decide_them() {
    let bundle = Bundle::builtin();
    let cases = cases(&bundle);
    // By name: the policies that determine the answer, and the answers met (a table has both).
    let mut known: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<bool>)> = BTreeMap::new();
    for (at, case) in cases.cases.iter().enumerate() {
        let (policies, answers) = known.entry(written_name(&cases, at)).or_default();
        policies.extend(case.reason());
        answers.insert(case.allowed());
    }
    let text = std::fs::read_to_string(folder().join("SOURCES.md")).expect("SOURCES.md");
    let rows = rows(&text);
    assert!(rows.len() > 100, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    let mut named = BTreeSet::new();
    for row in &rows {
        let mut decide: BTreeSet<&str> = BTreeSet::new();
        for (names, allowed) in [(&row.allowed, true), (&row.denied, false)] {
            if names.is_empty() {
                wrong.push(format!("`{}`: no case is {}", row.statement, if allowed { "allowed" } else { "denied" }));
            }
            for name in names {
                let name = name.strip_prefix("table *").and_then(|n| n.strip_suffix('*')).unwrap_or(name);
                named.insert(name);
                match known.get(name) {
                    None => wrong.push(format!("`{}` names `{name}`, which is no case", row.statement)),
                    Some((_, answers)) if !answers.contains(&allowed) => {
                        wrong.push(format!("`{}`: `{name}` has the other answer", row.statement));
                    }
                    Some((policies, _)) => decide.extend(policies),
                }
            }
        }
        for policy in row.policies.iter().filter(|id| !decide.contains(*id)) {
            wrong.push(format!("`{}`: none of its cases is decided by `{policy}`", row.statement));
        }
        if row.policies.is_empty() {
            wrong.push(format!("`{}` names no policy", row.statement));
        }
    }
    let unnamed = known.keys().filter(|name| !named.contains(*name));
    wrong.extend(unnamed.map(|name| format!("no row names `{name}`")));
    let everywhere: BTreeSet<&str> = rows.iter().flat_map(|row| row.policies.iter().copied()).collect();
    let left = bundle.policies().iter().filter(|p| p.redundant().is_none() && !everywhere.contains(p.id()));
    wrong.extend(left.map(|p| format!("no row names the policy `{}`", p.id())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_named_is_one_that_the_readme_lists() {
    let bundle = Bundle::builtin();
    let readme = std::fs::read_to_string(folder().join("../README.md")).expect("README.md");
    let line = |mark: &str| -> BTreeSet<String> {
        let line = readme.lines().find(|line| line.trim_start().starts_with(mark));
        let line = line.unwrap_or_else(|| panic!("README.md has no line `{mark}`"));
        line.split('*').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (t, m) = (line("- `T: …`"), line("- `M: …`"));
    assert!(t.len() == 6 && m.len() == 6, "{t:?} {m:?}");
    let ok = |source: &str| match source.split_once(": ") {
        Some(("T", section)) => t.contains(section),
        Some(("M", section)) => m.contains(section),
        Some(("model", rule)) => !rule.is_empty(),
        _ => source.starts_with("D-") && readme.contains(&format!("| {source} |")),
    };
    let all = cases(&bundle);
    let of_cases = all.cases.iter().filter_map(|c| Some((c.name(), c.source()?)));
    let of_policies = bundle.policies().iter().filter_map(|p| Some((p.id(), p.source()?)));
    let mut decisions = BTreeSet::new();
    for (name, sources) in of_cases.chain(of_policies) {
        for source in sources.split("; ") {
            assert!(ok(source), "`{name}`: README.md lists no source `{source}`");
            decisions.insert(source);
        }
    }
    for number in [1, 2, 3, 4, 5, 7, 10, 11, 12, 13, 14, 15] {
        assert!(decisions.contains(format!("D-{number}").as_str()), "no case or policy is of D-{number}");
    }
    assert!(all.cases.iter().all(|c| c.source().is_some()), "a case without a source");
}

/// A folder of test files, in a place of its own.
fn written(files: &[(&str, &str)]) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("cases-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
    folder
}

const CASE: &str = r#"[

  {"name": "first", "request": {"principal": "Grc::Member::\"o\"", "action": "manageBilling",
     "resource": "Grc::Organization::\"a\"", "context": {"now": "2026-03-01"}},
   "entities": "e.entities.json", "decision": "allow", "reason": ["roles.manage-organization"], "num_errors": 0},
  {"name": "second ] \" [", "request": {"principal": "Grc::Member::\"o\"", "action": "viewBilling",
     "resource": "Grc::Organization::\"a\"", "context": {"now": "2026-03-01"}},
   "entities": "e.entities.json", "decision": "allow", "reason": ["roles.manage-organization"], "num_errors": 0},
  {"name": "third", "request": {"principal": "Grc::Member::\"o\"", "action": "viewTeam",
     "resource": "Grc::Organization::\"a\"", "context": {"now": "2026-03-01"}},
   "entities": "e.entities.json", "decision": "allow", "reason": ["team.manage"], "num_errors": 0}
]"#;

const ENTITIES: &str = r#"[{"uid": {"type": "Grc::Organization", "id": "a"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Grc::Member", "id": "o"}, "parents": [], "attrs": {
    "organization": {"type": "Grc::Organization", "id": "a"}, "role": {"type": "Grc::Role", "id": "OWNER"},
    "active": true, "complianceTeam": false, "contributor": false, "clients": []}}]"#;

const TABLE: &str = r#"[{"name": "t", "entities": "e.entities.json", "context": {"now": "2026-03-01"},
  "principals": {"OWNER": "Grc::Member::\"o\""},
  "rows": [{"action": ["viewTeam", "manageBilling"], "resource": "Grc::Organization::\"a\"", "allow": {}},
           {"action": "viewTeam", "resource": "Grc::Organization::\"a\"", "allow": {"team.manage": "all"}}]}]"#;

#[test]
fn broken_case_files_give_errors_that_name_the_place() {
    let bundle = Bundle::builtin();
    let third = |old: &str, new: &str| {
        let at = CASE.find("{\"name\": \"third\"").expect("the third case");
        assert!(CASE[at..].contains(old), "the third case has no `{old}`");
        format!("{}{}", &CASE[..at], CASE[at..].replacen(old, new, 1))
    };
    let plain = "x.json";
    let special = "special/x.json";
    let checks: Vec<(&str, String, &str)> = vec![
        (plain, CASE.replacen("[\n", "[,\n", 1), "x.json: expected value at line 1 column 2"),
        (plain, "{}".into(), "x.json: expected an array of cases"),
        (plain, third("\"name\": \"third\"", "\"title\": \"third\""), "x.json:9: the case has no `name`"),
        (plain, third("third", "first"), "x.json:9: case `first`, key `name`: another case has this name"),
        (
            plain,
            third("\"num_errors\"", "\"num_error\""),
            "x.json:9: case `third`: the case has the unknown key `num_error`",
        ),
        (plain, third("\"entities\"", "\"source\": 3, \"entities\""), "key `source`: is no text"),
        (
            plain,
            third("viewTeam", "viewTeams"),
            "x.json:9: case `third`, key `request`: `action`: unknown action `viewTeams`",
        ),
        (
            plain,
            third("\"now\": \"2026-03-01\"", "\"now\": \"soon\""),
            "x.json:9: case `third`, key `request`: `context`: `now`: `soon` is no datetime",
        ),
        (plain, third("\"now\": \"2026-03-01\"", ""), "key `request`: the context has no `now`"),
        (
            plain,
            third("::\\\"o", "::\\\"p"),
            "key `request`: the principal `Grc::Member::\"p\"` is not among the entities",
        ),
        (plain, third("::\\\"a", "::\\\"b"), "key `request`: the resource `Grc::Organization::\"b\"` is not among"),
        (
            plain,
            third("\"Grc::Organization::\\\"a\\\"\"", r#"{"uid": {"type": "Grc::Organization", "id": "c"}}"#),
            "key `request`: a whole entity as resource belongs in `special/`",
        ),
        (plain, third("e.entities", "f.entities"), "key `entities`: there is no `f.entities.json`"),
        (
            plain,
            third("\"e.entities.json\"", "[{\"uid\": 3}]"),
            "x.json:9: case `third`, key `entities`: entity 0: `uid`",
        ),
        (plain, third("\"e.entities.json\"", "7"), "key `entities`: is neither an array"),
        (plain, third("\"allow\"", "\"maybe\""), "key `decision`: is neither `allow` nor `deny`"),
        (
            plain,
            third("\"allow\"", "\"deny\""),
            "key `reason`: names `team.manage`, a permit, which never determines a denial",
        ),
        (plain, third("[\"team.manage\"]", "[]"), "key `reason`: is empty"),
        (plain, third("team.manage", "team.manages"), "key `reason`: names `team.manages`, which is no policy"),
        (plain, third("[\"team.manage\"]", "\"team.manage\""), "key `reason`: is no array of policy ids"),
        (plain, third("0}", "-1}"), "key `num_errors`: is negative"),
        (plain, third("0}", "\"no\"}"), "key `num_errors`: is no number"),
        (
            plain,
            third("0}", "0, \"indeterminate\": true}"),
            "key `indeterminate`: is true, but such an answer is a denial",
        ),
        (
            plain,
            third("0}", "0, \"clock\": \"2026-03-01\"}"),
            "x.json:9: case `third`, key `clock`: belongs in a file in `special/`",
        ),
        (
            special,
            third("0}", "0, \"clock\": \"noon\"}"),
            "special/x.json:9: case `third`, key `clock`: is neither an instant",
        ),
        (special, third("0}", "0, \"clock\": []}"), "key `clock`: is neither an instant"),
        (special, third("0}", "0, \"mode\": \"lax\"}"), "key `mode`: is neither `strict` nor `cedar`"),
        (special, third("0}", "0, \"errors\": [\"stale\"]}"), "key `num_errors`: is not the number of the codes"),
        (special, third("0}", "0, \"errors\": \"stale\"}"), "key `errors`: is no array of error codes"),
        (
            special,
            third("0}", "0, \"window\": {\"from\": \"2026-03-01\"}}"),
            "key `window`: is not `{\"from\": …, \"to\": …}`",
        ),
        (special, third("\"now\": \"2026-03-01\"", ""), "key `request`: the context has no `now`"),
        (
            "tables/x.json",
            CASE.into(),
            "tables/x.json:3: case `first`, key `rows`: the table has the unknown key `request`",
        ),
        (
            "tables/x.json",
            TABLE.replace("viewTeam\", ", "viewTem\", "),
            "tables/x.json:1: case `t`, key `rows`: row 1: `action`: unknown action",
        ),
        (
            "tables/x.json",
            TABLE.replace("\"all\"", "[\"ADMIN\"]"),
            "row 2: `ADMIN` is not among the table's `principals`",
        ),
        (
            "tables/x.json",
            TABLE.replace("team.manage", "wall.read-only"),
            "row 2: `allow` names `wall.read-only`, a forbid",
        ),
        (
            "tables/x.json",
            TABLE.replace("\"all\"}", "\"all\"}, \"deny\": {\"wall.read-only\": \"all\"}"),
            "row 2: `OWNER` is under `allow` and under `deny`",
        ),
        (
            "tables/x.json",
            TABLE.replace("\"action\": \"viewTeam\"", "\"action\": []"),
            "row 2: `action` is neither a text nor an array of texts",
        ),
        (
            "tables/x.json",
            TABLE.replace("\"principals\"", "\"people\""),
            "key `rows`: the table has the unknown key `people`",
        ),
    ];
    let mut wrong = Vec::new();
    for (file, text, expected) in checks {
        let folder = written(&[(file, &text), ("e.entities.json", ENTITIES)]);
        let said = read_cases(&bundle, &folder).map_or_else(|e| e.to_string(), |_| "no error".into());
        if !said.contains(expected) || !said.starts_with(&folder.display().to_string()) {
            wrong.push(format!("expected `{expected}` in\n{said}"));
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let empty = written(&[("e.entities.json", ENTITIES)]);
    assert!(read_cases(&bundle, &empty).expect_err("empty").to_string().contains("holds no policy test"));
    std::fs::remove_dir_all(empty).expect("removed");
    assert!(read_cases(&bundle, Path::new("nowhere")).expect_err("missing").to_string().starts_with("nowhere:"));
}

#[test]
fn wrong_expectations_fail_with_the_line_and_what_was_found() {
    let bundle = Bundle::builtin();
    let said = |file: &str, text: &str| -> Vec<String> {
        let folder = written(&[(file, text), ("e.entities.json", ENTITIES)]);
        let cases = read_cases(&bundle, &folder).unwrap_or_else(|e| panic!("{e}"));
        std::fs::remove_dir_all(folder).expect("removed");
        let report = run_cases(&bundle, &cases).unwrap_or_else(|e| panic!("{e}"));
        report.failures.iter().map(ToString::to_string).collect()
    };
    assert!(said("x.json", CASE).is_empty());
    let wrong = said("x.json", &CASE.replace("\"team.manage\"", "\"projects.manage\""));
    assert_eq!(wrong.len(), 1);
    let found =
        "x.json:9: `third`: expected allow by [projects.manage], found allow by [team.manage]; by Cedar's rules";
    assert!(wrong[0].contains(found), "{wrong:?}");
    let wrong = said("x.json", &CASE.replace("0}", "2}"));
    assert!(wrong.len() == 3 && wrong[0].contains("expected 2 errors, found []"), "{wrong:?}");
    let wrong = said("special/x.json", &CASE.replace("num_errors\": 0}", "errors\": [\"stale\"]}"));
    assert!(wrong[2].contains("expected the errors [stale], found []"), "{wrong:?}");
    let deny = "\"decision\": \"deny\", \"indeterminate\": true, \"reason\": []";
    let wrong = said("x.json", &CASE.replace("\"decision\": \"allow\", \"reason\": [\"team.manage\"]", deny));
    assert!(wrong[0].contains("expected deny by [], found allow by [team.manage]; expected indeterminate, found not"));
    let windowed = CASE.replace("0}", "0, \"window\": {\"from\": \"2026-03-01\", \"to\": \"2026-03-02\"}}");
    let wrong = said("special/x.json", &windowed);
    assert!(wrong[0].contains("to 2026-03-02T00:00:00.000Z, found none"), "{wrong:?}");
    let wrong = said("tables/x.json", TABLE);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("`t: OWNER viewTeam on Grc::Organization::\"a\"`: expected deny by []"), "{wrong:?}");
}
