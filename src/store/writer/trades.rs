//! Trades and the bars made of them, in the same transaction.
//!
//! The database is the truth and the [`BarBook`] a cache of its open bars. Of the waiting trades
//! only those that `trade_logs` does not hold yet are written and counted into bars; a bar that the
//! book does not hold is read back first. After a failure the book is dropped and filled again.
//! Thus a restart from any earlier point of the journal, or a second pass over all of it, leaves
//! the same bars. One writer at a time: two that write the same issues would overwrite each other's
//! bars (trades would still be right). Bars that KIS told are no part of the book; which of the two
//! is kept is [`supersedes`]'s to say.
//!
//! Minutes that were asked for because trades were missed come behind the trades of the same flush.
//! Where they are better, they replace what the trades gave, and the day's bar becomes the sum of
//! its minutes again. A trade of such a minute that comes late changes no bar: it is in there.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};

use super::super::entity::{market_price, trade_log};
use super::super::upsert::power_of_two;
use super::super::{Database, Fault, RowCounts, StoreError, read};
use super::{rows, send};
use crate::market::bar_source::{BarSource, StoredBar, supersedes};
use crate::market::bars::{Bar, BarBook, BarKey, Interval, day_of, day_start};
use crate::market::{EventTime, RecordRef, SessionDay, Symbol, Trade, TradeFlags};
use crate::messages::{FetchedBar, FetchedBars};

/// Trades in one transaction: some 0.1 s of work, so that other processes get their turn.
const PER_TRANSACTION: usize = 8_192;
/// The fewest, after transactions took too long again and again.
const FEWEST: usize = 128;
/// Values in one `IN (…)`.
const PER_LOOKUP: usize = 512;

/// A trade waiting to be written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PendingTrade {
    pub(super) symbol: Symbol,
    pub(super) trade: Trade,
    pub(super) at: RecordRef,
}

#[derive(Debug)]
pub(super) struct TradeWriter {
    pending: Vec<PendingTrade>,
    fetched: Vec<Arc<FetchedBars>>,
    ended: Option<SessionDay>,
    /// `None` until the open bars have been read, and after a failure.
    book: Option<BarBook>,
    /// Trades in one transaction as things are.
    at_once: usize,
}

impl Default for TradeWriter {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            fetched: Vec::new(),
            ended: None,
            book: None,
            at_once: PER_TRANSACTION,
        }
    }
}

impl TradeWriter {
    pub(super) fn push(&mut self, trade: PendingTrade) {
        self.pending.push(trade);
    }

    pub(super) fn push_fetched(&mut self, bars: Arc<FetchedBars>) {
        self.fetched.push(bars);
    }

    /// Takes out what waits. Somebody else writes it: the bars are to be read anew then.
    pub(super) fn take(&mut self) -> (Vec<PendingTrade>, Vec<Arc<FetchedBars>>) {
        if !self.pending.is_empty() || !self.fetched.is_empty() {
            self.book = None;
        }
        (std::mem::take(&mut self.pending), std::mem::take(&mut self.fetched))
    }

    pub(super) fn end_session(&mut self, day: SessionDay) {
        self.ended = self.ended.max(Some(day));
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.fetched.iter().map(|one| one.bars.len()).sum::<usize>()
    }

    pub(super) async fn flush(
        &mut self,
        db: &Database,
        told: &mut RowCounts,
    ) -> Result<(), StoreError> {
        while !self.pending.is_empty() || !self.fetched.is_empty() || self.ended.is_some() {
            let count = self.pending.len().min(self.at_once);
            // A session ends, and its minutes are mended, behind its trades.
            let is_last = count == self.pending.len();
            let chunk = Chunk {
                trades: &self.pending[..count],
                fetched: if is_last { &self.fetched } else { &[] },
                ended: if is_last { self.ended } else { None },
            };
            // Taken out: a failure below leaves no half-changed book behind.
            let book = self.book.take();
            let outcome = db.within("write trades and bars", write_chunk(db, book, chunk)).await;
            let (book, sent) = match outcome {
                Ok(written) => written,
                Err(error) => {
                    if error.fault() == Fault::Slow {
                        self.at_once = (self.at_once / 2).max(FEWEST);
                    }
                    return Err(error);
                }
            };
            self.at_once = (self.at_once * 2).min(PER_TRANSACTION);
            self.book = Some(book);
            self.pending.drain(..count);
            if is_last {
                self.fetched.clear();
                self.ended = None;
            }
            told.merge(&sent);
        }
        Ok(())
    }
}

/// What goes into one transaction, in this order.
struct Chunk<'a> {
    trades: &'a [PendingTrade],
    fetched: &'a [Arc<FetchedBars>],
    ended: Option<SessionDay>,
}

