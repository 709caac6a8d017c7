//! Trades and the bars made of them, in the same transaction.
//!
//! The database is the truth and the [`BarBook`] a cache of its open bars. Of the waiting trades
//! only those that `trade_logs` does not hold yet are written and counted into bars; a bar that the
//! book does not hold is read back first. After a failure the book is dropped and filled again.
//! Thus a restart from any earlier point of the journal, or a second pass over all of it, leaves
//! the same bars. One writer at a time: two that write the same issues would overwrite each other's
//! bars (trades would still be right). Bars that KIS told are no part of the book; which of the two
//! is kept is [`supersedes`]'s to say.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use super::super::entity::{market_price, trade_log};
use super::super::upsert::power_of_two;
use super::super::{Database, RowCounts, StoreError, read};
use super::{rows, write};
use crate::market::bar_source::{BarSource, StoredBar, supersedes};
use crate::market::bars::{Bar, BarBook, BarKey, Interval};
use crate::market::{EventTime, RecordRef, SessionDay, Symbol, Trade};

/// Trades in one transaction: some 0.2 s of work, so that other processes get their turn.
const PER_TRANSACTION: usize = 16_384;
/// Values in one `IN (…)`.
const PER_LOOKUP: usize = 512;

/// A trade waiting to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingTrade {
    pub(super) symbol: Symbol,
    pub(super) trade: Trade,
    pub(super) at: RecordRef,
}

#[derive(Debug, Default)]
pub(super) struct TradeWriter {
    pending: Vec<PendingTrade>,
    ended: Option<SessionDay>,
    /// `None` until the open bars have been read, and after a failure.
    book: Option<BarBook>,
}

impl TradeWriter {
    pub(super) fn push(&mut self, trade: PendingTrade) {
        self.pending.push(trade);
    }

    pub(super) fn end_session(&mut self, day: SessionDay) {
        self.ended = self.ended.max(Some(day));
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) async fn flush(
        &mut self,
        db: &Database,
        told: &mut RowCounts,
    ) -> Result<(), StoreError> {
        while !self.pending.is_empty() || self.ended.is_some() {
            let count = self.pending.len().min(PER_TRANSACTION);
            // A session ends behind its trades.
            let ended = if count == self.pending.len() { self.ended } else { None };
            // Taken out: a failure below leaves no half-changed book behind.
            let book = self.book.take();
            let (book, sent) = write_chunk(db, book, &self.pending[..count], ended).await?;
            self.book = Some(book);
            self.pending.drain(..count);
            if ended.is_some() {
                self.ended = None;
            }
            told.merge(&sent);
        }
        Ok(())
    }
}

async fn write_chunk(
    db: &Database,
    book: Option<BarBook>,
    pending: &[PendingTrade],
    ended: Option<SessionDay>,
) -> Result<(BarBook, RowCounts), StoreError> {
    let mut sent = RowCounts::default();
    let transaction = db.begin_write().await?;
    let mut book = match book {
        Some(book) => book,
        None => open_bars(&transaction).await?,
    };
    let fresh = fresh_trades(&transaction, pending).await?;
    write(&transaction, &mut sent, fresh.iter().map(rows::trade)).await?;
    restore_bars(&transaction, &mut book, &fresh).await?;
    for PendingTrade { symbol, trade, .. } in &fresh {
        book.apply(*symbol, trade);
    }
    if let Some(day) = ended {
        book.end_session(day);
    }
    let bars = not_better_known(&transaction, book.take_changed()).await?;
    write(&transaction, &mut sent, bars.iter().map(rows::bar)).await?;
    transaction.commit().await.map_err(StoreError::statement("commit trades and bars"))?;
    Ok((book, sent))
}

/// Those of `pending` that are not stored yet, each identity once, in order.
async fn fresh_trades(
    transaction: &DatabaseTransaction,
    pending: &[PendingTrade],
) -> Result<Vec<PendingTrade>, StoreError> {
    let mut seen = FxHashSet::default();
    let mut fresh: Vec<(String, PendingTrade)> = Vec::with_capacity(pending.len());
    for trade in pending {
        let identity = (trade.symbol, trade.trade.time.session_day(), trade.trade.cum_volume);
        if seen.insert(identity) {
            fresh.push((rows::source_key(trade), *trade));
        }
    }
    let mut stored: FxHashSet<String> = FxHashSet::default();
    let mut rest = fresh.as_slice();
    while !rest.is_empty() {
        // Powers of two: few statement texts for the driver to keep.
        let (part, behind) = rest.split_at(power_of_two(rest.len().min(PER_LOOKUP)));
        let found: Vec<String> = trade_log::Entity::find()
            .select_only()
            .column(trade_log::Column::SourceKey)
            .filter(trade_log::Column::SourceKey.is_in(part.iter().map(|(key, _)| key.as_str())))
            // A trade that was collected is in no bar of ours yet.
            .filter(trade_log::Column::JournalSegment.gte(0))
            .into_tuple()
            .all(transaction)
            .await
            .map_err(StoreError::statement("read trade_logs"))?;
        stored.extend(found);
        rest = behind;
    }
    fresh.retain(|(key, _)| !stored.contains(key));
    Ok(fresh.into_iter().map(|(_, trade)| trade).collect())
}

