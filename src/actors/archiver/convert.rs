//! From a segment's records to files: which day a record is of, and which trades are in it.
//!
//! A trade is of the session day it tells. Every other record is of the day of the trade before it in
//! its segment; before the first one, of that one's; in a segment without trades, of the Korean date on
//! which it was received. So a recorded day that is played through a live socket is archived as the day
//! it was.
//!
//! Trades that cannot be parsed, and prices that an auction only expects, are in `frames` alone.

use super::upload::ArchiveFailure;
use crate::journal::{Fault, JournalReader, SegmentInfo};
use crate::kis::frame::{FrameParser, Tr, decode_trade, peek};
use crate::market::{EventTime, SessionDay, SymbolId, TradeFlags};
use crate::messages::FrameKind;
use crate::store::archive::{
    ArchiveError, ArchiveLimits, FinishedFile, FrameRow, Manifest, SegmentId, SegmentWriter,
    TickRow,
};

/// The name of a segment, from its first record; `None` when no record can be read.
#[must_use]
pub fn segment_id(info: &SegmentInfo) -> Option<SegmentId> {
    let mut reader = JournalReader::of_segment(info.clone());
    while let Some(item) = reader.next() {
        if let Ok(record) = item {
            let first_received_us = record.received_us;
            return Some(SegmentId { segment: info.segment, first_received_us });
        }
    }
    None
}

/// What the converter hands on.
#[derive(Debug)]
pub enum Converted {
    /// A file.
    File(FinishedFile),
    /// The end: everything but the pieces.
    Done(Box<Manifest>),
}

/// The session day a trade frame tells.
fn day_of(kind: FrameKind, payload: &[u8]) -> Option<SessionDay> {
    (kind == FrameKind::Data).then(|| peek(payload)?.time).flatten().map(EventTime::session_day)
}

/// The day of what stands before the first trade.
fn first_day(info: &SegmentInfo) -> Option<SessionDay> {
    let mut reader = JournalReader::of_segment(info.clone());
    while let Some(item) = reader.next() {
        let day = item.ok().and_then(|record| day_of(record.kind, record.payload));
        if day.is_some() {
            return day;
        }
    }
    None
}

/// Converts a segment. Files are given to `give` as they are finished; when it says `false`, nobody
/// wants them any more.
///
/// # Errors
/// When the file cannot be read, or Parquet not be written.
pub fn convert(
    id: SegmentId,
    info: &SegmentInfo,
    limits: ArchiveLimits,
    mut give: impl FnMut(Converted) -> bool,
) -> Result<(), ArchiveFailure> {
    let mut day = first_day(info);
    let mut writer = SegmentWriter::new(id, limits);
    let mut parser = FrameParser::new();
    let mut files = Vec::new();
    let mut reader = JournalReader::of_segment(info.clone());
    while let Some(item) = reader.next() {
        match item {
            Ok(record) => {
                day = day_of(record.kind, record.payload).or(day);
                let received = EventTime::from_micros(record.received_us);
                let row = FrameRow {
                    at: record.at,
                    kind: record.kind,
                    received_us: record.received_us,
                    payload: record.payload,
                };
                writer.frame(day.unwrap_or_else(|| received.session_day()), &row, &mut files)?;
                if record.kind == FrameKind::Data {
                    ticks(&row, &mut parser, &mut writer, &mut files)?;
                }
            }
            // The disk, not the segment: it may be read another time.
            Err(Fault::Io(error)) => return Err(error.into()),
            // A write that the end of a run cut short: nothing of it was ever passed on.
            Err(fault) if fault.is_normal() => {}
            Err(fault) => writer.fault(fault.to_string()),
        }
        for file in files.drain(..) {
            if !give(Converted::File(file)) {
                return Ok(());
            }
        }
    }
    let manifest = writer.finish(&mut files)?;
    let files = files.into_iter().map(Converted::File);
    for converted in files.chain([Converted::Done(Box::new(manifest))]) {
        if !give(converted) {
            break;
        }
    }
    Ok(())
}

/// The trades of a frame.
fn ticks(
    row: &FrameRow<'_>,
    parser: &mut FrameParser,
    writer: &mut SegmentWriter,
    files: &mut Vec<FinishedFile>,
) -> Result<(), ArchiveError> {
    let Ok(records) = parser.split(row.payload) else { return Ok(()) };
    if records.tr() != Tr::Trade {
        return Ok(());
    }
    for index in 0..records.count() {
        let (Ok(symbol), Ok(trade)) =
            (records.symbol(index), decode_trade(&records, index, SymbolId(0)))
        else {
            continue;
        };
        if trade.flags.has(TradeFlags::EXPECTED) {
            continue;
        }
        // A frame has at most 9,999 records.
        let at = crate::market::RecordRef { record: index as u16, ..row.at };
        let tick = TickRow { at, received_us: row.received_us, symbol, trade };
        writer.tick(&tick, files)?;
    }
    Ok(())
}
