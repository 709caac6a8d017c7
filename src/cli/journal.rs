//! `bongsu journal ls|verify|dump`: looking into the journal, beside a running daemon or without.
//! Nothing is written.

mod dump;

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::CliError;
use super::args::{JournalArgs, JournalCommand};
use crate::actors::tree::journal_folder;
use crate::config::Settings;
use crate::journal::{Fault, JournalReader, SegmentState, SegmentSummary, segments, summarize};
use crate::market::EventTime;

pub use dump::dump;

/// Runs the command.
///
/// # Errors
/// When the journal cannot be read, or `verify` finds damage.
pub fn execute(args: JournalArgs, settings: Settings) -> Result<(), CliError> {
    let folder = args.journal.unwrap_or_else(|| journal_folder(&settings.data_dir));
    match args.command {
        JournalCommand::Ls => super::print(&ls(&folder, args.json)?),
        JournalCommand::Verify => {
            let report = verify(&folder)?;
            super::print(&report.show(args.json))?;
            match report.damage.len() {
                0 => Ok(()),
                count => Err(CliError::runtime(format!(
                    "the journal in {} is damaged in {count} places; the records around them are intact and are used",
                    folder.display()
                ))),
            }
        }
        JournalCommand::Dump(wanted) => {
            let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
            let outcome = dump(&folder, &wanted, args.json, &mut stdout)
                .and_then(|()| stdout.flush().map_err(Into::into));
            match outcome {
                Err(error) if is_broken_pipe(&error) => Err(CliError::OutputClosed),
                other => Ok(other?),
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn time(micros: Option<i64>) -> Option<String> {
    micros.map(|micros| EventTime::from_micros(micros).rfc3339())
}

/// What a segment's state is called, and more where there is more to say.
fn state(state: &SegmentState) -> (&'static str, Option<String>) {
    match state {
        SegmentState::Whole => ("whole", None),
        SegmentState::Empty => ("empty", None),
        SegmentState::Torn(bytes) => {
            ("torn", Some(format!("{bytes} bytes behind the last record are none")))
        }
        SegmentState::DamagedHeader => ("damaged", Some("its header is damaged".to_owned())),
        SegmentState::Refused(why) => ("refused", Some(why.clone())),
    }
}

/// The segments, with when their first and last records were received.
///
/// # Errors
/// When the folder cannot be listed or a segment cannot be read.
pub fn ls(folder: &Path, as_json: bool) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for info in segments(folder)? {
        match summarize(&info) {
            Ok(summary) => found.push(summary),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let bytes: u64 = found.iter().map(|summary| summary.info.bytes).sum();
    if as_json {
        let list: Vec<Value> = found.iter().map(segment_json).collect();
        return Ok(format!("{}\n", json!({ "segments": list, "bytes": bytes })));
    }
    if found.is_empty() {
        return Ok(format!("no segments in {}\n", folder.display()));
    }
    let mut text = format!(
        "{:>8} {:>12} {:>6}  {:<8} {:<32} last received\n",
        "segment", "bytes", "run", "state", "first received"
    );
    for summary in &found {
        let (word, more) = state(&summary.state);
        let shown = |micros| time(micros).unwrap_or_else(|| "-".to_owned());
        let run = summary.run.map_or_else(|| "-".to_owned(), |run| run.to_string());
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{:>8} {:>12} {run:>6}  {word:<8} {:<32} {}{}",
            summary.info.segment,
            summary.info.bytes,
            shown(summary.first_us),
            shown(summary.last_us),
            more.map(|more| format!("  ({more})")).unwrap_or_default(),
        );
    }
    let _ = writeln!(text, "{} segments, {bytes} bytes in {}", found.len(), folder.display());
    Ok(text)
}

fn segment_json(summary: &SegmentSummary) -> Value {
    let (word, more) = state(&summary.state);
    json!({
        "segment": summary.info.segment,
        "bytes": summary.info.bytes,
        "run": summary.run,
        "first_received": time(summary.first_us),
        "last_received": time(summary.last_us),
        "state": word,
        "more": more,
        "path": summary.info.path.display().to_string(),
    })
}

/// What a whole reading found.
#[derive(Debug, Default)]
pub struct Report {
    /// Records.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Places where records were lost, or that cannot be read.
    pub damage: Vec<Fault>,
    /// Unfinished writes at the end of a run: normal.
    pub torn: Vec<Fault>,
}

/// Reads everything.
///
/// # Errors
/// When the folder cannot be listed.
pub fn verify(folder: &Path) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut reader = JournalReader::open(folder)?;
    while let Some(item) = reader.next() {
        match item {
            Ok(record) => {
                report.records += 1;
                report.payload_bytes += record.payload.len() as u64;
            }
            Err(fault) if fault.is_normal() => report.torn.push(fault),
            Err(fault) => report.damage.push(fault),
        }
    }
    Ok(report)
}

impl Report {
    fn show(&self, as_json: bool) -> String {
        if as_json {
            let faults = |list: &[Fault]| list.iter().map(fault_json).collect::<Vec<Value>>();
            let report = json!({
                "records": self.records,
                "payload_bytes": self.payload_bytes,
                "damage": faults(&self.damage),
                "torn": faults(&self.torn),
            });
            return format!("{report}\n");
        }
        let mut text = String::new();
        for fault in &self.torn {
            let _ = writeln!(text, "{fault} (normal where a run ended, or while one writes)");
        }
        for fault in &self.damage {
            let _ = writeln!(text, "DAMAGED: {fault}");
        }
        let _ = writeln!(
            text,
            "{} records, {} bytes of payload, {} damaged places, {} unfinished writes",
            self.records,
            self.payload_bytes,
            self.damage.len(),
            self.torn.len()
        );
        text
    }
}

/// A fault for a machine.
fn fault_json(fault: &Fault) -> Value {
    let range = match fault {
        Fault::Damaged { segment, from, to, .. } | Fault::Torn { segment, from, to } => {
            Some((*segment, *from, *to))
        }
        Fault::NotASegment { segment, bytes, .. } => Some((*segment, 0, *bytes)),
        Fault::Io(_) => None,
    };
    let why = fault.to_string();
    match range {
        Some((segment, from, to)) => {
            json!({ "segment": segment, "from": from, "to": to, "why": why })
        }
        None => json!({ "why": why }),
    }
}
