//! The small world of the built-in model: an MSP, its client and a stranger, with everybody and everything that the
//! model tells apart, and every request on it that fits a bundle's schema.

use std::collections::HashSet;

use crate::bundle::types::{ActionType, EntityType, RecordType, Type, Types};
use crate::bundle::Bundle;
use crate::entities::Snapshot;
use crate::model::{grc, Context, Entity, EntityUid, Request, Timestamp, Value};

const DAY: i64 = 86_400_000;
/// The period of the auditors that have one: the first 90 days of 2026, both ends included.
const PERIOD: (i64, i64) = (1_767_225_600_000, 1_767_225_600_000 + 90 * DAY);
/// When the auditors expire.
const EXPIRES: i64 = PERIOD.1 + 30 * DAY;
/// The present instant of members and guests.
const NOW: i64 = PERIOD.0 + 45 * DAY;

/// The small world, as one bundle's schema describes it.
///
/// Members: in the MSP every role, plain, on a project, with the compliance-team flag, with a contributor seat, with all
/// three, and deactivated; technicians assigned to the client, to the stranger, and deactivated; those who
/// manage, read and could reach in the other two organizations. Members stand as resources by one of each role, a
/// deactivated Owner, an Owner of each other organization, and always oneself. Guests, auditors of every status,
/// content of every kind and place, invitations and audit requests are all of them asked about.
#[derive(Debug, Clone)]
pub struct SmallWorld {
    entities: Vec<Entity>,
    requests: Vec<Request>,
    untried: Vec<Untried>,
}

/// Requests of some types that the small world cannot ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untried {
    /// The action.
    pub action: EntityUid,
    /// The type of the principal.
    pub principal: String,
    /// The type of the resource.
    pub resource: String,
    /// Why not, in words.
    pub why: String,
}

impl SmallWorld {
    /// The small world for a bundle of the built-in model; none for a schema without the namespace `Grc`.
    pub fn of(bundle: &Bundle) -> Option<Self> {
        let types = bundle.inner.types.as_deref().filter(|_| bundle.is_grc())?;
        let (entities, targets) = populate(&listed(types, "Grc::Role"), &listed(types, "Grc::AuditorStatus"));
        let mut world = Self { entities, requests: Vec::new(), untried: Vec::new() };
        let technicians = TECHNICIANS.map(grc::member);
        for (action, declared) in &types.actions {
            for principal in &declared.principals {
                for resource in &declared.resources {
                    world.ask(types, action, declared, (principal, resource), (&targets, &technicians));
                }
            }
        }
        Some(world)
    }

    /// Its entities. Those that do not fit the bundle's schema are among them.
    pub fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// Every request on it that fits the schema. All of them state `now`.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Kinds of requests that the schema declares and this world cannot ask.
    pub fn untried(&self) -> &[Untried] {
        &self.untried
    }

    /// The instant at which its members ask.
    pub fn now() -> Timestamp {
        at(NOW)
    }

    fn ask(
        &mut self,
        types: &Types,
        action: &EntityUid,
        declared: &ActionType,
        (principal, resource): (&str, &str),
        (targets, technicians): (&HashSet<EntityUid>, &[EntityUid]),
    ) {
        let of_type = |name: &str| -> Vec<&EntityUid> {
            self.entities.iter().map(Entity::uid).filter(|uid| uid.type_name() == name).collect()
        };
        let mut untried = |why: String| {
            let (principal, resource) = (principal.to_owned(), resource.to_owned());
            self.untried.push(Untried { action: action.clone(), principal, resource, why });
        };
        let (principals, resources) = (of_type(principal), of_type(resource));
        for (name, found) in [(principal, &principals), (resource, &resources)] {
            if found.is_empty() {
                return untried(format!("the small world holds no `{name}`"));
            }
        }
        let contexts = match contexts(types, &declared.context, principal, technicians) {
            Ok(contexts) => contexts,
            Err(name) => return untried(format!("its context needs `{name}`, which the small world cannot fill")),
        };
        let mut requests = Vec::new();
        for asking in principals {
            let is_target = |on: &EntityUid| on.type_name() != "Grc::Member" || on == asking || targets.contains(on);
            for on in resources.iter().copied().filter(|on| is_target(on)) {
                for context in &contexts {
                    let mut request = Request::new(asking.clone(), action.clone(), on.clone());
                    request.context.clone_from(context);
                    requests.push(request);
                }
            }
        }
        self.requests.append(&mut requests);
    }
}

