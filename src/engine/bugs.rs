//! Bugs that tests put in, to see that comparing with Cedar finds them. Without the feature `deliberate-bugs` there are
//! none, and no trace of them.

/// A bug to put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A missing attribute is read as false.
    MissingIsFalse = 1,
    /// Arithmetic wraps around.
    Wrapping,
    /// An action belongs to no group.
    NoActionGroups,
    /// What comes with a request has its direct parents, but not theirs.
    ClosureNotJoined,
    /// Once a forbid has matched, errors are dropped.
    ErrorsAfterForbidDropped,
}

#[cfg(feature = "deliberate-bugs")]
mod present {
    use super::Bug;
    use std::sync::atomic::{AtomicU8, Ordering};

    static PRESENT: AtomicU8 = AtomicU8::new(0);

    impl Bug {
        /// All of them.
        pub const ALL: [Bug; 5] = [
            Bug::MissingIsFalse,
            Bug::Wrapping,
            Bug::NoActionGroups,
            Bug::ClosureNotJoined,
            Bug::ErrorsAfterForbidDropped,
        ];

        /// Puts the bug in, for the whole process, in place of any other; none takes it out.
        pub fn put_in(bug: Option<Bug>) {
            PRESENT.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
        }

        pub(crate) fn is_in(self) -> bool {
            PRESENT.load(Ordering::SeqCst) == self as u8
        }
    }
}

#[cfg(not(feature = "deliberate-bugs"))]
impl Bug {
    pub(crate) const fn is_in(self) -> bool {
        false
    }
}
