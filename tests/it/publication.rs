//! Every interleaving of threads that share a state and a clock, up to a bound, by a model checker: the protocol's own
//! source, with the checker's types in `sync`.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::Arc;

use bailiwick::{Bundle, Changes, Entity, EntityError, EntityUid, ErrorMode, Snapshot, Source, Sources, Value};
use loom::thread::{Builder, JoinHandle};
use protocol::{Latest, Publication};

#[path = "../../src/publication.rs"]
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

fn uid(id: &str) -> EntityUid {
    EntityUid::new("Counter", id).expect("a uid")
}

/// A counter of changes.
fn counter(id: &str, n: i64) -> Entity {
    Entity::new(uid(id)).with("n", Value::Long(n))
}

fn count(snapshot: &Snapshot, id: &str) -> i64 {
    match snapshot.get(&uid(id)).expect("a counter").attribute("n") {
        Some(Value::Long(n)) => *n,
        other => panic!("{other:?}"),
    }
}

/// Both counters, and those between that put them on different pages.
fn all(first: i64, second: i64, before: i64) -> Vec<Entity> {
    let between = (0..40).map(|i| counter(&format!("between{i}"), 0));
    let ends = [counter("first", first), counter("second", second), counter("before", before)];
    let [first, second, before] = ends;
    [first].into_iter().chain(between).chain([second, before]).collect()
}

/// How many changes a whole state has seen: its revision says the same as its pages.
fn changes(snapshot: &Snapshot) -> i64 {
    let (first, second) = (count(snapshot, "first"), count(snapshot, "second"));
    let number = i64::try_from(snapshot.revision().number).expect("few");
    assert_eq!(first + second, number + count(snapshot, "before"), "a state of two revisions");
    first + second
}

#[test]
fn readers_see_whole_states_in_order_and_no_change_is_lost() {
    let schema = "entity Counter = { n: Long }; action look appliesTo { principal: Counter, resource: Counter };";
    let policy = "@id(\"a\") permit (principal, action, resource);";
    let sources = Sources::new(Some(Source::new("s", schema)), vec![Source::new("p", policy)]);
    let bundle = Bundle::from_sources(sources, ErrorMode::Strict).expect("valid");
    let begin = Snapshot::from_entities(&bundle, all(0, 0, 0)).expect("valid");

    let explored = explored("readers and writers", 3, move || {
        let publication = Arc::new(Publication::new(begin.clone()));
        // One writer changes single entities, and sees in between that a change which is refused is none.
        let single = spawn({
            let (publication, bundle) = (Arc::clone(&publication), bundle.clone());
            move || {
                for made in 1..=2 {
                    let published = publication.replace(|state| {
                        let changed = counter("first", count(state, "first") + 1);
                        state.apply(&bundle, &Changes::new().upsert(changed))
                    });
                    let published = published.expect("it fits").revision();
                    let next = publication.load();
                    assert!(count(&next, "first") == made, "its own change is seen by its next look");
                    assert!(next.revision() >= published);
                    let before = changes(&next);
                    let refused = |state: &Snapshot| -> Result<Snapshot, EntityError> {
                        state.apply(&bundle, &Changes::new().upsert(Entity::new(uid("first"))))
                    };
                    publication.replace(refused).map(drop).expect_err("it has no `n`");
                    let next = publication.load();
                    assert!(count(&next, "first") == made && changes(&next) >= before);
                }
            }
        });
        // The other loads everything anew: another epoch, that begins with revision 0.
        let whole = spawn({
            let (publication, bundle) = (Arc::clone(&publication), bundle.clone());
            move || {
                let published = publication.replace(|state| {
                    let (first, second) = (count(state, "first"), count(state, "second") + 1);
                    Snapshot::from_entities(&bundle, all(first, second, first + second))
                });
                let published = published.expect("it fits").revision();
                let next = publication.load();
                assert!(count(&next, "second") == 1 && next.revision() >= published);
                changes(&next);
            }
        });
        let reader = spawn({
            let publication = Arc::clone(&publication);
            move || {
                let first = publication.load();
                let (before, revision) = (changes(&first), first.revision());
                let second = publication.load();
                assert!(changes(&second) >= before && second.revision() >= revision, "the state went back");
                assert_eq!((changes(&first), first.revision()), (before, revision), "what is held has changed");
            }
        });
        single.join().unwrap();
        whole.join().unwrap();
        reader.join().unwrap();
        let last = spawn(move || changes(&publication.load())).join().unwrap();
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
