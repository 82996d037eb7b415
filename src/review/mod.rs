//! Reviewing policies: policy tests as files, and what they exercise.

mod cases;
mod run;
mod tables;

pub use cases::{builtin_cases, read_cases, Case, CaseError, Cases};
pub use run::{run_cases, CaseFailure, Report};
