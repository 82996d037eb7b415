//! What is answered: allowed or not, and why.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Timestamp;

/// The answer to one request.
///
/// `Decision::default()` is a denial, and stays one until the authorizer has decided.
#[derive(Clone, Default)]
pub struct Decision {
    pub(crate) allowed: bool,
    pub(crate) indeterminate: bool,
    /// Places in `names`, ascending.
    pub(crate) determining: Vec<u32>,
    pub(crate) errors: Vec<DecisionError>,
    pub(crate) revision: Revision,
    pub(crate) names: Option<Arc<Names>>,
    pub(crate) window: Option<Window>,
}

/// What decisions of one bundle are told with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The bundle's version.
    pub(crate) version: Arc<str>,
    /// Policy ids, sorted.
    pub(crate) policies: Vec<Arc<str>>,
}

impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        (self.allowed, self.indeterminate, self.revision, self.window)
            == (other.allowed, other.indeterminate, other.revision, other.window)
            && self.bundle() == other.bundle()
            && self.determining().eq(other.determining())
            && self.errors == other.errors
    }
}

impl Eq for Decision {}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("allowed", &self.allowed)
            .field("indeterminate", &self.indeterminate)
            .field("determining", &self.determining().collect::<Vec<_>>())
            .field("errors", &self.errors)
            .field("revision", &self.revision)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// An error met while deciding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionError {
    pub(crate) policy: Option<Arc<str>>,
    pub(crate) code: ErrorCode,
    pub(crate) message: Message,
}

/// What an error tells. What is met while deciding in the ordinary course of things is put in words when they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Refused(Refused, Window),
}

/// Why a window is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    WindowReversed,
    PeriodReversed,
    OutsidePeriod,
}

/// What kind of error was met while deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A policy could not be evaluated.
    Evaluation,
    /// The principal is not stored.
    UnknownPrincipal,
    /// The resource is neither stored nor in the request.
    UnknownResource,
    /// The request does not fit the schema, or its inline resource breaks a rule.
    InvalidRequest,
    /// The inline resource's uid is stored too.
    InlineConflict,
    /// The snapshot cannot be shown to be fresh.
    Stale,
    /// The clock went back, or cannot be read.
    Clock,
    /// The window asked for is reversed, or has nothing in common with the auditor's period.
    Window,
    /// The request could not be read.
    Unreadable,
}

impl ErrorCode {
    /// The code in JSON and in Python.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Evaluation => "evaluation",
            ErrorCode::UnknownPrincipal => "unknown_principal",
            ErrorCode::UnknownResource => "unknown_resource",
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::InlineConflict => "inline_conflict",
            ErrorCode::Stale => "stale",
            ErrorCode::Clock => "clock",
            ErrorCode::Window => "window",
            ErrorCode::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DecisionError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { policy: None, code, message: Message::Text(super::clip(message)) }
    }

    /// A window that is refused: it, or the period that is to blame.
    pub(crate) fn refused(why: Refused, window: Window) -> Self {
        Self { policy: None, code: ErrorCode::Window, message: Message::Refused(why, window) }
    }

    /// The policy that could not be evaluated; none for errors of the request or the state.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// What kind of error it is.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The error in words, one line.
    pub fn message(&self) -> Cow<'_, str> {
        match &self.message {
            Message::Text(text) => text.into(),
            Message::Refused(why, Window { from, to }) => match why {
                Refused::WindowReversed => format!("the window begins at {from}, after its end {to}"),
                Refused::PeriodReversed => format!("the period begins at {from}, after its end {to}"),
                Refused::OutsidePeriod => format!("nothing of {from} to {to} is in the auditor's period"),
            }
            .into(),
        }
    }
}

/// Which state of the entities a decision was made on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// Changes with each load from scratch.
    pub epoch: u64,
    /// Grows by one with each replacement of entities.
    pub number: u64,
}

/// The effective window of an audit download: both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first instant.
    pub from: Timestamp,
    /// Its last instant.
    pub to: Timestamp,
}

impl Decision {
    /// Whether the request is allowed.
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// Whether the policies' own answer could not be trusted; such a decision is always a denial.
    pub fn indeterminate(&self) -> bool {
        self.indeterminate
    }

    /// The ids of the policies that determined the decision, sorted: for an allow the permits that matched,
    /// for a denial the forbids; empty where no policy matched.
    pub fn determining(&self) -> impl ExactSizeIterator<Item = &str> {
        let names = self.names.as_deref();
        self.determining.iter().map(move |at| names.and_then(|n| n.policies.get(*at as usize)).map_or("", |id| &**id))
    }

    /// The errors met, those of no policy first, then by policy id.
    pub fn errors(&self) -> impl ExactSizeIterator<Item = &DecisionError> {
        self.errors.iter()
    }

    /// The state of the entities it was made on.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The version of the bundle it was made by: a hash of schema and policies.
    pub fn bundle(&self) -> &str {
        self.names.as_ref().map_or("", |names| &names.version)
    }

    /// The effective window, where the request asked for one that was clamped.
    pub fn window(&self) -> Option<Window> {
        self.window
    }

    /// The decision as JSON: `{"decision", "indeterminate", "determining", "errors", "revision", "bundle"}`
    /// and `"window"` where there is one.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::json;
        let errors =
            self.errors.iter().map(|e| json!({"policy": e.policy(), "code": e.code.as_str(), "message": e.message()}));
        let mut out = json!({
            "decision": if self.allowed { "allow" } else { "deny" },
            "indeterminate": self.indeterminate,
            "determining": self.determining().collect::<Vec<_>>(),
            "errors": errors.collect::<Vec<_>>(),
            "revision": {"epoch": self.revision.epoch, "number": self.revision.number},
            "bundle": self.bundle(),
        });
        if let (Some(window), Some(object)) = (self.window, out.as_object_mut()) {
            object.insert("window".into(), json!({"from": window.from.to_string(), "to": window.to.to_string()}));
        }
        out
    }

    /// Makes this a denial with nothing else in it, keeping its buffers.
    #[inline]
    pub(crate) fn reset(&mut self, revision: Revision, names: &Arc<Names>) {
        self.allowed = false;
        self.indeterminate = false;
        self.determining.clear();
        if !self.errors.is_empty() {
            self.errors.clear();
        }
        self.revision = revision;
        // A count that all threads would change is left alone where it can be.
        if !self.names.as_ref().is_some_and(|own| Arc::ptr_eq(own, names)) {
            self.names = Some(Arc::clone(names));
        }
        self.window = None;
    }

    /// Makes this an indeterminate denial for `error`.
    pub(crate) fn refuse(&mut self, error: DecisionError) {
        self.allowed = false;
        self.indeterminate = true;
        self.errors.push(error);
    }
}
