//! A world: organizations and everything that belongs to them (model section 1).

use serde_json::{json, Map, Value};

/// The twelve roles of model section 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Owner,
    Admin,
    ComplianceAdmin,
    ComplianceOfficer,
    PrivacyOfficer,
    SecurityOfficer,
    Employee,
    ReadOnly,
    MspAdmin,
    MspTechnician,
    Member,
    Viewer,
}

impl Role {
    /// Every role, in the order of model section 1.
    pub const ALL: [Role; 12] = [
        Role::Owner,
        Role::Admin,
        Role::ComplianceAdmin,
        Role::ComplianceOfficer,
        Role::PrivacyOfficer,
        Role::SecurityOfficer,
        Role::Employee,
        Role::ReadOnly,
        Role::MspAdmin,
        Role::MspTechnician,
        Role::Member,
        Role::Viewer,
    ];

    /// The role id.
    pub fn id(self) -> &'static str {
        match self {
            Role::Owner => "OWNER",
            Role::Admin => "ADMIN",
            Role::ComplianceAdmin => "COMPLIANCE_ADMIN",
            Role::ComplianceOfficer => "COMPLIANCE_OFFICER",
            Role::PrivacyOfficer => "PRIVACY_OFFICER",
            Role::SecurityOfficer => "SECURITY_OFFICER",
            Role::Employee => "EMPLOYEE",
            Role::ReadOnly => "READ_ONLY",
            Role::MspAdmin => "MSP_ADMIN",
            Role::MspTechnician => "MSP_TECHNICIAN",
            Role::Member => "MEMBER",
            Role::Viewer => "VIEWER",
        }
    }
}

/// Where an auditor's invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditorStatus {
    Pending,
    Active,
    Revoked,
}

impl AuditorStatus {
    /// Every status.
    pub const ALL: [AuditorStatus; 3] = [AuditorStatus::Pending, AuditorStatus::Active, AuditorStatus::Revoked];

    /// The status id.
    pub fn id(self) -> &'static str {
        match self {
            AuditorStatus::Pending => "PENDING",
            AuditorStatus::Active => "ACTIVE",
            AuditorStatus::Revoked => "REVOKED",
        }
    }
}

/// The entity types that a request can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Organization,
    Member,
    Guest,
    Auditor,
    Project,
    Invitation,
    Framework,
    Assessment,
    Evidence,
    Report,
    Control,
    PolicyDocument,
    AuditRequest,
    Ticket,
    TimeEntry,
    Asset,
    KnowledgeArticle,
}

impl Kind {
    /// The kinds kept as [`Item`]s.
    pub const ITEMS: [Kind; 11] = [
        Kind::Framework,
        Kind::Assessment,
        Kind::Evidence,
        Kind::Report,
        Kind::Control,
        Kind::PolicyDocument,
        Kind::AuditRequest,
        Kind::Ticket,
        Kind::TimeEntry,
        Kind::Asset,
        Kind::KnowledgeArticle,
    ];

    /// The Cedar entity type, with its namespace.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::Organization => "Grc::Organization",
            Kind::Member => "Grc::Member",
            Kind::Guest => "Grc::Guest",
            Kind::Auditor => "Grc::Auditor",
            Kind::Project => "Grc::Project",
            Kind::Invitation => "Grc::Invitation",
            Kind::Framework => "Grc::Framework",
            Kind::Assessment => "Grc::Assessment",
            Kind::Evidence => "Grc::Evidence",
            Kind::Report => "Grc::Report",
            Kind::Control => "Grc::Control",
            Kind::PolicyDocument => "Grc::PolicyDocument",
            Kind::AuditRequest => "Grc::AuditRequest",
            Kind::Ticket => "Grc::Ticket",
            Kind::TimeEntry => "Grc::TimeEntry",
            Kind::Asset => "Grc::Asset",
            Kind::KnowledgeArticle => "Grc::KnowledgeArticle",
        }
    }
}

/// An organization; a client names its MSP.
#[derive(Debug, Clone)]
pub struct Organization {
    pub id: String,
    /// Index of the MSP.
    pub parent: Option<usize>,
}

/// One person's membership of one organization.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: String,
    pub organization: usize,
    pub role: Role,
    pub active: bool,
    pub compliance_team: bool,
    pub contributor: bool,
    /// Organizations assigned to it as a technician.
    pub clients: Vec<usize>,
    /// Projects it was added to.
    pub projects: Vec<usize>,
}

/// Someone from outside, on exactly one project.
#[derive(Debug, Clone)]
pub struct Guest {
    pub id: String,
    pub organization: usize,
    pub active: bool,
    pub project: usize,
}