/// A snapshot of those entities that fit the bundle, and what was refused, each with the reason. An entity that
/// refers to a refused one is refused too.
pub(super) fn fitting(bundle: &Bundle, entities: &[Entity]) -> (Snapshot, Vec<(EntityUid, String)>) {
    let mut kept = entities.to_vec();
    let mut refused: Vec<(EntityUid, String)> = Vec::new();
    loop {
        let error = match Snapshot::from_entities(bundle, kept.clone()) {
            Ok(snapshot) => return (snapshot, refused),
            Err(error) => error,
        };
        let before = kept.len();
        for fault in error.faults() {
            if let Some(uid) = fault.uid().filter(|uid| kept.iter().any(|e| e.uid() == *uid)) {
                kept.retain(|e| e.uid() != uid);
                refused.push((uid.clone(), fault.message().to_owned()));
            }
        }
        if kept.len() == before {
            // A fault of no entity: nothing can be told apart, so nothing is kept.
            refused.extend(kept.iter().map(|e| (e.uid().clone(), error.to_string())));
            return (Snapshot::empty(), refused);
        }
    }
}

fn at(millis: i64) -> Timestamp {
    // The constants above are in range.
    Timestamp::from_millis(millis).unwrap_or(Timestamp::MIN)
}

/// The ids of an enumerated type, in the schema's order.
fn listed<'a>(types: &'a Types, name: &str) -> Vec<&'a str> {
    match types.entities.get(name) {
        Some(EntityType::Enum(ids)) => ids.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The members that `technician` in a context names: one who is, one who is assigned already, one of another role,
/// one deactivated, and those of other organizations.
const TECHNICIANS: [&str; 6] = [
    "msp-msp-technician",
    "msp-msp-technician-for-client",
    "msp-viewer",
    "msp-msp-technician-deactivated",
    "client-msp-technician",
    "stranger-msp-technician",
];

/// The roles that contexts name, such as the one that is given to somebody.
const GIVEN: [&str; 5] = ["OWNER", "ADMIN", "COMPLIANCE_ADMIN", "MSP_ADMIN", "VIEWER"];

/// All contexts of an action: every value of each attribute with every value of the others. The name of an attribute
/// that has to be there and cannot be filled is the error.
fn contexts(
    types: &Types,
    record: &RecordType,
    principal: &str,
    technicians: &[EntityUid],
) -> Result<Vec<Context>, String> {
    let mut out = vec![Context::default()];
    for (name, field) in &record.fields {
        let values = values(types, name, &field.of, principal, technicians);
        if values.is_empty() && field.required {
            return Err(name.clone());
        }
        let without = if field.required { Vec::new() } else { out.clone() };
        let with = out.iter().flat_map(|context| {
            values.iter().map(move |value| {
                let mut context = context.clone();
                context.set(name, value.clone());
                context
            })
        });
        out = with.chain(without).collect();
    }
    Ok(out)
}

fn values(types: &Types, name: &str, of: &Type, principal: &str, technicians: &[EntityUid]) -> Vec<Value> {
    let instants = |list: &[i64]| list.iter().map(|millis| Value::Datetime(at(*millis))).collect();
    match of {
        Type::Bool => vec![Value::Bool(false), Value::Bool(true)],
        Type::Datetime if principal == "Grc::Auditor" => {
            instants(&[NOW, PERIOD.0 - DAY, EXPIRES - 1, EXPIRES, EXPIRES + 1])
        }
        Type::Datetime => instants(&[NOW]),
        Type::Entity(of) if **of == *"Grc::Member" => technicians.iter().cloned().map(Value::Entity).collect(),
        Type::Entity(of) => {
            // Of the model's roles those that a rule could be about; of any other list all.
            let given = |id: &&str| **of != *"Grc::Role" || GIVEN.contains(id) || grc::Role::from_id(id).is_none();
            let listed = listed(types, of).into_iter().filter(given);
            listed.map(|id| Value::Entity(EntityUid::unchecked(&**of, id))).collect()
        }
        Type::String if name == "section" => {
            ["controls", "policies", "requests", "tickets"].map(|s| Value::String(s.into())).to_vec()
        }
        Type::Record(record) => {
            let is_window = record.fields.len() == 2
                && ["from", "to"].iter().all(|k| record.fields.get(*k).is_some_and(|f| f.of == Type::Datetime));
            if is_window {
                windows()
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    }
}

/// Windows about the ends of the period: inside, touching, beyond, one instant, reversed.
fn windows() -> Vec<Value> {
    let (from, to) = PERIOD;
    [
        (from, to),
        (from + 1, to - 1),
        (from - 1, to),
        (from, to + 1),
        (from - DAY, to + DAY),
        (from, from),
        (to, to),
        (from - 1, from - 1),
        (to + 1, to + 1),
        (to, from),
    ]
    .map(|(from, to)| span(from, to))
    .to_vec()
}

fn span(from: i64, to: i64) -> Value {
    let ends = [("from", from), ("to", to)];
    Value::Record(ends.map(|(name, millis)| (name.to_owned(), Value::Datetime(at(millis)))).into())
}

fn words(id: &str) -> String {
    id.to_lowercase().replace('_', "-")
}

/// What sets a member apart from a plain one.
#[derive(Clone, Copy, Default)]
struct Traits<'a> {
    project: Option<&'a str>,
    team: bool,
    seat: bool,
    inactive: bool,
    clients: &'a [&'a str],
}

#[derive(Default)]
struct People {
    entities: Vec<Entity>,
    /// The members that stand as resources.
    targets: HashSet<EntityUid>,
}

impl People {
    /// A member whose id says who it is: `msp-viewer-on-msp-project-team-seat`.
    fn member(&mut self, organization: &str, role: &str, traits: Traits<'_>) -> EntityUid {
        let mut id = format!("{organization}-{}", words(role));
        if let Some(project) = traits.project {
            id += &format!("-on-{project}");
        }
        for (is, word) in [(traits.team, "-team"), (traits.seat, "-seat"), (traits.inactive, "-deactivated")] {
            id += if is { word } else { "" };
        }
        if !traits.clients.is_empty() {
            id += &format!("-for-{}", traits.clients.join("-and-"));
        }
        let clients = traits.clients.iter().map(|id| Value::Entity(grc::organization(id))).collect();
        let mut member = owned(grc::member(&id), organization)
            .with("role", Value::Entity(EntityUid::unchecked("Grc::Role", role)))
            .with("active", Value::Bool(!traits.inactive))
            .with("complianceTeam", Value::Bool(traits.team))
            .with("contributor", Value::Bool(traits.seat))
            .with("clients", Value::Set(clients));
        if let Some(project) = traits.project {
            member = member.with_parent(grc::project(project));
        }
        let uid = member.uid().clone();
        self.entities.push(member);
        uid
    }
}

fn owned(uid: EntityUid, organization: &str) -> Entity {
    Entity::new(uid).with("organization", Value::Entity(grc::organization(organization)))
}

fn within(entity: Entity, project: Option<&str>) -> Entity {
    match project {
        Some(project) => entity.with("project", Value::Entity(grc::project(project))),
        None => entity,
    }
}

/// The organizations with their projects.
const PLACES: [(&str, &[&str]); 3] = [
    ("msp", &["msp-project", "msp-other-project"]),
    ("client", &["client-project"]),
    ("stranger", &["stranger-project"]),
];

/// All entities, plain ones first, and the members that stand as resources.
fn populate(roles: &[&str], statuses: &[&str]) -> (Vec<Entity>, HashSet<EntityUid>) {
    let mut people = People::default();
    for (organization, projects) in PLACES {
        let mut entity = Entity::new(grc::organization(organization));
        if organization == "client" {
            entity = entity.with_parent(grc::organization("msp"));
        }
        people.entities.push(entity);
        people.entities.extend(projects.iter().map(|project| owned(grc::project(project), organization)));
    }
    members(&mut people, roles);
    let mut entities = people.entities;
    guests_and_auditors(&mut entities, statuses);
    invitations(&mut entities);
    content(&mut entities);
    (entities, people.targets)
}

fn members(people: &mut People, roles: &[&str]) {
    for role in roles {
        let plain = people.member("msp", role, Traits::default());
        people.targets.insert(plain);
    }
    let everything = Traits { project: Some("msp-project"), team: true, seat: true, ..Traits::default() };
    let variants = [
        Traits { project: everything.project, ..Traits::default() },
        Traits { team: true, ..Traits::default() },
        Traits { seat: true, ..Traits::default() },
        everything,
        Traits { inactive: true, ..everything },
    ];
    for traits in variants {
        for role in roles {
            people.member("msp", role, traits);
        }
    }
    let gone = people.member("msp", "OWNER", Traits { inactive: true, ..Traits::default() });
    people.targets.insert(gone);
    people.member("msp", "MSP_TECHNICIAN", Traits { inactive: true, ..Traits::default() });
    for clients in [&["client"][..], &["stranger"], &["client", "stranger"]] {
        people.member("msp", "MSP_TECHNICIAN", Traits { clients, ..Traits::default() });
        people.member("msp", "MSP_TECHNICIAN", Traits { clients, inactive: true, ..Traits::default() });
    }
    // Roles whose list of clients has no effect.
    for role in ["ADMIN", "EMPLOYEE"] {
        people.member("msp", role, Traits { clients: &["client"], ..Traits::default() });
    }
    // In the other organizations: who manages, who reads, and who could reach.
    for (organization, project) in [("client", "client-project"), ("stranger", "stranger-project")] {
        for role in ["OWNER", "ADMIN", "COMPLIANCE_ADMIN", "MSP_ADMIN", "MSP_TECHNICIAN", "VIEWER"] {
            let plain = people.member(organization, role, Traits::default());
            if role == "OWNER" {
                people.targets.insert(plain);
            }
        }
        people.member(organization, "MEMBER", Traits { project: Some(project), ..Traits::default() });
        people.member(organization, "MSP_TECHNICIAN", Traits { clients: &["msp", "client"], ..Traits::default() });
    }
}

fn guests_and_auditors(entities: &mut Vec<Entity>, statuses: &[&str]) {
    for (organization, projects) in PLACES {
        for project in projects {
            let guest = owned(grc::guest(&format!("guest-of-{project}")), organization);
            entities.push(guest.with("active", Value::Bool(true)).with_parent(grc::project(project)));
        }
    }
    let gone = owned(grc::guest("guest-of-msp-project-deactivated"), "msp");
    entities.push(gone.with("active", Value::Bool(false)).with_parent(grc::project("msp-project")));

    let mut auditor = |organization: &str, status: &str, period: Option<(i64, i64)>| {
        let kind = match period {
            None => "",
            Some((from, to)) if from == to => "-one-instant",
            Some(_) => "-period",
        };
        let id = format!("{organization}-auditor-{}{kind}", words(status));
        let auditor = owned(grc::auditor(&id), organization)
            .with("status", Value::Entity(EntityUid::unchecked("Grc::AuditorStatus", status)))
            .with("expiresAt", Value::Datetime(at(EXPIRES)));
        entities.push(match period {
            Some((from, to)) => auditor.with("period", span(from, to)),
            None => auditor,
        });
        let asked = owned(grc::audit_request(&format!("request-to-{id}")), organization);
        entities.push(asked.with("auditor", Value::Entity(grc::auditor(&id))));
    };
    for status in statuses {
        auditor("msp", status, None);
        auditor("msp", status, Some(PERIOD));
    }
    auditor("msp", "ACTIVE", Some((PERIOD.0, PERIOD.0)));
    auditor("client", "ACTIVE", Some(PERIOD));
    auditor("stranger", "ACTIVE", None);
    // The MSP's own request, put to an auditor of another organization.
    let astray = owned(grc::audit_request("msp-request-astray"), "msp");
    entities.push(astray.with("auditor", Value::Entity(grc::auditor("stranger-auditor-active"))));
}

fn invitations(entities: &mut Vec<Entity>) {
    for (organization, projects) in PLACES {
        for role in ["OWNER", "ADMIN", "VIEWER"] {
            let invitation =
                owned(grc::invitation(&format!("{organization}-invitation-{}", words(role))), organization);
            entities.push(invitation.with("role", Value::Entity(EntityUid::unchecked("Grc::Role", role))));
        }
        for project in projects {
            let invitation = owned(grc::invitation(&format!("invitation-to-{project}")), organization);
            entities.push(within(invitation, Some(project)));
        }
    }
}

fn content(entities: &mut Vec<Entity>) {
    const KINDS: [&str; 10] = [
        "Framework",
        "Control",
        "PolicyDocument",
        "Assessment",
        "Evidence",
        "Report",
        "Ticket",
        "TimeEntry",
        "Asset",
        "KnowledgeArticle",
    ];
    for kind in KINDS {
        let dated = ["Control", "PolicyDocument"].contains(&kind);
        let made = |id: String, organization: &str, from: i64, until: Option<i64>| {
            let mut entity = owned(EntityUid::unchecked(format!("Grc::{kind}"), id), organization);
            if dated {
                entity = entity.with("activeFrom", Value::Datetime(at(from)));
            }
            if let Some(until) = until {
                entity = entity.with("activeUntil", Value::Datetime(at(until)));
            }
            entity
        };
        let word = kind.to_lowercase();
        for (organization, projects) in PLACES {
            let of_project = projects.iter().map(|project| Some(*project));
            for project in std::iter::once(None).chain(of_project) {
                let id = format!("{}-{word}", project.unwrap_or(organization));
                entities.push(within(made(id, organization, PERIOD.0, None), project));
            }
        }
        // In force about the ends of the period.
        let edges = [
            ("over-at-the-start", PERIOD.0 - DAY, Some(PERIOD.0)),
            ("over-after-the-start", PERIOD.0 - DAY, Some(PERIOD.0 + 1)),
            ("begun-at-the-end", PERIOD.1, Some(PERIOD.1 + DAY)),
            ("begun-after-the-end", PERIOD.1 + 1, None),
        ];
        for (name, from, until) in edges.into_iter().filter(|_| dated) {
            entities.push(made(format!("msp-{word}-{name}"), "msp", from, until));
        }
    }
}
