//! The loader's quick way beside its general one: they give the same entities, or the same errors.

use std::io::Read;

use bailiwick::{Bundle, Changes, Entity, EntityUid, ErrorMode, Snapshot, Source, Sources};
use fastrand::Rng;
use serde_json::{json, Value as Json};

use crate::hostile::{mutate, mutate_part};
use crate::judge::entities_json;
use crate::loader_cedar::{few, thing, EVERYTHING};

const CASES: usize = 6_000;
/// Bytes of a piece: so few that there are many pieces, and so many that there is one.
const SIZES: [usize; 5] = [1, 150, 700, 3_000, 1 << 19];

#[derive(Debug, Default)]
struct Counts {
    loaded: usize,
    refused: usize,
    /// Entities in what was loaded, by the way they were read.
    quick: usize,
    general: usize,
}

/// Reads a text in both ways. `make` gives a reader of it.
fn compare<R: Read>(
    bundle: &Bundle,
    size: usize,
    make: impl Fn() -> R,
    counts: &mut Counts,
    shown: &dyn Fn() -> String,
) {
    let (general, none) = Snapshot::from_json_in_pieces(bundle, make(), 0);
    let (quick, number) = Snapshot::from_json_in_pieces(bundle, make(), size);
    assert_eq!(none, 0);
    match (general, quick) {
        (Ok(general), Ok(quick)) => {
            counts.loaded += 1;
            counts.quick += number;
            let mut text = Vec::new();
            make().read_to_end(&mut text).expect("it was read before");
            let all: Vec<Json> = serde_json::from_slice(&text).expect("it was read before");
            counts.general += all.len() - number;
            let entities = sorted(&general);
            assert_eq!(entities, sorted(&quick), "pieces of {size}: {}", shown());
            assert_eq!((general.len(), quick.len()), (entities.len(), entities.len()));
            for entity in &entities {
                let uid = entity.uid();
                assert_eq!(quick.get(uid).as_ref(), Some(entity), "{}", shown());
                // What is said of the references that remain tells how often each is counted.
                let without = |snapshot: &Snapshot| snapshot.apply(bundle, &Changes::new().remove(uid.clone()));
                let (general, quick) = (without(&general), without(&quick));
                assert_eq!(general.as_ref().map(sorted), quick.as_ref().map(sorted), "{}", shown());
            }
        }
        (Err(general), Err(quick)) => {
            counts.refused += 1;
            assert_eq!(general, quick, "pieces of {size}: {}", shown());
        }
        (general, quick) => panic!("{general:?}\n{quick:?}\npieces of {size}: {}", shown()),
    }
}

fn sorted(snapshot: &Snapshot) -> Vec<Entity> {
    let mut entities: Vec<Entity> = snapshot.iter().collect();
    entities.sort_by(|a, b| a.uid().cmp(b.uid()));
    entities
}

/// Changes of a text that one of the ways may take for something else.
const SPLICES: [(&str, &str); 24] = [
    ("\"uid\"", "\"\\u0075id\""),
    ("\"attrs\":{", "\"attrs\":{\"b\":true,"),
    ("\"attrs\":{", "\"attrs\":{\"active\":true,"),
    ("\"uid\":", "\"uid\":{\"type\":\"Thing\",\"id\":\"a\"},\"uid\":"),
    ("\"type\":", "\"type\":\"Thing\",\"type\":"),
    ("\"parents\":[", "\"parents\":[],\"parents\":["),
    ("\"id\":\"", "\"id\":\"\\u00e9\\n"),
    ("\"id\":\"", "\"id\":\"\\ud800"),
    ("true", "9223372036854775808"),
    ("true", "1.5"),
    ("true", "null"),
    ("{\"type\"", "{\"__entity\":{\"type\""),
    ("\"parents\":", "\"tags\":{},\"parents\":"),
    ("\"parents\":", "\"tags\":{\"t\":[\"x\"]},\"parents\":"),
    ("\"parents\":[", "\"parents\":[{\"uid\":1},{\"uid\":2},"),
    ("\"attrs\":{", "\"attrs\":{\"more\":[{\"uid\":1},{\"uid\":2},{\"attrs\":3}],"),
    ("},{\"", "},\n\n  {\r\n\""),
    ("},{\"", "},,{\""),
    ("},{\"", "}{\""),
    ("},{\"", "}],[{\""),
    ("[{", "\u{feff}[{"),
    ("]", "] x"),
    ("Thing", "Thong"),
    ("OWNER", "BOSS"),
];

/// Entities in other orders, or some of them twice, or below themselves.
fn shuffle(rng: &mut Rng, json: &mut Json) {
    let Some(entities) = json.as_array_mut() else { return };
    match rng.u8(..6) {
        0 | 1 => rng.shuffle(entities),
        2 => {
            let again = entities[rng.usize(..entities.len())].clone();
            entities.insert(rng.usize(..=entities.len()), again);
        }
        3 => {
            let (from, to) = (rng.usize(..entities.len()), rng.usize(..entities.len()));
            let uid = entities[to]["uid"].clone();
            if let Some(parents) = entities[from]["parents"].as_array_mut() {
                parents.push(uid);
            }
        }
        _ => {}
    }
}

