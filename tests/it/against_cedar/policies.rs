//! Writes policies, and templates with the links that make policies of them.

use std::fmt::Write;

use super::schemas::{Action, Schema};
use super::write::Writer;

/// A policy that is made of a template: of which, its own id, and where in the schema's entities its slots' are.
pub struct Linked {
    pub template: String,
    pub id: String,
    pub principal: Option<usize>,
    pub resource: Option<usize>,
}

/// A policy set, whose statements have no ids: they are called by their numbers.
pub struct Policies {
    pub text: String,
    pub links: Vec<Linked>,
}

/// Principal or resource of a scope.
struct Part {
    name: &'static str,
    types: Vec<String>,
}

impl Part {
    fn both(schema: &Schema) -> [Self; 2] {
        let part = |name, of: fn(&Action) -> &Vec<String>| Self { name, types: schema.types_of(of) };
        [part("principal", |a| &a.principals), part("resource", |a| &a.resources)]
    }
}

impl Writer<'_> {
    /// A policy set of a few policies; two of five with templates.
    pub fn policies(&mut self) -> Policies {
        let mut out = Policies { text: String::new(), links: Vec::new() };
        let parts = Part::both(self.schema);
        let templates = if self.chance(40) { self.rng.usize(1..4) } else { 0 };
        for number in 0..self.rng.usize(3..9) {
            if number < templates {
                self.template(&parts, number, &mut out);
            } else {
                let (principal, resource) = (self.scope(&parts[0], false), self.scope(&parts[1], false));
                self.policy(&principal, &resource, &mut out.text);
            }
        }
        out
    }

    fn policy(&mut self, principal: &str, resource: &str, out: &mut String) {
        let effect = if self.rng.u32(..3) == 0 { "forbid" } else { "permit" };
        let action = self.action();
        let _ = write!(out, "{effect} ({principal}, {action}, {resource})");
        for _ in 0..self.rng.usize(..3) {
            let clause = if self.rng.u32(..4) == 0 { "unless" } else { "when" };
            let depth = self.rng.u32(0..4);
            let _ = write!(out, "\n{clause} {{ {} }}", self.clause(depth));
        }
        out.push_str(";\n");
    }

    /// A template with one slot or two, and up to five links.
    fn template(&mut self, parts: &[Part; 2], number: usize, out: &mut Policies) {
        self.form("template");
        let slots = [(true, false), (false, true), (true, true)][self.rng.usize(..3)];
        let (principal, resource) = (self.scope(&parts[0], slots.0), self.scope(&parts[1], slots.1));
        self.policy(&principal, &resource, &mut out.text);
        for _ in 0..self.rng.usize(..6) {
            self.form("link");
            // Some come before the other policies in the order of ids, some after.
            let id = format!("{}{}", self.pick(&["link ", "user's "]), out.links.len());
            let mut slot = |of: &Part, is: bool| is.then(|| self.slot(&of.types));
            let (principal, resource) = (slot(&parts[0], slots.0), slot(&parts[1], slots.1));
            out.links.push(Linked { template: format!("policy{number}"), id, principal, resource });
        }
    }

    /// Who stands in a slot: mostly one of these types, or of those above them.
    fn slot(&mut self, types: &[String]) -> usize {
        let schema = self.schema;
        match self.rng.u32(..10) {
            0 => self.rng.usize(..schema.uids.len()),
            1..=5 => self.pick(&schema.uids_of(types)),
            _ => self.pick(&schema.uids_of(&self.above(types))),
        }
    }

    /// The types that these can belong to.
    fn above(&self, types: &[String]) -> Vec<String> {
        let own = types.iter().filter_map(|name| self.schema.entity_type(name));
        own.flat_map(|of| of.parents.iter().cloned()).collect()
    }

    fn scope(&mut self, part: &Part, slot: bool) -> String {
        let Part { name, types } = part;
        let form = if slot { self.rng.u32(..3) } else { self.rng.u32(..9) };
        if slot {
            self.form(["slot ==", "slot in", "slot is in"][form as usize]);
        }
        let own = self.rng.usize(..types.len());
        let of = if self.chance(85) { types[own].as_str() } else { self.type_name() };
        let above = self.above(types);
        let to = match (slot, form) {
            (true, _) => format!("?{name}"),
            (false, 0) => self.uid_of(types).to_owned(),
            _ => self.uid_of(&above).to_owned(),
        };
        match form {
            0 => format!("{name} == {to}"),
            1 => format!("{name} in {to}"),
            2 => format!("{name} is {of} in {to}"),
            3 => format!("{name} is {of}"),
            _ => (*name).to_owned(),
        }
    }

    fn action(&mut self) -> String {
        let schema = self.schema;
        let at = self.rng.usize(..schema.actions.len());
        let (one, other) = (&schema.actions[at], self.rng.usize(..schema.actions.len()));
        let own = schema.uids[one.uid].text.as_str();
        let group = if one.groups.is_empty() { own } else { &one.groups[self.rng.usize(..one.groups.len())] };
        match self.rng.u32(..6) {
            0 => format!("action == {own}"),
            1 => format!("action in {group}"),
            2 => format!("action in [{group}, {}]", schema.uids[schema.actions[other].uid].text),
            _ => "action".to_owned(),
        }
    }
}
