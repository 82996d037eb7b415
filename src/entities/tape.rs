//! JSON as one flat list that borrows from the text: no allocation for each key and value, unlike [`Json`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::model::Json;

/// A value's beginning, or a key. What is inside an array or object follows it.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Null,
    Bool(bool),
    Long(i64),
    Text(Cow<'a, str>),
    /// Of so many tokens.
    Array(usize),
    /// Of so many tokens, each value after its key.
    Object(usize),
}

/// Reads one value to the end of a list. Keys that are there twice are left to those who look at it.
pub(super) struct Fill<'t, 'a>(pub(super) &'t mut Vec<Token<'a>>);

impl<'a> DeserializeSeed<'a> for Fill<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Fill<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push(Token::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push(Token::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.push(Token::Long(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.push(Token::Long(i64::try_from(value).map_err(E::custom)?));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<(), E> {
        self.0.push(Token::Text(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.push(Token::Text(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let at = self.0.len();
        self.0.push(Token::Array(0));
        while seq.next_element_seed(Fill(self.0))?.is_some() {}
        let inside = self.0.len() - at - 1;
        if let Some(begin) = self.0.get_mut(at) {
            *begin = Token::Array(inside);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let at = self.0.len();
        self.0.push(Token::Object(0));
        while map.next_key_seed(Fill(self.0))?.is_some() {
            map.next_value_seed(Fill(self.0))?;
        }
        let inside = self.0.len() - at - 1;
        if let Some(begin) = self.0.get_mut(at) {
            *begin = Token::Object(inside);
        }
        Ok(())
    }
}

/// A value: its first token, and those inside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'t> {
    first: &'t Token<'t>,
    inside: &'t [Token<'t>],
}

impl<'t> Node<'t> {
    /// The value that a list begins with, and the rest of the list.
    pub(super) fn split(tokens: &'t [Token<'t>]) -> Option<(Self, &'t [Token<'t>])> {
        let (first, rest) = tokens.split_first()?;
        let inside = match first {
            Token::Array(inside) | Token::Object(inside) => *inside,
            _ => 0,
        };
        let (inside, rest) = rest.split_at_checked(inside)?;
        Some((Self { first, inside }, rest))
    }

    pub(super) fn bool(self) -> Option<bool> {
        match self.first {
            Token::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub(super) fn long(self) -> Option<i64> {
        match self.first {
            Token::Long(n) => Some(*n),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<&'t str> {
        match self.first {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values in an array.
    pub(super) fn items(self) -> Option<impl Iterator<Item = Node<'t>>> {
        let mut rest = self.inside;
        matches!(self.first, Token::Array(_)).then(|| {
            std::iter::from_fn(move || {
                let (item, after) = Self::split(rest)?;
                rest = after;
                Some(item)
            })
        })
    }

    /// The keys and values in an object.
    pub(super) fn fields(self) -> Option<impl Iterator<Item = (&'t str, Node<'t>)>> {
        let mut rest = self.inside;
        matches!(self.first, Token::Object(_)).then(|| {
            std::iter::from_fn(move || {
                let (key, after) = Self::split(rest)?;
                let (value, after) = Self::split(after)?;
                rest = after;
                Some((key.text()?, value))
            })
        })
    }

    /// The values of an object that has these keys, each once, and no other.
    pub(super) fn exactly<const N: usize>(self, keys: [&str; N]) -> Option<[Node<'t>; N]> {
        let mut found = [None; N];
        for (key, value) in self.fields()? {
            let at = keys.iter().position(|k| *k == key)?;
            if found.get_mut(at)?.replace(value).is_some() {
                return None;
            }
        }
        let all = found.iter().all(Option::is_some);
        all.then(|| found.map(|node| node.unwrap_or(self)))
    }

    /// As a tree; none where an object has a key twice.
    pub(super) fn json(self) -> Option<Json> {
        Some(match self.first {
            Token::Null => Json::Null,
            Token::Bool(b) => Json::Bool(*b),
            Token::Long(n) => Json::Long(*n),
            Token::Text(text) => Json::String(text.clone().into_owned()),
            Token::Array(_) => Json::Array(self.items()?.map(Node::json).collect::<Option<_>>()?),
            Token::Object(_) => {
                let fields = self.fields()?.map(|(key, value)| Some((key.to_owned(), value.json()?)));
                let fields: Vec<(String, Json)> = fields.collect::<Option<_>>()?;
                let mut keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
                keys.sort_unstable();
                if keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                    return None;
                }
                Json::Object(fields)
            }
        })
    }
}
