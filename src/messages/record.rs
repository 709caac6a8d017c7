//! To the Recorder: everything that is to be kept in the database.

use std::sync::Arc;

use super::advice::{LlmUsage, MitigationPlan, RecommendationSet, Report};
use super::{FetchedBars, OutwardEvent, RiskMinute, TaskRun};
use crate::market::{RecordRef, TickBatch};

/// Something that could not be processed, kept where the operator can find it
/// (`etl_failures`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Stage that refused it: `normalizer`, `risk_scorer`, …
    pub stage: &'static str,
    /// Where it came from: the feed's TR id, `journal`, an endpoint.
    pub source: String,
    /// Short machine-readable reason, also the metric label: bounded set.
    pub reason: &'static str,
    /// What exactly was wrong: the field, the value, what was expected.
    pub detail: String,
    /// The payload (its beginning, when it is longer than the limit), lossily as text.
    pub payload: String,
    /// Where the payload stands in the journal.
    pub at: Option<RecordRef>,
}

/// One message to the Recorder.
#[derive(Debug, Clone)]
pub enum StoreBatch {
    /// Trades to store, and to build bars from.
    Ticks(Arc<TickBatch>),
    /// Minute bars as the exchange has them.
    Bars(Arc<FetchedBars>),
    /// Minute rows of scores.
    Scores(Vec<RiskMinute>),
    /// Crash and threat events.
    Events(Vec<Arc<OutwardEvent>>),
    /// Refused input.
    Rejects(Vec<Reject>),
    /// New picks.
    Recommendation(Arc<RecommendationSet>),
    /// A new defence plan.
    Mitigation(Arc<MitigationPlan>),
    /// A finished report.
    Report(Arc<Report>),
    /// Calls of a language model.
    LlmUsage(Vec<LlmUsage>),
    /// How runs of tasks stand, in order.
    TaskRuns(Vec<TaskRun>),
    /// Everything that the frames before this checkpoint give has been sent: to be told when it is
    /// stored.
    Checkpoint(u64),
}
