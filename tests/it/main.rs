//! The integration tests, in one binary.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod against_cedar;
mod against_judge;
mod cases;
#[cfg(feature = "cli")]
mod cli;
mod diff;
mod explain;
mod corpus;
mod fail_closed;
mod files;
mod hostile;
mod judge;
mod links;
mod loader;
mod loader_cedar;
mod loader_ways;
mod mutants;
mod plans;
mod policies;
mod query;
mod random;
mod rival;
