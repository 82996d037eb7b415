//! The loader beside Cedar's own: what is loaded here, Cedar takes too and holds the same; where only Cedar takes
//! something, the difference is one that is meant.

use std::collections::BTreeMap;

use bailiwick::{cedar_policy as cedar, Bundle, ErrorMode, Snapshot, Source, Sources};
use fastrand::Rng;
use serde_json::{json, Value as Json};

use crate::hostile::{mutate, mutate_part};
use crate::judge::world::{AuditorStatus, InvitedTo, Kind, Role};
use crate::judge::{entities_json, World};

const CASES: usize = 4_000;

/// What is refused here and taken by Cedar, and why that is meant: a part of the message each.
const MEANT: [(&str, &str); 5] = [
    ("is not stored", "Cedar lets entities refer to entities that are not there; `in` and `has` then say no silently"),
    ("belongs to another organization", "a rule of the built-in model"),
    ("exactly one project", "a rule of the built-in model"),
    ("in the years 0000 to 9999", "instants that people cannot write are mistakes"),
    ("unknown key", "Cedar ignores a key beside those it knows; it may be a misspelt `parents`"),
];

struct Counts {
    both: usize,
    neither: usize,
    /// Refused here alone, by what the message says.
    here: BTreeMap<&'static str, usize>,
}

fn compare(bundle: &Bundle, schema: &cedar::Schema, text: &[u8], counts: &mut Counts) {
    let shown = || String::from_utf8_lossy(text).into_owned();
    let ours = Snapshot::from_json(bundle, text);
    let cedars = std::str::from_utf8(text)
        .map_err(|e| e.to_string())
        .and_then(|text| cedar::Entities::from_json_str(text, Some(schema)).map_err(|e| format!("{e:?}")));
    match (ours, cedars) {
        (Ok(ours), Ok(cedars)) => {
            counts.both += 1;
            for entity in ours.iter() {
                let uid: cedar::EntityUid = entity.uid().to_string().parse().expect("a uid");
                let again = cedar::Entities::from_json_value(json!([entity.to_json()]), Some(schema));
                let again = again.unwrap_or_else(|e| panic!("{uid} cannot be written and read: {e:?}\n{}", shown()));
                let (again, theirs) = (again.get(&uid).expect("it"), cedars.get(&uid).expect("Cedar holds it too"));
                let text = |entity: &cedar::Entity| entity.to_json_value().expect("JSON");
                let (again, theirs) = (sorted(text(again)), sorted(text(theirs)));
                assert!(same(&again, &theirs), "not as Cedar has it\n{again}\n{theirs}\n{}", shown());
            }
        }
        (Err(_), Err(_)) => counts.neither += 1,
        (Ok(_), Err(e)) => panic!("loaded here and refused by Cedar: {e}\n{}", shown()),
        (Err(e), Ok(_)) => {
            // Each of the faults must be one that Cedar does not mind.
            for fault in e.faults() {
                let meant = MEANT.iter().find(|(part, _)| fault.message().contains(part));
                let (part, _) = meant.unwrap_or_else(|| panic!("only here: {fault}\n{}", shown()));
                *counts.here.entry(part).or_default() += 1;
            }
        }
    }
}

/// Whether two values in Cedar's JSON are one: extensions are compared by Cedar, for which texts can differ.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => match (a.get("__extn"), b.get("__extn")) {
            (Some(a), Some(b)) => {
                let call = |json: &Json| format!("{}({})", json["fn"].as_str().expect("a name"), json["arg"]);
                let equal: cedar::Expression = format!("{} == {}", call(a), call(b)).parse().expect("an expression");
                let uid = |text: &str| text.parse::<cedar::EntityUid>().expect("a uid");
                let context = cedar::Context::empty();
                let request = cedar::Request::new(uid("A::\"\""), uid("Action::\"\""), uid("A::\"\""), context, None);
                let result = cedar::eval_expression(&request.expect("a request"), &cedar::Entities::empty(), &equal);
                result.expect("a value") == cedar::EvalResult::Bool(true)
            }
            _ => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
        },
        _ => a == b,
    }
}

