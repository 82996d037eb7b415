//! The façade: a bundle, a snapshot and a clock; either of the first two is swapped while decisions go on.

use std::fmt;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bundle::Bundle;
use crate::engine::{self, Linked};
use crate::entities::{Changes, EntityError, EntitySource, Snapshot, SourceError};
use crate::model::{Decision, DecisionError, Entity, EntityUid, ErrorCode, Handle, Request, Revision, Timestamp};
use crate::publication::{Latest, Publication};
use crate::sync::Guard;

/// Where the present instant comes from.
pub trait Clock: Send + Sync {
    /// The present instant; none when it cannot be told.
    fn now(&self) -> Option<Timestamp>;
}

/// The system's clock, rounded down to milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Option<Timestamp> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?)
    }
}

impl<C: Clock + ?Sized> Clock for Box<C> {
    fn now(&self) -> Option<Timestamp> {
        (**self).now()
    }
}

/// A clock that stands still: for tests, and for deciding as of an instant.
impl Clock for Timestamp {
    fn now(&self) -> Option<Timestamp> {
        Some(*self)
    }
}

type Listener = dyn Fn(&Request, &Decision) + Send + Sync;
type Differing = dyn Fn(&Request, &Decision, &Decision) + Send + Sync;

/// What a share of decisions is compared with.
struct Shadow {
    one_in: u64,
    asked: AtomicU64,
    report: Box<Differing>,
}

/// Answers requests. `Send + Sync`: one is shared by all threads.
///
/// ```
/// use bailiwick::{grc, Authorizer};
/// let authorizer = Authorizer::builder().entities_json(&br#"[
///   {"uid": {"type": "Grc::Organization", "id": "acme"}, "attrs": {}, "parents": []},
///   {"uid": {"type": "Grc::Member", "id": "olga"}, "parents": [], "attrs": {
///     "organization": {"type": "Grc::Organization", "id": "acme"}, "role": {"type": "Grc::Role", "id": "OWNER"},
///     "active": true, "complianceTeam": false, "contributor": false, "clients": []}}
/// ]"#[..])?.build();
/// let request = grc::request(grc::member("olga"), grc::Action::ManageBilling, grc::organization("acme"));
/// let decision = authorizer.is_authorized(&request);
/// assert!(decision.allowed());
/// assert_eq!(decision.determining().collect::<Vec<_>>(), ["roles.manage-organization"]);
/// # Ok::<(), bailiwick::EntityError>(())
/// ```
pub struct Authorizer {
    state: Publication<Linked>,
    clock: Box<dyn Clock>,
    latest: Latest,
    listener: Option<Box<Listener>>,
    shadow: Option<Shadow>,
    freshness: Option<Arc<dyn Freshness>>,
}

/// Whether an authorizer can still show that it knows the newest entities.
pub(crate) trait Freshness: Send + Sync {
    /// The error to deny with, if it cannot.
    fn check(&self) -> Result<(), DecisionError>;
}

impl Shadow {
    /// Decides, and compares where it is the turn for that.
    #[cold]
    fn decide(&self, state: &Linked, request: &Request, now: engine::Now<'_>, decision: &mut Decision) {
        // Both are decided at one instant.
        let instant = std::cell::OnceCell::new();
        let now = || instant.get_or_init(now).clone();
        engine::decide(state, request, &now, decision);
        self.compare(state, request, &now, decision);
    }

    fn compare(&self, state: &Linked, request: &Request, now: engine::Now<'_>, ours: &Decision) {
        if !self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in) {
            return;
        }
        let mut cedars = Decision::default();
        engine::decide_by_cedar(state, request, now, &mut cedars);
        let errors = |d: &Decision| d.errors.iter().map(|e| (e.policy.clone(), e.code)).collect::<Vec<_>>();
        let same = (ours.allowed, ours.indeterminate, &ours.determining)
            == (cedars.allowed, cedars.indeterminate, &cedars.determining)
            && errors(ours) == errors(&cedars);
        if !same {
            (self.report)(request, ours, &cedars);
        }
    }
}

