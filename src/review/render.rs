//! What a review found, as JSON for programs.

use serde_json::{json, Value as Json};

use super::diff::{Change, Diff, Group, Wall, WallChange};
use super::policies::{Edit, PolicyChange};
use crate::model::Decision;

impl Diff {
    /// The difference as JSON. Every key is always there.
    ///
    /// `{"changed", "loosens", "tried": {"small_world", "cases", "decided"}, "schema_edited", "policies", "walls",
    /// "loosened", "tightened", "other_reason", "only_old", "only_new", "untried"}`; the five kinds of changed requests
    /// are `{"count", "groups"}`, each group with one witness.
    pub fn to_json(&self) -> Json {
        let kind = |change: Change| {
            let groups: Vec<Json> = self.groups.iter().filter(|g| g.change == change).map(group).collect();
            json!({"count": self.count(change), "groups": groups})
        };
        let untried = self.untried.iter().map(
            |u| json!({"action": u.action.to_string(), "principal": u.principal, "resource": u.resource, "why": u.why}),
        );
        json!({
            "changed": self.is_changed(),
            "loosens": self.is_loosened(),
            "tried": {
                "small_world": self.tried.small_world, "cases": self.tried.cases, "decided": self.tried.decided,
            },
            "schema_edited": self.schema_edited,
            "policies": self.policies.iter().map(policy).collect::<Vec<_>>(),
            "walls": self.walls.iter().map(wall).collect::<Vec<_>>(),
            "loosened": kind(Change::Loosened),
            "tightened": kind(Change::Tightened),
            "other_reason": kind(Change::OtherReason),
            "only_old": kind(Change::OnlyOld),
            "only_new": kind(Change::OnlyNew),
            "untried": untried.collect::<Vec<_>>(),
        })
    }
}

fn policy(change: &PolicyChange) -> Json {
    let place =
        |place: &Option<(String, usize)>| place.as_ref().map(|(file, line)| json!({"file": file, "line": line}));
    let was = match &change.edit {
        Edit::Renamed(was) => Some(was),
        _ => None,
    };
    json!({
        "id": change.id, "change": change.edit.as_str(), "was": was,
        "effect": if change.forbid { "forbid" } else { "permit" },
        "old": place(&change.old_place), "new": place(&change.new_place),
    })
}

fn wall(wall: &Wall) -> Json {
    let change = match wall.change {
        WallChange::Gone => "gone",
        WallChange::Permit => "permit",
        WallChange::Edited => "edited",
        WallChange::Schema => "schema",
    };
    json!({
        "id": wall.id, "doc": wall.doc, "change": change, "loosened": wall.loosened,
        "still_denied": wall.still_denied,
    })
}

fn group(group: &Group) -> Json {
    let witness = &group.witness;
    json!({
        "principal": group.principal, "role": group.role, "action": group.action.to_string(),
        "resource": group.resource, "count": group.count, "allowed": group.allowed,
        "witness": {
            "request": witness.request.to_json(),
            "case": witness.case.as_ref().map(|(file, name)| json!({"file": file, "name": name})),
            "old": answer(&witness.old), "new": answer(&witness.new),
        },
    })
}

/// A decision without what differs from run to run or is the same for all.
fn answer(decision: &Decision) -> Json {
    let mut json = decision.to_json();
    if let Some(fields) = json.as_object_mut() {
        fields.remove("revision");
        fields.remove("bundle");
    }
    json
}
