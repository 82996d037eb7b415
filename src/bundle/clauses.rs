//! A policy taken apart into clauses, each with its place in the text: what can be true or false by itself.
//!
//! The text is split, not the parsed policy, which has no places. What is then compiled is the text of each clause, so
//! that a clause and what is said of it cannot be about two things.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::pst;

use super::limits::{Token, Tokens};
use super::lower::Conditions;
use super::program::Cond;
use super::{Bundle, Policy, Slots};
use crate::model::Part;

/// A policy in clauses.
pub(crate) struct Dissected {
    pub(crate) clauses: Vec<Clause>,
    /// What must hold for the policy to apply, in order: first its scope, then the rest.
    pub(crate) scope: Vec<Wanted>,
    pub(crate) conditions: Vec<Wanted>,
}

/// A clause: its text on one line without comments, its place in the file, and what it is compiled to.
pub(crate) struct Clause {
    pub(crate) text: String,
    pub(crate) place: (usize, usize),
    pub(crate) part: Part,
    /// None where it is not compiled: in a policy that is not, or in a branch that is never taken.
    pub(crate) condition: Option<Cond>,
    pub(crate) expr: Arc<pst::Expr>,
}

/// A tree, and what it must be for the policy to apply.
pub(crate) struct Wanted {
    pub(crate) tree: Tree,
    pub(crate) value: bool,
}

/// How clauses are joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// A clause, by its place in the list.
    Clause(usize),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    If(Box<[Tree; 3]>),
}

/// Takes policies of one bundle apart. To be used, and what it gives dropped, where there is much stack.
pub(crate) struct Dissector<'a> {
    bundle: &'a Bundle,
    conditions: Conditions<'a>,
    /// Where the lines of the policy files begin.
    lines: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Dissector<'a> {
    pub(crate) fn new(bundle: &'a Bundle) -> Self {
        let literals = &bundle.inner.program().literals;
        let lines = bundle.sources().policies().iter().map(|source| {
            let starts = source.text().match_indices('\n').map(|(at, _)| at + 1);
            (source.name(), std::iter::once(0).chain(starts).collect())
        });
        Self { bundle, conditions: Conditions::new(&bundle.inner.layout, literals), lines: lines.collect() }
    }

    /// The policy in clauses; none where its text cannot be found or split.
    pub(crate) fn dissect(&mut self, policy: &Policy) -> Option<Dissected> {
        let source = self.bundle.sources().policies().iter().find(|s| *s.name == *policy.file)?;
        let lines = self.lines.get(source.name())?;
        let line = *lines.get(policy.line.checked_sub(1)?)?;
        let start = line + source.text().get(line..)?.find(&policy.text)?;
        let tokens = tokens(&policy.text);
        let mut splitter = Splitter { text: &policy.text, slots: &policy.slots, found: Vec::new(), part: Part::Scope };
        let (scope, conditions) = splitter.policy(&tokens)?;
        let exprs = parse(splitter.found.iter().map(|found| found.text.as_str()))?;
        let mut clauses = Vec::with_capacity(exprs.len());
        for (found, expr) in splitter.found.into_iter().zip(exprs) {
            let condition = self.conditions.compile(&expr);
            let at = start + found.at;
            let line = lines.partition_point(|start| *start <= at);
            let before = source.text().get(*lines.get(line.checked_sub(1)?)?..at)?;
            let place = (line, before.chars().count() + 1);
            clauses.push(Clause { text: found.text, place, part: found.part, condition, expr });
        }
        Some(Dissected { clauses, scope, conditions })
    }
}

/// Parses conditions: one expression for each.
fn parse<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> Option<Vec<Arc<pst::Expr>>> {
    use std::fmt::Write;
    let wanted = texts.len();
    let mut policy = String::from("permit (principal, action, resource)");
    for text in texts {
        write!(policy, " when {{ {text} }}").ok()?;
    }
    let policy = cedar_policy::Policy::parse(None, policy + ";").ok()?;
    let pst::Policy::Static(policy) = policy.to_pst().ok()? else { return None };
    let exprs = policy.body().clauses().iter().map(|clause| match clause {
        pst::Clause::When(expr) | pst::Clause::Unless(expr) => Arc::clone(expr),
    });
    let exprs: Vec<Arc<pst::Expr>> = exprs.collect();
    (exprs.len() == wanted).then_some(exprs)
}

/// A token that means something: where it begins and ends.
#[derive(Clone, Copy)]
struct Mark {
    start: usize,
    end: usize,
    opens: bool,
    closes: bool,
}

fn tokens(text: &str) -> Vec<Mark> {
    let mut tokens = Tokens::of(text);
    let mut marks = Vec::new();
    while let Some((start, token)) = tokens.next() {
        let end = tokens.end();
        if text.get(start..end).is_some_and(|t| t.trim().is_empty()) {
            continue;
        }
        marks.push(Mark { start, end, opens: token == Token::Open, closes: token == Token::Close });
    }
    marks
}

/// A clause of which only the text is known.
struct Found {
    text: String,
    at: usize,
    part: Part,
}

struct Splitter<'t> {
    text: &'t str,
    slots: &'t Slots,
    found: Vec<Found>,
    part: Part,
}

