//! What is remembered of one issue.
//!
//! One compact struct an issue, not an array a field: a trade touches most of the fields of one
//! issue and nothing of the others, so an array a field would cost a cache miss for each, growing
//! with the number of issues; this way a trade touches a dozen adjacent lines, whether forty or four
//! thousand issues are watched. Only what is scanned across issues (`Rhythm`) and what
//! is rarely needed (names) lies apart.

mod since;

use serde::{Deserialize, Serialize};

pub(super) use self::since::Since;

use super::decays::Decays;
use super::detectors::breadth::Step;
use super::detectors::liquidity::Liquidity;
use super::detectors::price_limit::PriceLimit;
use super::detectors::symbol_crash::SymbolCrash;
use super::detectors::vi::Vi;
use super::detectors::volatility::Volatility;
use super::detectors::volume_surge::VolumeSurge;
use super::estimators::window::LONG_S;
use super::estimators::{
    DayRange, Drawdown, EwmaVariance, LiquidityNorm, OrderFlow, Prior, Spread, VolumeRate, Window,
    clock, spread,
};
use super::flow::{self, Flow, Thresholds};
use super::outlook::Outlook;
use super::params::{EstimatorParams, RiskParams};
use super::score::{self, ScoreInput};
use super::types::{RiskPoint, RiskRow, ScoreParts};
use crate::market::{
    EventTime, Market, RecordRef, Reference, SessionDay, Symbol, SymbolId, Trade, TradeFlags, Won,
    rules,
};

/// Spread beyond which the mid says less than the trade price, fraction.
const WIDE_SPREAD: f64 = 0.05;
/// Share of a session before which the previous volume at this time says little.
const EARLY_SHARE: f64 = 0.02;

/// State of one issue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SymbolState {
    pub code: Symbol,
    /// Day of the intraday state; `None` before the first trade.
    pub day: Option<SessionDay>,
    pub last_price: Won,
    pub base_price: Won,
    pub cum_volume: i64,
    pub cum_value: Won,
    /// Event second of the last score of the day.
    pub scored_second: i64,
    /// Time of the first trade after the last gap, seconds.
    gap_second: i64,
    first_elapsed: f64,
    pub density: f64,
    pub(super) elapsed: f64,
    previous_volume_at_time: i64,
    pub window: Window,
    pub(super) range: DayRange,
    drawdown: Drawdown,
    pub variance: EwmaVariance,
    volume: VolumeRate,
    pub spread: Spread,
    #[serde(default)]
    order_flow: OrderFlow,
    pub prior: Prior,
    pub crash: SymbolCrash,
    pub volatility: Volatility,
    pub surge: VolumeSurge,
    pub market: Market,
    pub flow: Flow,
    pub norm: LiquidityNorm,
    pub liquidity: Liquidity,
    pub vi: Vi,
    pub limit: PriceLimit,
    /// Event second of the last trade of the day.
    last_second: i64,
    /// The issue is halted, as far as is known; and when it last was.
    halted: bool,
    halted_second: i64,
    /// What comes next does not continue what was.
    broken: bool,
    /// What the daily model says of today.
    pub(super) outlook: Option<Outlook>,
    /// All sessions before this day are in the history; `None` while that is not known.
    pub(super) history_until: Option<SessionDay>,
    /// Forecast of the last score, fraction.
    daily_volatility: f64,
    /// Value at risk of the rest of the session at the last score, per cent of price.
    rest_of_day_var_pct: f64,
    /// The first trade that was seen today was not the first of the day.
    pub(super) seen_late: bool,
    /// Normal standard deviation of a session, fraction.
    pub session_volatility: f64,
    /// Place in the market's breadth, and the market epoch it belongs to.
    pub step: Option<Step>,
    pub epoch: u32,
    /// Contribution to the market's mean score, thousandths; 0 when none in `epoch`.
    pub score_milli: i64,
    /// Whether it counts for breadth: shares do, other products do not.
    pub is_share: bool,
    previous_close: Won,
    previous_volume: i64,
    /// The latest score; its minute is not told yet when `minute_open`.
    pub point: Option<RiskPoint>,
    pub minute_open: bool,
    /// On the list of changed rows.
    pub changed: bool,
}

