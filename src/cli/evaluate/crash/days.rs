//! Which days are crash days and which are the calmest, by the files.

use std::collections::BTreeMap;
use std::path::Path;

use super::CRASH_PCT;
use crate::kis::sim::{SimError, columns::Table};
use crate::market::SessionDay;

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
    let (dispersion, indices) = (dispersion(data)?, index_days(indices)?);
    let crashes = indices
        .iter()
        .filter(|(day, index)| dispersion.contains_key(day) && index.low <= -CRASH_PCT / 100.0);
    let mut days: Vec<SessionDay> =
        crashes.map(|(day, _)| SessionDay::from_epoch_days(*day)).collect();
    days.extend(calmest(&dispersion, &indices).into_values());
    days.sort_unstable();
    days.dedup();
    Ok(days)
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
    // Count, sum and sum of squares of each day.
    let mut sums: BTreeMap<i32, [f64; 3]> = BTreeMap::new();
    for of_issue in closes.values() {
        let days = of_issue.iter().zip(of_issue.iter().skip(1));
        for ((_, before), (day, close)) in days {
            let change = close / before - 1.0;
            if change.abs() <= LIMIT {
                let sums = sums.entry(*day).or_default();
                for (sum, value) in sums.iter_mut().zip([1.0, change, change * change]) {
                    *sum += value;
                }
            }
        }
    }
    let enough = sums.into_iter().filter(|(_, [n, ..])| *n >= MIN_ISSUES);
    Ok(enough
        .map(|(day, [n, sum, squares])| (day, (squares / n - (sum / n).powi(2)).max(0.0).sqrt()))
        .collect())
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
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calmest_day_of_a_year_is_the_smallest_product() {
        let day = |text: &str| text.parse::<SessionDay>().unwrap().epoch_days();
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
}
