//! Rows from collected batches, runs and their failures.
//!
//! In: batches as [`crate::collect`] states them. Out: rows, idempotently: a bar replaces a stored
//! one only where [`supersedes`] says so, a trade of the market that is stored already is left as
//! it is, an account's order is brought up to date. All rows of a batch are written, or none.
//!
//! The Recorder may write at the same moment. In SQLite the two take turns. In MySQL a bar of the
//! feed can slip in between the look and the write; the next collection puts that right. Where the
//! two block each other, the one that the server picks is rolled back and repeated.

use arrow_array::RecordBatch;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::entity::{etl_failure, etl_run, trade_log};
use super::retry::retry_conflicts;
use super::time::wall_clock;
use super::upsert::{upsert, upsert_replacing};
use super::writer::rows::{self, ascii, head, name};
use super::writer::trades::stored_bars;
use super::{Database, StoreError};
use crate::collect::{AccountOrder, Execution, Kind, batch};
use crate::market::EventTime;
use crate::market::bar_source::supersedes;
use crate::market::bars::BarKey;
use crate::messages::event::deterministic_id;

/// Journal segment of rows that no frame brought.
const NO_FRAME: i64 = -1;
/// Keys in one `IN (…)`.
const PER_LOOKUP: usize = 512;

/// What became of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows that are new or were changed.
    pub written: u64,
    /// Rows left as they are stored.
    pub kept: u64,
}

/// Writes a batch of `kind`.
///
/// # Errors
/// [`StoreError::Batch`] when it is not a good batch, or when the database fails; then nothing of
/// it is stored.
pub async fn write(db: &Database, kind: Kind, batch: &RecordBatch) -> Result<Written, StoreError> {
    let write = || db.within("write a collected batch", write_once(db, kind, batch));
    retry_conflicts!(write().await)
}

async fn write_once(db: &Database, kind: Kind, batch: &RecordBatch) -> Result<Written, StoreError> {
    let transaction = db.begin_write().await?;
    let written = match kind {
        Kind::Bars => write_bars(&transaction, batch).await?,
        Kind::Executions => write_executions(&transaction, &batch::executions_of(batch)?).await?,
        Kind::Orders => write_orders(&transaction, &batch::orders_of(batch)?).await?,
    };
    transaction.commit().await.map_err(StoreError::statement("commit a collected batch"))?;
    Ok(Written { written, kept: batch.num_rows() as u64 - written })
}

async fn write_bars(
    transaction: &DatabaseTransaction,
    batch: &RecordBatch,
) -> Result<u64, StoreError> {
    let bars = batch::bars_of(batch)?;
    let keys: Vec<BarKey> = bars.iter().map(|new| new.bar.key).collect();
    let stored = stored_bars(transaction, &keys, None).await?;
    let better = bars
        .iter()
        .filter(|new| stored.get(&new.bar.key).is_none_or(|old| supersedes(old, new)))
        .map(rows::bar);
    let rows: Vec<_> = better.collect();
    upsert(transaction, rows).await.map_err(StoreError::statement("write market_prices"))
}

/// The rows of `trade_logs` with these keys.
async fn stored_trades(
    transaction: &DatabaseTransaction,
    keys: &[String],
) -> Result<Vec<trade_log::Model>, StoreError> {
    let mut stored = Vec::new();
    for part in keys.chunks(PER_LOOKUP) {
        let found = trade_log::Entity::find()
            .filter(trade_log::Column::SourceKey.is_in(part.iter().map(String::as_str)))
            .all(transaction)
            .await
            .map_err(StoreError::statement("read trade_logs"))?;
        stored.extend(found);
    }
    Ok(stored)
}

async fn write_executions(
    transaction: &DatabaseTransaction,
    executions: &[Execution],
) -> Result<u64, StoreError> {
    let key = |execution: &Execution| {
        let day = execution.time.session_day();
        rows::market_key(execution.symbol, day, execution.cum_volume)
    };
    let keys: Vec<String> = executions.iter().map(key).collect();
    let stored = stored_trades(transaction, &keys).await?;
    let known = |key: &str| stored.iter().any(|row| row.source_key == key);
    let fresh: Vec<_> = executions
        .iter()
        .zip(keys)
        .filter(|(_, key)| !known(key))
        .map(|(execution, key)| trade_log::ActiveModel {
            id: NotSet,
            source_key: Set(key),
            kind: Set("market".to_owned()),
            symbol: Set(execution.symbol.as_str().to_owned()),
            ts: Set(execution.time),
            price: Set(execution.price),
            quantity: Set(execution.quantity),
            side: Set(crate::market::Side::Auction.letter().to_owned()),
            cum_volume: Set(execution.cum_volume),
            flags: Set(0),
            journal_segment: Set(NO_FRAME),
            journal_offset: Set(0),
            journal_record: Set(0),
        })
        .collect();
    upsert_replacing(transaction, fresh, &[])
        .await
        .map_err(StoreError::statement("write trade_logs"))
}

