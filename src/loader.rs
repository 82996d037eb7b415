//! Rows as entities: a whole store as a snapshot, and a snapshot brought up to a store's newest revision by changes.

use std::collections::BTreeSet;

use crate::bundle::Bundle;
use crate::engine::Linked;
use crate::entities::bulk::{self, Bulk, Part, Place};
use crate::entities::{Changes, EntityError, Snapshot};
use crate::model::grc::Role;
use crate::model::{Entity, EntityUid, Value};
use crate::store::{AuditorStatus, Head, Id, Kind, Period, Reading, Row, Store, StoreError, Target};

/// Why entities could not be made of rows.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds breaks a rule of the entities.
    #[error(transparent)]
    Entities(#[from] EntityError),
}

fn for_each_row(tx: &mut dyn Reading, visit: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Session);
    kinds.into_iter().try_for_each(|kind| tx.scan(kind, None, visit))
}

/// An auditor's period, as a value.
fn period(period: &Period) -> Value {
    let ends = [("from", period.from), ("to", period.to)];
    Value::Record(ends.map(|(name, at)| (name.to_owned(), Value::Datetime(at))).into())
}

fn status(status: AuditorStatus) -> EntityUid {
    EntityUid::unchecked("Grc::AuditorStatus", status.id())
}

/// The entity of a row. Invitations that are over have none, nor have sessions.
pub(crate) fn entity(row: &Row) -> Option<Entity> {
    let of = |kind: Kind, id: Id| Value::Entity(kind.uid(id));
    let entity = Entity::new(row.kind().uid(row.id()));
    let within = |entity: Entity, id: Id| entity.with("organization", of(Kind::Organization, id));
    Some(match row {
        Row::Organization(row) => match row.parent {
            Some(parent) => entity.with_parent(Kind::Organization.uid(parent)),
            None => entity,
        },
        Row::Project(row) => within(entity, row.organization),
        Row::Member(row) => {
            let entity = within(entity, row.organization)
                .with("role", row.role.value())
                .with("active", Value::Bool(row.active))
                .with("complianceTeam", Value::Bool(row.compliance_team))
                .with("contributor", Value::Bool(row.contributor))
                .with("clients", Value::Set(row.clients.iter().map(|id| of(Kind::Organization, *id)).collect()));
            row.projects.iter().fold(entity, |entity, id| entity.with_parent(Kind::Project.uid(*id)))
        }
        Row::Guest(row) => within(entity, row.organization)
            .with("active", Value::Bool(row.active))
            .with_parent(Kind::Project.uid(row.project)),
        Row::Auditor(row) => {
            let entity = within(entity, row.organization)
                .with("status", Value::Entity(status(row.status)))
                .with("expiresAt", Value::Datetime(row.expires_at));
            match &row.period {
                Some(own) => entity.with("period", period(own)),
                None => entity,
            }
        }
        Row::AuditRequest(row) => within(entity, row.organization).with("auditor", of(Kind::Auditor, row.auditor)),
        Row::Session(_) => return None,
        Row::Invitation(row) if !row.is_open() => return None,
        Row::Invitation(row) => match row.target {
            Target::Role(role) => within(entity, row.organization).with("role", role.value()),
            Target::Project(id) => within(entity, row.organization).with("project", of(Kind::Project, id)),
        },
    })
}

/// All that a store holds, as entities that fit the bundle.
///
/// # Errors
/// When the store cannot be read, or what it holds breaks a rule of the entities.
pub fn snapshot(bundle: &Bundle, store: &dyn Store) -> Result<Snapshot, LoadError> {
    load(bundle, &mut *store.read()?)
}

/// Loads all that a store holds.
pub(crate) fn load(bundle: &Bundle, tx: &mut dyn Reading) -> Result<Snapshot, LoadError> {
    let revision = tx.head()?.revision();
    let snapshot = match Bulk::new(bundle).and_then(Quick::new) {
        Some(mut quick) => {
            for_each_row(tx, &mut |row| {
                quick.put(&row);
                Ok(())
            })?;
            quick.bulk.finish()?
        }
        None => {
            let mut entities = Vec::new();
            for_each_row(tx, &mut |row| {
                entities.extend(entity(&row));
                Ok(())
            })?;
            Snapshot::from_entities(bundle, entities)?
        }
    };
    Ok(snapshot.at(revision))
}

/// Rows straight into a snapshot: what [`entity`] gives, without the entity.
struct Quick<'a> {
    bulk: Bulk<'a>,
    organization: bulk::Kind,
    project: bulk::Kind,
    member: bulk::Kind,
    guest: bulk::Kind,
    invitation: bulk::Kind,
    auditor: bulk::Kind,
    audit_request: bulk::Kind,
    statuses: [Place; 3],
    /// By the roles' order.
    roles: Vec<Place>,
}

impl<'a> Quick<'a> {
    fn new(bulk: Bulk<'a>) -> Option<Self> {
        let role = |role: Role| bulk.listed(&EntityUid::unchecked("Grc::Role", role.id()));
        let of = |own: AuditorStatus| bulk.listed(&status(own));
        let member = ["organization", "role", "active", "complianceTeam", "contributor", "clients"];
        Some(Self {
            organization: bulk.kind("Grc::Organization", &[])?,
            project: bulk.kind("Grc::Project", &["organization"])?,
            member: bulk.kind("Grc::Member", &member)?,
            guest: bulk.kind("Grc::Guest", &["organization", "active"])?,
            invitation: bulk.kind("Grc::Invitation", &["organization", "role", "project"])?,
            auditor: bulk.kind("Grc::Auditor", &["organization", "status", "expiresAt", "period"])?,
            audit_request: bulk.kind("Grc::AuditRequest", &["organization", "auditor"])?,
            statuses: [of(AuditorStatus::Pending)?, of(AuditorStatus::Active)?, of(AuditorStatus::Revoked)?],
            roles: Role::ALL.into_iter().map(role).collect::<Option<_>>()?,
            bulk,
        })
    }

