//! Why a store cannot be used.

use std::path::PathBuf;

/// A store that cannot be read or written. Nothing was changed, unless a commit was under way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no file.
    #[error("there is no directory at `{}`", .0.display())]
    NotFound(PathBuf),
    /// There is a file where one was to be made.
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    /// The file is not a directory's.
    #[error("`{}` is not a directory of bailiwick", .0.display())]
    Foreign(PathBuf),
    /// The file was written by a later version.
    #[error("`{}` has version {version}, and this program knows versions up to {known}", .path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The latest version known.
        known: i64,
    },
    /// The file does not hold what it should.
    #[error("the directory is damaged: {0}")]
    Damaged(String),
    /// The file or the disk cannot be written to.
    #[error("the directory cannot be written to: its file and its folder must both be writable")]
    ReadOnly,
    /// The disk is full.
    #[error("the directory cannot be written to: the disk is full; make room on it and try again")]
    Full,
    /// The disk, or a limit on it, does not let the file be read or written.
    #[error("the disk fails the directory; nothing is lost that was done before: {0}")]
    Disk(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process held the directory for too long.
    #[error("the directory is busy")]
    Busy,
    /// What was read is not what was asked for: import and visitors say so.
    #[error("{0}")]
    Refused(String),
    /// Anything else.
    #[error("the directory cannot be used: {0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Busy | StoreError::Full)
    }
}