fn damage(rng: &mut Rng, json: &Json) -> Vec<u8> {
    let text = match rng.u8(..4) {
        0 => format!("{json:#}"),
        // Lines that end within entities, so that pieces begin within lines.
        1 => json.to_string().replace("\"attrs\":", "\n\"attrs\":"),
        _ => json.to_string(),
    };
    match rng.u8(..8) {
        0 => mutate(rng, text.as_bytes()),
        1 | 2 => mutate_part(rng, json).into_bytes(),
        3 | 4 => {
            let (from, to) = SPLICES[rng.usize(..SPLICES.len())];
            let places: Vec<usize> = text.match_indices(from).map(|(at, _)| at).collect();
            let mut text = text;
            if !places.is_empty() {
                let at = places[rng.usize(..places.len())];
                text.replace_range(at..at + from.len(), to);
            }
            text.into_bytes()
        }
        5 => {
            let mut text = text.into_bytes();
            let at = rng.usize(..text.len());
            text[at] = [0xff, 0, b'"', b'[', b'}', b','][rng.usize(..6)];
            text
        }
        _ => text.into_bytes(),
    }
}

/// A reader that fails when it has given all.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(out) {
            Ok(0) => Err(std::io::Error::other("the line is cut")),
            read => read,
        }
    }
}

fn run(name: &str, bundle: &Bundle, mut make: impl FnMut(&mut Rng) -> Json) {
    let mut rng = Rng::with_seed(23);
    let mut counts = Counts::default();
    for _ in 0..CASES {
        let mut json = make(&mut rng);
        shuffle(&mut rng, &mut json);
        let text = damage(&mut rng, &json);
        let size = SIZES[rng.usize(..SIZES.len())];
        let shown = || String::from_utf8_lossy(&text).into_owned();
        if rng.u8(..20) == 0 {
            compare(bundle, size, || Broken(&text), &mut counts, &shown);
        } else {
            compare(bundle, size, || &*text, &mut counts, &shown);
        }
    }
    println!("{name}: {CASES} texts in both ways: {counts:?}");
    assert!(counts.loaded >= CASES / 10 && counts.refused >= CASES / 10, "too one-sided to mean anything: {counts:?}");
    assert!(counts.quick >= CASES / 4 && counts.general >= CASES / 200, "one way was hardly met: {counts:?}");
}

fn every_type(mode: ErrorMode) -> Bundle {
    let policy = "@id(\"a\") permit (principal, action, resource);";
    let sources = Sources::new(Some(Source::new("s", EVERYTHING)), vec![Source::new("p", policy)]);
    Bundle::from_sources(sources, mode).expect("valid")
}

fn things(rng: &mut Rng) -> Json {
    let mut all = vec![thing(rng, "a", &["a"])];
    if rng.u8(..4) == 0 {
        all.push(json!({"uid": {"type": "Action", "id": "view"}, "attrs": {}, "parents": []}));
    }
    for id in ["b", "c"] {
        let mut next = thing(rng, id, &["a", "b", "c"]);
        if rng.u8(..4) == 0 {
            next.as_object_mut().expect("an entity").remove("tags");
        }
        if rng.u8(..8) == 0 {
            next["attrs"]["es"] = json!([{"type": "Thing", "id": "c"}, {"type": "Thing", "id": "b"},
                {"type": "Thing", "id": "a"}, {"__entity": {"type": "Thing", "id": "a"}}]);
        }
        all.push(next);
    }
    Json::Array(all)
}

#[test]
fn entities_of_the_model_are_read_alike_in_both_ways() {
    run("the built-in model", &Bundle::builtin(), |rng| entities_json(&few(rng)));
}

#[test]
fn values_of_every_type_are_read_alike_in_both_ways() {
    run("every type", &every_type(ErrorMode::Strict), things);
    run("every type, as Cedar", &every_type(ErrorMode::Cedar), things);
}

#[test]
fn what_cannot_be_read_far_into_a_long_text_is_reported_with_its_place() {
    let bundle = Bundle::builtin();
    let entity = |n: usize| format!("{{\"uid\":{{\"type\":\"Grc::Organization\",\"id\":\"o{n}\"}},\"parents\":[]}}");
    let mut text = format!("[{}", entity(0));
    (1..40_000).for_each(|n| text += &format!(",\n{}", entity(n)));
    assert_eq!(Snapshot::from_json(&bundle, format!("{text}]").as_bytes()).expect("it is whole").len(), 40_000);
    for (end, expected) in [
        ("", "entity 40000: EOF while parsing a list at line 40000 column 63"),
        (
            ",\n{\"uid\":{\"type\":\"Grc::Organization\",\"id\":\"o7\"}}]",
            "entity 40000, `Grc::Organization::\"o7\"`: duplicate uid; entity 7 has it too",
        ),
        (",\n{\"uid\": {}, \"uid\": {}}]", "entity 40000: duplicate key `uid` at line 40001 column 18"),
    ] {
        let text = format!("{text}{end}");
        for size in [0, 1 << 16, 1 << 20] {
            let (refused, _) = Snapshot::from_json_in_pieces(&bundle, text.as_bytes(), size);
            assert_eq!(refused.expect_err(end).to_string(), expected, "pieces of {size}");
        }
    }
    let quick = Snapshot::from_json_in_pieces(&bundle, format!("{text}]").as_bytes(), 1 << 16);
    assert_eq!(quick.1, 40_000, "all of them are plain");
    let uid = EntityUid::new("Grc::Organization", "o39999").expect("a uid");
    assert!(quick.0.expect("it is whole").get(&uid).is_some());
}
