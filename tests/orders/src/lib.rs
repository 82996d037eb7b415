//! Every interleaving of threads that share a state and a clock, up to a bound, by a model checker: the library's own
//! source of the protocol and of the pages a state is made of, with the checker's types in `sync`.

#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::Arc;

use loom::thread::{Builder, JoinHandle};
use pages::Pages;
use protocol::{Latest, Publication};

#[allow(dead_code)] // a snapshot needs more of it
#[path = "../../../src/entities/pages.rs"]
mod pages;
#[path = "../../../src/publication.rs"]
mod protocol;

/// What `src/sync.rs` is to the library.
mod sync {
    use std::sync::Arc;

    use loom::sync::atomic::AtomicUsize;

    pub use loom::sync::atomic::{AtomicI64, Ordering};
    pub use loom::sync::Mutex;
    pub use std::sync::PoisonError;

    /// A state that is held.
    pub type Guard<T> = T;

    /// A pointer, with no more order between threads than the library's promises.
    pub struct ArcSwap<T> {
        current: AtomicUsize,
        /// All states there were. The checker does not see this lock: it orders nothing.
        states: std::sync::Mutex<Vec<Arc<T>>>,
    }

    impl<T> ArcSwap<T> {
        pub fn from_pointee(state: T) -> Self {
            Self { current: AtomicUsize::new(0), states: std::sync::Mutex::new(vec![Arc::new(state)]) }
        }

        pub fn load(&self) -> Arc<T> {
            let current = self.current.load(Ordering::Acquire);
            Arc::clone(&self.states.lock().unwrap()[current])
        }

        pub fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub fn store(&self, state: Arc<T>) {
            let mut states = self.states.lock().unwrap();
            states.push(state);
            let current = states.len() - 1;
            drop(states);
            self.current.store(current, Ordering::Release);
        }
    }
}

/// Runs `model` in every order that takes threads off the processor at most so often in mid-course, and says how many.
fn explored(what: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
    let explored = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&explored);
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = Some(preemptions);
    checker.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let explored = explored.load(Ordering::Relaxed);
    println!("{what}: {explored} interleavings");
    explored
}

/// A thread of the model, with stack enough for snapshots: in words of the machine.
fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(1 << 17).spawn(f).expect("a thread")
}

/// A state as a snapshot is one: counters on pages, at a revision of an epoch.
#[derive(Clone)]
struct State {
    pages: Pages<i64>,
    epoch: u64,
    number: i64,
}

/// Counters: the first two on different pages, then how many changes there were before this epoch.
const FIRST: u32 = 0;
const SECOND: u32 = 40;
const BEFORE: u32 = 41;

impl State {
    /// The first revision of an epoch.
    fn new(epoch: u64, first: i64, second: i64, before: i64) -> Self {
        let mut all = vec![0; 42];
        all[FIRST as usize] = first;
        all[SECOND as usize] = second;
        all[BEFORE as usize] = before;
        Self { pages: Pages::of(all), epoch, number: 0 }
    }

    fn count(&self, counter: u32) -> i64 {
        *self.pages.get(counter).unwrap()
    }

    fn revision(&self) -> (u64, i64) {
        (self.epoch, self.number)
    }

    /// How many changes it has seen: its revision says the same as its pages.
    fn changes(&self) -> i64 {
        let (first, second) = (self.count(FIRST), self.count(SECOND));
        assert_eq!(first + second, self.number + self.count(BEFORE), "a state of two revisions");
        first + second
    }

    /// One change later, if it is accepted. What is refused may have been begun.
    fn changed(&self, accepted: bool) -> Result<Self, ()> {
        let mut next = self.clone();
        *next.pages.get_mut(FIRST).unwrap() += 1;
        next.number += 1;
        accepted.then_some(next).ok_or(())
    }
}

