//! Texts in which thousands of policies are wrong: every one is reported at its place.

use std::collections::BTreeSet;
use std::process::Command;

use bailiwick::{Bundle, ErrorMode, Source, Sources};
use miette::{Diagnostic, SourceCode};

use crate::files::Folder;

const SCHEMA: &str = "entity User = { age: Long };
    action view appliesTo { principal: User, resource: User };";

fn wrong(i: usize) -> String {
    format!(
        "@id(\"p{i}\") permit (principal, action == Action::\"view\", resource) when {{ principal.agee == {i} }};\n"
    )
}

/// The terminal's report looked for the line of each error from the start of the text: five minutes for such a file.
#[test]
fn a_file_of_thousands_of_wrong_policies_is_reported_whole() {
    const MANY: usize = 9_990;
    let folder = Folder::new("wrong");
    folder.write("schema.cedarschema", SCHEMA);
    let file = folder.write("p.cedar", &(0..MANY).map(wrong).collect::<String>());
    let command = Command::new(env!("CARGO_BIN_EXE_bailiwick")).arg("check").arg(folder.path()).output();
    let output = command.expect("the command runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // `…/p.cedar:LINE:COLUMN]`
    let place = format!("{}:", file.display());
    let places: Vec<(usize, usize)> = text
        .lines()
        .filter_map(|line| line.split_once(&place)?.1.strip_suffix(']')?.split_once(':'))
        .map(|(line, column)| (line.parse().expect("a line"), column.parse().expect("a column")))
        .collect();
    assert_eq!(places.len(), MANY);
    assert_eq!(places.iter().map(|(line, _)| *line).collect::<BTreeSet<_>>(), (1..=MANY).collect());
    for (line, column) in places {
        assert_eq!(Some(column), wrong(line - 1).find("principal.agee").map(|at| at + 1), "line {line}");
    }
}

#[test]
fn what_stands_around_a_place_is_what_miette_finds_in_the_whole_text() {
    let text = (0..30).map(|i| wrong(i) + ["", "\n", "// \u{e9}\r\n"][i % 3]).collect::<String>();
    let sources = Sources::new(Some(Source::new("s", SCHEMA)), vec![Source::new("p", text.as_str())]);
    let error = Bundle::from_sources(sources, ErrorMode::Strict).expect_err("wrong");
    let source = error.findings()[0].source_code().expect("a text");
    let mut compared = 0;
    for offset in 0..text.len() {
        for (length, before, after) in [(1, 0, 0), (2, 0, 0), (14, 1, 1), (200, 2, 0), (1, 0, 3), (1, 99, 99)] {
            let span = (offset, length).into();
            match (source.read_span(&span, before, after), text.read_span(&span, before, after)) {
                (Ok(ours), Ok(whole)) => {
                    assert_eq!(ours.data(), whole.data(), "{offset} {length} {before} {after}");
                    assert_eq!(
                        (ours.span(), ours.line(), ours.column(), ours.line_count(), ours.name()),
                        (whole.span(), whole.line(), whole.column(), whole.line_count(), Some("p")),
                        "{offset} {length} {before} {after}"
                    );
                    compared += 1;
                }
                (ours, whole) => assert!(ours.is_err() && whole.is_err(), "{offset} {length} {before} {after}"),
            }
        }
    }
    assert!(compared > text.len() * 4, "{compared}");
}
