//! What a daemon has left in its folder: rows of its SQLite file, records of its journal.

use std::path::Path;

use bongsu::journal::JournalReader;
use bongsu::market::RecordRef;
use bongsu::store::entity::{etl_failure, trade_log};
use bongsu::store::{Database, DatabaseOptions, RowCounts, read};
use sea_orm::{EntityTrait, QueryOrder};

/// Rows of a daemon that has ended, by table.
#[derive(Debug)]
pub struct Stored {
    /// Rows of every table.
    pub counts: RowCounts,
    /// `trade_logs`, as they were written.
    pub trades: Vec<trade_log::Model>,
    /// `etl_failures`, as they were written.
    pub failures: Vec<etl_failure::Model>,
}

/// Reads the database in `dir`, the folder of a [`super::Daemon`].
pub fn stored(dir: &Path) -> Stored {
    let url = format!("sqlite://{}?mode=rw", dir.join("var/bongsu.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        let connection = database.connection();
        let trades = trade_log::Entity::find().order_by_asc(trade_log::Column::Id);
        let failures = etl_failure::Entity::find().order_by_asc(etl_failure::Column::Id);
        let stored = Stored {
            counts: read::counts(&database).await.unwrap(),
            trades: trades.all(connection).await.unwrap(),
            failures: failures.all(connection).await.unwrap(),
        };
        database.close().await.unwrap();
        stored
    })
}

/// The payload that stands at a position of the journal in `dir`.
pub fn journaled(dir: &Path, segment: i64, offset: i64) -> Option<Vec<u8>> {
    let mut reader = JournalReader::open(&dir.join("var/journal")).unwrap();
    while let Some(record) = reader.next() {
        let record = record.expect("a whole journal");
        let RecordRef { segment: s, offset: o, .. } = record.at;
        if (i64::from(s), i64::from(o)) == (segment, offset) {
            return Some(record.payload.to_vec());
        }
    }
    None
}
