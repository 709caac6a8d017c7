//! Which days are crash days and which are the calmest, by the files.

use std::collections::BTreeMap;
use std::path::Path;

use super::CRASH_PCT;
use crate::kis::sim::{SimError, columns::Table};
use crate::market::SessionDay;
use crate::model::panel::Panel;

/// Crash days that everybody remembers.
const KNOWN: [u32; 3] = [20_200_319, 20_240_805, 20_250_407];
/// Years whose calmest day stands beside them.
const CALM_YEARS: [u32; 3] = [2021, 2022, 2023];
/// A move beyond the daily limit is a corporate action.
const LIMIT: f64 = 0.305;
/// Days with fewer issues have no dispersion to speak of.
const MIN_ISSUES: f64 = 20.0;

/// The indices on a day.
#[derive(Debug, Default, Clone, Copy)]
struct IndexDay {
    /// KOSPI, close against the previous close, fraction.
    kospi: Option<f64>,
    /// Lowest of both indices against the previous close, fraction.
    low: f64,
}

pub(super) fn known(data: &Path, indices: &Path) -> Result<Vec<SessionDay>, SimError> {
    let calm = calmest(&dispersion(data)?, &index_days(indices)?);
    let days = KNOWN.iter().filter_map(|day| SessionDay::from_yyyymmdd(*day));
    let calm = CALM_YEARS.iter().filter_map(|year| calm.get(year).copied());
    Ok(days.chain(calm).collect())
}

pub(super) fn all(data: &Path, indices: &Path) -> Result<Vec<SessionDay>, SimError> {
    Ok(chosen(&dispersion(data)?, &index_days(indices)?))
}

/// The days of [`all`] that lie in a window, from bars and levels that are read already.
pub(super) fn within(panel: &Panel, (from, to): (SessionDay, SessionDay)) -> Vec<SessionDay> {
    // The calmest day is that of a whole year, wherever the window begins in it.
    let (first, last) = (from.ymd().0, to.ymd().0);
    let mut returns = Returns::default();
    for issue in &panel.issues {
        let bars = &issue.bars;
        for at in 1..bars.len() {
            let year = SessionDay::from_epoch_days(bars.date[at]).ymd().0;
            if (first..=last).contains(&year) {
                returns.take(bars.close[at - 1], bars.date[at], bars.close[at]);
            }
        }
    }
    let mut levels: BTreeMap<bool, BTreeMap<i32, [f64; 2]>> = BTreeMap::new();
    for (is_kospi, name) in [(true, "KOSPI"), (false, "KOSDAQ")] {
        let Some(bars) = panel.indices.get(name) else { continue };
        // The lower of a number and of none is the number.
        let rows = (0..bars.date.len())
            .map(|at| (bars.date[at], [bars.low[at].min(bars.close[at]), bars.close[at]]));
        levels.insert(is_kospi, rows.collect());
    }
    let mut days = chosen(&returns.dispersion(), &against_the_day_before(levels));
    days.retain(|day| (from..=to).contains(day));
    days
}

/// Crash days and the calmest day of each year, ascending.
fn chosen(dispersion: &BTreeMap<i32, f64>, indices: &BTreeMap<i32, IndexDay>) -> Vec<SessionDay> {
    let crashes = indices
        .iter()
        .filter(|(day, index)| dispersion.contains_key(day) && index.low <= -CRASH_PCT / 100.0);
    let mut days: Vec<SessionDay> =
        crashes.map(|(day, _)| SessionDay::from_epoch_days(*day)).collect();
    days.extend(calmest(dispersion, indices).into_values());
    days.sort_unstable();
    days.dedup();
    days
}

/// The calmest day of each year: the smallest |return of KOSPI| × dispersion.
fn calmest(
    dispersion: &BTreeMap<i32, f64>,
    indices: &BTreeMap<i32, IndexDay>,
) -> BTreeMap<u32, SessionDay> {
    let mut best: BTreeMap<u32, (f64, SessionDay)> = BTreeMap::new();
    for (day, spread) in dispersion {
        let Some(kospi) = indices.get(day).and_then(|index| index.kospi) else { continue };
        let day = SessionDay::from_epoch_days(*day);
        let entry = (kospi.abs() * spread, day);
        let known = best.entry(day.ymd().0).or_insert(entry);
        if entry.0 < known.0 {
            *known = entry;
        }
    }
    best.into_iter().map(|(year, (_, day))| (year, day)).collect()
}

/// Standard deviation of the issues' returns on each day.
fn dispersion(data: &Path) -> Result<BTreeMap<i32, f64>, SimError> {
    let mut closes: BTreeMap<String, BTreeMap<i32, f64>> = BTreeMap::new();
    for batch in Table::open(data)?.read(&["date", "symbol", "close"])? {
        let batch = batch?;
        let (dates, codes) = (batch.dates("date")?, batch.texts("symbol")?);
        let prices = batch.integers("close")?;
        for row in 0..batch.rows() {
            if let (Some(code), Some(close)) = (codes.get(row), prices[row].filter(|c| *c > 0)) {
                let of_issue = match closes.get_mut(code) {
                    Some(of_issue) => of_issue,
                    None => closes.entry(code.to_owned()).or_default(),
                };
                of_issue.insert(dates[row], close as f64);
            }
        }
    }
    let mut returns = Returns::default();
    for of_issue in closes.values() {
        for ((_, before), (day, close)) in of_issue.iter().zip(of_issue.iter().skip(1)) {
            returns.take(*before, *day, *close);
        }
    }
    Ok(returns.dispersion())
}

