//! Columns of the market data's Parquet files, read independently of the program under test.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Shows every batch of `file`, with only `columns` in it, to `look`.
///
/// # Panics
/// When the file cannot be read.
pub fn each_batch(file: &Path, columns: &[&str], look: impl FnMut(RecordBatch)) {
    let name = file.display();
    let opened = File::open(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let reader =
        builder.with_projection(mask).build().unwrap_or_else(|error| panic!("{name}: {error}"));
    reader.map(|batch| batch.unwrap_or_else(|error| panic!("{name}: {error}"))).for_each(look);
}

/// A text column; nothing where there is no value.
pub fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array = &batch[column];
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    match array.data_type() {
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(text).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(text).collect(),
        _ => array.as_string::<i32>().iter().map(text).collect(),
    }
}

/// A column of integers or dates (days since 1970); 0 where there is no value.
pub fn integers(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let array = &batch[column];
    let wide = |value: Option<i32>| i64::from(value.unwrap_or_default());
    match array.data_type() {
        DataType::Int64 => {
            array.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default).collect()
        }
        DataType::Date32 => array.as_primitive::<Date32Type>().iter().map(wide).collect(),
        _ => array.as_primitive::<Int32Type>().iter().map(wide).collect(),
    }
}
