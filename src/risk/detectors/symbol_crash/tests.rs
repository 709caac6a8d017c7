//! The ladders of one issue's fall.

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
    assert_eq!((level, evidence[0].1, evidence[3]), (Level::Watch, 3.0, ("slide_minutes", 15.0)));
    assert_eq!((found[0].1.reference_price, found[0].1.window_s), (10_000, 900));
    assert!(Case { slide, ..Case::plain(10_000, 0.01) }.run(&[(0, 9_900)]).is_empty(), "small");
}

#[test]
fn a_slide_is_no_news_after_a_sudden_fall_and_hides_none_that_follows() {
    let mut slide = Slide::default();
    (0..40).for_each(|_| slide.push(-2.0, (10_000, -900), &SlideParams::default(), 36.0));
    let case = Case { slide, ..Case::plain(10_000, 0.01) };
    let sudden: Vec<_> = (0..60).map(|s| (s, 10_000 - 10 * s)).collect();
    let views: Vec<f64> = case.run(&sudden).iter().map(|f| f.1.evidence[0].1).collect();
    assert_eq!(views, [1.0, 1.0, 1.0], "2, 3, 5 % at once; the slide of 6 % says no more");
    // Critical as a slide, and an hour later five per cent more within a minute.
    let later: Vec<_> = (0..30).map(|s| (3_600 + s, 9_000 - 20 * s)).collect();
    let found = case.run(&[&[(0, 9_000), (3_599, 9_000)], &later[..]].concat());
    let seen: Vec<_> = found.iter().map(|f| (f.1.evidence[0].1, f.1.level)).collect();
    assert_eq!(seen[0], (3.0, Level::Critical), "{seen:?}");
    assert!(seen.contains(&(1.0, Level::Critical)), "{seen:?}");
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
