//! That the generator reaches every case that matters, and what it makes is
//! valid and has Cedar's shape.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{fits_schema, request_json, Action, Ask, Context, Principal, Resource};
use super::decide::allowed;
use super::generate::{self, DAY, NEW_YEAR};
use super::small::{all_asks, small_world};
use super::world::{datetime_text, entities_json, AuditorStatus, InvitedTo, Kind, Role, World};

#[test]
fn generated_asks_reach_every_case() {
    const WORLDS: usize = 1_000;
    const ASKS: usize = 200;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut permitted = 0;
    let mut seen: BTreeMap<(&str, &str), [usize; 2]> = BTreeMap::new();
    let mut edges: BTreeSet<(&str, bool)> = BTreeSet::new();
    let mut roles: BTreeSet<(&str, &str)> = BTreeSet::new();
    for _ in 0..WORLDS {
        let world = generate::world(&mut rng);
        assert_valid(&world);
        for _ in 0..ASKS {
            let ask = generate::ask(&mut rng, &world);
            let answer = allowed(&world, &ask);
            permitted += usize::from(answer);
            let key = (ask.action.name(), ask.principal.kind().type_name());
            seen.entry(key).or_default()[usize::from(answer)] += 1;
            if fits_schema(&ask) {
                note_edges(&world, &ask, answer, &mut edges);
                if let (Principal::Member(i), true) = (ask.principal, answer) {
                    roles.insert((ask.action.name(), world.members[i].role.id()));
                }
            }
        }
    }

    let share = permitted * 100 / (WORLDS * ASKS);
    println!("{permitted} of {} allowed: {share} %", WORLDS * ASKS);
    assert!(share >= 30, "only {share} % allowed");
    for &action in Action::ALL {
        for kind in [Kind::Member, Kind::Guest, Kind::Auditor] {
            let key = (action.name(), kind.type_name());
            let [no, yes] = seen.get(&key).copied().unwrap_or_default();
            assert!(no >= 5, "{key:?} denied {no} times");
            if action.principals().contains(&kind) {
                assert!(yes >= 5, "{key:?} allowed {yes} times");
            } else {
                assert_eq!(yes, 0, "{key:?} does not fit and is allowed");
            }
        }
    }
    for edge in EDGES {
        assert!(edges.contains(edge), "never met: {edge:?}");
    }
    for role in Role::ALL {
        let count = roles.iter().filter(|it| it.1 == role.id()).count();
        assert!(count >= 4, "{} is allowed {count} actions", role.id());
    }
}

/// Boundaries and exceptions that the generator has to hit, with the answer.
const EDGES: &[(&str, bool)] = &[
    ("now is a millisecond before expiresAt", true),
    ("now is expiresAt", false),
    ("now is a millisecond after expiresAt", false),
    ("window is the period", true),
    ("window.from is period.from", true),
    ("window.from is a millisecond before period.from", false),
    ("window.to is period.to", true),
    ("window.to is a millisecond after period.to", false),
    ("window is one instant", true),
    ("window is one instant", false),
    ("window is reversed", false),
    ("activeFrom is period.to", true),
    ("activeFrom is a millisecond after period.to", false),
    ("activeUntil is period.from", false),
    ("activeUntil is a millisecond after period.from", true),
    ("no period", true),
    ("project's content for an auditor", false),
    ("somebody else's audit request", false),
    ("audit request of another organization names the auditor", false),
    ("an admin makes an owner", false),
    ("an owner makes an owner", true),
    ("an admin unmakes an owner", false),
    ("one's own role", false),
    ("own technician", true),
    ("own member who is no technician", true),
    ("own member who is no technician", false),
    ("foreign technician", false),
    ("assigned client", true),
    ("assigned organization that is not a client of the MSP", false),
    ("client that is not assigned", false),
    ("MSP admin on a client", true),
    ("MSP admin on a client's project", false),
    ("compliance team in its own organization", true),
    ("compliance team elsewhere", false),
    ("read-only with a contributor seat", false),
    ("viewer with a contributor seat", true),
    ("owner without a contributor seat", false),
    ("compliance admin outside the project", false),
    ("compliance admin inside the project", true),
    ("inactive owner", false),
    ("guest in its project", true),
    ("guest in another project of the organization", false),
    ("inactive guest in its project", false),
];

fn note_edges(world: &World, ask: &Ask, answer: bool, edges: &mut BTreeSet<(&str, bool)>) {
    let mut note = |holds: bool, edge: &'static str| {
        if holds {
            edges.insert((edge, answer));
        }
    };
    match ask.principal {
        Principal::Auditor(i) => note_auditor_edges(world, i, ask, note),
        Principal::Guest(i) => {
            let me = &world.guests[i];
            let project = ask.resource.project(world);
            let mine = project == Some(me.project);
            let own = ask.resource.organization(world) == me.organization;
            note(me.active && mine, "guest in its project");
            note(!me.active && mine, "inactive guest in its project");
            note(me.active && own && project.is_some() && !mine, "guest in another project of the organization");
        }
        Principal::Member(i) if world.members[i].active => {
            note_member_edges(world, i, ask, note);
        }
        Principal::Member(i) => {
            let me = &world.members[i];
            let own = ask.resource.organization(world) == me.organization;
            note(own && me.role == Role::Owner, "inactive owner");
        }
    }
}

