//! How threads share a state that is replaced as a whole, and the latest instant a clock has shown.
//!
//! It names no type of the crate: the tests read this file a second time, with the model checker's `sync` beside it.

use std::sync::Arc;

use super::sync::{ArcSwap, AtomicI64, Guard, Mutex, Ordering, PoisonError};

/// A state that is read while it is replaced.
pub(crate) struct Publication<T> {
    current: ArcSwap<T>,
    /// Held by whoever replaces the state, from reading the old one on; readers never wait for it.
    writing: Mutex<()>,
}

impl<T> Publication<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { current: ArcSwap::from_pointee(state), writing: Mutex::new(()) }
    }

    /// The current state, whole: it stays as it is for as long as it is held.
    pub(crate) fn load(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Puts what `next` makes of the current state in its place, and gives it. Changes come one after the other, so
    /// that none is lost; on an error nothing changes.
    pub(crate) fn replace<E>(&self, next: impl FnOnce(&T) -> Result<T, E>) -> Result<Arc<T>, E> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Arc::new(next(&self.current.load_full())?);
        self.current.store(Arc::clone(&next));
        Ok(next)
    }
}

/// How far a clock may be behind the latest instant seen, in milliseconds.
const BACKWARDS: i64 = 2_000;

/// The latest instant that a clock has shown to any thread, in milliseconds.
pub(crate) struct Latest(AtomicI64);

impl Latest {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// The instant that counts where a clock shows `shown`: never before the latest one, which up to 2 s behind counts
    /// as. More is an error, with the latest one.
    pub(crate) fn see(&self, shown: i64) -> Result<i64, i64> {
        // In one step: between reading and writing another thread could be shown a later one, and it would be lost.
        let latest = self.0.fetch_max(shown, Ordering::SeqCst);
        match latest.saturating_sub(shown) {
            behind if behind > BACKWARDS => Err(latest),
            _ => Ok(latest.max(shown)),
        }
    }

    /// Forgets what was seen.
    pub(crate) fn reset(&self) {
        self.0.store(i64::MIN, Ordering::SeqCst);
    }
}
