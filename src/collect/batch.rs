//! Records into Arrow batches and back. What comes out of a batch was checked on the way.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use std::sync::Arc;

use super::schema::{Kind, SchemaError, validate_columns};
use super::{AccountOrder, Execution};
use crate::market::bar_source::{BarSource, StoredBar};
use crate::market::bars::{Bar, BarKey, Interval};
use crate::market::{EventTime, SessionDay, Side, Symbol};

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn times(values: impl Iterator<Item = EventTime>) -> ArrayRef {
    let micros = TimestampMicrosecondArray::from_iter_values(values.map(EventTime::micros));
    Arc::new(micros.with_timezone("UTC"))
}

fn build(kind: Kind, columns: Vec<ArrayRef>) -> Result<RecordBatch, SchemaError> {
    RecordBatch::try_new(kind.schema(), columns)
        .map_err(|error| SchemaError::Build { kind: kind.as_str(), reason: error.to_string() })
}

/// Bars as a batch, checked.
///
/// # Errors
/// When one of them is not possible.
pub fn of_bars(bars: &[StoredBar]) -> Result<RecordBatch, SchemaError> {
    let rows = || bars.iter().map(|stored| &stored.bar);
    let batch = build(
        Kind::Bars,
        vec![
            texts(rows().map(|bar| bar.key.symbol.as_str())),
            texts(rows().map(|bar| bar.key.interval.as_str())),
            times(rows().map(|bar| bar.key.start)),
            integers(rows().map(|bar| bar.open)),
            integers(rows().map(|bar| bar.high)),
            integers(rows().map(|bar| bar.low)),
            integers(rows().map(|bar| bar.close)),
            integers(rows().map(|bar| bar.volume)),
            integers(rows().map(|bar| bar.amount)),
            texts(bars.iter().map(|stored| stored.source.as_str())),
            Arc::new(rows().map(|bar| Some(bar.is_final)).collect::<BooleanArray>()),
        ],
    )?;
    bars_of(&batch)?;
    Ok(batch)
}

/// Executions as a batch, checked.
///
/// # Errors
/// When one of them is not possible.
pub fn of_executions(executions: &[Execution]) -> Result<RecordBatch, SchemaError> {
    let rows = || executions.iter();
    let batch = build(
        Kind::Executions,
        vec![
            texts(rows().map(|execution| execution.symbol.as_str())),
            times(rows().map(|execution| execution.time)),
            integers(rows().map(|execution| execution.price)),
            integers(rows().map(|execution| execution.quantity)),
            integers(rows().map(|execution| execution.cum_volume)),
        ],
    )?;
    executions_of(&batch)?;
    Ok(batch)
}

/// Orders as a batch, checked.
///
/// # Errors
/// When one of them is not possible.
pub fn of_orders(orders: &[AccountOrder]) -> Result<RecordBatch, SchemaError> {
    let rows = || orders.iter();
    let days = Date32Array::from_iter_values(rows().map(|order| order.day.epoch_days()));
    let batch = build(
        Kind::Orders,
        vec![
            texts(rows().map(|order| order.account.as_str())),
            Arc::new(days),
            texts(rows().map(|order| order.branch.as_str())),
            texts(rows().map(|order| order.number.as_str())),
            texts(rows().map(|order| order.symbol.as_str())),
            texts(rows().map(|order| order.side.letter())),
            times(rows().map(|order| order.time)),
            integers(rows().map(|order| order.ordered)),
            integers(rows().map(|order| order.filled)),
            integers(rows().map(|order| order.price)),
        ],
    )?;
    orders_of(&batch)?;
    Ok(batch)
}

/// The cells of a batch whose columns are those of its kind.
struct Rows<'a> {
    kind: Kind,
    batch: &'a RecordBatch,
}

impl<'a> Rows<'a> {
    fn of(kind: Kind, batch: &'a RecordBatch) -> Result<Self, SchemaError> {
        validate_columns(kind, batch)?;
        Ok(Self { kind, batch })
    }

