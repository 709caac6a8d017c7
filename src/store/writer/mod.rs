//! The Recorder's writer: takes messages, keeps them, and writes them in large transactions.
//!
//! In: [`StoreBatch`]es. Out: rows. It keeps at most [`WriterOptions::max_rows`] rows (plus what
//! the last accepted message brought over) and refuses more: the Recorder then stops reading, and
//! the pressure goes back to the journal, which is on disk.
//!
//! Writing is idempotent. Rows have keys that follow from what they say; a trade that is stored
//! already reaches neither `trade_logs` nor a bar. So the same journal may be written any number of
//! times, from any point on, by any process, and the rows are those of a single pass.
//!
//! When the database fails, the rows of the failed transaction stay and the error is returned: call
//! [`StoreWriter::flush`] again later. Rows of transactions that went through are gone from the
//! writer, and counted in the next successful answer.
//!
//! A transaction that another one was in the way of (a deadlock with the collection) is repeated at
//! once, a few times. Every transaction has a deadline (`Database::within`); one that passed it
//! halves the rows of the next ones, so that a slow database still gets on.
//!
//! [`StoreWriter::take_waiting`] hands over what waits, for the [spill](super::spill).

pub(super) mod rows;
mod send;
mod tasks;
pub(super) mod trades;
mod waiting;

use std::sync::Arc;

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::entity::{etl_failure, llm_usage, threat_event};
use super::retry::retry_conflicts;
use super::{Database, RowCounts, StoreError};
use crate::market::{Directory, EventTime, SessionDay, TickBatch, TradeFlags};
use crate::messages::advice::{MitigationPlan, RecommendationSet, Report};
use crate::messages::{EventKind, Reject, RiskMinute, StoreBatch, TaskRun};
pub(super) use send::send;
use send::send_failures;
use trades::{PendingTrade, TradeWriter};
pub use waiting::Waiting;

/// Settings of a [`StoreWriter`].
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Rows kept at most. A trade takes some 160 bytes, a refused frame up to 5 KiB.
    pub max_rows: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { max_rows: 200_000 }
    }
}

/// Longest payload of a refused frame that is stored, bytes; the journal has the whole.
pub const MAX_PAYLOAD: usize = 4 << 10;

/// Accumulates messages and writes them; see the module's documentation.
#[derive(Debug)]
pub struct StoreWriter {
    directory: Directory,
    options: WriterOptions,
    trades: TradeWriter,
    scores: Vec<(RiskMinute, Arc<str>)>,
    events: Vec<threat_event::Model>,
    rejects: Vec<etl_failure::Model>,
    recommendations: Vec<Arc<RecommendationSet>>,
    plans: Vec<Arc<MitigationPlan>>,
    reports: Vec<Arc<Report>>,
    usage: Vec<llm_usage::Model>,
    tasks: Vec<TaskRun>,
    published: Vec<(String, EventTime)>,
    /// Written, but not yet told because a later part of the same flush failed.
    untold: RowCounts,
}

impl StoreWriter {
    /// An empty writer. `directory` names the issues of the batches to come.
    #[must_use]
    pub fn new(directory: Directory, options: WriterOptions) -> Self {
        Self {
            directory,
            options,
            trades: TradeWriter::default(),
            scores: Vec::new(),
            events: Vec::new(),
            rejects: Vec::new(),
            recommendations: Vec::new(),
            plans: Vec::new(),
            reports: Vec::new(),
            usage: Vec::new(),
            tasks: Vec::new(),
            published: Vec::new(),
            untold: RowCounts::default(),
        }
    }

    /// The issues it knows.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// Gives the message back when the writer [is full](Self::is_full).
    pub fn push(&mut self, batch: StoreBatch) -> Result<(), StoreBatch> {
        if self.is_full() {
            return Err(batch);
        }
        match batch {
            StoreBatch::Ticks(ticks) => self.push_ticks(&ticks),
            StoreBatch::Bars(bars) => self.trades.push_fetched(bars),
            StoreBatch::Scores(minutes) => {
                self.scores.extend(minutes.into_iter().map(|minute| {
                    let model = minute.point.model.map(|model| model.to_string());
                    (minute, model.unwrap_or_default().into())
                }));
            }
            StoreBatch::Events(events) => self.events.extend(
                events
                    .iter()
                    .filter(|event| matches!(event.kind, EventKind::Crash | EventKind::Threat))
                    .map(|event| rows::threat(event)),
            ),
            StoreBatch::Rejects(rejects) => self.push_rejects(rejects),
            StoreBatch::Recommendation(set) => self.recommendations.push(set),
            StoreBatch::Mitigation(plan) => self.plans.push(plan),
            StoreBatch::Report(report) => self.reports.push(report),
            StoreBatch::LlmUsage(calls) => self.usage.extend(calls.iter().map(rows::llm_usage)),
            StoreBatch::TaskRuns(runs) => self.tasks.extend(runs),
            // The Recorder's own business: there is nothing to write.
            StoreBatch::Checkpoint(_) => {}
        }
        Ok(())
    }

    /// Takes in refused input, whether or not the writer is full.
    pub fn push_rejects(&mut self, rejects: Vec<Reject>) {
        self.rejects.extend(rejects.into_iter().map(|mut reject| {
            rows::cut_payload(&mut reject.payload);
            rows::reject(&reject)
        }));
    }

