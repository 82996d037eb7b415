//! Links: what is sent out, and what is kept of it.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::store::{hex, Hash, Id};

/// A secret text: the token of a link. It is shown by nothing but [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret that somebody presents.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for putting it into a link.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A token: whose it is, which is no secret, and 256 random bits, which are.
pub(super) struct Token {
    id: Id,
    bits: [u8; 32],
}

impl Token {
    pub(super) fn new(id: Id, bits: [u8; 32]) -> Self {
        Self { id, bits }
    }

    /// Reads a token as [`Token::secret`] writes it.
    pub(super) fn read(secret: &Secret) -> Option<Self> {
        let text = secret.expose().as_bytes();
        let digit = |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |at: usize| Some(digit(2 * at)? << 4 | digit(2 * at + 1)?);
        if text.len() != 96 || text.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let (mut id, mut bits) = ([0; 16], [0; 32]);
        for (place, at) in id.iter_mut().chain(&mut bits).zip(0..) {
            *place = byte(at)?;
        }
        Some(Self { id: Id::from_bytes(id), bits })
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn secret(&self) -> Secret {
        Secret(hex(self.id.bytes()) + &hex(&self.bits))
    }

    /// All of it that is kept.
    pub(super) fn hash(&self) -> Hash {
        Hash::from_bytes(Sha256::digest(self.bits).into())
    }

    /// Whether it is the one of which `kept` is the hash. Takes as long whatever the answer is.
    pub(super) fn is(&self, kept: Option<&Hash>) -> bool {
        let none = Hash::from_bytes([0; 32]);
        let same = self.hash().bytes().ct_eq(kept.unwrap_or(&none).bytes());
        bool::from(same) && kept.is_some()
    }
}
