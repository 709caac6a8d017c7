//! The scheduler's lease: one holder at a time, and no write of an earlier one.
//!
//! One row says who holds it, until when, and counts its changes of holder (*epoch*). Taking and
//! extending look at the row under its lock, so two processes never both get it. The time is the
//! database server's; with SQLite, where all processes are on one machine, the caller's. A holder whose
//! time is over, or that was paused for longer than it knows, is refused at its next write: every write
//! of the schedule runs in a transaction that first finds its epoch in the row (`fence`).

use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QuerySelect,
    Statement,
};

use super::entity::scheduler_lease::{self, ID};
use super::retry::retry_conflicts;
use super::{Database, StoreError};
use crate::market::EventTime;

/// What came of asking for the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// It is ours under this epoch.
    Held(i64),
    /// Another has it.
    Other {
        /// Who.
        holder: String,
        /// Until when, if it is not extended.
        until: EventTime,
    },
}

/// Asks for the lease, or extends it: ours stays ours under its epoch as long as nobody has taken it,
/// one that is free or over becomes ours under the next. `now` is the wall clock, for SQLite.
///
/// # Errors
/// When the database fails; whether it is ours is then not known.
pub async fn take(
    db: &Database,
    holder: &str,
    ttl: Duration,
    now: EventTime,
) -> Result<Grant, StoreError> {
    let take = || db.within("take the scheduler's lease", take_once(db, holder, ttl, now));
    retry_conflicts!(take().await)
}

async fn take_once(
    db: &Database,
    holder: &str,
    ttl: Duration,
    now: EventTime,
) -> Result<Grant, StoreError> {
    let failed = || StoreError::statement("take the scheduler's lease");
    let transaction = db.begin_write().await?;
    let row = match locked(&transaction).await? {
        Some(row) => row,
        None => {
            let first = scheduler_lease::ActiveModel {
                id: Set(ID.to_owned()),
                holder: Set(String::new()),
                epoch: Set(0),
                expires_at: Set(EventTime::default()),
            };
            let mut kept = OnConflict::column(scheduler_lease::Column::Id);
            kept.do_nothing_on([scheduler_lease::Column::Id]);
            let insert = scheduler_lease::Entity::insert(first).on_conflict(kept);
            insert.exec_without_returning(&transaction).await.map_err(failed())?;
            let missing = || StoreError::Content {
                table: "scheduler_lease",
                column: "id",
                value: String::new(),
                expected: ID,
            };
            locked(&transaction).await?.ok_or_else(missing)?
        }
    };
    let now = time(&transaction, now).await?;
    let until = now.plus_micros(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX));
    let ours = row.holder == holder;
    // A time further off than anybody may have set was set by a clock that has gone back since.
    let free = row.expires_at <= now || row.expires_at > until.plus_micros(MAX_TTL_US);
    if !ours && !free {
        return Ok(Grant::Other { holder: row.holder, until: row.expires_at });
    }
    let epoch = if ours { row.epoch } else { row.epoch + 1 };
    let taken = scheduler_lease::ActiveModel {
        id: Set(ID.to_owned()),
        holder: Set(holder.to_owned()),
        epoch: Set(epoch),
        expires_at: Set(until),
    };
    taken.update(&transaction).await.map_err(failed())?;
    transaction.commit().await.map_err(failed())?;
    Ok(Grant::Held(epoch))
}

/// Longest lease anybody asks for, microseconds: how far beyond our own time another's may end.
const MAX_TTL_US: i64 = 300_000_000;

/// Gives the lease back, so that another need not wait for its end. One that is not ours any more is
/// left alone.
///
/// # Errors
/// When the database fails; it then ends by itself.
pub async fn give_back(db: &Database, epoch: i64) -> Result<(), StoreError> {
    let give = || {
        db.within("give back the scheduler's lease", async {
            let Some(transaction) = fence(db, epoch).await? else { return Ok(()) };
            let over = scheduler_lease::ActiveModel {
                id: Set(ID.to_owned()),
                expires_at: Set(EventTime::default()),
                ..Default::default()
            };
            let failed = || StoreError::statement("give back the scheduler's lease");
            over.update(&transaction).await.map_err(failed())?;
            transaction.commit().await.map_err(failed())
        })
    };
    retry_conflicts!(give().await)
}

/// A transaction in which the lease stays under `epoch`; `None` when it is under another: whoever asks
/// has lost it.
///
/// # Errors
/// When the database fails.
pub(super) async fn fence(
    db: &Database,
    epoch: i64,
) -> Result<Option<DatabaseTransaction>, StoreError> {
    let transaction = db.begin_write().await?;
    let row = locked(&transaction).await?;
    Ok(row.is_some_and(|row| row.epoch == epoch).then_some(transaction))
}

/// The row, locked until the transaction ends. SQLite has locked the whole file by then.
async fn locked(
    transaction: &DatabaseTransaction,
) -> Result<Option<scheduler_lease::Model>, StoreError> {
    scheduler_lease::Entity::find_by_id(ID)
        .lock_exclusive()
        .one(transaction)
        .await
        .map_err(StoreError::statement("read the scheduler's lease"))
}

/// The database's time; `here` where it has none of its own.
async fn time(transaction: &DatabaseTransaction, here: EventTime) -> Result<EventTime, StoreError> {
    if transaction.get_database_backend() == DbBackend::Sqlite {
        return Ok(here);
    }
    let ask = Statement::from_string(DbBackend::MySql, "SELECT UTC_TIMESTAMP(6) AS now");
    let failed = || StoreError::statement("ask for the database's time");
    let row = transaction.query_one_raw(ask).await.map_err(failed())?;
    let row = row.ok_or_else(|| failed()(sea_orm::DbErr::RecordNotFound("no time".to_owned())))?;
    row.try_get("", "now").map_err(failed())
}
