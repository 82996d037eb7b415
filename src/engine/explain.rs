//! Why a request is answered as it is. Nothing here decides: the decision is [`decide`]'s, and where a policy's clauses
//! do not add up to what the decision says of it, the policy is told as a whole.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use cedar_policy::pst;

use super::env::Env;
use super::{decide, prepare, Linked};
use crate::bundle::clauses::{Clause, Dissector, Tree, Wanted};
use crate::bundle::{on_big_stack, Policy};
use crate::model::{
    clip, ClauseReason, Decision, DecisionError, Entity, EntityUid, Explanation, Part, PolicyReason, Request, Resource,
    Seen, Sight, Timestamp, Value,
};

/// Most permits that are told as the nearest ones.
const NEAREST: usize = 5;
/// Most clauses that are told of one policy.
const CLAUSES: usize = 8;
/// Most ancestors that are told of one entity.
const ANCESTORS: usize = 20;

/// Decides a request as [`decide`] does, and says why.
pub(crate) fn explain(
    linked: &Linked,
    request: &Request,
    now: &(dyn Fn() -> Result<Timestamp, DecisionError> + Sync),
) -> Explanation {
    let mut decision = Decision::default();
    decide(linked, request, now, &mut decision);
    let mut out =
        Explanation { decision, determining: Vec::new(), nearest: Vec::new(), in_scope: 0, failed: Vec::new() };
    // Policies were not asked, or Cedar could not ask them.
    if out.decision.errors().any(|e| e.policy().is_none()) {
        return out;
    }
    let told = on_big_stack(|| Explainer::tell(linked, request, now, &out.decision));
    if let Ok(Some((determining, nearest, in_scope, failed))) = told {
        (out.determining, out.nearest, out.in_scope, out.failed) = (determining, nearest, in_scope, failed);
        return out;
    }
    // There is no such thread to be had: what can be told without it.
    let whole = |id: &str, outcome| linked.bundle.policy(id).map(|policy| told_whole(policy, outcome));
    out.determining = out.decision.determining().filter_map(|id| whole(id, Ok(true))).collect();
    let failed = out.decision.errors().filter_map(|e| whole(e.policy()?, Err(e.message().into_owned())));
    out.failed = failed.collect();
    out
}

/// An answer with an error instead of a decision.
pub(crate) fn refused(linked: &Linked, error: DecisionError) -> Explanation {
    let mut decision = Decision::default();
    super::refuse(linked, error, &mut decision);
    Explanation { decision, determining: Vec::new(), nearest: Vec::new(), in_scope: 0, failed: Vec::new() }
}

type Told = (Vec<PolicyReason>, Vec<PolicyReason>, usize, Vec<PolicyReason>);

struct Explainer<'a> {
    linked: &'a Linked,
    request: &'a Request,
    env: Env<'a>,
    dissector: Dissector<'a>,
}

impl<'a> Explainer<'a> {
    fn tell(
        linked: &'a Linked,
        request: &'a Request,
        now: &(dyn Fn() -> Result<Timestamp, DecisionError> + Sync),
        decision: &Decision,
    ) -> Option<Told> {
        let mut env = Env::new(linked, &request.context);
        prepare(linked, request, now, &mut env).ok()?;
        let mut explainer = Self { linked, request, env, dissector: Dissector::new(&linked.bundle) };
        let determining = decision.determining().filter_map(|id| linked.bundle.policy(id));
        let determining: Vec<PolicyReason> = determining
            .map(|policy| if policy.is_forbid() { explainer.applied(policy) } else { reason(policy) })
            .collect();
        let failed = decision.errors().filter_map(|e| Some((linked.bundle.policy(e.policy()?)?, e.message())));
        let failed = failed.map(|(policy, message)| explainer.failed(policy, &message)).collect();
        let mut nearest = (Vec::new(), 0);
        if determining.is_empty() && !decision.indeterminate() {
            let errors: BTreeSet<&str> = decision.errors().filter_map(DecisionError::policy).collect();
            nearest = explainer.nearest(&errors);
        }
        Some((determining, nearest.0, nearest.1, failed))
    }

