//! KOSPI and KOSDAQ levels of a day, rebuilt from their daily bars.

use std::collections::BTreeMap;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{IndexLevel, Market, SessionDay, Symbol, rules};

use super::SimError;
use super::columns::Table;
use crate::kis::sim::day::{Day, IndexPrint, Series, ms};
use crate::kis::sim::path::{Bar, Course, log_path};
use crate::kis::sim::profile;

/// Mean event time between two prints of an index.
const STEP_MS: f64 = 7_000.0;

/// The indices of a day.
#[derive(Debug, Default)]
pub(super) struct Indices {
    pub series: Vec<Series>,
    pub prints: Vec<IndexPrint>,
    /// Course of each series over continuous trading.
    pub courses: Vec<Course>,
}

impl Indices {
    /// Hands series and prints over to `day`.
    pub fn add_to(self, day: &mut Day) {
        day.series = self.series;
        day.index_prints = self.prints;
    }

    /// The course that issues of `market` follow: their own index's, else the first one's.
    pub fn course(&self, market: Market) -> Option<&Course> {
        let own = self.series.iter().position(|series| series.market == market);
        self.courses.get(own.unwrap_or(0))
    }
}

/// Reads the day's bars of both indices from `path`.
pub(super) fn load(path: &Path, day: SessionDay, seed: u64) -> Result<Indices, SimError> {
    let mut bars: BTreeMap<&str, BTreeMap<i32, [f64; 4]>> = BTreeMap::new();
    let (mut first, mut last) = (i32::MAX, i32::MIN);
    for batch in Table::open(path)?.read(&["date", "series", "open", "high", "low", "close"])? {
        let batch = batch?;
        let (dates, names) = (batch.dates("date")?, batch.texts("series")?);
        let levels = [
            batch.numbers("open")?,
            batch.numbers("high")?,
            batch.numbers("low")?,
            batch.numbers("close")?,
        ];
        for row in 0..batch.rows() {
            let name = match names.get(row) {
                Some("KOSPI") => "KOSPI",
                Some("KOSDAQ") => "KOSDAQ",
                _ => continue,
            };
            (first, last) = (first.min(dates[row]), last.max(dates[row]));
            let Some(close) = levels[3][row] else { continue };
            let bar = [0, 1, 2].map(|column: usize| levels[column][row].unwrap_or(close));
            bars.entry(name).or_default().insert(dates[row], [bar[0], bar[1], bar[2], close]);
        }
    }
    let mut indices = Indices::default();
    for (name, code, market) in
        [("KOSPI", KOSPI_CODE, Market::Kospi), ("KOSDAQ", KOSDAQ_CODE, Market::Kosdaq)]
    {
        let Some(bars) = bars.get(name) else { continue };
        let Some(bar) = bars.get(&day.epoch_days()) else { continue };
        let [open, high, low, close] = bar.map(hundredths);
        let before = bars.range(..day.epoch_days()).next_back();
        let previous_close = before.map_or(open, |(_, bar)| hundredths(bar[3]));
        let number = indices.series.len() as u32;
        let bar = Bar::clamped(open, high, low, close);
        // The codes are constants of the right form.
        let Some(symbol) = Symbol::from_bytes(code.as_bytes()) else { continue };
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ symbol.word());
        let (course, prints) = rebuild(&bar, number, &mut rng);
        indices.series.push(Series { symbol, market, previous_close });
        indices.courses.push(course);
        indices.prints.extend(prints);
    }
    if indices.series.is_empty() {
        let [first, last] = [first, last].map(SessionDay::from_epoch_days);
        return Err(SimError::Day { path: path.into(), day, first, last });
    }
    indices.prints.sort_by_key(|print| (print.at_ms, print.series));
    Ok(indices)
}

fn hundredths(level: f64) -> IndexLevel {
    (level * 100.0).round() as IndexLevel
}

/// The day's levels, one every few seconds, that meet `bar` exactly, and the course they follow.
fn rebuild(bar: &Bar, series: u32, rng: &mut ChaCha8Rng) -> (Course, Vec<IndexPrint>) {
    let length = f64::from(profile::CONTINUOUS_TO_MS - profile::CONTINUOUS_FROM_MS);
    let count = (length / STEP_MS) as usize;
    let us: Vec<f64> =
        (0..count).map(|i| (i as f64 + 0.4 * rng.random::<f64>()) / count as f64).collect();
    let (path, at_high, at_low) = log_path(bar, &us, &Course::flat(), rng);
    let mut levels: Vec<IndexLevel> =
        path.iter().map(|x| (x.exp().round() as IndexLevel).clamp(bar.low, bar.high)).collect();
    if let Some(at) = at_high {
        levels[at] = bar.high;
    }
    if let Some(at) = at_low {
        levels[at] = bar.low;
    }
    let open = (bar.open as f64).ln();
    let mut values = vec![0.0];
    values.extend(path.iter().map(|x| x - open));
    values.push((bar.close as f64).ln() - open);
    let print = |at_ms, level| IndexPrint { at_ms, series, level };
    let mut prints = vec![print(ms(rules::OPEN) + 15_000 + series * 1_000, bar.open)];
    prints.extend(us.iter().zip(levels).map(|(u, level)| print(profile::at_ms(*u), level)));
    prints.push(print(ms(rules::CLOSE) + 35_000 + series * 1_000, bar.close));
    (Course { values }, prints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn an_index_meets_its_bar(open in 50_000i64..400_000, a in -900i64..900, up in 0i64..300, down in 0i64..300, seed: u64) {
            let close = open + open * a / 10_000;
            let high = open.max(close) + open * up / 10_000;
            let low = open.min(close) - open * down / 10_000;
            let bar = Bar { open, high, low, close };
            let (_, prints) = rebuild(&bar, 0, &mut ChaCha8Rng::seed_from_u64(seed));
            let levels: Vec<i64> = prints.iter().map(|print| print.level).collect();
            prop_assert_eq!(levels[0], open);
            prop_assert_eq!(*levels.last().unwrap(), close);
            prop_assert_eq!(*levels.iter().max().unwrap(), high);
            prop_assert_eq!(*levels.iter().min().unwrap(), low);
            prop_assert!(prints.is_sorted_by_key(|print| print.at_ms));
        }
    }
}
