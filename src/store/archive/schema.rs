//! The columns of both kinds of files, and the batches made of them.
//!
//! Prices are whole won, volumes whole shares. Times carry their zone: `time` Korea's, `received`
//! UTC. A zero means that the feed left the field empty, as everywhere in Bongsu.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
    UInt8Builder, UInt16Builder, UInt32Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::writer::{FrameRow, TickRow};
use crate::market::TradeFlags;

const KOREA: &str = "+09:00";
const UTC: &str = "UTC";

fn timestamp(zone: &str) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), false);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

static FRAMES: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("segment", DataType::UInt32),
        ("offset", DataType::UInt32),
        ("kind", DataType::UInt8),
        ("received_us", DataType::Int64),
        ("payload", DataType::Binary),
    ])
});

static TICKS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("time", timestamp(KOREA)),
        ("symbol", DataType::Utf8),
        ("price", DataType::Int64),
        ("quantity", DataType::Int64),
        ("cum_volume", DataType::Int64),
        ("cum_value", DataType::Int64),
        ("side", DataType::Utf8),
        ("ask", DataType::Int64),
        ("bid", DataType::Int64),
        ("ask_depth", DataType::Int64),
        ("bid_depth", DataType::Int64),
        ("base_price", DataType::Int64),
        ("previous_volume_at_time", DataType::Int64),
        ("vi_reference", DataType::Int64),
        ("halted", DataType::Boolean),
        ("received", timestamp(UTC)),
        ("segment", DataType::UInt32),
        ("offset", DataType::UInt32),
        ("record", DataType::UInt16),
    ])
});

/// Columns of `frames`: where the record stands in the journal, its kind
/// ([`FrameKind`](crate::messages::FrameKind) as a number), when it was received in microseconds
/// since the Unix epoch, and its bytes.
#[must_use]
pub fn frames_schema() -> SchemaRef {
    Arc::clone(&FRAMES)
}

/// Columns of `ticks`: a trade ([`Trade`](crate::market::Trade)), and the record it came in.
#[must_use]
pub fn ticks_schema() -> SchemaRef {
    Arc::clone(&TICKS)
}

/// Rows of `frames` that wait for their batch.
#[derive(Debug, Default)]
pub(super) struct FrameColumns {
    segment: UInt32Builder,
    offset: UInt32Builder,
    kind: UInt8Builder,
    received_us: Int64Builder,
    payload: BinaryBuilder,
}

impl FrameColumns {
    pub fn push(&mut self, row: &FrameRow<'_>) {
        self.segment.append_value(row.at.segment);
        self.offset.append_value(row.at.offset);
        self.kind.append_value(row.kind as u8);
        self.received_us.append_value(row.received_us);
        self.payload.append_value(row.payload);
    }

    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.segment.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.received_us.finish()),
            Arc::new(self.payload.finish()),
        ];
        RecordBatch::try_new(frames_schema(), columns)
    }
}

/// Integers of a tick, in the order of their columns.
const INTEGERS: usize = 11;

/// Rows of `ticks` that wait for their batch.
#[derive(Debug)]
pub(super) struct TickColumns {
    time: TimestampMicrosecondBuilder,
    symbol: StringBuilder,
    /// price, quantity, cum_volume, cum_value, then ask to vi_reference.
    integers: [Int64Builder; INTEGERS],
    side: StringBuilder,
    halted: BooleanBuilder,
    received: TimestampMicrosecondBuilder,
    segment: UInt32Builder,
    offset: UInt32Builder,
    record: UInt16Builder,
}

impl Default for TickColumns {
    fn default() -> Self {
        Self {
            time: TimestampMicrosecondBuilder::new().with_timezone(KOREA),
            symbol: StringBuilder::new(),
            integers: std::array::from_fn(|_| Int64Builder::new()),
            side: StringBuilder::new(),
            halted: BooleanBuilder::new(),
            received: TimestampMicrosecondBuilder::new().with_timezone(UTC),
            segment: UInt32Builder::new(),
            offset: UInt32Builder::new(),
            record: UInt16Builder::new(),
        }
    }
}

impl TickColumns {
    pub fn push(&mut self, row: &TickRow) {
        let trade = &row.trade;
        let integers: [i64; INTEGERS] = [
            trade.price,
            trade.quantity,
            trade.cum_volume,
            trade.cum_value,
            trade.ask,
            trade.bid,
            trade.ask_depth,
            trade.bid_depth,
            trade.base_price,
            trade.previous_volume_at_time,
            trade.vi_reference,
        ];
        self.time.append_value(trade.time.micros());
        self.symbol.append_value(row.symbol.as_str());
        for (column, value) in self.integers.iter_mut().zip(integers) {
            column.append_value(value);
        }
        self.side.append_value(trade.side.letter());
        self.halted.append_value(trade.flags.has(TradeFlags::HALTED));
        self.received.append_value(row.received_us);
        self.segment.append_value(row.at.segment);
        self.offset.append_value(row.at.offset);
        self.record.append_value(row.at.record);
    }

    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut integers =
            self.integers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(self.time.finish()), Arc::new(self.symbol.finish())];
        columns.extend(integers.by_ref().take(4));
        columns.push(Arc::new(self.side.finish()));
        columns.extend(integers);
        columns.push(Arc::new(self.halted.finish()));
        columns.push(Arc::new(self.received.finish()));
        columns.push(Arc::new(self.segment.finish()));
        columns.push(Arc::new(self.offset.finish()));
        columns.push(Arc::new(self.record.finish()));
        RecordBatch::try_new(ticks_schema(), columns)
    }
}
