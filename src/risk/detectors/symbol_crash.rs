//! A sudden fall of one issue.
//!
//! Two views, each with a ladder of its own:
//!
//! - *sudden*: the fall from the high of the last minute and of the last five minutes, both beyond
//!   a plain per cent and beyond k standard deviations of such a time for this issue. The
//!   deviation is the one known *before* the fall (closes of earlier days), or the fall would raise
//!   its own bar.
//! - *deep*: the fall against the base price of the day.
//!
//! At most one finding a trade, so that a trade is the cause of at most one event of this rule and
//! level; a view that has to wait speaks at the next trade.

use serde::{Deserialize, Serialize};

use super::{Finding, Latch, fall_pct, level, rung};
use crate::market::Won;
use crate::risk::estimators::Window;
use crate::risk::estimators::clock::SESSION_S;
use crate::risk::estimators::window::{LONG_S, SHORT_S};
use crate::risk::params::SymbolCrashParams;

/// See the module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolCrash {
    sudden: Latch,
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
}

struct View {
    high: Won,
    fall: f64,
    sigmas: f64,
    window_s: u32,
    rung: u8,
}

impl Inputs<'_> {
    /// Standard deviation of `window_s` seconds at this hour, per cent.
    fn sigma_pct(&self, window_s: u32) -> f64 {
        100.0 * self.session_volatility * (f64::from(window_s) * self.density / SESSION_S).sqrt()
    }

    fn view(&self, high: Won, window_s: u32, ladder: &[f64; 3], k: &[f64; 3]) -> View {
        let fall = fall_pct(high, self.price);
        let sigmas = fall / self.sigma_pct(window_s).max(1e-6);
        let rung = rung(fall, ladder).min(rung(sigmas, k));
        View { high, fall, sigmas, window_s, rung }
    }
}

impl SymbolCrash {
    /// Looks at one trade.
    pub fn check(&mut self, params: &SymbolCrashParams, inputs: &Inputs<'_>) -> Option<Finding> {
        self.check_sudden(params, inputs).or_else(|| self.check_deep(params, inputs))
    }

    fn check_sudden(&mut self, params: &SymbolCrashParams, inputs: &Inputs<'_>) -> Option<Finding> {
        let (short_high, long_high) = (inputs.window.short_high(), inputs.window.long_high());
        // The long high is at least the short one: one comparison settles the ordinary trade.
        let fall = fall_pct(long_high, inputs.price);
        let receded = fall < params.rearm * params.short_falls_pct[0];
        if fall < params.short_falls_pct[0] {
            self.sudden.is_news(0, receded, inputs.now, params.cooldown_s);
            return None;
        }
        let short = inputs.view(short_high, SHORT_S, &params.short_falls_pct, &params.sigmas);
        let long = inputs.view(long_high, LONG_S, &params.long_falls_pct, &params.sigmas);
        let view = if short.rung >= long.rung && short.rung > 0 { &short } else { &long };
        if !self.sudden.is_news(view.rung, receded, inputs.now, params.cooldown_s) {
            return None;
        }
        self.sudden.told(view.rung, inputs.now);
        Some(Finding {
            level: level(view.rung),
            price: inputs.price,
            reference_price: view.high,
            change_pct: -view.fall,
            window_s: view.window_s,
            evidence: vec![
                ("fall_60s_pct", short.fall),
                ("fall_300s_pct", long.fall),
                ("sigmas", view.sigmas),
                ("window_sigma_pct", inputs.sigma_pct(view.window_s)),
                ("return_300s_pct", 100.0 * inputs.window.long_return()),
                ("fall_from_base_pct", fall_pct(inputs.base_price, inputs.price)),
            ],
        })
    }

    fn check_deep(&mut self, params: &SymbolCrashParams, inputs: &Inputs<'_>) -> Option<Finding> {
        let fall = fall_pct(inputs.base_price, inputs.price);
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
                ("fall_from_base_pct", fall),
                ("rung_pct", params.base_falls_pct[usize::from(rung) - 1]),
                ("daily_sigmas", fall / (100.0 * inputs.session_volatility).max(1e-6)),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;

    fn run(prices: &[(i64, Won)], base_price: Won, volatility: f64) -> Vec<(i64, Finding)> {
        let (mut crash, mut window) = (SymbolCrash::default(), Window::default());
        let params = SymbolCrashParams::default();
        let mut found = Vec::new();
        for &(now, price) in prices {
            window.push(now, price);
            let inputs = Inputs {
                now,
                price,
                base_price,
                window: &window,
                session_volatility: volatility,
                density: 1.0,
            };
            found.extend(crash.check(&params, &inputs).map(|finding| (now, finding)));
        }
        found
    }

    #[test]
    fn a_fall_escalates_once_a_level() {
        let fall: Vec<_> = (0..100).map(|s| (s, 10_000 - 10 * s)).collect();
        let levels: Vec<_> = run(&fall, 10_000, 0.02).iter().map(|f| (f.0, f.1.level)).collect();
        assert_eq!(
            levels,
            [(20, Level::Watch), (30, Level::Warning), (50, Level::Critical)],
            "2, 3 and 5 % within a minute; 10 % under the base is not reached"
        );
    }

    #[test]
    fn a_wild_issue_has_a_higher_bar() {
        let fall: Vec<_> = (0..40).map(|s| (s, 10_000 - 10 * s)).collect();
        assert!(run(&fall, 10_000, 0.20).is_empty());
    }

    #[test]
    fn a_gap_at_the_open_is_deep_and_not_sudden() {
        let found = run(&[(0, 8_400), (1, 8_400), (2, 7_900)], 10_000, 0.03);
        assert_eq!((found[0].1.level, found[0].1.window_s), (Level::Warning, 0));
        assert_eq!(found[0].1.evidence[1], ("rung_pct", 15.0));
        // 6 % within seconds speaks first, the −20 % rung had to wait for a further trade.
        assert_eq!((found[1].1.level, found[1].1.window_s), (Level::Critical, SHORT_S));
        assert_eq!(found.len(), 2);
    }
}
