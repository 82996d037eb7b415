//! Random worlds that obey the model's own rules, and random asks on them,
//! steered so that a good part is allowed and the boundaries are hit exactly.

use fastrand::Rng;

use super::ask::{Action, Ask, Context, Principal, Resource};
use super::decide::allowed;
use super::world::{Auditor, AuditorStatus, InvitedTo, Kind, Role, World};

/// 2026-01-01T00:00:00.000Z.
pub const NEW_YEAR: i64 = 1_767_225_600_000;
/// One day in milliseconds.
pub const DAY: i64 = 86_400_000;

/// The instants everything is drawn from: few, so that they meet.
const INSTANTS: [i64; 5] =
    [NEW_YEAR, NEW_YEAR + 31 * DAY, NEW_YEAR + 59 * DAY, NEW_YEAR + 90 * DAY, NEW_YEAR + 365 * DAY];

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

fn percent(rng: &mut Rng, chance: u32) -> bool {
    rng.u32(..100) < chance
}

/// One of the instants, or the millisecond before or after it.
fn instant(rng: &mut Rng) -> i64 {
    let base = pick(rng, &INSTANTS);
    base + if percent(rng, 60) { 0 } else { rng.i64(-1..=1) }
}

/// A random world.
pub fn world(rng: &mut Rng) -> World {
    let mut world = World::default();
    // An MSP and its clients, another MSP with a client, one that stands alone.
    let msp = world.add_organization(None);
    for _ in 0..rng.usize(1..=2) {
        world.add_organization(Some(msp));
    }
    let other = world.add_organization(None);
    world.add_organization(Some(other));
    world.add_organization(None);
    let organizations = world.organizations.len();

    for organization in 0..organizations {
        for _ in 0..rng.usize(1..=2) {
            world.add_project(organization);
        }
    }
    for organization in 0..organizations {
        let projects = projects_of(&world, organization);
        members(rng, &mut world, organization, &projects);
        for &project in &projects {
            for _ in 0..rng.usize(1..=2) {
                let active = percent(rng, 75);
                world.add_guest(project, active);
            }
        }
        for status in AuditorStatus::ALL {
            let count = if status == AuditorStatus::Active { rng.usize(2..=3) } else { rng.usize(..=1) };
            for _ in 0..count {
                let expires_at = instant(rng);
                let period = percent(rng, 65).then(|| {
                    let (a, b) = (instant(rng), instant(rng));
                    (a.min(b), a.max(b))
                });
                world.add_auditor(organization, status, expires_at, period);
            }
        }
        for _ in 0..rng.usize(2..=4) {
            let to = if percent(rng, 25) {
                InvitedTo::Project(pick(rng, &projects))
            } else if percent(rng, 35) {
                InvitedTo::Role(Role::Owner)
            } else {
                InvitedTo::Role(pick(rng, &Role::ALL))
            };
            world.add_invitation(organization, to);
        }
    }
    for organization in 0..organizations {
        items(rng, &mut world, organization);
    }
    world
}

fn projects_of(world: &World, organization: usize) -> Vec<usize> {
    (0..world.projects.len()).filter(|&p| world.projects[p].organization == organization).collect()
}

fn members(rng: &mut Rng, world: &mut World, organization: usize, projects: &[usize]) {
    // Every role now and then twice, and missing now and then.
    for role in Role::ALL {
        for _ in 0..pick(rng, &[0, 1, 1, 1, 1, 2]) {
            let index = world.add_member(organization, role);
            let active = percent(rng, 80);
            let complies = percent(rng, 30);
            let contributes = percent(rng, 40);
            let on: Vec<usize> = projects.iter().copied().filter(|_| rng.u32(..100) < 45).collect();
            // Mostly technicians have clients; those need not be clients of
            // their MSP, and others may have a list without effect.
            let chance = if role == Role::MspTechnician { 50 } else { 10 };
            let clients: Vec<usize> = (0..world.organizations.len()).filter(|_| rng.u32(..100) < chance).collect();
            let member = &mut world.members[index];
            member.active = active;
            member.compliance_team = complies;
            member.contributor = contributes;
            member.projects = on;
            member.clients = clients;
        }
    }
}

