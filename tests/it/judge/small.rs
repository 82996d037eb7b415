//! One small world, and every ask on it.

use super::ask::{fits_schema, Action, Ask, Context, Principal, Resource};
use super::generate::{DAY, NEW_YEAR};
use super::world::{AuditorStatus, InvitedTo, Kind, Role, World};

/// The period that auditors of the small world have, if they have one.
pub const PERIOD: (i64, i64) = (NEW_YEAR, NEW_YEAR + 90 * DAY);
/// When their tokens expire.
pub const EXPIRES_AT: i64 = NEW_YEAR + 120 * DAY;

/// An MSP, its client, and an organization that stands alone.
pub fn small_world() -> World {
    let mut world = World::default();
    let msp = world.add_organization(None);
    let client = world.add_organization(Some(msp));
    let alone = world.add_organization(None);
    let all = [msp, client, alone];
    let inside = all.map(|it| world.add_project(it));
    let second = world.add_project(msp);

    // In the MSP: every role outside the projects, and every role inside one
    // with both flags.
    for role in Role::ALL {
        world.add_member(msp, role);
        let flagged = world.add_member(msp, role);
        let it = &mut world.members[flagged];
        it.compliance_team = true;
        it.contributor = true;
        it.projects = vec![inside[0]];
    }
    // Each flag by itself; inactive ones that would have everything.
    for role in [Role::Viewer, Role::ReadOnly, Role::MspTechnician] {
        let team = world.add_member(msp, role);
        world.members[team].compliance_team = true;
        let seat = world.add_member(msp, role);
        world.members[seat].contributor = true;
        world.members[seat].projects = vec![second];
    }
    for role in [Role::Owner, Role::ComplianceAdmin, Role::MspAdmin] {
        let gone = world.add_member(msp, role);
        let it = &mut world.members[gone];
        it.active = false;
        it.compliance_team = true;
        it.contributor = true;
        it.projects = vec![inside[0]];
    }
    // Technicians assigned to the client and to an organization that is not a client of their MSP: plain, with both
    // flags, and inactive. Others whose list has no effect.
    for (role, active, flags) in [
        (Role::MspTechnician, true, false),
        (Role::MspTechnician, true, true),
        (Role::MspTechnician, false, false),
        (Role::Owner, true, false),
        (Role::Admin, true, false),
        (Role::ReadOnly, true, false),
        (Role::MspAdmin, true, false),
    ] {
        let assigned = world.add_member(msp, role);
        let it = &mut world.members[assigned];
        it.clients = vec![client, alone];
        it.active = active;
        it.compliance_team = flags;
        it.contributor = flags;
    }
    // In the others: who manages, who reads, and who could reach.
    for (organization, project) in [(client, inside[1]), (alone, inside[2])] {
        for role in [Role::Owner, Role::Admin, Role::ComplianceAdmin, Role::MspAdmin, Role::MspTechnician, Role::Member]
        {
            let index = world.add_member(organization, role);
            let it = &mut world.members[index];
            match role {
                Role::MspTechnician => it.clients = vec![msp, client],
                Role::Member => it.projects = vec![project],
                _ => {}
            }
        }
    }

    for project in [inside[0], second, inside[1], inside[2]] {
        world.add_guest(project, true);
    }
    world.add_guest(inside[0], false);

    for status in AuditorStatus::ALL {
        world.add_auditor(msp, status, EXPIRES_AT, None);
        world.add_auditor(msp, status, EXPIRES_AT, Some(PERIOD));
    }
    world.add_auditor(msp, AuditorStatus::Active, EXPIRES_AT, Some((PERIOD.0, PERIOD.0)));
    world.add_auditor(client, AuditorStatus::Active, EXPIRES_AT, Some(PERIOD));
    world.add_auditor(alone, AuditorStatus::Active, EXPIRES_AT, None);

    for (organization, project) in all.into_iter().zip(inside) {
        for to in [InvitedTo::Role(Role::Owner), InvitedTo::Role(Role::Viewer), InvitedTo::Project(project)] {
            world.add_invitation(organization, to);
        }
    }
    for role in Role::ALL {
        world.add_invitation(msp, InvitedTo::Role(role));
    }
    items(&mut world, all, inside, second);
    world
}

