//! Why a request was answered as it was: policies, their clauses, and the values these saw.

use serde_json::{json, Value as Json};

use super::{clip, Decision, EntityUid, Value};

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub(crate) decision: Decision,
    pub(crate) determining: Vec<PolicyReason>,
    pub(crate) nearest: Vec<PolicyReason>,
    pub(crate) in_scope: usize,
    pub(crate) failed: Vec<PolicyReason>,
}

/// What a policy had to do with a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyReason {
    pub(crate) id: String,
    pub(crate) forbid: bool,
    pub(crate) doc: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) place: (String, usize),
    pub(crate) in_scope: bool,
    pub(crate) held: usize,
    pub(crate) clauses: Vec<ClauseReason>,
    pub(crate) more: usize,
}

/// What a part of a policy that is true or false by itself had to do with a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct ClauseReason {
    pub(crate) text: String,
    pub(crate) place: (String, usize, usize),
    pub(crate) part: Part,
    pub(crate) outcome: Result<bool, String>,
    pub(crate) seen: Vec<Seen>,
}

/// In which part of a policy a clause stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// What stands between the brackets after `permit` or `forbid`.
    Scope,
    /// A `when`.
    When,
    /// An `unless`.
    Unless,
    /// The clause is the whole policy, which could not be taken apart.
    Policy,
}

/// Something that a clause asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub(crate) of: String,
    pub(crate) sight: Sight,
}

/// What a clause saw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sight {
    /// This value.
    Value(Value),
    /// Nothing: the entity or record has no such attribute or tag.
    Absent,
    /// Nothing: the entity is not stored.
    NotStored,
    /// The entities that the entity belongs to, over any number of steps.
    Ancestors {
        /// In the order of type and id; at most twenty.
        first: Vec<EntityUid>,
        /// How many there are.
        total: usize,
    },
}

impl Part {
    /// The word for it in JSON: `scope`, `when`, `unless`, `policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Scope => "scope",
            Part::When => "when",
            Part::Unless => "unless",
            Part::Policy => "policy",
        }
    }
}

impl Explanation {
    /// The decision, as [`crate::Authorizer::is_authorized`] gives it.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The policies that determined it, sorted by id: for an allow the permits, without clauses; for a denial the
    /// forbids, with the clauses that made them apply.
    pub fn determining(&self) -> &[PolicyReason] {
        &self.determining
    }

    /// For a denial that no forbid made: the permits that came nearest, at most five, each with the first of its
    /// clauses that was not as it had to be. These are permits whose scope allows the request: those of which most
    /// clauses were as they had to be before the first that was not, then those with fewest clauses left, then by id.
    /// Where no permit's scope does, those of which most parts of the scope do, with the parts that do not.
    pub fn nearest(&self) -> &[PolicyReason] {
        &self.nearest
    }

    /// How many permits have a scope that allows the request, where [`Explanation::nearest`] was looked for.
    pub fn in_scope(&self) -> usize {
        self.in_scope
    }

    /// The policies that could not be evaluated, each with the clause that failed.
    pub fn failed(&self) -> &[PolicyReason] {
        &self.failed
    }

    /// The explanation as JSON: `{"decision", "determining", "nearest", "in_scope", "failed"}`.
    ///
    /// `decision` is [`Decision::to_json`]. A policy is `{"policy", "effect": "permit"|"forbid", "doc", "source",
    /// "file", "line", "in_scope", "held", "clauses", "more"}`. A clause is `{"text", "file", "line", "column", "part":
    /// "scope"|"when"|"unless"|"policy", "value": true, false or null where it failed, "error", "seen"}`. What it saw
    /// is `{"of"}` with one of `"value"` (as in Cedar's JSON), `"clipped"` (the beginning of a long value's text),
    /// `"missing"` (`"absent"` or `"not stored"`) and `"ancestors"` (the first twenty uids, as texts, with `"total"`).
    pub fn to_json(&self) -> Json {
        let list = |reasons: &[PolicyReason]| reasons.iter().map(PolicyReason::to_json).collect::<Vec<_>>();
        json!({
            "decision": self.decision.to_json(),
            "determining": list(&self.determining),
            "nearest": list(&self.nearest),
            "in_scope": self.in_scope,
            "failed": list(&self.failed),
        })
    }
}

impl PolicyReason {
    /// The policy's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is a `forbid`.
    pub fn is_forbid(&self) -> bool {
        self.forbid
    }

    /// Its `@doc`.
    pub fn doc(&self) -> Option<&str> {
        self.doc.as_deref()
    }

    /// Its `@source`.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The file and the line, from 1, where it begins.
    pub fn place(&self) -> (&str, usize) {
        (&self.place.0, self.place.1)
    }

    /// Whether its scope allows the request.
    pub fn in_scope(&self) -> bool {
        self.in_scope
    }

    /// How many of its clauses were as they had to be before the first that was not; where its scope does not allow
    /// the request, how many parts of the scope were.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The clauses that decided, in the order of the file, at most eight. For a permit that did not apply: what was not
    /// as it had to be; several where each would have been enough. None for a permit that applied, and for a forbid
    /// that is nothing but its scope.
    pub fn clauses(&self) -> &[ClauseReason] {
        &self.clauses
    }

    /// How many further clauses are left out.
    pub fn more(&self) -> usize {
        self.more
    }

    fn to_json(&self) -> Json {
        json!({
            "policy": self.id, "effect": if self.forbid { "forbid" } else { "permit" },
            "doc": self.doc, "source": self.source, "file": self.place.0, "line": self.place.1,
            "in_scope": self.in_scope, "held": self.held,
            "clauses": self.clauses.iter().map(ClauseReason::to_json).collect::<Vec<_>>(), "more": self.more,
        })
    }
}

impl ClauseReason {
    /// Its text on one line, without comments; at most 600 characters.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file, line and column, from 1, where it begins.
    pub fn place(&self) -> (&str, usize, usize) {
        (&self.place.0, self.place.1, self.place.2)
    }

    /// In which part of the policy it stands.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Whether it was true; none where it could not be evaluated.
    pub fn value(&self) -> Option<bool> {
        self.outcome.as_ref().ok().copied()
    }

    /// Why it could not be evaluated.
    pub fn error(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(String::as_str)
    }

    /// What it asked for, in the order of its text.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    fn to_json(&self) -> Json {
        json!({
            "text": self.text, "file": self.place.0, "line": self.place.1, "column": self.place.2,
            "part": self.part.as_str(), "value": self.value(), "error": self.error(),
            "seen": self.seen.iter().map(Seen::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Seen {
    /// What was asked for: `principal.role`, `context.window.from`; for [`Sight::Ancestors`] the entity.
    pub fn of(&self) -> &str {
        &self.of
    }

    /// What was there.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    fn to_json(&self) -> Json {
        match &self.sight {
            Sight::Absent => json!({"of": self.of, "missing": "absent"}),
            Sight::NotStored => json!({"of": self.of, "missing": "not stored"}),
            Sight::Ancestors { first, total } => {
                let first: Json = first.iter().map(ToString::to_string).collect();
                json!({"of": self.of, "ancestors": first, "total": total})
            }
            Sight::Value(value) => {
                let value = value.to_json();
                let text = value.to_string();
                match clip(text.as_str()) {
                    clipped if clipped == text => json!({"of": self.of, "value": value}),
                    clipped => json!({"of": self.of, "clipped": clipped}),
                }
            }
        }
    }
}
