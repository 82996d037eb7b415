//! A store in one SQLite file: WAL, every commit on the disk before it is acknowledged.

mod read;
mod write;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rusqlite::{Connection, OpenFlags};

use super::{Reading, Store, StoreError, Writing};

/// Says in the file's header that it is a directory: `bwk1`.
const APPLICATION: i64 = 0x6277_6b31;

/// What brings a file from one version to the next, in order.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("auditors.sql")];

/// How long a transaction waits for another process's to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store in one SQLite file. Several processes of one host may have it open; each writes in turn.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connections: ArcSwap<Connections>,
}

/// The connections of one process. SQLite's must not be used, nor closed, in a process that was forked from theirs.
#[derive(Debug)]
struct Connections {
    process: u32,
    /// Which file had the path before they were opened: where another came in its place meanwhile, the next transaction
    /// notices it and opens that.
    file: File,
    /// Those that nobody uses now.
    idle: Mutex<Vec<Connection>>,
}

/// What tells a file from others, whatever their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct File {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    node: u64,
}

impl File {
    fn at(path: &Path) -> Result<Self, StoreError> {
        let found = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::NotFound(path.into()),
            _ => StoreError::Other(Box::new(error)),
        })?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(Self { device: found.dev(), node: found.ino() })
        }
        // Elsewhere no other file comes in the place of one that is open.
        #[cfg(not(unix))]
        Ok(Self {})
    }
}

impl Connections {
    /// How many are kept for later.
    const KEPT: usize = 4;

    fn new(file: File, idle: Vec<Connection>) -> Self {
        Self { process: std::process::id(), file, idle: Mutex::new(idle) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction.
struct Tx<'s> {
    /// There until it is dropped.
    connection: Option<Connection>,
    own: Arc<Connections>,
    open: bool,
    store: PhantomData<&'s Sqlite>,
}

impl Sqlite {
    /// Makes a new file. `epoch` tells the store from others; `epoch` of 63 bits.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be written: then none is left behind.
    pub fn create(path: &Path, epoch: u64) -> Result<Self, StoreError> {
        use std::io::ErrorKind;
        if let Err(error) = std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
            return Err(match error.kind() {
                ErrorKind::AlreadyExists => StoreError::Exists(path.into()),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
                ErrorKind::StorageFull => StoreError::Full,
                _ => StoreError::Other(Box::new(error)),
            });
        }
        let made = Self::fill(path, epoch);
        if made.is_err() {
            for end in ["", "-wal", "-shm"] {
                let mut file = path.as_os_str().to_owned();
                file.push(end);
                // It was made here; where it cannot be removed the error of making it says enough.
                let _ = std::fs::remove_file(file);
            }
        }
        made
    }

    fn fill(path: &Path, epoch: u64) -> Result<Self, StoreError> {
        let (file, connection) = (File::at(path)?, connect(path)?);
        connection.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        let store = Self::of(path, file, connection);
        store.migrate()?;
        let tx = store.begin("BEGIN IMMEDIATE")?;
        let epoch = i64::try_from(epoch & (u64::MAX >> 1)).unwrap_or(0);
        let insert = "INSERT INTO head (one, epoch, number, chain) VALUES (1, ?1, 0, zeroblob(32))";
        tx.connection()?.execute(insert, [epoch]).map_err(failed)?;
        Box::new(tx).commit()?;
        Ok(store)
    }

    /// As [`Sqlite::create`], with an epoch drawn at random.
    ///
    /// # Errors
    /// As [`Sqlite::create`], and when the system gives no random numbers.
    pub fn create_new(path: &Path) -> Result<Self, StoreError> {
        let epoch = getrandom::u64().map_err(|e| StoreError::Other(Box::new(e)))?;
        Self::create(path, epoch)
    }

    /// Opens a file, and brings it to this program's version.
    ///
    /// # Errors
    /// When there is none, it is not a directory's or damaged, or a later version's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::NotFound(path.into()));
        }
        let (file, connection) = (File::at(path)?, connect(path)?);
        let application: i64 = pragma(&connection, "application_id").map_err(|error| foreign(path, error))?;
        if application != APPLICATION {
            return Err(StoreError::Foreign(path.into()));
        }
        let store = Self::of(path, file, connection);
        store.migrate()?;
        // A file without a head is one whose making was broken off.
        store.read()?.head()?;
        Ok(store)
    }

    fn migrate(&self) -> Result<(), StoreError> {
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let version = |tx: &Tx<'_>| pragma(tx.connection()?, "user_version").map_err(failed);
        let tx = self.begin("BEGIN")?;
        let now = version(&tx)?;
        drop(tx);
        if now > known {
            return Err(StoreError::Newer { path: self.path.clone(), version: now, known });
        }
        if now == known {
            return Ok(());
        }
        let tx = self.begin("BEGIN IMMEDIATE")?;
        // Another process may have been faster.
        let from = version(&tx)?;
        for (sql, number) in MIGRATIONS.iter().zip(1_i64..) {
            if number > from {
                tx.connection()?.execute_batch(sql).map_err(failed)?;
                tx.connection()?.pragma_update(None, "user_version", number).map_err(failed)?;
            }
        }
        Box::new(tx).commit()
    }

    fn of(path: &Path, file: File, connection: Connection) -> Self {
        let own = Connections::new(file, vec![connection]);
        Self { path: path.into(), connections: ArcSwap::from_pointee(own) }
    }

    /// The connections of this process to the file that has the path now.
    fn own(&self) -> Result<Arc<Connections>, StoreError> {
        let (own, file) = (self.connections.load_full(), File::at(&self.path)?);
        if own.process != std::process::id() {
            // Those of the process it was forked from are left alone for ever.
            std::mem::forget(own);
        } else if own.file == file {
            return Ok(own);
        }
        let new = Arc::new(Connections::new(file, Vec::new()));
        self.connections.store(Arc::clone(&new));
        Ok(new)
    }

    fn begin(&self, how: &str) -> Result<Tx<'_>, StoreError> {
        let own = self.own()?;
        let idle = own.idle().pop();
        let connection = Some(idle.map_or_else(|| connect(&self.path), Ok)?);
        let mut tx = Tx { connection, own, open: false, store: PhantomData };
        tx.connection()?.execute_batch(how).map_err(failed)?;
        tx.open = true;
        Ok(tx)
    }
}