    /// A forbid that applied: what made it apply.
    fn applied(&mut self, policy: &Policy) -> PolicyReason {
        let Some(dissected) = self.dissector.dissect(policy) else { return told_whole(policy, Ok(true)) };
        let judge = Judge { env: &self.env, clauses: &dissected.clauses };
        if dissected.scope.iter().chain(&dissected.conditions).any(|wanted| judge.is_as_wanted(wanted) != Ok(true)) {
            return told_whole(policy, Ok(true));
        }
        let mut why = Vec::new();
        dissected.conditions.iter().for_each(|wanted| judge.why(&wanted.tree, wanted.value, &mut why));
        let held = dissected.conditions.len();
        PolicyReason { held, ..self.with(reason(policy), &judge, &why) }
    }

    /// A policy that could not be evaluated: the clause that failed.
    fn failed(&mut self, policy: &Policy, message: &str) -> PolicyReason {
        let whole = || told_whole(policy, Err(message.to_owned()));
        let Some(dissected) = self.dissector.dissect(policy) else { return whole() };
        let judge = Judge { env: &self.env, clauses: &dissected.clauses };
        let (held, stop) = judge.progress(dissected.scope.iter().chain(&dissected.conditions));
        let compiled = |at: usize| dissected.clauses.get(at).is_some_and(|clause| clause.condition.is_some());
        match stop {
            Some(Err(failed)) if compiled(failed) => {
                let held = held.saturating_sub(dissected.scope.len());
                PolicyReason { held, ..self.with(reason(policy), &judge, &[failed]) }
            }
            _ => whole(),
        }
    }

    /// The permits that came nearest, and how many have a scope that allows the request.
    fn nearest(&mut self, errors: &BTreeSet<&str>) -> (Vec<PolicyReason>, usize) {
        let bundle = &self.linked.bundle;
        let (mut near, mut far) = (Vec::new(), Vec::new());
        let deciding: HashSet<Arc<str>> = bundle.deciding(self.request).into_iter().collect();
        let permits = || bundle.policies().iter().filter(|p| !p.is_forbid() && !errors.contains(p.id()));
        for policy in permits().filter(|p| deciding.contains(p.id())) {
            let short = self.fell_short(policy);
            if short.1.in_scope {
                near.push(short)
            } else {
                far.push(short)
            }
        }
        let in_scope = near.len();
        if near.is_empty() {
            near = far;
            let others = permits().filter(|p| !deciding.contains(p.id()));
            near.extend(others.map(|policy| {
                let (left, reason) = self.fell_short(policy);
                (left, PolicyReason { in_scope: false, ..reason })
            }));
        }
        near.sort_by(|(left, a), (left_too, b)| {
            (Reverse(a.held), left, &a.id).cmp(&(Reverse(b.held), left_too, &b.id))
        });
        (near.into_iter().map(|(_, reason)| reason).take(NEAREST).collect(), in_scope)
    }

    /// A permit that did not apply, with the number of clauses that were left: the first one that was not as it had to
    /// be, or the parts of the scope that do not allow the request.
    fn fell_short(&mut self, policy: &Policy) -> (usize, PolicyReason) {
        let whole = || (0, told_whole(policy, Ok(false)));
        let Some(dissected) = self.dissector.dissect(policy) else { return whole() };
        let judge = Judge { env: &self.env, clauses: &dissected.clauses };
        let mut why = Vec::new();
        for wanted in dissected.scope.iter().filter(|wanted| judge.is_as_wanted(wanted) != Ok(true)) {
            judge.why(&wanted.tree, !wanted.value, &mut why);
        }
        if !why.is_empty() {
            // Of three parts, those that ask for nothing allow it too.
            let reason = PolicyReason { held: 3 - why.len().min(3), in_scope: false, ..reason(policy) };
            return (why.len(), self.with(reason, &judge, &why));
        }
        let (held, stop) = judge.progress(&dissected.conditions);
        let Some(Ok(wanted)) = stop else { return whole() };
        judge.why(&wanted.tree, !wanted.value, &mut why);
        let reason = PolicyReason { held, ..self.with(reason(policy), &judge, &why) };
        (dissected.conditions.len() - held, reason)
    }