/// Sets have no order, and Cedar writes them in any.
fn sorted(json: Json) -> Json {
    match json {
        Json::Array(items) => {
            let mut items: Vec<Json> = items.into_iter().map(sorted).collect();
            items.sort_by_key(Json::to_string);
            Json::Array(items)
        }
        Json::Object(map) => Json::Object(map.into_iter().map(|(k, v)| (k, sorted(v))).collect()),
        other => other,
    }
}

fn run(name: &str, bundle: &Bundle, mut text: impl FnMut(&mut Rng) -> Json) {
    let schema = bundle.sources().schema().expect("a schema").text();
    let schema = cedar::Schema::from_cedarschema_str(schema).expect("valid").0;
    let mut rng = Rng::with_seed(17);
    let mut counts = Counts { both: 0, neither: 0, here: BTreeMap::new() };
    for round in 0..CASES {
        let json = text(&mut rng);
        let text = match round % 8 {
            0 => json.to_string().into_bytes(),
            1 | 2 => mutate(&mut rng, json.to_string().as_bytes()),
            _ => mutate_part(&mut rng, &json).into_bytes(),
        };
        compare(bundle, &schema, &text, &mut counts);
    }
    let alone: usize = CASES - counts.both - counts.neither;
    println!(
        "{name}: {CASES} texts beside Cedar: {} loaded by both alike, {} refused by both, {alone} refused here alone: {:?}",
        counts.both, counts.neither, counts.here
    );
    assert!(counts.both >= CASES / 16 && counts.neither >= CASES / 16, "too one-sided to mean anything");
}

/// A handful of entities of the built-in model, complete in itself.
pub fn few(rng: &mut Rng) -> World {
    let mut world = World::default();
    let msp = world.add_organization(None);
    let client = world.add_organization(Some(msp));
    let project = world.add_project(client);
    for organization in [msp, client] {
        let member = world.add_member(organization, Role::ALL[rng.usize(..Role::ALL.len())]);
        world.members[member].clients = if rng.bool() { vec![client] } else { vec![] };
        world.members[member].projects = if organization == client && rng.bool() { vec![project] } else { vec![] };
    }
    world.add_guest(project, rng.bool());
    let auditor =
        world.add_auditor(client, AuditorStatus::Active, rng.i64(0..1 << 40), rng.bool().then_some((0, 1 << 30)));
    world.add_invitation(client, InvitedTo::Role(Role::Admin));
    world.add_invitation(client, InvitedTo::Project(project));
    for kind in [Kind::Control, Kind::Evidence, Kind::Ticket] {
        let item = world.add_item(kind, client, rng.bool().then_some(project));
        world.items[item].active_until = rng.bool().then_some(1 << 20);
    }
    world.add_audit_request(client, auditor);
    world
}

#[test]
fn entities_of_the_model_are_loaded_as_cedar_loads_them() {
    run("the built-in model", &Bundle::builtin(), |rng| entities_json(&few(rng)));
}

/// A schema with every type there is.
pub const EVERYTHING: &str = "
    entity Colour enum [\"red\", \"green\"];
    entity Thing in [Thing] = {
        b: Bool, n: Long, s: String, e: Thing, c: Colour, es: Set<Thing>, ls: Set<Set<Long>>,
        r: { x: Long, y?: String, z: { d: datetime } }, d: datetime, u?: duration, m: decimal, i: ipaddr,
    } tags Set<String>;
    action view appliesTo { principal: Thing, resource: Thing };";

fn one_of<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// A text that an extension reads, mostly: one of the odd ones or a changed one now and then.
fn extension(rng: &mut Rng, function: &str, (plain, odd): (&[&str], &[&str])) -> Json {
    let from = if rng.u8(..30) == 0 { odd } else { plain };
    let mut text = one_of(rng, from).to_owned();
    if rng.u8(..40) == 0 && text.is_ascii() && !text.is_empty() {
        let at = rng.usize(..text.len());
        match rng.u8(..3) {
            0 => drop(text.remove(at)),
            1 => text.insert(at, b"0123456789-+.:/TZdhms"[rng.usize(..21)].into()),
            _ => text.replace_range(at..=at, one_of(rng, &["0", "1", "9", "-", "+", ".", ":", "f", "s", " ", "é"])),
        }
    }
    match rng.bool() {
        true => json!(text),
        false => json!({"__extn": {"fn": function, "arg": text}}),
    }
}

type Texts = (&'static [&'static str], &'static [&'static str]);

