//! What a directory keeps, row by row. Rows are values: a command reads one, makes the next one of it, and asks the
//! store to put that in its place.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::grc::{self, Role};
use crate::model::{EntityUid, Timestamp};

/// The id of a row: a UUID, in new rows of version 7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

impl Id {
    /// The id of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A UUID of version 7, of an instant and 10 random bytes.
    pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Self(*uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid().as_bytes())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its text, written into `place`.
    pub(crate) fn encode(self, place: &mut [u8; 36]) -> &str {
        uuid::Uuid::from_bytes(self.0).hyphenated().encode_lower(place)
    }
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: expected a form such as `01890a5d-ac96-774b-bcce-b302099a8057`")]
pub struct IdError(String);

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        // One form only: entity ids are compared as texts.
        let id = uuid::Uuid::try_parse(text).map(|uuid| Self(*uuid.as_bytes()));
        id.ok().filter(|id| id.to_string() == text).ok_or_else(|| IdError(crate::model::shorten(text)))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0).hyphenated(), f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("`{}` is not a role", crate::model::shorten(&text)));
        Role::from_id(&text).ok_or_else(unknown)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let none = || serde::de::Error::custom(format!("`{}` is not an instant", crate::model::shorten(&text)));
        Timestamp::parse(&text).ok_or_else(none)
    }
}

/// An email address. Two that differ in case only are the same person's.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that addresses are compared in.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for Email {}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A text that is no email address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an email address: {reason}")]
pub struct EmailError {
    text: String,
    reason: &'static str,
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let error = |reason| {
            let shown: String = text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect();
            EmailError { text: crate::model::shorten(&shown), reason }
        };
        if text.len() > 254 {
            return Err(error("it is longer than 254 bytes"));
        }
        if text.chars().any(|c| c.is_whitespace() || !is_plain(c)) {
            return Err(error("it has a space, a control character or one that nobody sees"));
        }
        match text.rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !local.contains('@') => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(error("expected one `@` with something on both sides")),
        }
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a character stands for itself in a line: no control character, and none that turns or hides others.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The name of an organization, a project or a person, as people see it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name {0}")]
pub struct NameError(&'static str);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > 400 {
            return Err(NameError("is at most 400 bytes long"));
        }
        if text.trim().is_empty() {
            return Err(NameError("cannot be empty"));
        }
        if !text.chars().all(is_plain) {
            return Err(NameError("cannot have control characters, or such that turn or hide others"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The SHA-256 hash of a secret: all of it that is ever stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// What an organization has bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// PSA seats that the price includes.
    pub bundled_seats: u32,
    /// The price of a seat and month, in cents.
    pub seat_cents: u32,
    /// Contributor seats that can be assigned.
    pub contributor_seats: u32,
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its id.
    pub id: Id,
    /// The MSP whose client it is.
    #[serde(default)]
    pub parent: Option<Id>,
    /// Its name.
    pub name: Name,
    /// What it has bought.
    #[serde(default)]
    pub plan: Plan,
}

/// A part of an organization's work that is walled off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub organization: Id,
    /// Its name.
    pub name: Name,
}

/// One person's membership of one organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its id.
    pub id: Id,
    /// Of which organization.
    pub organization: Id,
    /// The person's address.
    pub email: Email,
    /// The one role.
    pub role: Role,
    /// False once deactivated.
    pub active: bool,
    /// On the compliance team.
    #[serde(default)]
    pub compliance_team: bool,
    /// Marked as holder of a contributor seat; counted while active.
    #[serde(default)]
    pub contributor: bool,
    /// Since when two-factor login is locked.
    #[serde(default)]
    pub mfa_locked_at: Option<Timestamp>,
    /// Must set two-factor login up anew.
    #[serde(default)]
    pub mfa_reset: bool,
    /// The projects the member was added to.
    #[serde(default)]
    pub projects: BTreeSet<Id>,
    /// The clients the member is assigned to as technician.
    #[serde(default)]
    pub clients: BTreeSet<Id>,
}

impl Member {
    /// Whether it holds one of the organization's contributor seats.
    pub fn holds_seat(&self) -> bool {
        self.active && self.contributor
    }

    /// Whether the organization can be administered by it.
    pub fn administers(&self) -> bool {
        self.active && matches!(self.role, Role::Owner | Role::Admin)
    }
}