/// Volume now and as it ought to be, shares a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct VolumeView {
    pub rate: f64,
    pub norm: f64,
    pub ratio: f64,
    pub recent_trades: f64,
}

/// What is needed to take in a trade.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking<'a> {
    pub params: &'a RiskParams,
    pub decays: &'a Decays,
    pub thresholds: &'a Thresholds,
    /// Level of the index; 0 when not known.
    pub index: f64,
}

impl SymbolState {
    pub fn new(code: Symbol, params: &EstimatorParams) -> Self {
        Self {
            code,
            day: None,
            last_price: 0,
            base_price: 0,
            cum_volume: 0,
            cum_value: 0,
            scored_second: i64::MIN,
            gap_second: i64::MIN,
            first_elapsed: 0.0,
            density: 1.0,
            elapsed: 0.0,
            previous_volume_at_time: 0,
            window: Window::default(),
            range: DayRange::default(),
            drawdown: Drawdown::default(),
            variance: EwmaVariance::starting_at(0.0),
            volume: VolumeRate::default(),
            spread: Spread::default(),
            order_flow: OrderFlow::default(),
            prior: Prior::unknown(params.default_daily_vol_pct / 100.0),
            crash: SymbolCrash::default(),
            volatility: Volatility::default(),
            surge: VolumeSurge::default(),
            market: Market::Unknown,
            flow: Flow::default(),
            norm: LiquidityNorm::default(),
            liquidity: Liquidity::default(),
            vi: Vi::default(),
            limit: PriceLimit::default(),
            last_second: i64::MIN,
            halted: false,
            halted_second: i64::MIN,
            broken: false,
            outlook: None,
            history_until: None,
            daily_volatility: 0.0,
            rest_of_day_var_pct: 0.0,
            seen_late: false,
            session_volatility: 0.0,
            step: None,
            epoch: 0,
            score_milli: 0,
            is_share: true,
            previous_close: 0,
            previous_volume: 0,
            point: None,
            minute_open: false,
            changed: false,
        }
    }

    /// Takes in what is known of the issue. What was known when a day began stands for the day, so
    /// of the estimates only those are taken that are missing; the rest waits for
    /// [`Self::begin_day`].
    pub fn take_reference(&mut self, reference: &Reference, params: &EstimatorParams) {
        self.is_share = reference.market != Market::Other;
        if reference.market != Market::Unknown {
            self.market = reference.market;
        }
        if self.previous_volume == 0 {
            self.previous_volume = reference.previous_volume.unwrap_or(0);
        }
        if self.prior.sessions == 0 && self.take_closes(reference, params) {
            self.session_volatility = self.prior_session_variance(params).sqrt();
        }
    }

    /// The normal variance by the closes of `reference`; false when they say nothing.
    fn take_closes(&mut self, reference: &Reference, params: &EstimatorParams) -> bool {
        let tells = reference.closes.len() > 1;
        if tells {
            let default = params.default_daily_vol_pct / 100.0;
            self.prior = Prior::from_closes(&reference.closes, default, params.shrink_sessions);
        }
        tells
    }

