//! Connecting to SQLite or MySQL/MariaDB.
//!
//! One small pool of fixed size. SQLite runs in WAL mode with `synchronous = NORMAL`: readers never
//! wait for the writer, and a power cut loses at most the last transactions, which the journal
//! replays. `sqlite::memory:` has exactly one connection, because each would be a database of its
//! own.
//!
//! No call waits for ever. Getting a connection, a transaction (`Database::within`), a probe and
//! a migration each have a deadline. A connection whose work was cut off by one is looked at when
//! it comes back to the pool, and thrown away when it does not answer, so that a server that
//! swallows packets cannot use the pool up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::sqlx::Connection;
use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use url::Url;

use super::{StoreError, migration};

/// How to connect.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Connections in the pool; at least 2 (a migration on MySQL holds one for its lock).
    pub connections: u32,
    /// Longest wait for a free connection, and for a new one.
    pub acquire_timeout: Duration,
    /// SQLite: longest wait for another process's write.
    pub busy_timeout: Duration,
    /// Longest time one transaction may take; beyond it, it counts as failed.
    pub write_timeout: Duration,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            connections: 4,
            acquire_timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// How long a probe, and a connection that comes back to the pool, may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long bringing the tables up to date may take, with the wait for another process in it.
const MIGRATE_WITHIN: Duration = Duration::from_secs(90);

/// Pause before a file that another process has locked is tried again.
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Whether SQLite says that another process has the file.
fn is_locked(error: &sea_orm::DbErr) -> bool {
    error.to_string().contains("database is locked")
}

/// A pool of connections to one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    connection: DatabaseConnection,
    url: String,
    write_timeout: Duration,
    /// How to reach the server beside the pool; `None` for SQLite.
    server: Option<Arc<MySqlConnectOptions>>,
    /// Whether the tables are known to be up to date.
    is_prepared: Arc<AtomicBool>,
}

/// `url` with its password, if any, replaced by `***`.
#[must_use]
pub fn redact(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
                return format!("{}:…", parsed.scheme());
            }
            // Options may carry secrets too (key files, tokens): only SQLite's are shown.
            if parsed.scheme() != "sqlite" {
                parsed.set_query(None);
            }
            parsed.to_string()
        }
        // It may hold a password in some broken form: show the scheme alone.
        Err(_) => match url.split_once(':') {
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                format!("{scheme}:…")
            }
            _ => "…".to_owned(),
        },
    }
}

