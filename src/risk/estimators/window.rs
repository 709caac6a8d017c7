//! High, low and return over the last minute and the last five, in bounded memory.
//!
//! A ring of [`BUCKETS`] buckets of [`BUCKET_S`] seconds each. A window of w seconds is the bucket
//! in progress and the w/10 − 1 before it: it looks back between w − 10 and w seconds. The extremes
//! of the finished buckets are cached when a bucket ends (once in ten seconds, 31 steps), so a
//! trade costs two comparisons, however many there are.
//!
//! Input: event seconds and prices above zero. A price from the past is counted as of now; after
//! silence, the skipped buckets are empty. Prices are kept in 32 bits: above 2,147,483,647 (won, or
//! hundredths of an index point; a thousand times what the exchange has seen) they saturate.

use serde::{Deserialize, Serialize};

/// Seconds in a bucket.
pub const BUCKET_S: i64 = 10;
/// Buckets kept; a power of two, at least one more than the long window needs.
pub const BUCKETS: usize = 32;
/// The short window, seconds.
pub const SHORT_S: u32 = 60;
/// The long window, seconds.
pub const LONG_S: u32 = 300;

const SHORT: i64 = SHORT_S as i64 / BUCKET_S;
const LONG: i64 = LONG_S as i64 / BUCKET_S;

/// See the module. Slots of the ring that hold no bucket of the long window have neutral extremes,
/// so that the extremes of the window are those of the whole arrays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    index: i64,
    first: i32,
    current_high: i32,
    current_low: i32,
    /// Last price.
    close: i32,
    finished_short_high: i32,
    finished_long_high: i32,
    finished_long_low: i32,
    highs: [i32; BUCKETS],
    lows: [i32; BUCKETS],
    /// Last price known at the end of each bucket; carried over empty ones; 0 before the first.
    closes: [i32; BUCKETS],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            index: i64::MIN,
            first: 0,
            current_high: 0,
            current_low: i32::MAX,
            close: 0,
            finished_short_high: 0,
            finished_long_high: 0,
            finished_long_low: i32::MAX,
            highs: [0; BUCKETS],
            lows: [i32::MAX; BUCKETS],
            closes: [0; BUCKETS],
        }
    }
}

const fn slot(index: i64) -> usize {
    index.rem_euclid(BUCKETS as i64) as usize
}

impl Window {
    /// Takes in a price above zero at an event second.
    pub fn push(&mut self, second: i64, price: i64) {
        let price = i32::try_from(price).unwrap_or(i32::MAX);
        let index = second.div_euclid(BUCKET_S);
        if self.index == i64::MIN {
            self.index = index;
            self.first = price;
        } else if index > self.index {
            self.roll(index);
        }
        self.current_high = self.current_high.max(price);
        self.current_low = self.current_low.min(price);
        self.close = price;
    }

    /// Ends the bucket in progress and begins the one at `index`.
    fn roll(&mut self, index: i64) {
        self.set(self.index, self.current_high, self.current_low);
        let skipped = (index - self.index - 1).min(BUCKETS as i64);
        for back in 1..=skipped {
            self.set(index - back, 0, i32::MAX);
        }
        (self.current_high, self.current_low) = (0, i32::MAX);
        self.index = index;
        // What has left the window: of the 32 slots one is in progress and 29 are in it.
        for gone in LONG..=BUCKETS as i64 {
            (self.highs[slot(index - gone)], self.lows[slot(index - gone)]) = (0, i32::MAX);
        }
        self.finished_long_high = self.highs.iter().fold(0, |high, next| high.max(*next));
        self.finished_long_low = self.lows.iter().fold(i32::MAX, |low, next| low.min(*next));
        self.finished_short_high =
            (1..SHORT).fold(0, |high, back| high.max(self.highs[slot(index - back)]));
    }

    fn set(&mut self, index: i64, high: i32, low: i32) {
        let slot = slot(index);
        (self.highs[slot], self.lows[slot], self.closes[slot]) = (high, low, self.close);
    }

    /// Highest price of the short window; 0 before the first.
    #[must_use]
    pub fn short_high(&self) -> i64 {
        i64::from(self.finished_short_high.max(self.current_high))
    }

    /// Highest price of the long window; 0 before the first.
    #[must_use]
    pub fn long_high(&self) -> i64 {
        i64::from(self.finished_long_high.max(self.current_high))
    }

    /// Lowest price of the long window; 0 before the first.
    #[must_use]
    pub fn long_low(&self) -> i64 {
        if self.first == 0 { 0 } else { i64::from(self.finished_long_low.min(self.current_low)) }
    }

    /// Change of the last price against the last one before the long window (or the first ever,
    /// when there is none before it), as a fraction; 0 before the first.
    #[must_use]
    pub fn long_return(&self) -> f64 {
        if self.first == 0 {
            return 0.0;
        }
        let before = self.closes[slot(self.index - LONG)];
        let before = if before == 0 { self.first } else { before };
        f64::from(self.close) / f64::from(before) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((0i64..90, 1i64..1_000_000), 1..120),
        ) {
            let mut window = Window::default();
            let mut seen: Vec<(i64, i64)> = Vec::new();
            let mut second = 50_000;
            for (step, price) in steps {
                second += if step > 80 { step * 10 } else { step };
                window.push(second, price);
                seen.push((second / BUCKET_S, price));
                let now = second / BUCKET_S;
                let within = |n: i64| seen.iter().filter(move |(b, _)| now - b < n).map(|x| x.1);
                prop_assert_eq!(window.short_high(), within(6).max().unwrap());
                prop_assert_eq!(window.long_high(), within(30).max().unwrap());
                prop_assert_eq!(window.long_low(), within(30).min().unwrap());
                let before = seen.iter().rfind(|(b, _)| now - b >= 30).unwrap_or(&seen[0]).1;
                let expected = price as f64 / before as f64 - 1.0;
                prop_assert!((window.long_return() - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn absurd_prices_saturate() {
        let mut window = Window::default();
        window.push(0, i64::MAX);
        assert_eq!(window.long_high(), i64::from(i32::MAX));
    }
}
