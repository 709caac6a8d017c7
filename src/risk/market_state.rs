//! What is remembered of the market as a whole.

use serde::{Deserialize, Serialize};

use super::detectors::breadth::Breadth;
use super::detectors::fall_pct;
use super::detectors::halt::MarketHalts;
use super::detectors::index_fall::{IndexFall, Moments};
use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{IndexLevel, IndexTick, Market, SessionDay, Symbol, SymbolId};

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
    /// KOSPI and KOSDAQ as last printed today.
    boards: [Board; 2],
    pub halts: MarketHalts,
    /// Event second at which a circuit breaker was last told.
    breaker: Option<i64>,
    score_sum_milli: i64,
    scored: i64,
}

/// The index of a board as last printed; zeros before the first print of the day.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Board {
    pub level: IndexLevel,
    pub previous_close: IndexLevel,
    /// Change over five minutes, per cent.
    pub return_pct: f64,
}

impl Board {
    /// Fall against the previous close, per cent.
    pub fn fall_pct(&self) -> f64 {
        fall_pct(self.previous_close, self.level)
    }

    /// Change against it, per cent; 0 before the first print.
    pub fn change_pct(&self) -> f64 {
        if self.previous_close <= 0 {
            return 0.0;
        }
        100.0 * (self.level as f64 / self.previous_close as f64 - 1.0)
    }
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

    /// The board it stands for, as a place in the list of boards.
    fn board(&self) -> Option<usize> {
        match self.code.as_str() {
            KOSPI_CODE => Some(0),
            KOSDAQ_CODE => Some(1),
            _ => None,
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
        (self.boards, self.halts) = (Default::default(), MarketHalts::default());
        (self.score_sum_milli, self.scored) = (0, 0);
        for index in &mut self.indices {
            index.fall = index.fall.as_ref().map(|_| IndexFall::default());
        }
        true
    }

    /// Remembers the newest print of the series at `place`.
    pub fn note_index(&mut self, place: usize, tick: &IndexTick) {
        let index = &self.indices[place];
        if let (Some(board), Some(fall)) = (index.board(), &index.fall)
            && fall.newest() == tick.time
        {
            let return_pct = fall.return_pct();
            let (level, previous_close) = (tick.level, tick.previous_close);
            self.boards[board] = Board { level, previous_close, return_pct };
        }
    }

    /// The index that an issue of `market` belongs to: KOSPI's where nothing else is known.
    pub const fn board(&self, market: Market) -> &Board {
        match market {
            Market::Kosdaq => &self.boards[1],
            _ => &self.boards[0],
        }
    }

    /// The board that has fallen most.
    pub fn worst(&self) -> &Board {
        let [kospi, kosdaq] = &self.boards;
        if kosdaq.fall_pct() > kospi.fall_pct() { kosdaq } else { kospi }
    }

    /// Fall of the market by whichever view says more, per cent.
    pub fn fall_pct(&self) -> f64 {
        self.worst().fall_pct().max(self.breadth.last_median_fall_pct())
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
