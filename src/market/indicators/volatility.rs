//! Volatility, fall and illiquidity over the last n bars, by the estimators of [`crate::market::daily`].
//!
//! Volatilities are the root of a mean variance, in per cent a bar: of days, a day; nothing is
//! brought to a year. All but Parkinson, Garman–Klass and Rogers–Satchell look at the close before,
//! so that they begin a bar later.

use super::candle::{Candle, Last};
use crate::market::daily::{
    DailyEwma, DayPrices, WindowDrawdown, amihud, downside_semivariance, yang_zhang,
};

/// Which variance of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarVariance {
    /// Of the session, by its range: Parkinson.
    Parkinson,
    /// Of the session: Garman and Klass.
    GarmanKlass,
    /// Of the session, whatever its drift: Rogers and Satchell.
    RogersSatchell,
    /// From close to close: the squared gap from the close before, and Garman–Klass.
    WholeDay,
}

/// Root of the mean of a bar's variance over the last n.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeVolatility {
    of: BarVariance,
    before: Option<f64>,
    variances: Last<f64>,
}

impl RangeVolatility {
    /// Over `window` bars, usually 22.
    #[must_use]
    pub fn new(of: BarVariance, window: usize) -> Self {
        Self { of, before: None, variances: Last::new(window) }
    }

    /// Takes in the next bar; from the n-th on (the n + 1-th for a whole day), per cent.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let before = self.before.replace(candle.close());
        let day = candle.prices()?;
        self.variances.push(match self.of {
            BarVariance::Parkinson => day.parkinson(),
            BarVariance::GarmanKlass => day.garman_klass(),
            BarVariance::RogersSatchell => day.rogers_satchell(),
            BarVariance::WholeDay => day.day(before?)?.variance,
        });
        self.variances.mean().map(volatility)
    }
}

/// Volatility from close to close by Yang and Zhang over the last n bars, per cent.
#[derive(Debug, Clone, PartialEq)]
pub struct YangZhang {
    before: Option<f64>,
    days: Last<(f64, DayPrices)>,
}

impl YangZhang {
    /// Over `window` bars, usually 22, at least two.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { before: None, days: Last::new(window.max(2)) }
    }

    /// Takes in the next bar; from the n + 1-th on, per cent.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let before = self.before.replace(candle.close())?;
        self.days.push((before, candle.prices()?));
        let full = self.days.is_full();
        full.then(|| yang_zhang(self.days.iter())).flatten().map(volatility)
    }
}

/// Exponentially weighted volatility of returns (RiskMetrics 1996, λ = 0.94), begun with the mean square
/// of the first n, per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EwmaVolatility {
    before: Option<f64>,
    variance: DailyEwma,
}

impl EwmaVolatility {
    /// Begun with `window` returns, usually 30.
    #[must_use]
    pub fn new(window: usize) -> Self {
        let warm_up = u32::try_from(window).unwrap_or(u32::MAX);
        Self { before: None, variance: DailyEwma::new(DailyEwma::RISK_METRICS, warm_up) }
    }

    /// Takes in the next bar; from the n + 1-th on, per cent.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let before = self.before.replace(candle.close())?;
        self.variance.push((candle.close() / before).ln());
        self.variance.variance().map(volatility)
    }
}

/// Root of the mean squared fall over the last n returns, rises counting as 0, per cent: the
/// downside deviation.
#[derive(Debug, Clone, PartialEq)]
pub struct DownsideDeviation {
    before: Option<f64>,
    returns: Last<f64>,
}

impl DownsideDeviation {
    /// Over `window` returns, usually 22.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { before: None, returns: Last::new(window) }
    }

    /// Takes in the next bar; from the n + 1-th on, per cent.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let before = self.before.replace(candle.close())?;
        self.returns.push((candle.close() / before).ln());
        let full = self.returns.is_full();
        full.then(|| volatility(downside_semivariance(self.returns.iter(), 0.0)))
    }
}

/// Fall of the close below the highest close of the last n bars, this one included, per cent of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawdownPct {
    window: usize,
    seen: usize,
    closes: WindowDrawdown,
}

impl DrawdownPct {
    /// Over `window` bars, usually 250.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { window, seen: 0, closes: WindowDrawdown::new(window) }
    }

    /// Takes in the next bar; from the n-th on, 0 to 100.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        self.closes.push(candle.close());
        self.seen = self.seen.saturating_add(1);
        (self.seen >= self.window).then(|| 100.0 * self.closes.current())
    }
}

/// Illiquidity by Amihud over the last n bars: mean size of the return, per cent, for a billion won
/// traded. The value traded of a bar is close × volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Amihud {
    before: Option<f64>,
    days: Last<(f64, f64)>,
}

impl Amihud {
    /// Over `window` returns, usually 22.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { before: None, days: Last::new(window) }
    }

    /// Takes in the next bar; from the n + 1-th on. `None` when nothing was traded in all of them.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let before = self.before.replace(candle.close())?;
        let value = candle.close() * candle.volume();
        self.days.push(((candle.close() / before).ln(), value));
        let full = self.days.is_full();
        full.then(|| amihud(self.days.iter())).flatten().map(|of| 100.0 * of)
    }
}

/// Per cent, of a variance in fraction².
fn volatility(variance: f64) -> f64 {
    100.0 * variance.sqrt()
}
