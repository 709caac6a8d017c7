//! What is remembered of the market as a whole.

use serde::{Deserialize, Serialize};

use super::detectors::breadth::Breadth;
use super::detectors::index_fall::{IndexFall, Moments};
use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{SessionDay, Symbol, SymbolId};

/// State of the market on one day.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct MarketState {
    pub day: Option<SessionDay>,
    /// Counts days begun: an issue's place in the breadth is valid only within one.
    pub epoch: u32,
    /// Last event second in which an issue traded.
    pub second: i64,
    pub breadth: Breadth,
    pub moments: Moments,
    pub indices: Vec<IndexState>,
    /// Event second at which a circuit breaker was last told.
    breaker: Option<i64>,
    score_sum_milli: i64,
    scored: i64,
}

/// One index series that was met; those that do not stand for a market are only remembered as such.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IndexState {
    pub symbol: SymbolId,
    code: Symbol,
    pub fall: Option<IndexFall>,
}

impl IndexState {
    pub fn new(symbol: SymbolId, code: Symbol) -> Self {
        let mut index = Self { symbol, code, fall: None };
        index.fall = (!index.name().is_empty()).then(IndexFall::default);
        index
    }

    /// Its name in Korean; empty for a series that stands for no market.
    pub fn name(&self) -> &'static str {
        match self.code.as_str() {
            KOSPI_CODE => "코스피",
            KOSDAQ_CODE => "코스닥",
            _ => "",
        }
    }
}

impl MarketState {
    /// Begins `day` if it is another one; true when it is.
    pub fn enter(&mut self, day: SessionDay) -> bool {
        if self.day == Some(day) {
            return false;
        }
        self.day = Some(day);
        self.epoch += 1;
        self.second = i64::MIN;
        self.breadth = Breadth::default();
        self.breaker = None;
        (self.score_sum_milli, self.scored) = (0, 0);
        for index in &mut self.indices {
            index.fall = index.fall.as_ref().map(|_| IndexFall::default());
        }
        true
    }

    /// Whether a circuit breaker at event second `now` is news: the feed tells it once an issue.
    pub fn is_new_breaker(&mut self, now: i64, cooldown_s: i64) -> bool {
        let news = self.breaker.is_none_or(|told| now - told >= cooldown_s);
        if news {
            self.breaker = Some(now);
        }
        news
    }

    /// Replaces an issue's contribution to the mean score; `before` is `None` for its first today.
    /// Whole thousandths, so that the sum does not drift.
    pub fn replace_score(&mut self, before: Option<i64>, after: i64) {
        self.scored += i64::from(before.is_none());
        self.score_sum_milli += after - before.unwrap_or(0);
    }

    /// Mean score of the issues scored today; 0 when there is none.
    pub fn mean_score(&self) -> f64 {
        self.score_sum_milli as f64 / 1_000.0 / self.scored.max(1) as f64
    }
}
