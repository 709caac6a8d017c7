//! The engine's answers to what is not a trade of an issue: quotes, index prints and marks.

use std::sync::Arc;

use super::tell::{Context, WHOLE_FEED, WHOLE_MARKET};
use super::{IssueCodes, RiskEngine};
use crate::market::{EventTime, IndexTick, Mark, Quote, RecordRef, SymbolId};
use crate::model::FittedModel;
use crate::risk::detectors::feed_stale::{CIRCUIT_BREAKER, stands_still};
use crate::risk::detectors::{Finding, feed_gap};
use crate::risk::market_state::{IndexState, MarketState};
use crate::risk::types::{Cause, Level, Rule, ScoreBatch};

impl RiskEngine {
    pub(super) fn quote<D: IssueCodes + ?Sized>(&mut self, quote: &Quote, directory: &D) {
        let index = quote.symbol.index();
        if index >= self.symbols.len() {
            self.meet(quote.symbol, directory);
        }
        self.feed.heard(false);
        self.rhythm.alive(index);
        // Auction books are no quotes one can trade at.
        if matches!(quote.phase, 0 | b'0') {
            let (state, second) = (&mut self.symbols[index], quote.time.second());
            state.spread.push(second, quote.ask, quote.bid, &self.decays.spread);
            state.spread.push_depth(quote.ask_depth, quote.bid_depth);
            let best = (quote.ask, quote.bid);
            state.note_liquidity(second, best, quote.bid_depth, &self.decays);
        }
    }

    pub(super) fn index<D: IssueCodes + ?Sized>(
        &mut self,
        tick: &IndexTick,
        at: RecordRef,
        directory: &D,
        out: &mut ScoreBatch,
    ) {
        self.begin_day_if_new(tick.time, at, out);
        self.feed.heard(false);
        if tick.level <= 0 {
            return;
        }
        let MarketState { indices, moments, .. } = &mut self.market;
        let place = match indices.iter().position(|index| index.symbol == tick.symbol) {
            Some(place) => place,
            None => {
                indices.push(IndexState::new(tick.symbol, directory.code(tick.symbol)));
                indices.len() - 1
            }
        };
        let index = &mut indices[place];
        let name = index.name();
        let Some(fall) = &mut index.fall else { return };
        let found = fall.check(&self.params.market_crash, tick, moments);
        self.market.note_index(place, tick);
        if let Some(mut finding) = found {
            let breadth = &self.market.breadth;
            finding.evidence.push(("median_change_pct", -breadth.last_median_fall_pct()));
            finding.evidence.push(("issues", f64::from(breadth.issues())));
            let context = self.market_context(Rule::MarketCrash, tick.time, tick.time, at);
            self.tell_as(context, name, finding, out);
        }
    }

    pub(super) fn mark<D: IssueCodes + ?Sized>(
        &mut self,
        mark: &Mark,
        at: RecordRef,
        directory: &D,
        out: &mut ScoreBatch,
    ) {
        match mark {
            Mark::Reference(symbol, reference) => {
                self.meet(*symbol, directory);
                self.take_reference(*symbol, reference);
            }
            Mark::Silence { time, silence_us } => {
                let found = self.feed.check(&self.params.feed_stale, *time, *silence_us);
                if let Some((began, finding)) = found {
                    let context = self.market_context(Rule::FeedStale, *time, began, at);
                    self.tell_as(context, WHOLE_FEED, finding, out);
                }
            }
            // The Normalizer refuses a switch whose document cannot be read.
            Mark::Model(switch) => {
                if let Ok(model) = FittedModel::read(switch) {
                    self.take_model(Arc::new(model));
                }
            }
            // What a lost connection does shows as silence and gaps, in event time.
            Mark::Connection { .. } => {}
            Mark::Mute { symbol, time } => self.mute(*symbol, *time, at, directory, out),
            Mark::Gap { symbol, from, to, missing_volume, cum_volume, cause } => {
                self.meet(*symbol, directory);
                let state = &mut self.symbols[symbol.index()];
                state.take_gap(*to);
                let gap = feed_gap::Gap {
                    from: *from,
                    to: *to,
                    missing_volume: *missing_volume,
                    cum_volume: *cum_volume,
                    cause: *cause,
                    price: state.last_price,
                };
                let context = Context {
                    rule: Rule::FeedGap,
                    symbol: Some(*symbol),
                    time: *to,
                    cause: Cause::Trade { cum_volume: *cum_volume },
                    at,
                    score: state.point.map_or(0.0, |point| point.score),
                };
                self.tell(context, feed_gap::finding(&self.params.feed_gap, &gap), out);
            }
            Mark::Operation { symbol, time, code, halted, vi_active } => {
                self.meet(*symbol, directory);
                self.feed.operation(*code);
                let paused = *halted || *vi_active || stands_still(*code);
                self.rhythm.pause(symbol.index(), paused);
                self.check_operation(*symbol, *time, (*code, *halted, *vi_active), at, out);
                if *code == CIRCUIT_BREAKER {
                    self.circuit_breaker(*time, at, out);
                }
            }
        }
    }

    /// The exchange's own count shows that an issue trades while its subscription brings nothing.
    fn mute<D: IssueCodes + ?Sized>(
        &mut self,
        symbol: SymbolId,
        time: EventTime,
        at: RecordRef,
        directory: &D,
        out: &mut ScoreBatch,
    ) {
        self.meet(symbol, directory);
        let state = &mut self.symbols[symbol.index()];
        state.take_gap(time);
        let silence_s = state.point.map_or(0, |point| time.second() - point.time.second()).max(0);
        let finding = Finding {
            level: Level::Warning,
            price: state.last_price,
            reference_price: 0,
            change_pct: 0.0,
            window_s: u32::try_from(silence_s).unwrap_or(u32::MAX),
            evidence: vec![("silence_s", silence_s as f64), ("mute", 1.0)],
        };
        let context = Context {
            rule: Rule::FeedStale,
            symbol: Some(symbol),
            time,
            cause: Cause::Trade { cum_volume: state.cum_volume },
            at,
            score: state.point.map_or(0.0, |point| point.score),
        };
        self.tell(context, finding, out);
    }

    /// The exchange halted the market: a fact, whatever the index prints that reached us say.
    fn circuit_breaker(&mut self, time: EventTime, at: RecordRef, out: &mut ScoreBatch) {
        let cooldown_s = self.params.market_crash.cooldown_s;
        if !self.market.is_new_breaker(time.second(), cooldown_s)
            || !self.market.moments.claim(time, Level::Critical)
        {
            return;
        }
        let finding = Finding {
            level: Level::Critical,
            price: 0,
            reference_price: 0,
            change_pct: -self.market.breadth.median_fall_pct(),
            window_s: 0,
            evidence: vec![
                ("operation_code", f64::from(CIRCUIT_BREAKER)),
                ("median_change_pct", -self.market.breadth.median_fall_pct()),
                ("issues", f64::from(self.market.breadth.issues())),
            ],
        };
        let context = self.market_context(Rule::MarketCrash, time, time, at);
        self.tell_as(context, WHOLE_MARKET, finding, out);
    }
}
