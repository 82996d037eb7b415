//! Links, sessions and passwords: what is given out, and what is kept of it.

use std::fmt;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::DirectoryError;
use crate::store::{hex, Hash, Id, PasswordHash};

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

/// Whether a text will do as a password.
pub(super) fn is_acceptable(password: &Secret) -> bool {
    password.expose().chars().count() >= 12 && password.expose().len() <= 1024
}

/// Argon2id, 19 MiB, two passes, one lane.
fn argon2() -> Result<Argon2<'static>, DirectoryError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|_| DirectoryError::Hashing)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

pub(super) fn hash_password(password: &Secret, salt: &[u8; 16]) -> Result<PasswordHash, DirectoryError> {
    let hash = argon2()?.hash_password_with_salt(password.expose().as_bytes(), salt);
    Ok(PasswordHash::new(hash.map_err(|_| DirectoryError::Hashing)?.to_string()))
}

/// Whether it is the password of this hash. Takes as long where there is none.
pub(super) fn is_password(password: &Secret, hash: Option<&PasswordHash>) -> bool {
    // The salt and hash of nothing.
    const NONE: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let against = hash.map_or(NONE, PasswordHash::as_str);
    // A longer one is none, and is not to cost more.
    let text = password.expose().as_bytes();
    let text = text.get(..1024).unwrap_or(text);
    let same = argon2().is_ok_and(|argon2| argon2.verify_password(text, against).is_ok());
    same && hash.is_some() && password.expose().len() <= 1024
}