impl Store for Sqlite {
    fn read(&self) -> Result<Box<dyn Reading + '_>, StoreError> {
        Ok(Box::new(self.begin("BEGIN")?))
    }

    fn write(&self) -> Result<Box<dyn Writing + '_>, StoreError> {
        Ok(Box::new(self.begin("BEGIN IMMEDIATE")?))
    }
}

impl Tx<'_> {
    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or(StoreError::Busy)
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.own.process != std::process::id() {
            // A transaction of the process that this one was forked from.
            return std::mem::forget(connection);
        }
        // Where it fails SQLite has rolled back already, or the connection is of no more use.
        let ended = !self.open || connection.execute_batch("ROLLBACK").is_ok();
        let mut idle = self.own.idle();
        if ended && idle.len() < Connections::KEPT {
            idle.push(connection);
        }
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    let set = |name: &str, value: &dyn rusqlite::ToSql| {
        connection.pragma_update(None, name, value).map_err(|error| foreign(path, error))
    };
    set("trusted_schema", &false)?;
    // The answer is the mode that it is in now: another where the file system has no shared memory.
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| foreign(path, error))?;
    if mode != "wal" {
        return Err(StoreError::ReadOnly);
    }
    set("synchronous", &"FULL")?;
    set("foreign_keys", &true)?;
    // What is erased is overwritten: otherwise it stands in the file until its place is used for something else.
    set("secure_delete", &true)?;
    set("cache_size", &-65_536)?;
    Ok(connection)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// As [`failed`], where a file that is no database at all is another's.
fn foreign(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Foreign(path.into()),
        _ => failed(error),
    }
}

/// What an error of SQLite's means here.
fn failed(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::SystemIoFailure) => StoreError::Disk(Box::new(error)),
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Other(Box::new(error)),
    }
}

/// A value that no column should hold.
fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} is not what it should be"))
}