async fn write_orders(
    transaction: &DatabaseTransaction,
    orders: &[AccountOrder],
) -> Result<u64, StoreError> {
    use trade_log::Column::{CumVolume, Price, Quantity};
    let key = |order: &AccountOrder| {
        let day = order.day.yyyymmdd();
        format!("ACCT:{}:{day}:{}:{}", order.account, order.branch, order.number)
    };
    let keys: Vec<String> = orders.iter().map(key).collect();
    let stored = stored_trades(transaction, &keys).await?;
    let same = |order: &AccountOrder, key: &str| {
        stored.iter().any(|row| {
            row.source_key == key && row.quantity >= order.filled && row.price == order.price
        })
    };
    let changed: Vec<_> = orders
        .iter()
        .zip(keys)
        .filter(|(order, key)| !same(order, key))
        .map(|(order, key)| trade_log::ActiveModel {
            id: NotSet,
            source_key: Set(key),
            kind: Set("account".to_owned()),
            symbol: Set(order.symbol.as_str().to_owned()),
            ts: Set(order.time),
            price: Set(order.price),
            quantity: Set(order.filled),
            side: Set(order.side.letter().to_owned()),
            cum_volume: Set(order.filled),
            flags: Set(0),
            journal_segment: Set(NO_FRAME),
            journal_offset: Set(0),
            journal_record: Set(0),
        })
        .collect();
    upsert_replacing(transaction, changed, &[Price, Quantity, CumVolume])
        .await
        .map_err(StoreError::statement("write trade_logs"))
}

/// A run, or one step of it, as it stands in `etl_runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Id: the same run or step again is the same row.
    pub id: String,
    /// `collect`, `collect.prices`, …
    pub kind: String,
    /// `running`, `done`, `partial` or `failed`.
    pub status: &'static str,
    /// Records read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Records refused.
    pub rejects: u64,
    /// What happened.
    pub detail: String,
    /// Start, wall clock.
    pub started_at: EventTime,
    /// End, wall clock.
    pub finished_at: Option<EventTime>,
}

/// Something that could not be collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The run.
    pub run: String,
    /// Endpoint that was asked.
    pub endpoint: String,
    /// Issue, or the account's pseudonym.
    pub subject: String,
    /// Short machine-readable reason.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// Where the raw answer lies, `raw-data/…`; empty when there was none.
    pub payload_ref: String,
}

/// Writes a run as it is now.
///
/// # Errors
/// When the database fails.
pub async fn write_runs(db: &Database, runs: &[Run]) -> Result<(), StoreError> {
    let count = |count: u64| Set(i64::try_from(count).unwrap_or(i64::MAX));
    let rows: Vec<_> = runs
        .iter()
        .map(|run| etl_run::ActiveModel {
            id: Set(ascii(&run.id, 64)),
            kind: Set(ascii(&run.kind, 32)),
            status: Set(run.status.to_owned()),
            rows_in: count(run.rows_in),
            rows_out: count(run.rows_out),
            rejects: count(run.rejects),
            detail: Set(head(&run.detail, rows::MAX_TEXT).to_owned()),
            started_at: Set(run.started_at),
            finished_at: Set(run.finished_at),
        })
        .collect();
    let write = || async {
        let rows = upsert(db.connection(), rows.clone()).await;
        rows.map_err(StoreError::statement("write etl_runs"))
    };
    retry_conflicts!(db.within("write etl_runs", write()).await).map(drop)
}

/// Writes failures; one that is stored already stays one row.
///
/// # Errors
/// When the database fails.
pub async fn write_failures(db: &Database, failures: &[Failure]) -> Result<u64, StoreError> {
    let key = |failure: &Failure| {
        let Failure { run, endpoint, subject, reason, .. } = failure;
        deterministic_id(&["collect", run, endpoint, subject, reason])
    };
    let rows: Vec<_> = failures
        .iter()
        .map(|failure| etl_failure::ActiveModel {
            id: NotSet,
            failure_key: Set(key(failure)),
            stage: Set("collect".to_owned()),
            source: Set(name(&failure.endpoint, 128)),
            reason: Set(ascii(&failure.reason, 64)),
            detail: Set(format!(
                "{}: {}",
                failure.subject,
                head(&failure.detail, super::writer::MAX_PAYLOAD)
            )),
            payload: Set(String::new()),
            payload_ref: Set(ascii(&failure.payload_ref, 255)),
            journal_segment: Set(None),
            journal_offset: Set(None),
            journal_record: Set(None),
            created_at: Set(wall_clock()),
        })
        .collect();
    let write = || async {
        let rows = upsert(db.connection(), rows.clone()).await;
        rows.map_err(StoreError::statement("write etl_failures"))
    };
    retry_conflicts!(db.within("write etl_failures", write()).await)
}

#[cfg(test)]
mod tests;
