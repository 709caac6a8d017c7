//! What a segment is, from a look at both its ends.

use super::JournalError;
use super::format::{HeaderState, SEGMENT_HEADER};
use super::reader::refusal;
use super::segment::{Found, SegmentInfo, SegmentReader};

/// Bytes at the end of a segment in which its last record is looked for first.
const TAIL: u64 = 256 << 10;

/// How a segment looks at its ends. What lies between is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentState {
    /// It ends with a whole record.
    Whole,
    /// No record is in it.
    Empty,
    /// Behind the last record are so many bytes that are none: an unfinished write, or damage.
    Torn(u64),
    /// Its header is damaged; its records can be read.
    DamagedHeader,
    /// It is none of this version, for this reason.
    Refused(String),
}

/// A segment at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The file.
    pub info: SegmentInfo,
    /// First segment of the run that wrote it, where its header says so.
    pub run: Option<u32>,
    /// When its first record was received, microseconds since the Unix epoch.
    pub first_us: Option<i64>,
    /// When its last record was received, microseconds since the Unix epoch.
    pub last_us: Option<i64>,
    /// How it looks.
    pub state: SegmentState,
}

/// Looks at both ends of a segment: costs the same for a long one as for a short one, unless its
/// end is damaged.
///
/// # Errors
/// [`JournalError::Io`] when it cannot be read.
pub fn summarize(info: &SegmentInfo) -> Result<SegmentSummary, JournalError> {
    let mut reader = SegmentReader::open(info.clone(), Vec::new())?;
    let run = match &reader.header {
        HeaderState::Whole(header) => Some(header.run),
        _ => None,
    };
    let mut summary = SegmentSummary {
        info: info.clone(),
        run,
        first_us: None,
        last_us: None,
        state: SegmentState::Empty,
    };
    if let Some(why) = refusal(&reader.header) {
        summary.state = SegmentState::Refused(why);
        return Ok(summary);
    }
    let damaged_header = reader.header == HeaderState::Damaged;
    loop {
        match reader.next()? {
            Found::Record { received_us, .. } => {
                summary.first_us = Some(received_us);
                break;
            }
            Found::Damaged { .. } => {}
            Found::Tail { from, to, .. } => {
                summary.state = SegmentState::Torn(to - from);
                return Ok(summary);
            }
            Found::End => return Ok(summary),
        }
    }
    let limit = reader.limit();
    let mut tail = TAIL;
    let (last_us, behind) = loop {
        let from = limit.saturating_sub(tail).max(SEGMENT_HEADER as u64);
        match last_record(info, from)? {
            Some((last_us, end)) => break (Some(last_us), limit - end),
            None if from <= SEGMENT_HEADER as u64 => break (summary.first_us, 0),
            None => tail = tail.saturating_mul(16),
        }
    };
    summary.last_us = last_us;
    summary.state = match behind {
        _ if damaged_header => SegmentState::DamagedHeader,
        0 => SegmentState::Whole,
        bytes => SegmentState::Torn(bytes),
    };
    Ok(summary)
}

/// When the last record behind `from` was received, and where it ends.
fn last_record(info: &SegmentInfo, from: u64) -> Result<Option<(i64, u64)>, JournalError> {
    let mut reader = SegmentReader::open(info.clone(), Vec::new())?;
    reader.skip_to(from);
    let mut last = None;
    loop {
        match reader.next()? {
            Found::Record { received_us, .. } => last = Some((received_us, reader.at())),
            Found::Damaged { .. } => {}
            Found::Tail { .. } | Found::End => return Ok(last),
        }
    }
}
