//! Tests of the directory, in a binary of their own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod auditors;
mod campaigns;
#[cfg(feature = "cli")]
mod cli;
mod commands;
mod contract;
#[cfg(all(feature = "cli", unix))]
mod disk;
mod examples;
mod follow;
mod hostile;
mod journal;
mod lifecycles;
mod races;
mod random;
mod transfer;
mod world;
