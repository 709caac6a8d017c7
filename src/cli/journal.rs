//! `bongsu journal ls|verify|dump`: looking into the journal without a running daemon.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::CliError;
use super::args::{JournalArgs, JournalCommand};
use crate::actors::tree::journal_folder;
use crate::config::Settings;
use crate::journal::{Fault, JournalReader, segments};
use crate::market::EventTime;
use crate::messages::FrameKind;

/// Runs the command.
///
/// # Errors
/// When the journal cannot be read, or `verify` finds a fault.
pub fn execute(args: JournalArgs, settings: Settings) -> Result<(), CliError> {
    let folder = args.journal.unwrap_or_else(|| journal_folder(&settings.data_dir));
    let mut text = Vec::new();
    let outcome = match args.command {
        JournalCommand::Ls => ls(&folder, &mut text),
        JournalCommand::Verify => verify(&folder, &mut text),
        JournalCommand::Dump { segment, limit } => {
            let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
            let outcome = dump(&folder, segment, limit, &mut stdout)
                .and_then(|()| stdout.flush().map_err(Into::into));
            return match outcome {
                Err(error) if is_broken_pipe(&error) => Err(CliError::OutputClosed),
                other => Ok(other?),
            };
        }
    };
    super::print(&String::from_utf8_lossy(&text))?;
    Ok(outcome?)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

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

/// Prints the records, one a line: position, time of reception, kind, payload. Only those of one
/// segment, and only so many, when asked.
///
/// # Errors
/// When the folder cannot be read or standard output is gone.
pub fn dump(
    folder: &Path,
    segment: Option<u64>,
    limit: Option<u64>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut reader = JournalReader::open(folder)?;
    let mut left = limit.unwrap_or(u64::MAX);
    while let Some(item) = reader.next() {
        match item {
            Ok(record) if segment.is_some_and(|only| only != u64::from(record.at.segment)) => {}
            Ok(_) if left == 0 => return Ok(()),
            Ok(record) => {
                left -= 1;
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
