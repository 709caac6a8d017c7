//! Returns of one issue over bars of [`BAR_S`] seconds of event time, and the price the present
//! bar is compared with.
//!
//! A bar closes at the last sample in it (the mid of the quotes where the caller knows it, so that
//! bid-ask bounce is out). A return is taken from the close of the bar before to the close of the
//! bar, and over several bars where some had no sample. [`BarReturns::interrupt`] breaks the chain:
//! what comes after missing trades, a halt or an auction is no return of continuous trading.
//!
//! Input: event seconds and samples above zero. A second from the past counts as of now. O(1).

use serde::{Deserialize, Serialize};

/// Length of a bar, seconds.
pub const BAR_S: i64 = 30;

/// A return of a bar that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarReturn {
    /// Natural logarithm of close over close before.
    pub change: f64,
    /// Bars it lasted, at least one.
    pub bars: i64,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BarReturns {
    index: i64,
    last: f64,
    anchor: f64,
    anchor_index: i64,
}

impl Default for BarReturns {
    fn default() -> Self {
        Self { index: i64::MIN, last: 0.0, anchor: 0.0, anchor_index: 0 }
    }
}

impl BarReturns {
    /// Takes in a sample above zero; the return of the bar that it ends, if there is one.
    /// Also tells whether a bar began with it.
    pub fn push(&mut self, second: i64, sample: f64) -> (bool, Option<BarReturn>) {
        let index = second.div_euclid(BAR_S);
        if index <= self.index {
            self.last = sample;
            return (false, None);
        }
        let ended = (self.last > 0.0 && self.anchor > 0.0).then(|| BarReturn {
            change: (self.last / self.anchor).ln(),
            bars: (self.index - self.anchor_index).max(1),
        });
        if self.last > 0.0 {
            (self.anchor, self.anchor_index) = (self.last, self.index);
        }
        (self.index, self.last) = (index, sample);
        (true, ended)
    }

    /// Forgets what was before: the next sample begins a chain of its own.
    pub fn interrupt(&mut self) {
        *self = Self::default();
    }

    /// Close of the last bar that ended, and the bars since; `None` before the first.
    #[must_use]
    pub fn anchor(&self) -> Option<(f64, i64)> {
        (self.anchor > 0.0).then(|| (self.anchor, (self.index - self.anchor_index).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            steps in prop::collection::vec((0i64..100, 1.0f64..1e6), 1..80),
        ) {
            let mut bars = BarReturns::default();
            let (mut second, mut found) = (70, Vec::new());
            let mut closes = BTreeMap::new();
            for (step, sample) in steps {
                second += step;
                found.extend(bars.push(second, sample).1);
                closes.insert(second / BAR_S, sample);
            }
            let closes: Vec<_> = closes.into_iter().collect();
            let ended = &closes[..closes.len() - 1];
            let expected: Vec<_> = ended
                .windows(2)
                .map(|pair| BarReturn {
                    change: (pair[1].1 / pair[0].1).ln(),
                    bars: pair[1].0 - pair[0].0,
                })
                .collect();
            prop_assert_eq!(found, expected);
            let anchor = ended.last().map(|(index, close)| (*close, closes[closes.len() - 1].0 - index));
            prop_assert_eq!(bars.anchor(), anchor);
        }
    }

    #[test]
    fn an_interruption_breaks_the_chain() {
        let mut bars = BarReturns::default();
        bars.push(0, 100.0);
        bars.push(30, 101.0);
        assert_eq!(bars.anchor(), Some((100.0, 1)));
        bars.interrupt();
        assert_eq!(bars.push(60, 50.0), (true, None));
        assert_eq!(bars.push(90, 50.0), (true, None));
        assert_eq!(bars.push(120, 50.0), (true, Some(BarReturn { change: 0.0, bars: 1 })));
    }
}