fn items(rng: &mut Rng, world: &mut World, organization: usize) {
    let projects = projects_of(world, organization);
    let auditors: Vec<usize> =
        (0..world.auditors.len()).filter(|&a| world.auditors[a].organization == organization).collect();
    for kind in Kind::ITEMS {
        if kind == Kind::AuditRequest {
            for &own in &auditors {
                world.add_audit_request(organization, own);
            }
            let any = rng.usize(..world.auditors.len());
            world.add_audit_request(organization, any);
            continue;
        }
        let dated = matches!(kind, Kind::Control | Kind::PolicyDocument);
        let count = if dated { 5 } else { rng.usize(2..=3) };
        for _ in 0..count {
            let project = percent(rng, 45).then(|| pick(rng, &projects));
            let index = world.add_item(kind, organization, project);
            if dated {
                dates(rng, world, index, &auditors);
            }
        }
    }
}

/// When a control or policy document is active, often at the very edge of
/// some auditor's period.
fn dates(rng: &mut Rng, world: &mut World, index: usize, auditors: &[usize]) {
    let period = world.auditors[pick(rng, auditors)].period;
    let edge = rng.i64(0..=1);
    let (from, until) = match (period, rng.u32(..3)) {
        (Some((_, to)), 0) => (to + edge, None),
        (Some((from, _)), 1) => (from - DAY, Some(from + edge)),
        _ => (instant(rng), percent(rng, 60).then(|| instant(rng))),
    };
    let item = &mut world.items[index];
    item.active_from = from;
    item.active_until = until.filter(|&until| until > from);
}

/// A random ask on the world.
pub fn ask(rng: &mut Rng, world: &World) -> Ask {
    // The one action with three kinds of principal and seven of resource
    // comes up more often than the others.
    let action = if percent(rng, 8) { Action::ViewCompliance } else { pick(rng, Action::ALL) };
    // Now and then a principal or resource type that the action does not take.
    let principal_kind = if percent(rng, 6) {
        pick(rng, &[Kind::Member, Kind::Guest, Kind::Auditor])
    } else {
        pick(rng, action.principals())
    };
    let draw = |rng: &mut Rng| {
        let principal = principal(rng, world, principal_kind);
        let resource = resource(rng, world, action, principal);
        let context = context(rng, world, action, principal, resource);
        Ask { principal, action, resource, context }
    };
    // Left alone, most asks are denied: often the same draw is repeated
    // until one is allowed.
    if percent(rng, 30) {
        for _ in 0..40 {
            let ask = draw(rng);
            if allowed(world, &ask) {
                return ask;
            }
        }
    }
    draw(rng)
}

fn principal(rng: &mut Rng, world: &World, kind: Kind) -> Principal {
    let draw = |rng: &mut Rng| match kind {
        Kind::Guest => Principal::Guest(rng.usize(..world.guests.len())),
        Kind::Auditor => Principal::Auditor(rng.usize(..world.auditors.len())),
        _ => Principal::Member(rng.usize(..world.members.len())),
    };
    let first = draw(rng);
    let active = match first {
        Principal::Member(i) => world.members[i].active,
        Principal::Guest(i) => world.guests[i].active,
        Principal::Auditor(i) => world.auditors[i].status == AuditorStatus::Active,
    };
    // One that can do nothing is drawn again, once.
    if active || percent(rng, 30) {
        first
    } else {
        draw(rng)
    }
}

fn resource(rng: &mut Rng, world: &World, action: Action, principal: Principal) -> Resource {
    const STRAYS: [Kind; 6] =
        [Kind::Organization, Kind::Guest, Kind::Project, Kind::Control, Kind::Ticket, Kind::Member];
    let sees_scope = matches!(principal, Principal::Auditor(_)) && action == Action::ViewCompliance;
    let kind = if percent(rng, 3) {
        pick(rng, &STRAYS)
    } else if sees_scope && percent(rng, 60) {
        pick(rng, &[Kind::Control, Kind::PolicyDocument])
    } else {
        pick(rng, action.resources())
    };
    let own = principal.organization(world);
    let client = |it: &Resource| {
        let organization = it.organization(world);
        world.organizations[organization].parent == Some(own)
    };
    let all = Resource::all(world, kind);
    let dice = rng.u32(..100);
    // Handling technicians is about clients, other actions mostly are not.
    let clients_from = if action.takes_technician() { 20 } else { 78 };
    let near: Vec<Resource> = if dice < clients_from {
        let own_ones = |it: &&Resource| it.organization(world) == own;
        all.iter().filter(own_ones).copied().collect()
    } else if dice < 92 {
        all.iter().filter(|it| client(it)).copied().collect()
    } else {
        Vec::new()
    };
    // Requests that name the auditor, wherever they are.
    if let (Kind::AuditRequest, Principal::Auditor(index), true) = (kind, principal, percent(rng, 40)) {
        let named: Vec<Resource> =
            all.iter().filter(|it| world.items[it.index].auditor == Some(index)).copied().collect();
        return pick(rng, if named.is_empty() { &all } else { &named });
    }
    // Oneself, where the action is about members.
    if let (Kind::Member, Principal::Member(index), true) = (kind, principal, percent(rng, 12)) {
        return Resource { kind, index };
    }
    if near.is_empty() {
        pick(rng, &all)
    } else {
        pick(rng, &near)
    }
}

