//! How a process keeps up with a store that others write to. A thread looks for what is new, time and again; once nobody
//! can say any more that the newest state is known, everything is denied.
//!
//! Deciding never reads the store: a disk that hangs, a thread that is gone or a process that was forked make a state
//! old, and then denials of decisions, nothing else.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::DirectoryError;
use crate::authorizer::{Authorizer, Freshness};
use crate::engine::Linked;
use crate::loader;
use crate::model::{DecisionError, ErrorCode, Revision};
use crate::publication::Turn;
use crate::store::{Head, Reading, Store};

/// What gives the time that has passed since some beginning: it never goes back, whatever the clock is set to.
pub(super) type Ticks = dyn Fn() -> Duration + Send + Sync;

/// Since this process, or the one it was forked from, first asked.
pub(super) fn ticks() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// When the newest state was known last.
pub(super) struct Fresh {
    ticks: Box<Ticks>,
    /// How old a state may be that is decided on.
    most: Duration,
    /// How often the thread looks; none where there is no thread.
    every: Option<Duration>,
    /// In microseconds, plus one; 0 for never.
    known: AtomicU64,
    shared: OnceLock<Weak<Shared>>,
}

/// What the thread shares with the directory.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) authorizer: Authorizer,
    fresh: Arc<Fresh>,
    /// The store's head of which the authorizer's state is. It is set as the state is replaced, just before: a process
    /// that is forked between the two has a state that is older, which [`loader::follow`] notices.
    pub(super) known: ArcSwap<Head>,
    /// From a command's first read until its changes are in the authorizer: a process's commands come one after the
    /// other anyway.
    pub(super) writing: Turn,
    /// The process whose thread looks; [`Self::CHANGING`] while a forked one readies itself.
    process: AtomicU32,
}

impl Fresh {
    pub(super) fn new(ticks: Box<Ticks>, most: Duration, every: Option<Duration>) -> Self {
        Self { ticks, most, every, known: AtomicU64::new(0), shared: OnceLock::new() }
    }

