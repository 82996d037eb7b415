//! Compiled policies against Cedar's own evaluator: random policies of every expression, on random entities with holes.
//!
//! `BAILIWICK_CEDAR_CASES=10000000 cargo test --release --features cli --test it random_policies -- --nocapture` runs as
//! many as one likes; `BAILIWICK_SEED` moves on to others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use bailiwick::entities::{entity_from_json, request_from_json};
use bailiwick::{Authorizer, Bundle, Decision, ErrorMode, Request, Snapshot, Source, Sources};
use fastrand::Rng;
use serde_json::{json, Value as Json};

use crate::explain;
use crate::random::number;

/// A schema with everything that a schema can have, and the attributes that expressions pick from.
const SCHEMA: &str = r#"
namespace A {
  type Box = { n?: Long, s?: String, inner?: { u?: User, when?: datetime } };
  entity Color enum ["red", "green"];
  entity Group in [Group] = { owner?: User, level?: Long };
  entity User in [Group] = {
    age?: Long, name?: String, on?: Bool, color?: Color, boss?: User, friends?: Set<User>, nums?: Set<Long>,
    words?: Set<String>, box?: Box, born?: datetime, span?: duration, rate?: decimal, from?: ipaddr,
    times?: Set<datetime>, boxes?: Set<{ n: Long }>
  } tags Long;
  entity Doc in [Folder] = { owner?: User, size?: Long, open?: Bool, label?: String, color?: Color, readers?: Set<User> }
    tags String;
  entity Folder in [Folder];
  action all;
  action reading in [all];
  action view, list in [reading] appliesTo {
    principal: [User], resource: [Doc, Folder],
    context: { n?: Long, s?: String, ok?: Bool, who?: User, at?: datetime, ip?: ipaddr, more?: { n?: Long, u?: User },
      list?: Set<User>, rate?: decimal, span?: duration } };
  action edit in [all] appliesTo { principal: [User, Group], resource: [Doc], context: { n?: Long, who?: User } };
}
"#;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Bool,
    Long,
    Text,
    Entity,
    Entities,
    Longs,
    Texts,
    Record,
    Datetime,
    Duration,
    Decimal,
    Ip,
}

const KINDS: [Kind; 12] = [
    Kind::Bool,
    Kind::Long,
    Kind::Text,
    Kind::Entity,
    Kind::Entities,
    Kind::Longs,
    Kind::Texts,
    Kind::Record,
    Kind::Datetime,
    Kind::Duration,
    Kind::Decimal,
    Kind::Ip,
];

const UIDS: [&str; 18] = [
    r#"A::User::"u0""#,
    r#"A::User::"u1""#,
    r#"A::User::"u2""#,
    r#"A::User::"nobody""#,
    r#"A::Group::"g0""#,
    r#"A::Group::"g1""#,
    r#"A::Group::"g2""#,
    r#"A::Doc::"d0""#,
    r#"A::Doc::"d1""#,
    r#"A::Doc::"d2""#,
    r#"A::Folder::"f0""#,
    r#"A::Folder::"f1""#,
    r#"A::Color::"red""#,
    r#"A::Color::"green""#,
    r#"A::Action::"view""#,
    r#"A::Action::"all""#,
    r#"A::Action::"reading""#,
    r#"A::Stranger::"x""#,
];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// The attributes of a kind, on entities, records and the context.
fn attributes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Bool => &["on", "open", "ok"],
        Kind::Long => &["age", "level", "size", "n"],
        Kind::Text => &["name", "label", "s"],
        Kind::Entity => &["boss", "owner", "color", "who", "u"],
        Kind::Entities => &["friends", "readers", "list"],
        Kind::Longs => &["nums", "boxes"],
        Kind::Texts => &["words", "times"],
        Kind::Record => &["box", "inner", "more"],
        Kind::Datetime => &["born", "at", "when"],
        Kind::Duration => &["span"],
        Kind::Decimal => &["rate"],
        Kind::Ip => &["from", "ip"],
    }
}

/// Writes random expressions, and counts which forms it has written.
struct Writer<'r> {
    rng: &'r mut Rng,
    forms: BTreeMap<&'static str, u64>,
}

