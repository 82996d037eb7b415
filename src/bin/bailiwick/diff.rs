//! `bailiwick diff`: what an edit of the policies changes.

use std::collections::BTreeMap;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use bailiwick::review::{
    diff, read_questions, Cases, Change, Diff, Edit, Group, PolicyChange, SmallWorld, Wall, WallChange, Witness,
};
use bailiwick::{grc, Bundle};
use clap::ValueEnum;

use crate::{refused, text, unusable, Format};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy folder or file before the edit
    old: PathBuf,
    /// Policy folder or file after the edit
    new: PathBuf,
    /// Exit with 1 only for this: something was loosened, a wall is gone, or something could not be compared
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,
    /// List everything: all groups, and requests with the same answer by other policies
    #[arg(long)]
    all: bool,
    /// Also write the entities that the example requests are about, for `authorize --entities`
    #[arg(long, value_name = "FILE")]
    entities_to: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    Loosened,
}

/// How many blocks of a kind are shown without `--all`.
const SHOWN: usize = 8;

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<u8> {
    let mut sides = Vec::new();
    for (whose, path) in [("OLD", &args.old), ("NEW", &args.new)] {
        match Bundle::from_paths(&[path]) {
            Ok(bundle) => sides.push((whose, path, bundle)),
            Err(error) => return Ok(refused(&format!("{whose}, `{}`,", path.display()), &error)),
        }
    }
    let mut cases = Vec::new();
    for (_, path, bundle) in &sides {
        match questions(bundle, path) {
            Ok(read) => cases.push(read),
            Err(error) => return Ok(unusable(&error)),
        }
    }
    let ([(_, _, old), (_, _, new)], [old_cases, new_cases]) = (sides.as_slice(), cases.as_slice()) else {
        return Ok(unusable(&"two policy folders are needed"));
    };
    if let Some(path) = &args.entities_to {
        let Some(world) = SmallWorld::of(new).or_else(|| SmallWorld::of(old)) else {
            return Ok(unusable(&"these policies are not about the built-in model: there are no example entities"));
        };
        let entities: Vec<String> = world.entities().iter().map(|e| e.to_json().to_string()).collect();
        if let Err(e) = std::fs::write(path, format!("[\n{}\n]\n", entities.join(",\n"))) {
            return Ok(unusable(&format!("`{}` cannot be written: {e}", path.display())));
        }
    }
    let left_out = old_cases.by_cedar_alone.max(new_cases.by_cedar_alone);
    let diff = diff(old, new, old_cases, new_cases);
    match args.format {
        Format::Json => writeln!(out, "{}", diff.to_json())?,
        Format::Text => {
            print(out, &diff, args.all)?;
            if left_out > 0 && diff.is_changed() {
                let tests = text::count(left_out, "policy test", "policy tests");
                let text = format!("not asked: {tests} in `mode: cedar`, which the library does not decide");
                text::wrapped(out, "", "  ", &text)?;
            }
        }
    }
    Ok(u8::from(match args.fail_on {
        Some(FailOn::Loosened) => diff.is_loosened(),
        None => diff.is_changed(),
    }))
}

/// The policy tests of a folder; none where it has no `tests`.
fn questions(bundle: &Bundle, path: &Path) -> std::result::Result<Cases, bailiwick::review::CaseError> {
    let folder = path.join("tests");
    if folder.is_dir() {
        read_questions(bundle, &folder)
    } else {
        Ok(Cases::default())
    }
}

fn print(out: &mut dyn Write, diff: &Diff, all: bool) -> Result<()> {
    if diff.is_empty() {
        return writeln!(out, "no difference");
    }
    for wall in &diff.walls {
        warn(out, wall)?;
    }
    policies(out, diff)?;
    section(out, diff, Change::Loosened, all)?;
    section(out, diff, Change::OnlyNew, all)?;
    section(out, diff, Change::OnlyOld, all)?;
    untried(out, diff)?;
    section(out, diff, Change::Tightened, all)?;
    if all {
        section(out, diff, Change::OtherReason, all)?;
    }
    summary(out, diff, all)
}

fn requests(number: usize) -> String {
    text::count(number, "request", "requests")
}

fn warn(out: &mut dyn Write, wall: &Wall) -> Result<()> {
    let (id, loosened) = (&wall.id, wall.loosened);
    let what = match wall.change {
        WallChange::Gone => format!("A WALL IS GONE: `{id}` was a forbid, which no permit outweighs."),
        WallChange::Permit => format!("A WALL HAS BECOME A GATE: `{id}` was a forbid and now permits."),
        WallChange::Edited if loosened > 0 => format!("A WALL IS WEAKER: `{id}` forbids less than it did."),
        WallChange::Edited => format!("A WALL IS NARROWER: `{id}` forbids less than it did."),
        WallChange::Schema => format!("A WALL IS WEAKER: the schema changed around `{id}`, which forbids less now."),
    };
    let mut say = |text: &str| text::wrapped(out, "!!   ", "!!   ", text);
    say(&what)?;
    if let Some(doc) = &wall.doc {
        say(&format!("It said: {doc}"))?;
    }
    let are = |number: usize| if number == 1 { "is" } else { "are" };
    match loosened {
        0 => say("No request that was tried is allowed for lack of it. This is no proof.")?,
        _ => say(&format!("{} that it denied {} allowed now.", requests(loosened), are(loosened)))?,
    }
    if wall.still_denied > 0 {
        let stay = if wall.still_denied == 1 { "stays" } else { "stay" };
        say(&format!("{} that it denied {stay} denied without it.", requests(wall.still_denied)))?;
    }
    writeln!(out)
}