    fn with(&self, reason: PolicyReason, judge: &Judge<'_>, clauses: &[usize]) -> PolicyReason {
        let file = reason.place.0.clone();
        let told = clauses.iter().take(CLAUSES).filter_map(|at| judge.clauses.get(*at)).map(|clause| ClauseReason {
            text: clip(clause.text.as_str()),
            place: (file.clone(), clause.place.0, clause.place.1),
            part: clause.part,
            outcome: judge.holds(clause),
            seen: Eyes { linked: self.linked, request: self.request, env: &self.env }.see(&clause.expr),
        });
        PolicyReason { clauses: told.collect(), more: clauses.len().saturating_sub(CLAUSES), ..reason }
    }
}

fn reason(policy: &Policy) -> PolicyReason {
    let (file, line) = policy.place();
    PolicyReason {
        id: policy.id().to_owned(),
        forbid: policy.is_forbid(),
        doc: policy.doc().map(str::to_owned),
        source: policy.source().map(str::to_owned),
        place: (file.to_owned(), line),
        in_scope: true,
        held: 0,
        clauses: Vec::new(),
        more: 0,
    }
}

/// A policy that could not be taken apart: it is its only clause.
fn told_whole(policy: &Policy, outcome: Result<bool, String>) -> PolicyReason {
    let reason = reason(policy);
    let text = clip(policy.text().split_whitespace().collect::<Vec<_>>().join(" "));
    let place = (reason.place.0.clone(), reason.place.1, 1);
    let clause = ClauseReason { text, place, part: Part::Policy, outcome, seen: Vec::new() };
    PolicyReason { clauses: vec![clause], ..reason }
}

/// Evaluates a policy clause by clause.
struct Judge<'e> {
    env: &'e Env<'e>,
    clauses: &'e [Clause],
}

impl<'e> Judge<'e> {
    fn holds(&self, clause: &'e Clause) -> Result<bool, String> {
        let condition = clause.condition.as_ref().ok_or("the clause is left to Cedar")?;
        self.env.holds(condition).map_err(|fault| clip(fault.to_string()))
    }

    /// Whether a tree holds; `Err` is the clause that failed.
    fn value(&self, tree: &Tree) -> Result<bool, usize> {
        Ok(match tree {
            Tree::Clause(at) => {
                let clause = self.clauses.get(*at).ok_or(*at)?;
                self.holds(clause).map_err(|_| *at)?
            }
            Tree::Not(inner) => !self.value(inner)?,
            Tree::All(parts) => {
                for part in parts {
                    if !self.value(part)? {
                        return Ok(false);
                    }
                }
                true
            }
            Tree::Any(parts) => {
                for part in parts {
                    if self.value(part)? {
                        return Ok(true);
                    }
                }
                false
            }
            Tree::If(parts) => {
                let [test, then, otherwise] = &**parts;
                self.value(if self.value(test)? { then } else { otherwise })?
            }
        })
    }

    fn is_as_wanted(&self, wanted: &Wanted) -> Result<bool, usize> {
        Ok(self.value(&wanted.tree)? == wanted.value)
    }

    /// How many are as wanted before the first that is not, and that one, or the clause that failed.
    fn progress<'w>(&self, wanted: impl IntoIterator<Item = &'w Wanted>) -> (usize, Option<Result<&'w Wanted, usize>>) {
        let mut held = 0;
        for each in wanted {
            match self.is_as_wanted(each) {
                Ok(true) => held += 1,
                Ok(false) => return (held, Some(Ok(each))),
                Err(failed) => return (held, Some(Err(failed))),
            }
        }
        (held, None)
    }

    /// The clauses for which a tree is `value`, which it is: for one of several that must all hold the first that does
    /// not, for alternatives of which none holds each of them.
    fn why(&self, tree: &Tree, value: bool, out: &mut Vec<usize>) {
        match (tree, value) {
            (Tree::Clause(at), _) => out.push(*at),
            (Tree::Not(inner), _) => self.why(inner, !value, out),
            (Tree::All(parts), true) | (Tree::Any(parts), false) => {
                parts.iter().for_each(|part| self.why(part, value, out));
            }
            (Tree::All(parts) | Tree::Any(parts), _) => {
                if let Some(first) = parts.iter().find(|part| self.value(part) == Ok(value)) {
                    self.why(first, value, out);
                }
            }
            (Tree::If(parts), _) => {
                let [test, then, otherwise] = &**parts;
                self.why(if self.value(test) == Ok(true) { then } else { otherwise }, value, out);
            }
        }
    }
}

