//! Entity uids: a type name and an id.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

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
    type_name: Arc<str>,
    id: Arc<str>,
    /// Of both, under a key drawn once in each process: so that looking the uid up again costs little.
    hash: u64,
}

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
        (&*self.type_name, &*self.id).cmp(&(&*other.type_name, &*other.id))
    }
}

/// The hash of a uid, under the key of this process.
#[inline]
pub(crate) fn hash(type_name: &str, id: &str) -> u64 {
    static KEY: OnceLock<foldhash::fast::RandomState> = OnceLock::new();
    let mut hasher = KEY.get_or_init(foldhash::fast::RandomState::default).build_hasher();
    id.hash(&mut hasher);
    type_name.hash(&mut hasher);
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
        if is_name(type_name) {
            Ok(Self::unchecked(type_name, id))
        } else {
            Err(UidError::new(type_name, "the type is not a name such as `Grc::Member`"))
        }
    }

    /// A uid whose type name is known to be a name.
    pub(crate) fn unchecked(type_name: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        let (type_name, id) = (type_name.into(), id.into());
        Self { hash: hash(&type_name, &id), type_name, id }
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
        &self.id
    }

    /// Whether this names an action: its type's last part is `Action`.
    pub fn is_action(&self) -> bool {
        *self.type_name == *"Action" || self.type_name.ends_with("::Action")
    }

    pub(crate) fn to_cedar(&self) -> Result<cedar_policy::EntityUid, UidError> {
        let type_name = cedar_policy::EntityTypeName::from_str(&self.type_name)
            .map_err(|_| UidError::new(&self.type_name, "the type is not a name such as `Grc::Member`"))?;
        Ok(cedar_policy::EntityUid::from_type_name_and_id(type_name, cedar_policy::EntityId::new(&*self.id)))
    }

    pub(crate) fn from_cedar(uid: &cedar_policy::EntityUid) -> Self {
        Self::unchecked(uid.type_name().to_string(), uid.id().unescaped())
    }
}

/// Whether `text` is identifiers joined by `::`, none of them reserved by Cedar.
pub(crate) fn is_name(text: &str) -> bool {
    const RESERVED: [&str; 10] = ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];
    text.split("::").all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !RESERVED.contains(&part)
    })
}

impl FromStr for EntityUid {
    type Err = UidError;

    fn from_str(text: &str) -> Result<Self, UidError> {
        let err = |reason| UidError::new(text, reason);
        const SHAPE: &str = "expected a form such as `Grc::Member::\"m-1\"`";
        let (type_name, quoted) = text.split_once("::\"").ok_or_else(|| err(SHAPE))?;
        let body = quoted.strip_suffix('"').ok_or_else(|| err(SHAPE))?;
        if !is_name(type_name) {
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
        write!(f, "{}::\"{}\"", self.type_name, self.id.escape_debug())
    }
}

impl fmt::Debug for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
