//! The database: tables, migrations, the Recorder's writer, the digest, and what readers ask.
//!
//! SQLite and MySQL/MariaDB hold the same rows. Everything here is derived from the journal and is
//! written idempotently: a row has a key that follows from what it says, so writing it again
//! changes nothing. Failures are [`StoreError`]s; a failed write leaves nothing half done and may
//! be tried again.
//!
//! - [`db`]: connecting; [`migration`]: the schema; [`entity`]: the tables
//! - [`upsert`]: the one way rows are written; [`writer`]: from messages to rows
//! - [`collected`]: what was asked of KIS besides the feed
//! - [`job_runs`]: planned runs of jobs and how they ended; [`lease`]: who may start them
//! - [`fault`]: what kind of failure an error is; [`spill`]: rows on disk while the database is away
//! - [`objects`]: the object store, for what is no row; [`archive`]: the journal as Parquet in it;
//!   [`models`]: the registry of fitted models in it
//! - [`panel`]: daily bars and index series from files
//! - [`read`]: queries of the HTTP interface and of checks; [`report_data`]: what reports rest on;
//!   [`digest`]: the fingerprint of a run

pub mod archive;
pub mod collected;
pub mod db;
pub mod digest;
pub mod entity;
pub mod error;
pub mod fault;
pub mod job_runs;
pub mod lease;
pub mod migration;
pub mod models;
pub mod objects;
pub mod panel;
pub mod past;
pub mod read;
pub mod report_data;
mod retry;
pub mod spill;
pub mod table;
mod time;
pub mod upsert;
pub mod writer;

pub use db::{Database, DatabaseOptions};
pub use digest::{DigestBuilder, DigestReport};
pub use error::StoreError;
pub use fault::Fault;
pub use objects::{Bucket, LocalObjects, ObjectError, Objects, S3Objects, S3Options};
pub(crate) use retry::chance;
pub use spill::{Spill, SpillError, SpillOptions};
pub use table::{RowCounts, Table};
pub use writer::{StoreWriter, Waiting, WriterOptions};