impl Database {
    /// Connects to `url`, `sqlite://path`, `sqlite::memory:` or `mysql://…`. The folder of an
    /// SQLite file is made, and the file too unless the URL carries a `mode`. The tables are not
    /// touched: see [`Database::migrate`].
    ///
    /// # Errors
    /// When the URL cannot be used, the folder cannot be made or nobody answers.
    pub async fn connect(url: &str, options: &DatabaseOptions) -> Result<Self, StoreError> {
        let (connect, server) = connect_options(url, options)?;
        let shown = redact(url);
        let advice = if server.is_some() { ADVICE_SERVER } else { ADVICE_FILE };
        let deadline = tokio::time::Instant::now() + options.busy_timeout;
        loop {
            match sea_orm::Database::connect(connect.clone()).await {
                Ok(connection) => return Ok(Self::new(connection, shown, server, options)),
                // SQLite does not wait when two processes switch a new file to WAL at once.
                Err(source) if is_locked(&source) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOCKED_PAUSE).await;
                }
                Err(source) => return Err(StoreError::Connect { url: shown, source, advice }),
            }
        }
    }

    /// As [`Database::connect`] and [`Database::migrate`], but a server that is away is no error:
    /// the database is given back with the reason, and [`Database::prepare`] is to be called until
    /// it succeeds. The file of SQLite must be there at once.
    ///
    /// # Errors
    /// What waiting does not help against: a wrong URL, user, password or database, a file that
    /// cannot be opened, tables that cannot be brought up to date.
    pub async fn open(
        url: &str,
        options: &DatabaseOptions,
    ) -> Result<(Self, Option<StoreError>), StoreError> {
        let (mut connect, server) = connect_options(url, options)?;
        if server.is_none() {
            let database = Self::connect(url, options).await?;
            database.migrate().await?;
            return Ok((database, None));
        }
        let shown = redact(url);
        connect.connect_lazy(true);
        let connection = sea_orm::Database::connect(connect).await.map_err(|source| {
            StoreError::Connect { url: shown.clone(), source, advice: ADVICE_SERVER }
        })?;
        let database = Self::new(connection, shown, server, options);
        match database.prepare().await {
            Ok(()) => Ok((database, None)),
            Err(error) if error.fault().may_pass() => Ok((database, Some(error))),
            Err(error) => Err(error),
        }
    }

    fn new(
        connection: DatabaseConnection,
        url: String,
        server: Option<Arc<MySqlConnectOptions>>,
        options: &DatabaseOptions,
    ) -> Self {
        let write_timeout = options.write_timeout;
        Self { connection, url, write_timeout, server, is_prepared: Arc::default() }
    }

    /// Finds out whether the database can be written to: asks it on a connection of its own (so
    /// that the reason is the server's, and a used-up pool is no obstacle), and brings the tables
    /// up to date when that has not been done since the start.
    ///
    /// # Errors
    /// Why not.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.probe().await?;
        if self.is_prepared.load(Ordering::Acquire) {
            return Ok(());
        }
        let migrate = self.migrate();
        let in_time = tokio::time::timeout(MIGRATE_WITHIN, migrate).await;
        let action = || "bring the tables up to date".to_owned();
        in_time.map_err(|_| StoreError::Deadline { action: action(), limit: MIGRATE_WITHIN })?
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let Some(server) = &self.server else {
            return self.within("get an answer", self.ping()).await;
        };
        let asked = tokio::time::timeout(ANSWER_WITHIN, async {
            let mut connection = MySqlConnection::connect_with(server).await?;
            connection.ping().await?;
            connection.close().await
        });
        let failed = |error: sea_orm::sqlx::Error| StoreError::Connect {
            url: self.url.clone(),
            source: DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))),
            advice: ADVICE_SERVER,
        };
        match asked.await {
            Ok(outcome) => outcome.map_err(failed),
            Err(_) => {
                let action = "get an answer".to_owned();
                Err(StoreError::Deadline { action, limit: ANSWER_WITHIN })
            }
        }
    }

    /// Does `work` within the time that a transaction may take. What is cut off is rolled back
    /// when its transaction is dropped.
    ///
    /// # Errors
    /// Those of `work`, or [`StoreError::Deadline`] naming `action`.
    pub(crate) async fn within<T>(
        &self,
        action: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let limit = self.write_timeout;
        let in_time = tokio::time::timeout(limit, work).await;
        in_time.map_err(|_| StoreError::Deadline { action: action.to_owned(), limit })?
    }

    /// Brings the tables up to date. Safe to call at every start, and from several processes at
    /// once: see [`migration`].
    ///
    /// # Errors
    /// When a statement fails, or another process holds the lock for longer than the limit.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migration::run(self).await?;
        self.is_prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.connection.ping().await.map_err(StoreError::statement("get an answer"))
    }

    /// The URL, password redacted.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The connection pool, for queries of one's own.
    #[must_use]
    pub const fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Which of the two databases it is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    /// Closes all connections once they are free. In SQLite this also folds the WAL back into the
    /// file.
    ///
    /// # Errors
    /// When closing fails.
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(StoreError::statement("close the connections"))
    }

    /// A transaction that writes. In SQLite it takes the write lock at once: one that reads first
    /// and writes later would fail instead of waiting when another process wrote in between.
    pub(crate) async fn begin_write(&self) -> Result<DatabaseTransaction, StoreError> {
        self.connection
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            })
            .await
            .map_err(StoreError::statement("begin a transaction"))
    }
}

const ADVICE_SERVER: &str =
    "check that the server runs, the database exists, and user and password are right";
const ADVICE_FILE: &str = "check that the path may be written and the disk is not full";