/// What an authorizer is doing, for a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How many entities it holds.
    pub entities: usize,
    /// The revision it decides on.
    pub revision: Revision,
    /// The version of its bundle.
    pub bundle: String,
    /// Whether its clock can be trusted now; without it requests that leave out `now` are denied.
    pub clock_ok: bool,
    /// Whether it knows, or must be taken to know, the newest entities; otherwise everything is denied.
    pub fresh: bool,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load();
        f.debug_struct("Authorizer")
            .field("bundle", &state.bundle().version())
            .field("snapshot", state.snapshot())
            .finish()
    }
}

/// Makes an [`Authorizer`]: by default with the built-in policies, no entities and the system's clock.
pub struct Builder {
    linked: Linked,
    clock: Box<dyn Clock>,
    listener: Option<Box<Listener>>,
    shadow: Option<Shadow>,
    freshness: Option<Arc<dyn Freshness>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bundle, snapshot) = (self.linked.bundle(), self.linked.snapshot());
        f.debug_struct("Builder").field("bundle", &bundle.version()).field("snapshot", snapshot).finish()
    }
}

impl Builder {
    /// Decides by `bundle`. Give it before the entities: they are checked against it.
    #[must_use]
    pub fn bundle(mut self, bundle: Bundle) -> Self {
        self.linked = Linked::empty(bundle);
        self
    }

    /// Reads entities from Cedar entity JSON.
    ///
    /// # Errors
    /// When the text is no array of entities or an entity breaks a rule: all bad entities at once.
    pub fn entities_json(self, reader: impl Read) -> Result<Self, EntityError> {
        let snapshot = Snapshot::from_json(self.linked.bundle(), reader)?;
        self.snapshot(snapshot)
    }

    /// Loads entities from an application's own store, once. [`Authorizer::refresh`] follows it later.
    ///
    /// # Errors
    /// When the source cannot be read, or what it gives breaks a rule.
    pub fn source(self, source: &dyn EntitySource) -> Result<Self, RefreshError> {
        let snapshot = load(self.linked.bundle(), source)?;
        Ok(self.snapshot(snapshot)?)
    }

    /// Decides on `snapshot`, which was made with the same bundle.
    ///
    /// # Errors
    /// When it does not fit the bundle.
    pub fn snapshot(mut self, snapshot: Snapshot) -> Result<Self, EntityError> {
        self.linked = Linked::new(self.linked.bundle().clone(), snapshot)?;
        Ok(self)
    }

    /// Takes the present instant from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Calls `listener` with every decision, on the thread that asked: for audit and metrics.
    #[must_use]
    pub fn on_decision(mut self, listener: impl Fn(&Request, &Decision) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Puts one in so many decisions to Cedar's own evaluator too, and calls `report` with the request, our decision and
    /// Cedar's where decision, determining policies or erroring policies differ. The answer stays ours. 0 is never.
    ///
    /// Cedar's evaluator recurses, and calls it an error of the policy when little stack is left: a policy of hundreds of
    /// chained operators can differ on a thread with a small stack.
    #[must_use]
    pub fn shadow(
        mut self,
        one_in: u32,
        report: impl Fn(&Request, &Decision, &Decision) + Send + Sync + 'static,
    ) -> Self {
        let shadow = Shadow { one_in: one_in.into(), asked: AtomicU64::new(0), report: Box::new(report) };
        self.shadow = (one_in > 0).then_some(shadow);
        self
    }

    /// Denies everything while `freshness` says so.
    #[allow(dead_code)] // without a directory nobody does
    pub(crate) fn freshness(mut self, freshness: Arc<dyn Freshness>) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// The authorizer.
    pub fn build(self) -> Authorizer {
        Authorizer {
            state: Publication::new(self.linked),
            clock: self.clock,
            latest: Latest::new(),
            listener: self.listener,
            shadow: self.shadow,
            freshness: self.freshness,
        }
    }
}

/// Why an authorizer could not follow its source. It goes on with the state it had.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What the source gave breaks a rule.
    #[error(transparent)]
    Entities(#[from] EntityError),
}

fn load(bundle: &Bundle, source: &dyn EntitySource) -> Result<Snapshot, RefreshError> {
    let (entities, revision) = source.load()?;
    Ok(Snapshot::from_entities(bundle, entities)?.at(revision))
}

impl Authorizer {
    /// Begins to make one.
    pub fn builder() -> Builder {
        let linked = Linked::empty(Bundle::builtin());
        Builder { linked, clock: Box::new(SystemClock), listener: None, shadow: None, freshness: None }
    }

