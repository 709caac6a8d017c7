//! Variance of a day from its open, high, low and close.
//!
//! With o, h, l, c the logarithms of the four prices of one session and c₀ that of the close before:
//!
//! | estimator | formula | unbiased when | variance against (c − o)² |
//! |---|---|---|---|
//! | Parkinson (Journal of Business 1980) | (h − l)² / (4 ln 2) | no drift | 1/4.9 |
//! | Garman–Klass (Journal of Business 1980) | ½(h − l)² − (2 ln 2 − 1)(c − o)² | no drift | 1/7.4 |
//! | Rogers–Satchell (Annals of Applied Probability 1991) | (h − c)(h − o) + (l − c)(l − o) | any drift | 1/6.0 |
//! | Yang–Zhang (Journal of Business 2000), n days | V(o − c₀) + k V(c − o) + (1 − k) mean RS | any drift, with opening jumps | 1/14 at best |
//!
//! V is the sample variance (divisor n − 1) and k = 0.34 / (1.34 + (n + 1)/(n − 1)). Garman–Klass is
//! their practical form without cross terms. The first three cover the session only; the overnight
//! part is (o − c₀)², and [`DayPrices::with_overnight`] is the sum with Garman–Klass, the variance of
//! a whole day, close to close.
//!
//! Input: prices above zero in any one unit. Output: fraction², never negative, never NaN. A bar
//! whose high or low is out of order (below or above one of the others, as vendors' adjusted prices
//! are) is widened to hold all four. Limits: all assume a price that is watched continuously; few
//! trades make the range, and so the estimate, too small. O(1) a day.

use std::f64::consts::LN_2;

/// 2 ln 2 − 1.
const GARMAN_KLASS: f64 = 2.0 * LN_2 - 1.0;

/// The four prices of a session, as logarithms, in order: low ≤ open, close ≤ high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayPrices {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

impl DayPrices {
    /// From prices in any one unit; `None` unless all are finite and above zero. High and low are
    /// widened where they are out of order.
    #[must_use]
    pub fn new(open: f64, high: f64, low: f64, close: f64) -> Option<Self> {
        let prices = [open, high, low, close];
        if !prices.iter().all(|price| price.is_finite() && *price > 0.0) {
            return None;
        }
        let [open, high, low, close] = prices.map(f64::ln);
        let (top, bottom) = (high.max(low), high.min(low));
        Some(Self { open, high: top.max(open).max(close), low: bottom.min(open).min(close), close })
    }

    /// Variance of the session by Parkinson, fraction².
    #[must_use]
    pub fn parkinson(&self) -> f64 {
        (self.high - self.low).powi(2) / (4.0 * LN_2)
    }

    /// Variance of the session by Garman–Klass, fraction².
    #[must_use]
    pub fn garman_klass(&self) -> f64 {
        let (range, change) = (self.high - self.low, self.close - self.open);
        // Not below 0 for prices in order; the bound holds the statement against rounding.
        (0.5 * range * range - GARMAN_KLASS * change * change).max(0.0)
    }

    /// Variance of the session by Rogers and Satchell, fraction². 0 for a day that runs straight
    /// from its low to its high.
    #[must_use]
    pub fn rogers_satchell(&self) -> f64 {
        let up = (self.high - self.close) * (self.high - self.open);
        let down = (self.low - self.close) * (self.low - self.open);
        (up + down).max(0.0)
    }

    /// Squared return of the session, open to close, fraction².
    #[must_use]
    pub fn open_to_close(&self) -> f64 {
        (self.close - self.open).powi(2)
    }

    /// Log return from the close before, a price, to the open; `None` unless that is finite and
    /// above zero.
    #[must_use]
    pub fn overnight_return(&self, previous_close: f64) -> Option<f64> {
        let known = previous_close.is_finite() && previous_close > 0.0;
        known.then(|| self.open - previous_close.ln())
    }

    /// Variance of the whole day, close to close, fraction²: the squared overnight return and
    /// Garman–Klass, the latter not below 0. `None` as for [`Self::overnight_return`].
    #[must_use]
    pub fn with_overnight(&self, previous_close: f64) -> Option<f64> {
        let overnight = self.overnight_return(previous_close)?;
        Some(overnight * overnight + self.garman_klass())
    }
}

