//! Reviewing policies: policy tests as files and what they exercise, and what an edit changes.

mod cases;
mod diff;
mod policies;
mod render;
mod run;
mod small;
mod tables;

pub use cases::{builtin_cases, read_cases, read_questions, Case, CaseError, Cases};
#[doc(hidden)]
pub use diff::diff_some;
pub use diff::{diff, Change, Diff, Group, Tried, Wall, WallChange, Witness};
pub use policies::{Edit, PolicyChange};
pub use run::{run_cases, CaseFailure, Report};
pub use small::{SmallWorld, Untried};