#[test]
fn readers_see_whole_states_in_order_and_no_change_is_lost() {
    let explored = explored("readers and writers", 3, move || {
        let publication = Arc::new(Publication::new(State::new(0, 0, 0, 0)));
        // One writer makes single changes, and sees in between that a change which is refused is none.
        let single = spawn({
            let publication = Arc::clone(&publication);
            move || {
                for made in 1..=2 {
                    let published = publication.replace(|state| state.changed(true)).unwrap().revision();
                    let next = publication.load();
                    assert!(next.count(FIRST) == made, "its own change is seen by its next look");
                    assert!(next.revision() >= published);
                    let before = next.changes();
                    publication.replace(|state| state.changed(false)).map(drop).unwrap_err();
                    let next = publication.load();
                    assert!(next.count(FIRST) == made && next.changes() >= before);
                }
            }
        });
        // The other loads everything anew: another epoch, that begins with revision 0.
        let whole = spawn({
            let publication = Arc::clone(&publication);
            move || {
                let published = publication.replace(|state| {
                    let (first, second) = (state.count(FIRST), state.count(SECOND) + 1);
                    Ok::<_, ()>(State::new(state.epoch + 1, first, second, first + second))
                });
                let published = published.unwrap().revision();
                let next = publication.load();
                assert!(next.count(SECOND) == 1 && next.revision() >= published);
                next.changes();
            }
        });
        let reader = spawn({
            let publication = Arc::clone(&publication);
            move || {
                let first = publication.load();
                let (before, revision) = (first.changes(), first.revision());
                let second = publication.load();
                assert!(second.changes() >= before && second.revision() >= revision, "the state went back");
                assert_eq!((first.changes(), first.revision()), (before, revision), "what is held has changed");
            }
        });
        single.join().unwrap();
        whole.join().unwrap();
        reader.join().unwrap();
        let last = spawn(move || publication.load().changes()).join().unwrap();
        assert_eq!(last, 3, "a change is lost");
    });
    assert!(explored > 1_000, "{explored}");
}

#[test]
fn the_present_never_goes_back_for_any_thread() {
    // What the clock shows to each thread, in order, in milliseconds.
    let models: [&[&[i64]]; 4] = [
        &[&[1_000, 1_001], &[2_000, 500], &[1_500, 2_500]],
        &[&[0, 10_000], &[9_000, 7_999], &[8_000]],
        &[&[5_000], &[2_999], &[3_000, 7_001]],
        &[&[i64::MIN, i64::MAX], &[0, -1], &[i64::MAX - 2_000]],
    ];
    let mut all = 0;
    for threads in models {
        all += explored(&format!("clocks {threads:?}"), 4, move || {
            let latest = Arc::new(Latest::new());
            // The latest instant told to anyone, and the latest shown: threads of the model run one at a time.
            let told = Arc::new(AtomicI64::new(i64::MIN));
            let shown = Arc::new(AtomicI64::new(i64::MIN));
            let threads = threads.iter().map(|clock| {
                let (latest, told, shown) = (Arc::clone(&latest), Arc::clone(&told), Arc::clone(&shown));
                spawn(move || {
                    for at in *clock {
                        let (told_before, shown_before) = (told.load(Ordering::Relaxed), shown.load(Ordering::Relaxed));
                        let answer = latest.see(*at);
                        match answer {
                            Ok(now) => {
                                assert!(now >= told_before && now >= *at, "{now} after {told_before}");
                                assert!(now.saturating_sub(*at) <= 2_000, "{at} counts as {now}");
                                told.fetch_max(now, Ordering::Relaxed);
                            }
                            Err(seen) => assert!(seen.saturating_sub(*at) > 2_000, "{at} is refused after {seen}"),
                        }
                        if shown_before.saturating_sub(*at) > 2_000 {
                            assert!(answer.is_err(), "{at} is no error after {shown_before}");
                        }
                        shown.fetch_max(*at, Ordering::Relaxed);
                    }
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            latest.reset();
            assert_eq!(latest.see(-5_000), Ok(-5_000), "what was reset is forgotten");
        });
    }
    assert!(all > 1_000, "{all}");
}
