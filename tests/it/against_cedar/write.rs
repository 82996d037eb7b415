//! Writes random expressions over a schema, and counts which forms it has written.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::schemas::{Kind, Place, Schema, KINDS};

pub type Forms = BTreeMap<&'static str, u64>;

pub struct Writer<'r> {
    pub rng: &'r mut Rng,
    pub schema: &'r Schema,
    pub forms: &'r mut Forms,
    /// Conditions of this policy set, some of which its other policies ask again.
    pub written: Vec<String>,
}

/// Whether Cedar reads the name without quotes.
fn is_plain(name: &str) -> bool {
    name != "if" && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// What reads the attribute, behind an expression.
fn dot(name: &str) -> String {
    if is_plain(name) {
        format!(".{name}")
    } else {
        format!("[{name:?}]")
    }
}

/// The attribute as it stands behind `has`.
fn quoted(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

const ROOTS: [(&str, Place); 3] =
    [("principal", Place::Principal), ("resource", Place::Resource), ("context", Place::Context)];

impl<'r> Writer<'r> {
    pub fn form(&mut self, name: &'static str) {
        *self.forms.entry(name).or_default() += 1;
    }

    pub fn chance(&mut self, of_100: u32) -> bool {
        self.rng.u32(..100) < of_100
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    /// Any entity that texts may name.
    pub fn uid(&mut self) -> &'r str {
        let schema = self.schema;
        &schema.uids[self.rng.usize(..schema.uids.len())].text
    }

    /// An entity, mostly of one of these types.
    pub fn uid_of(&mut self, types: &[String]) -> &'r str {
        if types.is_empty() || self.chance(15) {
            return self.uid();
        }
        let schema = self.schema;
        &schema.uids[self.pick(&schema.uids_of(types))].text
    }

    /// Any entity type, declared or not.
    pub fn type_name(&mut self) -> &'r str {
        let schema = self.schema;
        match self.rng.usize(..schema.types.len() + 2) {
            0 => "Stranger",
            1 => &schema.uids[schema.actions[0].uid].of,
            at => &schema.types[at - 2].name,
        }
    }

    /// An attribute, mostly one that is found in such a place.
    fn name(&mut self, place: Place, kind: Kind) -> &'r str {
        let schema = self.schema;
        let names = if self.chance(88) { schema.names(place, kind) } else { schema.names_anywhere(kind) };
        self.pick(&names)
    }

    /// What has attributes, and where those are declared.
    fn owner(&mut self, depth: u32) -> (String, Place) {
        match self.rng.u32(..10) {
            at @ 0..=7 => {
                let (root, place) = ROOTS[[0, 0, 0, 1, 1, 1, 2, 2][at as usize]];
                (root.to_owned(), place)
            }
            8 => (self.expr(Kind::Record, depth), Place::Record),
            _ => (self.expr(Kind::Entity, depth), Place::Entity),
        }
    }

    /// An expression, mostly of this kind.
    pub fn expr(&mut self, kind: Kind, depth: u32) -> String {
        let kind = if self.chance(6) { self.pick(&KINDS) } else { kind };
        if depth == 0 || self.chance(15) {
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
        let (of, place) = self.owner(depth);
        match self.rng.u32(..10) {
            0 => {
                self.form("getTag");
                format!("({of}).getTag({})", self.expr(Kind::Text, depth))
            }
            1 | 2 => {
                self.form("path");
                let (of_record, further) = (self.name(place, Kind::Record), self.name(Place::Record, kind));
                format!("({of}){}{}", dot(of_record), dot(further))
            }
            _ => {
                self.form("attribute");
                format!("({of}){}", dot(self.name(place, kind)))
            }
        }
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
                    let name = self.pick(&["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"]);
                    format!("({}).{name}()", self.expr(Kind::Duration, d))
                }
                _ => {
                    self.form("arithmetic");
                    let op = self.pick(&["+", "-", "*"]);
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
                let (n, u) = (self.name(Place::Record, Kind::Long), self.name(Place::Record, Kind::Entity));
                if n == u {
                    return format!("{{{n:?}: {a}}}");
                }
                format!("{{{u:?}: {b}, {n:?}: {a}}}")
            }
            _ => self.leaf(kind),
        }
    }

    fn set(&mut self, of: Kind, d: u32) -> String {
        self.form("set");
        let items: Vec<String> = (0..self.rng.usize(..4)).map(|_| self.expr(of, d)).collect();
        format!("[{}]", items.join(", "))
    }

    /// A condition of a policy; some are asked again by others.
    pub fn clause(&mut self, depth: u32) -> String {
        let text = match self.rng.u32(..20) {
            0..=2 if !self.written.is_empty() => {
                self.form("asked again");
                self.written[self.rng.usize(..self.written.len())].clone()
            }
            3 | 4 => self.guarded(depth),
            5 | 6 => self.listed(),
            7 => {
                let (a, b) = (self.clause(depth), self.clause(depth));
                format!("({a} {} {b})", self.pick(&["&&", "||"]))
            }
            _ => self.expr(Kind::Bool, depth),
        };
        self.written.push(text.clone());
        text
    }

    /// Reads an attribute only where it is there.
    fn guarded(&mut self, d: u32) -> String {
        self.form("guarded");
        let (root, place) = self.pick(&ROOTS);
        let kind = self.pick(&KINDS);
        let name = self.name(place, kind);
        let read = format!("{root}{}", dot(name));
        let test = match (kind, self.rng.u32(..4)) {
            (Kind::Bool, _) => read,
            (Kind::Long | Kind::Datetime | Kind::Duration, 0..=2) => format!("{read} <= {}", self.expr(kind, d)),
            (Kind::Entity, 0) => format!("{read} == {}", self.uid()),
            (Kind::Entity, 1) => format!("{read} in {}", self.uid()),
            (Kind::Entity, 2) => format!("{} in {read}", self.pick(&["principal", "resource"])),
            (Kind::Entities, 0..=2) => format!("{read}.contains({})", self.expr(Kind::Entity, d)),
            (Kind::Longs, 0..=2) => format!("{read}.contains({})", self.expr(Kind::Long, d)),
            (Kind::Texts, 0..=2) => format!("{read}.contains({})", self.expr(Kind::Text, d)),
            (Kind::Text, 0..=2) => format!("{read} like \"a*\""),
            _ => format!("{read} == {}", self.expr(kind, d)),
        };
        format!("({root} has {} && {test})", quoted(name))
    }

    /// Asks which of the entities that the schema lists an attribute is.
    fn listed(&mut self) -> String {
        self.form("listed");
        let schema = self.schema;
        let own = schema.listed.iter().filter_map(|(place, name, of)| {
            let (root, _) = ROOTS.iter().find(|(_, own)| own == place)?;
            Some((*root, dot(name), std::slice::from_ref(of)))
        });
        let own: Vec<_> = own.collect();
        let (root, name, of) = &own[self.rng.usize(..own.len())];
        let (a, b) = (self.uid_of(of), self.uid_of(of));
        match self.rng.u32(..5) {
            0 => format!(
                "{root}{name} in [{}]",
                [a, b].into_iter().take(self.rng.usize(..3)).collect::<Vec<_>>().join(", ")
            ),
            1 => format!("[{a}, {b}].contains({root}{name})"),
            2 => format!("{root}{name} != {a}"),
            _ => format!("{root}{name} == {a}"),
        }
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
                let op = self.pick(&["==", "!="]);
                let kind = self.pick(&KINDS);
                let (a, b) = self.two(kind, d);
                format!("({a} {op} {b})")
            }
            7 | 8 => {
                self.form("<");
                let op = self.pick(&["<", "<=", ">", ">="]);
                let kind = self.pick(&[Kind::Long, Kind::Datetime, Kind::Duration]);
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
                format!("({} is {})", self.expr(Kind::Entity, d), self.type_name())
            }
            12 => {
                self.form("is in");
                let right = if self.chance(70) { Kind::Entity } else { Kind::Entities };
                format!("({} is {} in {})", self.expr(Kind::Entity, d), self.type_name(), self.expr(right, d))
            }
            13 | 14 => self.has(d),
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
                let name = self.pick(&["containsAll", "containsAny"]);
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
                let pattern = self.pick(&["*", "a*", "*b", "a*b*c", "\\**", "abc", "*a*a*", ""]);
                format!("(({}) like \"{pattern}\")", self.expr(Kind::Text, d))
            }
            20 => {
                self.form("decimal order");
                let name = self.pick(&["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]);
                let (a, b) = self.two(Kind::Decimal, d);
                format!("({a}).{name}({b})")
            }
            _ => {
                self.form("ip");
                let name = self.pick(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"]);
                if self.rng.bool() {
                    return format!("({}).{name}()", self.expr(Kind::Ip, d));
                }
                let (a, b) = self.two(Kind::Ip, d);
                format!("({a}).isInRange({b})")
            }
        }
    }

    fn has(&mut self, d: u32) -> String {
        self.form("has");
        let (of, place) = self.owner(d);
        let through = self.pick(&[Kind::Record, Kind::Entity]);
        let mut path: Vec<&str> = match self.rng.u32(..3) {
            0 => vec![self.name(place, through)],
            _ => {
                let kind = self.pick(&KINDS);
                vec![self.name(place, kind)]
            }
        };
        while self.chance(40) && path.len() < 5 {
            let place = if through == Kind::Record { Place::Record } else { Place::Entity };
            let kind = self.pick(&[Kind::Record, Kind::Entity, Kind::Long]);
            path.push(self.name(place, kind));
        }
        if !path.iter().all(|name| is_plain(name)) {
            return format!("(({of}) has {})", quoted(path[0]));
        }
        if path.len() > 1 {
            self.form("has path");
        }
        format!("(({of}) has {})", path.join("."))
    }

    fn leaf(&mut self, kind: Kind) -> String {
        if self.chance(45) {
            self.form("attribute");
            let (root, place) = self.pick(&ROOTS);
            return format!("{root}{}", dot(self.name(place, kind)));
        }
        self.form("literal");
        let text = match kind {
            Kind::Bool => self.pick(&["true", "false"]),
            Kind::Long => self.pick(&["0", "1", "2", "-1", "9223372036854775807", "-9223372036854775808", "40"]),
            Kind::Text => self.pick(&["\"a\"", "\"abc\"", "\"b*\"", "\"\"", "\"k0\"", "\"k1\"", "\"2026-01-01\""]),
            Kind::Entity => match self.rng.u32(..4) {
                0 => "principal",
                1 => "resource",
                2 => {
                    return match self.rng.bool() {
                        true => "action".into(),
                        false => format!("context{}", dot(self.name(Place::Context, Kind::Entity))),
                    }
                }
                _ => self.uid(),
            },
            Kind::Entities => {
                let items: Vec<&str> = (0..self.rng.usize(..4)).map(|_| self.uid()).collect();
                return format!("[{}]", items.join(", "));
            }
            Kind::Longs => self.pick(&["[]", "[1, 2]", "[2, 1, 2]", "[{n: 1}]", "[1, \"a\"]"]),
            Kind::Texts => self.pick(&["[\"a\"]", "[\"a\", \"abc\"]", "[datetime(\"2026-01-01\")]", "[]"]),
            Kind::Record => match self.rng.u32(..5) {
                0 => return format!("context{}", dot(self.name(Place::Context, Kind::Record))),
                _ => self.pick(&["{n: 1}", "{n: 1, s: \"a\"}", "context", "{}"]),
            },
            Kind::Datetime => {
                let texts = [
                    "2026-01-01",
                    "1969-12-31T23:59:59.999Z",
                    "2026-01-01T00:00:00-0130",
                    "9999-12-31T23:59:59-2359",
                    "2026-02-30",
                ];
                return self.constructed("datetime", &texts);
            }
            Kind::Duration => {
                let texts = ["1d", "-1d2h3m4s5ms", "0ms", "106751991167d", "-9223372036854775808ms", "1h1d", "24h"];
                return self.constructed("duration", &texts);
            }
            Kind::Decimal => {
                let texts = ["0.5", "-0.5", "1.2345", "0.50", "922337203685477.5807", "1"];
                return self.constructed("decimal", &texts);
            }
            Kind::Ip => {
                let texts = [
                    "127.0.0.1",
                    "10.0.0.0/8",
                    "::1",
                    "ff00::/8",
                    "10.1.2.3",
                    "0.0.0.0/0",
                    "::ffff:1.2.3.4",
                    "1.2.3.4/33",
                ];
                return self.constructed("ip", &texts);
            }
        };
        text.to_owned()
    }

    /// Now and then from a text that is not known before.
    fn constructed(&mut self, function: &str, texts: &[&str]) -> String {
        if self.chance(8) {
            return format!("{function}(context{})", dot(self.name(Place::Context, Kind::Text)));
        }
        format!("{function}(\"{}\")", self.pick(texts))
    }
}