impl Writer<'_> {
    fn form(&mut self, name: &'static str) {
        *self.forms.entry(name).or_default() += 1;
    }

    /// An expression, mostly of this kind.
    fn expr(&mut self, kind: Kind, depth: u32) -> String {
        let kind = if self.rng.u32(..100) < 6 { KINDS[self.rng.usize(..KINDS.len())] } else { kind };
        if depth == 0 || self.rng.u32(..100) < 15 {
            return self.leaf(kind);
        }
        let d = depth - 1;
        match self.rng.u32(..10) {
            0 => {
                self.form("if");
                let (c, a, b) = (self.expr(Kind::Bool, d), self.expr(kind, d), self.expr(kind, d));
                format!("(if {c} then {a} else {b})")
            }
            1 => self.attribute(kind, d),
            2 => {
                self.form("record literal");
                let (a, b) = (self.expr(kind, d), self.expr(Kind::Long, d));
                format!("{{\"x\": {a}, y: {b}}}.x")
            }
            _ => self.operator(kind, d),
        }
    }

    fn attribute(&mut self, kind: Kind, depth: u32) -> String {
        let name = pick(self.rng, attributes(kind));
        let of = match self.rng.u32(..10) {
            0..=2 => "principal".to_owned(),
            3..=5 => "resource".to_owned(),
            6 | 7 => "context".to_owned(),
            8 => self.expr(Kind::Record, depth),
            _ => self.expr(Kind::Entity, depth),
        };
        if self.rng.u32(..10) == 0 {
            self.form("getTag");
            return format!("({of}).getTag({})", self.expr(Kind::Text, depth));
        }
        self.form("attribute");
        format!("({of}).{name}")
    }

    fn two(&mut self, kind: Kind, depth: u32) -> (String, String) {
        (self.expr(kind, depth), self.expr(kind, depth))
    }

    fn operator(&mut self, kind: Kind, d: u32) -> String {
        match kind {
            Kind::Bool => self.condition(d),
            Kind::Long => match self.rng.u32(..6) {
                0 => {
                    self.form("negate");
                    format!("(-({}))", self.expr(Kind::Long, d))
                }
                1 => {
                    self.form("to number");
                    let name = pick(self.rng, &["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"]);
                    format!("({}).{name}()", self.expr(Kind::Duration, d))
                }
                _ => {
                    self.form("arithmetic");
                    let op = pick(self.rng, &["+", "-", "*"]);
                    let (a, b) = self.two(Kind::Long, d);
                    format!("({a} {op} {b})")
                }
            },
            Kind::Datetime => match self.rng.u32(..2) {
                0 => {
                    self.form("offset");
                    format!("({}).offset({})", self.expr(Kind::Datetime, d), self.expr(Kind::Duration, d))
                }
                _ => {
                    self.form("toDate");
                    format!("({}).toDate()", self.expr(Kind::Datetime, d))
                }
            },
            Kind::Duration => match self.rng.u32(..2) {
                0 => {
                    self.form("durationSince");
                    let (a, b) = self.two(Kind::Datetime, d);
                    format!("({a}).durationSince({b})")
                }
                _ => {
                    self.form("toTime");
                    format!("({}).toTime()", self.expr(Kind::Datetime, d))
                }
            },
            Kind::Entities => self.set(Kind::Entity, d),
            Kind::Longs | Kind::Texts => {
                let of = match (kind, self.rng.bool()) {
                    (Kind::Longs, true) => Kind::Long,
                    (Kind::Longs, false) => Kind::Record,
                    (_, true) => Kind::Text,
                    (_, false) => Kind::Datetime,
                };
                self.set(of, d)
            }
            Kind::Record => {
                self.form("record");
                let (a, b) = (self.expr(Kind::Long, d), self.expr(Kind::Entity, d));
                format!("{{n: {a}, u: {b}}}")
            }
            _ => self.leaf(kind),
        }
    }

    fn set(&mut self, of: Kind, d: u32) -> String {
        self.form("set");
        let items: Vec<String> = (0..self.rng.usize(..4)).map(|_| self.expr(of, d)).collect();
        format!("[{}]", items.join(", "))
    }

    fn condition(&mut self, d: u32) -> String {
        let sets = [Kind::Entities, Kind::Longs, Kind::Texts];
        match self.rng.u32(..22) {
            0 | 1 => {
                self.form("&&");
                let (a, b) = self.two(Kind::Bool, d);
                format!("({a} && {b})")
            }
            2 | 3 => {
                self.form("||");
                let (a, b) = self.two(Kind::Bool, d);
                format!("({a} || {b})")
            }
            4 => {
                self.form("!");
                format!("(!({}))", self.expr(Kind::Bool, d))
            }
            5 | 6 => {
                self.form("==");
                let op = pick(self.rng, &["==", "!="]);
                let kind = KINDS[self.rng.usize(..KINDS.len())];
                let (a, b) = self.two(kind, d);
                format!("({a} {op} {b})")
            }
            7 | 8 => {
                self.form("<");
                let op = pick(self.rng, &["<", "<=", ">", ">="]);
                let kind = [Kind::Long, Kind::Datetime, Kind::Duration][self.rng.usize(..3)];
                let (a, b) = self.two(kind, d);
                format!("({a} {op} {b})")
            }
            9 | 10 => {
                self.form("in");
                let right = if self.rng.bool() { Kind::Entity } else { Kind::Entities };
                format!("({} in {})", self.expr(Kind::Entity, d), self.expr(right, d))
            }
            11 => {
                self.form("is");
                let of = pick(self.rng, &["A::User", "A::Group", "A::Doc", "A::Color", "A::Action", "A::Stranger"]);
                format!("({} is {of})", self.expr(Kind::Entity, d))
            }
            12 => {
                self.form("is in");
                let of = pick(self.rng, &["A::User", "A::Group", "A::Doc"]);
                format!("({} is {of} in {})", self.expr(Kind::Entity, d), self.expr(Kind::Entity, d))
            }
            13 | 14 => {
                self.form("has");
                let kind = KINDS[self.rng.usize(..KINDS.len())];
                let name = pick(self.rng, attributes(kind));
                let of = match self.rng.u32(..5) {
                    0 => "principal".to_owned(),
                    1 => "resource".to_owned(),
                    2 => "context".to_owned(),
                    3 => self.expr(Kind::Record, d),
                    _ => self.expr(Kind::Entity, d),
                };
                let further = pick(self.rng, &["", "", ".n", ".u", ".inner.u", ".boss", ".owner.age"]);
                format!("(({of}) has {name}{further})")
            }
            15 => {
                self.form("hasTag");
                format!("({}).hasTag({})", self.expr(Kind::Entity, d), self.expr(Kind::Text, d))
            }
            16 => {
                self.form("contains");
                let at = self.rng.usize(..3);
                let item = [Kind::Entity, Kind::Long, Kind::Text][at];
                format!("({}).contains({})", self.expr(sets[at], d), self.expr(item, d))
            }
            17 => {
                self.form("containsAll");
                let name = pick(self.rng, &["containsAll", "containsAny"]);
                let at = self.rng.usize(..3);
                let (a, b) = self.two(sets[at], d);
                format!("({a}).{name}({b})")
            }
            18 => {
                self.form("isEmpty");
                let at = self.rng.usize(..3);
                format!("({}).isEmpty()", self.expr(sets[at], d))
            }
            19 => {
                self.form("like");
                let pattern = pick(self.rng, &["*", "a*", "*b", "a*b*c", "\\\\**", "abc", "*a*a*", ""]);
                format!("(({}) like \"{}\")", self.expr(Kind::Text, d), pattern.replace("\\\\*", "\\*"))
            }
            20 => {
                self.form("decimal order");
                let name = pick(self.rng, &["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]);
                let (a, b) = self.two(Kind::Decimal, d);
                format!("({a}).{name}({b})")
            }
            _ => {
                self.form("ip");
                let name = pick(self.rng, &["isIpv4", "isIpv6", "isLoopback", "isMulticast"]);
                if self.rng.bool() {
                    return format!("({}).{name}()", self.expr(Kind::Ip, d));
                }
                let (a, b) = self.two(Kind::Ip, d);
                format!("({a}).isInRange({b})")
            }
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        if self.rng.u32(..100) < 45 {
            let of = pick(self.rng, &["principal", "resource", "context"]);
            self.form("attribute");
            return format!("{of}.{}", pick(self.rng, attributes(kind)));
        }
        self.form("literal");
        let constructed = |rng: &mut Rng, function: &str, texts: &[&str]| {
            // Now and then from a text that is not known before.
            if rng.u32(..12) == 0 {
                format!("{function}(context.s)")
            } else {
                format!("{function}(\"{}\")", pick(rng, texts))
            }
        };
        match kind {
            Kind::Bool => pick(self.rng, &["true", "false"]).into(),
            Kind::Long => {
                pick(self.rng, &["0", "1", "2", "-1", "9223372036854775807", "-9223372036854775808", "40"]).into()
            }
            Kind::Text => {
                pick(self.rng, &["\"a\"", "\"abc\"", "\"b*\"", "\"\"", "\"k0\"", "\"k1\"", "\"2026-01-01\""]).into()
            }
            Kind::Entity => match self.rng.u32(..4) {
                0 => "principal".into(),
                1 => "resource".into(),
                2 => pick(self.rng, &["action", "context.who"]).into(),
                _ => pick(self.rng, &UIDS).into(),
            },
            Kind::Entities => {
                let items: Vec<&str> = (0..self.rng.usize(..4)).map(|_| pick(self.rng, &UIDS)).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Longs => pick(self.rng, &["[]", "[1, 2]", "[2, 1, 2]", "[{n: 1}]", "[1, \"a\"]"]).into(),
            Kind::Texts => pick(self.rng, &["[\"a\"]", "[\"a\", \"abc\"]", "[datetime(\"2026-01-01\")]", "[]"]).into(),
            Kind::Record => pick(self.rng, &["{n: 1}", "{n: 1, s: \"a\"}", "context.more", "context", "{}"]).into(),
            Kind::Datetime => constructed(
                self.rng,
                "datetime",
                &[
                    "2026-01-01",
                    "1969-12-31T23:59:59.999Z",
                    "2026-01-01T00:00:00-0130",
                    "9999-12-31T23:59:59-2359",
                    "2026-02-30",
                ],
            ),
            Kind::Duration => constructed(
                self.rng,
                "duration",
                &["1d", "-1d2h3m4s5ms", "0ms", "106751991167d", "-9223372036854775808ms", "1h1d", "24h"],
            ),
            Kind::Decimal => {
                constructed(self.rng, "decimal", &["0.5", "-0.5", "1.2345", "0.50", "922337203685477.5807", "1"])
            }
            Kind::Ip => constructed(
                self.rng,
                "ip",
                &[
                    "127.0.0.1",
                    "10.0.0.0/8",
                    "::1",
                    "ff00::/8",
                    "10.1.2.3",
                    "0.0.0.0/0",
                    "::ffff:1.2.3.4",
                    "1.2.3.4/33",
                ],
            ),
        }
    }

    /// A policy set of a few policies.
    fn policies(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..self.rng.usize(3..9) {
            let effect = if self.rng.u32(..3) == 0 { "forbid" } else { "permit" };
            let principal = match self.rng.u32(..8) {
                0 => format!("principal == {}", pick(self.rng, &UIDS[..7])),
                1 => format!("principal in {}", pick(self.rng, &UIDS)),
                2 => format!("principal is {}", pick(self.rng, &["A::User", "A::Group", "A::Color"])),
                3 => format!("principal is A::User in {}", pick(self.rng, &UIDS[4..7])),
                _ => "principal".into(),
            };
            let action = match self.rng.u32(..6) {
                0 => "action == A::Action::\"view\"".into(),
                1 => format!("action in A::Action::\"{}\"", pick(self.rng, &["all", "reading", "edit"])),
                2 => "action in [A::Action::\"edit\", A::Action::\"reading\"]".into(),
                _ => "action".to_owned(),
            };
            let resource = match self.rng.u32(..8) {
                0 => format!("resource == {}", pick(self.rng, &UIDS[7..12])),
                1 => format!("resource in {}", pick(self.rng, &UIDS[10..12])),
                2 => format!("resource is {}", pick(self.rng, &["A::Doc", "A::Folder"])),
                3 => "resource is A::Doc in A::Folder::\"f0\"".into(),
                _ => "resource".into(),
            };
            let _ = write!(out, "{effect} ({principal}, {action}, {resource})");
            for _ in 0..self.rng.usize(..3) {
                let clause = if self.rng.u32(..4) == 0 { "unless" } else { "when" };
                let depth = self.rng.u32(0..4);
                let _ = write!(out, "\n{clause} {{ {} }}", self.expr(Kind::Bool, depth));
            }
            out.push_str(";\n");
        }
        out
    }
}

/// A value of an attribute, or none.
fn value(rng: &mut Rng, name: &str) -> Option<Json> {
    if rng.u32(..100) < 25 {
        return None;
    }
    let entity = |uid: &str| {
        let (kind, id) = uid.split_once("::\"").expect("a uid");
        json!({"__entity": {"type": kind, "id": id.trim_end_matches('"')}})
    };
    let extension = |f: &str, arg: &str| json!({"__extn": {"fn": f, "arg": arg}});
    // Now and then a value of another type, which no schema would allow.
    let name = if rng.u32(..100) < 4 { pick(rng, &["age", "on"]) } else { name };
    let users = |rng: &mut Rng| -> Json { (0..rng.usize(..3)).map(|_| entity(UIDS[rng.usize(..4)])).collect() };
    Some(match name {
        "on" | "open" | "ok" => json!(rng.bool()),
        "age" | "level" | "size" | "n" => json!([0, 1, 2, -1, i64::MAX, i64::MIN, 40][rng.usize(..7)]),
        "name" | "label" | "s" => {
            json!(pick(rng, &["a", "abc", "b*", "", "k0", "aXbc", "2026-01-01", "1d", "0.5", "::1"]))
        }
        "boss" | "owner" | "who" | "u" => entity(UIDS[rng.usize(..12)]),
        "color" => entity(UIDS[rng.usize(12..14)]),
        "friends" | "readers" | "list" => users(rng),
        "nums" => (0..rng.i64(0..4)).map(|n| json!(n)).collect(),
        "boxes" => (0..rng.i64(0..3)).map(|n| json!({"n": n})).collect(),
        "words" => (0..rng.usize(..3)).map(|i| json!(["a", "abc", ""][i])).collect(),
        "times" => (0..rng.usize(..2)).map(|_| extension("datetime", "2026-01-01")).collect(),
        "box" => json!({"n": 1, "inner": {"u": entity(UIDS[rng.usize(..4)])}}),
        "inner" | "more" => json!({"n": rng.i64(0..3), "u": entity(UIDS[rng.usize(..4)])}),
        "born" | "at" | "when" => {
            extension("datetime", pick(rng, &["2026-01-01", "1969-12-31T23:59:59.999Z", "0001-01-01"]))
        }
        "span" => extension("duration", pick(rng, &["1d", "-1ms", "0ms", "106751991167d"])),
        "rate" => extension("decimal", pick(rng, &["0.5", "-0.5", "1.2345"])),
        _ => extension("ip", pick(rng, &["127.0.0.1", "10.0.0.0/8", "::1", "10.1.2.3"])),
    })
}

fn fields(rng: &mut Rng, names: &[&str]) -> Json {
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), value(rng, name)?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn entity(rng: &mut Rng, uid: &str) -> Json {
    const USER: [&str; 15] = [
        "age", "name", "on", "color", "boss", "friends", "nums", "words", "box", "born", "span", "rate", "from",
        "times", "boxes",
    ];
    let (kind, id) = uid.split_once("::\"").expect("a uid");
    let mut attributes = match kind {
        "A::User" => fields(rng, &USER),
        "A::Group" => fields(rng, &["owner", "level"]),
        "A::Doc" => fields(rng, &["owner", "size", "open", "label", "color", "readers"]),
        _ => json!({}),
    };
    if rng.u32(..100) < 5 {
        attributes["undeclared"] = json!(1);
    }
    // Groups and folders only in later ones, so that there is no cycle.
    let groups: Vec<&str> = match kind {
        "A::User" => UIDS[4..7].to_vec(),
        "A::Group" => UIDS[4..7].iter().copied().filter(|g| *g > uid).collect(),
        "A::Doc" => UIDS[10..12].to_vec(),
        "A::Folder" => UIDS[10..12].iter().copied().filter(|g| *g > uid).collect(),
        _ => vec![],
    };
    let parents: Vec<Json> = groups
        .into_iter()
        .filter(|_| rng.u32(..100) < 40)
        .map(|g| g.split_once("::\"").expect("a uid"))
        .map(|(kind, id)| json!({"type": kind, "id": id.trim_end_matches('"')}))
        .collect();
    let mut out =
        json!({"uid": {"type": kind, "id": id.trim_end_matches('"')}, "attrs": attributes, "parents": parents});
    if matches!(kind, "A::User" | "A::Doc") && rng.bool() {
        let mut tags = serde_json::Map::new();
        for name in ["k0", "k1", "a"] {
            if rng.bool() {
                tags.insert(name.into(), if kind == "A::User" { json!(rng.i64(0..3)) } else { json!("a") });
            }
        }
        out["tags"] = tags.into();
    }
    out
}

fn request(rng: &mut Rng, bundle: &Bundle, inline: &[Json]) -> Request {
    let action = pick(rng, &["view", "list", "edit", "view", "edit", "all", "unheard-of"]);
    let (stray_principal, stray_resource) = (rng.u32(..10) == 0, rng.u32(..10) == 0);
    let principal = pick(rng, if stray_principal { &UIDS } else { &UIDS[..7] });
    let resource = pick(rng, if stray_resource { &UIDS } else { &UIDS[7..12] });
    let context = fields(rng, &["n", "s", "ok", "who", "at", "ip", "more", "list", "rate", "span"]);
    let mut json = json!({"principal": principal, "action": format!("A::Action::\"{action}\""), "resource": resource,
        "context": context});
    if rng.u32(..3) == 0 && !inline.is_empty() {
        json["resource"] = inline[rng.usize(..inline.len())].clone();
    }
    request_from_json(bundle, &json.to_string()).unwrap_or_else(|e| panic!("{e}: {json}"))
}

fn difference(ours: &Decision, cedars: &Decision) -> Option<String> {
    let told = |d: &Decision| {
        let determining: Vec<String> = d.determining().map(str::to_owned).collect();
        let errors: Vec<(Option<String>, &str)> =
            d.errors().map(|e| (e.policy().map(str::to_owned), e.code().as_str())).collect();
        format!("{} {} {determining:?} {errors:?}", d.allowed(), d.indeterminate())
    };
    let (ours, cedars) = (told(ours), told(cedars));
    (ours != cedars).then(|| format!("ours:  {ours}\ncedar: {cedars}"))
}

/// What a run has met.
#[derive(Default)]
struct Met {
    requests: u64,
    allowed: u64,
    denied_by_forbid: u64,
    errors: u64,
    inline: u64,
    indeterminate: u64,
    /// How often Cedar decides otherwise.
    differences: u64,
    /// What explanations of some of them told.
    told: explain::Told,
}

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// To print every difference from Cedar, and check explanations too.
    Agree,
    /// To find one difference.
    #[cfg_attr(not(feature = "deliberate-bugs"), allow(dead_code))]
    Differ,
}

/// Decides random requests under random policies both ways.
fn run(aim: Aim, mode: ErrorMode, cases: u64, seed: u64) -> (Met, BTreeMap<&'static str, u64>, BTreeSet<usize>) {
    let mut rng = Rng::with_seed(seed);
    let (mut done, mut met) = (0, Met::default());
    let mut forms: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut covered = BTreeSet::new();
    while done < cases && (aim == Aim::Agree || met.differences == 0) {
        let mut writer = Writer { rng: &mut rng, forms: std::mem::take(&mut forms) };
        let policies = writer.policies();
        forms = writer.forms;
        let sources = Sources::new(Some(Source::new("s", SCHEMA)), vec![Source::new("p", policies.as_str())]);
        let Ok(bundle) = Bundle::from_sources(sources, mode) else { panic!("Cedar cannot parse\n{policies}") };
        covered.insert(bundle.coverage().1 - bundle.coverage().0);
        for _ in 0..2 {
            let all: Vec<&str> = UIDS[..12].iter().copied().filter(|uid| *uid != r#"A::User::"nobody""#).collect();
            let all: Vec<&str> = all.into_iter().filter(|_| rng.u32(..100) < 90).collect();
            let entities: Vec<Json> = all.iter().map(|uid| entity(&mut rng, uid)).collect();
            let inline: Vec<Json> =
                UIDS[7..12].iter().filter(|u| !all.contains(u)).map(|uid| entity(&mut rng, uid)).collect();
            let list = entities.iter().map(|e| entity_from_json(&bundle, e).expect("an entity")).collect();
            let snapshot = Snapshot::from_entities(&bundle, list).expect("no cycle");
            let found = Arc::new(AtomicU64::new(0));
            let builder = Authorizer::builder().bundle(bundle.clone()).snapshot(snapshot.clone()).expect("it fits");
            let (count, texts) = (Arc::clone(&found), (policies.clone(), json!(entities).to_string()));
            let authorizer = builder
                .shadow(1, move |request, ours, cedars| {
                    count.fetch_add(1, Ordering::SeqCst);
                    if aim == Aim::Agree {
                        let difference = difference(ours, cedars).unwrap_or_default();
                        println!("{}\n{}\n{request:?}\n{difference}", texts.0, texts.1);
                    }
                })
                .build();
            for _ in 0..15 {
                let request = request(&mut rng, &bundle, &inline);
                let decision = authorizer.is_authorized(&request);
                met.allowed += u64::from(decision.allowed());
                met.denied_by_forbid += u64::from(!decision.allowed() && decision.determining().len() > 0);
                met.errors += u64::from(decision.errors().len() > 0);
                met.indeterminate += u64::from(decision.indeterminate());
                met.inline += u64::from(matches!(request.resource(), bailiwick::Resource::Inline(_)));
                done += 1;
                met.requests = done;
                if done % 50 == 0 && aim == Aim::Agree {
                    explain::check(&mut met.told, &bundle, &snapshot, &authorizer, &request);
                }
            }
            met.differences += found.load(Ordering::SeqCst);
            assert!(aim == Aim::Differ || met.differences == 0, "differences from Cedar, printed above");
        }
    }
    (met, forms, covered)
}

#[test]
fn random_policies_are_decided_as_cedar_does() {
    let cases = number("BAILIWICK_CEDAR_CASES", 60_000);
    let (met, forms, uncovered) = run(Aim::Agree, ErrorMode::Cedar, cases, number("BAILIWICK_SEED", 1));
    println!(
        "{cases} random requests under random policies, 0 differences: {} allowed, {} forbidden, {} with errors, {} inline",
        met.allowed, met.denied_by_forbid, met.errors, met.inline
    );
    println!("forms of expression: {forms:?}");
    let told = &met.told;
    println!("explained: {} of {} clauses told were true, {} failed", told.held, told.clauses, told.failed);
    assert!(told.clauses * 50 >= cases && told.failed * 500 >= cases && told.whole == 0, "{told:?}");
    assert_eq!(uncovered.into_iter().collect::<Vec<_>>(), [0], "policies that were not compiled");
    assert!(forms.len() >= 29 && forms.values().all(|n| *n >= 20), "{forms:?}");
    for (what, n) in
        [("allowed", met.allowed), ("forbidden", met.denied_by_forbid), ("errors", met.errors), ("inline", met.inline)]
    {
        assert!(n * 50 >= cases, "only {n} of {cases} {what}");
    }
}

/// `cargo test --workspace --features cli,bailiwick/deliberate-bugs --test it deliberate_bugs` runs it, as `./test.sh`
/// does: alone, since a bug is in the whole process.
#[cfg(feature = "deliberate-bugs")]
#[test]
fn deliberate_bugs_are_found() {
    for bug in bailiwick::Bug::ALL {
        bailiwick::Bug::put_in(Some(bug));
        let (met, ..) = run(Aim::Differ, ErrorMode::Cedar, 100_000, 1);
        println!("{bug:?}: found within {} requests", met.requests);
        assert!(met.differences > 0, "nothing notices {bug:?}");
    }
    bailiwick::Bug::put_in(None);
    let (met, ..) = run(Aim::Differ, ErrorMode::Cedar, 3_000, 1);
    assert_eq!((met.requests >= 3_000, met.differences), (true, 0), "differences without a bug");
}