async fn write_chunk(
    db: &Database,
    book: Option<BarBook>,
    chunk: Chunk<'_>,
) -> Result<(BarBook, RowCounts), StoreError> {
    let mut sent = RowCounts::default();
    let transaction = db.begin_write().await?;
    let mut book = match book {
        Some(book) => book,
        None => open_bars(&transaction).await?,
    };
    let mut fresh = fresh_trades(&transaction, chunk.trades).await?;
    let refused = send(&transaction, &mut sent, &fresh, rows::trade).await?;
    // What is not in `trade_logs` is in no bar, or a second pass would count it twice.
    for place in refused.into_iter().rev() {
        fresh.remove(place);
    }
    restore_bars(&transaction, &mut book, &fresh).await?;
    let told = told_minutes(&transaction, &fresh).await?;
    for PendingTrade { symbol, trade, .. } in &fresh {
        if !told.contains(&BarKey::of(*symbol, Interval::Minute, trade.time)) {
            book.apply(*symbol, trade);
        }
    }
    write_changed(&transaction, &mut sent, &mut book).await?;
    for fetched in chunk.fetched {
        mend(&transaction, &mut sent, &mut book, fetched).await?;
    }
    if let Some(day) = chunk.ended {
        book.end_session(day);
    }
    write_changed(&transaction, &mut sent, &mut book).await?;
    transaction.commit().await.map_err(StoreError::statement("commit trades and bars"))?;
    Ok((book, sent))
}

async fn write_changed(
    transaction: &DatabaseTransaction,
    sent: &mut RowCounts,
    book: &mut BarBook,
) -> Result<(), StoreError> {
    let changed = book.take_changed();
    if changed.is_empty() {
        return Ok(());
    }
    let bars = not_better_known(transaction, changed).await?;
    send(transaction, sent, &bars, rows::bar).await.map(drop)
}

/// Minutes of late trades that KIS has told whole.
async fn told_minutes(
    transaction: &DatabaseTransaction,
    trades: &[PendingTrade],
) -> Result<FxHashSet<BarKey>, StoreError> {
    let late = trades.iter().filter(|pending| pending.trade.flags.has(TradeFlags::LATE));
    let keys: Vec<BarKey> = late
        .map(|pending| BarKey::of(pending.symbol, Interval::Minute, pending.trade.time))
        .collect();
    if keys.is_empty() {
        return Ok(FxHashSet::default());
    }
    let told = stored_bars(transaction, &keys, Some(BarSource::Kis)).await?;
    Ok(told.into_values().filter(|told| told.bar.is_final).map(|told| told.bar.key).collect())
}

/// Puts minutes that the exchange told in the place of what the trades gave, where they are better,
/// and makes the day the sum of its minutes again.
async fn mend(
    transaction: &DatabaseTransaction,
    sent: &mut RowCounts,
    book: &mut BarBook,
    fetched: &FetchedBars,
) -> Result<(), StoreError> {
    let new: Vec<StoredBar> = fetched.bars.iter().map(|bar| told(fetched.symbol, bar)).collect();
    let keys: Vec<BarKey> = new.iter().map(|new| new.bar.key).collect();
    let stored = stored_bars(transaction, &keys, None).await?;
    let is_better =
        |new: &&StoredBar| stored.get(&new.bar.key).is_none_or(|old| supersedes(old, new));
    let better: Vec<&StoredBar> = new.iter().filter(is_better).collect();
    let Some(first) = better.first() else { return Ok(()) };
    send(transaction, sent, &better, |bar| rows::bar(bar)).await?;
    let day = first.bar.key.start.session_day();
    let minutes = minutes_of(transaction, fetched.symbol, day).await?;
    if let Some(whole) = day_of(&minutes) {
        let days = stored_bars(transaction, &[whole.key], Some(BarSource::Trades)).await?;
        if let Some(stored) = days.get(&whole.key) {
            book.restore(stored.bar);
        }
        book.amend_day(&whole);
    }
    Ok(())
}

fn told(symbol: Symbol, bar: &FetchedBar) -> StoredBar {
    let bar = Bar {
        key: BarKey { start: bar.start, interval: Interval::Minute, symbol },
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
        amount: bar.amount,
        is_final: true,
    };
    StoredBar { bar, source: BarSource::Kis }
}

/// All stored minutes of an issue's day, oldest first.
async fn minutes_of(
    transaction: &DatabaseTransaction,
    symbol: Symbol,
    day: SessionDay,
) -> Result<Vec<Bar>, StoreError> {
    let stored = market_price::Entity::find()
        .filter(market_price::Column::Symbol.eq(symbol.as_str()))
        .filter(market_price::Column::Interval.eq(Interval::Minute.as_str()))
        .filter(market_price::Column::Ts.gte(day_start(day)))
        .filter(market_price::Column::Ts.lt(day_start(day.next())))
        .order_by_asc(market_price::Column::Ts)
        .all(transaction)
        .await
        .map_err(StoreError::statement("read market_prices"))?;
    stored.iter().map(read::bar_of).collect()
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
    let keys: Vec<BarKey> = bars.iter().map(|new| new.bar.key).collect();
    let told = stored_bars(transaction, &keys, Some(BarSource::Kis)).await?;
    let wins = |new: &StoredBar| told.get(&new.bar.key).is_none_or(|old| supersedes(old, new));
    Ok(bars.into_iter().filter(wins).collect())
}

/// The stored bars with these keys; only those of `source`, when one is given.
pub(in crate::store) async fn stored_bars(
    transaction: &DatabaseTransaction,
    wanted: &[BarKey],
    source: Option<BarSource>,
) -> Result<FxHashMap<BarKey, StoredBar>, StoreError> {
    let mut stored = FxHashMap::default();
    for interval in Interval::ALL {
        let keys = || wanted.iter().filter(|key| key.interval == interval);
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