    /// Whether the request is allowed, and why.
    pub fn is_authorized(&self, request: &Request) -> Decision {
        let mut decision = Decision::default();
        self.decide_into(request, &mut decision);
        decision
    }

    /// As [`Authorizer::is_authorized`], into a decision whose buffers are used again.
    pub fn decide_into(&self, request: &Request, decision: &mut Decision) {
        // Before the state is taken, which then is as new or newer.
        match self.fresh() {
            Ok(()) => self.decide(&self.state.load(), request, &|| self.now(), decision),
            Err(stale) => self.refuse(&self.state.load(), request, stale, decision),
        }
    }

    /// Decides all requests on one state and at one instant.
    pub fn is_authorized_many(&self, requests: &[Request]) -> Vec<Decision> {
        let fresh = self.fresh();
        let state = self.state.load();
        let now = std::cell::OnceCell::new();
        let now = || now.get_or_init(|| self.now()).clone();
        let mut decisions = vec![Decision::default(); requests.len()];
        for (request, decision) in requests.iter().zip(&mut decisions) {
            match &fresh {
                Ok(()) => self.decide(&state, request, &now, decision),
                Err(stale) => self.refuse(&state, request, stale.clone(), decision),
            }
        }
        decisions
    }

    #[inline(always)]
    fn decide(&self, state: &Linked, request: &Request, now: engine::Now<'_>, decision: &mut Decision) {
        match &self.shadow {
            None => engine::decide(state, request, now, decision),
            Some(shadow) => shadow.decide(state, request, now, decision),
        }
        if let Some(listener) = &self.listener {
            listener(request, decision);
        }
    }

    #[cold]
    fn refuse(&self, state: &Linked, request: &Request, stale: DecisionError, decision: &mut Decision) {
        engine::refuse(state, stale, decision);
        if let Some(listener) = &self.listener {
            listener(request, decision);
        }
    }

    pub(crate) fn state(&self) -> Guard<Arc<Linked>> {
        self.state.load()
    }

    /// The error to answer everything with, if the entities may not be the newest.
    #[inline]
    pub(crate) fn fresh(&self) -> Result<(), DecisionError> {
        match &self.freshness {
            None => Ok(()),
            Some(freshness) => freshness.check(),
        }
    }

    /// The present instant, never before the latest one seen: up to 2 s behind counts as that one, more is an error.
    pub(crate) fn now(&self) -> Result<Timestamp, DecisionError> {
        let error = |message: String| DecisionError::new(ErrorCode::Clock, message);
        let now = self.clock.now().ok_or_else(|| error("the clock cannot be read".into()))?;
        self.latest.see(now.millis()).map(Timestamp::any).map_err(|latest| {
            let seen = Timestamp::any(latest);
            error(format!("the clock went back: it shows {now}, and has shown {seen}"))
        })
    }

    /// Accepts the clock as it is now, after it was set back on purpose.
    pub fn reset_clock(&self) {
        self.latest.reset();
    }

