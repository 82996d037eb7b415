//! What rows are made of: ids, addresses, names and hashes, each checked when it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::grc::Role;
use crate::model::Timestamp;

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

    /// What stands in the place of one that was erased: nobody has it.
    pub fn erased() -> Self {
        Self("erased@invalid".to_owned())
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

    /// What stands in the place of one that was erased.
    pub fn erased() -> Self {
        Self("(erased)".to_owned())
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
