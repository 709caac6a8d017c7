//! A sudden fall of one issue.
//!
//! Three ladders:
//!
//! - *sudden* is what happens now, by the view that sees more: the *window* (1), a fall from the high
//!   of the last minute, and of the last five, both beyond a plain per cent and beyond k standard
//!   deviations of such a time for this issue; the deviation is the one known *before* the fall (closes of
//!   earlier days), or the fall would raise its own bar. And the *jump* (2), a fall within a bar of
//!   30 seconds against local volatility ([`super::jump`]);
//! - *slide* (3): a slow fall that no window shows ([`super::slide`]); not told where the sudden
//!   ladder has told as much and not receded;
//! - *deep* (4): the fall against the base price of the day. A move beyond the daily limit is no move:
//!   the base price is not this (a split, a re-opening, a first day), and is not told.
//!
//! At most one finding a trade, so that a trade is the cause of at most one event of this rule and
//! level; a view that has to wait speaks at the next trade.

use serde::{Deserialize, Serialize};

use super::jump::JumpView;
use super::slide::Slide;
use super::{Finding, Latch, beyond_limit, fall_pct, level, rung};
use crate::market::Won;
use crate::risk::estimators::Window;
use crate::risk::estimators::clock::SESSION_S;
use crate::risk::estimators::window::{LONG_S, SHORT_S};
use crate::risk::params::{JumpParams, RiskParams, SlideParams, SymbolCrashParams};

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolCrash {
    sudden: Latch,
    slide: Latch,
    deep: Latch,
}

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Event second.
    pub now: i64,
    /// Trade price, won.
    pub price: Won,
    /// Base price of the day, won; 0 when not known.
    pub base_price: Won,
    /// Highs of the last minutes, this trade included.
    pub window: &'a Window,
    /// Standard deviation of a session known before it, as a fraction.
    pub session_volatility: f64,
    /// Activity of the hour, mean 1.
    pub density: f64,
    /// The fall within the present bar, when it is large.
    pub jump: Option<JumpView>,
    /// The slide under way.
    pub slide: &'a Slide,
    /// Trades are missing in the window looked at.
    pub over_gap: bool,
    /// Beta to the market.
    pub beta: f64,
    /// Change of the market's index over five minutes, per cent.
    pub market_return_pct: f64,
}

/// Settings and thresholds of all views.
#[derive(Debug, Clone, Copy)]
pub struct Bars<'a> {
    /// Plain rules, hysteresis, cool-down.
    pub plain: &'a SymbolCrashParams,
    /// Jump.
    pub jump: &'a JumpParams,
    /// Slide.
    pub slide: &'a SlideParams,
    /// Standard deviations of each level of a jump.
    pub jump_thresholds: &'a [f64; 3],
    /// Statistic of each level of a slide.
    pub slide_thresholds: &'a [f64; 3],
}

impl<'a> Bars<'a> {
    /// Those of `params`, with the thresholds that follow from them.
    #[must_use]
    pub const fn new(params: &'a RiskParams, jump: &'a [f64; 3], slide: &'a [f64; 3]) -> Self {
        Self {
            plain: &params.symbol_crash,
            jump: &params.jump,
            slide: &params.slide,
            jump_thresholds: jump,
            slide_thresholds: slide,
        }
    }
}

struct View {
    reference: Won,
    fall: f64,
    window_s: u32,
    rung: u8,
    evidence: Vec<(&'static str, f64)>,
}

impl Inputs<'_> {
    /// Standard deviation of `window_s` seconds at this hour, per cent.
    fn sigma_pct(&self, window_s: u32) -> f64 {
        100.0 * self.session_volatility * (f64::from(window_s) * self.density / SESSION_S).sqrt()
    }

    fn window_rung(&self, high: Won, window_s: u32, ladder: &[f64; 3], k: &[f64; 3]) -> u8 {
        let fall = fall_pct(high, self.price);
        rung(fall, ladder).min(rung(fall / self.sigma_pct(window_s).max(1e-6), k))
    }

    fn window(&self, (high, window_s): (Won, u32), rung: u8) -> View {
        let fall = fall_pct(high, self.price);
        let sigma = self.sigma_pct(window_s);
        View {
            reference: high,
            fall,
            window_s,
            rung,
            evidence: vec![
                ("view", 1.0),
                ("sigmas", fall / sigma.max(1e-6)),
                ("window_sigma_pct", sigma),
            ],
        }
    }

    fn jump(&self, jump: &JumpView, rung: u8, bars: &Bars<'_>) -> View {
        let place = usize::from(rung.clamp(1, 3)) - 1;
        View {
            reference: jump.reference,
            fall: jump.fall_pct,
            window_s: jump.window_s,
            rung,
            evidence: vec![
                ("view", 2.0),
                ("jump_statistic", jump.statistic),
                ("jump_threshold", bars.jump_thresholds[place]),
                ("bar_sigma_pct", jump.sigma_pct),
                ("local_session_volatility_pct", jump.session_pct),
                ("false_alarms_a_day", bars.jump.false_alarms_a_day[place]),
            ],
        }
    }