/// Someone from outside, on one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its id.
    pub id: Id,
    /// Of which organization the project is.
    pub organization: Id,
    /// The one project.
    pub project: Id,
    /// The person's address.
    pub email: Email,
    /// False once deactivated.
    pub active: bool,
}

/// What an invitation is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// To be a member of the organization, with this role.
    Role(Role),
    /// To be a guest of this project.
    Project(Id),
}

/// How far an invitation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InvitationState {
    /// Sent; expired once its time has come.
    Pending,
    /// Expired, and noted as such when another was sent to the same address.
    Expired,
    /// Used.
    Accepted,
    /// Taken back.
    Cancelled,
}

impl InvitationState {
    /// The name it is stored and shown under.
    pub fn id(self) -> &'static str {
        match self {
            InvitationState::Pending => "PENDING",
            InvitationState::Expired => "EXPIRED",
            InvitationState::Accepted => "ACCEPTED",
            InvitationState::Cancelled => "CANCELLED",
        }
    }
}

/// Who an invitation was sent by, and who must be able to grant what it gives when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inviter {
    /// The operator, outside the policies.
    Operator,
    /// A member of the organization.
    Member(Id),
    /// A member of the MSP, who created the organization.
    Creator(Id),
}

/// An invitation of a member or a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Its id.
    pub id: Id,
    /// Into which organization.
    pub organization: Id,
    /// To what.
    pub target: Target,
    /// The address it was sent to.
    pub email: Email,
    /// Who sent it last.
    pub inviter: Inviter,
    /// How far it has come.
    pub state: InvitationState,
    /// From when on its link does not work.
    pub expires_at: Timestamp,
    /// The hash of the newest link's secret; none where no link works.
    #[serde(skip)]
    pub link: Option<Hash>,
}

impl Invitation {
    /// How far it has come at an instant.
    pub fn state_at(&self, now: Timestamp) -> InvitationState {
        match self.state {
            InvitationState::Pending if now >= self.expires_at => InvitationState::Expired,
            state => state,
        }
    }

    /// Whether it can still be accepted or sent again.
    pub fn is_open(&self) -> bool {
        matches!(self.state, InvitationState::Pending | InvitationState::Expired)
    }
}

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is described with its row
pub enum Kind {
    Organization,
    Project,
    Member,
    Guest,
    Invitation,
}

impl Kind {
    /// All kinds, those first that others refer to.
    pub const ALL: [Kind; 5] = [Kind::Organization, Kind::Project, Kind::Member, Kind::Guest, Kind::Invitation];

    /// The name it is stored and shown under.
    pub fn id(self) -> &'static str {
        match self {
            Kind::Organization => "organization",
            Kind::Project => "project",
            Kind::Member => "member",
            Kind::Guest => "guest",
            Kind::Invitation => "invitation",
        }
    }

    /// The entity of a row of this kind.
    pub fn uid(self, id: Id) -> EntityUid {
        let id = id.to_string();
        match self {
            Kind::Organization => grc::organization(&id),
            Kind::Project => grc::project(&id),
            Kind::Member => grc::member(&id),
            Kind::Guest => grc::guest(&id),
            Kind::Invitation => grc::invitation(&id),
        }
    }
}

/// A row of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each is described by itself
pub enum Row {
    Organization(Organization),
    Project(Project),
    Member(Member),
    Guest(Guest),
    Invitation(Invitation),
}

impl Row {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Row::Organization(_) => Kind::Organization,
            Row::Project(_) => Kind::Project,
            Row::Member(_) => Kind::Member,
            Row::Guest(_) => Kind::Guest,
            Row::Invitation(_) => Kind::Invitation,
        }
    }

    /// Its id, unlike that of every other row of its kind.
    pub fn id(&self) -> Id {
        match self {
            Row::Organization(row) => row.id,
            Row::Project(row) => row.id,
            Row::Member(row) => row.id,
            Row::Guest(row) => row.id,
            Row::Invitation(row) => row.id,
        }
    }

    /// The organization it belongs to; an organization's is itself.
    pub fn organization(&self) -> Id {
        match self {
            Row::Organization(row) => row.id,
            Row::Project(row) => row.organization,
            Row::Member(row) => row.organization,
            Row::Guest(row) => row.organization,
            Row::Invitation(row) => row.organization,
        }
    }
}
