//! Reading, in order, across segments.

use std::path::{Path, PathBuf};

use super::format::{HeaderState, SEGMENT_HEADER};
use super::segment::{Damage, Found, SegmentInfo, SegmentReader, read_header, segments};
use super::{JournalError, Position, start_of};
use crate::market::RecordRef;
use crate::messages::FrameKind;

/// A record as it was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it stands.
    pub at: RecordRef,
    /// What it holds.
    pub kind: FrameKind,
    /// Wall-clock receive time, microseconds since the Unix epoch.
    pub received_us: i64,
    /// The bytes.
    pub payload: &'a [u8],
}

/// Something in the journal that cannot be read. Reading goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Bytes in which records were lost.
    #[error("segment {segment} is damaged from byte {from} to byte {to}: {why}")]
    Damaged {
        /// Segment.
        segment: u32,
        /// First byte that belongs to no record that can be read.
        from: u64,
        /// First byte of the true record that follows, or the end of the segment.
        to: u64,
        /// What is wrong at `from`.
        why: Damage,
    },
    /// The last write of a run, which the end of the process or the machine cut short. Nothing of
    /// it was passed on.
    #[error("segment {segment} ends at byte {from}: the last write, {} bytes, was cut short", to - from)]
    Torn {
        /// Segment.
        segment: u32,
        /// First byte that belongs to no whole record.
        from: u64,
        /// Length of the file.
        to: u64,
    },
    /// The file is not a segment of this version. It is left out whole.
    #[error("{path} is not a segment of this version: {why}", path = path.display())]
    NotASegment {
        /// Number in its name.
        segment: u32,
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// The file cannot be read; the rest of the segment is left out.
    #[error(transparent)]
    Io(#[from] JournalError),
}

impl Fault {
    /// Whether this is how a run may end: no record that was passed on is lost by it.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Torn { .. })
    }
}

