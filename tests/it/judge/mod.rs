//! A second implementation of the access model, written from the
//! specification alone: a plain world, requests on it, and the decision by
//! `if` and `else`. Property tests compare it with what the policies say.
//!
//! Reading order: [`world`] (who and what there is), [`ask`] (what is asked),
//! [`decide`] (the answer), [`generate`] (random worlds and asks), [`small`]
//! (one world and every ask on it), `meta` (that these are sound), `spots`
//! (that the judge judges).

// References between parts of a world are indices into its own vectors; a
// wrong one is a fault of the test and should stop it.
#![allow(clippy::indexing_slicing)]

pub mod ask;
pub mod decide;
pub mod generate;
mod meta;
pub mod small;
mod spots;
pub mod world;

pub use ask::{request_json, Ask, Principal};
pub use decide::allowed;
pub use small::{all_asks, small_world};
pub use world::{entities_json, World};
