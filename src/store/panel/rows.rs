//! Rows as they come from a file, and issues and series made of them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::market::{SessionDay, Symbol};
use crate::model::panel::{DailyBar, DailyBars, IndexBars, Issue};

use super::PanelError;

/// Columns of a file of bars that are read.
pub const BAR_COLUMNS: &[&str] =
    &["date", "symbol", "open", "high", "low", "close", "volume", "halted", "jump"];
/// Columns of a file of index levels that are read.
pub const SERIES_COLUMNS: &[&str] = &["date", "series", "open", "high", "low", "close"];
/// Days since 1970-01-01 of 2015-06-15, when the price limit went from 15 to 30 %.
const WIDER_LIMIT: i32 = 16_601;

/// A day written as text.
pub fn parse_day(text: &str) -> Option<i32> {
    // A time of day behind the date is left out, as in `2024-08-05 00:00:00`.
    let date = text.split([' ', 'T']).next().unwrap_or_default();
    date.parse::<SessionDay>().ok().map(SessionDay::epoch_days)
}

/// A code written as text.
pub fn symbol(path: &Path, row: usize, text: &str) -> Result<Symbol, PanelError> {
    Symbol::from_bytes(text.as_bytes()).ok_or_else(|| PanelError::Value {
        path: path.into(),
        row,
        column: "symbol",
        value: format!("\"{text}\""),
        expected: "a code of 1 to 8 letters and digits, like 005930",
    })
}

/// Some rows of a file of bars, by column; NaN where there is no value.
pub struct Columns<'a> {
    pub path: &'a Path,
    /// Number of the first row in the file.
    pub first: usize,
    pub date: Vec<i32>,
    pub open: Vec<f64>,
    pub high: Vec<f64>,
    pub low: Vec<f64>,
    pub close: Vec<f64>,
    pub volume: Vec<f64>,
    /// `None`: follows from price and volume.
    pub halted: Option<Vec<bool>>,
    /// `None`: follows from the closes.
    pub jump: Option<Vec<bool>>,
}

impl Columns<'_> {
    /// Whether every value can be.
    pub fn check(&self) -> Result<(), PanelError> {
        let optional = [("open", &self.open), ("high", &self.high), ("low", &self.low)];
        for (name, values) in optional {
            self.all(
                name,
                values,
                |v| v.is_nan() || (v >= 0.0 && v.is_finite()),
                "a price of 0 or more, or nothing",
            )?;
        }
        self.all("close", &self.close, |v| v > 0.0 && v.is_finite(), "a price above 0")?;
        self.all(
            "volume",
            &self.volume,
            |v| v >= 0.0 && v.is_finite(),
            "a number of shares, 0 or more",
        )
    }

    fn all(
        &self,
        column: &'static str,
        values: &[f64],
        right: impl Fn(f64) -> bool,
        expected: &'static str,
    ) -> Result<(), PanelError> {
        let Some(at) = values.iter().position(|value| !right(*value)) else { return Ok(()) };
        let value = if values[at].is_nan() { "nothing".into() } else { values[at].to_string() };
        let row = self.first + at;
        Err(PanelError::Value { path: self.path.into(), row, column, value, expected })
    }

    fn bar(&self, row: usize) -> DailyBar {
        // 0 stands for no price in some sources.
        let price = |value: f64| if value > 0.0 { value } else { f64::NAN };
        let (open, volume) = (price(self.open[row]), self.volume[row]);
        DailyBar {
            date: self.date[row],
            open,
            high: price(self.high[row]),
            low: price(self.low[row]),
            close: self.close[row],
            volume,
            halted: match &self.halted {
                Some(halted) => halted[row],
                None => open.is_nan() && volume == 0.0,
            },
            jump: self.jump.as_ref().is_some_and(|jump| jump[row]),
        }
    }
}

/// Bars of a file in its order, one run an issue as long as the code stays the same.
#[derive(Default)]
pub struct BarRows {
    runs: Vec<(Symbol, DailyBars)>,
    /// Whether the file did not say which closes are beyond the limit.
    no_jumps: bool,
}