fn policies(out: &mut dyn Write, diff: &Diff) -> Result<()> {
    let place = |place: &Option<(String, usize)>| place.as_ref().map(|(file, line)| format!("{file}:{line}"));
    for PolicyChange { id, edit, forbid, old_place, new_place } in &diff.policies {
        let effect = if *forbid { "forbid" } else { "permit" };
        let what = match edit {
            Edit::Added | Edit::Removed => format!("{effect} `{id}`"),
            Edit::Turned => format!("`{id}` from {effect} to {}", if *forbid { "permit" } else { "forbid" }),
            Edit::Edited => format!("{effect} `{id}`"),
            Edit::Renamed(was) => format!("{effect} `{was}` is now `{id}`, and says the same"),
            Edit::Reworded => format!("{effect} `{id}`: only its notes or its layout"),
        };
        let at = place(new_place).or_else(|| place(old_place)).unwrap_or_default();
        text::wrapped(out, &format!("{:<9} ", edit.as_str()), "          ", &format!("{what}, {at}"))?;
    }
    if diff.schema_edited {
        writeln!(out, "edited    the schema")?;
    }
    writeln!(out)
}

/// Rows of one block: what the same principals may do differently.
type Block<'a> = (&'a str, Vec<Option<&'a str>>, Vec<&'a Group>);

fn section(out: &mut dyn Write, diff: &Diff, change: Change, all: bool) -> Result<()> {
    let count = diff.count(change);
    if count == 0 {
        return Ok(());
    }
    let allowed = diff.groups.iter().filter(|g| g.change == change).map(|g| g.allowed).sum();
    let allowed = text::grouped(allowed);
    let title = match change {
        Change::Loosened => format!("LOOSENED: {}, denied before, allowed now", requests(count)),
        Change::Tightened => format!("TIGHTENED: {}, allowed before, denied now", requests(count)),
        Change::OtherReason => format!("OTHER REASON: {}, the same answer by other policies", requests(count)),
        Change::OnlyOld => {
            format!("NOT COMPARED: {} cannot be asked under NEW; OLD allows {allowed} of them", requests(count))
        }
        Change::OnlyNew => {
            format!("NOT COMPARED: {} cannot be asked under OLD; NEW allows {allowed} of them", requests(count))
        }
    };
    text::wrapped(out, "", "  ", &title)?;
    let blocks = blocks(diff, change);
    let shown = if all { blocks.len() } else { SHOWN };
    for (principal, roles, rows) in blocks.iter().take(shown) {
        block(out, principal, roles, rows)?;
    }
    let rest: usize = blocks.iter().skip(shown).flat_map(|(_, _, rows)| rows).map(|g| g.count).sum();
    if rest > 0 {
        let groups = text::count(blocks.len() - shown, "group", "groups");
        writeln!(out, "\n  and {groups} more with {}; --all lists them", requests(rest))?;
    }
    writeln!(out)
}

/// The groups of a kind, put together where the same principals are concerned. Those with most requests come first.
fn blocks(diff: &Diff, change: Change) -> Vec<Block<'_>> {
    // By principal type, action and resource type: the roles concerned. Groups come in the order of the roles.
    let mut rows: BTreeMap<_, Vec<&Group>> = BTreeMap::new();
    for group in diff.groups.iter().filter(|g| g.change == change) {
        rows.entry((&group.principal, &group.action, &group.resource)).or_default().push(group);
    }
    let mut blocks: BTreeMap<(&str, Vec<Option<&str>>), Vec<&Group>> = BTreeMap::new();
    for ((principal, _, _), groups) in rows {
        let roles = groups.iter().map(|g| g.role.as_deref()).collect();
        blocks.entry((principal, roles)).or_default().extend(groups);
    }
    let mut blocks: Vec<Block<'_>> = blocks.into_iter().map(|((p, roles), rows)| (p, roles, rows)).collect();
    blocks.sort_by_key(|(_, _, rows)| std::cmp::Reverse(rows.iter().map(|g| g.count).sum::<usize>()));
    blocks
}

