//! What an indicator takes in, and the last n of anything.

use std::collections::VecDeque;

use crate::market::bars::Bar;
use crate::market::daily::DayPrices;

/// One bar as numbers: prices above zero, in order (low ≤ open, close ≤ high), volume not below zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candle {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
}

impl Candle {
    /// The largest price or volume, and the inverse of the smallest price: sums of products and
    /// ratios of such numbers are still numbers.
    const MOST: f64 = 1e19;

    /// From open, high, low and close in any one unit and a volume in any other; `None` for what is
    /// no number, a price not above zero (below 10⁻¹⁹), a volume below it, or either beyond 10¹⁹. A
    /// high or low out of order is moved to hold open and close.
    #[must_use]
    pub fn new([open, high, low, close]: [f64; 4], volume: f64) -> Option<Self> {
        let is_price = |price: f64| (1.0 / Self::MOST..=Self::MOST).contains(&price);
        if ![open, high, low, close].into_iter().all(is_price)
            || !(0.0..=Self::MOST).contains(&volume)
        {
            return None;
        }
        let (top, bottom) = (high.max(low), high.min(low));
        let (high, low) = (top.max(open).max(close), bottom.min(open).min(close));
        Some(Self { open, high, low, close, volume })
    }

    /// Of a bar; `None` when that has no price.
    #[must_use]
    pub fn of(bar: &Bar) -> Option<Self> {
        let prices = [bar.open, bar.high, bar.low, bar.close].map(|price| price as f64);
        Self::new(prices, bar.volume as f64)
    }

    /// Its prices as those of a session, for the estimators of ranges.
    pub(super) fn prices(&self) -> Option<DayPrices> {
        DayPrices::new(self.open, self.high, self.low, self.close)
    }

    /// First price.
    #[must_use]
    pub const fn open(&self) -> f64 {
        self.open
    }

    /// Highest price.
    #[must_use]
    pub const fn high(&self) -> f64 {
        self.high
    }

    /// Lowest price.
    #[must_use]
    pub const fn low(&self) -> f64 {
        self.low
    }

    /// Last price.
    #[must_use]
    pub const fn close(&self) -> f64 {
        self.close
    }

    /// Volume.
    #[must_use]
    pub const fn volume(&self) -> f64 {
        self.volume
    }

    /// Three times the typical price, high + low + close: whole for whole prices, so that equal
    /// ones stay equal.
    pub(super) const fn typical_thrice(&self) -> f64 {
        self.high + self.low + self.close
    }

    /// The typical price (high + low + close)/3.
    #[must_use]
    pub const fn typical(&self) -> f64 {
        self.typical_thrice() / 3.0
    }

    /// The true range after a close: how far the price went, the gap included (Wilder 1978).
    #[must_use]
    pub const fn true_range(&self, before: Option<f64>) -> f64 {
        match before {
            Some(before) => self.high.max(before) - self.low.min(before),
            None => self.high - self.low,
        }
    }
}

/// The last n values. Sums are taken anew over them each time: n is small, and a sum that is
/// carried on drifts away from the values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Last<T> {
    window: usize,
    values: VecDeque<T>,
}

impl<T: Copy> Last<T> {
    /// At least one.
    pub(super) fn new(window: usize) -> Self {
        Self { window: window.max(1), values: VecDeque::new() }
    }

    /// Takes in the next; returns what leaves the window.
    pub(super) fn push(&mut self, value: T) -> Option<T> {
        let full = self.is_full();
        let gone = if full { self.values.pop_front() } else { None };
        self.values.push_back(value);
        gone
    }

    pub(super) fn is_full(&self) -> bool {
        self.values.len() == self.window
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> + Clone + '_ {
        self.values.iter().copied()
    }

    pub(super) const fn window(&self) -> f64 {
        self.window as f64
    }
}

impl Last<f64> {
    pub(super) fn sum(&self) -> f64 {
        self.iter().sum()
    }

    /// Of a full window.
    pub(super) fn mean(&self) -> Option<f64> {
        self.is_full().then(|| self.sum() / self.window())
    }

    /// 0 when there is none; prices are above.
    pub(super) fn highest(&self) -> f64 {
        self.iter().fold(0.0, f64::max)
    }

    /// Infinite when there is none.
    pub(super) fn lowest(&self) -> f64 {
        self.iter().fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_candle_is_in_order_or_none(numbers in prop::array::uniform5(any::<f64>())) {
            let [open, high, low, close, volume] = numbers;
            if let Some(candle) = Candle::new([open, high, low, close], volume) {
                prop_assert!(0.0 < candle.low && candle.low <= candle.close.min(candle.open));
                prop_assert!(candle.close.max(candle.open) <= candle.high && candle.volume >= 0.0);
                prop_assert!(candle.prices().is_some());
                prop_assert!(candle.true_range(Some(close)) >= 0.0);
            }
        }
    }

    #[test]
    fn gaps_belong_to_the_true_range() {
        let candle = Candle::new([101.0, 110.0, 100.0, 105.0], 1.0).unwrap();
        assert_eq!(
            [None, Some(90.0), Some(115.0)].map(|b| candle.true_range(b)),
            [10.0, 20.0, 15.0]
        );
        assert_eq!(candle.typical(), 105.0);
    }

    #[test]
    fn the_last_n_are_kept() {
        let mut last = Last::new(2);
        assert_eq!([1.0, 2.0, 3.0].map(|value| last.push(value)), [None, None, Some(1.0)]);
        assert_eq!(
            (last.sum(), last.mean(), last.highest(), last.lowest()),
            (5.0, Some(2.5), 3.0, 2.0)
        );
    }
}