/// A book of all bars that are not final: at most one minute and one day an issue.
async fn open_bars(transaction: &DatabaseTransaction) -> Result<BarBook, StoreError> {
    let open = market_price::Entity::find()
        .filter(market_price::Column::IsFinal.eq(false))
        .filter(market_price::Column::Source.eq(BarSource::Trades.as_str()))
        .all(transaction)
        .await
        .map_err(StoreError::statement("read market_prices"))?;
    let mut book = BarBook::new();
    for row in &open {
        book.restore(read::bar_of(row)?);
    }
    Ok(book)
}

/// Reads back the stored bars that `trades` belong to and the book does not hold.
async fn restore_bars(
    transaction: &DatabaseTransaction,
    book: &mut BarBook,
    trades: &[PendingTrade],
) -> Result<(), StoreError> {
    let mut starts: BTreeSet<(Interval, EventTime)> = BTreeSet::new();
    let mut symbols: BTreeSet<Symbol> = BTreeSet::new();
    for PendingTrade { symbol, trade, .. } in trades {
        for key in book.missing(*symbol, trade.time) {
            starts.insert((key.interval, key.start));
            symbols.insert(key.symbol);
        }
    }
    for interval in Interval::ALL {
        let starts: Vec<EventTime> =
            starts.iter().filter(|(own, _)| *own == interval).map(|(_, start)| *start).collect();
        for part in starts.chunks(PER_LOOKUP) {
            let mut query = market_price::Entity::find()
                .filter(market_price::Column::Interval.eq(interval.as_str()))
                .filter(market_price::Column::Ts.is_in(part.iter().copied()))
                // What KIS told holds trades already that are to come yet.
                .filter(market_price::Column::Source.eq(BarSource::Trades.as_str()));
            if symbols.len() <= PER_LOOKUP {
                let codes = symbols.iter().map(Symbol::as_str);
                query = query.filter(market_price::Column::Symbol.is_in(codes));
            }
            let stored = query
                .all(transaction)
                .await
                .map_err(StoreError::statement("read market_prices"))?;
            let stored: Vec<Bar> = stored.iter().map(read::bar_of).collect::<Result<_, _>>()?;
            for bar in stored {
                book.restore(bar);
            }
        }
    }
    Ok(())
}

/// Those of `bars` that do not lose against a bar that KIS told.
async fn not_better_known(
    transaction: &DatabaseTransaction,
    bars: Vec<Bar>,
) -> Result<Vec<StoredBar>, StoreError> {
    let bars: Vec<StoredBar> =
        bars.into_iter().map(|bar| StoredBar { bar, source: BarSource::Trades }).collect();
    let told = stored_bars(transaction, &bars, Some(BarSource::Kis)).await?;
    let wins = |new: &StoredBar| told.get(&new.bar.key).is_none_or(|old| supersedes(old, new));
    Ok(bars.into_iter().filter(wins).collect())
}

/// The stored bars of the intervals of `bars`; only those of `source`, when one is given.
pub(in crate::store) async fn stored_bars(
    transaction: &DatabaseTransaction,
    bars: &[StoredBar],
    source: Option<BarSource>,
) -> Result<FxHashMap<BarKey, StoredBar>, StoreError> {
    let mut stored = FxHashMap::default();
    for interval in Interval::ALL {
        let keys = || bars.iter().map(|new| &new.bar.key).filter(|key| key.interval == interval);
        let symbols: BTreeSet<&str> = keys().map(|key| key.symbol.as_str()).collect();
        let starts: BTreeSet<EventTime> = keys().map(|key| key.start).collect();
        let starts: Vec<EventTime> = starts.into_iter().collect();
        for part in starts.chunks(PER_LOOKUP) {
            let mut query = market_price::Entity::find()
                .filter(market_price::Column::Interval.eq(interval.as_str()))
                .filter(market_price::Column::Ts.is_in(part.iter().copied()));
            if symbols.len() <= PER_LOOKUP {
                query = query.filter(market_price::Column::Symbol.is_in(symbols.iter().copied()));
            }
            if let Some(source) = source {
                query = query.filter(market_price::Column::Source.eq(source.as_str()));
            }
            let found = query
                .all(transaction)
                .await
                .map_err(StoreError::statement("read market_prices"))?;
            for row in &found {
                let bar = read::stored_bar_of(row)?;
                stored.insert(bar.bar.key, bar);
            }
        }
    }
    Ok(stored)
}
