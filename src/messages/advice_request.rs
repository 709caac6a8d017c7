//! What asks the advisers for advice.

use std::sync::Arc;

use super::{IndexPath, RiskRow};
use crate::market::{EventTime, Symbol, Won};
use crate::model::FittedModel;
use crate::risk::Level;

/// Time for new recommendations: the board as it stood at that event time, so that the answer
/// depends on nothing else.
#[derive(Debug, Clone)]
pub struct AdviceTick {
    /// As of this event time.
    pub as_of: EventTime,
    /// All scores of that moment.
    pub rows: Vec<RiskRow>,
    /// The minutes of the indices.
    pub indices: IndexPath,
    /// The model they were made with; `None`: the stated formula alone.
    pub model: Option<Arc<FittedModel>>,
}

/// A crash that calls for a plan.
#[derive(Debug, Clone)]
pub struct CrashNotice {
    /// Id of the crash event.
    pub event_id: String,
    /// Seriousness.
    pub level: Level,
    /// The issue; `None` for the market.
    pub symbol: Option<Symbol>,
    /// Korean name of the issue or the market.
    pub name: String,
    /// Price of the trade that fired, won; index level in hundredths for the market.
    pub price: Won,
    /// Change, per cent.
    pub change_pct: f64,
    /// Risk score, 0 to 100.
    pub score: f64,
    /// Event time.
    pub time: EventTime,
    /// The event itself, for the report.
    pub event: Arc<super::OutwardEvent>,
}
