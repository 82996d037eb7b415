//! How threads share a state that is replaced as a whole, and the latest instant a clock has shown.
//!
//! It names no type of the crate: the tests read this file a second time, with the model checker's `sync` beside it.

use std::sync::Arc;

use super::sync::{ArcSwap, AtomicI64, Guard, Mutex, Ordering, PoisonError};

/// What threads do one after the other.
pub(crate) struct Turn(ArcSwap<Mutex<()>>);

impl Turn {
    pub(crate) fn new() -> Self {
        Self(ArcSwap::from_pointee(Mutex::new(())))
    }

    /// Does `f` while nobody else does anything in turn.
    pub(crate) fn take<R>(&self, f: impl FnOnce() -> R) -> R {
        let lock = self.0.load_full();
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        f()
    }

    /// Forgets who has the turn: in a forked process that is a thread which is not there. To be called before anything
    /// else is done in turn in that process.
    #[allow(dead_code)] // without a directory nobody does
    pub(crate) fn renew(&self) {
        self.0.store(Arc::new(Mutex::new(())));
    }
}

/// A state that is read while it is replaced.
pub(crate) struct Publication<T> {
    current: ArcSwap<T>,
    /// Of whoever replaces the state, from reading the old one on; readers never wait for it.
    writing: Turn,
}

impl<T> Publication<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { current: ArcSwap::from_pointee(state), writing: Turn::new() }
    }

    /// The current state, whole: it stays as it is for as long as it is held.
    pub(crate) fn load(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Puts what `next` makes of the current state in its place, and gives it. Changes come one after the other, so
    /// that none is lost; on an error nothing changes.
    pub(crate) fn replace<E>(&self, next: impl FnOnce(&T) -> Result<T, E>) -> Result<Arc<T>, E> {
        self.writing.take(|| {
            let next = Arc::new(next(&self.current.load_full())?);
            self.current.store(Arc::clone(&next));
            Ok(next)
        })
    }

    /// See [`Turn::renew`].
    #[allow(dead_code)] // without a directory nobody does
    pub(crate) fn renew(&self) {
        self.writing.renew();
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
        // In one step: between reading and writing another thread could be shown a later one, and it would be lost. To
        // read first, and write only what is later, is no such step: the model checker meets an instant that goes back.
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
