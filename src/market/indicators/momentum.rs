//! How far and how fast the price goes: RSI, stochastic oscillator, Williams %R, CCI, ROC.

use super::Stochastic;
use super::average::Ema;
use super::candle::{Candle, Last};

/// Relative strength index (Wilder 1978): 100 − 100/(1 + U/D), U and D the averages of rises and of
/// falls of the close, with α = 1/n.
///
/// Both averages begin with 0 at the first bar, and it is told from the n-th bar on, as `ta` does.
/// (Wilder, TA-Lib and TradingView begin with the mean of the first n changes; the difference
/// fades by 1 − 1/n a bar.) Without any fall it is 100, a close that never moved included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rsi {
    up: Ema,
    down: Ema,
    before: Option<f64>,
}

impl Rsi {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub const fn new(window: usize) -> Self {
        Self { up: Ema::wilder(window), down: Ema::wilder(window), before: None }
    }

    /// Takes in the next bar; 0 to 100.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let change = self.before.map_or(0.0, |before| candle.close() - before);
        self.before = Some(candle.close());
        let (up, down) = (self.up.push(change.max(0.0)), self.down.push((-change).max(0.0)));
        let (up, down) = (up?, down?);
        Some(if down == 0.0 { 100.0 } else { 100.0 - 100.0 / (1.0 + up / down) })
    }
}

/// Highest high and lowest low of the last n bars.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Extremes {
    highs: Last<f64>,
    lows: Last<f64>,
}

impl Extremes {
    pub(super) fn new(window: usize) -> Self {
        Self { highs: Last::new(window), lows: Last::new(window) }
    }

    /// (high, low) from the n-th bar on.
    pub(super) fn push(&mut self, candle: &Candle) -> Option<(f64, f64)> {
        self.highs.push(candle.high());
        self.lows.push(candle.low());
        self.highs.is_full().then(|| (self.highs.highest(), self.lows.lowest()))
    }
}

/// Stochastic oscillator (Lane): %K = 100 (C − L)/(H − L) with H and L the extremes of the last n bars,
/// and %D, the mean of the last m %K. The fast one: %K itself is not smoothed.
///
/// While the price has not moved for n bars there is no %K, and no %D over it.
#[derive(Debug, Clone, PartialEq)]
pub struct StochasticOscillator {
    extremes: Extremes,
    recent: Last<Option<f64>>,
}

impl StochasticOscillator {
    /// Usually 14 and 3.
    #[must_use]
    pub fn new(window: usize, smooth: usize) -> Self {
        Self { extremes: Extremes::new(window), recent: Last::new(smooth) }
    }

    /// Takes in the next bar; from the n-th on, %K.
    pub fn push(&mut self, candle: &Candle) -> Option<Stochastic> {
        let (high, low) = self.extremes.push(candle)?;
        let k = (high > low).then(|| 100.0 * (candle.close() - low) / (high - low));
        self.recent.push(k);
        let sum = || self.recent.iter().sum::<Option<f64>>();
        let d =
            if self.recent.is_full() { sum().map(|sum| sum / self.recent.window()) } else { None };
        k.map(|k| Stochastic { k, d })
    }
}

/// Williams %R: −100 (H − C)/(H − L), 0 (at the highest) to −100; H and L as for [`StochasticOscillator`].
#[derive(Debug, Clone, PartialEq)]
pub struct WilliamsR(Extremes);

impl WilliamsR {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self(Extremes::new(window))
    }

    /// Takes in the next bar; from the n-th on, while the price moves.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let (high, low) = self.0.push(candle)?;
        (high > low).then(|| -100.0 * (high - candle.close()) / (high - low))
    }
}

/// Commodity channel index (Lambert 1980): (T − mean T)/(0.015 · mean |T − mean T|) with T the typical
/// price, both means over the last n. None while the price does not move.
#[derive(Debug, Clone, PartialEq)]
pub struct Cci(Last<f64>);

impl Cci {
    /// Lambert's constant: most values lie between −100 and 100.
    const CONSTANT: f64 = 0.015;

    /// Over `window` bars, usually 20.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self(Last::new(window))
    }

    /// Takes in the next bar; from the n-th on.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        // A factor of three in all of it goes out.
        let thrice = candle.typical_thrice();
        self.0.push(thrice);
        let mean = self.0.mean()?;
        let moves = self.0.highest() > self.0.lowest();
        let deviation =
            self.0.iter().map(|value| (value - mean).abs()).sum::<f64>() / self.0.window();
        (moves && deviation > 0.0).then(|| (thrice - mean) / (Self::CONSTANT * deviation))
    }
}

/// Rate of change: the close against that n bars before, per cent.
#[derive(Debug, Clone, PartialEq)]
pub struct Roc(Last<f64>);

impl Roc {
    /// Against `window` bars before, usually 12.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self(Last::new(window))
    }

    /// Takes in the next bar; from the (n + 1)-th on.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let before = self.0.push(candle.close())?;
        Some((candle.close() - before) / before * 100.0)
    }
}
