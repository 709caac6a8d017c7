//! The slopes of the downside scale, renewed each half-year.
//!
//! | | |
//! |---|---|
//! | what | effect of one deviation of each input on ln g² ([`shape`](super::shape)) |
//! | from | for a session the latest row dated on or before it; the first row for all before |
//! | estimated on | days before the row's date and nothing later: large Korean issues from 2015 on, KOSPI issues from 2020 on |
//! | by | gamma likelihood of min(z, 0)² on the standardised inputs, each session counting once |
//! | fixed | the inputs, and the means and deviations they are standardised with: those of days before 2022 |
//!
//! A row is the same estimate as the one before it on half a year more. They are constants, and not
//! fitted on the data at hand, because they need more years than most data have: a file that begins
//! in 2020 holds, before 2022, one crash. A session after the last row is forecast with the last row;
//! from 2022-07 on rows differ little, the open's in its US terms most.
//!
//! The scale enters in two places, with one meaning. A past residual is divided by the scale of its
//! own session, made of the row of that day; the forecast of a session is multiplied by the scale
//! of that session. A fitted model is for the sessions after its data and keeps the row of the day
//! that follows them.

use super::shape::{LevelRule, ScaleInput, ScaleTerm, TailShape};
use crate::market::SessionDay;

/// Inputs, with the means and deviations that they are standardised with. The first four are known
/// at the close.
const INPUTS: [(ScaleInput, f64, f64); 6] = [
    (ScaleInput::Bz, -0.005_397, 0.136_948),
    (ScaleInput::Mpos1, 0.390_574, 0.568_296),
    (ScaleInput::BzSize, -0.003_832, 0.201_205),
    (ScaleInput::Size, 0.501_284, 1.375_608),
    (ScaleInput::Ousret, 0.040_764, 0.781_264),
    (ScaleInput::Ousneg, -0.262_086, 0.505_473),
];

/// Slopes from the first day of a month on, in the order of [`INPUTS`].
struct Renewal {
    year: u32,
    month: u32,
    close: [f64; 4],
    open: [f64; 6],
}

const fn renewal((year, month): (u32, u32), close: [f64; 4], open: [f64; 6]) -> Renewal {
    Renewal { year, month, close, open }
}

/// Ascending.
const RENEWALS: [Renewal; 8] = [
    renewal(
        (2022, 1),
        [-0.105_466, -0.058_422, 0.044_103, 0.109_561],
        [-0.081_331, -0.051_282, 0.040_749, 0.116_322, -0.206_959, 0.074_049],
    ),
    renewal(
        (2022, 7),
        [-0.115_242, -0.077_012, 0.053_998, 0.106_389],
        [-0.101_784, -0.059_211, 0.053_149, 0.115_776, -0.225_087, 0.085_618],
    ),
    renewal(
        (2023, 1),
        [-0.116_310, -0.073_743, 0.056_145, 0.105_281],
        [-0.101_530, -0.054_282, 0.054_466, 0.117_529, -0.269_824, 0.112_680],
    ),
    renewal(
        (2023, 7),
        [-0.112_212, -0.075_827, 0.053_410, 0.110_153],
        [-0.100_357, -0.055_351, 0.052_159, 0.119_514, -0.283_596, 0.129_041],
    ),
    renewal(
        (2024, 1),
        [-0.108_050, -0.073_179, 0.049_408, 0.106_058],
        [-0.096_501, -0.053_277, 0.048_650, 0.112_842, -0.276_365, 0.120_792],
    ),
    renewal(
        (2024, 7),
        [-0.106_524, -0.070_194, 0.047_873, 0.109_130],
        [-0.094_024, -0.050_832, 0.046_641, 0.113_742, -0.273_880, 0.120_846],
    ),
    renewal(
        (2025, 1),
        [-0.107_308, -0.078_498, 0.051_949, 0.103_940],
        [-0.091_130, -0.057_382, 0.050_418, 0.109_429, -0.272_261, 0.105_199],
    ),
    renewal(
        (2025, 7),
        [-0.108_850, -0.079_079, 0.046_993, 0.102_624],
        [-0.088_398, -0.056_913, 0.043_984, 0.107_502, -0.267_992, 0.104_442],
    ),
];