fn items(world: &mut World, all: [usize; 3], inside: [usize; 3], second: usize) {
    for kind in Kind::ITEMS {
        if kind == Kind::AuditRequest {
            continue;
        }
        for (organization, project) in all.into_iter().zip(inside) {
            for project in [None, Some(project)] {
                let index = world.add_item(kind, organization, project);
                world.items[index].active_from = NEW_YEAR;
            }
        }
        world.add_item(kind, all[0], Some(second));
    }
    // Activity about the edges of the period.
    for kind in [Kind::Control, Kind::PolicyDocument] {
        for (from, until) in [
            (PERIOD.0 - DAY, Some(PERIOD.0)),
            (PERIOD.0 - DAY, Some(PERIOD.0 + 1)),
            (PERIOD.0 + 1, None),
            (PERIOD.1, Some(PERIOD.1 + DAY)),
            (PERIOD.1 + 1, None),
        ] {
            let index = world.add_item(kind, all[0], None);
            world.items[index].active_from = from;
            world.items[index].active_until = until;
        }
    }
    for auditor in 0..world.auditors.len() {
        world.add_audit_request(world.auditors[auditor].organization, auditor);
    }
    // Naming an auditor of another organization.
    let foreign = world.auditors.len() - 1;
    world.add_audit_request(all[0], foreign);
}

/// Every ask on the world that fits the schema, in a few contexts each.
pub fn all_asks(world: &World) -> Vec<Ask> {
    let members = (0..world.members.len()).map(Principal::Member);
    let guests = (0..world.guests.len()).map(Principal::Guest);
    let auditors = (0..world.auditors.len()).map(Principal::Auditor);
    let principals: Vec<Principal> = members.chain(guests).chain(auditors).collect();

    let mut asks = Vec::new();
    for &action in Action::ALL {
        for &kind in action.resources() {
            for resource in Resource::all(world, kind) {
                for &principal in &principals {
                    if !action.principals().contains(&principal.kind()) {
                        continue;
                    }
                    for context in contexts(world, action, principal) {
                        asks.push(Ask { principal, action, resource, context });
                    }
                }
            }
        }
    }
    debug_assert!(asks.iter().all(fits_schema));
    asks
}

fn contexts(world: &World, action: Action, principal: Principal) -> Vec<Context> {
    let Principal::Auditor(_) = principal else {
        let usual = Context::at(NEW_YEAR + DAY);
        if action.takes_role() {
            return [Role::Owner, Role::Admin, Role::Viewer]
                .map(|role| Context { role: Some(role), ..usual.clone() })
                .to_vec();
        }
        if action.takes_technician() {
            return (0..world.members.len())
                .map(|technician| Context { technician: Some(technician), ..usual.clone() })
                .collect();
        }
        return vec![usual];
    };
    let mut contexts = Vec::new();
    for now in [NEW_YEAR - DAY, EXPIRES_AT - 1, EXPIRES_AT, EXPIRES_AT + 1] {
        let usual = Context::at(now);
        if !action.takes_window() {
            contexts.push(usual);
            continue;
        }
        for window in windows() {
            let windowed = Context { window: Some(window), ..usual.clone() };
            if !action.takes_section() {
                contexts.push(windowed);
                continue;
            }
            for section in ["controls", "policies", "requests", "tickets"] {
                contexts.push(Context { section: Some(section.to_owned()), ..windowed.clone() });
            }
        }
    }
    contexts
}

fn windows() -> Vec<(i64, i64)> {
    let (from, to) = PERIOD;
    vec![
        (from, to),
        (from - 1, to),
        (from, to + 1),
        (from + 1, to - 1),
        (from, from),
        (to, to),
        (from - 1, from - 1),
        (to + 1, to + 1),
        (from + 1, from),
        (to, from),
        (from - DAY, to + DAY),
    ]
}
