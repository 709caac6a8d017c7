//! The score: one number from 0 to 100 with one meaning.
//!
//! It states the **downside of the next day-equivalent**: the loss, in per cent of the price, that
//! the holder of an issue should reckon with at 95 % one-sided, in four parts that add up
//! ([`ScoreParts`]):
//!
//! - *volatility*: 1.645 forecast standard deviations of a day. The forecast blends the past (closes
//!   before today) with today (pre-averaged intraday variance and Parkinson's range), today
//!   gaining weight as the session goes on.
//! - *drawdown*: part of the fall under way, beyond what this noise explains: from the day's
//!   high, and within five minutes.
//! - *liquidity*: what getting out costs: half the spread, more when the book leans to the ask.
//! - *volume*: volume above its norm announces variance that prices have not shown yet (the mixture
//!   of distributions; Lamoureux & Lastrapes, Journal of Finance 1990).
//!
//! The weights of the last three are judgement, stated in [`ScoreWeights`], not a fit; the first is
//! the normal quantile. Score = 100·(1 − exp(−downside/d₀)), d₀ = 7.5 %: a quiet large cap (1.2 % a
//! day) has 23, an ordinary one (2 %) 36, a lively KOSDAQ issue (4 %) 58, and an issue in free fall
//! (6 % a day by now, 12 % under its high, 8 % of it within minutes, volume ninefold) passes 90;
//! 100 is never reached by numbers that occur. The curve is fixed: scores of different days, issues
//! and versions of the weights compare.
//!
//! Monotone in every input, bounded, and never NaN: an input that is not a number counts as 0.

use super::params::ScoreWeights;
use super::types::ScoreParts;

/// What a score is computed from; all fractions (0.02 is 2 %).
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct ScoreInput {
    /// Forecast standard deviation of a day.
    pub daily_volatility: f64,
    /// Fall from the day's high.
    pub day_fall: f64,
    /// Fall from the high of the long window.
    pub window_fall: f64,
    /// Standard deviation of the long window in quiet times.
    pub window_volatility: f64,
    /// Smoothed spread.
    pub spread: f64,
    /// Balance of the book, −1 to +1 (no bids).
    pub balance: f64,
    /// Present volume over its norm; 1 when not known.
    pub volume_ratio: f64,
}

/// Between 0 and `most`; 0 for what is not a number, where `clamp` would pass it on.
#[allow(clippy::manual_clamp, reason = "clamp keeps NaN")]
fn bounded(value: f64, most: f64) -> f64 {
    value.max(0.0).min(most)
}

/// The parts of the downside, per cent of price.
#[must_use]
pub fn parts(input: &ScoreInput, weights: &ScoreWeights) -> ScoreParts {
    let part = |fraction: f64| bounded(100.0 * fraction, weights.part_cap_pct);
    // Cut where its own part is full: beyond, more of it would only lower the drawdown part.
    let full = weights.part_cap_pct / (100.0 * weights.volatility_sigmas);
    let volatility = bounded(input.daily_volatility, full);
    let day_excess = (input.day_fall - volatility).max(0.0);
    let window_excess = (input.window_fall - 2.0 * input.window_volatility).max(0.0);
    let lean = 0.5 + 0.5 * bounded(input.balance, 1.0);
    let surge = input.volume_ratio.max(1.0).min(weights.volume_ratio_cap).ln();
    ScoreParts {
        volatility: part(weights.volatility_sigmas * volatility),
        drawdown: part(weights.day_fall * day_excess + weights.window_fall * window_excess),
        liquidity: part(lean * input.spread),
        volume: part(weights.volume * surge * volatility),
    }
}

/// The sum of the parts, per cent of price.
#[must_use]
pub fn downside_pct(parts: &ScoreParts) -> f64 {
    parts.volatility + parts.drawdown + parts.liquidity + parts.volume
}

/// The score of a downside, 0 to 100.
#[must_use]
pub fn score(parts: &ScoreParts, weights: &ScoreWeights) -> f64 {
    bounded(100.0 * (1.0 - (-downside_pct(parts) / weights.scale_pct).exp()), 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(input: ScoreInput) -> f64 {
        let weights = ScoreWeights::default();
        score(&parts(&input, &weights), &weights)
    }

    fn quiet(daily_volatility: f64) -> ScoreInput {
        ScoreInput { daily_volatility, spread: 0.001, volume_ratio: 1.0, ..ScoreInput::default() }
    }

    #[test]
    fn the_stated_marks() {
        for (input, low, high) in [
            (quiet(0.012), 22.0, 25.0),
            (quiet(0.02), 35.0, 38.0),
            (quiet(0.025), 40.0, 45.0),
            (quiet(0.04), 56.0, 60.0),
        ] {
            let score = of(input);
            assert!((low..high).contains(&score), "{input:?}: {score}");
        }
        let free_fall = ScoreInput {
            daily_volatility: 0.06,
            day_fall: 0.12,
            window_fall: 0.08,
            window_volatility: 0.0025,
            spread: 0.004,
            balance: 0.6,
            volume_ratio: 9.0,
        };
        assert!(of(free_fall) > 90.0, "{}", of(free_fall));
    }

    fn any_input() -> impl Strategy<Value = [f64; 7]> {
        let wild = || prop_oneof![4 => 0.0f64..0.5, 1 => any::<f64>()];
        [wild(), wild(), wild(), wild(), wild(), wild(), wild()]
    }

    fn input(v: [f64; 7]) -> ScoreInput {
        ScoreInput {
            daily_volatility: v[0],
            day_fall: v[1],
            window_fall: v[2],
            window_volatility: v[3],
            spread: v[4],
            balance: v[5],
            volume_ratio: v[6] * 40.0,
        }
    }

    proptest! {
        #[test]
        fn bounded_and_a_number(values in any_input()) {
            let weights = ScoreWeights::default();
            let parts = parts(&input(values), &weights);
            for part in [parts.volatility, parts.drawdown, parts.liquidity, parts.volume] {
                prop_assert!((0.0..=30.0).contains(&part), "{parts:?}");
            }
            prop_assert!((0.0..=100.0).contains(&score(&parts, &weights)));
        }

        #[test]
        fn monotone_in_every_part(values in [0.0f64..30.0, 0.0f64..30.0, 0.0f64..30.0, 0.0f64..30.0],
                                  which in 0usize..4, more in 0.01f64..5.0) {
            let weights = ScoreWeights::default();
            let make = |v: [f64; 4]| ScoreParts {
                volatility: v[0], drawdown: v[1], liquidity: v[2], volume: v[3],
            };
            let mut raised = values;
            raised[which] += more;
            prop_assert!(score(&make(raised), &weights) > score(&make(values), &weights));
        }

        /// More fall, spread, lean or volume never lowers it; nor does more volatility when
        /// the fall is within the noise.
        #[test]
        fn monotone_in_the_inputs(values in [0.0f64..0.3, 0.0f64..0.3, 0.0f64..0.3, 0.0f64..0.1,
                                             0.0f64..0.1, -1.0f64..1.0, 0.0f64..1.0],
                                  which in 0usize..7, more in 0.0f64..0.2) {
            let mut raised = values;
            raised[which] += more;
            let (low, high) = (of(input(values)), of(input(raised)));
            if which == 3 {
                prop_assert!(high <= low);
            } else {
                prop_assert!(high >= low, "{low} {high}");
            }
        }
    }
}