/// How the slow level follows the residuals, at all times.
const LEVEL: LevelRule =
    LevelRule { sessions: 90, least_rows: 5_000, reference: -1.49, floor: 0.2, power: 0.6 };

/// What moves the tail of the residuals, by day.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeSchedule {
    /// Before the first renewal.
    first: TailShape,
    /// From a day on, in days since 1970-01-01, ascending.
    renewals: Vec<(i32, TailShape)>,
}

impl ShapeSchedule {
    /// One for all days, as a fitted model has it.
    #[must_use]
    pub fn constant(shape: TailShape) -> Self {
        Self { first: shape, renewals: Vec::new() }
    }

    /// The constants of the module.
    #[must_use]
    pub fn adaptive() -> Self {
        let [first, later @ ..] = &RENEWALS;
        // The first row holds for the days before it too, so its date is not needed.
        let dated = |renewal: &Renewal| (renewal.day(), renewal.shape());
        Self { first: first.shape(), renewals: later.iter().map(dated).collect() }
    }

    /// That of a session on `day`, days since 1970-01-01.
    #[must_use]
    pub fn on(&self, day: i32) -> &TailShape {
        let known = self.renewals.partition_point(|(from, _)| *from <= day);
        known.checked_sub(1).map_or(&self.first, |last| &self.renewals[last].1)
    }
}

impl Renewal {
    /// Its first day, days since 1970-01-01.
    const fn day(&self) -> i32 {
        let day = SessionDay::from_ymd(self.year, self.month, 1);
        day.expect("invariant: RENEWALS has months of the calendar").epoch_days()
    }

    fn shape(&self) -> TailShape {
        let terms = |slopes: &[f64]| {
            let of = |((input, mean, deviation), slope): (&(ScaleInput, f64, f64), &f64)| {
                ScaleTerm { input: *input, mean: *mean, deviation: *deviation, slope: *slope }
            };
            INPUTS.iter().zip(slopes).map(of).collect()
        };
        TailShape { close: terms(&self.close), open: terms(&self.open), level: Some(LEVEL) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i32 {
        text.parse::<SessionDay>().unwrap().epoch_days()
    }

    #[test]
    fn a_row_holds_from_its_first_day_until_the_next() {
        let schedule = ShapeSchedule::adaptive();
        let slope = |on: &str| schedule.on(day(on)).close[1].slope;
        // The first row also before its date.
        assert_eq!(["2015-03-02", "2022-01-03", "2022-06-30"].map(slope), [-0.058_422; 3]);
        assert_eq!(["2022-07-01", "2022-12-29"].map(slope), [-0.077_012; 2]);
        assert_eq!(slope("2024-06-28"), -0.073_179);
        assert_eq!(["2025-07-01", "2031-01-02"].map(slope), [-0.079_079; 2]);
        let open = &schedule.on(day("2024-07-01")).open;
        assert_eq!((open.len(), open[4].input, open[4].slope), (6, ScaleInput::Ousret, -0.273_880));
    }

    #[test]
    fn rows_are_in_order_and_of_one_kind() {
        let schedule = ShapeSchedule::adaptive();
        assert!(RENEWALS.windows(2).all(|pair| pair[0].day() < pair[1].day()));
        for (_, shape) in &schedule.renewals {
            assert_eq!(shape.problem(), None);
            let pairs = schedule.first.open.iter().zip(&shape.open);
            // The same estimate on half a year more: signs stay.
            assert!(pairs.clone().all(|(a, b)| a.slope * b.slope > 0.0), "{shape:?}");
            assert!(pairs.clone().all(|(a, b)| (a.mean, a.deviation) == (b.mean, b.deviation)));
        }
    }

    #[test]
    fn a_constant_one_is_the_same_on_every_day() {
        let shape = ShapeSchedule::adaptive().on(day("2023-02-01")).clone();
        let constant = ShapeSchedule::constant(shape.clone());
        assert!([i32::MIN, 0, i32::MAX].iter().all(|day| *constant.on(*day) == shape));
    }
}
