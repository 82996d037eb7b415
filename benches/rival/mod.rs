//! The rules of `policies/MODEL.md` by hand: what an application would write that wants no policy engine. Hash maps by
//! id (or vectors by slot), `if` and `else`, allow or deny and no reason. Written from the model, not from the policies.
//!
//! [`request`] is what is asked, [`store`] what is known, [`decide`] the rules, [`read`] makes the first two from the
//! library's values.

// Each binary that includes this module uses a part of it.
#![allow(dead_code, unused_imports)]

mod decide;
mod read;
mod request;
mod store;

pub use decide::allows;
pub use read::{request, store, Refused, Slots, Texts};
pub use request::{BySlot, ByText, Context, Ids, Principal, Request};
pub use store::Store;