    fn push_ticks(&mut self, ticks: &TickBatch) {
        for (index, trade) in ticks.trades.rows().enumerate() {
            if trade.flags.0 & (TradeFlags::EXPECTED | TradeFlags::SAMPLED) != 0 {
                continue;
            }
            let symbol = self.directory.symbol(trade.symbol);
            self.trades.push(PendingTrade { symbol, trade, at: ticks.trade_refs[index] });
        }
    }

    /// The publication of event `id` was acknowledged at `at` (wall clock): noted in its row with
    /// the next flush, once. Push the event itself before, or in the same flush.
    pub fn mark_published(&mut self, id: String, at: EventTime) {
        self.published.push((id, at));
    }

    /// The session of `day` is over: its bars become final with the next flush.
    pub fn end_session(&mut self, day: SessionDay) {
        self.trades.end_session(day);
    }

    /// Rows waiting to be written (picks and bars not counted).
    #[must_use]
    pub fn pending(&self) -> usize {
        self.trades.len()
            + self.scores.len()
            + self.events.len()
            + self.rejects.len()
            + self.recommendations.len()
            + self.plans.len()
            + self.reports.len()
            + self.usage.len()
            + self.tasks.len()
            + self.published.len()
    }

    /// Lets go of everything that waits: for a dry run, in which nothing is written.
    pub fn discard(&mut self) {
        self.trades = TradeWriter::default();
        self.scores.clear();
        self.events.clear();
        self.rejects.clear();
        self.recommendations.clear();
        self.plans.clear();
        self.reports.clear();
        self.usage.clear();
        self.tasks.clear();
    }

    /// Whether no more is taken in until a flush.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending() >= self.options.max_rows
    }

    /// Writes everything; returns the rows sent for each table since the last successful answer.
    ///
    /// # Errors
    /// When the database fails; what is not stored yet stays in the writer.
    pub async fn flush(&mut self, db: &Database) -> Result<RowCounts, StoreError> {
        retry_conflicts!(self.flush_once(db).await)?;
        Ok(std::mem::take(&mut self.untold))
    }

    async fn flush_once(&mut self, db: &Database) -> Result<(), StoreError> {
        self.trades.flush(db, &mut self.untold).await?;
        self.flush_risk(db).await?;
        self.flush_advice(db).await?;
        self.flush_tasks(db).await
    }

    async fn flush_tasks(&mut self, db: &Database) -> Result<(), StoreError> {
        if self.tasks.is_empty() {
            return Ok(());
        }
        let mut sent = RowCounts::default();
        tasks::write(db, &self.tasks, &mut sent).await?;
        self.tasks.clear();
        self.untold.merge(&sent);
        Ok(())
    }

    async fn flush_risk(&mut self, db: &Database) -> Result<(), StoreError> {
        let is_empty = self.scores.is_empty() && self.events.is_empty() && self.rejects.is_empty();
        if is_empty && self.published.is_empty() {
            return Ok(());
        }
        let mut sent = RowCounts::default();
        db.within("write scores and events", async {
            let transaction = db.begin_write().await?;
            let score = |(minute, model): &(RiskMinute, Arc<str>)| rows::score(minute, model);
            send(&transaction, &mut sent, &self.scores, score).await?;
            let threat = |row: &threat_event::Model| threat_event::ActiveModel::from(row.clone());
            send(&transaction, &mut sent, &self.events, threat).await?;
            send_failures(&transaction, &mut sent, &self.rejects).await?;
            note_published(&transaction, &self.published).await?;
            transaction.commit().await.map_err(StoreError::statement("commit scores and events"))
        })
        .await?;
        self.published.clear();
        self.scores.clear();
        self.events.clear();
        self.rejects.clear();
        self.untold.merge(&sent);
        Ok(())
    }

    async fn flush_advice(&mut self, db: &Database) -> Result<(), StoreError> {
        if self.recommendations.is_empty()
            && self.plans.is_empty()
            && self.reports.is_empty()
            && self.usage.is_empty()
        {
            return Ok(());
        }
        let mut sent = RowCounts::default();
        db.within("write advice", async {
            let transaction = db.begin_write().await?;
            let (sets, tx) = (&self.recommendations, &transaction);
            send(tx, &mut sent, sets, |set| rows::recommendation(set)).await?;
            let picks: Vec<_> =
                sets.iter().flat_map(|set| set.picks.iter().map(|pick| (&set.id, pick))).collect();
            send(tx, &mut sent, &picks, |(set, pick)| rows::pick(set, pick)).await?;
            send(tx, &mut sent, &self.plans, |plan| rows::plan(plan)).await?;
            send(tx, &mut sent, &self.reports, |report| rows::report(report)).await?;
            let account = |row: &llm_usage::Model| llm_usage::ActiveModel::from(row.clone());
            send(tx, &mut sent, &self.usage, account).await?;
            transaction.commit().await.map_err(StoreError::statement("commit advice"))
        })
        .await?;
        self.recommendations.clear();
        self.plans.clear();
        self.reports.clear();
        self.usage.clear();
        self.untold.merge(&sent);
        Ok(())
    }
}

/// Events are rare, so one statement each. The first mark stays.
async fn note_published(
    transaction: &DatabaseTransaction,
    published: &[(String, EventTime)],
) -> Result<(), StoreError> {
    for (id, at) in published {
        threat_event::Entity::update_many()
            .col_expr(threat_event::Column::PublishedAt, Expr::value(*at))
            .filter(threat_event::Column::Id.eq(id.as_str()))
            .filter(threat_event::Column::PublishedAt.is_null())
            .exec(transaction)
            .await
            .map_err(StoreError::statement("write threat_events"))?;
    }
    Ok(())
}
