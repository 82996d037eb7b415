//! Names of types and attributes. A process keeps each of them once, so that two are compared without reading them.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// How many names a process can keep. Schemas have some hundreds; a name beyond costs more, and is no error.
const KEPT: usize = 4_096;
/// How many places of the table one name may be in.
const PROBES: usize = 16;
/// The longest name that is kept, in bytes.
const LONGEST: usize = 128;

/// A name of the table.
#[derive(Debug)]
pub(crate) struct Kept {
    text: Box<str>,
    hash: u64,
}

/// A name of a type or an attribute.
#[derive(Clone)]
pub(crate) enum Word {
    Kept(&'static Kept),
    /// Any other text: too long, no name, or one for which the table has no place.
    Own(Arc<str>),
}

/// Places are filled once and never emptied: whether a text is kept never changes after it was first asked for, so that
/// a kept name and another word are never the same text.
static TABLE: [OnceLock<Kept>; KEPT] = [const { OnceLock::new() }; KEPT];

/// The key under which this process hashes.
pub(super) fn key() -> &'static foldhash::fast::RandomState {
    static KEY: OnceLock<foldhash::fast::RandomState> = OnceLock::new();
    KEY.get_or_init(foldhash::fast::RandomState::default)
}

fn hash(text: &str) -> u64 {
    let mut hasher = key().build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn keep(text: &str) -> Option<&'static Kept> {
    if text.len() > LONGEST {
        return None;
    }
    let hash = hash(text);
    let first = usize::try_from(hash & 0xFFFF_FFFF).unwrap_or(0);
    for probe in 0..PROBES {
        let place = TABLE.get((first + probe) % KEPT)?;
        let kept = match place.get() {
            Some(kept) => kept,
            None if is_name(text) => place.get_or_init(|| Kept { text: text.into(), hash }),
            None => return None,
        };
        if kept.hash == hash && *kept.text == *text {
            return Some(kept);
        }
    }
    None
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

impl Word {
    /// Whether it is identifiers joined by `::`, none of them reserved by Cedar.
    pub(crate) fn is_name(&self) -> bool {
        match self {
            Word::Kept(_) => true,
            Word::Own(text) => is_name(text),
        }
    }

    /// Its hash, in this process.
    #[inline]
    pub(super) fn hashed(&self) -> u64 {
        match self {
            Word::Kept(kept) => kept.hash,
            Word::Own(text) => hash(text),
        }
    }
}

impl Deref for Word {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Word::Kept(kept) => &kept.text,
            Word::Own(text) => text,
        }
    }
}

impl PartialEq for Word {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Word::Kept(a), Word::Kept(b)) => std::ptr::eq(*a, *b),
            _ => **self == **other,
        }
    }
}

impl Eq for Word {}

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hashed());
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        keep(text).map_or_else(|| Word::Own(text.into()), Word::Kept)
    }
}

impl From<&String> for Word {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Word> for Word {
    fn from(word: &Word) -> Self {
        word.clone()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Word, KEPT};

    #[test]
    fn words_are_the_same_where_their_texts_are_also_when_the_table_is_full() {
        let texts: Vec<String> = (0..KEPT * 2).map(|n| format!("Filling::T{n}")).collect();
        let words: Vec<Word> = texts.iter().map(Word::from).collect();
        let kept = words.iter().filter(|word| matches!(word, Word::Kept(_))).count();
        assert!(kept > KEPT / 2 && kept <= KEPT, "{kept} are kept");
        for (text, word) in texts.iter().zip(&words) {
            assert_eq!((&**word, &Word::from(text)), (text.as_str(), word));
            assert_eq!(word.hashed(), Word::from(text).hashed());
        }
        assert!(words.iter().zip(words.iter().skip(1)).all(|(a, b)| a != b));
        for odd in ["", "a b", "a::", "if", &"x".repeat(200)] {
            assert!(matches!(Word::from(odd), Word::Own(_)), "`{odd}` was kept");
        }
    }
}