fn note_auditor_edges(world: &World, index: usize, ask: &Ask, mut note: impl FnMut(bool, &'static str)) {
    let me = &world.auditors[index];
    let own = ask.resource.organization(world) == me.organization;
    let requests = ask.resource.kind == Kind::AuditRequest
        && ask.action != Action::ViewCompliance
        && me.status == AuditorStatus::Active
        && ask.context.now < me.expires_at;
    if requests {
        let mine = world.items[ask.resource.index].auditor == Some(index);
        note(own && !mine, "somebody else's audit request");
        note(!own && mine, "audit request of another organization names the auditor");
    }
    if !own || me.status != AuditorStatus::Active {
        return;
    }
    let late = ask.context.now - me.expires_at;
    if ask.action == Action::OpenPortal {
        note(late == -1, "now is a millisecond before expiresAt");
        note(late == 0, "now is expiresAt");
        note(late == 1, "now is a millisecond after expiresAt");
    }
    if late >= 0 {
        return;
    }
    if let (Action::DownloadAuditPackage, Some(window)) = (ask.action, ask.context.window) {
        note(window.0 == window.1, "window is one instant");
        note(window.0 > window.1, "window is reversed");
        if let Some(period) = me.period {
            note(window == period, "window is the period");
            let (starts_in, ends_in) = (window.0 >= period.0, window.1 <= period.1);
            let ordered = window.0 <= window.1;
            note(ordered && ends_in && window.0 == period.0, "window.from is period.from");
            note(ordered && ends_in && window.0 == period.0 - 1, "window.from is a millisecond before period.from");
            note(ordered && starts_in && window.1 == period.1, "window.to is period.to");
            note(ordered && starts_in && window.1 == period.1 + 1, "window.to is a millisecond after period.to");
        }
    }
    let dated = matches!(ask.resource.kind, Kind::Control | Kind::PolicyDocument);
    if ask.action == Action::ViewCompliance && dated {
        let item = &world.items[ask.resource.index];
        if item.project.is_some() {
            note(true, "project's content for an auditor");
        } else if let Some(period) = me.period {
            let (from, until) = (item.active_from, item.active_until);
            note(from == period.1, "activeFrom is period.to");
            note(from == period.1 + 1, "activeFrom is a millisecond after period.to");
            note(until == Some(period.0), "activeUntil is period.from");
            note(until == Some(period.0 + 1), "activeUntil is a millisecond after period.from");
        } else {
            note(true, "no period");
        }
    }
}

fn note_member_edges(world: &World, index: usize, ask: &Ask, mut note: impl FnMut(bool, &'static str)) {
    let me = &world.members[index];
    let resource = ask.resource;
    let organization = resource.organization(world);
    let own = organization == me.organization;
    let client = world.organizations[organization].parent == Some(me.organization);
    let project = resource.project(world);
    let inside = project.is_some_and(|it| me.projects.contains(&it));
    let technicianship =
        matches!(ask.action, Action::AccessPsa | Action::ViewPsa | Action::ManageTicket | Action::TrackTime);

    if ask.action == Action::ChangeRole && own {
        let target = &world.members[resource.index];
        let myself = resource.index == index;
        let to_owner = ask.context.role == Some(Role::Owner);
        note(myself, "one's own role");
        note(me.role == Role::Admin && to_owner, "an admin makes an owner");
        note(me.role == Role::Owner && to_owner && !myself, "an owner makes an owner");
        note(me.role == Role::Admin && !to_owner && target.role == Role::Owner, "an admin unmakes an owner");
    }
    if let (Some(technician), Role::MspAdmin, true) = (ask.context.technician, me.role, client) {
        let technician = &world.members[technician];
        let mine = technician.organization == me.organization;
        let trained = technician.role == Role::MspTechnician;
        note(mine && trained, "own technician");
        note(mine && !trained, "own member who is no technician");
        note(!mine && trained, "foreign technician");
    }
    if me.role == Role::MspTechnician && technicianship && !own && project.is_none() {
        let assigned = me.clients.contains(&organization);
        note(assigned && client, "assigned client");
        note(assigned && !client, "assigned organization that is not a client of the MSP");
        note(!assigned && client, "client that is not assigned");
    }
    if ask.action == Action::ViewCompliance {
        let reach = me.role == Role::MspAdmin && client;
        note(reach && project.is_none(), "MSP admin on a client");
        note(reach && project.is_some(), "MSP admin on a client's project");
        let team = me.role == Role::MspTechnician && me.compliance_team && project.is_none();
        note(team && own, "compliance team in its own organization");
        note(team && !own, "compliance team elsewhere");
    }
    if ask.action == Action::SpendCredits && own && (project.is_none() || inside) {
        note(me.role == Role::ReadOnly && me.contributor, "read-only with a contributor seat");
        note(me.role == Role::Viewer && me.contributor, "viewer with a contributor seat");
        note(me.role == Role::Owner && !me.contributor, "owner without a contributor seat");
    }
    if ask.action == Action::ManageControl && me.role == Role::ComplianceAdmin && own {
        note(inside, "compliance admin inside the project");
        note(project.is_some() && !inside, "compliance admin outside the project");
    }
}

/// The rules of model section 1 that a directory would enforce.
fn assert_valid(world: &World) {
    for it in &world.organizations {
        if let Some(parent) = it.parent {
            assert!(world.organizations[parent].parent.is_none());
        }
    }
    for it in &world.members {
        for &project in &it.projects {
            assert_eq!(world.projects[project].organization, it.organization);
        }
    }
    for it in &world.guests {
        assert_eq!(world.projects[it.project].organization, it.organization);
    }
    for it in &world.invitations {
        if let InvitedTo::Project(project) = it.to {
            assert_eq!(world.projects[project].organization, it.organization);
        }
    }
    for it in &world.auditors {
        assert!(it.period.is_none_or(|(from, to)| from <= to));
    }
    for it in &world.items {
        assert!(it.active_until.is_none_or(|until| until > it.active_from));
        assert_eq!(it.auditor.is_some(), it.kind == Kind::AuditRequest);
        if let Some(project) = it.project {
            assert_eq!(world.projects[project].organization, it.organization);
        }
    }
}

// ---- The small world ----

#[test]
fn small_world_is_bounded_and_asks_everything() {
    let world = small_world();
    assert_valid(&world);
    let asks = all_asks(&world);
    let permitted = asks.iter().filter(|ask| allowed(&world, ask)).count();
    println!("{} asks, {permitted} allowed", asks.len());
    assert!((30_000..=150_000).contains(&asks.len()), "{}", asks.len());
    assert!(asks.iter().all(fits_schema));
    for &action in Action::ALL {
        for &kind in action.principals() {
            let mut answers = BTreeSet::new();
            for ask in &asks {
                if ask.action == action && ask.principal.kind() == kind {
                    answers.insert(allowed(&world, ask));
                }
            }
            assert_eq!(answers.len(), 2, "{action:?} {kind:?}: {answers:?}");
        }
    }
}

// ---- JSON ----

#[test]
fn datetimes_are_civil() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (NEW_YEAR, "2026-01-01T00:00:00.000Z"),
        (NEW_YEAR - 1, "2025-12-31T23:59:59.999Z"),
        (NEW_YEAR + 59 * DAY + 3_723_004, "2026-03-01T01:02:03.004Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(datetime_text(ms), text);
    }
}

#[test]
fn requests_and_entities_have_cedars_shape() {
    let mut world = World::default();
    let org = world.add_organization(None);
    let client = world.add_organization(Some(org));
    let project = world.add_project(org);
    let admin = world.add_member(org, Role::MspAdmin);
    world.members[admin].projects = vec![project];
    world.members[admin].clients = vec![client];
    let auditor = world.add_auditor(org, AuditorStatus::Active, NEW_YEAR, Some((0, 1)));

    let entities = entities_json(&world);
    assert_eq!(entities[1]["parents"][0], serde_json::json!({ "type": "Grc::Organization", "id": "o0" }));
    let member = &entities[2];
    assert_eq!(member["uid"]["type"], "Grc::Member");
    assert_eq!(member["attrs"]["role"]["__entity"]["id"], "MSP_ADMIN");
    assert_eq!(member["attrs"]["clients"][0]["__entity"]["id"], "o1");
    assert_eq!(member["parents"][0]["id"], "p0");
    let token = &entities[3]["attrs"];
    assert_eq!(token["status"]["__entity"]["type"], "Grc::AuditorStatus");
    assert_eq!(token["period"]["to"]["__extn"]["arg"], "1970-01-01T00:00:00.001Z");

    let request = request_json(
        &world,
        &Ask {
            principal: Principal::Auditor(auditor),
            action: Action::ExportSection,
            resource: Resource { kind: Kind::Organization, index: org },
            context: Context {
                window: Some((0, 1)),
                section: Some("controls".to_owned()),
                role: Some(Role::Owner),
                ..Context::at(0)
            },
        },
    );
    assert_eq!(request["principal"], "Grc::Auditor::\"a0\"");
    assert_eq!(request["action"], "Grc::Action::\"exportSection\"");
    assert_eq!(request["resource"], "Grc::Organization::\"o0\"");
    assert_eq!(request["context"]["section"], "controls");
    assert_eq!(request["context"]["now"]["__extn"]["fn"], "datetime");
    assert!(request["context"]["window"]["from"].is_object());
    assert!(request["context"].get("role").is_none());
}