    /// The column, whose name and type were checked.
    fn column(&self, name: &'static str) -> &'a ArrayRef {
        match self.batch.column_by_name(name) {
            Some(column) => column,
            None => unreachable!("{name} is a column of {}", self.kind.as_str()),
        }
    }

    fn text(&self, name: &'static str, row: usize) -> &'a str {
        self.column(name).as_string::<i32>().value(row)
    }

    fn integer(&self, name: &'static str, row: usize) -> i64 {
        self.column(name).as_primitive::<Int64Type>().value(row)
    }

    fn time(&self, name: &'static str, row: usize) -> EventTime {
        let column = self.column(name).as_primitive::<TimestampMicrosecondType>();
        EventTime::from_micros(column.value(row))
    }

    fn refuse(
        &self,
        row: usize,
        column: &'static str,
        value: impl ToString,
        expected: &'static str,
    ) -> SchemaError {
        SchemaError::Value {
            kind: self.kind.as_str(),
            row,
            column,
            value: value.to_string(),
            expected,
        }
    }

    fn symbol(&self, row: usize) -> Result<Symbol, SchemaError> {
        let text = self.text("symbol", row);
        text.parse().map_err(|_| self.refuse(row, "symbol", text, "an issue code"))
    }

    /// An integer above zero.
    fn positive(&self, name: &'static str, row: usize) -> Result<i64, SchemaError> {
        match self.integer(name, row) {
            value if value > 0 => Ok(value),
            value => Err(self.refuse(row, name, value, "more than 0")),
        }
    }

    fn all<T>(
        &self,
        of: impl Fn(&Self, usize) -> Result<T, SchemaError>,
    ) -> Result<Vec<T>, SchemaError> {
        (0..self.batch.num_rows()).map(|row| of(self, row)).collect()
    }
}

/// The bars of a batch.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn bars_of(batch: &RecordBatch) -> Result<Vec<StoredBar>, SchemaError> {
    Rows::of(Kind::Bars, batch)?.all(|rows, row| {
        let (text, symbol) = (rows.text("interval", row), rows.symbol(row)?);
        let interval =
            Interval::parse(text).ok_or_else(|| rows.refuse(row, "interval", text, "1m or 1d"))?;
        let start = rows.time("start", row);
        if interval.start(start) != start {
            return Err(rows.refuse(row, "start", start.rfc3339(), "the start of an interval"));
        }
        let text = rows.text("source", row);
        let source = BarSource::parse(text)
            .ok_or_else(|| rows.refuse(row, "source", text, "trades or kis"))?;
        let bar = Bar {
            key: BarKey { start, interval, symbol },
            open: rows.positive("open", row)?,
            high: rows.positive("high", row)?,
            low: rows.positive("low", row)?,
            close: rows.positive("close", row)?,
            volume: rows.positive("volume", row)?,
            amount: rows.positive("amount", row)?,
            is_final: rows.column("final").as_boolean().value(row),
        };
        for (name, price) in [("open", bar.open), ("close", bar.close)] {
            if !(bar.low..=bar.high).contains(&price) {
                return Err(rows.refuse(row, name, price, "a price from low to high"));
            }
        }
        Ok(StoredBar { bar, source })
    })
}

/// The executions of a batch.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn executions_of(batch: &RecordBatch) -> Result<Vec<Execution>, SchemaError> {
    Rows::of(Kind::Executions, batch)?.all(|rows, row| {
        let quantity = rows.positive("quantity", row)?;
        let cum_volume = rows.integer("cum_volume", row);
        if cum_volume < quantity {
            return Err(rows.refuse(row, "cum_volume", cum_volume, "at least the quantity"));
        }
        Ok(Execution {
            symbol: rows.symbol(row)?,
            time: rows.time("time", row),
            price: rows.positive("price", row)?,
            quantity,
            cum_volume,
        })
    })
}

/// The orders of a batch.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn orders_of(batch: &RecordBatch) -> Result<Vec<AccountOrder>, SchemaError> {
    Rows::of(Kind::Orders, batch)?.all(|rows, row| {
        let side = match rows.text("side", row) {
            "B" => Side::Buy,
            "S" => Side::Sell,
            other => return Err(rows.refuse(row, "side", other, "B or S")),
        };
        let code = |name, most| {
            let text = rows.text(name, row);
            let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if text.is_empty() || text.len() > most || !plain {
                return Err(rows.refuse(row, name, text, "a short code of letters and digits"));
            }
            Ok(text.to_owned())
        };
        let (ordered, filled) = (rows.positive("ordered", row)?, rows.positive("filled", row)?);
        if filled > ordered {
            return Err(rows.refuse(row, "filled", filled, "at most what was ordered"));
        }
        let day = rows.column("day").as_primitive::<Date32Type>().value(row);
        Ok(AccountOrder {
            account: code("account", 12)?,
            day: SessionDay::from_epoch_days(day),
            branch: code("branch", 8)?,
            number: code("number", 12)?,
            symbol: rows.symbol(row)?,
            side,
            time: rows.time("time", row),
            ordered,
            filled,
            price: rows.positive("price", row)?,
        })
    })
}

#[cfg(test)]
mod tests;