/// Looks up what a clause asks for.
struct Eyes<'e, 'a> {
    linked: &'e Linked,
    request: &'e Request,
    env: &'e Env<'a>,
}

/// Why there is no value: what was asked for, and what was there; none where it is no access to an attribute or tag.
type NoValue = Option<(String, Sight)>;

impl Eyes<'_, '_> {
    /// All attributes and tags that a clause reads, and what the entities belong to that it asks that of.
    fn see(&self, expr: &pst::Expr) -> Vec<Seen> {
        let mut out: Vec<Seen> = Vec::new();
        self.walk(expr, &mut |of, sight| {
            let seen = Seen { of: clip(of), sight };
            if !out.contains(&seen) {
                out.push(seen);
            }
        });
        out
    }

    fn walk(&self, expr: &pst::Expr, say: &mut dyn FnMut(String, Sight)) {
        use pst::Expr as E;
        let mut tell = |path: Option<String>, found: Result<Value, NoValue>| match (path, found) {
            (Some(path), Ok(value)) => say(path, Sight::Value(value)),
            (_, Err(Some((path, sight)))) => say(path, sight),
            _ => {}
        };
        match expr {
            E::GetAttr { expr: of, .. } => {
                tell(path(expr), self.value(expr));
                if path(expr).is_none() {
                    self.walk(of, say);
                }
            }
            E::HasAttr { expr: of, attrs } => {
                let mut name = path(of);
                let mut found = self.value(of);
                for attr in attrs {
                    found = found.and_then(|value| self.attribute(&value, name.as_deref().ok_or(None)?, attr));
                    name = name.map(|name| step(&name, attr));
                }
                tell(name, found);
                if path(of).is_none() {
                    self.walk(of, say);
                }
            }
            E::BinaryOp { op: pst::BinaryOp::GetTag | pst::BinaryOp::HasTag, left, right } => {
                let name = path(left).zip(text(right));
                let found = self.value(left).and_then(|of| {
                    let (path, tag) = name.clone().ok_or(None)?;
                    self.tag(&of, &path, tag)
                });
                tell(name.as_ref().map(|(path, tag)| tag_path(path, tag)), found);
                if name.is_none() {
                    self.walk(left, say);
                    self.walk(right, say);
                }
            }
            E::BinaryOp { op, left, right } => {
                self.walk(left, say);
                if *op == pst::BinaryOp::In {
                    self.above(left, say);
                }
                self.walk(right, say);
            }
            E::Is { expr, in_expr, .. } => {
                self.walk(expr, say);
                if let Some(group) = in_expr {
                    self.above(expr, say);
                    self.walk(group, say);
                }
            }
            E::UnaryOp { expr, .. } | E::Like { expr, .. } => self.walk(expr, say),
            E::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|part| self.walk(part, say));
            }
            E::Set(items) => items.iter().for_each(|item| self.walk(item, say)),
            E::Record(fields) => fields.values().for_each(|field| self.walk(field, say)),
            _ => {}
        }
    }

    /// What the entity belongs to that stands left of an `in`. Of actions, and of those it lists, the schema says it.
    fn above(&self, expr: &pst::Expr, say: &mut dyn FnMut(String, Sight)) {
        let (Some(path), Ok(value)) = (path(expr), self.value(expr)) else { return };
        let Value::Entity(uid) = &value else { return };
        if uid.is_action() || self.linked.snapshot.layout().fixed_id(uid).is_some() {
            return;
        }
        let mut all: BTreeSet<EntityUid> = BTreeSet::new();
        let mut open = vec![uid.clone()];
        while let Some(uid) = open.pop() {
            let parents = self.entity(&uid).map(|entity| entity.parents().clone()).unwrap_or_default();
            open.extend(parents.into_iter().filter(|parent| all.insert(parent.clone())));
        }
        let total = all.len();
        say(path, Sight::Ancestors { first: all.into_iter().take(ANCESTORS).collect(), total });
    }

    fn entity(&self, uid: &EntityUid) -> Option<Entity> {
        match self.request.resource() {
            Resource::Inline(entity) if entity.uid() == uid => Some((**entity).clone()),
            _ => self.linked.snapshot.get(uid),
        }
    }

    /// The value of a variable, an access or an entity's name.
    fn value(&self, expr: &pst::Expr) -> Result<Value, NoValue> {
        match expr {
            pst::Expr::Var(pst::Var::Principal) => Ok(Value::Entity(self.request.principal().clone())),
            pst::Expr::Var(pst::Var::Action) => Ok(Value::Entity(self.request.action().clone())),
            pst::Expr::Var(pst::Var::Resource) => Ok(Value::Entity(self.request.resource().uid().clone())),
            pst::Expr::Var(pst::Var::Context) => Ok(Value::Record(self.env.completed())),
            pst::Expr::Literal(pst::Literal::EntityUID(uid)) => {
                Ok(Value::Entity(EntityUid::unchecked(uid.ty.to_string(), uid.eid.as_str())))
            }
            pst::Expr::GetAttr { expr, attr } => {
                let of = self.value(expr)?;
                self.attribute(&of, path(expr).as_deref().ok_or(None)?, attr)
            }
            pst::Expr::BinaryOp { op: pst::BinaryOp::GetTag, left, right } => {
                let of = self.value(left)?;
                self.tag(&of, path(left).as_deref().ok_or(None)?, text(right).ok_or(None)?)
            }
            _ => Err(None),
        }
    }

    fn attribute(&self, of: &Value, path: &str, name: &str) -> Result<Value, NoValue> {
        let missing = |sight| Some((step(path, name), sight));
        match of {
            Value::Entity(uid) => {
                let entity = self.entity(uid).ok_or_else(|| missing(Sight::NotStored))?;
                entity.attribute(name).cloned().ok_or_else(|| missing(Sight::Absent))
            }
            Value::Record(fields) => fields.get(name).cloned().ok_or_else(|| missing(Sight::Absent)),
            _ => Err(None),
        }
    }

    fn tag(&self, of: &Value, path: &str, tag: &str) -> Result<Value, NoValue> {
        let missing = |sight| Some((tag_path(path, tag), sight));
        let Value::Entity(uid) = of else { return Err(None) };
        let entity = self.entity(uid).ok_or_else(|| missing(Sight::NotStored))?;
        entity.tags().get(tag).cloned().ok_or_else(|| missing(Sight::Absent))
    }
}

