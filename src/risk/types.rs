//! What the engine makes: scores, detections, and the row the board shows of an issue.
//!
//! They pass between actors unchanged, so `messages` re-exports them.

use serde::{Deserialize, Serialize};

use crate::market::{EventTime, ModelId, RecordRef, Symbol, SymbolId, Won};

/// How serious a detection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth a look.
    Watch,
    /// Act soon.
    Warning,
    /// Act now.
    Critical,
}

impl Level {
    /// As in events and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Which detector fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A sudden fall of one issue.
    SymbolCrash,
    /// A fall of the market: an index, or the breadth of the watched issues.
    MarketCrash,
    /// Realised volatility far above its norm.
    Volatility,
    /// Volume far above its norm.
    VolumeSurge,
    /// Getting out of an issue becomes dear: spread, depth or trading dry up.
    Liquidity,
    /// A volatility interruption of an issue is near or under way.
    Vi,
    /// An issue is near its daily price limit, or at it.
    PriceLimit,
    /// Trading of an issue or of the market is suspended.
    Halt,
    /// An issue or the whole feed fell silent.
    FeedStale,
    /// Trades are missing.
    FeedGap,
    /// The forecast model no longer fits what happens; raised by its watch, not by this engine.
    ModelDrift,
}

impl Rule {
    /// Every rule, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::SymbolCrash,
        Self::MarketCrash,
        Self::Volatility,
        Self::VolumeSurge,
        Self::Liquidity,
        Self::Vi,
        Self::PriceLimit,
        Self::Halt,
        Self::FeedStale,
        Self::FeedGap,
        Self::ModelDrift,
    ];

    /// As in events, ids and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SymbolCrash => "symbol_crash",
            Self::MarketCrash => "market_crash",
            Self::Volatility => "volatility",
            Self::VolumeSurge => "volume_surge",
            Self::Liquidity => "liquidity",
            Self::Vi => "vi",
            Self::PriceLimit => "price_limit",
            Self::Halt => "halt",
            Self::FeedStale => "feed_stale",
            Self::FeedGap => "feed_gap",
            Self::ModelDrift => "model_drift",
        }
    }
}

/// What a detection rests on: with rule, issue and session day, this makes the event's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The trade with this cumulative volume.
    Trade {
        /// Shares traded in the session up to and including it.
        cum_volume: i64,
    },
    /// The index print, or the market-wide condition, at this event time (microseconds).
    Moment {
        /// Microseconds since the Unix epoch.
        micros: i64,
    },
}

/// Something a detector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Detector.
    pub rule: Rule,
    /// Seriousness.
    pub level: Level,
    /// The issue; `None` for the market or the feed as a whole, or a model.
    pub symbol: Option<Symbol>,
    /// Korean name of the issue, or of the index for the market; the id of a model.
    pub name: String,
    /// Price of the trade that fired; for a market crash the index level in hundredths; 0 when
    /// there is none.
    pub price: Won,
    /// What `price` is compared with, same unit.
    pub reference_price: Won,
    /// Change of `price` against `reference_price`, per cent.
    pub change_pct: f64,
    /// Length of the window looked at, seconds; 0 for "since the previous close".
    pub window_s: u32,
    /// Risk score of the issue (or mean score of the market) at that moment, 0 to 100.
    pub score: f64,
    /// Event time: of the trade or print that fired.
    pub time: EventTime,
    /// What it rests on.
    pub cause: Cause,
    /// Where the cause is journaled.
    pub at: RecordRef,
    /// The numbers that fired the rule, in a fixed order for each rule.
    pub evidence: Vec<(&'static str, f64)>,
}

/// The parts a score is made of; they explain it and add up to the downside forecast.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreParts {
    /// From volatility, per cent of price.
    pub volatility: f64,
    /// From the fall under way, per cent of price.
    pub drawdown: f64,
    /// From spread and thin depth, per cent of price.
    pub liquidity: f64,
    /// From unusual volume, per cent of price.
    pub volume: f64,
}

/// The score of an issue at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// Issue.
    pub symbol: SymbolId,
    /// Its code.
    pub code: Symbol,
    /// Time of the trade it was computed at.
    pub time: EventTime,
    /// Price of that trade, won.
    pub price: Won,
    /// 0 to 100.
    pub score: f64,
    /// What it is made of.
    pub parts: ScoreParts,
    /// Change against the base price of the day, per cent.
    pub change_pct: f64,
    /// Whether trades are missing in the window it looks at.
    pub over_gap: bool,
    /// Cumulative volume at that trade: the identity of the cause.
    pub cum_volume: i64,
    /// Where that trade is journaled.
    pub at: RecordRef,
    /// The model it was made with; `None`: the stated one alone. Last, so that a row that an earlier
    /// build left in the spill is still read.
    #[serde(default)]
    pub model: Option<ModelId>,
}

/// The last score of an issue within an event minute: a row of `risk_scores`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskMinute {
    /// Start of the minute.
    pub minute: EventTime,
    /// The score as of the last trade of the minute.
    pub point: RiskPoint,
}

/// What the RiskScorer makes of one batch of ticks.
#[derive(Debug, Clone, Default)]
pub struct ScoreBatch {
    /// What the detectors found, in order.
    pub detections: Vec<Detection>,
    /// Scores, at most one a second of event time for each issue, in order.
    pub points: Vec<RiskPoint>,
    /// Minutes that ended (or were cut short by a stop), in order.
    pub minutes: Vec<RiskMinute>,
    /// When the oldest frame behind this batch was received; see
    /// [`crate::market::TickBatch::received_us`].
    pub received_us: i64,
    /// Number of the checkpoint that stands for the place behind it.
    pub checkpoint: Option<u64>,
    /// Only to bring back a state: its effects were had before.
    pub muted: bool,
}

impl ScoreBatch {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.detections.is_empty() && self.points.is_empty() && self.minutes.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.detections.clear();
        self.points.clear();
        self.minutes.clear();
        self.received_us = 0;
        self.checkpoint = None;
        self.muted = false;
    }
}

/// What the board shows of one issue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiskRow {
    /// The latest score.
    pub point: RiskPoint,
    /// Highest trade price of the day, won.
    pub high: i64,
    /// Lowest trade price of the day, won.
    pub low: i64,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
    /// Loss within the rest of the session that is passed with a chance of 2.5 %, per cent of price.
    pub rest_of_day_var_pct: f64,
    /// Relative bid-ask spread, per cent of the mid price; 0 when not known.
    pub spread_pct: f64,
    /// Value traded today, won.
    pub cum_value: i64,
    /// The issue is halted, as far as is known.
    pub halted: bool,
}
