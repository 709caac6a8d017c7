//! Traits of an issue's past, over its clean days up to and with the day of the ranking.

use serde::{Deserialize, Serialize};

use crate::model::clean::{CleanRows, DayRow};
use crate::model::design::{Design, SCORED_FROM, VALUE_FLOOR};

/// Which traits, by how much history their reader has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraitSet {
    /// A year's history: what the literature uses.
    Full,
    /// The four months that a daemon knows of the issues it watches. The year becomes 66 clean days,
    /// the two momenta of a year and of half a year become one of three months, all else stays.
    Watched,
}

/// Names of the full traits, in order.
const FULL_NAMES: [&str; 19] = [
    "momentum_12_1",
    "momentum_6_1",
    "return_1",
    "return_5",
    "return_21",
    "volatility_22",
    "volatility_250",
    "overnight_22",
    "volume_5_66",
    "volume_22_250",
    "value_traded",
    "illiquidity_66",
    "zero_share_66",
    "largest_day_22",
    "smallest_day_22",
    "below_high_250",
    "beta_250",
    "skewness_250",
    "price",
];
/// Names of those a daemon knows, in order.
const WATCHED_NAMES: [&str; 18] = [
    "momentum_3_1",
    "return_1",
    "return_5",
    "return_21",
    "volatility_22",
    "volatility_66",
    "overnight_22",
    "volume_5_66",
    "volume_22_66",
    "value_traded",
    "illiquidity_66",
    "zero_share_66",
    "largest_day_22",
    "smallest_day_22",
    "below_high_66",
    "beta_66",
    "skewness_66",
    "price",
];
/// Clean days that the months' traits look back on.
const QUARTER: usize = 66;
/// Days of a year's trading.
const YEAR: usize = 250;

impl TraitSet {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Full, Self::Watched];

    /// Names of its traits, in order.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Full => &FULL_NAMES,
            Self::Watched => &WATCHED_NAMES,
        }
    }

    /// Clean days it looks back on, that of the ranking counted.
    #[must_use]
    pub const fn span(self) -> usize {
        match self {
            Self::Full => YEAR + 2,
            Self::Watched => QUARTER,
        }
    }

    /// Days of its long windows.
    const fn long(self) -> usize {
        match self {
            Self::Full => YEAR,
            Self::Watched => QUARTER,
        }
    }
}

/// Whether the issue may be picked on its clean day `at`: 500 clean days with it, and a median
/// value traded of 200 million won over the clean days among the last 250 sessions.
#[must_use]
pub fn eligible(rows: &CleanRows, at: usize) -> bool {
    if at + 1 < SCORED_FROM {
        return false;
    }
    let oldest = (rows.session[at] as usize + 1).saturating_sub(YEAR);
    let first = rows.session[..=at].partition_point(|&session| (session as usize) < oldest);
    let mut values: Vec<f64> = rows.rows[first..=at].iter().map(|row| row.value).collect();
    let (middle, even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let median = if even { f64::midpoint(lower, *upper) } else { *upper };
    median >= VALUE_FLOOR
}

/// Mean return of the fitted issues by session, 0 where none was clean.
#[must_use]
pub fn market_returns(design: &Design) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0_f64); design.sessions.len()];
    for issue in design.issues.iter().filter(|issue| issue.fitted) {
        for (session, row) in issue.clean.session.iter().zip(&issue.clean.rows) {
            let sum = &mut sums[*session as usize];
            *sum = (sum.0 + row.r, sum.1 + 1.0);
        }
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect()
}

fn mean(rows: &[DayRow], of: impl Fn(&DayRow) -> f64) -> f64 {
    rows.iter().map(of).sum::<f64>() / rows.len() as f64
}

/// The traits of an issue after clean days `rows`, the newest last; `market` has the market's return of
/// the same sessions ([`market_returns`]). `None` with fewer than [`TraitSet::span`] days.
///
/// Momentum: Jegadeesh & Titman 1993; reversal: Jegadeesh 1990, Lehmann 1990; low volatility: Ang,
/// Hodrick, Xing & Zhang 2006; overnight: Lou, Polk & Skouras 2019; illiquidity: Amihud 2002; largest
/// day: Bali, Cakici & Whitelaw 2011; distance to the high: George & Hwang 2004; beta: Frazzini &
/// Pedersen 2014.
#[must_use]
pub fn traits(set: TraitSet, rows: &[DayRow], market: &[f64]) -> Option<Vec<f64>> {
    let skip = rows.len().checked_sub(set.span())?;
    let (rows, market) = (&rows[skip..], market.get(skip..)?);
    let last = |k: usize| &rows[rows.len() - k..];
    // Days `from` … `to` back, both counted; 0 is the newest.
    let returns = |from: usize, to: usize| -> f64 {
        rows[rows.len() - 1 - from..rows.len() - to].iter().map(|row| row.r).sum()
    };
    let long = last(set.long());
    let square = |row: &DayRow| row.r * row.r;
    let extreme = |better: fn(f64, f64) -> f64, start: f64| {
        last(22).iter().map(|row| row.r).fold(start, better)
    };
    let volume = |rows: &[DayRow]| mean(rows, |row| row.volume);
    let newest = rows.last()?;
    let mut found = match set {
        TraitSet::Full => vec![returns(251, 21), returns(126, 21)],
        TraitSet::Watched => vec![returns(65, 21)],
    };
    found.extend([
        newest.r,
        returns(4, 0),
        returns(20, 0),
        mean(last(22), square),
        mean(long, square),
        last(22).iter().map(|row| row.overnight).sum(),
        (volume(last(5)) / volume(last(QUARTER))).ln(),
        (volume(last(22)) / volume(long)).ln(),
        mean(long, |row| row.value.ln()),
        mean(last(QUARTER), |row| row.r.abs() / row.value),
        mean(last(QUARTER), |row| f64::from(u8::from(row.r == 0.0))),
        extreme(f64::max, f64::NEG_INFINITY),
        extreme(f64::min, f64::INFINITY),
        below_high(long),
        beta(long, &market[market.len() - long.len()..]),
        skewness(long),
        newest.value.ln() - newest.volume.ln(),
    ]);
    Some(found)
}