    fn micros(&self) -> u64 {
        u64::try_from((self.ticks)().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    /// What [`Self::confirm`] is to be told: taken before the store is read.
    pub(super) fn begin(&self) -> u64 {
        self.micros()
    }

    /// What the store held at an instant is known.
    pub(super) fn confirm(&self, began: u64) {
        self.known.fetch_max(began, Ordering::AcqRel);
    }

    /// How old the state may be; none where nothing is known, or time has gone back.
    fn age(&self) -> Option<Duration> {
        let (known, now) = (self.known.load(Ordering::Acquire), self.micros());
        now.checked_sub(known).filter(|_| known > 0).map(Duration::from_micros)
    }

    /// The thread has not looked for a while: it may have stayed behind in the process that this one was forked from.
    #[cold]
    fn late(&self) -> Result<(), DecisionError> {
        self.shared.get().and_then(Weak::upgrade).into_iter().for_each(|shared| shared.ready());
        let age = match self.age() {
            Some(age) if age <= self.most => return Ok(()),
            Some(age) => format!("last seen {} ms ago", age.as_millis()),
            None => "never seen".to_owned(),
        };
        let most = self.most.as_millis();
        Err(DecisionError::new(ErrorCode::Stale, format!("the newest entities were {age}; {most} ms is the most")))
    }
}

impl Freshness for Fresh {
    fn check(&self) -> Result<(), DecisionError> {
        // Half of what is allowed: a forked process has its thread long before anything is denied.
        match self.age() {
            Some(age) if age <= self.most / 2 => Ok(()),
            _ => self.late(),
        }
    }
}

impl Shared {
    const CHANGING: u32 = 0;

    pub(super) fn new(store: Arc<dyn Store>, authorizer: Authorizer, known: Head, fresh: Arc<Fresh>) -> Arc<Self> {
        let (known, process) = (ArcSwap::from_pointee(known), AtomicU32::new(std::process::id()));
        let shared = Arc::new(Self { store, authorizer, fresh, known, writing: Turn::new(), process });
        // The cell is filled here only.
        let _ = shared.fresh.shared.set(Arc::downgrade(&shared));
        shared.begin_to_look();
        shared
    }

    pub(super) fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    /// Readies a process that was forked from the one it was made in. Whoever held a lock there is not here.
    pub(super) fn ready(&self) {
        let (own, known) = (std::process::id(), self.process.load(Ordering::Acquire));
        if own == known || known == Self::CHANGING {
            return;
        }
        let mine = self.process.compare_exchange(known, Self::CHANGING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if mine {
            self.authorizer.renew();
            self.writing.renew();
            self.process.store(own, Ordering::Release);
            self.begin_to_look();
        }
    }

    /// Starts the thread. Where there is none to be had, the state grows old and is denied on. A look at a file that nobody
    /// has written to costs some 11 µs, a thousandth of a processor: whether the path is still that file's, a
    /// transaction, and one row.
    fn begin_to_look(&self) {
        let (Some(every), Some(weak)) = (self.fresh.every, self.fresh.shared.get().cloned()) else { return };
        let looking = move || loop {
            std::thread::park_timeout(every);
            let Some(shared) = weak.upgrade() else { return };
            // An error is told by the state that grows old, and by whoever calls `refresh`.
            let _ = shared.look();
        };
        drop(std::thread::Builder::new().name("bailiwick-follow".into()).spawn(looking));
    }

    /// Brings the authorizer to the store's newest revision, which then is known.
    pub(super) fn look(&self) -> Result<Revision, DirectoryError> {
        let began = self.fresh.begin();
        let (_, state) = self.reading()?;
        self.fresh.confirm(began);
        Ok(state.snapshot().revision())
    }

    /// Brings the authorizer to the revision of a transaction that writes.
    pub(super) fn follow(&self, tx: &mut dyn Reading) -> Result<Arc<Linked>, DirectoryError> {
        let head = tx.head()?;
        self.authorizer.replace_state(|state| {
            let next = loader::follow(state, &self.known.load(), tx)?;
            self.known.store(Arc::new(head));
            Ok(next)
        })
    }

    /// Begins to read, with the state of exactly the revision that is read.
    pub(super) fn reading(&self) -> Result<(Box<dyn Reading + '_>, Arc<Linked>), DirectoryError> {
        loop {
            // Of a revision that is committed: what is read after it leads on from it, or the file is another.
            let known = self.known.load_full();
            let mut tx = self.store.read()?;
            let head = tx.head()?;
            let state = Arc::clone(&self.authorizer.state());
            if *known == head && state.snapshot().revision() == head.revision() {
                return Ok((tx, state));
            }
            let mut followed = false;
            let state = self.authorizer.replace_state(|state| {
                // Otherwise another thread was faster, perhaps with a newer revision than this one reads.
                followed = **self.known.load() == *known;
                if !followed {
                    return Ok(state.clone());
                }
                let next = loader::follow(state, &known, &mut *tx)?;
                self.known.store(Arc::new(head));
                Ok::<_, DirectoryError>(next)
            })?;
            if followed {
                return Ok((tx, state));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use crate::directory::{Actor, Command, Directory};
    use crate::model::grc::Role;
    use crate::store::{Memory, Store};
    use crate::Entity;

    fn entities(directory: &Directory) -> Vec<Entity> {
        let mut all: Vec<Entity> = directory.authorizer().snapshot().iter().collect();
        all.sort_by(|a, b| a.uid().cmp(b.uid()));
        all
    }

    /// As in a process that was forked while the state was replaced, whose known head is newer than its state.
    #[test]
    fn a_state_older_than_the_head_that_is_known_is_loaded_anew() {
        for later in 0..3 {
            let store: Arc<dyn Store> = Arc::new(Memory::new(1));
            let open = || Directory::builder().look_every(None).open(Arc::clone(&store)).unwrap();
            let (writer, reader) = (open(), open());
            let create = |nth: u32| {
                let (name, email) = (format!("Organization {nth}"), format!("p{nth}@x.test"));
                let command = Command::CreateOrganization {
                    name: name.parse().unwrap(),
                    plan: Default::default(),
                    email: email.parse().unwrap(),
                    role: Role::Owner,
                };
                writer.run(&Actor::Operator, &name, &command).unwrap();
            };
            create(0);
            reader.shared.known.store(Arc::new(store.read().unwrap().head().unwrap()));
            (1..=later).for_each(create);
            assert_eq!(reader.refresh().unwrap(), writer.authorizer().snapshot().revision());
            assert_eq!(entities(&reader), entities(&writer), "{later} later");
        }
    }
}
