//! What an edit of the policies changes: every request of the small world, and every policy test, decided under the old
//! bundle and under the new.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use super::cases::Cases;
use super::policies::{Edit, PolicyChange, SideBySide};
use super::small::{fitting, SmallWorld, Untried};
use crate::bundle::Bundle;
use crate::engine::{self, Linked};
use crate::entities::Snapshot;
use crate::model::{grc, Decision, DecisionError, Entity, EntityUid, ErrorCode, Request, Value};

/// How the two answers to a request differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was denied and is allowed.
    Loosened,
    /// It was allowed and is denied.
    Tightened,
    /// The same answer, by other policies or with other errors.
    OtherReason,
    /// It can be asked under the old bundle alone: it does not fit the new schema, or what it is about does not.
    OnlyOld,
    /// It can be asked under the new bundle alone.
    OnlyNew,
}

/// Requests of one kind that changed in the same way.
#[derive(Debug, Clone)]
pub struct Group {
    /// How they changed.
    pub change: Change,
    /// The type of the principal.
    pub principal: String,
    /// The principal's role, where it has one.
    pub role: Option<String>,
    /// The action.
    pub action: EntityUid,
    /// The type of the resource.
    pub resource: String,
    /// How many requests.
    pub count: usize,
    /// How many of them one of the two bundles allows.
    pub allowed: usize,
    /// The first of them.
    pub witness: Witness,
}

/// One request with both answers.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The request.
    pub request: Request,
    /// The file and name of the policy test it comes from; none for a request of the small world.
    pub case: Option<(PathBuf, String)>,
    /// The answer of the old bundle.
    pub old: Decision,
    /// The answer of the new bundle.
    pub new: Decision,
}

/// A `forbid` of the old bundle that no longer stands as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// Its old id.
    pub id: String,
    /// Its old `@doc`.
    pub doc: Option<String>,
    /// What happened to it.
    pub change: WallChange,
    /// How many requests that it denied are allowed now.
    pub loosened: usize,
    /// How many requests that it denied stay denied without it: another forbid denies them, or no policy permits them.
    pub still_denied: usize,
}

/// What happened to a wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallChange {
    /// The policy is gone.
    Gone,
    /// The policy is a permit now.
    Permit,
    /// The policy was edited.
    Edited,
    /// The policy says what it said, and the schema changed around it.
    Schema,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried {
    /// Requests of the small world; none where neither bundle is about the built-in model.
    pub small_world: Option<usize>,
    /// Policy tests, those in both folders counted once.
    pub cases: usize,
    /// How many of all these were decided twice. For the others no policy that can apply changed.
    pub decided: usize,
}

/// What an edit changes.
#[derive(Debug, Clone)]
pub struct Diff {
    /// The policies that differ.
    pub policies: Vec<PolicyChange>,
    /// The walls that are gone or weaker.
    pub walls: Vec<Wall>,
    /// The requests that are answered differently, by kind.
    pub groups: Vec<Group>,
    /// Kinds of requests that one of the schemas declares, that the edit touches, and that could not be tried.
    pub untried: Vec<Untried>,
    /// Whether the schema declares something else; comments and layout do not count.
    pub schema_edited: bool,
    /// How much was compared.
    pub tried: Tried,
}

/// Compares two bundles on the small world and on the policy tests of both, whatever answers these expect. `context.now`
/// is the small world's where a policy test leaves it out.
pub fn diff(old: &Bundle, new: &Bundle, old_cases: &Cases, new_cases: &Cases) -> Diff {
    diff_some(old, new, (old_cases, new_cases), usize::MAX)
}

/// As [`diff`], deciding about `most` requests of the small world for each role, action and type of resource and leaving
/// out the rest: for tests that compare many edits in an unoptimised build.
#[doc(hidden)]
pub fn diff_some(old: &Bundle, new: &Bundle, (old_cases, new_cases): (&Cases, &Cases), most: usize) -> Diff {
    let schema = |bundle: &Bundle| bundle.sources().schema().map(|s| s.text().to_owned());
    let same_schema = schema(old) == schema(new);
    let sides = SideBySide::of(old, new);
    let bundles = Bundles { old, new, sides: &sides, same_schema };
    let mut tally = Tally::default();
    let mut tried = Tried::default();
    let mut untried = Vec::new();
    if let Some(world) = small_world(&bundles, &mut untried) {
        tried.small_world = Some(world.questions.len());
        tried.decided += bundles.compare(&world, most, &mut tally);
    }
    for set in case_sets(&bundles, old_cases, new_cases) {
        tried.cases += set.questions.len();
        tried.decided += bundles.compare(&set, usize::MAX, &mut tally);
    }
    let walls = walls(&bundles, &tally);
    let Tally { groups, .. } = tally;
    Diff {
        walls,
        groups: groups.into_values().collect(),
        untried,
        schema_edited: old.inner.types != new.inner.types,
        tried,
        policies: sides.changes,
    }
}

