//! The risk engine: one entry of the stream in, scores and detections out.
//!
//! [`RiskEngine::apply`] processes one entry of a batch's sequence; the caller loops, so that it
//! knows which entry failed if one does. Results depend on the sequence of entries alone: not on where
//! batches were cut, not on a clock, not on what else the directory has learned meanwhile (it is
//! asked for codes only; names and reference levels come in the stream as `Mark::Reference`).
//!
//! - A trade of an issue gives a [`RiskPoint`] when its event second is later than that of the
//!   issue's last one: at most one a second. Its board row is then changed.
//! - A [`RiskMinute`] is told when a trade of another minute arrives for the issue, and by
//!   [`RiskEngine::finish`].
//! - Expected and late trades, and prices that are not above zero, are signs of life and no more.
//! - A session day is what the trade's time says. Another day than the issue's present one, earlier
//!   or later, resets its intraday state and keeps the slow estimates.
//!
//! Cost: a trade touches the one compact state of its issue, its beat in the rhythm, and the
//! breadth; it allocates nothing unless it shows an issue for the first time or fires a detector.
//! A trade that gives a point takes more than twice as long as one that does not: with every
//! detector, a fitted model and an index, below 0.5 µs against below 0.25 µs
//! (`cargo bench --bench hot_path -- score`, docs/performance.md). Every tenth second
//! in which anything traded, the rhythm of all issues is scanned: some microseconds for thousands.
//! At the first trade of a session every issue is forecast.
//!
//! `Clone` is the snapshot; serialised, it is the state without the settings.

mod ahead;
mod drift;
mod facts;
mod seconds;
mod tell;

pub(super) use ahead::market_terms;
use serde::{Deserialize, Serialize};

use std::sync::Arc;

use self::drift::Drift;
use self::tell::{WHOLE_MARKET, trade_context};
use super::decays::Decays;
use super::detectors::beyond_limit;
use super::detectors::breadth::Step;
use super::detectors::feed_stale::{FeedSilence, Rhythm, SilentIssue};
use super::detectors::index_fall::to_breakers;
use super::detectors::symbol_crash;
use super::flow::Thresholds;
use super::market_state::MarketState;
use super::params::RiskParams;
use super::state::{SymbolState, Taking};
use super::types::{RiskMinute, RiskPoint, RiskRow, Rule, ScoreBatch};
use crate::market::{
    BatchSequence, Directory, EventTime, RecordRef, Reference, Symbol, SymbolId, TickBatch, Trade,
    TradeFlags,
};
use crate::model::FittedModel;
use crate::model::features::Breadth;

/// Where the engine learns the code of an issue it meets for the first time.
pub trait IssueCodes {
    /// The code of `symbol`; every id that occurs in a batch, and every smaller one, has one.
    fn code(&self, symbol: SymbolId) -> Symbol;
}

impl IssueCodes for Directory {
    fn code(&self, symbol: SymbolId) -> Symbol {
        self.symbol(symbol)
    }
}

