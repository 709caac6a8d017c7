//! `bongsu journal dump`.

use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::cli::args::{DumpArgs, ReplayTime};
use crate::journal::{Fault, JournalReader, Record};
use crate::kis::frame::peek;
use crate::market::{EventTime, Symbol};
use crate::messages::{Coverage, FrameKind};

/// Prints the records that are wanted, one a line: position, time of reception, kind, payload; or
/// one JSON object a line. What cannot be read is said in its place.
///
/// # Errors
/// When the folder cannot be read, no record begins at the position asked for, or standard output
/// is gone.
pub fn dump(
    folder: &Path,
    wanted: &DumpArgs,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut reader = match wanted.position.or(wanted.segment.map(crate::journal::start_of)) {
        Some(from) => JournalReader::open_from(folder, from)?,
        None => JournalReader::open(folder)?,
    };
    let mut left = wanted.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(item) = reader.next() else { break };
        let segment = match &item {
            Ok(record) => record.at.segment,
            Err(
                Fault::Damaged { segment, .. }
                | Fault::Torn { segment, .. }
                | Fault::NotASegment { segment, .. },
            ) => *segment,
            Err(Fault::Io(_)) => 0,
        };
        if wanted.segment.is_some_and(|only| segment > only) {
            break;
        }
        match item {
            Ok(record) if !is_wanted(wanted, &record) => {}
            Ok(record) => {
                left -= 1;
                let line =
                    if as_json { record_json(&record).to_string() } else { record_text(&record) };
                writeln!(out, "{line}")?;
            }
            Err(Fault::Io(error)) => return Err(error.into()),
            Err(fault) if as_json => {
                writeln!(out, "{}", json!({ "skipped": super::fault_json(&fault) }))?;
            }
            Err(fault) => writeln!(out, "# {fault}")?,
        }
    }
    Ok(())
}

fn is_wanted(wanted: &DumpArgs, record: &Record<'_>) -> bool {
    let received = EventTime::from_micros(record.received_us);
    let is_from = |bound: Option<ReplayTime>| match bound {
        None => None,
        Some(ReplayTime::Instant(instant)) => Some(received >= instant),
        Some(ReplayTime::Daily(time)) => Some(received.time_of_day() >= time),
    };
    is_from(wanted.from).unwrap_or(true)
        && !is_from(wanted.to).unwrap_or(false)
        && wanted.kind.is_none_or(|kind| kind.kind() == record.kind)
        && wanted.symbol.is_none_or(|symbol| is_about(record.kind, record.payload, symbol))
}

/// Whether a record names the issue or index.
fn is_about(kind: FrameKind, payload: &[u8], symbol: Symbol) -> bool {
    match kind {
        FrameKind::Data => {
            peek(payload).is_some_and(|peek| Symbol::from_bytes(peek.key) == Some(symbol))
        }
        FrameKind::Silence | FrameKind::Model => false,
        FrameKind::Connection => {
            Coverage::parse(payload).is_some_and(|coverage| coverage.issues.contains(&symbol))
        }
        FrameKind::Reference | FrameKind::Bars | FrameKind::Sample => {
            serde_json::from_slice::<Value>(payload)
                .is_ok_and(|value| value["symbol"] == symbol.as_str())
        }
    }
}

const fn word(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Data => "data",
        FrameKind::Reference => "reference",
        FrameKind::Silence => "silence",
        FrameKind::Connection => "connection",
        FrameKind::Bars => "bars",
        FrameKind::Sample => "sample",
        FrameKind::Model => "model",
    }
}

/// The microseconds of a record of silence.
fn silence(record: &Record<'_>) -> Option<i64> {
    let micros = <[u8; 8]>::try_from(record.payload).ok().map(i64::from_le_bytes);
    micros.filter(|_| record.kind == FrameKind::Silence)
}

fn record_text(record: &Record<'_>) -> String {
    let payload = match (silence(record), std::str::from_utf8(record.payload)) {
        (Some(micros), _) => format!("{micros} us"),
        (None, Ok(text)) if !text.chars().any(char::is_control) => text.to_owned(),
        // Other bytes and control characters escaped.
        _ => record.payload.escape_ascii().to_string(),
    };
    format!(
        "{}:{}\t{}\t{:?}\t{payload}",
        record.at.segment,
        record.at.offset,
        EventTime::from_micros(record.received_us),
        record.kind
    )
}

fn record_json(record: &Record<'_>) -> Value {
    let mut value = json!({
        "segment": record.at.segment,
        "offset": record.at.offset,
        "received": EventTime::from_micros(record.received_us).rfc3339(),
        "kind": word(record.kind),
    });
    match (silence(record), std::str::from_utf8(record.payload)) {
        (Some(micros), _) => value["silence_us"] = micros.into(),
        (None, Ok(text)) => value["payload"] = text.into(),
        (None, Err(_)) => {
            let engine = base64::engine::general_purpose::STANDARD;
            value["payload_base64"] = engine.encode(record.payload).into();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_known_by_what_they_are_about() {
        let samsung = "005930".parse().unwrap();
        let about = |kind, payload: &[u8]| is_about(kind, payload, samsung);
        assert!(about(FrameKind::Data, b"0|H0STCNT0|001|005930^101530^"));
        assert!(!about(FrameKind::Data, b"0|H0STCNT0|001|000660^101530^"));
        assert!(!about(FrameKind::Data, b"garbage"));
        assert!(about(FrameKind::Reference, br#"{"symbol":"005930"}"#));
        assert!(!about(FrameKind::Sample, br#"{"symbol":"000660"}"#));
        assert!(!about(FrameKind::Silence, b"12345678"));
    }
}
