//! The detectors that look at an issue once a second, and those of the exchange's rules.

use super::RiskEngine;
use super::tell::{Context, WHOLE_MARKET, trade_context};
use crate::market::{EventTime, Market, RecordRef, SymbolId, Trade, rules};
use crate::risk::detectors::feed_stale::stands_still;
use crate::risk::detectors::price_limit::LimitTrade;
use crate::risk::detectors::vi::ViTrade;
use crate::risk::detectors::{Finding, halt, liquidity, volatility, volume_surge};
use crate::risk::state::{Since, VolumeView};
use crate::risk::types::{Cause, Rule, ScoreBatch};

impl RiskEngine {
    /// The detectors that look at an issue once a second.
    #[allow(clippy::too_many_arguments, reason = "all of it was computed for the point just made")]
    pub(super) fn check_second(
        &mut self,
        symbol: SymbolId,
        trade: &Trade,
        now: i64,
        at: RecordRef,
        score: f64,
        volume: VolumeView,
        out: &mut ScoreBatch,
    ) {
        let estimators = &self.params.estimators;
        let state = &mut self.symbols[symbol.index()];
        let inputs = volatility::Inputs {
            now,
            price: trade.price,
            session_variance: state.variance.session_variance(),
            normal_variance: state.prior_session_variance(estimators),
            range_variance: state.range_session_variance(),
            returns: state.variance.returns(),
            sessions: state.prior.sessions,
            overnight_share: estimators.overnight_share,
        };
        let restless = state.volatility.check(&self.params.volatility, &inputs);
        let inputs = volume_surge::Inputs {
            now,
            price: trade.price,
            ratio: volume.ratio,
            rate: volume.rate,
            norm: volume.norm,
            recent_trades: volume.recent_trades,
            time_constant_s: self.decays.volume.time_constant_s(),
        };
        let surge = state.surge.check(&self.params.volume_surge, &inputs);
        let clock = trade.time.time_of_day();
        let inputs = liquidity::Inputs {
            now,
            price: trade.price,
            spread: state.norm.spread(state.density),
            depth: state.norm.depth(),
            basis: state.norm.basis(),
            volume_ratio: volume.ratio,
            market_fall_pct: self.market.fall_pct(),
            continuous: clock >= rules::OPEN && clock < rules::CLOSING_AUCTION,
        };
        let mut illiquid = state.liquidity.check(&self.params.liquidity, &inputs);
        if let Some(finding) = &mut illiquid {
            finding.evidence.extend(state.pressure());
        }
        let found =
            [(Rule::Volatility, restless), (Rule::VolumeSurge, surge), (Rule::Liquidity, illiquid)];
        for (rule, finding) in found {
            if let Some(finding) = finding {
                self.tell(trade_context(rule, trade, at, score), finding, out);
            }
        }
    }

    /// Price limit, interruption and halt, as a trade shows them.
    pub(super) fn check_rules(
        &mut self,
        trade: &Trade,
        since: &Since,
        at: RecordRef,
        out: &mut ScoreBatch,
    ) {
        let (now, day) = (trade.time.second(), trade.time.session_day());
        let market = self.symbols[trade.symbol.index()].market;
        self.market.halts.traded(market, now);
        let after_halt = since.after_halt || self.market.halts.recent(market, now);
        let state = &mut self.symbols[trade.symbol.index()];
        let price = trade.price;
        let limit = LimitTrade { day, now, market, price, base: state.base_price };
        let limit = state.limit.check(&self.params.price_limit, &limit);
        let vi = ViTrade {
            day,
            now,
            market,
            price,
            before: since.price,
            pause_s: since.pause_s,
            reference: trade.vi_reference,
            after_halt,
        };
        // Products have thresholds of their own that are not known.
        let vi = if state.is_share { state.vi.trade(&self.params.vi, &vi) } else { None };
        let halt = since.newly_halted.then(|| halt::of_issue(price, 0));
        for (rule, found) in [(Rule::PriceLimit, limit), (Rule::Vi, vi), (Rule::Halt, halt)] {
            if let Some(finding) = found {
                let score = self.last_score(trade.symbol);
                self.tell(trade_context(rule, trade, at, score), finding, out);
            }
        }
    }

    /// Interruption and halt, as a message of the exchange tells them of `symbol`.
    pub(super) fn check_operation(
        &mut self,
        symbol: SymbolId,
        time: EventTime,
        (code, halted, vi_active): (u16, bool, bool),
        at: RecordRef,
        out: &mut ScoreBatch,
    ) {
        let state = &mut self.symbols[symbol.index()];
        let (price, market) = (state.last_price, state.market);
        let vi = state.vi.tell(&self.params.vi, vi_active, price);
        let newly = halted && state.halt(time.second());
        let halt = newly.then(|| halt::of_issue(price, code));
        if newly {
            self.row_changed(symbol);
        }
        for (rule, found) in [(Rule::Vi, vi), (Rule::Halt, halt)] {
            if let Some(finding) = found {
                self.tell_issue(rule, symbol, time, at, finding, out);
            }
        }
        if let Some(finding) = self.market.halts.operation(market, code, time.second()) {
            if stands_still(code) {
                // The message comes for the issues registered for it; all of the board stand still.
                let board = self.symbols.iter().enumerate().filter(|(_, s)| s.market == market);
                board.for_each(|(index, _)| self.rhythm.pause(index, true));
            }
            let name = match market {
                Market::Kospi => "코스피",
                Market::Kosdaq => "코스닥",
                _ => WHOLE_MARKET,
            };
            let context = self.market_context(Rule::Halt, time, time, at);
            self.tell_as(context, name, finding, out);
        }
    }

    /// Tells what was found of an issue without a trade: its last trade is the cause.
    fn tell_issue(
        &self,
        rule: Rule,
        symbol: SymbolId,
        time: EventTime,
        at: RecordRef,
        finding: Finding,
        out: &mut ScoreBatch,
    ) {
        let cause = Cause::Trade { cum_volume: self.symbols[symbol.index()].cum_volume };
        let score = self.last_score(symbol);
        self.tell(Context { rule, symbol: Some(symbol), time, cause, at, score }, finding, out);
    }

    fn last_score(&self, symbol: SymbolId) -> f64 {
        self.symbols[symbol.index()].point.map_or(0.0, |point| point.score)
    }
}