fn block(out: &mut dyn Write, principal: &str, roles: &[Option<&str>], rows: &[&Group]) -> Result<()> {
    let every = roles.len() == grc::Role::ALL.len() && roles.iter().flatten().all(|r| grc::Role::from_id(r).is_some());
    let roles: Vec<String> = roles.iter().flatten().map(|id| text::role(id)).collect();
    let who = match (every, roles.is_empty()) {
        (true, _) => format!("{} of every role", text::short(principal)),
        (false, true) => text::short(principal).to_owned(),
        (false, false) => format!("{}: {}", text::short(principal), roles.join(", ")),
    };
    writeln!(out)?;
    text::wrapped(out, "  ", "    ", &who)?;
    // One action after the other, each with its resources; requests of all roles together.
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for group in rows {
        let resource = text::short(&group.resource);
        *counts.entry(group.action.id()).or_default().entry(resource).or_default() += group.count;
    }
    let actions = counts.iter().map(|(action, resources)| {
        let resources: Vec<String> =
            resources.iter().map(|(name, count)| format!("{name} ({})", text::grouped(*count))).collect();
        format!("{action} on {}", resources.join(", "))
    });
    text::wrapped(out, "    ", "      ", &actions.collect::<Vec<_>>().join("; "))?;
    match rows.first() {
        Some(group) => witness(out, &group.witness, group.role.as_deref()),
        None => Ok(()),
    }
}

fn witness(out: &mut dyn Write, witness: &Witness, role: Option<&str>) -> Result<()> {
    let request = &witness.request;
    let role = role.and_then(grc::Role::from_id).map_or(String::new(), text::behind_uid);
    let asked = format!("{}{role}: {}", text::uid(request.principal()), text::asked(request));
    let mut say = |label: &str, words: &str| text::wrapped(out, &format!("    {label:<8}"), "            ", words);
    say("example", &asked)?;
    if let Some((file, name)) = &witness.case {
        say("", &format!("(the test `{name}` of {})", file.display()))?;
    }
    for (label, decision) in [("before", &witness.old), ("now", &witness.new)] {
        let word = if decision.allowed() { "allowed" } else { "denied" };
        let reasons = text::reasons(decision);
        say(
            label,
            &if reasons.starts_with("by ") { format!("{word} {reasons}") } else { format!("{word}: {reasons}") },
        )?;
    }
    // Unbroken, so that it can be pasted into a file of requests.
    let json = request.to_json();
    let part = |key: &str| json.get(key).map(ToString::to_string).unwrap_or_default();
    let parts = ["principal", "action", "resource", "context"].map(|key| format!("\"{key}\": {}", part(key)));
    writeln!(out, "{{{}}}", parts.join(", "))
}

fn untried(out: &mut dyn Write, diff: &Diff) -> Result<()> {
    if diff.untried.is_empty() {
        return Ok(());
    }
    let kinds = text::count(diff.untried.len(), "kind of request", "kinds of requests");
    text::wrapped(out, "", "  ", &format!("NOT TRIED: {kinds} that the edit touches and the small world cannot ask"))?;
    for kind in &diff.untried {
        let (principal, resource) = (text::short(&kind.principal), text::short(&kind.resource));
        let what = format!("{principal}: {} on {resource}; {}", kind.action.id(), kind.why);
        text::wrapped(out, "  ", "    ", &what)?;
    }
    writeln!(out)
}

fn summary(out: &mut dyn Write, diff: &Diff, all: bool) -> Result<()> {
    let tried = diff.tried;
    let number = tried.small_world.unwrap_or(0) + tried.cases;
    let reasons = diff.count(Change::OtherReason);
    if !all && reasons > 0 {
        let text = format!("{} get the same answer by other policies; --all lists them", requests(reasons));
        text::wrapped(out, "", "  ", &text)?;
    }
    let cases = text::count(tried.cases, "policy test", "policy tests");
    let what = match tried.small_world {
        Some(world) => format!("{} of the small world and {cases}", requests(world)),
        None => format!(
            "{cases}. There is no small world for this schema, which is not the built-in model's: nothing but the \
             tests was tried"
        ),
    };
    if number == 0 {
        let text = "NOTHING WAS TRIED: there is no small world for this schema, and no policy test in OLD or NEW";
        return text::wrapped(out, "", "  ", text);
    }
    if diff.groups.is_empty() {
        let text = match diff.is_changed() {
            true => format!(
                "the text differs, but none of the {} tried is decided differently; this is no proof",
                requests(number)
            ),
            false => "only notes, comments or layout differ: every policy says what it said".into(),
        };
        text::wrapped(out, "", "  ", &text)?;
    }
    let decided = match tried.decided == number {
        true => "all were decided under both".to_owned(),
        false => format!(
            "{} decided under both; no policy that can apply to the others changed",
            text::count(tried.decided, "was", "were")
        ),
    };
    text::wrapped(out, "", "  ", &format!("tried: {what}; {decided}"))?;
    let [loosened, tightened] = [Change::Loosened, Change::Tightened].map(|change| text::grouped(diff.count(change)));
    let apart = text::grouped(diff.count(Change::OnlyOld) + diff.count(Change::OnlyNew));
    writeln!(out, "{loosened} loosened, {tightened} tightened, {apart} not comparable")
}
