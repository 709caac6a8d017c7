//! What a report is asked about.

use std::sync::Arc;

use crate::market::{EventTime, SessionDay, Symbol, Won};
use crate::messages::advice::{MitigationPlan, RecommendationSet};
use crate::messages::{EventKind, IndexNow, OutwardEvent, RiskBoard};

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
    /// About many alerts at once.
    Digest(Vec<Arc<OutwardEvent>>),
    /// About a week.
    WeeklyReview(WeekSummary),
}

impl ReportRequest {
    /// Kind of the report: `crash_alert`, `threat_alert`, `recommendation`, `mitigation`,
    /// `market_risk`, `alert_digest`, `weekly_review`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alert { event, .. } if event.kind == EventKind::Crash => "crash_alert",
            Self::Alert { .. } => "threat_alert",
            Self::Recommendation(_) => "recommendation",
            Self::Mitigation(_) => "mitigation",
            Self::MarketRisk(_) => "market_risk",
            Self::Digest(_) => "alert_digest",
            Self::WeeklyReview(_) => "weekly_review",
        }
    }

    /// The task it belongs to, as in metrics and `llm_usage`.
    #[must_use]
    pub fn task(&self) -> &'static str {
        match self {
            Self::Alert { .. } | Self::Digest(_) => "draft_alert",
            Self::Recommendation(_) => "summarize_recommendation",
            Self::Mitigation(_) | Self::MarketRisk(_) => "generate_report",
            Self::WeeklyReview(_) => "weekly_review",
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
    /// The indices, when they are known.
    pub indices: Vec<IndexNow>,
    /// Issues above their base price.
    pub rising: usize,
    /// Issues below their base price.
    pub falling: usize,
    /// The issues with the highest scores, highest first.
    pub riskiest: Vec<SummaryRow>,
    /// Recent crash and threat events, newest first.
    pub events: Vec<Arc<OutwardEvent>>,
    /// Alerts of the day by level (watch, warning, critical), when they were counted.
    pub alerts: Option<[u32; 3]>,
}

/// An index over a week.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexWeek {
    /// Korean name.
    pub name: String,
    /// Its last level, hundredths of a point.
    pub last: i64,
    /// Change against the close before the week, per cent.
    pub change_pct: f64,
}

/// How picks of a week fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PicksWeek {
    /// Picks with a later price.
    pub judged: u32,
    /// Those that stand higher now.
    pub rose: u32,
    /// Their mean change, per cent.
    pub mean_change_pct: f64,
}

/// How the language model fared over a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WritingWeek {
    /// Reports asked of it.
    pub requests: u32,
    /// Those whose text passed all checks.
    pub valid: u32,
}

/// A week in a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct WeekSummary {
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
    /// Latest event time in it.
    pub as_of: EventTime,
    /// Sessions with data.
    pub sessions: u32,
    /// Indices with data.
    pub indices: Vec<IndexWeek>,
    /// Crash events by level: watch, warning, critical.
    pub crashes: [u32; 3],
    /// Threat events by rule, most frequent first.
    pub threats: Vec<(String, u32)>,
    /// Issues with the highest scores of the week; `change_pct` over the week.
    pub riskiest: Vec<SummaryRow>,
    /// How the picks fared; `None` without any.
    pub picks: Option<PicksWeek>,
    /// How the language model fared; `None` when none was asked.
    pub writing: Option<WritingWeek>,
    /// Ids of the gravest events.
    pub sources: Vec<String>,
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
        let indices = board.indices.at(as_of);
        Some(Self {
            as_of,
            issues,
            mean_score,
            indices,
            rising,
            falling,
            riskiest,
            events,
            alerts: None,
        })
    }
}