/// An external auditor. Instants are milliseconds since 1970, UTC.
#[derive(Debug, Clone)]
pub struct Auditor {
    pub id: String,
    pub organization: usize,
    pub status: AuditorStatus,
    pub expires_at: i64,
    /// The audit period, both ends included.
    pub period: Option<(i64, i64)>,
}

/// A project of an organization.
#[derive(Debug, Clone)]
pub struct Project {
    pub id: String,
    pub organization: usize,
}

/// What an invitation is to.
#[derive(Debug, Clone, Copy)]
pub enum InvitedTo {
    Role(Role),
    Project(usize),
}

/// A pending invitation.
#[derive(Debug, Clone)]
pub struct Invitation {
    pub id: String,
    pub organization: usize,
    pub to: InvitedTo,
}

/// A resource of any other type.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub kind: Kind,
    pub organization: usize,
    /// Never on an audit request.
    pub project: Option<usize>,
    /// Meaningful for controls and policy documents only.
    pub active_from: i64,
    /// The first instant at which it is no longer active.
    pub active_until: Option<i64>,
    /// On audit requests, and only there.
    pub auditor: Option<usize>,
}

/// All there is. References are indices into the vectors here.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub organizations: Vec<Organization>,
    pub members: Vec<Member>,
    pub guests: Vec<Guest>,
    pub auditors: Vec<Auditor>,
    pub projects: Vec<Project>,
    pub invitations: Vec<Invitation>,
    pub items: Vec<Item>,
}

impl World {
    /// Adds an organization, a client if it has a parent.
    pub fn add_organization(&mut self, parent: Option<usize>) -> usize {
        let id = format!("o{}", self.organizations.len());
        self.organizations.push(Organization { id, parent });
        self.organizations.len() - 1
    }

    /// Adds an active member without flags, seats, clients or projects.
    pub fn add_member(&mut self, organization: usize, role: Role) -> usize {
        self.members.push(Member {
            id: format!("m{}", self.members.len()),
            organization,
            role,
            active: true,
            compliance_team: false,
            contributor: false,
            clients: Vec::new(),
            projects: Vec::new(),
        });
        self.members.len() - 1
    }

    /// Adds a project.
    pub fn add_project(&mut self, organization: usize) -> usize {
        let id = format!("p{}", self.projects.len());
        self.projects.push(Project { id, organization });
        self.projects.len() - 1
    }

    /// Adds a guest of the project, in the project's organization.
    pub fn add_guest(&mut self, project: usize, active: bool) -> usize {
        self.guests.push(Guest {
            id: format!("g{}", self.guests.len()),
            organization: self.projects[project].organization,
            active,
            project,
        });
        self.guests.len() - 1
    }

    /// Adds an auditor.
    pub fn add_auditor(
        &mut self,
        organization: usize,
        status: AuditorStatus,
        expires_at: i64,
        period: Option<(i64, i64)>,
    ) -> usize {
        self.auditors.push(Auditor {
            id: format!("a{}", self.auditors.len()),
            organization,
            status,
            expires_at,
            period,
        });
        self.auditors.len() - 1
    }

    /// Adds an invitation.
    pub fn add_invitation(&mut self, organization: usize, to: InvitedTo) -> usize {
        self.invitations.push(Invitation { id: format!("i{}", self.invitations.len()), organization, to });
        self.invitations.len() - 1
    }

    /// Adds a resource without end of activity and without auditor.
    pub fn add_item(&mut self, kind: Kind, organization: usize, project: Option<usize>) -> usize {
        self.items.push(Item {
            id: format!("r{}", self.items.len()),
            kind,
            organization,
            project,
            active_from: 0,
            active_until: None,
            auditor: None,
        });
        self.items.len() - 1
    }

    /// Adds an audit request.
    pub fn add_audit_request(&mut self, organization: usize, auditor: usize) -> usize {
        let item = self.add_item(Kind::AuditRequest, organization, None);
        self.items[item].auditor = Some(auditor);
        item
    }
}