/// How to connect to `url`, and for MySQL also how to reach the server beside the pool.
fn connect_options(
    url: &str,
    options: &DatabaseOptions,
) -> Result<(ConnectOptions, Option<Arc<MySqlConnectOptions>>), StoreError> {
    let shown = redact(url);
    let mut connect = ConnectOptions::new(url);
    connect
        .max_connections(options.connections.max(2))
        .acquire_timeout(options.acquire_timeout)
        .connect_timeout(options.acquire_timeout)
        .sqlx_logging(false);
    match url.split(':').next() {
        Some("sqlite") => {
            prepare_sqlite(url, &shown, options, &mut connect)?;
            Ok((connect, None))
        }
        Some("mysql") => {
            let unusable = |reason: String| StoreError::Url { url: shown.clone(), reason };
            Url::parse(url).map_err(|error| unusable(error.to_string()))?;
            let server: MySqlConnectOptions =
                url.parse().map_err(|error: sea_orm::sqlx::Error| unusable(error.to_string()))?;
            connect.map_sqlx_mysql_pool_opts(|pool| {
                pool.after_release(|connection, _| Box::pin(still_answers(connection)))
            });
            Ok((connect, Some(Arc::new(server))))
        }
        _ => {
            let reason = "it starts with neither sqlite: nor mysql:".to_owned();
            Err(StoreError::Url { url: shown, reason })
        }
    }
}

/// The driver waits without end for the answer of a connection that comes back.
async fn still_answers(connection: &mut MySqlConnection) -> Result<bool, sea_orm::sqlx::Error> {
    match tokio::time::timeout(ANSWER_WITHIN, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        // An error, not `false`: that would say good-bye to a server that does not listen.
        Err(_) => Err(sea_orm::sqlx::Error::PoolTimedOut),
    }
}

fn prepare_sqlite(
    url: &str,
    shown: &str,
    options: &DatabaseOptions,
    connect: &mut ConnectOptions,
) -> Result<(), StoreError> {
    let parsed: SqliteConnectOptions = url.parse().map_err(|error: sea_orm::sqlx::Error| {
        StoreError::Url { url: shown.to_owned(), reason: error.to_string() }
    })?;
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    if in_memory {
        connect.min_connections(1).max_connections(1).idle_timeout(None).max_lifetime(None);
    } else if let Some(folder) = parsed.get_filename().parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
    }
    let make = !url.contains("mode=");
    let busy_timeout = options.busy_timeout;
    connect.map_sqlx_sqlite_opts(move |sqlite| {
        let sqlite = if make { sqlite.create_if_missing(true) } else { sqlite };
        let sqlite = if in_memory { sqlite } else { sqlite.journal_mode(SqliteJournalMode::Wal) };
        sqlite.synchronous(SqliteSynchronous::Normal).busy_timeout(busy_timeout).foreign_keys(true)
    });
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A migrated database in memory.
    pub(crate) async fn memory() -> Database {
        let db = Database::connect("sqlite::memory:", &DatabaseOptions::default()).await.unwrap();
        db.migrate().await.unwrap();
        db
    }

    #[test]
    fn passwords_are_never_shown() {
        assert_eq!(redact("mysql://app:s3cret@db:3306/x?ssl-key=k"), "mysql://app:***@db:3306/x");
        assert_eq!(redact("mysql://app:s3cret@db:port/x"), "mysql:…");
        assert_eq!(redact("s3cret"), "…");
        assert_eq!(redact("sqlite://var/a.db?mode=rwc"), "sqlite://var/a.db?mode=rwc");
    }

    #[tokio::test]
    async fn errors_say_what_to_do() {
        let options =
            DatabaseOptions { acquire_timeout: Duration::from_secs(2), ..Default::default() };
        let error = Database::connect("postgres://u:s3cret@h/x", &options).await.unwrap_err();
        assert!(error.to_string().contains("mysql://user:password@host"), "{error}");
        assert!(!error.to_string().contains("s3cret"));
        let error =
            Database::connect("mysql://u:s3cret@127.0.0.1:1/x", &options).await.unwrap_err();
        assert!(error.to_string().contains("u:***@127.0.0.1:1/x"), "{error}");
        assert!(error.to_string().contains("check that the server runs"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_file_in_a_new_folder_is_made_with_a_wal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/bongsu.db");
        let url = format!("sqlite://{}", path.display());
        let db = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        db.migrate().await.unwrap();
        db.ping().await.unwrap();
        assert!(path.exists() && path.with_extension("db-wal").exists());
        db.close().await.unwrap();
    }
}
