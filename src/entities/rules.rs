//! The built-in model's own rules, beyond what its schema can say (policies/MODEL.md, "Things and people").

use std::borrow::Cow;

use super::record::{Held, Record};
use super::snapshot::Snapshot;
use crate::bundle::layout::NOWHERE;
use crate::bundle::types::Misfit;
use crate::model::{Entity, Timestamp, Value};

/// The entity types that rules speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Organization,
    Project,
    Guest,
    Invitation,
    Other,
}

impl Kind {
    fn of(type_name: &str) -> Self {
        match type_name {
            "Grc::Organization" => Kind::Organization,
            "Grc::Project" => Kind::Project,
            "Grc::Guest" => Kind::Guest,
            "Grc::Invitation" => Kind::Invitation,
            _ => Kind::Other,
        }
    }
}

/// The numbers of what the rules ask for, by type: looked up once, not for each of a million entities.
#[derive(Debug)]
pub(super) struct Numbers(Vec<(Kind, [u16; ATTRIBUTES.len()])>);

const ATTRIBUTES: [&str; 6] = ["organization", "project", "role", "period", "activeFrom", "activeUntil"];

impl Numbers {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let layout = snapshot.layout();
        let types = (0..u32::try_from(layout.types()).unwrap_or(u32::MAX)).map(|type_id| {
            let name = layout.type_name(type_id).map_or("", |name| name);
            (Kind::of(name), ATTRIBUTES.map(|attribute| layout.attribute(type_id, attribute)))
        });
        Self(types.collect())
    }

    fn get(&self, type_id: u32) -> (Kind, [u16; ATTRIBUTES.len()]) {
        // Types that the schema does not declare have no numbers.
        self.0.get(type_id as usize).copied().unwrap_or((Kind::Other, [NOWHERE; ATTRIBUTES.len()]))
    }
}

/// What the rules ask of an entity. Other entities are named by their slots.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) kind: Kind,
    parents: Cow<'a, [u32]>,
    pub(super) organization: Option<u32>,
    project: Option<u32>,
    has_role: bool,
    /// From when to when, in milliseconds since 1970.
    period: Option<(i64, i64)>,
    active_from: Option<i64>,
    active_until: Option<i64>,
}

impl<'a> Subject<'a> {
    /// A stored entity.
    pub(super) fn stored(numbers: &Numbers, record: &'a Record) -> Self {
        let (kind, numbers) = numbers.get(record.type_id);
        let [organization, project, role, period, from, until] = {
            let mut names = ATTRIBUTES.into_iter();
            numbers.map(|number| record.attribute(number, names.next().unwrap_or_default()))
        };
        let slot = |held: Option<Held<'_>>| match held {
            Some(Held::Entity(slot)) => Some(slot),
            _ => None,
        };
        let instant = |held: Option<Held<'_>>| match held {
            Some(Held::Datetime(ms)) => Some(ms),
            _ => None,
        };
        Self {
            kind,
            parents: Cow::Borrowed(record.parents()),
            organization: slot(organization),
            project: slot(project),
            has_role: role.is_some(),
            period: match period {
                Some(Held::Other(value)) => ends(value),
                _ => None,
            },
            active_from: instant(from),
            active_until: instant(until),
        }
    }

    /// An entity that comes with a request; all that it refers to is stored.
    pub(super) fn inline(snapshot: &'a Snapshot, entity: &'a Entity) -> Self {
        let slot = |name: &str| match entity.attribute(name) {
            Some(Value::Entity(uid)) => snapshot.find(uid),
            _ => None,
        };
        let instant = |name: &str| match entity.attribute(name) {
            Some(Value::Datetime(at)) => Some(at.millis()),
            _ => None,
        };
        Self {
            kind: Kind::of(entity.uid().type_name()),
            parents: entity.parents().iter().filter_map(|uid| snapshot.find(uid)).collect(),
            organization: slot("organization"),
            project: slot("project"),
            has_role: entity.attribute("role").is_some(),
            period: entity.attribute("period").and_then(ends),
            active_from: instant("activeFrom"),
            active_until: instant("activeUntil"),
        }
    }
}

/// From when to when a period is.
fn ends(value: &Value) -> Option<(i64, i64)> {
    let Value::Record(fields) = value else { return None };
    match (fields.get("from"), fields.get("to")) {
        (Some(Value::Datetime(from)), Some(Value::Datetime(to))) => Some((from.millis(), to.millis())),
        _ => None,
    }
}

/// Where an entity breaks a rule. `clients` says how many entities have it as their parent.
pub(super) fn check(
    snapshot: &Snapshot,
    numbers: &Numbers,
    subject: &Subject<'_>,
    clients: u32,
    out: &mut Vec<Misfit>,
) {
    let name = |slot: u32| snapshot.uid(slot).map(|uid| uid.to_string()).unwrap_or_default();
    let instant = |ms: i64| Timestamp::from_millis(ms).map(|at| at.to_string()).unwrap_or_default();
    let mut fault = |path: &str, message: String| out.push(Misfit::new(path, message));
    let parents = &subject.parents;
    match subject.kind {
        Kind::Organization => {
            if parents.len() > 1 {
                fault("parents", "an organization has at most one parent, its MSP".into());
            }
            for parent in parents.iter() {
                if snapshot.entity(*parent).is_some_and(|p| !p.parents().is_empty()) {
                    fault("parents", format!("`{}` is a client itself; a client has no clients", name(*parent)));
                }
            }
            if !parents.is_empty() && clients > 0 {
                fault("parents", "this organization has clients, so it cannot be a client itself".into());
            }
        }
        Kind::Guest if parents.len() != 1 => {
            fault("parents", format!("a guest is in exactly one project, this one in {}", parents.len()));
        }
        Kind::Invitation => match (subject.has_role, subject.project) {
            (true, Some(_)) => fault("project", "an invitation has a role or a project, not both".into()),
            (false, None) => fault("role", "an invitation has a role or a project, this one neither".into()),
            _ => {}
        },
        _ => {}
    }
    let is_project = |slot: &u32| snapshot.record(*slot).is_some_and(|r| numbers.get(r.type_id).0 == Kind::Project);
    let projects = parents.iter().copied().filter(is_project);
    for (path, project) in subject.project.map(|p| ("project", p)).into_iter().chain(projects.map(|p| ("parents", p))) {
        let theirs = snapshot.entity(project).and_then(|p| Subject::stored(numbers, p).organization);
        if theirs.is_some() && theirs != subject.organization {
            fault(path, format!("`{}` belongs to another organization", name(project)));
        }
    }
    if let Some((from, to)) = subject.period.filter(|(from, to)| from > to) {
        fault("period", format!("begins at {}, after its end {}", instant(from), instant(to)));
    }
    if let (Some(from), Some(until)) = (subject.active_from, subject.active_until) {
        if until <= from {
            fault("activeUntil", format!("{} is not after `activeFrom`, {}", instant(until), instant(from)));
        }
    }
}