/// Log distance of the last close below the highest of these days, by their returns.
fn below_high(rows: &[DayRow]) -> f64 {
    // From the end: the sum of returns after a day is how far the close has risen since.
    let (mut since, mut lowest) = (0.0_f64, 0.0_f64);
    for row in rows.iter().rev() {
        since += row.r;
        lowest = lowest.min(since);
    }
    lowest
}

fn beta(rows: &[DayRow], market: &[f64]) -> f64 {
    let pairs = || market.iter().zip(rows).map(|(market, row)| (*market, row.r));
    let n = rows.len() as f64;
    let (sum_x, sum_y) = pairs().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (cross, square) = pairs().fold((0.0, 0.0), |sum, (x, y)| {
        (sum.0 + (x - mean_x) * (y - mean_y), sum.1 + (x - mean_x).powi(2))
    });
    if square > 0.0 { cross / square } else { 0.0 }
}

fn skewness(rows: &[DayRow]) -> f64 {
    let centre = mean(rows, |row| row.r);
    let moment = |power: i32| mean(rows, |row| (row.r - centre).powi(power));
    let variance = moment(2);
    if variance > 0.0 { moment(3) / variance.powf(1.5) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, value: f64) -> CleanRows {
        let row = |at: usize| DayRow {
            r: if at.is_multiple_of(2) { 0.01 } else { -0.01 },
            range: 1e-4,
            overnight: 0.002,
            volume: 1_000.0,
            value,
        };
        CleanRows { session: (0..count as u32).collect(), rows: (0..count).map(row).collect() }
    }

    #[test]
    fn by_hand() {
        let rows = rows(600, 3e8);
        let market: Vec<f64> = rows.rows.iter().map(|row| row.r / 2.0).collect();
        let found = traits(TraitSet::Full, &rows.rows, &market).unwrap();
        assert_eq!(found.len(), TraitSet::Full.names().len());
        assert!((found[0] - 0.01).abs() < 1e-12, "231 days from an even one to an even one");
        assert!((found[2] + 0.01).abs() < 1e-12 && (found[7] - 0.044).abs() < 1e-12);
        assert!((found[5] - 1e-4).abs() < 1e-15 && found[8].abs() < 1e-12);
        assert!((found[15] + 0.01).abs() < 1e-12, "one step below the high");
        assert!((found[16] - 2.0).abs() < 1e-9 && found[17].abs() < 1e-9);
        assert!((found[18] - 3e5_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn a_daemon_does_with_sixty_six_days() {
        let rows = rows(84, 3e8);
        let market: Vec<f64> = rows.rows.iter().map(|row| row.r / 2.0).collect();
        let watched = |days: usize| traits(TraitSet::Watched, &rows.rows[..days], &market[..days]);
        let found = watched(84).unwrap();
        assert_eq!(found.len(), TraitSet::Watched.names().len());
        // 45 days from an even one to an even one.
        assert!((found[0] - 0.01).abs() < 1e-12 && (found[1] + 0.01).abs() < 1e-12);
        assert!((found[5] - 1e-4).abs() < 1e-15 && (found[15] - 2.0).abs() < 1e-9);
        assert!(watched(66).is_some() && watched(65).is_none());
        assert!(traits(TraitSet::Full, &rows.rows, &market).is_none());
    }

    #[test]
    fn little_history_or_trading_is_not_eligible() {
        let enough = rows(600, 2e8);
        assert!(eligible(&enough, 499) && !eligible(&enough, 498));
        assert!(!eligible(&rows(600, 1.99e8), 599));
        let mut even = rows(600, 1e8);
        (475..600).for_each(|at| even.rows[at].value = 3e8);
        assert!(eligible(&even, 599), "125 of 250 at 3e8: the median is 2e8");
        even.rows[475].value = 1e8;
        assert!(!eligible(&even, 599));
    }
}
