//! Moving averages and what is made of them: SMA, EMA, WMA, MACD, Bollinger bands, Keltner channel.

use super::candle::{Candle, Last};
use super::range::Atr;
use super::{Band, Macd};

/// Simple moving average: the mean of the last n.
#[derive(Debug, Clone, PartialEq)]
pub struct Sma(Last<f64>);

impl Sma {
    /// Over `window` values.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self(Last::new(window))
    }

    /// Takes in the next value; from the n-th on, the mean.
    pub fn push(&mut self, value: f64) -> Option<f64> {
        self.0.push(value);
        self.0.mean()
    }
}

/// Exponential moving average with α = 2/(n + 1): y ← y + α(x − y), begun with the first value.
///
/// Told from the n-th value on. (TA-Lib begins with the mean of the first n; the difference fades
/// by 1 − α a bar.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ema {
    alpha: f64,
    warm_up: usize,
    seen: usize,
    value: f64,
}

impl Ema {
    /// Over `window` values.
    #[must_use]
    pub const fn new(window: usize) -> Self {
        let window = if window == 0 { 1 } else { window };
        Self { alpha: 2.0 / (window as f64 + 1.0), warm_up: window, seen: 0, value: 0.0 }
    }

    /// With Wilder's α = 1/n.
    pub(super) const fn wilder(window: usize) -> Self {
        let window = if window == 0 { 1 } else { window };
        Self { alpha: 1.0 / window as f64, warm_up: window, seen: 0, value: 0.0 }
    }

    /// Takes in the next value; from the n-th on, the average.
    pub const fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen == 0 {
            self.value = value;
        } else {
            self.value += self.alpha * (value - self.value);
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen >= self.warm_up { Some(self.value) } else { None }
    }
}

/// Weighted moving average of the last n: weights 1 for the oldest to n for the newest.
#[derive(Debug, Clone, PartialEq)]
pub struct Wma(Last<f64>);

impl Wma {
    /// Over `window` values.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self(Last::new(window))
    }

    /// Takes in the next value; from the n-th on, the average.
    pub fn push(&mut self, value: f64) -> Option<f64> {
        self.0.push(value);
        let n = self.0.window();
        let weighted =
            || self.0.iter().enumerate().map(|(at, value)| (at + 1) as f64 * value).sum::<f64>();
        self.0.is_full().then(|| weighted() * 2.0 / (n * (n + 1.0)))
    }
}

/// Moving average convergence and divergence (Appel 1979): the fast [`Ema`] of the close less the
/// slow one, and an EMA of that as its signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacdLine {
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

impl MacdLine {
    /// Usually 12, 26, 9.
    #[must_use]
    pub const fn new(fast: usize, slow: usize, signal: usize) -> Self {
        Self { fast: Ema::new(fast), slow: Ema::new(slow), signal: Ema::new(signal) }
    }

    /// Takes in the next bar; the line from the `slow`-th on. The signal begins with the first line
    /// and is told from its own `signal`-th on.
    pub const fn push(&mut self, candle: &Candle) -> Option<Macd> {
        let (fast, slow) = (self.fast.push(candle.close()), self.slow.push(candle.close()));
        let (Some(fast), Some(slow)) = (fast, slow) else { return None };
        let line = fast - slow;
        Some(Macd { line, signal: self.signal.push(line) })
    }
}

/// Bollinger bands (1980s): the mean of the last n closes, and k standard deviations (divisor n)
/// above and below.
#[derive(Debug, Clone, PartialEq)]
pub struct Bollinger {
    closes: Last<f64>,
    width: f64,
}

impl Bollinger {
    /// Usually 20 and 2. A `width` that is no number counts as 2.
    #[must_use]
    pub fn new(window: usize, width: f64) -> Self {
        let width = if width.is_finite() { width } else { 2.0 };
        Self { closes: Last::new(window), width }
    }

    /// Takes in the next bar; from the n-th on, the bands.
    pub fn push(&mut self, candle: &Candle) -> Option<Band> {
        self.closes.push(candle.close());
        let middle = self.closes.mean()?;
        let squares = self.closes.iter().map(|close| (close - middle).powi(2)).sum::<f64>();
        let away = self.width * (squares / self.closes.window()).sqrt();
        Some(Band { middle, upper: middle + away, lower: middle - away })
    }
}

/// Keltner channel as Keltner drew it (How to Make Money in Commodities, 1960): the mean of the last n
/// typical prices, and the mean range above and below.
#[derive(Debug, Clone, PartialEq)]
pub struct Keltner {
    typical: Sma,
    range: Sma,
}

impl Keltner {
    /// Over `window` bars.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { typical: Sma::new(window), range: Sma::new(window) }
    }

    /// Takes in the next bar; from the n-th on, the channel.
    pub fn push(&mut self, candle: &Candle) -> Option<Band> {
        let middle = self.typical.push(candle.typical());
        let away = self.range.push(candle.high() - candle.low());
        let (middle, away) = (middle?, away?);
        Some(Band { middle, upper: middle + away, lower: middle - away })
    }
}

/// Keltner channel as it is mostly drawn today (Raschke): an [`Ema`] of the close, and k times the
/// [`Atr`] above and below.
#[derive(Debug, Clone, PartialEq)]
pub struct KeltnerAtr {
    middle: Ema,
    atr: Atr,
    width: f64,
}

impl KeltnerAtr {
    /// Usually 20, 10 and 2. A `width` that is no number counts as 2.
    #[must_use]
    pub fn new(window: usize, atr: usize, width: f64) -> Self {
        let width = if width.is_finite() { width } else { 2.0 };
        Self { middle: Ema::new(window), atr: Atr::new(atr), width }
    }

    /// Takes in the next bar; when both are warm, the channel.
    pub fn push(&mut self, candle: &Candle) -> Option<Band> {
        let (middle, atr) = (self.middle.push(candle.close()), self.atr.push(candle));
        let (middle, away) = (middle?, self.width * atr?);
        Some(Band { middle, upper: middle + away, lower: middle - away })
    }
}
