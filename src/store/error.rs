//! What can go wrong between Bongsu and its database.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::DbErr;

use crate::collect::SchemaError;

/// A failure of the database. Texts name the database without its password.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is not one Bongsu can use.
    #[error(
        "DATABASE_URL \"{url}\" cannot be used: {reason}; expected sqlite://path/to/file.db or \
         mysql://user:password@host:3306/database"
    )]
    Url {
        /// The URL, redacted.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of the SQLite file cannot be made.
    #[error("cannot make the folder {} for the database: {source}; check the path and who may write there", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No connection.
    #[error("cannot connect to the database {url}: {source}; {advice}")]
    Connect {
        /// The URL, redacted.
        url: String,
        /// The cause.
        source: DbErr,
        /// What to do.
        advice: &'static str,
    },
    /// The schema could not be brought up to date.
    #[error(
        "cannot bring the tables of {url} up to date: {source}; the user needs CREATE, ALTER and \
         INDEX rights, and no newer Bongsu may have used this database"
    )]
    Migrate {
        /// The URL, redacted.
        url: String,
        /// The cause.
        source: DbErr,
    },
    /// Another process has been migrating for longer than the limit.
    #[error(
        "another process has been changing the tables of {url} for {seconds} s; wait for it, or \
         end it, then start again"
    )]
    MigrationLocked {
        /// The URL, redacted.
        url: String,
        /// How long was waited.
        seconds: u32,
    },
    /// A statement failed. Nothing of its transaction is stored; it may be tried again.
    #[error("cannot {action} in the database: {source}")]
    Statement {
        /// What was being done: `write trade_logs`, `read reports`.
        action: String,
        /// The cause.
        source: DbErr,
    },
    /// Something took longer than it may. Whether the database did it is not known; it may be tried
    /// again.
    #[error("cannot {action} in the database: no answer within {} ms", limit.as_millis())]
    Deadline {
        /// What was being done.
        action: String,
        /// How long it may take.
        limit: Duration,
    },
    /// A stored value is not one Bongsu writes.
    #[error(
        "{table} holds {column} \"{value}\", expected {expected}; the row was not written by Bongsu"
    )]
    Content {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A batch that is not what it should be; nothing of it is stored.
    #[error("a collected batch cannot be stored: {0}")]
    Batch(#[from] SchemaError),
}

impl StoreError {
    /// Makes a [`StoreError::Statement`] of a driver's error.
    pub(crate) fn statement(action: impl Into<String>) -> impl FnOnce(DbErr) -> Self {
        let action = action.into();
        move |source| Self::Statement { action, source }
    }
}
