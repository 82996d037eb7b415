//! Reviewing policies: policy tests as files and what they exercise, and what an edit changes.

mod cases;
mod diff;
mod policies;
mod render;
mod small;

pub use cases::{read_cases, read_questions, run_cases, Case, CaseError, CaseFailure, Cases, Report};
#[doc(hidden)]
pub use diff::diff_some;
pub use diff::{diff, Change, Diff, Group, Tried, Wall, WallChange, Witness};
pub use policies::{Edit, PolicyChange};
pub use small::{SmallWorld, Untried};