    /// Puts single entities in and takes others out: all of `changes`, or on an error nothing. The next decision of
    /// any thread sees them.
    ///
    /// # Errors
    /// When an entity breaks a rule, or what remains refers to an entity that is taken out.
    pub fn apply(&self, changes: &Changes) -> Result<Revision, EntityError> {
        self.must_own_entities()?;
        self.replace(|state| Ok(state.with_changed(state.snapshot().apply(state.bundle(), changes)?)))
    }

    /// Replaces all entities by those of a Cedar entity JSON text.
    ///
    /// # Errors
    /// When the text is no array of entities or an entity breaks a rule; the old ones stay.
    pub fn replace_entities(&self, reader: impl Read) -> Result<Revision, EntityError> {
        self.must_own_entities()?;
        self.replace(|state| Linked::new(state.bundle().clone(), Snapshot::from_json(state.bundle(), reader)?))
    }

    /// Replaces all entities by these.
    ///
    /// # Errors
    /// When an entity breaks a rule; the old ones stay.
    pub fn replace_entities_with(&self, entities: Vec<Entity>) -> Result<Revision, EntityError> {
        self.must_own_entities()?;
        self.replace(|state| Linked::new(state.bundle().clone(), Snapshot::from_entities(state.bundle(), entities)?))
    }

    /// Replaces the bundle.
    ///
    /// # Errors
    /// When the stored entities do not fit the new schema; the old bundle stays.
    pub fn replace_bundle(&self, bundle: &Bundle) -> Result<Revision, EntityError> {
        self.replace(|state| Linked::new(bundle.clone(), state.snapshot().clone()))
    }

    /// Follows the source: by its changes where it can tell them, else by loading all of it again.
    ///
    /// # Errors
    /// When the source cannot be read or what it gives breaks a rule; the old entities stay.
    pub fn refresh(&self, source: &dyn EntitySource) -> Result<Revision, RefreshError> {
        self.must_own_entities()?;
        self.replace(|state| match source.changes_since(state.snapshot().revision())? {
            Some((changes, revision)) => {
                Ok(state.with_changed(state.snapshot().apply(state.bundle(), &changes)?.at(revision)))
            }
            None => Ok(Linked::new(state.bundle().clone(), load(state.bundle(), source)?)?),
        })
    }

    /// An error where the entities are a directory's: what others put in would pass for what the directory holds.
    fn must_own_entities(&self) -> Result<(), EntityError> {
        match self.freshness {
            None => Ok(()),
            Some(_) => Err(EntityError::of("the entities are a directory's: its commands change them")),
        }
    }

    fn replace<E>(&self, next: impl FnOnce(&Linked) -> Result<Linked, E>) -> Result<Revision, E> {
        Ok(self.replace_state(next)?.snapshot().revision())
    }

    /// Readies it for a process that was forked from the one that made it: see `Turn::renew`.
    #[allow(dead_code)] // without a directory nobody does
    pub(crate) fn renew(&self) {
        self.state.renew();
    }

    /// Puts what `next` makes of the current state in its place, and gives it.
    pub(crate) fn replace_state<E>(&self, next: impl FnOnce(&Linked) -> Result<Linked, E>) -> Result<Arc<Linked>, E> {
        self.state.replace(next)
    }

    /// A handle for `uid`, which requests can be made of: deciding them spares looking it up.
    pub fn resolve(&self, uid: &EntityUid) -> Handle {
        self.state.load().resolve(uid)
    }

    /// The bundle it decides by.
    pub fn bundle(&self) -> Bundle {
        self.state.load().bundle().clone()
    }

    /// The entities it decides on.
    pub fn snapshot(&self) -> Snapshot {
        self.state.load().snapshot().clone()
    }

    /// What it is doing.
    pub fn health(&self) -> Health {
        let state = self.state.load();
        Health {
            entities: state.snapshot().len(),
            revision: state.snapshot().revision(),
            bundle: state.bundle().version().to_owned(),
            clock_ok: self.now().is_ok(),
            fresh: self.fresh().is_ok(),
        }
    }
}
