//! `bongsu journal ls|verify|dump`: looking into the journal without a running daemon.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::journal::{Fault, JournalReader, segments};
use crate::market::EventTime;
use crate::messages::FrameKind;

/// Lists the segments.
///
/// # Errors
/// When the folder cannot be listed or standard output is gone.
pub fn ls(folder: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let found = segments(folder)?;
    if found.is_empty() {
        writeln!(out, "no segments in {}", folder.display())?;
    }
    for info in &found {
        writeln!(out, "{:>8}  {:>12} bytes  {}", info.segment, info.bytes, info.path.display())?;
    }
    Ok(())
}

/// Reads everything and reports what cannot be read. Fails when there is any such thing.
///
/// # Errors
/// When something cannot be read.
pub fn verify(folder: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let (mut records, mut bytes, mut faults) = (0u64, 0u64, 0u64);
    let mut reader = JournalReader::open(folder)?;
    while let Some(item) = reader.next() {
        match item {
            Ok(record) => {
                records += 1;
                bytes += record.payload.len() as u64;
            }
            Err(fault) => {
                faults += 1;
                writeln!(out, "{fault}")?;
            }
        }
    }
    writeln!(out, "{records} records, {bytes} bytes of payload, {faults} faults")?;
    anyhow::ensure!(
        faults == 0,
        "the journal in {} has {faults} faults; the records around them are intact and are used",
        folder.display()
    );
    Ok(())
}

/// Prints every record, one a line: position, time of reception, kind, payload.
///
/// # Errors
/// When the folder cannot be read or standard output is gone.
pub fn dump(folder: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let mut reader = JournalReader::open(folder)?;
    while let Some(item) = reader.next() {
        match item {
            Ok(record) => {
                let received = EventTime::from_micros(record.received_us);
                let (segment, offset) = (record.at.segment, record.at.offset);
                write!(out, "{segment}:{offset}\t{received}\t{:?}\t", record.kind)?;
                let payload = match (record.kind, <[u8; 8]>::try_from(record.payload)) {
                    (FrameKind::Silence, Ok(micros)) => {
                        format!("{} us", i64::from_le_bytes(micros))
                    }
                    _ => record.payload.escape_ascii_lossy(),
                };
                writeln!(out, "{payload}")?;
            }
            Err(Fault::Io(error)) => return Err(error).context("dump"),
            Err(fault) => writeln!(out, "# {fault}")?,
        }
    }
    Ok(())
}

trait EscapeLossy {
    fn escape_ascii_lossy(&self) -> String;
}

impl EscapeLossy for [u8] {
    /// Text as it is, other bytes and control characters escaped.
    fn escape_ascii_lossy(&self) -> String {
        match std::str::from_utf8(self) {
            Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
            _ => self.escape_ascii().to_string(),
        }
    }
}
