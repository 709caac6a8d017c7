//! What waits to be written, in a form that can lie on disk.
//!
//! One value is one entry of the spill: MessagePack of at most some thousand rows. It carries all
//! that writing needs and nothing that belongs to this process (a number of the issue directory is
//! resolved to the code).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::entity::{etl_failure, llm_usage, threat_event};
use super::StoreWriter;
use super::trades::PendingTrade;
use crate::messages::advice::{MitigationPlan, RecommendationSet, Report};
use crate::messages::{FetchedBars, RiskMinute, TaskRun};

/// Rows in one entry at most: a megabyte or less, so that reading one back takes little memory.
const PER_ENTRY: usize = 4_096;

/// Rows of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Waiting {
    /// Trades, in order.
    #[doc(hidden)]
    Trades(Vec<PendingTrade>),
    /// Minutes as the exchange has them.
    Bars(Arc<FetchedBars>),
    /// Scores and the model behind them.
    Scores(Vec<(RiskMinute, Arc<str>)>),
    /// Crash and threat events.
    Threats(Vec<threat_event::Model>),
    /// Refused input.
    Failures(Vec<etl_failure::Model>),
    /// Picks.
    Recommendation(Arc<RecommendationSet>),
    /// A defence plan.
    Mitigation(Arc<MitigationPlan>),
    /// A report.
    Report(Arc<Report>),
    /// Accounts of the language model.
    Usage(Vec<llm_usage::Model>),
    /// Runs of tasks, in order.
    Tasks(Vec<TaskRun>),
}

impl Waiting {
    /// As bytes.
    ///
    /// # Errors
    /// When it cannot be encoded, with the reason.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        rmp_serde::to_vec(self).map_err(|error| error.to_string())
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are not a value, with the reason.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
    }
}

fn chunked<T, F: Fn(Vec<T>) -> Waiting>(mut rows: Vec<T>, out: &mut Vec<Waiting>, make: F) {
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(PER_ENTRY));
        out.push(make(std::mem::replace(&mut rows, rest)));
    }
}

impl StoreWriter {
    /// Takes out everything that waits, in the order in which it is to be written.
    #[must_use]
    pub fn take_waiting(&mut self) -> Vec<Waiting> {
        let mut out = self.take_ordered();
        chunked(std::mem::take(&mut self.events), &mut out, Waiting::Threats);
        chunked(std::mem::take(&mut self.rejects), &mut out, Waiting::Failures);
        chunked(std::mem::take(&mut self.usage), &mut out, Waiting::Usage);
        out
    }

    /// Takes out what must not overtake older rows: what replaces rows, and trades, of which bars
    /// are made. Events, refused input and accounts stay: their rows are written once.
    #[must_use]
    pub fn take_ordered(&mut self) -> Vec<Waiting> {
        let mut out = Vec::new();
        let (trades, bars) = self.trades.take();
        chunked(trades, &mut out, Waiting::Trades);
        out.extend(bars.into_iter().map(Waiting::Bars));
        chunked(std::mem::take(&mut self.scores), &mut out, Waiting::Scores);
        let sets = std::mem::take(&mut self.recommendations);
        out.extend(sets.into_iter().map(Waiting::Recommendation));
        out.extend(std::mem::take(&mut self.plans).into_iter().map(Waiting::Mitigation));
        out.extend(std::mem::take(&mut self.reports).into_iter().map(Waiting::Report));
        chunked(std::mem::take(&mut self.tasks), &mut out, Waiting::Tasks);
        out
    }

    /// Puts back what was taken out, here or in another process. Its limit is not looked at.
    pub fn put_back(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::Trades(trades) => trades.into_iter().for_each(|trade| self.trades.push(trade)),
            Waiting::Bars(bars) => self.trades.push_fetched(bars),
            Waiting::Scores(scores) => self.scores.extend(scores),
            Waiting::Threats(rows) => self.events.extend(rows),
            Waiting::Failures(rows) => self.rejects.extend(rows),
            Waiting::Recommendation(set) => self.recommendations.push(set),
            Waiting::Mitigation(plan) => self.plans.push(plan),
            Waiting::Report(report) => self.reports.push(report),
            Waiting::Usage(rows) => self.usage.extend(rows),
            Waiting::Tasks(runs) => self.tasks.extend(runs),
        }
    }
}
