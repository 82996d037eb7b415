//! Entity uids: a type name and an id.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::str::FromStr;

use super::word::{key, Word};

/// The uid of an entity: its type, such as `Grc::Member`, and its id.
///
/// The text form is Cedar's: `Grc::Member::"m-1"`, with Cedar's escapes in the id.
///
/// ```
/// use bailiwick::EntityUid;
/// let uid: EntityUid = r#"Grc::Member::"m-1""#.parse()?;
/// assert_eq!(uid, EntityUid::new("Grc::Member", "m-1")?);
/// # Ok::<(), bailiwick::UidError>(())
/// ```
#[derive(Clone, Eq)]
pub struct EntityUid {
    /// Of both, under a key drawn once in each process: so that looking the uid up again costs little.
    hash: u64,
    type_name: Word,
    id: Id,
}

/// The id of an entity. Most are short, and then stand in the uid itself: it has the size of a line of the cache.
#[derive(Clone)]
pub(crate) enum Id {
    Short(u8, [u8; Id::SHORT]),
    Long(Box<str>),
}

impl Id {
    const SHORT: usize = 38;

    pub(crate) fn new(id: &str) -> Self {
        let mut bytes = [0; Self::SHORT];
        match (bytes.get_mut(..id.len()), u8::try_from(id.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(id.as_bytes());
                Id::Short(len, bytes)
            }
            _ => Id::Long(id.into()),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Id::Short(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Id::Long(id) => id.as_bytes(),
        }
    }

    #[inline]
    pub(crate) fn is(&self, id: &str) -> bool {
        self.bytes() == id.as_bytes()
    }

    pub(crate) fn as_str(&self) -> &str {
        // INVARIANT: the bytes are those of a text.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Id {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Bytes beyond the end are zero. Without a look at each length, the comparison is a few instructions.
            (Id::Short(a, own), Id::Short(b, others)) => a == b && own == others,
            (Id::Long(own), Id::Long(others)) => own == others,
            _ => false,
        }
    }
}

impl Eq for Id {}

impl PartialEq for EntityUid {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.id == other.id && self.type_name == other.type_name
    }
}

impl Hash for EntityUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for EntityUid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityUid {
    fn cmp(&self, other: &Self) -> Ordering {
        (&*self.type_name, self.id.bytes()).cmp(&(&*other.type_name, other.id.bytes()))
    }
}

/// The hash of a uid, under the key of this process.
#[inline]
pub(crate) fn hash(type_name: &Word, id: &str) -> u64 {
    hash_of_bytes(type_name, id.as_bytes())
}

#[inline]
fn hash_of_bytes(type_name: &Word, id: &[u8]) -> u64 {
    let mut hasher = key().build_hasher();
    hasher.write(id);
    hasher.write_u64(type_name.hashed());
    hasher.finish()
}

/// Why a text is no entity uid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an entity uid: {reason}")]
pub struct UidError {
    text: String,
    reason: &'static str,
}

impl UidError {
    pub(super) fn new(text: &str, reason: &'static str) -> Self {
        Self { text: super::shorten(text), reason }
    }
}

impl EntityUid {
    /// The uid of type `type_name` with id `id`.
    ///
    /// # Errors
    /// When `type_name` is not a Cedar name: identifiers joined by `::`.
    pub fn new(type_name: &str, id: &str) -> Result<Self, UidError> {
        let type_name = Word::from(type_name);
        if type_name.is_name() {
            Ok(Self::unchecked(type_name, id))
        } else {
            Err(UidError::new(&type_name, "the type is not a name such as `Grc::Member`"))
        }
    }

    /// A uid whose type name is known to be a name.
    pub(crate) fn unchecked(type_name: impl Into<Word>, id: impl AsRef<str>) -> Self {
        let type_name = type_name.into();
        Self { hash: hash(&type_name, id.as_ref()), type_name, id: Id::new(id.as_ref()) }
    }

    /// The uid of parts of another.
    pub(crate) fn of_parts(type_name: &Word, id: &Id) -> Self {
        Self { hash: hash_of_bytes(type_name, id.bytes()), type_name: type_name.clone(), id: id.clone() }
    }

    /// Its parts.
    #[inline]
    pub(crate) fn parts(&self) -> (&Word, &Id) {
        (&self.type_name, &self.id)
    }

    /// The hash of both, in this process.
    #[inline]
    pub(crate) fn hashed(&self) -> u64 {
        self.hash
    }

    /// The type, with its namespace: `Grc::Member`.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The id, unescaped.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Whether this names an action: its type's last part is `Action`.
    pub fn is_action(&self) -> bool {
        *self.type_name == *"Action" || self.type_name.ends_with("::Action")
    }

    pub(crate) fn to_cedar(&self) -> Result<cedar_policy::EntityUid, UidError> {
        let type_name = cedar_policy::EntityTypeName::from_str(&self.type_name)
            .map_err(|_| UidError::new(&self.type_name, "the type is not a name such as `Grc::Member`"))?;
        Ok(cedar_policy::EntityUid::from_type_name_and_id(type_name, cedar_policy::EntityId::new(self.id())))
    }

    pub(crate) fn from_cedar(uid: &cedar_policy::EntityUid) -> Self {
        Self::unchecked(uid.type_name().to_string(), uid.id().unescaped())
    }
}

impl FromStr for EntityUid {
    type Err = UidError;

    fn from_str(text: &str) -> Result<Self, UidError> {
        let err = |reason| UidError::new(text, reason);
        const SHAPE: &str = "expected a form such as `Grc::Member::\"m-1\"`";
        let (type_name, quoted) = text.split_once("::\"").ok_or_else(|| err(SHAPE))?;
        let body = quoted.strip_suffix('"').ok_or_else(|| err(SHAPE))?;
        let type_name = Word::from(type_name);
        if !type_name.is_name() {
            return Err(err("the type is not a name such as `Grc::Member`"));
        }
        if !body.contains(['"', '\\']) {
            return Ok(Self::unchecked(type_name, body));
        }
        let id = unescape(body).ok_or_else(|| err("the id has a stray quote or an unknown escape"))?;
        Ok(Self::unchecked(type_name, id))
    }
}

/// Cedar's string escapes: those of Rust's string literals.
fn unescape(body: &str) -> Option<String> {
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                '0' => out.push('\0'),
                '\\' => out.push('\\'),
                '"' => out.push('"'),
                '\'' => out.push('\''),
                'x' => {
                    let hex: String = chars.by_ref().take(2).collect();
                    let code = (hex.len() == 2).then(|| u8::from_str_radix(&hex, 16).ok())??;
                    out.push(code.is_ascii().then_some(char::from(code))?);
                }
                'u' => {
                    if chars.next()? != '{' {
                        return None;
                    }
                    let hex: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    if hex.is_empty() || hex.len() > 6 || hex.starts_with('+') {
                        return None;
                    }
                    out.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                }
                _ => return None,
            },
            c => out.push(c),
        }
    }
    Some(out)
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"{}\"", self.type_name, self.id().escape_debug())
    }
}

impl fmt::Debug for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
