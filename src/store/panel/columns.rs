//! Arrow columns of several types as numbers, texts, days and flags.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use super::PanelError;
use super::rows::parse_day;

/// Some rows of a file, from row number `first` on.
pub struct Batch<'a> {
    pub path: &'a Path,
    pub first: usize,
    pub batch: &'a RecordBatch,
}

const DAY_US: i64 = 86_400_000_000;

impl Batch<'_> {
    fn column(&self, name: &str, expected: &'static str) -> Result<&ArrayRef, PanelError> {
        self.batch.column_by_name(name).ok_or_else(|| PanelError::Column {
            path: self.path.into(),
            column: name.into(),
            problem: "is missing".into(),
            expected,
        })
    }

    fn wrong_type(&self, name: &str, found: &DataType, expected: &'static str) -> PanelError {
        let (path, column) = (self.path.into(), name.into());
        PanelError::Column { path, column, problem: format!("has type {found}"), expected }
    }

    fn value(
        &self,
        row: usize,
        column: &'static str,
        value: String,
        expected: &'static str,
    ) -> PanelError {
        PanelError::Value { path: self.path.into(), row: self.first + row, column, value, expected }
    }

    /// A column of numbers; what is missing is NaN.
    pub fn numbers(&self, name: &'static str) -> Result<Vec<f64>, PanelError> {
        const EXPECTED: &str = "integers or floating-point numbers";
        fn all<T: ArrowPrimitiveType>(array: &ArrayRef, of: impl Fn(T::Native) -> f64) -> Vec<f64> {
            let array = array.as_primitive::<T>();
            if array.null_count() == 0 {
                return array.values().iter().map(|value| of(*value)).collect();
            }
            array.iter().map(|value| value.map_or(f64::NAN, &of)).collect()
        }
        let array = self.column(name, EXPECTED)?;
        Ok(match array.data_type() {
            DataType::Int16 => all::<Int16Type>(array, f64::from),
            DataType::Int32 => all::<Int32Type>(array, f64::from),
            DataType::UInt32 => all::<UInt32Type>(array, f64::from),
            DataType::Int64 => all::<Int64Type>(array, |value| value as f64),
            DataType::UInt64 => all::<UInt64Type>(array, |value| value as f64),
            DataType::Float32 => all::<Float32Type>(array, f64::from),
            DataType::Float64 => all::<Float64Type>(array, |value| value),
            // A column without any value.
            DataType::Null => vec![f64::NAN; array.len()],
            found => return Err(self.wrong_type(name, found, EXPECTED)),
        })
    }

    /// Calls `each` with the text of every row.
    pub fn texts(
        &self,
        name: &'static str,
        mut each: impl FnMut(usize, &str) -> Result<(), PanelError>,
    ) -> Result<(), PanelError> {
        const EXPECTED: &str = "text (a code keeps its leading zeros)";
        let array = self.column(name, EXPECTED)?;
        if let Some(row) =
            (0..array.len()).find(|&row| array.null_count() > 0 && array.is_null(row))
        {
            return Err(self.value(row, name, "nothing".into(), EXPECTED));
        }
        match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                (0..texts.len()).try_for_each(|row| each(row, texts.value(row)))
            }
            DataType::LargeUtf8 => {
                let texts = array.as_string::<i64>();
                (0..texts.len()).try_for_each(|row| each(row, texts.value(row)))
            }
            found => Err(self.wrong_type(name, found, EXPECTED)),
        }
    }

    /// A column of texts that may be missing, and whose values may be: empty then.
    pub fn optional_texts(&self, name: &str) -> Vec<String> {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        match self.batch.column_by_name(name) {
            Some(array) if array.data_type() == &DataType::Utf8 => {
                array.as_string::<i32>().iter().map(text).collect()
            }
            Some(array) if array.data_type() == &DataType::LargeUtf8 => {
                array.as_string::<i64>().iter().map(text).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A column of dates, as days since 1970-01-01.
    pub fn days(&self, name: &'static str) -> Result<Vec<i32>, PanelError> {
        const EXPECTED: &str = "dates (date32, a timestamp, or text like 2024-08-05)";
        let array = self.column(name, EXPECTED)?;
        if let Some(row) =
            (0..array.len()).find(|&row| array.null_count() > 0 && array.is_null(row))
        {
            return Err(self.value(row, name, "nothing".into(), EXPECTED));
        }
        let scaled = |values: &[i64], day: i64| -> Vec<i32> {
            values.iter().map(|value| value.div_euclid(day) as i32).collect()
        };
        Ok(match array.data_type() {
            DataType::Date32 => array.as_primitive::<Date32Type>().values().to_vec(),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => {
                    scaled(array.as_primitive::<TimestampSecondType>().values(), DAY_US / 1_000_000)
                }
                TimeUnit::Millisecond => scaled(
                    array.as_primitive::<TimestampMillisecondType>().values(),
                    DAY_US / 1_000,
                ),
                TimeUnit::Microsecond => {
                    scaled(array.as_primitive::<TimestampMicrosecondType>().values(), DAY_US)
                }
                TimeUnit::Nanosecond => {
                    scaled(array.as_primitive::<TimestampNanosecondType>().values(), DAY_US * 1_000)
                }
            },
            DataType::Utf8 | DataType::LargeUtf8 => {
                let mut days = Vec::with_capacity(array.len());
                self.texts(name, |row, text| {
                    let day = parse_day(text);
                    days.push(
                        day.ok_or_else(|| self.value(row, name, format!("\"{text}\""), EXPECTED))?,
                    );
                    Ok(())
                })?;
                days
            }
            found => return Err(self.wrong_type(name, found, EXPECTED)),
        })
    }

    /// A column of yes and no; what is missing is no. `None` when there is no such column.
    pub fn flags(&self, name: &'static str) -> Result<Option<Vec<bool>>, PanelError> {
        let Some(array) = self.batch.column_by_name(name) else { return Ok(None) };
        match array.data_type() {
            DataType::Boolean => {
                let flags = array.as_boolean().iter().map(|flag| flag.unwrap_or(false));
                Ok(Some(flags.collect()))
            }
            found => Err(self.wrong_type(name, found, "yes or no (boolean)")),
        }
    }
}