impl BarRows {
    /// Takes row `row` of `columns`, whose code is `text`.
    pub fn take(
        &mut self,
        text: &str,
        row: usize,
        columns: &Columns<'_>,
    ) -> Result<(), PanelError> {
        self.no_jumps |= columns.jump.is_none();
        let bar = columns.bar(row);
        match self.runs.last_mut() {
            Some((known, bars)) if known.as_str() == text => bars.push(bar),
            _ => {
                let mut bars = DailyBars::default();
                bars.push(bar);
                self.runs.push((symbol(columns.path, columns.first + row, text)?, bars));
            }
        }
        Ok(())
    }
}

/// The issues of a file, in the order of their codes, their days ascending.
pub fn issues(path: &Path, parts: Vec<BarRows>) -> Result<Vec<Issue>, PanelError> {
    let no_jumps = parts.iter().any(|part| part.no_jumps);
    let mut known: BTreeMap<Symbol, DailyBars> = BTreeMap::new();
    for (symbol, mut bars) in parts.into_iter().flat_map(|part| part.runs) {
        match known.entry(symbol) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(bars);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().append(&mut bars);
            }
        }
    }
    let issues = known.into_iter().map(|(symbol, bars)| {
        let mut bars = ordered(path, symbol, bars)?;
        if no_jumps {
            mark_jumps(&mut bars);
        }
        Ok(Issue { symbol, bars })
    });
    issues.collect()
}

/// Days ascending, each once.
fn ordered(path: &Path, symbol: Symbol, bars: DailyBars) -> Result<DailyBars, PanelError> {
    if bars.date.is_sorted_by(|a, b| a < b) {
        return Ok(bars);
    }
    let mut order: Vec<usize> = (0..bars.len()).collect();
    order.sort_by_key(|&at| bars.date[at]);
    let mut sorted = DailyBars::default();
    let mut last: Option<DailyBar> = None;
    for at in order {
        let bar = bars.get(at);
        match last {
            Some(before) if before.date == bar.date => {
                if !same(&before, &bar) {
                    let day = SessionDay::from_epoch_days(bar.date).to_string();
                    let symbol = symbol.to_string();
                    return Err(PanelError::Twice { path: path.into(), symbol, day });
                }
            }
            _ => sorted.push(bar),
        }
        last = Some(bar);
    }
    Ok(sorted)
}

fn same(a: &DailyBar, b: &DailyBar) -> bool {
    let bits =
        |bar: &DailyBar| [bar.open, bar.high, bar.low, bar.close, bar.volume].map(f64::to_bits);
    bits(a) == bits(b) && a.halted == b.halted && a.jump == b.jump
}

/// Marks closes beyond the price limit of their time.
fn mark_jumps(bars: &mut DailyBars) {
    for at in 1..bars.len() {
        let limit = if bars.date[at] < WIDER_LIMIT { 0.155 } else { 0.305 };
        bars.jump[at] = (bars.close[at] / bars.close[at - 1] - 1.0).abs() > limit;
    }
}

/// Index levels of a file, by series.
#[derive(Default)]
pub struct SeriesRows(BTreeMap<String, Vec<(i32, [f64; 4])>>);

impl SeriesRows {
    /// Takes a row; one without a last level is left out.
    pub fn take(&mut self, name: &str, date: i32, levels: [f64; 4]) {
        if !(levels[3].is_finite() && levels[3] > 0.0) {
            return;
        }
        match self.0.get_mut(name) {
            Some(rows) => rows.push((date, levels)),
            None => {
                self.0.insert(name.to_owned(), vec![(date, levels)]);
            }
        }
    }
}

/// The series of a file, their days ascending; of a day given twice the first row counts.
pub fn series(parts: Vec<SeriesRows>) -> BTreeMap<String, IndexBars> {
    let mut all: BTreeMap<String, Vec<(i32, [f64; 4])>> = BTreeMap::new();
    for (name, rows) in parts.into_iter().flat_map(|part| part.0) {
        all.entry(name).or_default().extend(rows);
    }
    let bars = |mut rows: Vec<(i32, [f64; 4])>| {
        rows.sort_by_key(|row| row.0);
        rows.dedup_by_key(|row| row.0);
        let level = |at: usize| rows.iter().map(|row| row.1[at]).collect();
        IndexBars {
            date: rows.iter().map(|row| row.0).collect(),
            open: level(0),
            high: level(1),
            low: level(2),
            close: level(3),
        }
    };
    all.into_iter().map(|(name, rows)| (name, bars(rows))).collect()
}
