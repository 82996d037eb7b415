//! The library's entities and requests → the rival's. Not measured.

use std::collections::{BTreeMap, HashMap};

use bailiwick::{Entity, EntityUid, Value};

use super::request::{Action, BySlot, ByText, Content, Context, Ids, Kind, Principal, Request, Role, Table};
use super::store::{Auditor, Detail, Guest, Invitation, Item, Member, Organization, Project, Store};

/// An entity or a request that does not fit the model.
#[derive(Debug)]
pub struct Refused(pub String);

/// Gives things their names.
pub trait Name {
    /// The way of naming.
    type Ids: Ids;
    /// The name of this entity.
    fn name(&mut self, uid: &EntityUid) -> <Self::Ids as Ids>::Id;
}

/// Names that are the ids themselves.
#[derive(Debug, Default)]
pub struct Texts;

impl Name for Texts {
    type Ids = ByText;
    fn name(&mut self, uid: &EntityUid) -> String {
        uid.id().to_owned()
    }
}

/// Names that are numbers, counted for each type of entity.
#[derive(Debug, Default)]
pub struct Slots {
    known: HashMap<EntityUid, u32>,
    next: BTreeMap<String, u32>,
}

impl Name for Slots {
    type Ids = BySlot;
    fn name(&mut self, uid: &EntityUid) -> u32 {
        if let Some(slot) = self.known.get(uid) {
            return *slot;
        }
        let next = self.next.entry(uid.type_name().to_owned()).or_default();
        let slot = *next;
        *next += 1;
        self.known.insert(uid.clone(), slot);
        slot
    }
}

type IdOf<N> = <<N as Name>::Ids as Ids>::Id;

fn kind(uid: &EntityUid) -> Option<Kind> {
    Some(match uid.type_name().strip_prefix("Grc::")? {
        "Organization" => Kind::Organization,
        "Member" => Kind::Member,
        "Guest" => Kind::Guest,
        "Auditor" => Kind::Auditor,
        "Project" => Kind::Project,
        "Invitation" => Kind::Invitation,
        "Framework" => Kind::Content(Content::Framework),
        "Assessment" => Kind::Content(Content::Assessment),
        "Evidence" => Kind::Content(Content::Evidence),
        "Report" => Kind::Content(Content::Report),
        "Control" => Kind::Content(Content::Control),
        "PolicyDocument" => Kind::Content(Content::PolicyDocument),
        "AuditRequest" => Kind::Content(Content::AuditRequest),
        "Ticket" => Kind::Content(Content::Ticket),
        "TimeEntry" => Kind::Content(Content::TimeEntry),
        "Asset" => Kind::Content(Content::Asset),
        "KnowledgeArticle" => Kind::Content(Content::KnowledgeArticle),
        _ => return None,
    })
}

/// The attributes of one entity.
struct Fields<'a, N> {
    entity: &'a Entity,
    names: &'a mut N,
}

impl<N: Name> Fields<'_, N> {
    fn missing(&self, name: &str) -> Refused {
        Refused(format!("`{}`: `{name}` is missing or of another type", self.entity.uid()))
    }

    fn required<T>(&self, name: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T, Refused> {
        self.entity.attribute(name).and_then(read).ok_or_else(|| self.missing(name))
    }

    fn optional<T>(&self, name: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, Refused> {
        let read = |value| read(value).ok_or_else(|| self.missing(name));
        self.entity.attribute(name).map(read).transpose()
    }

    fn id(&mut self, name: &str) -> Result<IdOf<N>, Refused> {
        let uid = self.required(name, reference)?;
        Ok(self.names.name(&uid))
    }

    fn optional_id(&mut self, name: &str) -> Result<Option<IdOf<N>>, Refused> {
        Ok(self.optional(name, reference)?.map(|uid| self.names.name(&uid)))
    }

    fn parents(&mut self) -> Vec<IdOf<N>> {
        self.entity.parents().iter().map(|uid| self.names.name(uid)).collect()
    }

    fn only_parent(&mut self) -> Result<Option<IdOf<N>>, Refused> {
        let mut parents = self.parents();
        let parent = parents.pop();
        if parents.is_empty() {
            Ok(parent)
        } else {
            Err(Refused(format!("`{}` has several parents", self.entity.uid())))
        }
    }
}

fn reference(value: &Value) -> Option<EntityUid> {
    match value {
        Value::Entity(uid) => Some(uid.clone()),
        _ => None,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        _ => None,
    }
}

fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Datetime(at) => Some(at.millis()),
        _ => None,
    }
}

fn role(value: &Value) -> Option<Role> {
    Role::from_id(reference(value)?.id())
}

fn stretch(value: &Value) -> Option<(i64, i64)> {
    match value {
        Value::Record(ends) => Some((instant(ends.get("from")?)?, instant(ends.get("to")?)?)),
        _ => None,
    }
}

