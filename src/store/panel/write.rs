//! Tables of results as Parquet or CSV, by the file's ending.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Format, PanelError, format};
use crate::market::SessionDay;

/// A column of a table.
#[derive(Debug, Clone)]
pub enum Column {
    /// Days since 1970-01-01, written as dates.
    Days(Vec<i32>),
    /// Texts.
    Texts(Vec<String>),
    /// Floating-point numbers, written so that they are read back the same.
    Numbers(Vec<f64>),
    /// Integers.
    Integers(Vec<i32>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Days(values) | Self::Integers(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Numbers(values) => values.len(),
        }
    }

    fn text(&self, row: usize) -> String {
        match self {
            Self::Days(values) => SessionDay::from_epoch_days(values[row]).to_string(),
            Self::Texts(values) => values[row].clone(),
            Self::Numbers(values) => values[row].to_string(),
            Self::Integers(values) => values[row].to_string(),
        }
    }

    fn array(&self) -> ArrayRef {
        match self {
            Self::Days(values) => Arc::new(Date32Array::from(values.clone())),
            Self::Texts(values) => Arc::new(StringArray::from(values.clone())),
            Self::Numbers(values) => Arc::new(Float64Array::from(values.clone())),
            Self::Integers(values) => Arc::new(Int32Array::from(values.clone())),
        }
    }
}

/// Writes a table; a file that is there is replaced.
///
/// # Errors
/// When the ending is neither `.parquet` nor `.csv`, or the file cannot be written.
pub fn write_table(path: &Path, columns: &[(&str, Column)]) -> Result<(), PanelError> {
    let broken = |reason: String| PanelError::Write { path: path.into(), reason };
    let format = format(path)?;
    let file = std::fs::File::create(path).map_err(|error| broken(error.to_string()))?;
    match format {
        Format::Parquet => parquet_table(file, columns).map_err(|error| broken(error.to_string())),
        Format::Csv => csv_table(file, columns).map_err(|error| broken(error.to_string())),
    }
}

/// Whether a table could be written under this name.
///
/// # Errors
/// When the ending is neither `.parquet` nor `.csv`.
pub fn check_ending(path: &Path) -> Result<(), PanelError> {
    format(path).map(|_| ())
}

fn parquet_table(
    file: std::fs::File,
    columns: &[(&str, Column)],
) -> Result<(), parquet::errors::ParquetError> {
    let arrays = columns.iter().map(|(name, column)| (*name, column.array()));
    let batch = RecordBatch::try_from_iter(arrays)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close().map(|_| ())
}

fn csv_table(file: std::fs::File, columns: &[(&str, Column)]) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(columns.iter().map(|(name, _)| *name))?;
    let rows = columns.iter().map(|(_, column)| column.len()).min().unwrap_or(0);
    for row in 0..rows {
        writer.write_record(columns.iter().map(|(_, column)| column.text(row)))?;
    }
    writer.flush()?;
    Ok(())
}
