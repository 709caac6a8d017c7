//! Recommender: scores and history into ranked picks.
//!
//! Asked at a fixed pace of event time; a newer request replaces one that waits. The ranking
//! itself is [`crate::advice::recommend::recommend`].
//!
//! **Gets** [`AdviceTick`] from the RiskScorer. **Sends** the picks outward, to the Recorder and
//! to the LlmSummarizer. **Slow:** requests are conflated; nobody waits for it.

use std::sync::Arc;

use super::outlet::AdviceOutlet;
use super::supervision::{Cursor, Edge, Envelope, Stage, StageError};
use crate::advice::recommend::{DownsideParts, recommend};
use crate::advice::{Candidate, RankingModel, ScenarioLimits};
use crate::llm::ReportRequest;
use crate::market::Directory;
use crate::messages::advice::RecommendationSet;
use crate::messages::advice_request::AdviceTick;
use crate::messages::{Reject, RiskRow, StoreBatch};

impl Envelope for AdviceTick {
    fn records(&self) -> usize {
        1
    }

    fn poison(&self, _: usize, stage: &'static str, why: &str) -> Reject {
        let payload =
            format!("recommendations as of {} over {} issues", self.as_of, self.rows.len());
        let source = "risk_scorer".to_owned();
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at: None }
    }
}

/// What the Recommender is made of.
#[derive(Clone)]
pub struct RecommenderParts {
    /// Names and history of the issues.
    pub directory: Directory,
    /// Limits of the default scenario.
    pub limits: ScenarioLimits,
    /// Where the picks go.
    pub outlet: AdviceOutlet,
    /// To the LlmSummarizer.
    pub summarizer: Edge<Arc<ReportRequest>>,
}

/// The actor's state.
pub struct Recommender {
    parts: RecommenderParts,
    ready: Vec<(Arc<RecommendationSet>, Arc<AdviceTick>)>,
}

impl Recommender {
    /// A Recommender over `parts`.
    #[must_use]
    pub fn new(parts: RecommenderParts) -> Self {
        Self { parts, ready: Vec::new() }
    }
}

/// The issue of `row` as a candidate.
pub(super) fn candidate(directory: &Directory, row: &RiskRow) -> Candidate {
    let point = row.point;
    Candidate {
        reference: directory.reference(point.symbol),
        // Reference data tell no sector.
        sector: None,
        price: point.price,
        score: point.score,
        parts: DownsideParts {
            volatility: point.parts.volatility,
            drawdown: point.parts.drawdown,
            liquidity: point.parts.liquidity,
            volume: point.parts.volume,
        },
        daily_volatility_pct: row.daily_volatility_pct,
        spread_pct: row.spread_pct,
        change_pct: point.change_pct,
        cum_value: row.cum_value,
        over_gap: point.over_gap,
    }
}

impl Stage for Recommender {
    type In = AdviceTick;
    type Snapshot = ();
    const NAME: &'static str = "recommender";

    fn handle(&mut self, tick: &Arc<AdviceTick>, cursor: &Cursor) -> Result<(), StageError> {
        if !cursor.enter(0) || tick.rows.is_empty() {
            return Ok(());
        }
        let directory = &self.parts.directory;
        let candidates: Vec<Candidate> =
            tick.rows.iter().map(|row| candidate(directory, row)).collect();
        let model = RankingModel::from(tick.model.as_deref());
        let set = recommend(&candidates, &self.parts.limits, model, tick.as_of);
        self.ready.push((Arc::new(set), Arc::clone(tick)));
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for (set, tick) in std::mem::take(&mut self.ready) {
            self.parts.outlet.publish(set.event()).await;
            self.parts.outlet.board.add_recommendation(Arc::clone(&set));
            self.parts.outlet.store(StoreBatch::Recommendation(Arc::clone(&set))).await?;
            let picks = ReportRequest::Recommendation(Arc::clone(&set));
            let market = super::llm_summarizer::market_risk(&self.parts.directory, &tick);
            for request in std::iter::once(picks).chain(market) {
                self.parts.summarizer.send(Arc::new(request)).await?;
            }
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.ready.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}
}
