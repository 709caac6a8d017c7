//! Range, trend and fall: ATR, ADX with ±DI, Donchian channel, ulcer index.

use super::candle::{Candle, Last};
use super::momentum::Extremes;
use super::{Band, Directional};

/// Average true range (Wilder 1978): the mean of the first n true ranges, then
/// y ← ((n − 1) y + TR)/n. The first bar's true range is its own, high less low.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Atr {
    window: u32,
    seen: u32,
    before: Option<f64>,
    /// Their sum until there are n, then the average.
    value: f64,
}

impl Atr {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub fn new(window: usize) -> Self {
        let window = u32::try_from(window.max(1)).unwrap_or(u32::MAX);
        Self { window, seen: 0, before: None, value: 0.0 }
    }

    /// Takes in the next bar; from the n-th on, in the unit of the price.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let range = candle.true_range(self.before);
        self.before = Some(candle.close());
        let n = f64::from(self.window);
        if self.seen < self.window {
            self.seen += 1;
            self.value += range;
            if self.seen < self.window {
                return None;
            }
            self.value /= n;
        } else {
            self.value = (self.value * (n - 1.0) + range) / n;
        }
        Some(self.value)
    }
}

/// Wilder's running sum: that of the first n, then y ← y − y/n + x.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct WilderSum(f64);

impl WilderSum {
    fn push(&mut self, value: f64, warm: bool, n: f64) {
        if warm {
            self.0 -= self.0 / n;
        }
        self.0 += value;
    }
}

/// Average directional index and ±DI (Wilder 1978).
///
/// From the second bar on, +DM is the rise of the high where that is above 0 and above the fall of the low, −DM
/// the fall of the low likewise; ±DI = 100 · ±DM / TR of their running sums (that of the first n, then
/// y − y/n + x), from bar n + 1 on. ADX is the average of DX = 100 |+DI − −DI| / (+DI + −DI): the mean of the
/// first n, then ((n − 1) y + DX)/n, from bar 2n on. 0 where a divisor is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Adx {
    window: u32,
    before: Option<Candle>,
    /// Bars after the first.
    moves: u32,
    range: WilderSum,
    plus: WilderSum,
    minus: WilderSum,
    /// Sum of the first n DX, then the ADX.
    index: f64,
    indices: u32,
}

impl Adx {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub fn new(window: usize) -> Self {
        let window = u32::try_from(window.max(1)).unwrap_or(u32::MAX);
        let (range, plus, minus) = Default::default();
        Self { window, before: None, moves: 0, range, plus, minus, index: 0.0, indices: 0 }
    }

    /// Takes in the next bar; from the (n + 1)-th on.
    pub fn push(&mut self, candle: &Candle) -> Option<Directional> {
        let before = self.before.replace(*candle)?;
        let n = f64::from(self.window);
        let (up, down) = (candle.high() - before.high(), before.low() - candle.low());
        let warm = self.moves >= self.window;
        self.range.push(candle.true_range(Some(before.close())), warm, n);
        self.plus.push(if up > down && up > 0.0 { up } else { 0.0 }, warm, n);
        self.minus.push(if down > up && down > 0.0 { down } else { 0.0 }, warm, n);
        self.moves = self.moves.saturating_add(1);
        if self.moves < self.window {
            return None;
        }
        let (plus, minus) = (self.part(self.plus), self.part(self.minus));
        Some(Directional {
            plus,
            minus,
            adx: self.average(share(plus - minus, plus + minus).abs()),
        })
    }

    fn part(&self, of: WilderSum) -> f64 {
        share(of.0, self.range.0)
    }

    fn average(&mut self, index: f64) -> Option<f64> {
        let n = f64::from(self.window);
        if self.indices < self.window {
            self.indices += 1;
            self.index += index;
            if self.indices < self.window {
                return None;
            }
            self.index /= n;
        } else {
            self.index = (self.index * (n - 1.0) + index) / n;
        }
        Some(self.index)
    }
}

/// Per cent; 0 where the whole is 0.
fn share(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { 100.0 * (part / whole) }
}

/// Donchian channel: highest high and lowest low of the last n bars, this one included, and the
/// middle of the two.
#[derive(Debug, Clone, PartialEq)]
pub struct Donchian(Extremes);

impl Donchian {
    /// Over `window` bars, usually 20.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self(Extremes::new(window))
    }

    /// Takes in the next bar; from the n-th on.
    pub fn push(&mut self, candle: &Candle) -> Option<Band> {
        let (upper, lower) = self.0.push(candle)?;
        Some(Band { middle: (upper - lower) / 2.0 + lower, upper, lower })
    }
}

/// Ulcer index (Martin & McCann 1989): root of the mean squared fall, in per cent, of the close below
/// the highest close of the n bars up to it; the mean over the last n.
#[derive(Debug, Clone, PartialEq)]
pub struct UlcerIndex {
    closes: Last<f64>,
    falls: Last<f64>,
}

impl UlcerIndex {
    /// Over `window` bars, usually 14.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { closes: Last::new(window), falls: Last::new(window) }
    }

    /// Takes in the next bar; from the n-th on (the highest close of the first bars is that of the
    /// bars there are), per cent.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        self.closes.push(candle.close());
        let peak = self.closes.highest();
        self.falls.push((100.0 * (candle.close() - peak) / peak).powi(2));
        self.falls.mean().map(f64::sqrt)
    }
}