impl IssueCodes for [Symbol] {
    fn code(&self, symbol: SymbolId) -> Symbol {
        self[symbol.index()]
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RiskEngine {
    /// Settings are no state: see [`RiskEngine::under`].
    #[serde(skip)]
    params: RiskParams,
    #[serde(skip)]
    decays: Decays,
    #[serde(skip)]
    thresholds: Thresholds,
    symbols: Vec<SymbolState>,
    references: Vec<Option<Arc<Reference>>>,
    rhythm: Rhythm,
    market: MarketState,
    feed: FeedSilence,
    /// The fitted model in use; `None`: the stated one alone.
    #[serde(default)]
    model: Option<Arc<FittedModel>>,
    /// Breadth of the watched issues in the sessions before today.
    breadth_before: Option<Breadth>,
    drift: Drift,
    changed: Vec<SymbolId>,
    #[serde(skip)]
    silent: Vec<SilentIssue>,
    /// The forecasts are others than when they were last counted.
    #[serde(skip)]
    uncounted: bool,
}

impl RiskEngine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(params: RiskParams) -> Self {
        Self {
            decays: Decays::new(&params),
            thresholds: Thresholds::new(&params),
            params,
            symbols: Vec::new(),
            references: Vec::new(),
            rhythm: Rhythm::default(),
            market: MarketState::default(),
            feed: FeedSilence::default(),
            model: None,
            breadth_before: None,
            drift: Drift::default(),
            changed: Vec::new(),
            silent: Vec::new(),
            uncounted: false,
        }
    }

    /// The same state, going on under `params`: for a state that comes back from a file, which does
    /// not hold them.
    #[must_use]
    pub fn under(self, params: RiskParams) -> Self {
        let (decays, thresholds) = (Decays::new(&params), Thresholds::new(&params));
        let uncounted = self.market.day.is_some();
        Self { decays, thresholds, params, uncounted, ..self }
    }

    /// Processes entry `index` of the batch's sequence and appends what it gives to `out`
    /// (`received_us` is left to the caller). Panics when there is no such entry.
    pub fn apply<D: IssueCodes + ?Sized>(
        &mut self,
        batch: &TickBatch,
        index: usize,
        directory: &D,
        out: &mut ScoreBatch,
    ) {
        let (entry, at) = batch.sequence[index];
        match entry {
            BatchSequence::Trade(row) => {
                self.trade(&batch.trades.row(row as usize), at, directory, out);
            }
            BatchSequence::Quote(row) => {
                self.quote(&batch.quotes.row(row as usize), directory);
            }
            BatchSequence::Index(row) => {
                self.index(&batch.indices.row(row as usize), at, directory, out);
            }
            BatchSequence::Mark(row) => {
                self.mark(&batch.marks[row as usize], at, directory, out);
            }
        }
    }

    /// Tells the unfinished minutes, in id order. They stay open: when more trades follow, the same
    /// minutes are told again with their later score.
    pub fn finish(&mut self, out: &mut ScoreBatch) {
        for state in self.symbols.iter().filter(|state| state.minute_open) {
            out.minutes.extend(state.point.map(minute_of));
        }
    }

    /// Rows of the issues scored since the last call, each once, in the order of their first score
    /// since then. A row that is not taken from the iterator comes
    /// again with the issue's next score.
    pub fn changed_rows(&mut self) -> impl Iterator<Item = RiskRow> + '_ {
        let Self { symbols, changed, .. } = self;
        // At once, so that a row that is not taken comes again with its next score.
        for symbol in changed.iter() {
            symbols[symbol.index()].changed = false;
        }
        changed.drain(..).filter_map(|symbol| symbols[symbol.index()].row())
    }

