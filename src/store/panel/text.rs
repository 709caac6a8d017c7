//! CSV files with a header line.

use std::path::Path;

use rustc_hash::FxHashSet;

use super::PanelError;
use super::known::KnownRow;
use super::rows::{BarRows, Columns, SeriesRows, parse_day, symbol};
use crate::market::Symbol;

struct Table<'a> {
    path: &'a Path,
    names: Vec<String>,
    reader: csv::Reader<std::fs::File>,
}

fn broken(path: &Path, error: &csv::Error) -> PanelError {
    PanelError::Broken { path: path.into(), reason: format!("is no readable CSV file: {error}") }
}

impl<'a> Table<'a> {
    fn open(path: &'a Path) -> Result<Self, PanelError> {
        let file = std::fs::File::open(path)
            .map_err(|source| PanelError::Read { path: path.into(), source })?;
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.headers().map_err(|error| broken(path, &error))?;
        // A byte-order mark in front is not part of the first name.
        let names = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned());
        Ok(Self { path, names: names.collect(), reader })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    fn needed(&self, name: &str) -> Result<usize, PanelError> {
        self.place(name).ok_or_else(|| PanelError::Column {
            path: self.path.into(),
            column: name.into(),
            problem: "is missing".into(),
            expected: "a header line with this name",
        })
    }

    fn each(
        mut self,
        mut take: impl FnMut(&Row<'_>) -> Result<(), PanelError>,
    ) -> Result<(), PanelError> {
        let mut record = csv::StringRecord::new();
        let mut row = 0;
        while self.reader.read_record(&mut record).map_err(|error| broken(self.path, &error))? {
            row += 1;
            take(&Row { path: self.path, row, record: &record })?;
        }
        Ok(())
    }
}

struct Row<'a> {
    path: &'a Path,
    row: usize,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    fn text(&self, place: usize) -> &str {
        self.record.get(place).unwrap_or_default().trim()
    }

    fn wrong(&self, column: &'static str, text: &str, expected: &'static str) -> PanelError {
        let value = if text.is_empty() { "nothing".into() } else { format!("\"{text}\"") };
        PanelError::Value { path: self.path.into(), row: self.row, column, value, expected }
    }

    fn day(&self, place: usize) -> Result<i32, PanelError> {
        let text = self.text(place);
        parse_day(text).ok_or_else(|| self.wrong("date", text, "a date like 2024-08-05"))
    }

    /// A number; an empty field is NaN.
    fn number(&self, column: &'static str, place: usize) -> Result<f64, PanelError> {
        let text = self.text(place);
        if text.is_empty() {
            return Ok(f64::NAN);
        }
        text.parse().map_err(|_| self.wrong(column, text, "a number or nothing"))
    }

    fn flag(&self, column: &'static str, place: usize) -> Result<bool, PanelError> {
        let text = self.text(place);
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" | "" => Ok(false),
            _ => Err(self.wrong(column, text, "true or false")),
        }
    }
}

/// Daily bars.
pub fn bars(path: &Path) -> Result<BarRows, PanelError> {
    let table = Table::open(path)?;
    let date = table.needed("date")?;
    let code = table.needed("symbol")?;
    let [open, high, low, close, volume] = [
        table.needed("open")?,
        table.needed("high")?,
        table.needed("low")?,
        table.needed("close")?,
        table.needed("volume")?,
    ];
    let (halted, jump) = (table.place("halted"), table.place("jump"));
    let mut rows = BarRows::default();
    table.each(|row| {
        let flag = |name, place: Option<usize>| match place {
            Some(place) => row.flag(name, place).map(|flag| Some(vec![flag])),
            None => Ok(None),
        };
        let one = Columns {
            path,
            first: row.row,
            date: vec![row.day(date)?],
            open: vec![row.number("open", open)?],
            high: vec![row.number("high", high)?],
            low: vec![row.number("low", low)?],
            close: vec![row.number("close", close)?],
            volume: vec![row.number("volume", volume)?],
            halted: flag("halted", halted)?,
            jump: flag("jump", jump)?,
        };
        one.check()?;
        rows.take(row.text(code), 0, &one)
    })?;
    Ok(rows)
}

/// Index levels.
pub fn series(path: &Path) -> Result<SeriesRows, PanelError> {
    let table = Table::open(path)?;
    let (date, name, close) =
        (table.needed("date")?, table.needed("series")?, table.needed("close")?);
    let others = ["open", "high", "low"].map(|column| (column, table.place(column)));
    let mut rows = SeriesRows::default();
    table.each(|row| {
        let mut levels = [f64::NAN; 4];
        for (level, (column, place)) in levels.iter_mut().zip(others) {
            if let Some(place) = place {
                *level = row.number(column, place)?;
            }
        }
        levels[3] = row.number("close", close)?;
        rows.take(row.text(name), row.day(date)?, levels);
        Ok(())
    })?;
    Ok(rows)
}

/// Every code in the column `symbol`.
pub fn symbols(path: &Path) -> Result<FxHashSet<Symbol>, PanelError> {
    let table = Table::open(path)?;
    let code = table.needed("symbol")?;
    let mut known = FxHashSet::default();
    table.each(|row| {
        known.insert(symbol(path, row.row, row.text(code))?);
        Ok(())
    })?;
    Ok(known)
}

/// The first row of each run of a code.
pub fn known(path: &Path) -> Result<Vec<KnownRow>, PanelError> {
    let table = Table::open(path)?;
    let code = table.needed("symbol")?;
    let places = ["name", "market", "sector"].map(|name| table.place(name));
    let mut known: Vec<KnownRow> = Vec::new();
    table.each(|row| {
        let symbol = symbol(path, row.row, row.text(code))?;
        if known.last().is_none_or(|(last, ..)| *last != symbol) {
            let [name, market, sector] =
                places.map(|place| place.map_or("", |place| row.text(place)).to_owned());
            known.push((symbol, name, market, sector));
        }
        Ok(())
    })?;
    Ok(known)
}

/// Names of the columns.
pub fn column_names(path: &Path) -> Result<Vec<String>, PanelError> {
    Ok(Table::open(path)?.names)
}
