//! What threads share: named in one place, so that a model checker can put its own types there.

pub(crate) use std::sync::atomic::{AtomicI64, Ordering};
pub(crate) use std::sync::{Mutex, PoisonError};

pub(crate) use arc_swap::{ArcSwap, Guard};
