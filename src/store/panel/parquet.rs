//! Parquet files: row groups in parallel, only the columns that are used.

use std::fs::File;
use std::path::Path;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::PanelError;
use super::columns::Batch;
use super::known::KnownRow;
use super::rows::{BAR_COLUMNS, BarRows, Columns, SERIES_COLUMNS, SeriesRows, symbol};
use crate::market::Symbol;

const BATCH_ROWS: usize = 32_768;

fn metadata(path: &Path) -> Result<(File, ArrowReaderMetadata), PanelError> {
    let file = File::open(path).map_err(|source| PanelError::Read { path: path.into(), source })?;
    // The types of the file itself, not those its writer had in memory: no dictionaries.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata =
        ArrowReaderMetadata::load(&file, options).map_err(|error| broken(path, &error))?;
    Ok((file, metadata))
}

fn broken(path: &Path, reason: &dyn std::fmt::Display) -> PanelError {
    PanelError::Broken {
        path: path.into(),
        reason: format!("is no readable Parquet file: {reason}"),
    }
}

/// Reads `columns`, a value of `T` a row group.
fn read<T: Default + Send>(
    path: &Path,
    columns: &[&str],
    take: impl Fn(&mut T, &Batch<'_>) -> Result<(), PanelError> + Sync,
) -> Result<Vec<T>, PanelError> {
    let (_, metadata) = metadata(path)?;
    let groups = metadata.metadata().row_groups();
    let firsts: Vec<usize> = groups
        .iter()
        .scan(1, |next, group| {
            let first = *next;
            *next += usize::try_from(group.num_rows()).unwrap_or(0);
            Some(first)
        })
        .collect();
    let schema = metadata.schema().clone();
    let roots: Vec<usize> =
        columns.iter().filter_map(|column| schema.index_of(column).ok()).collect();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    firsts
        .into_par_iter()
        .enumerate()
        .map(|(group, mut first)| {
            let file = File::open(path)
                .map_err(|source| PanelError::Read { path: path.into(), source })?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask.clone())
                .with_batch_size(BATCH_ROWS)
                .build()
                .map_err(|error| broken(path, &error))?;
            let mut taken = T::default();
            for batch in reader {
                let batch = batch.map_err(|error| broken(path, &error))?;
                take(&mut taken, &Batch { path, first, batch: &batch })?;
                first += batch.num_rows();
            }
            Ok(taken)
        })
        .collect()
}

/// Daily bars, a part a row group.
pub fn bars(path: &Path) -> Result<Vec<BarRows>, PanelError> {
    read(path, BAR_COLUMNS, |rows: &mut BarRows, batch| {
        let columns = Columns {
            path,
            first: batch.first,
            date: batch.days("date")?,
            open: batch.numbers("open")?,
            high: batch.numbers("high")?,
            low: batch.numbers("low")?,
            close: batch.numbers("close")?,
            volume: batch.numbers("volume")?,
            halted: batch.flags("halted")?,
            jump: batch.flags("jump")?,
        };
        columns.check()?;
        batch.texts("symbol", |row, text| rows.take(text, row, &columns))
    })
}

/// Index levels, a part a row group.
pub fn series(path: &Path) -> Result<Vec<SeriesRows>, PanelError> {
    read(path, SERIES_COLUMNS, |rows: &mut SeriesRows, batch| {
        let date = batch.days("date")?;
        let close = batch.numbers("close")?;
        let other = |name| {
            if batch.batch.column_by_name(name).is_none() {
                return Ok(vec![f64::NAN; date.len()]);
            }
            batch.numbers(name)
        };
        let (open, high, low) = (other("open")?, other("high")?, other("low")?);
        batch.texts("series", |row, name| {
            rows.take(name, date[row], [open[row], high[row], low[row], close[row]]);
            Ok(())
        })
    })
}

/// Every code in the column `symbol`.
pub fn symbols(path: &Path) -> Result<FxHashSet<Symbol>, PanelError> {
    let parts = read(path, &["symbol"], |known: &mut FxHashSet<Symbol>, batch| {
        batch.texts("symbol", |row, text| {
            known.insert(symbol(path, batch.first + row, text)?);
            Ok(())
        })
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// The first row of every code that says something of the issue, a row group after the other.
pub fn known(path: &Path) -> Result<Vec<KnownRow>, PanelError> {
    let columns = ["symbol", "name", "market", "sector"];
    let parts = read(path, &columns, |known: &mut Vec<KnownRow>, batch| {
        let [names, markets, sectors] =
            ["name", "market", "sector"].map(|name| batch.optional_texts(name));
        let text = |column: &[String], row: usize| column.get(row).cloned().unwrap_or_default();
        batch.texts("symbol", |row, code| {
            let symbol = symbol(path, batch.first + row, code)?;
            if known.last().is_none_or(|(last, ..)| *last != symbol) {
                let (name, market) = (text(&names, row), text(&markets, row));
                known.push((symbol, name, market, text(&sectors, row)));
            }
            Ok(())
        })
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// Names of the columns.
pub fn column_names(path: &Path) -> Result<Vec<String>, PanelError> {
    let (_, metadata) = metadata(path)?;
    Ok(metadata.schema().fields().iter().map(|field| field.name().clone()).collect())
}