    fn slide(&self, rung: u8, bars: &Bars<'_>) -> View {
        let place = usize::from(rung.clamp(1, 3)) - 1;
        let (reference, since) = self.slide.began();
        let seconds = (self.now - since).max(0);
        View {
            reference,
            fall: self.slide.fall_pct(self.price),
            window_s: u32::try_from(seconds).unwrap_or(u32::MAX),
            rung,
            evidence: vec![
                ("view", 3.0),
                ("slide_statistic", self.slide.statistic()),
                ("slide_threshold", bars.slide_thresholds[place]),
                ("slide_minutes", seconds as f64 / 60.0),
                ("false_alarms_a_day", bars.slide.run_length_days[place].recip()),
            ],
        }
    }

    /// The finding of a view, with what all of them tell.
    fn told(&self, view: View) -> Finding {
        let (short_high, long_high) = (self.window.short_high(), self.window.long_high());
        let mut evidence = view.evidence;
        evidence.extend([
            ("fall_60s_pct", fall_pct(short_high, self.price)),
            ("fall_300s_pct", fall_pct(long_high, self.price)),
            ("return_300s_pct", 100.0 * self.window.long_return()),
            ("fall_from_base_pct", fall_pct(self.base_price, self.price)),
            ("beta", self.beta),
            ("market_return_300s_pct", self.market_return_pct),
            ("over_gap", f64::from(u8::from(self.over_gap))),
        ]);
        Finding {
            level: level(view.rung),
            price: self.price,
            reference_price: view.reference,
            change_pct: -view.fall,
            window_s: view.window_s,
            evidence,
        }
    }
}

impl SymbolCrash {
    /// Looks at one trade.
    pub fn check(&mut self, bars: &Bars<'_>, inputs: &Inputs<'_>) -> Option<Finding> {
        self.check_sudden(bars, inputs)
            .or_else(|| self.check_slide(bars, inputs))
            .or_else(|| self.check_deep(bars.plain, inputs))
    }

    fn check_sudden(&mut self, bars: &Bars<'_>, inputs: &Inputs<'_>) -> Option<Finding> {
        let plain = bars.plain;
        let (short_high, long_high) = (inputs.window.short_high(), inputs.window.long_high());
        // The long high is at least the short one: one comparison settles the ordinary trade.
        let fall = fall_pct(long_high, inputs.price);
        let receded = fall < plain.rearm * plain.short_falls_pct[0];
        if fall < plain.short_falls_pct[0] && inputs.jump.is_none() {
            self.sudden.is_news(0, receded, inputs.now, plain.cooldown_s);
            return None;
        }
        let short = inputs.window_rung(short_high, SHORT_S, &plain.short_falls_pct, &plain.sigmas);
        let long = inputs.window_rung(long_high, LONG_S, &plain.long_falls_pct, &plain.sigmas);
        let jump = inputs.jump.map_or(0, |view| view.rung(bars.jump, bars.jump_thresholds));
        let most = short.max(long).max(jump);
        if !self.sudden.is_news(most, receded, inputs.now, plain.cooldown_s) {
            return None;
        }
        self.sudden.told(most, inputs.now);
        Some(inputs.told(match inputs.jump {
            _ if short == most => inputs.window((short_high, SHORT_S), short),
            Some(view) if long < most => inputs.jump(&view, jump, bars),
            _ => inputs.window((long_high, LONG_S), long),
        }))
    }

    fn check_slide(&mut self, bars: &Bars<'_>, inputs: &Inputs<'_>) -> Option<Finding> {
        let statistic = inputs.slide.statistic();
        let receded = statistic < bars.plain.rearm * bars.slide_thresholds[0];
        let rung = inputs.slide.rung(inputs.price, bars.slide, bars.slide_thresholds);
        let news = self.slide.is_news(rung, receded, inputs.now, bars.plain.cooldown_s);
        // What was told as sudden and has not receded is no news as a slide.
        if !news || rung <= self.sudden.level() {
            return None;
        }
        self.slide.told(rung, inputs.now);
        Some(inputs.told(inputs.slide(rung, bars)))
    }

    fn check_deep(&mut self, params: &SymbolCrashParams, inputs: &Inputs<'_>) -> Option<Finding> {
        let fall = fall_pct(inputs.base_price, inputs.price);
        if beyond_limit(-fall) {
            return None;
        }
        let rung = rung(fall, &params.base_falls_pct);
        let receded = fall < params.rearm * params.base_falls_pct[0];
        if !self.deep.is_news(rung, receded, inputs.now, params.cooldown_s) {
            return None;
        }
        self.deep.told(rung, inputs.now);
        Some(Finding {
            level: level(rung),
            price: inputs.price,
            reference_price: inputs.base_price,
            change_pct: -fall,
            window_s: 0,
            evidence: vec![
                ("view", 4.0),
                ("fall_from_base_pct", fall),
                ("rung_pct", params.base_falls_pct[usize::from(rung) - 1]),
                ("daily_sigmas", fall / (100.0 * inputs.session_volatility).max(1e-6)),
                ("beta", inputs.beta),
            ],
        })
    }
}

#[cfg(test)]
mod tests;