impl<'t> Splitter<'t> {
    fn word(&self, mark: Option<&Mark>) -> &'t str {
        mark.and_then(|m| self.text.get(m.start..m.end)).unwrap_or_default()
    }

    /// Annotations, effect, scope, then `when`s and `unless`es.
    fn policy(&mut self, marks: &[Mark]) -> Option<(Vec<Wanted>, Vec<Wanted>)> {
        let mut rest = marks;
        while self.word(rest.first()) == "@" {
            rest = rest.get(2..)?;
            if self.word(rest.first()) == "(" {
                rest = rest.get(closing(rest)? + 1..)?;
            }
        }
        if !["permit", "forbid"].contains(&self.word(rest.first())) {
            return None;
        }
        rest = rest.get(1..)?;
        let end = closing(rest)?;
        let mut scope = Vec::new();
        for part in self.split(rest.get(1..end)?, ",") {
            // `principal` alone asks for nothing.
            if part.len() > 1 {
                scope.push(Wanted { tree: self.clause(part), value: true });
            }
        }
        rest = rest.get(end + 1..)?;
        let mut conditions = Vec::new();
        loop {
            let value = match self.word(rest.first()) {
                "when" => true,
                "unless" => false,
                ";" | "" => return Some((scope, conditions)),
                _ => return None,
            };
            self.part = if value { Part::When } else { Part::Unless };
            rest = rest.get(1..)?;
            let end = closing(rest)?;
            let tree = self.tree(rest.get(1..end)?);
            spread(tree, value, &mut conditions);
            rest = rest.get(end + 1..)?;
        }
    }

    fn tree(&mut self, marks: &[Mark]) -> Tree {
        let mut marks = marks;
        while let Some(inner) = self.bracketed(marks) {
            marks = inner;
        }
        if self.word(marks.first()) == "if" {
            return match self.branches(marks) {
                Some(parts) => Tree::If(Box::new(parts.map(|part| self.tree(part)))),
                None => self.clause(marks),
            };
        }
        let many = |this: &mut Self, parts: Vec<&[Mark]>| parts.into_iter().map(|part| this.tree(part)).collect();
        let parts = self.split(marks, "||");
        if parts.len() > 1 {
            return Tree::Any(many(self, parts));
        }
        let parts = self.split(marks, "&&");
        if parts.len() > 1 {
            return Tree::All(many(self, parts));
        }
        match marks.split_first() {
            Some((first, rest)) if self.word(Some(first)) == "!" && self.bracketed(rest).is_some() => {
                Tree::Not(Box::new(self.tree(rest)))
            }
            _ => self.clause(marks),
        }
    }

    /// What is inside `(…)`, where these brackets enclose all of it.
    fn bracketed<'m>(&self, marks: &'m [Mark]) -> Option<&'m [Mark]> {
        let end = closing(marks).filter(|end| self.word(marks.first()) == "(" && *end > 1)?;
        (end + 1 == marks.len()).then(|| marks.get(1..end))?
    }

    /// The parts between the occurrences of a token outside brackets.
    fn split<'m>(&self, marks: &'m [Mark], at: &str) -> Vec<&'m [Mark]> {
        let mut depth = 0;
        let parts = marks.split(|mark| {
            depth += usize::from(mark.opens);
            depth -= usize::from(mark.closes).min(depth);
            depth == 0 && self.word(Some(mark)) == at
        });
        parts.collect()
    }

    /// The parts of `if … then … else …`.
    fn branches<'m>(&self, marks: &'m [Mark]) -> Option<[&'m [Mark]; 3]> {
        let (mut depth, mut inner, mut then) = (0, 0, None);
        for (at, mark) in marks.iter().enumerate().skip(1) {
            depth += usize::from(mark.opens);
            depth -= usize::from(mark.closes).min(depth);
            match (depth, self.word(Some(mark))) {
                (0, "if") => inner += 1,
                (0, "then") if inner == 0 && then.is_none() => then = Some(at),
                (0, "else") if inner > 0 => inner -= 1,
                (0, "else") => {
                    let then = then?;
                    return Some([marks.get(1..then)?, marks.get(then + 1..at)?, marks.get(at + 1..)?]);
                }
                _ => {}
            }
        }
        None
    }

    fn clause(&mut self, marks: &[Mark]) -> Tree {
        let mut text = String::new();
        let mut end = None;
        let mut in_slot = false;
        for mark in marks {
            if end.is_some_and(|end| end < mark.start) {
                text.push(' ');
            }
            // A link's clauses are told with who stands in the slots.
            let word = match (self.word(Some(mark)), in_slot) {
                ("principal", true) => self.slots.principal.as_deref().unwrap_or("?principal"),
                ("resource", true) => self.slots.resource.as_deref().unwrap_or("?resource"),
                ("?", _) => "",
                (word, _) => word,
            };
            in_slot = self.word(Some(mark)) == "?";
            text.push_str(word);
            end = Some(mark.end);
        }
        self.found.push(Found { text, at: marks.first().map_or(0, |mark| mark.start), part: self.part });
        Tree::Clause(self.found.len() - 1)
    }
}

/// The place of the bracket that closes the first token.
fn closing(marks: &[Mark]) -> Option<usize> {
    let mut depth = 0usize;
    for (at, mark) in marks.iter().enumerate() {
        depth += usize::from(mark.opens);
        depth -= usize::from(mark.closes).min(depth);
        if depth == 0 {
            return (at > 0).then_some(at);
        }
    }
    None
}

/// Adds a tree to those that must hold together, in order; one that is a conjunction as its parts.
fn spread(tree: Tree, value: bool, out: &mut Vec<Wanted>) {
    match (tree, value) {
        (Tree::All(parts), true) | (Tree::Any(parts), false) => {
            parts.into_iter().for_each(|part| spread(part, value, out));
        }
        (Tree::Not(inner), _) => spread(*inner, !value, out),
        (tree, _) => out.push(Wanted { tree, value }),
    }
}
