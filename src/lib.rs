#![doc = include_str!("../README.md")]
//!
//! The modules, each using only those before it: [`model`], [`bundle`], [`entities`], `engine`, `sync`, `publication`,
//! [`authorizer`], [`query`], [`review`]; and with the feature `sqlite` `store`, `loader`, `directory`.

pub mod model;
pub mod bundle;
pub mod entities;
mod engine;
mod sync;
mod publication;
pub mod authorizer;
pub mod query;
pub mod review;
#[cfg(feature = "sqlite")]
pub mod store;
#[cfg(feature = "sqlite")]
pub mod loader;
#[cfg(feature = "sqlite")]
pub mod directory;

pub use authorizer::{Authorizer, Clock, Health, RefreshError, SystemClock};
pub use bundle::{Bundle, BundleError, ErrorMode, Finding, Link, Policy, Severity, Source, Sources};
pub use cedar_policy;
#[cfg(feature = "deliberate-bugs")]
#[doc(hidden)]
pub use engine::bugs::Bug;
pub use entities::{Changes, EntityError, EntitySource, Snapshot, SourceError};
pub use model::grc;
pub use model::{
    ClauseReason, Context, Decision, DecisionError, Entity, EntityUid, ErrorCode, Explanation, Handle, Part,
    PolicyReason, Request, RequestError, Resource, Revision, Seen, Sight, Timestamp, UidError, Value, Window,
};

/// Decides on a snapshot as it is, without the checks of an [`Authorizer`]: for tests of what the engine does with
/// damaged entities. `context.now` is not filled in.
#[doc(hidden)]
pub fn decide_on(bundle: &Bundle, snapshot: &Snapshot, request: &Request, decision: &mut Decision) {
    let no_clock = || Err(DecisionError::new(ErrorCode::Clock, "there is no clock"));
    if let Ok(linked) = engine::Linked::new(bundle.clone(), snapshot.clone()) {
        engine::decide(&linked, request, &no_clock, decision);
    }
}
