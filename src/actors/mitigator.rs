//! Mitigator: a crash into ranked defences.
//!
//! For each crash of level warning or critical, computes what can be done about a position in the
//! issue (or in the market) and what each option would cost and change. Without the user's own
//! positions it plans for an assumed one of stated size, and says so. The arithmetic is
//! [`crate::advice::mitigate`].
//!
//! **Gets** [`CrashNotice`] from Alert. **Sends** the plan outward, to the Recorder and, with the
//! crash, to the LlmSummarizer. **Slow:** notices of one subject are conflated.

use std::sync::Arc;

use super::outlet::AdviceOutlet;
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::advice::mitigate::{self, PortfolioThreat, Severity};
use crate::advice::{PlanSettings, Position, ThreatContext};
use crate::llm::ReportRequest;
use crate::market::{Market, Won};
use crate::messages::advice::MitigationPlan;
use crate::messages::advice_request::CrashNotice;
use crate::messages::{Reject, RiskBoard, StoreBatch};

impl Envelope for CrashNotice {
    fn records(&self) -> usize {
        1
    }

    fn poison(&self, _: usize, stage: &'static str, why: &str) -> Reject {
        let (source, payload) = ("alert".to_owned(), self.event.json.to_string());
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at: None }
    }
}

/// What the Mitigator is made of.
#[derive(Clone)]
pub struct MitigatorParts {
    /// Latest scores, names and history.
    pub board: RiskBoard,
    /// What plans assume and aim at.
    pub settings: PlanSettings,
    /// Size of the position planned for when the user has told none, won.
    pub assumed_position: Won,
    /// Where the plans go.
    pub outlet: AdviceOutlet,
    /// To the LlmSummarizer.
    pub summarizer: Edge<Arc<ReportRequest>>,
}

/// The actor's state.
pub struct Mitigator {
    parts: MitigatorParts,
    ready: Vec<(Arc<CrashNotice>, Arc<MitigationPlan>)>,
}

impl Mitigator {
    /// A Mitigator over `parts`.
    #[must_use]
    pub fn new(parts: MitigatorParts) -> Self {
        Self { parts, ready: Vec::new() }
    }

    fn plan(&self, notice: &CrashNotice) -> MitigationPlan {
        let position = Position { value: self.parts.assumed_position, assumed: true };
        let found = notice
            .symbol
            .and_then(|symbol| self.parts.board.directory.find(symbol))
            .map(|id| (self.parts.board.directory.reference(id), self.parts.board.get(id)));
        match found {
            Some((reference, row)) => {
                let threat = ThreatContext {
                    event_id: notice.event_id.clone(),
                    severity: Severity::from(notice.level),
                    reference,
                    price: notice.price,
                    daily_volatility_pct: row.map_or(0.0, |row| row.daily_volatility_pct),
                    spread_pct: row.map_or(0.0, |row| row.spread_pct),
                    change_pct: row.map_or(notice.change_pct, |row| row.point.change_pct),
                    score: notice.score,
                    halted: false,
                    market_closes: Vec::new(),
                };
                mitigate::plan(&threat, position, &self.parts.settings, notice.time)
            }
            None => {
                let threat = PortfolioThreat {
                    event_id: notice.event_id.clone(),
                    severity: Severity::from(notice.level),
                    market: if notice.name.contains("코스닥") || notice.name.contains("KOSDAQ") {
                        Market::Kosdaq
                    } else {
                        Market::Kospi
                    },
                    name: notice.name.clone(),
                    halted: false,
                    market_volatility_pct: None,
                    market_closes: Vec::new(),
                    holdings: Vec::new(),
                };
                mitigate::plan_portfolio(&threat, position, &self.parts.settings, notice.time)
            }
        }
    }
}

impl Stage for Mitigator {
    type In = CrashNotice;
    type Snapshot = ();
    const NAME: &'static str = "mitigator";

    fn handle(&mut self, notice: &Arc<CrashNotice>, cursor: &Cursor) -> Result<(), StageError> {
        if cursor.enter(0) {
            let plan = Arc::new(self.plan(notice));
            self.ready.push((Arc::clone(notice), plan));
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for (notice, plan) in std::mem::take(&mut self.ready) {
            self.parts.outlet.publish(plan.event()).await;
            self.parts.outlet.board.add_mitigation(Arc::clone(&plan));
            self.parts.outlet.store(StoreBatch::Mitigation(Arc::clone(&plan))).await?;
            let request = super::llm_summarizer::crash_report(&notice, &plan);
            self.parts.summarizer.send(Arc::new(request)).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.ready.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}
}