    /// Ends the day there was, keeps what outlives it, and begins another: with what `known` tells
    /// of it, else with what the day before left.
    pub fn begin_day(
        &mut self,
        time: EventTime,
        known: Option<&Reference>,
        params: &EstimatorParams,
    ) {
        let day = time.session_day();
        // One that does not say its day was told of the first that comes.
        let is_first = self.day.is_none();
        let told = known.filter(|known| known.day.map_or(is_first, |about| about == day));
        if !is_first {
            self.prior.fold(self.previous_close, self.last_price, params.shrink_sessions);
            self.previous_volume = self.cum_volume;
            self.previous_close = self.last_price;
        }
        if let Some(known) = known {
            self.take_closes(known, params);
        }
        if let Some(volume) = told.and_then(|told| told.previous_volume) {
            self.previous_volume = volume;
        }
        let base = |known: Option<&Reference>| {
            known.and_then(|known| known.base_price).filter(|base| *base > 0)
        };
        let before = Some(self.previous_close).filter(|close| *close > 0);
        self.base_price = base(told).or(before).or(base(known)).unwrap_or(0);
        self.day = Some(day);
        self.first_elapsed = clock::elapsed(time.time_of_day());
        self.scored_second = i64::MIN;
        self.previous_volume_at_time = 0;
        self.window = Window::default();
        self.range = DayRange::default();
        self.drawdown = Drawdown::default();
        self.variance = EwmaVariance::starting_at(self.prior_session_variance(params));
        self.session_volatility = self.prior_session_variance(params).sqrt();
        self.volume = VolumeRate::default();
        self.spread = Spread::default();
        self.order_flow = OrderFlow::default();
        self.crash = SymbolCrash::default();
        self.volatility = Volatility::default();
        self.surge = VolumeSurge::default();
        self.flow.begin_day(self.prior_session_variance(params));
        self.norm = LiquidityNorm::default();
        self.liquidity = Liquidity::default();
        self.vi = Vi::default();
        self.limit = PriceLimit::default();
        (self.last_second, self.halted_second) = (i64::MIN, i64::MIN);
        (self.halted, self.broken) = (false, false);
    }

    /// Takes in a trade of the present day with a price above zero.
    pub fn take_trade(&mut self, trade: &Trade, second: i64, taking: &Taking<'_>) -> Since {
        let decays = taking.decays;
        let since = self.since(trade, second);
        let now = trade.time.time_of_day();
        self.density = clock::density(now);
        self.elapsed = clock::elapsed(now);
        self.last_price = trade.price;
        self.cum_volume = trade.cum_volume;
        self.cum_value = trade.cum_value;
        self.previous_volume_at_time = trade.previous_volume_at_time;
        if trade.base_price > 0 {
            self.base_price = trade.base_price;
        }
        if trade.flags.has(TradeFlags::AFTER_GAP) {
            (self.gap_second, self.broken) = (second, true);
        }
        self.window.push(second, trade.price);
        if self.range.first() == 0 {
            // The opening print brings the first volume of the day, all of it.
            self.seen_late = trade.cum_volume > trade.quantity;
        }
        self.range.push(trade.price);
        self.drawdown.push(trade.price);
        self.spread.push(second, trade.ask, trade.bid, &decays.spread);
        self.spread.push_depth(trade.ask_depth, trade.bid_depth);
        self.note_liquidity(second, (trade.ask, trade.bid), trade.bid_depth, decays);
        let price = trade.price as f64;
        let sample = match spread::mid(trade.ask, trade.bid) {
            Some(mid) if (trade.ask - trade.bid) as f64 <= WIDE_SPREAD * mid => mid,
            _ => price,
        };
        let cap = taking.params.estimators.return_cap_sigmas;
        self.variance.push(second, sample, self.density, &decays.variance, cap);
        self.volume.push(second, trade.quantity, &decays.volume, &decays.own_volume);
        self.order_flow.push(second, trade.side, trade.quantity, &decays.volume);
        let step = flow::Step {
            second,
            sample,
            density: self.density,
            broken: std::mem::take(&mut self.broken),
            normal: self.session_volatility * self.session_volatility,
            index: taking.index,
            tick: rules::tick_size(trade.time.session_day(), self.market, trade.price),
        };
        self.flow.take(&step, taking.params, taking.thresholds);
        since
    }

    /// Trades are missing before the one at `to`.
    pub fn take_gap(&mut self, to: EventTime) {
        (self.gap_second, self.broken) = (to.second(), true);
    }

    /// Whether trades are missing within the long window at `second`.
    pub fn over_gap(&self, second: i64) -> bool {
        (0..=i64::from(LONG_S)).contains(&second.saturating_sub(self.gap_second))
    }

    /// Normal variance of a session, fraction².
    pub fn prior_session_variance(&self, params: &EstimatorParams) -> f64 {
        self.normal_daily_variance() * (1.0 - params.overnight_share)
    }

    /// Variance of a session by the range of today, fraction².
    pub fn range_session_variance(&self) -> f64 {
        self.range.session_variance(self.elapsed - self.first_elapsed)
    }

