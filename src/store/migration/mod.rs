//! The schema, step by step.
//!
//! Steps only add. Each is written so that it can be run again after it was cut off half way
//! (MySQL commits every `CREATE` by itself), and a database that is up to date is left alone.
//!
//! Several processes may start at once. In SQLite the steps run in one transaction that holds the
//! write lock, so the second process waits (up to the busy time-out) and finds them done. In MySQL
//! the process first takes a named lock (`GET_LOCK`) for the database on a connection of its own;
//! the lock goes with the connection, so a process that dies does not leave it behind.

mod m0001_initial;
mod m0003_advice;
mod m0004_task_runs;
mod m0005_schedule;
mod m0006_reports;
pub(crate) mod schema;

use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use super::{Database, StoreError};

/// Longest wait for another process's migration, seconds.
const LOCK_SECONDS: u32 = 60;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0003_advice::Migration),
            Box::new(m0004_task_runs::Migration),
            Box::new(m0005_schedule::Migration),
            Box::new(m0006_reports::Migration),
        ]
    }
}

pub(super) async fn run(db: &Database) -> Result<(), StoreError> {
    let failed = |source| StoreError::Migrate { url: db.url().to_owned(), source };
    if db.backend() == DbBackend::Sqlite {
        let transaction = db.begin_write().await?;
        Migrator::up(&transaction, None).await.map_err(failed)?;
        return transaction.commit().await.map_err(failed);
    }
    // A transaction only to keep one connection: nothing is written on it.
    let holder = db.connection().begin().await.map_err(failed)?;
    let lock =
        format!("SELECT GET_LOCK(CONCAT('bongsu_', MD5(DATABASE())), {LOCK_SECONDS}) AS got");
    let answer = holder
        .query_one_raw(Statement::from_string(DbBackend::MySql, lock))
        .await
        .map_err(failed)?;
    let got: Option<i64> = match answer {
        Some(row) => row.try_get("", "got").map_err(failed)?,
        None => None,
    };
    if got != Some(1) {
        let url = db.url().to_owned();
        return Err(StoreError::MigrationLocked { url, seconds: LOCK_SECONDS });
    }
    let outcome = Migrator::up(db.connection(), None).await.map_err(failed);
    let unlock = "SELECT RELEASE_LOCK(CONCAT('bongsu_', MD5(DATABASE())))";
    let unlocked = holder.execute_unprepared(unlock).await.map_err(failed);
    outcome?;
    unlocked?;
    holder.rollback().await.map_err(failed)
}