    /// Rows of all scored issues, in id order: for a board that starts from a snapshot.
    pub fn rows(&self) -> impl Iterator<Item = RiskRow> + '_ {
        self.symbols.iter().filter_map(SymbolState::row)
    }

    /// Whether KOSPI and KOSDAQ stand still.
    #[must_use]
    pub const fn standing_still(&self) -> [bool; 2] {
        self.market.halts.standing()
    }

    /// Mean score of the issues scored today, 0 to 100.
    #[must_use]
    pub fn mean_score(&self) -> f64 {
        self.market.mean_score()
    }

    /// The fitted model in use; `None`: the stated one alone.
    #[must_use]
    pub const fn model(&self) -> Option<&Arc<FittedModel>> {
        self.model.as_ref()
    }

    /// How many issues the model has a forecast of, and how many there are, told of or traded;
    /// `None` when that is as it was at the last call.
    pub fn new_forecasts(&mut self) -> Option<(usize, usize)> {
        std::mem::take(&mut self.uncounted).then(|| {
            let known = self.symbols.iter().zip(&self.references);
            let issues = known.filter(|(state, known)| known.is_some() || state.day.is_some());
            issues.fold((0, 0), |(made, all), (state, _)| {
                (made + usize::from(state.outlook.is_some()), all + 1)
            })
        })
    }

    /// The settings.
    #[must_use]
    pub const fn params(&self) -> &RiskParams {
        &self.params
    }

    /// Makes room for `symbol` and every id below it.
    fn meet<D: IssueCodes + ?Sized>(&mut self, symbol: SymbolId, directory: &D) {
        while self.symbols.len() <= symbol.index() {
            let code = directory.code(SymbolId(self.symbols.len() as u32));
            self.symbols.push(SymbolState::new(code, &self.params.estimators));
            self.references.push(None);
        }
        self.rhythm.grow(self.symbols.len());
    }

    fn begin_day_if_new(&mut self, time: EventTime, at: RecordRef, out: &mut ScoreBatch) {
        let last = self.market.day;
        if self.market.enter(time.session_day()) {
            self.rhythm.begin_day();
            self.feed.begin_day();
            self.look_ahead(last, (time, at), out);
        }
    }

    fn trade<D: IssueCodes + ?Sized>(
        &mut self,
        trade: &Trade,
        at: RecordRef,
        directory: &D,
        out: &mut ScoreBatch,
    ) {
        let (symbol, index) = (trade.symbol, trade.symbol.index());
        if index >= self.symbols.len() {
            self.meet(symbol, directory);
        }
        let unscored = trade.flags.0 & (TradeFlags::EXPECTED | TradeFlags::LATE) != 0;
        if unscored || trade.price <= 0 {
            self.feed.heard(!trade.flags.has(TradeFlags::EXPECTED));
            self.rhythm.alive(index);
            return;
        }
        self.begin_day_if_new(trade.time, at, out);
        self.feed.heard(true);
        let second = trade.time.second();
        let later = second > self.market.second;
        let scan = later && self.rhythm.tick();
        self.market.second = self.market.second.max(second);
        self.rhythm.traded(index);

        let state = &mut self.symbols[index];
        if state.day != Some(trade.time.session_day()) {
            let known = self.references[index].as_deref();
            state.begin_day(trade.time, known, &self.params.estimators);
        }
        let taking = Taking {
            params: &self.params,
            decays: &self.decays,
            thresholds: &self.thresholds,
            index: self.market.board(state.market).level as f64,
        };
        let since = state.take_trade(trade, second, &taking);
        self.place_in_breadth(index);
        self.check_crash(symbol, trade, second, at, out);
        self.check_rules(trade, &since, at, out);
        if second > self.symbols[index].scored_second {
            self.score_issue(symbol, trade, second, at, out);
        }
        if later {
            self.check_breadth(trade.time, at, out);
        }
        if scan {
            self.check_rhythm(trade, at, out);
        }
    }

    fn place_in_breadth(&mut self, index: usize) {
        let state = &mut self.symbols[index];
        if state.epoch != self.market.epoch {
            state.epoch = self.market.epoch;
            state.step = None;
            state.score_milli = -1;
        }
        let change = state.change_pct();
        // A base price that is not this issue's says nothing of the market.
        if state.is_share && state.base_price > 0 && !beyond_limit(change) {
            let step = Step::of(change);
            self.market.breadth.place(state.step, step);
            state.step = Some(step);
        }
    }

    fn check_crash(
        &mut self,
        symbol: SymbolId,
        trade: &Trade,
        now: i64,
        at: RecordRef,
        out: &mut ScoreBatch,
    ) {
        let state = &mut self.symbols[symbol.index()];
        let inputs = symbol_crash::Inputs {
            now,
            price: trade.price,
            base_price: state.base_price,
            window: &state.window,
            session_volatility: state.session_volatility,
            density: state.density,
            jump: state.flow.jump(trade.price),
            slide: &state.flow.slide,
            over_gap: state.over_gap(now),
            beta: state.flow.beta.value(),
            market_return_pct: self.market.board(state.market).return_pct,
        };
        let Thresholds { jump, slide, .. } = &self.thresholds;
        let bars = symbol_crash::Bars::new(&self.params, jump, slide);
        let found = state.crash.check(&bars, &inputs);
        if let Some(mut finding) = found {
            finding.evidence.extend(state.pressure());
            let ratio = state.volume_view(&self.params.estimators, &self.decays).ratio;
            let (score, _) = state.score(&self.params, ratio);
            self.tell(trade_context(Rule::SymbolCrash, trade, at, score), finding, out);
        }
    }

    fn score_issue(
        &mut self,
        symbol: SymbolId,
        trade: &Trade,
        second: i64,
        at: RecordRef,
        out: &mut ScoreBatch,
    ) {
        let state = &mut self.symbols[symbol.index()];
        let volume = state.volume_view(&self.params.estimators, &self.decays);
        let scored = state.score(&self.params, volume.ratio);
        let mut point = state.make_point(symbol, trade.time, at, scored);
        point.model = self.model.as_ref().map(|model| model.id);
        if let Some(before) = state.point
            && state.minute_open
            && before.time.minute() != point.time.minute()
        {
            out.minutes.push(minute_of(before));
        }
        state.point = Some(point);
        state.minute_open = true;
        state.scored_second = second;
        out.points.push(point);
        let milli = (scored.0 * 1_000.0).round() as i64;
        let before = (state.score_milli >= 0).then_some(state.score_milli);
        state.score_milli = milli;
        self.market.replace_score(before, milli);
        self.row_changed(symbol);
        self.check_second(symbol, trade, second, at, scored.0, volume, out);
    }

    /// The board's row of `symbol` is out of date.
    fn row_changed(&mut self, symbol: SymbolId) {
        if !std::mem::replace(&mut self.symbols[symbol.index()].changed, true) {
            self.changed.push(symbol);
        }
    }

    fn check_breadth(&mut self, time: EventTime, at: RecordRef, out: &mut ScoreBatch) {
        let MarketState { breadth, moments, .. } = &mut self.market;
        if let Some(mut finding) = breadth.check(&self.params.market_crash, time, moments) {
            let worst = self.market.worst();
            finding.evidence.push(("index_change_pct", worst.change_pct()));
            finding.evidence.extend(to_breakers(worst.level, worst.previous_close));
            let context = self.market_context(Rule::MarketCrash, time, time, at);
            self.tell_as(context, WHOLE_MARKET, finding, out);
        }
    }
}

const fn minute_of(point: RiskPoint) -> RiskMinute {
    RiskMinute { minute: point.time.minute_start(), point }
}
