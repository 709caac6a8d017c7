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
//! part is (o − c₀)², and [`DayPrices::day`] is the sum with Garman–Klass, the variance of a whole
//! day, close to close: the **range variance** that the daily model forecasts.
//!
//! Input: prices above zero in any one unit. Output: fraction², never negative, never NaN. A bar
//! whose high or low is out of order (below or above one of the others, as vendors' adjusted prices
//! are) is widened to hold all four. Limits: all assume a price that is watched continuously; few
//! trades make the range, and so the estimate, too small. O(1) a day.

use std::f64::consts::LN_2;

/// 2 ln 2 − 1.
const GARMAN_KLASS: f64 = 2.0 * LN_2 - 1.0;

/// The four prices of a session in order: low ≤ open, close ≤ high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayPrices {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

/// A whole day, close to close.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayVariance {
    /// Log return from the close before to the open.
    pub overnight: f64,
    /// Its square and Garman–Klass, fraction².
    pub variance: f64,
}

/// ln (a / b) of prices above zero.
fn log_ratio(a: f64, b: f64) -> f64 {
    let ratio = a / b;
    // Of prices that are no prices the ratio may be beyond what is a number; their logarithms are not.
    if ratio.is_normal() { ratio.ln() } else { a.ln() - b.ln() }
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
        let (top, bottom) = (high.max(low), high.min(low));
        Some(Self { open, high: top.max(open).max(close), low: bottom.min(open).min(close), close })
    }

    /// ln high/low.
    fn range(&self) -> f64 {
        log_ratio(self.high, self.low)
    }

    /// Log return of the session, open to close.
    #[must_use]
    pub fn session_return(&self) -> f64 {
        log_ratio(self.close, self.open)
    }

    /// Variance of the session by Parkinson, fraction².
    #[must_use]
    pub fn parkinson(&self) -> f64 {
        self.range().powi(2) / (4.0 * LN_2)
    }

    /// Variance of the session by Garman–Klass, fraction².
    #[must_use]
    pub fn garman_klass(&self) -> f64 {
        let (range, change) = (self.range(), self.session_return());
        // Not below 0 for prices in order; the bound holds the statement against rounding.
        (0.5 * range * range - GARMAN_KLASS * (change * change)).max(0.0)
    }

    /// Variance of the session by Rogers and Satchell, fraction². 0 for a day that runs straight
    /// from its low to its high.
    #[must_use]
    pub fn rogers_satchell(&self) -> f64 {
        let up = log_ratio(self.high, self.close) * log_ratio(self.high, self.open);
        let down = log_ratio(self.low, self.close) * log_ratio(self.low, self.open);
        (up + down).max(0.0)
    }

    /// Log return from the close before, a price, to the open; `None` unless that is finite and
    /// above zero.
    #[must_use]
    pub fn overnight_return(&self, previous_close: f64) -> Option<f64> {
        let known = previous_close.is_finite() && previous_close > 0.0;
        known.then(|| log_ratio(self.open, previous_close))
    }

    /// The whole day after a close, a price; `None` as for [`Self::overnight_return`].
    #[must_use]
    pub fn day(&self, previous_close: f64) -> Option<DayVariance> {
        let overnight = self.overnight_return(previous_close)?;
        Some(DayVariance { overnight, variance: overnight * overnight + self.garman_klass() })
    }
}

/// Daily variance, close to close, over consecutive `days` by Yang and Zhang, fraction². Each day
/// comes with the close before it, a price. `None` with fewer than two days, or when a close is not
/// finite and above zero. O(n).
#[must_use]
pub fn yang_zhang(days: impl Iterator<Item = (f64, DayPrices)> + Clone) -> Option<f64> {
    let n = days.clone().count() as f64;
    if n < 2.0 {
        return None;
    }
    let overnight = days.clone().map(|(before, day)| day.overnight_return(before));
    if overnight.clone().any(|value| value.is_none()) {
        return None;
    }
    let session = days.clone().map(|(_, day)| day.session_return());
    let rogers_satchell = days.map(|(_, day)| day.rogers_satchell()).sum::<f64>() / n;
    let k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0));
    let overnight = sample_variance(overnight.flatten(), n);
    Some(overnight + k * sample_variance(session, n) + (1.0 - k) * rogers_satchell)
}

/// With divisor n − 1, of n values, two at least.
fn sample_variance(values: impl Iterator<Item = f64> + Clone, n: f64) -> f64 {
    let mean = values.clone().sum::<f64>() / n;
    values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)
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
        assert!(close_to(day.session_return(), 0.01));
        let whole = day.day(price(-0.02)).unwrap();
        assert!(close_to(whole.overnight, 0.02));
        assert!(close_to(whole.variance, 0.0004 + day.garman_klass()));
        // ln(101/100)² + ½ ln(105/99)² − (2 ln 2 − 1) ln(104/101)², python3 math.
        let whole = DayPrices::new(101.0, 105.0, 99.0, 104.0).unwrap().day(100.0).unwrap();
        assert!((whole.overnight * whole.overnight - 9.900_908_408_750_885e-5).abs() < 1e-15);
        assert!((whole.variance - 1.499_151_572_040_243_7e-3).abs() < 1e-12, "{whole:?}");
        // No range of its own: the session's part is 0.
        let still = DayPrices::new(100.0, 100.0, 100.0, 100.0).unwrap().day(100.0);
        assert_eq!(still, Some(DayVariance { overnight: 0.0, variance: 0.0 }));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        assert_eq!(DayPrices::new(0.0, 1.0, 1.0, 1.0), None);
        assert_eq!(DayPrices::new(1.0, f64::INFINITY, 1.0, 1.0), None);
        let day = DayPrices::new(1.0, 1.0, 1.0, 1.0).unwrap();
        assert_eq!((day.day(f64::NAN), day.day(-1.0)), (None, None));
        let over = |closes: &[f64]| yang_zhang(closes.iter().map(|close| (*close, day)));
        assert_eq!([over(&[1.0]), over(&[1.0, 0.0]), over(&[1.0, 1.0])], [None, None, Some(0.0)]);
    }

    proptest! {
        #[test]
        fn never_negative_never_nan(prices in prop::array::uniform5(any::<f64>())) {
            let [open, high, low, close, before] = prices;
            if let Some(day) = DayPrices::new(open, high, low, close) {
                let all = [day.parkinson(), day.garman_klass(), day.rogers_satchell(), day.session_return().powi(2)];
                prop_assert!(all.iter().all(|v| v.is_finite() && *v >= 0.0), "{all:?}");
                let variances = [
                    day.day(before).map(|day| day.variance),
                    yang_zhang([(before, day), (close, day), (open, day)].into_iter()),
                ];
                prop_assert!(variances.iter().flatten().all(|v| v.is_finite() && *v >= 0.0));
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
            prop_assert!(close_to(day.day(before).unwrap().variance, whole));
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
            prop_assert!(close_to(yang_zhang(bars.iter().copied()).unwrap(), expected));
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
        let windows = days.chunks_exact(10).map(|days| yang_zhang(days.iter().copied()).unwrap());
        [
            mean(&|(_, day)| day.parkinson(), 1e-4),
            mean(&|(_, day)| day.garman_klass(), 1e-4),
            mean(&|(_, day)| day.rogers_satchell(), 1e-4),
            mean(&|(before, day)| day.day(*before).unwrap().variance, 1.25e-4),
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
