//! LlmSummarizer: picks, plans and crashes into Korean reports.
//!
//! Writes by template when no endpoint is set, otherwise by a language model under guard, with the
//! template behind it ([`crate::llm`]). A crash alert goes out by template at once; a model's
//! version of it follows.
//!
//! **Gets** [`ReportRequest`] from Recommender and Mitigator. **Sends** the report outward and to
//! the Recorder. **Slow:** requests of one kind and subject are conflated; nobody waits for it.

use std::sync::Arc;

use super::outlet::AdviceOutlet;
use super::supervision::{Cursor, Envelope, Stage, StageError};
use crate::llm::{MarketSummary, ReportRequest, Writer};
use crate::market::Directory;
use crate::messages::advice::{MitigationPlan, Report};
use crate::messages::advice_request::{AdviceTick, CrashNotice};
use crate::messages::{Reject, RiskBoard, StoreBatch};

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
    let subject = match &**request {
        ReportRequest::Alert { event, .. } => event.subject.as_str(),
        ReportRequest::Recommendation(set) => set.scenario.as_str(),
        ReportRequest::Mitigation(plan) => plan.subject.as_str(),
        ReportRequest::MarketRisk(_) => "",
    };
    let mut hasher = rustc_hash::FxHasher::default();
    (request.kind(), subject).hash(&mut hasher);
    hasher.finish()
}

/// The report on the market as a whole at the moment of `tick`; `None` while nothing is scored.
pub(super) fn market_risk(directory: &Directory, tick: &AdviceTick) -> Option<ReportRequest> {
    let board = RiskBoard::new(directory.clone());
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
    /// Who writes.
    pub writer: Arc<Writer>,
    /// Where the reports go.
    pub outlet: AdviceOutlet,
}

/// The actor's state.
pub struct LlmSummarizer {
    parts: SummarizerParts,
    requests: Vec<ReportRequest>,
}

impl LlmSummarizer {
    /// A LlmSummarizer over `parts`.
    #[must_use]
    pub fn new(parts: SummarizerParts) -> Self {
        Self { parts, requests: Vec::new() }
    }

    async fn deliver(&self, report: Report) -> Result<(), StageError> {
        let report = Arc::new(report);
        self.parts.outlet.publish(report.event()).await;
        self.parts.outlet.board.add_report(Arc::clone(&report));
        self.parts.outlet.store(StoreBatch::Report(report)).await
    }

    async fn write(&self, request: ReportRequest) -> Result<(), StageError> {
        let is_urgent = matches!(&request, ReportRequest::Alert { .. });
        if is_urgent && matches!(*self.parts.writer, Writer::Model(_)) {
            let (report, _) = Writer::Template.write(request.clone()).await;
            self.deliver(report).await?;
        }
        let (report, usage) = self.parts.writer.write(request).await;
        if let Some(usage) = usage {
            self.parts.outlet.store(StoreBatch::LlmUsage(vec![usage])).await?;
        }
        self.deliver(report).await
    }
}

impl Stage for LlmSummarizer {
    type In = ReportRequest;
    type Snapshot = ();
    const NAME: &'static str = "llm_summarizer";

    fn handle(&mut self, request: &Arc<ReportRequest>, cursor: &Cursor) -> Result<(), StageError> {
        if cursor.enter(0) {
            self.requests.push(ReportRequest::clone(request));
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for request in std::mem::take(&mut self.requests) {
            self.write(request).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.requests.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}
}
