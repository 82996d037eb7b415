//! Random entities with holes and values of wrong types, and requests about them.

use fastrand::Rng;
use serde_json::{json, Map, Value as Json};

use super::schemas::{Fields, Kind, Schema, Type};

/// What is stored, and what may come with requests.
pub struct World {
    pub stored: Vec<Entity>,
    pub inline: Vec<Entity>,
}

pub struct Entity {
    /// Where in the schema's entities its uid is.
    pub at: usize,
    pub parents: Vec<usize>,
    pub json: Json,
}

/// A request.
pub struct Asked {
    pub principal: usize,
    pub action: usize,
    pub resource: usize,
    /// Which of the world's entities comes with it as resource.
    pub inline: Option<usize>,
    pub context: Json,
}

impl Asked {
    pub fn json(&self, schema: &Schema, world: &World) -> Json {
        let text = |at: usize| json!(schema.uids[at].text);
        let resource = match self.inline {
            Some(at) => world.inline[at].json.clone(),
            None => text(self.resource),
        };
        json!({"principal": text(self.principal), "action": text(self.action), "resource": resource,
            "context": self.context})
    }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

pub struct Maker<'r> {
    pub rng: &'r mut Rng,
    pub schema: &'r Schema,
    /// Whether the bundle has the schema: without it, actions are entities like others.
    pub declared: bool,
}

impl Maker<'_> {
    fn chance(&mut self, of_100: u32) -> bool {
        self.rng.u32(..100) < of_100
    }

    pub fn world(&mut self) -> World {
        let schema = self.schema;
        let (mut stored, mut missing) = (Vec::new(), Vec::new());
        for (at, uid) in schema.uids.iter().enumerate() {
            let Some(of) = schema.entity_type(&uid.of) else {
                let action = schema.actions.iter().find(|a| a.uid == at);
                if let Some(action) = action.filter(|_| !self.declared && self.rng.bool()) {
                    let group = |text: &String| schema.uids.iter().position(|uid| uid.text == *text).expect("a group");
                    stored.push(self.made(at, json!({}), action.groups.iter().map(group).collect()));
                }
                continue;
            };
            if of.listed {
                continue;
            }
            if uid.id != "nobody" && self.chance(88) {
                stored.push(self.entity(at, false));
            } else if schema.actions.iter().any(|a| a.resources.contains(&uid.of)) {
                missing.push(at);
            }
        }
        // Now and then what comes with a request is stored too.
        let mut inline = Vec::new();
        for _ in 0..3 {
            let any = pick(self.rng, &schema.uids_of(&schema.types_of(|a| &a.resources)));
            let at = if missing.is_empty() || self.chance(10) { any } else { pick(self.rng, &missing) };
            let anywhere = self.chance(5);
            inline.push(self.entity(at, anywhere));
        }
        World { stored, inline }
    }

    /// An entity in later ones, so that there is no cycle, or in any.
    fn entity(&mut self, at: usize, anywhere: bool) -> Entity {
        let schema = self.schema;
        let Some(of) = schema.entity_type(&schema.uids[at].of) else { return self.made(at, json!({}), Vec::new()) };
        let attributes = self.fields(&of.attributes, true);
        let above = (0..schema.uids.len()).filter(|to| of.parents.contains(&schema.uids[*to].of));
        let above: Vec<usize> = above.filter(|to| anywhere || *to > at).collect();
        let share = 120 / (above.len() as u32 + 2);
        let parents = above.into_iter().filter(|_| self.chance(share)).collect();
        let mut entity = self.made(at, attributes, parents);
        if let Some(tag) = of.tags.as_ref().filter(|_| self.rng.bool()) {
            let tags = ["k0", "k1", "a"].into_iter().filter(|_| self.rng.bool()).collect::<Vec<_>>();
            let tags: Map<String, Json> = tags.into_iter().map(|name| (name.to_owned(), self.value(tag))).collect();
            entity.json["tags"] = tags.into();
        }
        entity
    }

    fn made(&mut self, at: usize, attributes: Json, parents: Vec<usize>) -> Entity {
        let uid = |at: &usize| self.schema.uids[*at].json();
        let above: Vec<Json> = parents.iter().map(uid).collect();
        let json = json!({"uid": uid(&at), "attrs": attributes, "parents": above});
        Entity { at, parents, json }
    }

    /// Some of the fields, whether they are required or not.
    fn fields(&mut self, of: &Fields, of_entity: bool) -> Json {
        let holes = if of.len() > 20 { 70 } else { 22 };
        let mut out = Map::new();
        for (name, of) in of {
            if !self.chance(holes) {
                // Now and then a value of another type, which no schema would allow.
                let value = match self.rng.u32(..60) {
                    0 => json!(1),
                    1 => json!(true),
                    _ => self.value(of),
                };
                out.insert(name.clone(), value);
            }
        }
        if of_entity && self.chance(5) {
            out.insert("undeclared".into(), json!(1));
        }
        out.into()
    }

    fn value(&mut self, of: &Type) -> Json {
        let extension = |f: &str, arg: &str| json!({"__extn": {"fn": f, "arg": arg}});
        match of {
            Type::Entity(name) => {
                let name = std::slice::from_ref(name);
                let of = if self.chance(4) { &[] } else { name };
                json!({"__entity": self.schema.uids[pick(self.rng, &self.schema.uids_of(of))].json()})
            }
            Type::Set(of) => (0..self.rng.usize(..4)).map(|_| self.value(of)).collect(),
            Type::Record(of) => self.fields(of, false),
            Type::Plain(Kind::Bool) => json!(self.rng.bool()),
            Type::Plain(Kind::Long) => json!(pick(self.rng, &[0, 1, 2, -1, i64::MAX, i64::MIN, 40])),
            Type::Plain(Kind::Datetime) => {
                extension("datetime", pick(self.rng, &["2026-01-01", "1969-12-31T23:59:59.999Z", "0001-01-01"]))
            }
            Type::Plain(Kind::Duration) => {
                extension("duration", pick(self.rng, &["1d", "-1ms", "0ms", "106751991167d"]))
            }
            Type::Plain(Kind::Decimal) => extension("decimal", pick(self.rng, &["0.5", "-0.5", "1.2345"])),
            Type::Plain(Kind::Ip) => {
                extension("ip", pick(self.rng, &["127.0.0.1", "10.0.0.0/8", "::1", "10.1.2.3", "ff02::1/16"]))
            }
            Type::Plain(_) => {
                let texts = ["a", "abc", "b*", "", "k0", "aXbc", "2026-01-01", "1d", "0.5", "::1", "*"];
                json!(pick(self.rng, &texts))
            }
        }
    }

    pub fn request(&mut self, world: &World) -> Asked {
        let schema = self.schema;
        let action = &schema.actions[self.rng.usize(..schema.actions.len())];
        let mut of = |types: &[String]| {
            let own = schema.uids_of(if self.rng.u32(..12) == 0 { &[] } else { types });
            pick(self.rng, &own)
        };
        let (principal, mut resource) = (of(&action.principals), of(&action.resources));
        let inline = (self.rng.u32(..3) == 0).then(|| self.rng.usize(..world.inline.len()));
        if let Some(at) = inline {
            resource = world.inline[at].at;
        }
        let context = self.fields(&action.context, false);
        let action = if self.chance(3) { self.rng.usize(..schema.uids.len()) } else { action.uid };
        Asked { principal, action, resource, inline, context }
    }
}