/// Count, sum and sum of squares of the issues' returns on each day.
#[derive(Default)]
struct Returns(BTreeMap<i32, [f64; 3]>);

impl Returns {
    fn take(&mut self, before: f64, day: i32, close: f64) {
        let change = close / before - 1.0;
        if change.abs() <= LIMIT {
            let sums = self.0.entry(day).or_default();
            for (sum, value) in sums.iter_mut().zip([1.0, change, change * change]) {
                *sum += value;
            }
        }
    }

    fn dispersion(self) -> BTreeMap<i32, f64> {
        let enough = self.0.into_iter().filter(|(_, [n, ..])| *n >= MIN_ISSUES);
        enough
            .map(|(day, [n, sum, squares])| {
                (day, (squares / n - (sum / n).powi(2)).max(0.0).sqrt())
            })
            .collect()
    }
}

fn index_days(indices: &Path) -> Result<BTreeMap<i32, IndexDay>, SimError> {
    let mut levels: BTreeMap<bool, BTreeMap<i32, [f64; 2]>> = BTreeMap::new();
    for batch in Table::open(indices)?.read(&["date", "series", "low", "close"])? {
        let batch = batch?;
        let (dates, names) = (batch.dates("date")?, batch.texts("series")?);
        let (lows, closes) = (batch.numbers("low")?, batch.numbers("close")?);
        for row in 0..batch.rows() {
            let is_kospi = match names.get(row) {
                Some("KOSPI") => true,
                Some("KOSDAQ") => false,
                _ => continue,
            };
            let Some(close) = closes[row] else { continue };
            let low = lows[row].unwrap_or(close).min(close);
            levels.entry(is_kospi).or_default().insert(dates[row], [low, close]);
        }
    }
    Ok(against_the_day_before(levels))
}

/// `levels`: lowest and last level by day, of KOSPI (true) and KOSDAQ.
fn against_the_day_before(
    levels: BTreeMap<bool, BTreeMap<i32, [f64; 2]>>,
) -> BTreeMap<i32, IndexDay> {
    let mut days: BTreeMap<i32, IndexDay> = BTreeMap::new();
    for (is_kospi, levels) in levels {
        for ((_, [_, before]), (day, [low, close])) in levels.iter().zip(levels.iter().skip(1)) {
            let known = days.entry(*day).or_default();
            known.low = known.low.min(low / before - 1.0);
            if is_kospi {
                known.kospi = Some(close / before - 1.0);
            }
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::panel::{DailyBars, DataInfo, IndexBars, Issue};

    fn day(text: &str) -> i32 {
        text.parse::<SessionDay>().unwrap().epoch_days()
    }

    #[test]
    fn the_calmest_day_of_a_year_is_the_smallest_product() {
        let index = |kospi: f64| IndexDay { kospi: Some(kospi), low: kospi.min(0.0) };
        let days = ["2021-03-02", "2021-03-03", "2021-03-04", "2022-05-02"].map(day);
        let indices: BTreeMap<i32, IndexDay> =
            days.into_iter().zip([-0.001, 0.002, 0.0005, -0.01].map(index)).collect();
        let dispersion: BTreeMap<i32, f64> =
            days.into_iter().zip([0.01, 0.001, 0.03, 0.02]).collect();
        let found: Vec<String> =
            calmest(&dispersion, &indices).into_values().map(|day| day.to_string()).collect();
        assert_eq!(found, ["2021-03-03", "2022-05-02"]);
    }

    #[test]
    fn a_window_has_its_crash_days_and_the_calmest_day_of_a_year_if_that_lies_in_it() {
        let text =
            ["2021-12-30", "2022-01-03", "2022-01-04", "2022-01-05", "2023-01-02", "2023-01-03"];
        let date: Vec<i32> = text.map(day).to_vec();
        // KOSDAQ touches -5 % on the fourth day and closes above it; the third day is the calmest of 2022.
        let levels = |low: [f64; 6], close: [f64; 6]| IndexBars {
            date: date.clone(),
            open: vec![f64::NAN; 6],
            high: vec![f64::NAN; 6],
            low: low.to_vec(),
            close: close.to_vec(),
        };
        let kospi = [1000.0, 1010.0, 1010.1, 1020.0, 1030.0, 1030.0];
        let kosdaq = [500.0, 501.0, 500.0, 480.0, 481.0, 482.0];
        let low = [499.0, 500.0, f64::NAN, 474.9, 480.0, 481.0];
        let indices = [("KOSPI", levels([f64::NAN; 6], kospi)), ("KOSDAQ", levels(low, kosdaq))];
        let issue = |at: u32| {
            let close = (0..6).map(|day| 1000.0 + f64::from((at * (day + 1)) % 7)).collect();
            let symbol = format!("{at:06}").parse().unwrap();
            Issue { symbol, bars: DailyBars { date: date.clone(), close, ..DailyBars::default() } }
        };
        let panel = |issues: u32| Panel {
            issues: (0..issues).map(issue).collect(),
            indices: indices.clone().map(|(name, bars)| (name.to_owned(), bars)).into(),
            info: DataInfo::default(),
        };
        let found = |issues: u32, from: &str, to: &str| {
            let days = within(&panel(issues), (from.parse().unwrap(), to.parse().unwrap()));
            days.iter().map(SessionDay::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(21, "2022-01-01", "2022-12-31"), ["2022-01-04", "2022-01-05"]);
        assert_eq!(found(21, "2022-01-05", "2023-01-03"), ["2022-01-05", "2023-01-03"]);
        assert!(found(21, "2022-01-03", "2022-01-03").is_empty());
        assert!(found(19, "2022-01-01", "2022-12-31").is_empty(), "too few issues");
    }
}