const DATETIMES: Texts = (
    &["2026-02-28", "2024-02-29", "2026-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999+0000"],
    &[
        "0000-01-01",
        "2026-01-01T00:00:00-2359",
        "2026-06-30T12:00:00.5Z",
        "2026-13-01",
        "2026-01-01T24:00:00Z",
        "2023-02-29",
    ],
);
const DURATIONS: Texts = (
    &["1d2h3m4s5ms", "-1h", "0ms", "9223372036854775807ms", "-9223372036854775808ms"],
    &["9223372036854775808ms", "106751991168d", "1s1m", "", "1", "-", "1d 1h"],
);
const DECIMALS: Texts = (
    &["0.0", "-1.5", "12.3456", "922337203685477.5807", "-922337203685477.5808", "-0.0001", "007.10"],
    &["1.23456", "922337203685477.5808", "1.", ".5", "1", "+1.0", "1.0e1"],
);
const IPS: Texts = (
    &["127.0.0.1", "10.0.0.0/8", "10.0.0.1/32", "::1", "::/0", "2001:db8::1/128", "0.0.0.0/0"],
    &["10.0.0.1/33", "::ffff:1.2.3.4", "01.2.3.4", "1.2.3", "fe80::1%1", "::1/129", "1.2.3.4/08", "1.2.3.4/", "/8"],
);

pub fn thing(rng: &mut Rng, id: &str, others: &[&str]) -> Json {
    let uid = |id: &str| json!({"type": "Thing", "id": id});
    let reference = |rng: &mut Rng, id: &str| if rng.bool() { uid(id) } else { json!({"__entity": uid(id)}) };
    let other = one_of(rng, others);
    let colour = one_of(rng, &["red", "green"]);
    let mut attrs = json!({
        "b": rng.bool(), "n": rng.i64(..), "s": one_of(rng, &["", "a", "\0", "é\u{202e}", "\\\"", "__entity"]),
        "e": reference(rng, other), "c": {"type": "Colour", "id": colour}, "es": [reference(rng, other), uid(id)],
        "ls": [[1, 1, 2], [], [2, 1]], "r": {"x": 1, "z": {"d": extension(rng, "datetime", DATETIMES)}},
        "d": extension(rng, "datetime", DATETIMES), "m": extension(rng, "decimal", DECIMALS),
        "i": extension(rng, "ip", IPS),
    });
    if rng.bool() {
        attrs["u"] = extension(rng, "duration", DURATIONS);
    }
    let parents = if id == "a" { json!([]) } else { json!([uid("a")]) };
    json!({"uid": uid(id), "attrs": attrs, "parents": parents, "tags": {"t": ["x", "y"]}})
}

#[test]
fn values_of_every_type_are_loaded_as_cedar_loads_them() {
    let policy = "@id(\"a\") permit (principal, action, resource);";
    let sources = Sources::new(Some(Source::new("s", EVERYTHING)), vec![Source::new("p", policy)]);
    let bundle = Bundle::from_sources(sources, ErrorMode::Strict).expect("valid");
    run("every type", &bundle, |rng| json!([thing(rng, "a", &["a"]), thing(rng, "b", &["a", "b"])]));
}