fn context(rng: &mut Rng, world: &World, action: Action, principal: Principal, resource: Resource) -> Context {
    let auditor = match principal {
        Principal::Auditor(i) => Some(&world.auditors[i]),
        _ => None,
    };
    let mut context = Context::at(now(rng, auditor));
    if action.takes_role() {
        context.role = Some(if percent(rng, 25) { Role::Owner } else { pick(rng, &Role::ALL) });
    }
    if action.takes_technician() {
        context.technician = Some(technician(rng, world, principal, resource));
    }
    if action.takes_window() {
        context.window = Some(window(rng, auditor.and_then(|it| it.period)));
    }
    if action.takes_section() {
        const SECTIONS: [&str; 8] =
            ["controls", "policies", "requests", "controls", "policies", "requests", "members", ""];
        context.section = Some(pick(rng, &SECTIONS).to_owned());
    }
    context
}

fn now(rng: &mut Rng, auditor: Option<&Auditor>) -> i64 {
    let Some(auditor) = auditor else {
        return instant(rng);
    };
    match rng.u32(..10) {
        0..=4 => auditor.expires_at + rng.i64(-1..=1),
        5..=7 => auditor.expires_at - DAY,
        _ => instant(rng),
    }
}

/// A member of the principal's organization mostly, a technician often.
fn technician(rng: &mut Rng, world: &World, principal: Principal, resource: Resource) -> usize {
    let home = match rng.u32(..10) {
        0..=6 => Some(principal.organization(world)),
        7 => Some(resource.organization(world)),
        _ => None,
    };
    let fitting: Vec<usize> =
        (0..world.members.len()).filter(|&m| home.is_none_or(|home| world.members[m].organization == home)).collect();
    let technicians: Vec<usize> =
        fitting.iter().copied().filter(|&m| world.members[m].role == Role::MspTechnician).collect();
    match (technicians.is_empty(), fitting.is_empty()) {
        (false, _) if percent(rng, 65) => pick(rng, &technicians),
        (_, false) => pick(rng, &fitting),
        _ => rng.usize(..world.members.len()),
    }
}

/// A window about the period: the period itself, a part of it, its edges, an
/// instant, partly or wholly outside, reversed.
fn window(rng: &mut Rng, period: Option<(i64, i64)>) -> (i64, i64) {
    let (from, to) = period.unwrap_or_else(|| {
        let (a, b) = (instant(rng), instant(rng));
        (a.min(b), a.max(b))
    });
    match rng.u32(..10) {
        0 => (from, to),
        1 | 2 => (from + rng.i64(-1..=1), to + rng.i64(-1..=1)),
        3 => (from, from),
        4 => (to, to),
        5 => {
            let at = pick(rng, &[from, to]) + rng.i64(-1..=1);
            (at, at)
        }
        6 => (to, from - 1),
        7 => (from + (to - from) / 4, to - (to - from) / 4),
        8 => (to + 1, to + DAY),
        _ => (instant(rng), instant(rng)),
    }
}

/// Breaks rules that the loader enforces and the policies must bear: periods that end before they begin, and content
/// that is in force for no time at all; `chance` in a hundred.
pub fn unruly(rng: &mut Rng, world: &mut World, chance: u32) {
    for auditor in &mut world.auditors {
        if let (Some((from, to)), true) = (auditor.period, percent(rng, chance)) {
            auditor.period = Some((to.max(from + 1), from));
        }
    }
    for item in &mut world.items {
        if matches!(item.kind, Kind::Control | Kind::PolicyDocument) && percent(rng, chance.min(50)) {
            item.active_until = Some(item.active_from - rng.i64(0..=1));
        }
    }
}
