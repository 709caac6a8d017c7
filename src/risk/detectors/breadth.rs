//! A fall of the market as the watched issues show it.
//!
//! An index may fall 8 % while the median issue falls 2 %, or the other way round: both views
//! count. Every traded issue stands in a histogram of its fall against the base price, in
//! steps of half a per cent; a trade moves it at most one place in and out, and the sums are taken
//! once a second of event time. So the cost a trade does not grow with the number of issues. The
//! median is interpolated within its step.

use serde::{Deserialize, Serialize};

use super::index_fall::Moments;
use super::{Finding, Latch, level, rung};
use crate::market::EventTime;
use crate::risk::params::MarketCrashParams;

const STEPS_PER_PCT: f64 = 2.0;
const RANGE_PCT: f64 = 32.0;
const STEPS: usize = 128;

/// Place of an issue in the histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step(u8);

impl Step {
    /// Of a change against the base price, per cent.
    #[must_use]
    pub fn of(change_pct: f64) -> Self {
        // A float that is too small, too large or not a number saturates or becomes 0.
        Self((((RANGE_PCT - change_pct) * STEPS_PER_PCT) as u8).min(STEPS as u8 - 1))
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Breadth {
    #[serde(with = "counts")]
    counts: [u32; STEPS],
    issues: u32,
    latch: Latch,
    median: f64,
}

/// The histogram as a sequence: serde knows arrays of up to 32.
mod counts {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::STEPS;

    pub fn serialize<S: Serializer>(counts: &[u32; STEPS], to: S) -> Result<S::Ok, S::Error> {
        counts.as_slice().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u32; STEPS], D::Error> {
        let counts = Vec::<u32>::deserialize(from)?;
        let length = counts.len();
        counts.try_into().map_err(|_| D::Error::invalid_length(length, &"128 steps"))
    }
}

impl Default for Breadth {
    fn default() -> Self {
        Self { counts: [0; STEPS], issues: 0, latch: Latch::default(), median: 0.0 }
    }
}

impl Breadth {
    /// Moves an issue from its former place, if it had one today, to a new one.
    pub fn place(&mut self, from: Option<Step>, to: Step) {
        match from {
            Some(from) if from == to => return,
            Some(from) => self.counts[usize::from(from.0)] -= 1,
            None => self.issues += 1,
        }
        self.counts[usize::from(to.0)] += 1;
    }

    /// Issues traded today.
    #[must_use]
    pub const fn issues(&self) -> u32 {
        self.issues
    }

    /// Fall of the median issue at the last check with enough issues, per cent; 0 before it.
    #[must_use]
    pub const fn last_median_fall_pct(&self) -> f64 {
        self.median
    }

    /// Share of issues down by `pct` per cent or more (rounded up to half a per cent).
    #[must_use]
    pub fn share_down(&self, pct: f64) -> f64 {
        let from = (((RANGE_PCT + pct) * STEPS_PER_PCT).ceil() as usize).min(STEPS);
        let down: u32 = self.counts[from..].iter().sum();
        f64::from(down) / f64::from(self.issues.max(1))
    }

    /// Fall of the median issue, per cent; negative when it rose, 0 when there is none.
    #[must_use]
    pub fn median_fall_pct(&self) -> f64 {
        let half = f64::from(self.issues) / 2.0;
        let mut below = 0.0;
        for (step, count) in self.counts.iter().enumerate() {
            let count = f64::from(*count);
            if count > 0.0 && below + count >= half {
                let place = step as f64 + (half - below) / count;
                return place / STEPS_PER_PCT - RANGE_PCT;
            }
            below += count;
        }
        0.0
    }

    /// Looks at the market; to be called at most once a second of event time.
    pub fn check(
        &mut self,
        params: &MarketCrashParams,
        time: EventTime,
        moments: &mut Moments,
    ) -> Option<Finding> {
        if self.issues < params.breadth_issues {
            return None;
        }
        let median = self.median_fall_pct();
        self.median = median;
        let by_median = rung(median, &params.median_falls_pct);
        let shares = params.down_pct.map(|pct| self.share_down(pct));
        let by_share = (0..3).take_while(|i| shares[*i] >= params.down_share[*i]).count() as u8;
        let rung = by_median.max(by_share);
        let receded = median < params.rearm * params.median_falls_pct[0]
            && shares[0] < params.rearm * params.down_share[0];
        let now = time.second();
        if !self.latch.is_news(rung, receded, now, params.cooldown_s)
            || !moments.claim(time, level(rung))
        {
            return None;
        }
        self.latch.told(rung, now);
        Some(Finding {
            level: level(rung),
            price: 0,
            reference_price: 0,
            change_pct: -median,
            window_s: 0,
            evidence: vec![
                ("median_change_pct", -median),
                ("issues", f64::from(self.issues)),
                ("share_down_5pct", self.share_down(5.0)),
                ("share_down_8pct", self.share_down(8.0)),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::types::Level;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_recomputation(
            moves in prop::collection::vec((0usize..12, -300i32..300), 1..150),
        ) {
            let mut breadth = Breadth::default();
            let mut places = [None; 12];
            let mut changes = [None; 12];
            for (issue, tenths) in moves {
                let change = f64::from(tenths) / 10.0;
                let step = Step::of(change);
                breadth.place(places[issue], step);
                places[issue] = Some(step);
                changes[issue] = Some(change);
            }
            let mut known: Vec<f64> = changes.iter().flatten().copied().collect();
            known.sort_by(f64::total_cmp);
            prop_assert_eq!(breadth.issues() as usize, known.len());
            for pct in [0.5, 3.0, 5.0, 8.0] {
                let down = known.iter().filter(|change| **change <= -pct).count();
                let expected = down as f64 / known.len() as f64;
                prop_assert!((breadth.share_down(pct) - expected).abs() < 1e-12);
            }
            // The half-th value from the bottom or top, whichever way a tie falls.
            let n = known.len();
            let (low, high) = (known[(n - 1) / 2], known[n / 2]);
            let median = -breadth.median_fall_pct();
            prop_assert!(median >= low - 0.5 && median <= high + 0.5, "{median} {low} {high}");
        }
    }

    #[test]
    fn few_issues_say_nothing_and_many_do() {
        let params = MarketCrashParams::default();
        let (mut breadth, mut moments) = (Breadth::default(), Moments::default());
        for _ in 0..19 {
            breadth.place(None, Step::of(-9.0));
        }
        assert_eq!(breadth.check(&params, EventTime::from_micros(1), &mut moments), None);
        breadth.place(None, Step::of(-9.0));
        let found = breadth.check(&params, EventTime::from_micros(2), &mut moments).unwrap();
        assert_eq!(found.level, Level::Critical);
        assert!((found.change_pct + 9.0).abs() < 0.5);
    }

    #[test]
    fn absurd_changes_have_a_place() {
        for change in [f64::NAN, f64::INFINITY, -1e300, 1e300, -99.0] {
            let mut breadth = Breadth::default();
            breadth.place(None, Step::of(change));
            assert_eq!(breadth.issues(), 1);
        }
    }
}