/// The store of these entities.
///
/// # Errors
/// When one does not fit the model, or comes twice.
pub fn store<'a, N: Name>(
    entities: impl IntoIterator<Item = &'a Entity>,
    names: &mut N,
) -> Result<Store<N::Ids>, Refused> {
    let mut store = Store::<N::Ids>::default();
    for entity in entities {
        let uid = entity.uid();
        let refused = |why: &str| Refused(format!("`{uid}`: {why}"));
        let id = names.name(uid);
        let mut fields = Fields { entity, names: &mut *names };
        let twice = match kind(uid).ok_or_else(|| refused("unknown type"))? {
            Kind::Organization => {
                let msp = fields.only_parent()?;
                store.organizations.insert(id, Organization { msp }).is_some()
            }
            Kind::Member => {
                let Some(Value::Set(clients)) = entity.attribute("clients") else {
                    return Err(fields.missing("clients"));
                };
                let clients: Option<Vec<EntityUid>> = clients.iter().map(reference).collect();
                let clients = clients.ok_or_else(|| fields.missing("clients"))?;
                let member = Member {
                    organization: fields.id("organization")?,
                    role: fields.required("role", role)?,
                    active: fields.required("active", flag)?,
                    compliance_team: fields.required("complianceTeam", flag)?,
                    contributor: fields.required("contributor", flag)?,
                    clients: clients.iter().map(|uid| fields.names.name(uid)).collect(),
                    projects: fields.parents(),
                };
                store.members.insert(id, member).is_some()
            }
            Kind::Guest => {
                let guest = Guest {
                    organization: fields.id("organization")?,
                    active: fields.required("active", flag)?,
                    project: fields.only_parent()?.ok_or_else(|| refused("a guest without a project"))?,
                };
                store.guests.insert(id, guest).is_some()
            }
            Kind::Auditor => {
                let period = fields.optional("period", stretch)?;
                if period.is_some_and(|(from, to)| from > to) {
                    return Err(refused("the period begins after its end"));
                }
                let auditor = Auditor {
                    organization: fields.id("organization")?,
                    active: fields.required("status", reference)?.id() == "ACTIVE",
                    expires_at: fields.required("expiresAt", instant)?,
                    period,
                };
                store.auditors.insert(id, auditor).is_some()
            }
            Kind::Project => {
                let project = Project { organization: fields.id("organization")? };
                store.projects.insert(id, project).is_some()
            }
            Kind::Invitation => {
                let role = fields.optional("role", role)?;
                if role.is_some() == entity.attribute("project").is_some() {
                    return Err(refused("an invitation has either a role or a project"));
                }
                let invitation = Invitation { organization: fields.id("organization")?, role };
                store.invitations.insert(id, invitation).is_some()
            }
            Kind::Content(kind) => {
                let detail = match kind {
                    Content::Control | Content::PolicyDocument => {
                        let from = fields.required("activeFrom", instant)?;
                        let until = fields.optional("activeUntil", instant)?;
                        if until.is_some_and(|until| until <= from) {
                            return Err(refused("`activeUntil` is not after `activeFrom`"));
                        }
                        Detail::InForce(from, until)
                    }
                    Content::AuditRequest => Detail::PutTo(fields.id("auditor")?),
                    _ => Detail::Plain,
                };
                let item =
                    Item { organization: fields.id("organization")?, project: fields.optional_id("project")?, detail };
                store.insert_item(kind, id, item).is_some()
            }
        };
        if twice {
            return Err(refused("comes twice"));
        }
    }
    Ok(store)
}

/// The request in the rival's form. It must carry `now`, and its resource must be a stored one.
///
/// # Errors
/// When it does not fit the model.
pub fn request<N: Name>(asked: &bailiwick::Request, names: &mut N) -> Result<Request<IdOf<N>>, Refused> {
    let refused = |why: &str| Refused(format!("`{}` on `{}`: {why}", asked.action(), asked.resource().uid()));
    let action = Action::ALL.iter().find(|action| action.uid() == *asked.action());
    let context = asked.context();
    let section = match context.get("section") {
        Some(Value::String(section)) => Some(section.clone()),
        _ => None,
    };
    let id = names.name(asked.principal());
    let principal = match kind(asked.principal()) {
        Some(Kind::Member) => Principal::Member(id),
        Some(Kind::Guest) => Principal::Guest(id),
        Some(Kind::Auditor) => Principal::Auditor(id),
        _ => return Err(refused("the principal is none")),
    };
    Ok(Request {
        principal,
        action: *action.ok_or_else(|| refused("unknown action"))?,
        kind: kind(asked.resource().uid()).ok_or_else(|| refused("the resource is of no known type"))?,
        resource: names.name(asked.resource().uid()),
        context: Context {
            now: context.get("now").and_then(instant).ok_or_else(|| refused("there is no `now`"))?,
            role: context.get("role").and_then(role),
            technician: context.get("technician").and_then(reference).map(|uid| names.name(&uid)),
            window: context.get("window").and_then(stretch),
            section,
        },
    })
}