/// The text of an access: `principal.role`. None for other expressions.
fn path(expr: &pst::Expr) -> Option<String> {
    Some(match expr {
        pst::Expr::Var(pst::Var::Principal) => "principal".into(),
        pst::Expr::Var(pst::Var::Action) => "action".into(),
        pst::Expr::Var(pst::Var::Resource) => "resource".into(),
        pst::Expr::Var(pst::Var::Context) => "context".into(),
        pst::Expr::Literal(pst::Literal::EntityUID(uid)) => {
            EntityUid::unchecked(uid.ty.to_string(), uid.eid.as_str()).to_string()
        }
        pst::Expr::GetAttr { expr, attr } => step(&path(expr)?, attr),
        pst::Expr::BinaryOp { op: pst::BinaryOp::GetTag, left, right } => tag_path(&path(left)?, text(right)?),
        _ => return None,
    })
}

fn step(path: &str, name: &str) -> String {
    match crate::model::is_name(name) && !name.contains(':') {
        true => format!("{path}.{name}"),
        false => format!("{path}[\"{}\"]", name.escape_debug()),
    }
}

fn tag_path(path: &str, tag: &str) -> String {
    format!("{path}.getTag(\"{}\")", tag.escape_debug())
}

fn text(expr: &pst::Expr) -> Option<&str> {
    match expr {
        pst::Expr::Literal(pst::Literal::String(text)) => Some(text.as_str()),
        _ => None,
    }
}