impl Diff {
    /// How many requests changed in this way.
    pub fn count(&self, change: Change) -> usize {
        self.groups.iter().filter(|g| g.change == change).map(|g| g.count).sum()
    }

    /// Whether there is anything to tell at all.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.groups.is_empty() && self.untried.is_empty() && !self.schema_edited
    }

    /// Whether some request could be asked under one bundle only, or could not be tried although the edit touches it.
    pub fn is_incomparable(&self) -> bool {
        let nothing_tried = self.tried.cases == 0 && self.tried.small_world.unwrap_or(0) == 0;
        self.count(Change::OnlyOld) + self.count(Change::OnlyNew) > 0
            || !self.untried.is_empty()
            || (nothing_tried && self.is_changed())
    }

    /// Whether decisions, their reasons, or what policies or schema say differ. Only annotations, comments and layout
    /// may.
    pub fn is_changed(&self) -> bool {
        let says_else = |p: &PolicyChange| p.edit != Edit::Reworded;
        !self.groups.is_empty() || !self.untried.is_empty() || self.schema_edited || self.policies.iter().any(says_else)
    }

    /// Whether something was loosened: a request that was denied is allowed, a wall is gone or a permit now, or
    /// something could not be compared.
    pub fn is_loosened(&self) -> bool {
        let gone = |wall: &Wall| matches!(wall.change, WallChange::Gone | WallChange::Permit);
        self.count(Change::Loosened) > 0 || self.walls.iter().any(gone) || self.is_incomparable()
    }
}

/// Requests over one state of the entities, which may not fit one of the bundles.
struct Set<'a> {
    old: Result<Snapshot, DecisionError>,
    new: Result<Snapshot, DecisionError>,
    questions: Vec<Question<'a>>,
}

/// A request, with the file and name of the policy test it is of.
type Question<'a> = (Cow<'a, Request>, Option<(PathBuf, String)>);

impl Set<'_> {
    /// The role of a stored principal.
    fn role(&self, principal: &EntityUid) -> Option<String> {
        let states = [&self.old, &self.new].into_iter().flatten();
        let roles = states.filter_map(|state| state.get(principal)?.attribute("role").cloned());
        roles.into_iter().find_map(|role| match &role {
            Value::Entity(role) => Some(role.id().to_owned()),
            _ => None,
        })
    }
}

struct Bundles<'a> {
    old: &'a Bundle,
    new: &'a Bundle,
    sides: &'a SideBySide,
    same_schema: bool,
}

#[derive(Default)]
struct Tally {
    groups: BTreeMap<Kind, Group>,
    /// By old forbid: requests it denied that are allowed now, and that stay denied without it.
    walls: HashMap<String, (usize, usize)>,
}

/// What requests of one group have in common; groups stand in this order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    change: Change,
    principal: String,
    /// Where the role stands among all, then the role.
    role: (usize, Option<String>),
    action: EntityUid,
    resource: String,
}

/// A request of a set whose answers differ: where it stands, and both answers.
type Found = (usize, Decision, Decision);

