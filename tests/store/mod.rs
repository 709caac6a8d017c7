//! The database: one suite, run against SQLite and, when `BONGSU_TEST_MYSQL_URL` names an empty
//! database that may be wiped, against MySQL/MariaDB.

mod mended;
mod reports;
pub mod suite;

use std::time::Instant;

use bongsu::store::{Database, DatabaseOptions};

async fn sqlite(folder: &tempfile::TempDir, name: &str) -> Database {
    let url = format!("sqlite://{}?mode=rwc", folder.path().join(name).display());
    Database::connect(&url, &DatabaseOptions::default()).await.unwrap()
}

/// The database of `BONGSU_TEST_MYSQL_URL`, wiped, or `None` after saying that `test` is skipped.
async fn mysql(test: &str) -> Option<Database> {
    let Ok(url) = std::env::var("BONGSU_TEST_MYSQL_URL") else {
        eprintln!("skipped: {test} on MySQL, because BONGSU_TEST_MYSQL_URL is not set");
        return None;
    };
    let db = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    suite::wipe(&db).await;
    Some(db)
}

#[tokio::test]
async fn both_databases_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let lite = sqlite(&folder, "suite.db").await;
    let on_sqlite = suite::store_suite(&lite).await;
    lite.close().await.unwrap();
    // The file is read back by another pool.
    let again = suite::digest(&sqlite(&folder, "suite.db").await).await;
    assert_eq!(on_sqlite, again);
    if let Some(db) = mysql("both_databases_hold_the_same").await {
        assert_eq!(suite::store_suite(&db).await, on_sqlite);
        suite::ended_connections(&db).await;
        suite::wipe(&db).await;
        suite::starting_together(&std::env::var("BONGSU_TEST_MYSQL_URL").unwrap()).await;
        let start = Instant::now();
        suite::many_trades(&db, 50_000).await;
        eprintln!("MySQL: 50,000 trades in {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn an_in_memory_database_holds_the_same() {
    let options = DatabaseOptions::default();
    let memory = Database::connect("sqlite::memory:", &options).await.unwrap();
    let other = Database::connect("sqlite::memory:", &options).await.unwrap();
    assert_eq!(suite::store_suite(&memory).await, suite::store_suite(&other).await);
}

#[tokio::test]
async fn two_processes_may_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    suite::starting_together(&format!("sqlite://{}", folder.path().join("a.db").display())).await;
}

#[tokio::test]
async fn fifty_thousand_trades_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let db = sqlite(&folder, "many.db").await;
    db.migrate().await.unwrap();
    let start = Instant::now();
    suite::many_trades(&db, 50_000).await;
    eprintln!("SQLite: 50,000 trades in {:?}", start.elapsed());
}