    fn put(&mut self, row: &Row) {
        let Self { bulk, organization, project, member, guest, invitation, auditor, audit_request, statuses, roles } =
            self;
        let mut text = [0; 36];
        let id = row.id();
        let own = id.encode(&mut text);
        let within = |bulk: &mut Bulk<'_>, kind: &bulk::Kind, id: Id| bulk.place(kind, id.encode(&mut [0; 36]));
        let role_of = |role: Role| {
            let place = Role::ALL.iter().position(|own| *own == role).and_then(|at| roles.get(at));
            place.map_or(Part::Absent, |place| Part::Entity(*place))
        };
        match row {
            Row::Organization(row) => {
                let parent = row.parent.map(|id| within(bulk, organization, id));
                bulk.put(organization, own, &[], parent.as_slice());
            }
            Row::Project(row) => {
                let of = within(bulk, organization, row.organization);
                bulk.put(project, own, &[Part::Entity(of)], &[]);
            }
            Row::Member(row) => {
                let of = within(bulk, organization, row.organization);
                let clients: Vec<Place> = row.clients.iter().map(|id| within(bulk, organization, *id)).collect();
                let projects: Vec<Place> = row.projects.iter().map(|id| within(bulk, project, *id)).collect();
                let attributes = [
                    Part::Entity(of),
                    role_of(row.role),
                    Part::Bool(row.active),
                    Part::Bool(row.compliance_team),
                    Part::Bool(row.contributor),
                    Part::Entities(&clients),
                ];
                bulk.put(member, own, &attributes, &projects);
            }
            Row::Guest(row) => {
                let of = within(bulk, organization, row.organization);
                let parent = within(bulk, project, row.project);
                bulk.put(guest, own, &[Part::Entity(of), Part::Bool(row.active)], &[parent]);
            }
            Row::Auditor(row) => {
                let of = within(bulk, organization, row.organization);
                let [pending, active, revoked] = *statuses;
                let status = match row.status {
                    AuditorStatus::Pending => pending,
                    AuditorStatus::Active => active,
                    AuditorStatus::Revoked => revoked,
                };
                let period = row.period.as_ref().map(period);
                let period = period.as_ref().map_or(Part::Absent, Part::Other);
                let attributes = [Part::Entity(of), Part::Entity(status), Part::Instant(row.expires_at), period];
                bulk.put(auditor, own, &attributes, &[]);
            }
            Row::AuditRequest(row) => {
                let of = within(bulk, organization, row.organization);
                let to = within(bulk, auditor, row.auditor);
                bulk.put(audit_request, own, &[Part::Entity(of), Part::Entity(to)], &[]);
            }
            Row::Session(_) => {}
            Row::Invitation(row) if !row.is_open() => {}
            Row::Invitation(row) => {
                let of = within(bulk, organization, row.organization);
                let (role, to) = match row.target {
                    Target::Role(role) => (role_of(role), Part::Absent),
                    Target::Project(id) => (Part::Absent, Part::Entity(within(bulk, project, id))),
                };
                bulk.put(invitation, own, &[Part::Entity(of), role, to], &[]);
            }
        }
    }
}

/// The state, of which the store's head was `known`, brought to the store's newest revision; the state itself where it
/// is there already. A state of another revision than `known` is loaded anew: what lies between them is not told.
pub(crate) fn follow(state: &Linked, known: &Head, tx: &mut dyn Reading) -> Result<Linked, LoadError> {
    let head = tx.head()?;
    let changed = match state.snapshot().revision() == known.revision() {
        true if *known == head => return Ok(state.clone()),
        true if leads_on(known, &head, tx)? => tx.changes_since(known.number)?,
        _ => None,
    };
    match changed {
        Some(changed) => Ok(state.with_changed(apply(state, tx, &changed)?.at(head.revision()))),
        None => Ok(Linked::new(state.bundle().clone(), load(state.bundle(), tx)?)?),
    }
}

/// Whether what happened since `known` led to `head`: the journal's hash at that revision must be the same. Numbers are
/// not enough: a copy of the file that was put in its place may have gone on from an older revision.
fn leads_on(known: &Head, head: &Head, tx: &mut dyn Reading) -> Result<bool, StoreError> {
    Ok(known.epoch == head.epoch
        && (known.number == 0 || tx.entries(known.number)?.last().is_some_and(|last| last.hash == known.chain)))
}

/// The state's entities with what rows now are in the place of what they were.
pub(crate) fn apply(
    state: &Linked,
    tx: &mut dyn Reading,
    changed: &BTreeSet<(Kind, Id)>,
) -> Result<Snapshot, LoadError> {
    Ok(state.snapshot().apply(state.bundle(), &changes(tx, changed)?)?)
}

/// What rows now are, as changes of entities.
fn changes(tx: &mut dyn Reading, changed: &BTreeSet<(Kind, Id)>) -> Result<Changes, StoreError> {
    changed.iter().try_fold(Changes::new(), |changes, (kind, id)| {
        Ok(match tx.get(*kind, *id)?.as_ref().and_then(entity) {
            Some(entity) => changes.upsert(entity),
            None => changes.remove_if_stored(kind.uid(*id)),
        })
    })
}