impl Bundles<'_> {
    /// Whether no policy that can apply to the request, and nothing in the schema, differs: then the answers cannot.
    fn untouched(&self, request: &Request) -> bool {
        self.same_schema && self.sides.say_the_same(&self.old.deciding(request), &self.new.deciding(request))
    }

    /// Compares the answers to all requests of a set. Gives how many had to be decided.
    fn compare(&self, set: &Set<'_>, most: usize, tally: &mut Tally) -> usize {
        let mut touched: HashMap<(&str, &EntityUid, &str), bool> = HashMap::new();
        let fits_both = set.old.is_ok() && set.new.is_ok();
        let mut open = Vec::new();
        for (at, (request, _)) in set.questions.iter().enumerate() {
            let kind = (request.principal().type_name(), request.action(), request.resource().uid().type_name());
            if !fits_both || *touched.entry(kind).or_insert_with(|| !self.untouched(request)) {
                open.push(at);
            }
        }
        if most < usize::MAX {
            open = Self::sample(set, open, most);
        }
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = open.len().div_ceil(workers).max(256);
        let found: Vec<Found> = std::thread::scope(|scope| {
            let shares = open.chunks(share).map(|share| scope.spawn(|| self.decide(set, share)));
            let shares: Vec<_> = shares.collect();
            let join = |share: std::thread::ScopedJoinHandle<'_, Vec<Found>>| match share.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            shares.into_iter().flat_map(join).collect()
        });
        for (at, before, after) in found {
            if let Some((request, case)) = set.questions.get(at) {
                self.record(set, (request, case), (before, after), tally);
            }
        }
        open.len()
    }

    /// About `most` of the requests of each kind and role; all where the principal has no role.
    fn sample(set: &Set<'_>, mut open: Vec<usize>, most: usize) -> Vec<usize> {
        let kind = |at: usize| {
            let request = &set.questions.get(at)?.0;
            let role = set.role(request.principal())?;
            Some((role, request.action(), request.resource().uid().type_name()))
        };
        let mut counts: HashMap<_, u64> = HashMap::new();
        open.iter().for_each(|at| *counts.entry(kind(*at)).or_default() += 1);
        // Scattered, so that every principal and every resource has its share.
        let scattered = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let one_in = |at: usize| match kind(at) {
            Some(kind) => counts.get(&Some(kind)).map_or(1, |n| n.div_ceil(most as u64)).max(1),
            None => 1,
        };
        open.retain(|at| scattered(*at).is_multiple_of(one_in(*at)));
        open
    }

    fn decide(&self, set: &Set<'_>, share: &[usize]) -> Vec<Found> {
        let link = |bundle: &Bundle, snapshot: &Result<Snapshot, DecisionError>| {
            let linked = Linked::new(bundle.clone(), snapshot.clone()?);
            linked.map_err(|e| DecisionError::new(ErrorCode::InvalidRequest, e.to_string()))
        };
        let (old, new) = (link(self.old, &set.old), link(self.new, &set.new));
        let answer = |linked: &Result<Linked, DecisionError>, request: &Request| {
            let mut decision = Decision::default();
            match linked {
                Ok(linked) => engine::decide(linked, request, &|| Ok(SmallWorld::now()), &mut decision),
                Err(error) => decision.refuse(error.clone()),
            }
            decision
        };
        let mut found = Vec::new();
        for at in share {
            let Some((request, _)) = set.questions.get(*at) else {
                continue;
            };
            let (old, new) = (answer(&old, request), answer(&new, request));
            if self.change(&old, &new).is_some() {
                found.push((*at, old, new));
            }
        }
        found
    }

    fn change(&self, old: &Decision, new: &Decision) -> Option<Change> {
        match (is_askable(old), is_askable(new)) {
            (true, false) => return Some(Change::OnlyOld),
            (false, true) => return Some(Change::OnlyNew),
            _ => {}
        }
        match (old.allowed, new.allowed) {
            (false, true) => return Some(Change::Loosened),
            (true, false) => return Some(Change::Tightened),
            _ => {}
        }
        let mut reasons: Vec<&str> = old.determining().map(|id| self.sides.renamed(id)).collect();
        reasons.sort_unstable();
        let errors = |decision: &Decision, renamed: &dyn Fn(&str) -> String| {
            let mut errors: Vec<_> = decision.errors().map(|e| (e.policy().map(renamed), e.code().as_str())).collect();
            errors.sort();
            errors
        };
        let same = reasons.into_iter().eq(new.determining())
            && old.indeterminate == new.indeterminate
            && errors(old, &|id| self.sides.renamed(id).to_owned()) == errors(new, &str::to_owned);
        (!same).then_some(Change::OtherReason)
    }

    fn record(
        &self,
        set: &Set<'_>,
        (request, case): (&Request, &Option<(PathBuf, String)>),
        (old, new): (Decision, Decision),
        tally: &mut Tally,
    ) {
        let Some(change) = self.change(&old, &new) else {
            return;
        };
        if matches!(change, Change::Loosened | Change::Tightened | Change::OtherReason) {
            let forbids = old.determining().filter(|id| self.old.policy(id).is_some_and(crate::Policy::is_forbid));
            for id in forbids {
                let stands = new.determining().any(|now| now == self.sides.renamed(id));
                let counts = tally.walls.entry(id.to_owned()).or_default();
                counts.0 += usize::from(new.allowed);
                counts.1 += usize::from(!new.allowed && !stands);
            }
        }
        let role = set.role(request.principal());
        let rank = role.as_deref().and_then(|id| grc::Role::ALL.iter().position(|role| role.id() == id));
        let (principal, action) = (request.principal().type_name().to_owned(), request.action().clone());
        let resource = request.resource().uid().type_name().to_owned();
        let allowed = usize::from(old.allowed || new.allowed);
        let kind = Kind {
            change,
            principal: principal.clone(),
            role: (rank.unwrap_or(usize::MAX), role.clone()),
            action: action.clone(),
            resource: resource.clone(),
        };
        let group = tally.groups.entry(kind).or_insert_with(|| {
            let witness = Witness { request: request.clone(), case: case.clone(), old, new };
            Group { change, principal, role, action, resource, count: 0, allowed: 0, witness }
        });
        group.count += 1;
        group.allowed += allowed;
    }
}

