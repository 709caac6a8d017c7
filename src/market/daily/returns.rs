//! What a series of daily closes and values traded says of risk and liquidity.
//!
//! | estimator | formula | source |
//! |---|---|---|
//! | [`DailyEwma`] | h ← λ h + (1 − λ) r², begun with the mean of the first r² | RiskMetrics Technical Document, J.P. Morgan 1996 (λ = 0.94 for days) |
//! | [`downside_semivariance`] | mean of min(r − target, 0)² over all n | Markowitz 1959; Sortino & van der Meer, Journal of Portfolio Management 1991 |
//! | [`WindowDrawdown`] | 1 − close / highest close of the window | Magdon-Ismail & Atiya, Risk 2004 |
//! | [`amihud`] | mean of \|r\| / value traded | Amihud, Journal of Financial Markets 2002 |
//!
//! Input: returns as fractions, prices above zero, value traded in won. Output: never NaN; what is
//! no number, and a price at or below zero, is passed over. The mean return is taken as 0, as
//! usual for days: its own error is larger than it.

use std::collections::VecDeque;

/// Value traded that [`amihud`] is told for: a billion won.
pub const AMIHUD_WON: f64 = 1e9;

/// Returns beyond this, as logarithms, are no returns: e³⁰⁰ and its square are still numbers.
const ABSURD: f64 = 300.0;

fn is_return(value: f64) -> bool {
    value.abs() <= ABSURD
}

/// Exponentially weighted variance of daily returns; see the module. O(1) a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyEwma {
    lambda: f64,
    warm_up: u32,
    variance: f64,
    returns: u32,
}

impl DailyEwma {
    /// The decay of RiskMetrics for days.
    pub const RISK_METRICS: f64 = 0.94;

    /// Keeps `lambda` (taken into 0 to 1) of the estimate a day; begins with the mean square of
    /// `warm_up` returns (at least one).
    #[must_use]
    pub const fn new(lambda: f64, warm_up: u32) -> Self {
        let lambda = if lambda.is_nan() { Self::RISK_METRICS } else { lambda.clamp(0.0, 1.0) };
        let warm_up = if warm_up == 0 { 1 } else { warm_up };
        Self { lambda, warm_up, variance: 0.0, returns: 0 }
    }

    /// Takes in the next return, a fraction. One that is no number or beyond ±300 is passed over.
    pub fn push(&mut self, value: f64) {
        if !is_return(value) {
            return;
        }
        self.returns = self.returns.saturating_add(1);
        let weight = if self.returns <= self.warm_up {
            1.0 / f64::from(self.returns)
        } else {
            1.0 - self.lambda
        };
        self.variance += weight * (value * value - self.variance);
    }

    /// Variance of the next day's return, fraction²; `None` until warm.
    #[must_use]
    pub const fn variance(&self) -> Option<f64> {
        if self.returns >= self.warm_up { Some(self.variance) } else { None }
    }
}

/// Mean squared shortfall of `returns` below `target`, over all of them, fraction². With target 0 and
/// returns symmetric about it, half the variance. 0 without returns. O(n).
#[must_use]
pub fn downside_semivariance(returns: impl IntoIterator<Item = f64>, target: f64) -> f64 {
    let target = if is_return(target) { target } else { 0.0 };
    let known = returns.into_iter().filter(|value| is_return(*value));
    let (sum, count) = known.fold((0.0, 0u64), |(sum, count), value| {
        (sum + (value - target).min(0.0).powi(2), count + 1)
    });
    sum / count.max(1) as f64
}

/// How far the last close stands below the highest of the last n; amortised O(1) a close, memory
/// of at most n.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowDrawdown {
    window: usize,
    pushed: u64,
    last: f64,
    /// Falling closes with their numbers: the first is the highest of the window.
    peaks: VecDeque<(u64, f64)>,
}

impl WindowDrawdown {
    /// Over the last `window` closes (at least one).
    #[must_use]
    pub const fn new(window: usize) -> Self {
        let window = if window == 0 { 1 } else { window };
        Self { window, pushed: 0, last: 0.0, peaks: VecDeque::new() }
    }

    /// Takes in a close above zero; anything else is passed over.
    pub fn push(&mut self, close: f64) {
        if !is_price(close) {
            return;
        }
        self.pushed += 1;
        self.last = close;
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= close) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((self.pushed, close));
        let gone = self.pushed.saturating_sub(self.window as u64);
        while self.peaks.front().is_some_and(|(number, _)| *number <= gone) {
            self.peaks.pop_front();
        }
    }

    /// Fraction of the peak, 0 (at the peak) to 1; 0 before the first close.
    #[must_use]
    pub fn current(&self) -> f64 {
        self.peaks.front().map_or(0.0, |(_, peak)| 1.0 - self.last / peak)
    }
}

fn is_price(price: f64) -> bool {
    price.is_finite() && price > 0.0
}

