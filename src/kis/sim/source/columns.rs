//! Typed columns of a Parquet file, with errors that name the column.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::SimError;

/// An open file whose columns are not read yet.
pub(crate) struct Table {
    pub path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<File>,
    schema: SchemaRef,
}

impl Table {
    /// Opens `path` and reads its schema.
    pub fn open(path: &Path) -> Result<Self, SimError> {
        let open_error = |source| SimError::Open { path: path.into(), source };
        let file = File::open(path).map_err(open_error)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| SimError::Parquet { path: path.into(), reason: error.to_string() })?;
        let schema = builder.schema().clone();
        Ok(Self { path: path.into(), builder, schema })
    }

    /// Whether the file has a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.schema.index_of(column).is_ok()
    }

    /// Reads only `columns`, batch by batch.
    pub fn read(self, columns: &[&str]) -> Result<Batches, SimError> {
        let Self { path, builder, schema } = self;
        let roots: Vec<usize> =
            columns.iter().filter_map(|column| schema.index_of(column).ok()).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader =
            builder.with_projection(mask).with_batch_size(16_384).build().map_err(|error| {
                SimError::Parquet { path: path.clone(), reason: error.to_string() }
            })?;
        Ok(Batches { path, reader })
    }
}

/// The batches of a file.
pub(crate) struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    type Item = Result<Batch, SimError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(match batch {
            Ok(batch) => Ok(Batch { path: self.path.clone(), batch }),
            Err(error) => {
                Err(SimError::Parquet { path: self.path.clone(), reason: error.to_string() })
            }
        })
    }
}

/// Some rows of a file.
pub(crate) struct Batch {
    path: PathBuf,
    batch: RecordBatch,
}

/// Text column.
pub(crate) struct Texts(ArrayRef);

impl Texts {
    /// The text in `row`; `None` where there is none.
    pub fn get(&self, row: usize) -> Option<&str> {
        if self.0.is_null(row) {
            return None;
        }
        match self.0.data_type() {
            DataType::LargeUtf8 => Some(self.0.as_string::<i64>().value(row)),
            DataType::Utf8View => Some(self.0.as_string_view().value(row)),
            _ => Some(self.0.as_string::<i32>().value(row)),
        }
    }
}

impl Batch {
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn column(&self, column: &'static str, expected: &'static str) -> Result<&ArrayRef, SimError> {
        self.batch.column_by_name(column).ok_or_else(|| SimError::Column {
            path: self.path.clone(),
            column,
            problem: "is missing".into(),
            expected,
        })
    }

    fn wrong_type(
        &self,
        column: &'static str,
        found: &DataType,
        expected: &'static str,
    ) -> SimError {
        let problem = format!("has type {found}");
        SimError::Column { path: self.path.clone(), column, problem, expected }
    }

    /// A text column.
    pub fn texts(&self, column: &'static str) -> Result<Texts, SimError> {
        let array = self.column(column, "text")?;
        match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(Texts(array.clone())),
            found => Err(self.wrong_type(column, found, "text")),
        }
    }

    /// A column of 32-bit or 64-bit integers; missing values are `None`.
    pub fn integers(&self, column: &'static str) -> Result<Vec<Option<i64>>, SimError> {
        let array = self.column(column, "an integer column")?;
        match array.data_type() {
            DataType::Int32 => {
                let values = array.as_primitive::<Int32Type>();
                Ok(values.iter().map(|value| value.map(i64::from)).collect())
            }
            DataType::Int64 => Ok(array.as_primitive::<Int64Type>().iter().collect()),
            found => Err(self.wrong_type(column, found, "int32 or int64")),
        }
    }

    /// A column of floating-point numbers.
    pub fn numbers(&self, column: &'static str) -> Result<Vec<Option<f64>>, SimError> {
        let array = self.column(column, "a float64 column")?;
        match array.data_type() {
            DataType::Float64 => Ok(array.as_primitive::<Float64Type>().iter().collect()),
            found => Err(self.wrong_type(column, found, "float64")),
        }
    }

    /// A column of yes or no; missing values are no.
    pub fn flags(&self, column: &'static str) -> Result<Vec<bool>, SimError> {
        let array = self.column(column, "a boolean column")?;
        match array.data_type() {
            DataType::Boolean => {
                Ok(array.as_boolean().iter().map(|value| value.unwrap_or(false)).collect())
            }
            found => Err(self.wrong_type(column, found, "boolean")),
        }
    }

    /// A column of dates, as days since 1970-01-01.
    pub fn dates(&self, column: &'static str) -> Result<Vec<i32>, SimError> {
        let array = self.column(column, "a date32 column")?;
        match array.data_type() {
            DataType::Date32 => Ok(array.as_primitive::<Date32Type>().values().to_vec()),
            found => Err(self.wrong_type(column, found, "date32")),
        }
    }

    /// A column of local timestamps without a zone, as seconds since 1970-01-01 00:00 local time.
    pub fn local_seconds(&self, column: &'static str) -> Result<Vec<i64>, SimError> {
        let array = self.column(column, "a timestamp column without a zone")?;
        let DataType::Timestamp(unit, None) = array.data_type() else {
            return Err(self.wrong_type(column, array.data_type(), "a timestamp without a zone"));
        };
        let scaled =
            |values: &[i64], unit: i64| values.iter().map(|v| v.div_euclid(unit)).collect();
        Ok(match unit {
            TimeUnit::Second => scaled(array.as_primitive::<TimestampSecondType>().values(), 1),
            TimeUnit::Millisecond => {
                scaled(array.as_primitive::<TimestampMillisecondType>().values(), 1_000)
            }
            TimeUnit::Microsecond => {
                scaled(array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000)
            }
            TimeUnit::Nanosecond => {
                scaled(array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000)
            }
        })
    }

    /// A row that lacks a value where there must be one.
    pub fn missing(&self, column: &'static str, row: usize) -> SimError {
        let problem = format!("has no value in row {row} of a batch");
        SimError::Column {
            path: self.path.clone(),
            column,
            problem,
            expected: "a value in every row",
        }
    }

    /// A value that cannot be.
    pub fn impossible(
        &self,
        column: &'static str,
        value: impl std::fmt::Display,
        expected: &'static str,
    ) -> SimError {
        let problem = format!("holds \"{value}\"");
        SimError::Column { path: self.path.clone(), column, problem, expected }
    }
}
