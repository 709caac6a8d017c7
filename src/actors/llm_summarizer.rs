//! LlmSummarizer: picks, plans and crashes into Korean reports.
//!
//! Tells a crash by template at once, and hands everything over to the Drafter
//! ([`super::reports::drafter`]), which writes with the language model when one is set, prints pages
//! with charts, and tells what it wrote. So no report waits for another one's model.
//!
//! **Gets** [`ReportRequest`] from Recommender and Mitigator. **Sends** the report outward and to
//! the Recorder, drafts to the Drafter. **Slow:** requests of one kind and subject are conflated;
//! nobody waits for it.

use std::sync::Arc;

use super::reports::ReportDesk;
use super::reports::drafter::{Draft, subject};
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::llm::{MarketSummary, ReportRequest};
use crate::market::Directory;
use crate::messages::advice::MitigationPlan;
use crate::messages::advice_request::{AdviceTick, CrashNotice};
use crate::messages::{Reject, RiskBoard};

impl Envelope for ReportRequest {
    fn records(&self) -> usize {
        1
    }

    fn poison(&self, _: usize, stage: &'static str, why: &str) -> Reject {
        let payload = super::reject::excerpt(format!("{self:?}").as_bytes());
        let source = self.kind().to_owned();
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at: None }
    }
}

/// Requests with the same key replace each other while they wait.
pub(super) fn key(request: &Arc<ReportRequest>) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    (request.kind(), subject(request)).hash(&mut hasher);
    hasher.finish()
}

/// The report on the market as a whole at the moment of `tick`; `None` while nothing is scored.
pub(super) fn market_risk(directory: &Directory, tick: &AdviceTick) -> Option<ReportRequest> {
    let mut board = RiskBoard::new(directory.clone());
    board.indices = tick.indices.clone();
    board.update(tick.rows.iter().copied());
    MarketSummary::of_board(&board, &[]).map(ReportRequest::MarketRisk)
}

/// The report on a crash and the plan that answers it.
pub(super) fn crash_report(notice: &CrashNotice, plan: &Arc<MitigationPlan>) -> ReportRequest {
    ReportRequest::Alert { event: Arc::clone(&notice.event), plan: Some(Arc::clone(plan)) }
}

/// What the LlmSummarizer is made of.
#[derive(Clone)]
pub struct SummarizerParts {
    /// Writes by template.
    pub desk: ReportDesk,
    /// To the Drafter.
    pub drafter: Edge<Arc<Draft>>,
}

/// The actor's state.
pub struct LlmSummarizer {
    parts: SummarizerParts,
    requests: Vec<Arc<ReportRequest>>,
}

impl LlmSummarizer {
    /// A LlmSummarizer over `parts`.
    #[must_use]
    pub fn new(parts: SummarizerParts) -> Self {
        Self { parts, requests: Vec::new() }
    }
}

impl Stage for LlmSummarizer {
    type In = ReportRequest;
    type Snapshot = ();
    const NAME: &'static str = "llm_summarizer";

    fn handle(&mut self, request: &Arc<ReportRequest>, cursor: &Cursor) -> Result<(), StageError> {
        if cursor.enter(0) {
            self.requests.push(Arc::clone(request));
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for request in std::mem::take(&mut self.requests) {
            let told = matches!(&*request, ReportRequest::Alert { .. });
            if told {
                self.parts.desk.by_template(&request, "").await?;
            }
            self.parts.drafter.send(Arc::new(Draft { request, told })).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.requests.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}
}