/// Why reading cannot begin at a position: what was noted there does not fit this journal.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// There is no such segment.
    #[error(
        "journal: {position} is in no segment of {folder}: they are {first} to {last}",
        folder = folder.display()
    )]
    SegmentMissing {
        /// The position.
        position: Position,
        /// The journal.
        folder: PathBuf,
        /// Oldest segment; 0 when there is none.
        first: u32,
        /// Newest segment; 0 when there is none.
        last: u32,
    },
    /// The segment ends before it.
    #[error("journal: {position} is behind the end of its segment, which has {bytes} bytes")]
    PastTheEnd {
        /// The position.
        position: Position,
        /// Length of the segment.
        bytes: u64,
    },
    /// Neither does a record begin there nor does one end there.
    #[error("journal: {position} is not between two records")]
    NoBoundary {
        /// The position.
        position: Position,
    },
    /// The segment is none of this version.
    #[error("journal: {position} is in no segment of this version: {why}")]
    NotASegment {
        /// The position.
        position: Position,
        /// What is wrong with the segment.
        why: String,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Reads all records of a folder in order. Memory: one buffer of 1 MiB, or of the longest record.
///
/// What is appended to a segment after the reader has opened it is not seen.
#[derive(Debug)]
pub struct JournalReader {
    rest: std::iter::Peekable<std::vec::IntoIter<SegmentInfo>>,
    current: Option<SegmentReader>,
    position: Position,
    buffer: Vec<u8>,
}

impl JournalReader {
    /// A reader over all segments in `folder`. Only the folder is listed.
    ///
    /// # Errors
    /// [`JournalError::Io`] when it cannot be.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let found = segments(folder)?;
        let first = found.first().map_or(1, |info| info.segment);
        Ok(Self::over(found, None, start_of(first)))
    }

    /// A reader over one segment.
    #[must_use]
    pub fn of_segment(segment: SegmentInfo) -> Self {
        let from = start_of(segment.segment);
        Self::over(vec![segment], None, from)
    }

    /// A reader over what follows `from`, the place that [`Journal::position`](super::Journal::position)
    /// gave. Costs a listing of the folder and the look at one record, or, when the last write was
    /// cut short just there, the reading of that one segment.
    ///
    /// # Errors
    /// [`PositionError`] when `from` does not fit this journal: what was noted for it must not be
    /// used.
    pub fn open_from(folder: &Path, from: Position) -> Result<Self, PositionError> {
        let mut found = segments(folder)?;
        let (first, last) = match (found.first(), found.last()) {
            (Some(first), Some(last)) => (first.segment, last.segment),
            _ => (0, 0),
        };
        let missing = PositionError::SegmentMissing {
            position: from,
            folder: folder.to_owned(),
            first,
            last,
        };
        found.retain(|info| info.segment >= from.segment);
        let next_to_come = last.checked_add(1) == Some(from.segment);
        // Begun, but the process ended before its header was written.
        let unused =
            |info: &SegmentInfo| info.segment == from.segment && info.bytes < SEGMENT_HEADER as u64;
        if from == start_of(from.segment) && (next_to_come || found.first().is_some_and(unused)) {
            return Ok(Self::over(found, None, from));
        }
        if found.first().is_none_or(|info| info.segment != from.segment) {
            return Err(missing);
        }
        let info = found.remove(0);
        let current = Self::at_position(info, from)?;
        Ok(Self::over(found, Some(current), from))
    }

    fn over(found: Vec<SegmentInfo>, current: Option<SegmentReader>, position: Position) -> Self {
        Self { rest: found.into_iter().peekable(), current, position, buffer: Vec::new() }
    }

    /// The segment, read from `from` on, when that is a boundary.
    fn at_position(info: SegmentInfo, from: Position) -> Result<SegmentReader, PositionError> {
        let offset = u64::from(from.offset);
        let mut reader = SegmentReader::open(info.clone(), Vec::new())?;
        if let Some(why) = refusal(&reader.header) {
            return Err(PositionError::NotASegment { position: from, why });
        }
        if offset > reader.limit() {
            return Err(PositionError::PastTheEnd { position: from, bytes: reader.limit() });
        }
        if offset < SEGMENT_HEADER as u64 {
            return Err(PositionError::NoBoundary { position: from });
        }
        let at_either_end = offset == SEGMENT_HEADER as u64 || offset == reader.limit();
        reader.skip_to(offset);
        if !at_either_end && !reader.has_record(offset)? {
            // No record follows, but one may have ended there before the rest was torn or damaged.
            let mut reader = SegmentReader::open(info, Vec::new())?;
            while reader.at() < offset {
                match reader.next()? {
                    Found::Record { .. } | Found::Damaged { .. } => {}
                    Found::Tail { .. } | Found::End => break,
                }
            }
            if reader.at() != offset {
                return Err(PositionError::NoBoundary { position: from });
            }
            return Ok(reader);
        }
        Ok(reader)
    }

    /// Where what was not given yet begins: for [`JournalReader::open_from`].
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The next record or fault; `None` at the end. Reading goes on after a fault.
    #[allow(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Option<Result<Record<'_>, Fault>> {
        let (at, kind, received_us, payload) = loop {
            let Some(current) = &mut self.current else {
                let info = self.rest.next()?;
                match self.begin(info) {
                    Ok(()) => continue,
                    // Deleted since the folder was listed: nobody needs it.
                    Err(Fault::Io(error)) if error.is_not_found() => continue,
                    Err(fault) => return Some(Err(fault)),
                }
            };
            let segment = current.info.segment;
            match current.next() {
                Ok(Found::Record { offset, kind, received_us, payload }) => {
                    self.position = Position { segment, offset: clipped(current.at()) };
                    let at = RecordRef { segment, offset, record: 0 };
                    break (at, kind, received_us, payload);
                }
                Ok(Found::Damaged { from, to, why }) => {
                    self.position = Position { segment, offset: clipped(to) };
                    return Some(Err(Fault::Damaged { segment, from, to, why }));
                }
                Ok(Found::Tail { from, to, why }) => {
                    return Some(Err(self.tail(from, to, why)));
                }
                Ok(Found::End) => {
                    if let Some(fault) = self.end() {
                        return Some(Err(fault));
                    }
                }
                Err(error) => {
                    self.leave();
                    return Some(Err(error.into()));
                }
            }
        };
        let current = self.current.as_ref()?;
        Some(Ok(Record { at, kind, received_us, payload: current.bytes(payload) }))
    }

    fn begin(&mut self, info: SegmentInfo) -> Result<(), Fault> {
        let (segment, path) = (info.segment, info.path.clone());
        self.position = start_of(segment);
        let reader = SegmentReader::open(info, std::mem::take(&mut self.buffer))?;
        if let Some(why) = refusal(&reader.header) {
            let bytes = reader.limit();
            self.buffer = reader.into_buffer();
            return Err(Fault::NotASegment { segment, path, bytes, why });
        }
        let bytes = reader.limit();
        if reader.header == HeaderState::Short && self.ends_a_run(segment, bytes).is_none() {
            // Begun and not used before the process ended.
            self.buffer = reader.into_buffer();
            return Err(Fault::Torn { segment, from: 0, to: bytes });
        }
        self.current = Some(reader);
        Ok(())
    }

    /// The bytes from `from` to the end of the current segment hold no true record.
    fn tail(&mut self, from: u64, to: u64, why: Damage) -> Fault {
        let Some(current) = self.current.take() else {
            return Fault::Torn { segment: 0, from, to };
        };
        let (info, header) = (current.info.clone(), current.header.clone());
        self.buffer = current.into_buffer();
        let segment = info.segment;
        self.position = Position { segment, offset: clipped(to) };
        if from == 0 && header == HeaderState::Damaged {
            let why = "it has neither a header that begins with BONGSUJ2 nor any record";
            let (path, bytes) = (info.path, to);
            return Fault::NotASegment { segment, path, bytes, why: why.to_owned() };
        }
        match self.ends_a_run(segment, to) {
            None => Fault::Torn { segment, from, to },
            Some(length) => Fault::Damaged { segment, from, to: length.max(to), why },
        }
    }

    /// The current segment ends behind a record: unless it was longer when the next was begun.
    fn end(&mut self) -> Option<Fault> {
        let (segment, limit) = match &self.current {
            Some(current) => (current.info.segment, current.limit()),
            None => return None,
        };
        self.leave();
        let to = self.ends_a_run(segment, limit).filter(|length| *length > limit)?;
        Some(Fault::Damaged { segment, from: limit, to, why: Damage::CutOff })
    }

    fn leave(&mut self) {
        if let Some(current) = self.current.take() {
            self.buffer = current.into_buffer();
        }
    }

    /// `None` when the run that wrote `segment` ended in it; otherwise its length when that run
    /// began the next segment, or the `bytes` it has where that cannot be told.
    fn ends_a_run(&mut self, segment: u32, bytes: u64) -> Option<u64> {
        let next = self.rest.peek()?;
        match read_header(next) {
            Some(HeaderState::Whole(header)) if header.run > segment => None,
            Some(HeaderState::Whole(header)) if next.segment == segment + 1 => {
                Some(header.before.into())
            }
            // A start that was cut short: there was one, so a run ended before it.
            Some(HeaderState::Short) => None,
            _ => Some(bytes),
        }
    }
}

/// Why a segment with this header is not read.
pub(super) fn refusal(header: &HeaderState) -> Option<String> {
    match header {
        HeaderState::OtherVersion(version) => Some(format!(
            "it begins with {version}, and this program reads and writes BONGSUJ2; move it away, or read it with the program that wrote it"
        )),
        HeaderState::OtherNumber(number) => Some(format!(
            "its header carries the segment number {number}, another one than its name; give it its name back"
        )),
        HeaderState::Whole(_) | HeaderState::Short | HeaderState::Damaged => None,
    }
}

/// An offset as positions have it.
fn clipped(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
