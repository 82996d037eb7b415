//! The journal: entries, the chain of their hashes, and its verifier.
//!
//! The hash of an entry covers the hash of the one before it and everything the entry says. Names and addresses are not
//! in it themselves but as commitments, hashes of salt and text; text and salt stand beside it and can be erased
//! without breaking the chain.

use sha2::{Digest, Sha256};

use super::values::{Hash, Id};
use super::StoreError;
use crate::model::Timestamp;

/// What happened, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who did it: a uid, or `operator`.
    pub actor: String,
    /// What was done: an action's id, or the name of what needs none.
    pub action: String,
    /// In which organization.
    pub organization: Option<Id>,
    /// To whom or what: a uid.
    pub target: Option<String>,
    /// From which state to which, as JSON.
    pub details: String,
    /// The policies that permitted it, and the version of their bundle, as JSON.
    pub decision: String,
    /// The names and addresses it is about.
    pub private: Vec<Private>,
}

/// A name or an address beside an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Private {
    /// What it is: `email`, say.
    pub name: String,
    /// Hashed together with the text; none once it was erased.
    pub salt: Option<[u8; 16]>,
    /// The text; none once it was erased.
    pub text: Option<String>,
    /// The hash of name, salt and text: it is part of the chain.
    pub commitment: Hash,
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Private").field("name", &self.name).field("text", &self.text).finish_non_exhaustive()
    }
}

impl Private {
    /// A text with its commitment.
    pub fn new(name: &str, text: &str, salt: [u8; 16]) -> Self {
        let commitment = commitment(name, &salt, text);
        Self { name: name.to_owned(), salt: Some(salt), text: Some(text.to_owned()), commitment }
    }

    /// Whether the text is what was committed to; nobody can say once it was erased.
    fn holds(&self) -> bool {
        match (&self.salt, &self.text) {
            (Some(salt), Some(text)) => commitment(&self.name, salt, text) == self.commitment,
            (None, None) => true,
            _ => false,
        }
    }
}

/// An entry as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The revision that it led to.
    pub number: u64,
    /// Its place among the entries of that revision, from 0.
    pub place: u32,
    /// What happened.
    pub entry: Entry,
    /// The chain's hash, this entry included.
    pub hash: Hash,
}

/// Which entries of the journal are wanted. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of an organization.
    pub organization: Option<Id>,
    /// Those about this uid.
    pub target: Option<String>,
    /// Those of this actor.
    pub actor: Option<String>,
    /// Those from this instant on.
    pub from: Option<Timestamp>,
    /// Those before this instant.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether an entry passes.
    pub fn passes(&self, entry: &Entry) -> bool {
        self.organization.is_none_or(|id| entry.organization == Some(id))
            && self.target.as_ref().is_none_or(|target| entry.target.as_ref() == Some(target))
            && self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.from.is_none_or(|from| entry.at >= from)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// What is wrong with a journal, at the first entry that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The revision of the entry.
    pub number: u64,
    /// Its place there.
    pub place: u32,
    /// What is wrong.
    pub message: String,
}

/// Hashes parts, each behind its length, so that no two lists of parts are hashed alike.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    Hash::from_bytes(hasher.finalize().into())
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn commitment(name: &str, salt: &[u8; 16], text: &str) -> Hash {
    sha256(&[b"private", name.as_bytes(), salt, text.as_bytes()])
}

/// The hash of an entry behind another.
pub(super) fn chained(before: &Hash, number: u64, place: u32, entry: &Entry) -> Hash {
    let (number, place, at) = (number.to_be_bytes(), place.to_be_bytes(), entry.at.millis().to_be_bytes());
    let organization = entry.organization.map(|id| *id.bytes());
    let mut parts: Vec<&[u8]> = vec![
        before.bytes(),
        &number,
        &place,
        &at,
        entry.actor.as_bytes(),
        entry.action.as_bytes(),
        organization.as_ref().map_or(&[], |id| id.as_slice()),
        entry.target.as_deref().unwrap_or_default().as_bytes(),
        entry.details.as_bytes(),
        entry.decision.as_bytes(),
    ];
    for private in &entry.private {
        parts.push(private.name.as_bytes());
        parts.push(private.commitment.bytes());
    }
    sha256(&parts)
}

/// Entries with their places and hashes, behind a hash; and the last hash.
pub(super) fn chain(before: Hash, number: u64, entries: &[Entry]) -> (Vec<Logged>, Hash) {
    let mut hash = before;
    let logged = entries.iter().zip(0..).map(|(entry, place)| {
        hash = chained(&hash, number, place, entry);
        Logged { number, place, entry: entry.clone(), hash }
    });
    (logged.collect(), hash)
}

/// Checks the whole journal of a store: every hash, every text beside its commitment, no revision missing, and the
/// head behind the last entry. Gives how many entries there are, or the first fault.
pub(crate) fn verify(tx: &mut dyn super::Reading) -> Result<Result<u64, Fault>, StoreError> {
    let head = tx.head()?;
    let (mut hash, mut count, mut number, mut next) = (START, 0_u64, 0_u64, 0_u32);
    let mut fault = None;
    tx.journal(&Filter::default(), &mut |logged| {
        if fault.is_some() {
            return Ok(());
        }
        let broken = |message: &str| Fault { number: logged.number, place: logged.place, message: message.to_owned() };
        let follows = (logged.number == number && logged.place == next && number > 0)
            || (logged.number == number + 1 && logged.place == 0);
        if !follows {
            fault = Some(broken("an entry is missing before this one"));
        } else if chained(&hash, logged.number, logged.place, &logged.entry) != logged.hash {
            fault = Some(broken("it is not what was written, or what stands before it is not"));
        } else if let Some(private) = logged.entry.private.iter().find(|private| !private.holds()) {
            fault = Some(broken(&format!("its `{}` is not what was committed to", private.name)));
        }
        (hash, number, next, count) = (logged.hash, logged.number, logged.place + 1, count + 1);
        Ok(())
    })?;
    if fault.is_none() && (number != head.number || hash != head.chain) {
        let message = format!("the journal ends at revision {number}, the directory is at {}", head.number);
        fault = Some(Fault { number, place: next.saturating_sub(1), message });
    }
    Ok(fault.map_or(Ok(count), Err))
}

/// What stands before the first entry.
pub(super) const START: Hash = Hash::from_bytes([0; 32]);