/// The world as an array of entities in Cedar's JSON.
pub fn entities_json(world: &World) -> Value {
    let mut entities = Vec::new();
    for it in &world.organizations {
        let parents: Vec<Value> = it.parent.iter().map(|&p| org_uid(world, p)).collect();
        entities.push(entity(Kind::Organization, &it.id, json!({}), &parents));
    }
    for it in &world.members {
        let clients: Vec<Value> = it.clients.iter().map(|&o| org(world, o)).collect();
        let attrs = json!({
            "organization": org(world, it.organization),
            "role": role_json(it.role),
            "active": it.active,
            "complianceTeam": it.compliance_team,
            "contributor": it.contributor,
            "clients": clients,
        });
        let parents: Vec<Value> = it.projects.iter().map(|&p| project_uid(world, p)).collect();
        entities.push(entity(Kind::Member, &it.id, attrs, &parents));
    }
    for it in &world.guests {
        let attrs = json!({
            "organization": org(world, it.organization),
            "active": it.active,
        });
        let parents = [project_uid(world, it.project)];
        entities.push(entity(Kind::Guest, &it.id, attrs, &parents));
    }
    for it in &world.auditors {
        let mut attrs = Map::new();
        attrs.insert("organization".into(), org(world, it.organization));
        attrs.insert("status".into(), reference(uid("Grc::AuditorStatus", it.status.id())));
        attrs.insert("expiresAt".into(), datetime_json(it.expires_at));
        if let Some(period) = it.period {
            attrs.insert("period".into(), window_json(period));
        }
        entities.push(entity(Kind::Auditor, &it.id, Value::Object(attrs), &[]));
    }
    for it in &world.projects {
        let attrs = json!({ "organization": org(world, it.organization) });
        entities.push(entity(Kind::Project, &it.id, attrs, &[]));
    }
    for it in &world.invitations {
        let attrs = match it.to {
            InvitedTo::Role(role) => json!({
                "organization": org(world, it.organization),
                "role": role_json(role),
            }),
            InvitedTo::Project(project) => json!({
                "organization": org(world, it.organization),
                "project": reference(project_uid(world, project)),
            }),
        };
        entities.push(entity(Kind::Invitation, &it.id, attrs, &[]));
    }
    for it in &world.items {
        entities.push(entity(it.kind, &it.id, item_attrs(world, it), &[]));
    }
    Value::Array(entities)
}

fn item_attrs(world: &World, it: &Item) -> Value {
    let mut attrs = Map::new();
    attrs.insert("organization".into(), org(world, it.organization));
    if let Some(project) = it.project {
        attrs.insert("project".into(), reference(project_uid(world, project)));
    }
    if matches!(it.kind, Kind::Control | Kind::PolicyDocument) {
        attrs.insert("activeFrom".into(), datetime_json(it.active_from));
        if let Some(until) = it.active_until {
            attrs.insert("activeUntil".into(), datetime_json(until));
        }
    }
    if let Some(auditor) = it.auditor {
        let auditor = uid(Kind::Auditor.type_name(), &world.auditors[auditor].id);
        attrs.insert("auditor".into(), reference(auditor));
    }
    Value::Object(attrs)
}

fn entity(kind: Kind, id: &str, attrs: Value, parents: &[Value]) -> Value {
    json!({ "uid": uid(kind.type_name(), id), "attrs": attrs, "parents": parents })
}

fn uid(type_name: &str, id: &str) -> Value {
    json!({ "type": type_name, "id": id })
}

fn reference(uid: Value) -> Value {
    json!({ "__entity": uid })
}

fn org_uid(world: &World, organization: usize) -> Value {
    uid(Kind::Organization.type_name(), &world.organizations[organization].id)
}

fn org(world: &World, organization: usize) -> Value {
    reference(org_uid(world, organization))
}

fn project_uid(world: &World, project: usize) -> Value {
    uid(Kind::Project.type_name(), &world.projects[project].id)
}

/// A role as a value in attributes or context.
pub fn role_json(role: Role) -> Value {
    reference(uid("Grc::Role", role.id()))
}

/// A member as a value in the context.
pub fn member_json(world: &World, member: usize) -> Value {
    reference(uid(Kind::Member.type_name(), &world.members[member].id))
}

/// An instant as a value in attributes or context.
pub fn datetime_json(ms: i64) -> Value {
    json!({ "__extn": { "fn": "datetime", "arg": datetime_text(ms) } })
}

/// A window or period as a record of its two ends.
pub fn window_json((from, to): (i64, i64)) -> Value {
    json!({ "from": datetime_json(from), "to": datetime_json(to) })
}

/// `YYYY-MM-DDThh:mm:ss.SSSZ` for milliseconds since 1970; years 0 to 9999.
pub fn datetime_text(ms: i64) -> String {
    const DAY: i64 = 86_400_000;
    let (days, rest) = (ms.div_euclid(DAY), ms.rem_euclid(DAY));
    // Civil date from days, counting years from 1 March of the year 0.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1_000 % 60,
        rest % 1_000
    )
}
