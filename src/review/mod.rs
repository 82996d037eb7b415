//! Reviewing policies: policy tests as files, and what they exercise.

mod cases;

pub use cases::{read_cases, run_cases, Case, CaseError, CaseFailure, Cases, Report};
