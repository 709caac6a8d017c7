//! What a report is asked about.

use std::sync::Arc;

use crate::market::{EventTime, Symbol, Won};
use crate::messages::advice::{MitigationPlan, RecommendationSet};
use crate::messages::{EventKind, OutwardEvent, RiskBoard};

/// A report to write.
#[derive(Debug, Clone)]
pub enum ReportRequest {
    /// About a crash or threat, with the plan that answers it when there is one.
    Alert {
        /// The event.
        event: Arc<OutwardEvent>,
        /// The plan.
        plan: Option<Arc<MitigationPlan>>,
    },
    /// About picks.
    Recommendation(Arc<RecommendationSet>),
    /// About a defence plan.
    Mitigation(Arc<MitigationPlan>),
    /// About the market as a whole.
    MarketRisk(MarketSummary),
}

impl ReportRequest {
    /// Kind of the report: `crash_alert`, `threat_alert`, `recommendation`, `mitigation`,
    /// `market_risk`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alert { event, .. } if event.kind == EventKind::Crash => "crash_alert",
            Self::Alert { .. } => "threat_alert",
            Self::Recommendation(_) => "recommendation",
            Self::Mitigation(_) => "mitigation",
            Self::MarketRisk(_) => "market_risk",
        }
    }
}

/// One issue of a [`MarketSummary`].
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryRow {
    /// Issue.
    pub symbol: Symbol,
    /// Korean name.
    pub name: String,
    /// Risk score, 0 to 100.
    pub score: f64,
    /// Latest price, won.
    pub price: Won,
    /// Change against the base price, per cent.
    pub change_pct: f64,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
}

/// The risk board in a few numbers.
#[derive(Debug, Clone)]
pub struct MarketSummary {
    /// Latest event time on the board.
    pub as_of: EventTime,
    /// Issues with a score.
    pub issues: usize,
    /// Mean score, 0 to 100.
    pub mean_score: f64,
    /// Issues above their base price.
    pub rising: usize,
    /// Issues below their base price.
    pub falling: usize,
    /// The issues with the highest scores, highest first.
    pub riskiest: Vec<SummaryRow>,
    /// Recent crash and threat events, newest first.
    pub events: Vec<Arc<OutwardEvent>>,
}

impl MarketSummary {
    /// Rows and events kept.
    pub const MAX_ROWS: usize = 10;

    /// What `board` shows, with the last of `events`; `None` while the board is empty.
    #[must_use]
    pub fn of_board(board: &RiskBoard, events: &[Arc<OutwardEvent>]) -> Option<Self> {
        let mut rows = board.rows();
        let as_of = rows.iter().map(|row| row.point.time).max()?;
        let issues = rows.len();
        let mean_score = rows.iter().map(|row| row.point.score).sum::<f64>() / issues as f64;
        let rising = rows.iter().filter(|row| row.point.change_pct > 0.0).count();
        let falling = rows.iter().filter(|row| row.point.change_pct < 0.0).count();
        rows.sort_by(|a, b| {
            b.point.score.total_cmp(&a.point.score).then(a.point.code.cmp(&b.point.code))
        });
        let riskiest = rows
            .iter()
            .take(Self::MAX_ROWS)
            .map(|row| SummaryRow {
                symbol: row.point.code,
                name: board.directory.reference(row.point.symbol).name.clone(),
                score: row.point.score,
                price: row.point.price,
                change_pct: row.point.change_pct,
                daily_volatility_pct: row.daily_volatility_pct,
            })
            .collect();
        let mut events: Vec<_> = events
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Crash | EventKind::Threat))
            .cloned()
            .collect();
        events.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.id.cmp(&b.id)));
        events.truncate(Self::MAX_ROWS);
        Some(Self { as_of, issues, mean_score, rising, falling, riskiest, events })
    }
}