/// Daily variance, close to close, over consecutive `days` by Yang and Zhang, fraction². Each day
/// comes with the close before it, a price. `None` with fewer than two days, or when a close is not
/// finite and above zero. O(n).
#[must_use]
pub fn yang_zhang(days: &[(f64, DayPrices)]) -> Option<f64> {
    if days.len() < 2 {
        return None;
    }
    let n = days.len() as f64;
    let overnight: Option<Vec<f64>> =
        days.iter().map(|(before, day)| day.overnight_return(*before)).collect();
    let session: Vec<f64> = days.iter().map(|(_, day)| day.close - day.open).collect();
    let rogers_satchell = days.iter().map(|(_, day)| day.rogers_satchell()).sum::<f64>() / n;
    let k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0));
    Some(sample_variance(&overnight?) + k * sample_variance(&session) + (1.0 - k) * rogers_satchell)
}

/// With divisor n − 1; two values at least.
fn sample_variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn close_to(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-12 + 1e-9 * expected.abs()
    }

    #[test]
    fn a_day_by_hand() {
        // ln(high/low) = 0.04, ln(close/open) = 0.01, the open 0.02 above the close before.
        let price = |log: f64| 10_000.0 * log.exp();
        let day = DayPrices::new(price(0.0), price(0.025), price(-0.015), price(0.01)).unwrap();
        assert!(close_to(day.parkinson(), 0.0016 / 2.772_588_722_239_781));
        assert!(close_to(day.garman_klass(), 0.0008 - 0.386_294_361_119_890_6 * 0.0001));
        assert!(close_to(day.rogers_satchell(), 0.015 * 0.025 + 0.025 * 0.015));
        assert!(close_to(day.overnight_return(price(-0.02)).unwrap(), 0.02));
        let whole = day.with_overnight(price(-0.02)).unwrap();
        assert!(close_to(whole, 0.0004 + day.garman_klass()));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        assert_eq!(DayPrices::new(0.0, 1.0, 1.0, 1.0), None);
        assert_eq!(DayPrices::new(1.0, f64::INFINITY, 1.0, 1.0), None);
        let day = DayPrices::new(1.0, 1.0, 1.0, 1.0).unwrap();
        assert_eq!((day.with_overnight(f64::NAN), day.with_overnight(-1.0)), (None, None));
        assert_eq!(yang_zhang(&[(1.0, day)]), None);
        assert_eq!(yang_zhang(&[(1.0, day), (0.0, day)]), None);
        assert_eq!(yang_zhang(&[(1.0, day), (1.0, day)]), Some(0.0));
    }

    proptest! {
        #[test]
        fn never_negative_never_nan(prices in prop::array::uniform5(any::<f64>())) {
            let [open, high, low, close, before] = prices;
            if let Some(day) = DayPrices::new(open, high, low, close) {
                let all = [day.parkinson(), day.garman_klass(), day.rogers_satchell(), day.open_to_close()];
                prop_assert!(all.iter().all(|v| v.is_finite() && *v >= 0.0), "{all:?}");
                prop_assert!(day.with_overnight(before).is_none_or(|v| v.is_finite() && v >= 0.0));
                let days = [(before, day), (close, day), (open, day)];
                prop_assert!(yang_zhang(&days).is_none_or(|v| v.is_finite() && v >= 0.0));
            }
        }

        /// Prices in any order: what the formulas say of the widened bar.
        #[test]
        fn agrees_with_the_formulas(
            prices in prop::array::uniform4(5_000i32..20_000), before in 5_000i32..20_000, scale in 0.01f64..1e6,
        ) {
            let price = prices.map(|price| f64::from(price) * scale);
            let [open, _, _, close] = price;
            let day = DayPrices::new(open, price[1], price[2], close).unwrap();
            let high = price.iter().copied().fold(f64::MIN, f64::max);
            let low = price.iter().copied().fold(f64::MAX, f64::min);
            prop_assert!(close_to(day.parkinson(), (high / low).ln().powi(2) * 0.360_673_760_222_240_85));
            let klass = 0.5 * (high / low).ln().powi(2)
                - (2.0 * 2f64.ln() - 1.0) * (close / open).ln().powi(2);
            prop_assert!(close_to(day.garman_klass(), klass.max(0.0)));
            let satchell = (high / close).ln() * (high / open).ln() + (low / close).ln() * (low / open).ln();
            prop_assert!(close_to(day.rogers_satchell(), satchell));
            let before = f64::from(before) * scale;
            let whole = (open / before).ln().powi(2) + klass.max(0.0);
            prop_assert!(close_to(day.with_overnight(before).unwrap(), whole));
        }

        #[test]
        fn yang_zhang_is_its_definition(
            days in prop::collection::vec(prop::array::uniform4(5_000i32..20_000), 2..12),
        ) {
            let bars: Vec<(f64, DayPrices)> = days.iter().map(|day| {
                let [before, open, other, close] = day.map(f64::from);
                (before, DayPrices::new(open, other, other, close).unwrap())
            }).collect();
            let n = bars.len() as f64;
            let over = |of: &dyn Fn(usize) -> f64| {
                let mean = (0..bars.len()).map(of).sum::<f64>() / n;
                (0..bars.len()).map(|i| (of(i) - mean).powi(2)).sum::<f64>() / (n - 1.0)
            };
            let log = |i: usize, which: usize| f64::from(days[i][which]).ln();
            let rs = bars.iter().map(|(_, day)| day.rogers_satchell()).sum::<f64>() / n;
            let k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0));
            let expected = over(&|i| log(i, 1) - log(i, 0)) + k * over(&|i| log(i, 3) - log(i, 1)) + (1.0 - k) * rs;
            prop_assert!(close_to(yang_zhang(&bars).unwrap(), expected));
        }
    }

    /// Extremes of a Brownian path that moves by `end` in a step of variance `variance`, drawn
    /// exactly: the highest, or with `sign` −1 the lowest.
    fn extreme(rng: &mut ChaCha8Rng, end: f64, variance: f64, sign: f64) -> f64 {
        let uniform: f64 = 1.0 - rng.random::<f64>();
        (end + sign * (end * end - 2.0 * variance * uniform.ln()).sqrt()) / 2.0
    }

    /// A day of variance 1e-4 in the session and 0.25e-4 overnight, with `drift` a session; 24
    /// steps with the exact extremes in each, so that hardly any range is missed.
    fn simulate(rng: &mut ChaCha8Rng, drift: f64) -> (f64, DayPrices) {
        const STEPS: u32 = 24;
        let mut draw = || -> f64 { StandardNormal.sample(rng) };
        let overnight = 0.005 * draw();
        let moves: Vec<f64> = (0..STEPS)
            .map(|_| drift / f64::from(STEPS) + 0.01 * draw() / f64::from(STEPS).sqrt())
            .collect();
        let variance = 1e-4 / f64::from(STEPS);
        let (mut at, mut high, mut low) = (0.0f64, 0.0f64, 0.0f64);
        for step in moves {
            high = high.max(at + extreme(rng, step, variance, 1.0));
            low = low.min(at + extreme(rng, step, variance, -1.0));
            at += step;
        }
        let price = |log: f64| (9.0 + log).exp();
        (price(-overnight), DayPrices::new(price(0.0), price(high), price(low), price(at)).unwrap())
    }

    /// Mean of each estimate over the true variance: Parkinson, Garman–Klass, Rogers–Satchell, the
    /// whole day, Yang–Zhang over 10 days.
    fn ratios(drift: f64) -> [f64; 5] {
        let mut rng = ChaCha8Rng::seed_from_u64(20_000);
        let days: Vec<(f64, DayPrices)> = (0..12_000).map(|_| simulate(&mut rng, drift)).collect();
        let mean = |of: &dyn Fn(&(f64, DayPrices)) -> f64, truth: f64| {
            days.iter().map(of).sum::<f64>() / days.len() as f64 / truth
        };
        let windows = days.chunks_exact(10).map(|days| yang_zhang(days).unwrap());
        [
            mean(&|(_, day)| day.parkinson(), 1e-4),
            mean(&|(_, day)| day.garman_klass(), 1e-4),
            mean(&|(_, day)| day.rogers_satchell(), 1e-4),
            mean(&|(before, day)| day.with_overnight(*before).unwrap(), 1.25e-4),
            windows.sum::<f64>() / (days.len() / 10) as f64 / 1.25e-4,
        ]
    }

    #[test]
    fn unbiased_on_a_random_walk() {
        let ratios = ratios(0.0);
        assert!(ratios.iter().all(|ratio| (0.98..1.02).contains(ratio)), "{ratios:?}");
    }

    #[test]
    fn drift_biases_two_of_them_only() {
        let [parkinson, klass, satchell, _, zhang] = ratios(0.01);
        assert!(parkinson > 1.2 && klass > 1.05, "{parkinson} {klass}");
        assert!((0.98..1.02).contains(&satchell), "{satchell}");
        assert!((0.98..1.02).contains(&zhang), "{zhang}");
    }
}
