//! The score: one number from 0 to 100 with one meaning.
//!
//! It states **where the downside of the next day-equivalent stands among those of ordinary days**:
//! a score of 80 says that four of five forecasts of Korean issues were milder. The downside is the
//! loss that the holder of an issue should reckon with on average in the worst 2.5 % of cases
//! (expected shortfall at 97.5 %), as a log return in per cent, so 17.8 means that 16.3 % of the price
//! are lost. It has four parts that add up ([`ScoreParts`]):
//!
//! - *volatility*: the daily model's forecast (`outlook.rs`) of the mean loss in the tail,
//!   carried on through the day: the deviation blends the forecast with today (pre-averaged
//!   intraday variance and Parkinson's range), today gaining weight as the session goes on.
//! - *drawdown*: part of the fall under way, beyond what this noise explains: from the day's
//!   high, and within five minutes.
//! - *liquidity*: what getting out costs: half the spread, more when the book leans to the ask.
//! - *volume*: volume above its norm announces variance that prices have not shown yet (the mixture
//!   of distributions; Lamoureux & Lastrapes, Journal of Finance 1990).
//!
//! The first is a fitted forecast whose coverage is measured (`bongsu evaluate`); the weights of the
//! last three are judgement, stated in [`ScoreWeights`]. The ordinary days are the 314,704 forecasts
//! of liquid KOSPI issues from 2022 to mid-2024 ([`ORDINARY`]): half of them are below 5.25 %, one in
//! a hundred is above 17.8 %. The scale is fixed: scores of different days, issues and versions of
//! the model compare. Beyond it the last point is approached and never reached: on the day after
//! 2024-08-05 the median issue had a downside of 22 %, which is 99.2.
//!
//! Monotone in every input, bounded, and never NaN: an input that is not a number counts as 0.

use super::params::ScoreWeights;
use super::types::ScoreParts;

/// What a score is computed from; all fractions (0.02 is 2 %).
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct ScoreInput {
    /// Forecast standard deviation of a day.
    pub daily_volatility: f64,
    /// Mean loss in the worst 2.5 % of days, in standard deviations.
    pub tail: f64,
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
    let tail = bounded(input.tail, MAX_TAIL);
    let full = weights.part_cap_pct / (100.0 * tail.max(1.0));
    let volatility = bounded(input.daily_volatility, full);
    let day_excess = (input.day_fall - volatility).max(0.0);
    let window_excess = (input.window_fall - 2.0 * input.window_volatility).max(0.0);
    let lean = 0.5 + 0.5 * bounded(input.balance, 1.0);
    let surge = input.volume_ratio.max(1.0).min(weights.volume_ratio_cap).ln();
    ScoreParts {
        volatility: part(tail * volatility),
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

/// Standard deviations that a mean tail loss is bounded to: those of the KOSPI issues have 3.4 in
/// one case of a hundred.
const MAX_TAIL: f64 = 8.0;

/// Per cent of the ordinary days, and the downside, per cent of price, that so many of them are
/// below.
pub const ORDINARY: [(f64, f64); 25] = [
    (0.0, 0.0),
    (1.0, 1.843),
    (2.0, 2.100),
    (5.0, 2.529),
    (10.0, 2.972),
    (15.0, 3.311),
    (20.0, 3.614),
    (25.0, 3.892),
    (30.0, 4.161),
    (35.0, 4.426),
    (40.0, 4.692),
    (45.0, 4.964),
    (50.0, 5.251),
    (55.0, 5.554),
    (60.0, 5.880),
    (65.0, 6.245),
    (70.0, 6.660),
    (75.0, 7.153),
    (80.0, 7.754),
    (85.0, 8.551),
    (90.0, 9.749),
    (95.0, 11.929),
    (98.0, 15.176),
    (98.5, 16.330),
    (99.0, 17.794),
];

/// The score of a downside, 0 to 100: linear between the points of [`ORDINARY`]; beyond the last,
/// what is missing to 100 falls by the factor e with each further 17.8 %.
#[must_use]
pub fn score(parts: &ScoreParts) -> f64 {
    let downside = downside_pct(parts);
    let above = ORDINARY.partition_point(|(_, loss)| *loss <= downside);
    let (percent, loss) = ORDINARY[above.saturating_sub(1)];
    let score = match ORDINARY.get(above) {
        Some((next, further)) => percent + (next - percent) * (downside - loss) / (further - loss),
        None => percent + (100.0 - percent) * -(-(downside - loss) / loss).exp_m1(),
    };
    bounded(score, 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(input: ScoreInput) -> f64 {
        let weights = ScoreWeights::default();
        score(&parts(&input, &weights))
    }

    fn quiet(daily_volatility: f64) -> ScoreInput {
        let (spread, volume_ratio) = (0.001, 1.0);
        ScoreInput { daily_volatility, tail: 2.4, spread, volume_ratio, ..ScoreInput::default() }
    }

    #[test]
    fn the_stated_marks() {
        for (input, low, high) in [
            // 2.4 deviations and half the spread: 2.93, 4.85, 6.05 and 9.65 per cent.
            (quiet(0.012), 9.0, 10.0),
            (quiet(0.02), 42.0, 44.0),
            (quiet(0.025), 62.0, 63.0),
            (quiet(0.04), 89.0, 90.0),
        ] {
            let score = of(input);
            assert!((low..high).contains(&score), "{input:?}: {score}");
        }
        let free_fall = ScoreInput {
            daily_volatility: 0.06,
            tail: 2.4,
            day_fall: 0.12,
            window_fall: 0.08,
            window_volatility: 0.0025,
            spread: 0.004,
            balance: 0.6,
            volume_ratio: 9.0,
        };
        assert!((99.0..100.0).contains(&of(free_fall)), "{}", of(free_fall));
    }

    #[test]
    fn the_points_of_the_scale() {
        let of = |volatility| score(&ScoreParts { volatility, ..ScoreParts::default() });
        for (percent, loss) in ORDINARY {
            assert!((of(loss) - percent).abs() < 1e-9, "{loss}");
        }
        assert!(ORDINARY.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
        assert!((of(2.0 * 17.794) - (100.0 - (-1.0_f64).exp())).abs() < 1e-9);
        assert_eq!(of(f64::NAN), 0.0);
    }

    proptest! {
        /// A longer tail never lowers it.
        #[test]
        fn monotone_in_the_tail(volatility in 0.0..0.2f64, fall in 0.0..0.3f64,
                                tail in 0.5..9.0f64, more in 0.0..3.0f64) {
            let with = |tail| of(ScoreInput { tail, day_fall: fall, ..quiet(volatility) });
            prop_assert!(with(tail + more) >= with(tail));
        }
    }

    fn any_input() -> impl Strategy<Value = [f64; 7]> {
        let wild = || prop_oneof![4 => 0.0f64..0.5, 1 => any::<f64>()];
        [wild(), wild(), wild(), wild(), wild(), wild(), wild()]
    }

    fn input(v: [f64; 7]) -> ScoreInput {
        ScoreInput {
            daily_volatility: v[0],
            tail: 2.4,
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
            prop_assert!((0.0..=100.0).contains(&score(&parts)));
        }

        #[test]
        fn monotone_in_every_part(values in [0.0f64..30.0, 0.0f64..30.0, 0.0f64..30.0, 0.0f64..30.0],
                                  which in 0usize..4, more in 0.01f64..5.0) {
            let make = |v: [f64; 4]| ScoreParts {
                volatility: v[0], drawdown: v[1], liquidity: v[2], volume: v[3],
            };
            let mut raised = values;
            raised[which] += more;
            prop_assert!(score(&make(raised)) > score(&make(values)));
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
