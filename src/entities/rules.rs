//! The built-in model's own rules, beyond what its schema can say (policies/MODEL.md, "Entities").

use crate::bundle::types::Misfit;
use crate::model::{Entity, EntityUid, Value};

/// Where an entity breaks a rule. `find` gives another entity of the same state; `clients` how many organisations
/// have a given one as their parent.
pub(super) fn check<'a>(
    entity: &'a Entity,
    find: &dyn Fn(&EntityUid) -> Option<&'a Entity>,
    clients: &dyn Fn(&EntityUid) -> u32,
    out: &mut Vec<Misfit>,
) {
    let mut fault = |path: &str, message: String| out.push(Misfit::new(path, message));
    match entity.uid().type_name() {
        "Grc::Organization" => {
            if entity.parents().len() > 1 {
                fault("parents", "an organisation has at most one parent, its MSP".into());
            }
            for parent in entity.parents() {
                if find(parent).is_some_and(|p| !p.parents().is_empty()) {
                    fault("parents", format!("`{parent}` is a client itself; a client has no clients"));
                }
            }
            if !entity.parents().is_empty() && clients(entity.uid()) > 0 {
                fault("parents", "this organisation has clients, so it cannot be a client itself".into());
            }
        }
        "Grc::Guest" => {
            let projects = entity.parents().len();
            if projects != 1 {
                fault("parents", format!("a guest is in exactly one project, this one in {projects}"));
            }
        }
        "Grc::Invitation" => match (entity.attribute("role"), entity.attribute("project")) {
            (Some(_), Some(_)) => fault("project", "an invitation has a role or a project, not both".into()),
            (None, None) => fault("role", "an invitation has a role or a project, this one neither".into()),
            _ => {}
        },
        _ => {}
    }
    let own = entity.attribute("organization");
    let named = entity.attribute("project").and_then(|v| match v {
        Value::Entity(uid) => Some(uid),
        _ => None,
    });
    let projects = entity.parents().iter().filter(|p| p.type_name() == "Grc::Project");
    for (path, project) in named.map(|p| ("project", p)).into_iter().chain(projects.map(|p| ("parents", p))) {
        let theirs = find(project).and_then(|p| p.attribute("organization"));
        if theirs.is_some() && theirs != own {
            fault(path, format!("`{project}` belongs to another organisation"));
        }
    }
    if let Some(Value::Record(period)) = entity.attribute("period") {
        if let (Some(Value::Datetime(from)), Some(Value::Datetime(to))) = (period.get("from"), period.get("to")) {
            if from > to {
                fault("period", format!("begins at {from}, after its end {to}"));
            }
        }
    }
    let active = (entity.attribute("activeFrom"), entity.attribute("activeUntil"));
    if let (Some(Value::Datetime(from)), Some(Value::Datetime(until))) = active {
        if until <= from {
            fault("activeUntil", format!("{until} is not after `activeFrom`, {from}"));
        }
    }
}
