//! A sudden fall of one issue.
//!
//! Two ladders. *Sudden* is what happens now, by whichever of four views sees most:
//!
//! 1. *window*: the fall from the high of the last minute, and of the last five, both beyond a plain
//!    per cent and beyond k standard deviations of such a time for this issue. The deviation is the
//!    one known *before* the fall (closes of earlier days), or the fall would raise its own bar;
//! 2. *jump*: the fall within a bar of 30 seconds, against local volatility ([`super::jump`]);
//! 3. *slide*: a slow fall that no window shows ([`super::slide`]).
//!
//! *Deep* (4) is the fall against the base price of the day. A move beyond the daily limit is no
//! move: the base price is not this issue's (a split, a re-opening, a first day), and is not told.
//!
//! At most one finding a trade, so that a trade is the cause of at most one event of this rule and
//! level; a view that has to wait speaks at the next trade. One episode is told at most once a level,
//! whichever view saw it.

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
}

impl SymbolCrash {
    /// Looks at one trade.
    pub fn check(&mut self, bars: &Bars<'_>, inputs: &Inputs<'_>) -> Option<Finding> {
        self.check_sudden(bars, inputs).or_else(|| self.check_deep(bars.plain, inputs))
    }

    fn check_sudden(&mut self, bars: &Bars<'_>, inputs: &Inputs<'_>) -> Option<Finding> {
        let plain = bars.plain;
        let (short_high, long_high) = (inputs.window.short_high(), inputs.window.long_high());
        // The long high is at least the short one: one comparison settles the ordinary trade.
        let fall = fall_pct(long_high, inputs.price);
        let sliding = inputs.slide.statistic();
        let receded = fall < plain.rearm * plain.short_falls_pct[0]
            && sliding < plain.rearm * bars.slide_thresholds[0];
        let quiet = fall < plain.short_falls_pct[0] && sliding < bars.slide_thresholds[0];
        if quiet && inputs.jump.is_none() {
            self.sudden.is_news(0, receded, inputs.now, plain.cooldown_s);
            return None;
        }
        let short = inputs.window_rung(short_high, SHORT_S, &plain.short_falls_pct, &plain.sigmas);
        let long = inputs.window_rung(long_high, LONG_S, &plain.long_falls_pct, &plain.sigmas);
        let jump = inputs.jump.map_or(0, |view| view.rung(bars.jump, bars.jump_thresholds));
        let slide = inputs.slide.rung(inputs.price, bars.slide, bars.slide_thresholds);
        let most = short.max(long).max(jump).max(slide);
        if !self.sudden.is_news(most, receded && most == 0, inputs.now, plain.cooldown_s) {
            return None;
        }
        self.sudden.told(most, inputs.now);
        let view = match inputs.jump {
            _ if short == most => inputs.window((short_high, SHORT_S), short),
            _ if long == most => inputs.window((long_high, LONG_S), long),
            Some(view) if jump == most => inputs.jump(&view, jump, bars),
            _ => inputs.slide(slide, bars),
        };
        let mut evidence = view.evidence;
        evidence.extend([
            ("fall_60s_pct", fall_pct(short_high, inputs.price)),
            ("fall_300s_pct", fall),
            ("return_300s_pct", 100.0 * inputs.window.long_return()),
            ("fall_from_base_pct", fall_pct(inputs.base_price, inputs.price)),
            ("beta", inputs.beta),
            ("market_return_300s_pct", inputs.market_return_pct),
            ("over_gap", f64::from(u8::from(inputs.over_gap))),
        ]);
        Some(Finding {
            level: level(view.rung),
            price: inputs.price,
            reference_price: view.reference,
            change_pct: -view.fall,
            window_s: view.window_s,
            evidence,
        })
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
mod tests {
    use super::*;
    use crate::risk::types::Level;
    use proptest::prelude::*;

    const JUMP: [f64; 3] = [5.12, 5.76, 6.39];
    const SLIDE: [f64; 3] = [17.2, 26.4, 35.6];

    struct Case {
        base_price: Won,
        volatility: f64,
        jump: Option<JumpView>,
        slide: Slide,
    }

    impl Case {
        fn plain(base_price: Won, volatility: f64) -> Self {
            Self { base_price, volatility, jump: None, slide: Slide::default() }
        }

        fn run(&self, prices: &[(i64, Won)]) -> Vec<(i64, Finding)> {
            let (mut crash, mut window) = (SymbolCrash::default(), Window::default());
            let params = RiskParams::default();
            let bars = Bars::new(&params, &JUMP, &SLIDE);
            let mut found = Vec::new();
            for &(now, price) in prices {
                window.push(now, price);
                let inputs = Inputs {
                    now,
                    price,
                    base_price: self.base_price,
                    window: &window,
                    session_volatility: self.volatility,
                    density: 1.0,
                    jump: self.jump,
                    slide: &self.slide,
                    over_gap: false,
                    beta: 1.0,
                    market_return_pct: 0.0,
                };
                found.extend(crash.check(&bars, &inputs).map(|finding| (now, finding)));
            }
            found
        }
    }

    #[test]
    fn a_fall_escalates_once_a_level() {
        let fall: Vec<_> = (0..100).map(|s| (s, 10_000 - 10 * s)).collect();
        let found = Case::plain(10_000, 0.02).run(&fall);
        let levels: Vec<_> = found.iter().map(|f| (f.0, f.1.level)).collect();
        assert_eq!(
            levels,
            [(20, Level::Watch), (30, Level::Warning), (50, Level::Critical)],
            "2, 3 and 5 % within a minute; 10 % under the base is not reached"
        );
        assert_eq!(found[0].1.evidence[0], ("view", 1.0));
    }

    #[test]
    fn a_wild_issue_has_a_higher_bar() {
        let fall: Vec<_> = (0..40).map(|s| (s, 10_000 - 10 * s)).collect();
        assert!(Case::plain(10_000, 0.20).run(&fall).is_empty());
    }

    #[test]
    fn a_gap_at_the_open_is_deep_and_not_sudden() {
        let found = Case::plain(10_000, 0.03).run(&[(0, 8_400), (1, 8_400), (2, 7_900)]);
        assert_eq!((found[0].1.level, found[0].1.window_s), (Level::Warning, 0));
        assert_eq!(found[0].1.evidence[2], ("rung_pct", 15.0));
        // 6 % within seconds speaks first, the −20 % rung had to wait for a further trade.
        assert_eq!((found[1].1.level, found[1].1.window_s), (Level::Critical, SHORT_S));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_price_beyond_the_daily_limit_is_no_fall() {
        // A split of five to one whose base price was not adjusted.
        assert!(Case::plain(50_000, 0.02).run(&[(0, 10_000), (1, 9_990)]).is_empty());
    }

    #[test]
    fn a_jump_and_a_slide_speak_where_no_window_does() {
        let jump = JumpView {
            reference: 10_000,
            fall_pct: 1.8,
            statistic: 9.0,
            sigma_pct: 0.2,
            session_pct: 5.6,
            window_s: 60,
        };
        let found =
            Case { jump: Some(jump), ..Case::plain(10_000, 0.01) }.run(&[(0, 9_820), (1, 9_820)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].1.level, found[0].1.evidence[0].1), (Level::Warning, 2.0));
        assert_eq!(found[0].1.evidence[5], ("false_alarms_a_day", 1e-4));

        let mut slide = Slide::default();
        (0..30).for_each(|_| slide.push(-1.0, (10_000, -900), &SlideParams::default(), 36.0));
        let found = Case { slide, ..Case::plain(10_000, 0.01) }.run(&[(0, 9_700)]);
        let (level, evidence) = (found[0].1.level, &found[0].1.evidence);
        assert_eq!(
            (level, evidence[0].1, evidence[3]),
            (Level::Watch, 3.0, ("slide_minutes", 15.0))
        );
        assert_eq!((found[0].1.reference_price, found[0].1.window_s), (10_000, 900));
        assert!(Case { slide, ..Case::plain(10_000, 0.01) }.run(&[(0, 9_900)]).is_empty(), "small");
    }

    proptest! {
        /// Numbers stay numbers, and a deeper fall is never a lower level.
        #[test]
        fn monotone_in_the_fall(prices in prop::collection::vec(1i64..20_000, 1..40), cut in 1i64..500) {
            let levels = |cut: i64| {
                let mut prices: Vec<_> =
                    prices.iter().enumerate().map(|(i, p)| (i as i64, *p + 500)).collect();
                prices.last_mut().unwrap().1 -= cut;
                // Only the last trade may speak: what was told before would hide it.
                let (last, before) = prices.split_last().unwrap();
                let mut window = Window::default();
                before.iter().for_each(|(now, price)| window.push(*now, *price));
                window.push(last.0, last.1);
                let params = RiskParams::default();
                let bars = Bars::new(&params, &JUMP, &SLIDE);
                let inputs = Inputs {
                    now: last.0, price: last.1, base_price: 0, window: &window,
                    session_volatility: 0.02, density: 1.0, jump: None,
                    slide: &Slide::default(), over_gap: false, beta: 1.0, market_return_pct: 0.0,
                };
                SymbolCrash::default().check(&bars, &inputs)
            };
            let (plain, deeper) = (levels(0), levels(cut));
            for finding in [&plain, &deeper].into_iter().flatten() {
                prop_assert!(finding.evidence.iter().all(|(_, value)| value.is_finite()));
                prop_assert!((-100.0..=0.0).contains(&finding.change_pct));
            }
            prop_assert!(deeper.map(|f| f.level) >= plain.map(|f| f.level));
        }
    }
}