/// Illiquidity by Amihud: mean absolute return, a fraction, for a billion won traded. Each day is
/// (return, value traded in won); days without value traded, as halts are, are passed over. `None` without any. O(n).
#[must_use]
pub fn amihud(days: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let traded =
        days.into_iter().filter(|(value, won)| is_return(*value) && *won >= 1.0 && won.is_finite());
    let (sum, count) = traded.fold((0.0, 0u64), |(sum, count), (value, won)| {
        (sum + value.abs() / (won / AMIHUD_WON), count + 1)
    });
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(prop_oneof![9 => -0.3f64..0.3, 1 => any::<f64>()], 0..60)
    }

    proptest! {
        #[test]
        fn ewma_is_its_definition(
            returns in prop::collection::vec(-0.3f64..0.3, 0..60), lambda in 0.5f64..1.0, warm_up in 1u32..10,
        ) {
            let mut ewma = DailyEwma::new(lambda, warm_up);
            let first = warm_up as usize;
            for end in 1..=returns.len() {
                ewma.push(returns[end - 1]);
                if end < first {
                    prop_assert_eq!(ewma.variance(), None);
                    continue;
                }
                let start = returns[..first].iter().map(|r| r * r).sum::<f64>() / first as f64;
                let later = &returns[first..end];
                let expected = later.iter().fold(start, |h, r| lambda * h + (1.0 - lambda) * r * r);
                prop_assert!((ewma.variance().unwrap() - expected).abs() < 1e-12);
            }
        }

        #[test]
        fn drawdown_agrees_with_a_naive_one(
            closes in prop::collection::vec(1i64..99_999, 1..60), window in 1usize..20,
        ) {
            let closes: Vec<f64> = closes.iter().map(|close| *close as f64).collect();
            let mut running = WindowDrawdown::new(window);
            for end in 1..=closes.len() {
                running.push(closes[end - 1]);
                let seen = &closes[end.saturating_sub(window)..end];
                let peak = seen.iter().copied().fold(0.0, f64::max);
                prop_assert!((running.current() - (peak - closes[end - 1]) / peak).abs() < 1e-12);
            }
        }

        #[test]
        fn semivariance_and_illiquidity_are_their_definitions(
            days in prop::collection::vec((-0.3f64..0.3, 0i64..1_000_000_000_000), 1..40), target in -0.01f64..0.01,
        ) {
            let returns: Vec<f64> = days.iter().map(|(r, _)| *r).collect();
            let below = returns.iter().filter(|r| **r < target).map(|r| (target - r).powi(2));
            let expected = below.sum::<f64>() / days.len() as f64;
            prop_assert!((downside_semivariance(returns, target) - expected).abs() < 1e-12);
            let days: Vec<(f64, f64)> = days.iter().map(|(r, won)| (*r, *won as f64)).collect();
            let traded: Vec<f64> =
                days.iter().filter(|(_, won)| *won > 0.0).map(|(r, won)| r.abs() * 1e9 / won).collect();
            let mean = traded.iter().sum::<f64>() / traded.len() as f64;
            match amihud(days) {
                Some(value) => prop_assert!((value / mean - 1.0).abs() < 1e-9 || value == mean),
                None => prop_assert!(traded.is_empty()),
            }
        }

        #[test]
        fn never_nan(values in numbers(), target in any::<f64>(), lambda in any::<f64>()) {
            let (mut ewma, mut drawdown) = (DailyEwma::new(lambda, 0), WindowDrawdown::new(0));
            for value in &values {
                ewma.push(*value);
                drawdown.push(*value);
            }
            let pairs: Vec<(f64, f64)> = values.iter().map(|v| (*v, *v * 1e9)).collect();
            let all = [
                ewma.variance().unwrap_or(0.0),
                downside_semivariance(values, target),
                drawdown.current(),
                amihud(pairs).unwrap_or(0.0),
            ];
            prop_assert!(all.iter().all(|v| v.is_finite() && *v >= 0.0), "{all:?}");
            prop_assert!(all[2] <= 1.0);
        }
    }

    #[test]
    fn unbiased_on_independent_returns() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let draws = 40_000;
        let returns: Vec<f64> = (0..draws)
            .map(|_| {
                let z: f64 = StandardNormal.sample(&mut rng);
                0.02 * z
            })
            .collect();
        let half = downside_semivariance(returns.iter().copied(), 0.0) / 2e-4;
        assert!((0.97..1.03).contains(&half), "{half}");
        let mut ewma = DailyEwma::new(DailyEwma::RISK_METRICS, 30);
        let (mut sum, mut count) = (0.0, 0.0);
        for value in &returns {
            ewma.push(*value);
            if let Some(variance) = ewma.variance() {
                (sum, count) = (sum + variance, count + 1.0);
            }
        }
        assert!((0.97..1.03).contains(&(sum / count / 4e-4)), "{}", sum / count / 4e-4);
    }
}