    /// Weight of what was seen of today, 0 to 1.
    pub(super) fn weight_of_today(&self, params: &EstimatorParams) -> f64 {
        let seen = (self.elapsed - self.first_elapsed).max(0.0);
        seen / (seen + params.blend_share)
    }

    /// Variance of a session by what was seen of today, fraction².
    pub(super) fn seen_session_variance(&self) -> f64 {
        (self.variance.session_variance() + self.range_session_variance()) / 2.0
    }

    /// Forecast variance of a day, close to close, fraction²: the past, and today with the weight
    /// of what was seen of it.
    pub fn daily_variance(&self, params: &EstimatorParams) -> f64 {
        let weight = self.weight_of_today(params);
        let today = self.seen_session_variance() / (1.0 - params.overnight_share);
        (1.0 - weight) * self.normal_daily_variance() + weight * today
    }

    /// Change against the base price, per cent; 0 when that is not known.
    pub fn change_pct(&self) -> f64 {
        if self.base_price <= 0 {
            return 0.0;
        }
        100.0 * self.last_price.saturating_sub(self.base_price) as f64 / self.base_price as f64
    }

    /// Who presses: the flow of orders (−1 all sold, +1 all bought) and the waiting ones (+1 nobody
    /// bids), as evidence.
    pub fn pressure(&self) -> [(&'static str, f64); 2] {
        [("order_flow", self.order_flow.imbalance()), ("book_balance", self.spread.balance())]
    }

    pub fn volume_view(&self, params: &EstimatorParams, decays: &Decays) -> VolumeView {
        let day = if self.previous_volume_at_time > 0 && self.elapsed >= EARLY_SHARE {
            Some(self.previous_volume_at_time as f64 / self.elapsed)
        } else {
            (self.previous_volume > 0).then_some(self.previous_volume as f64)
        };
        let norm = match day {
            Some(shares) => Some(shares * self.density / clock::SESSION_S),
            None => self.volume.slow(&decays.own_volume),
        };
        let rate = self.volume.fast();
        let noise = params.noise_turnover_per_s / self.last_price.max(1) as f64;
        let ratio = norm.map_or(1.0, |norm| (rate + noise) / (norm + noise));
        let recent_trades = self.volume.recent_trades();
        VolumeView { rate, norm: norm.unwrap_or(0.0), ratio, recent_trades }
    }

    /// The score as of the last trade.
    pub fn score(&mut self, params: &RiskParams, volume_ratio: f64) -> (f64, ScoreParts) {
        let estimators = &params.estimators;
        let high = self.window.long_high();
        let window_share = f64::from(LONG_S) * self.density / clock::SESSION_S;
        self.daily_volatility = self.daily_variance(estimators).sqrt();
        let input = ScoreInput {
            daily_volatility: self.daily_volatility,
            tail: self.tail().1,
            day_fall: self.drawdown.current(),
            window_fall: 1.0 - (self.last_price as f64 / high.max(1) as f64).min(1.0),
            window_volatility: self.session_volatility * window_share.sqrt(),
            spread: self.spread.value(),
            balance: self.spread.balance(),
            volume_ratio,
        };
        self.rest_of_day_var_pct = self.rest_of_day_var(estimators);
        let parts = score::parts(&input, &params.score);
        (score::score(&parts), parts)
    }

    /// The score as a point.
    pub fn make_point(
        &self,
        symbol: SymbolId,
        time: EventTime,
        at: RecordRef,
        (score, parts): (f64, ScoreParts),
    ) -> RiskPoint {
        RiskPoint {
            symbol,
            code: self.code,
            time,
            price: self.last_price,
            score,
            parts,
            change_pct: self.change_pct(),
            over_gap: self.over_gap(time.second()),
            cum_volume: self.cum_volume,
            at,
            model: None,
        }
    }

    /// The row of the board; `None` before the first score.
    pub fn row(&self) -> Option<RiskRow> {
        Some(RiskRow {
            point: self.point?,
            high: self.range.high(),
            low: self.range.low(),
            daily_volatility_pct: 100.0 * self.daily_volatility,
            rest_of_day_var_pct: self.rest_of_day_var_pct,
            spread_pct: 100.0 * self.spread.value(),
            cum_value: self.cum_value,
            halted: self.halted,
        })
    }
}
