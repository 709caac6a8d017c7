//! Mitigator: a crash into ranked defences.
//!
//! For each crash of level warning or critical, computes what can be done about a position in the
//! issue (or in the market) and what each option would cost and change. Without the user's own
//! positions it plans for an assumed one of stated size, and says so. Each option is simulated
//! ([`crate::advice::alarm`]): milliseconds, on a thread that the hot path does not wait for.
//!
//! **Gets** [`CrashNotice`] from Alert. **Sends** the plan outward, to the Recorder and, with the
//! crash, to the LlmSummarizer. **Slow:** notices of one subject are conflated.

use std::sync::Arc;

use super::outlet::AdviceOutlet;
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::advice::PlanSettings;
use crate::advice::alarm::{Alarm, LivePosition, respond};
use crate::advice::live_world::LiveIssue;
use crate::advice::mitigate::Severity;
use crate::advice::simulate::{Control, SimulateError};
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

    fn plan(&self, notice: &CrashNotice, cursor: &Cursor) -> Result<MitigationPlan, SimulateError> {
        let board = &self.parts.board;
        let found = notice
            .symbol
            .and_then(|symbol| board.directory.find(symbol))
            .map(|id| (board.directory.reference(id), board.get(id)));
        let held = found.as_ref().map(|(reference, row)| LivePosition {
            issue: LiveIssue {
                reference,
                price: notice.price,
                daily_volatility_pct: row.map_or(0.0, |row| row.daily_volatility_pct),
                shortfall_pct: row.map_or(0.0, |row| row.point.parts.volatility),
                spread_pct: row.map_or(0.0, |row| row.spread_pct),
                halted: false,
            },
            value: self.parts.assumed_position,
        });
        let subject =
            found.as_ref().map_or("portfolio", |(reference, _)| reference.symbol.as_str());
        let alarm = Alarm {
            event_id: notice.event_id.clone(),
            severity: Severity::from(notice.level),
            subject: subject.to_owned(),
            name: found.as_ref().map_or_else(|| notice.name.clone(), |(one, _)| one.name.clone()),
            as_of: notice.time,
            held: held.into_iter().collect(),
            market: if notice.name.contains("코스닥") || notice.name.contains("KOSDAQ") {
                Market::Kosdaq
            } else {
                Market::Kospi
            },
            value: self.parts.assumed_position,
            assumed: true,
            market_halted: false,
        };
        let watched = board.directory.all();
        // Each block of paths is a sign of life.
        let control = Control { cancelled: &|| false, progress: &|_, _| cursor.beat() };
        respond(&alarm, &watched, board.model().as_deref(), &self.parts.settings, &control)
    }
}

impl Stage for Mitigator {
    type In = CrashNotice;
    type Snapshot = ();
    const NAME: &'static str = "mitigator";

    fn handle(&mut self, notice: &Arc<CrashNotice>, cursor: &Cursor) -> Result<(), StageError> {
        if cursor.enter(0) {
            match self.plan(notice, cursor) {
                Ok(plan) => self.ready.push((Arc::clone(notice), Arc::new(plan))),
                Err(error) => {
                    tracing::error!(event = notice.event_id, %error, "no defence plan");
                }
            }
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