/// Whether the request could be asked: it fits the schema, and its principal and resource exist.
fn is_askable(decision: &Decision) -> bool {
    use ErrorCode::{InlineConflict, InvalidRequest, UnknownPrincipal, UnknownResource};
    let unasked = [InvalidRequest, UnknownPrincipal, UnknownResource, InlineConflict];
    !decision.errors().any(|e| e.policy().is_none() && unasked.contains(&e.code()))
}

/// The small worlds of both schemas as one: what only one schema declares is in it too.
fn small_world(bundles: &Bundles<'_>, untried: &mut Vec<Untried>) -> Option<Set<'static>> {
    let mut worlds = vec![SmallWorld::of(bundles.old)];
    if !bundles.same_schema {
        worlds.push(SmallWorld::of(bundles.new));
    }
    let mut entities: Vec<Entity> = Vec::new();
    let mut questions = Vec::new();
    let mut known = HashSet::new();
    let worlds: Vec<SmallWorld> = worlds.into_iter().flatten().collect();
    for world in &worlds {
        for entity in world.entities() {
            if !entities.iter().any(|e| e.uid() == entity.uid()) {
                entities.push(entity.clone());
            }
        }
        for request in world.requests() {
            if worlds.len() == 1 || known.insert(request.to_json().to_string()) {
                questions.push((Cow::Owned(request.clone()), None));
            }
        }
        for kind in world.untried() {
            let uid = |name: &str| EntityUid::unchecked(name, "");
            let like = Request::new(uid(&kind.principal), kind.action.clone(), uid(&kind.resource));
            if !untried.contains(kind) && !bundles.untouched(&like) {
                untried.push(kind.clone());
            }
        }
    }
    if worlds.is_empty() {
        return None;
    }
    let (old, new) = (fitting(bundles.old, &entities).0, fitting(bundles.new, &entities).0);
    Some(Set { old: Ok(old), new: Ok(new), questions })
}

/// The policy tests, by the state of the entities they share. A test that is in both folders stands once.
fn case_sets<'a>(bundles: &Bundles<'_>, old: &'a Cases, new: &'a Cases) -> Vec<Set<'a>> {
    let mut sets = Vec::new();
    let fit = |bundle: &Bundle, state: &Snapshot| match state.clone().fitted(bundle) {
        Ok(state) => Ok(state),
        Err(error) => {
            let first = error.faults().first().map(ToString::to_string).unwrap_or_default();
            Err(DecisionError::new(ErrorCode::InvalidRequest, format!("the entities do not fit: {first}")))
        }
    };
    let name = |path: &PathBuf| path.file_name().map(std::ffi::OsStr::to_owned);
    let same_state = |a: Option<&Snapshot>, b: Option<&Snapshot>| match (a, b) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().all(|e| b.get(e.uid()).as_ref() == Some(&e)),
        _ => false,
    };
    // Rows of a table can ask the same in another context, under one name.
    let mut by_name: HashMap<&str, Vec<&super::Case>> = HashMap::new();
    old.cases.iter().for_each(|case| by_name.entry(case.name.as_str()).or_default().push(case));
    for (cases, is_new) in [(old, false), (new, true)] {
        for (at, state) in cases.states.iter().enumerate() {
            let repeated: Vec<bool> =
                old.states.iter().map(|other| is_new && same_state(Some(other), Some(state))).collect();
            let known = |case: &super::Case| {
                by_name.get(case.name.as_str()).into_iter().flatten().any(|other| {
                    repeated.get(other.state).copied().unwrap_or(false)
                        && name(&other.file) == name(&case.file)
                        && other.request == case.request
                })
            };
            let questions = cases.cases.iter().filter(|case| case.state == at && !known(case));
            let questions: Vec<_> = questions
                .map(|case| (Cow::Borrowed(&case.request), Some((case.file.clone(), case.name.clone()))))
                .collect();
            let (old, new) = match is_new {
                false => (Ok(state.clone()), fit(bundles.new, state)),
                true => (fit(bundles.old, state), Ok(state.clone())),
            };
            sets.push(Set { old, new, questions });
        }
    }
    sets
}

/// The forbids of the old bundle that are gone, turned, or no longer deny what they denied.
fn walls(bundles: &Bundles<'_>, tally: &Tally) -> Vec<Wall> {
    let mut walls = Vec::new();
    for policy in bundles.old.policies().iter().filter(|p| p.is_forbid()) {
        let (loosened, still_denied) = tally.walls.get(policy.id()).copied().unwrap_or_default();
        let change = match bundles.sides.edit_of(policy.id()) {
            Some(Edit::Removed) => WallChange::Gone,
            Some(Edit::Turned) => WallChange::Permit,
            _ if loosened + still_denied == 0 => continue,
            Some(Edit::Edited) => WallChange::Edited,
            _ => WallChange::Schema,
        };
        let (id, doc) = (policy.id().to_owned(), policy.doc().map(str::to_owned));
        walls.push(Wall { id, doc, change, loosened, still_denied });
    }
    walls
}
