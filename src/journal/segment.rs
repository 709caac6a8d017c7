//! One segment file, read in big pieces: records, and the next true record after damage.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::format::{
    Head, HeaderState, MARKER, RECORD_HEADER, SEGMENT_HEADER, Seed, SegmentHeader, header_is_true,
    record_is_true,
};
use super::{JournalError, segment_name};
use crate::messages::FrameKind;

/// Bytes asked of the file at once.
const CHUNK: usize = 1 << 20;

/// A segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub segment: u32,
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: std::time::SystemTime,
}

/// The segments in `folder`, in order; none when the folder does not exist. Looks at names and
/// lengths only.
///
/// # Errors
/// [`JournalError::Io`] when the folder cannot be listed.
pub fn segments(folder: &Path) -> Result<Vec<SegmentInfo>, JournalError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::io("list", folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| JournalError::io("list", folder, error))?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".journal"))
            .and_then(|stem| stem.parse().ok())
            // There is none behind the last number: nothing of ours has it.
            .filter(|number| name == segment_name(*number).as_str() && *number < u32::MAX);
        let Some(segment) = number else { continue };
        let path = entry.path();
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            // Deleted by the daemon meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(JournalError::io("look at", &path, error)),
        };
        if !meta.is_file() {
            continue;
        }
        let modified = meta.modified().map_err(|e| JournalError::io("look at", &path, e))?;
        found.push(SegmentInfo { segment, bytes: meta.len(), path, modified });
    }
    found.sort_by_key(|info| info.segment);
    Ok(found)
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A record does not begin there.
    NoRecord,
    /// A record's checksum is wrong.
    Checksum,
    /// A record goes on behind the end of its segment, or records are missing there.
    CutOff,
    /// A true record of a kind that this version does not know.
    UnknownKind(u8),
    /// The segment's header is damaged.
    Header,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord => f.write_str("no record begins there"),
            Self::Checksum => f.write_str("the checksum is wrong"),
            Self::CutOff => f.write_str("the segment is cut off"),
            Self::UnknownKind(kind) => {
                write!(f, "a record of kind {kind}, which this version does not know")
            }
            Self::Header => f.write_str("the segment's header is damaged"),
        }
    }
}

/// What stands next in a segment.
#[derive(Debug)]
pub(super) enum Found {
    /// A record; its payload is this part of the buffer.
    Record { offset: u32, kind: FrameKind, received_us: i64, payload: Range<usize> },
    /// Bytes that are no record, up to the next true one.
    Damaged { from: u64, to: u64, why: Damage },
    /// Bytes that are no record, up to the end.
    Tail { from: u64, to: u64, why: Damage },
    /// Nothing.
    End,
}

/// Reads a segment from front to back. Memory: one buffer of [`CHUNK`], or of the longest record.
#[derive(Debug)]
pub(super) struct SegmentReader {
    pub(super) info: SegmentInfo,
    pub(super) header: HeaderState,
    file: File,
    seed: Seed,
    /// Bytes of the file from `base` on, `filled` of them.
    buffer: Vec<u8>,
    base: u64,
    filled: usize,
    /// Where the next record must begin.
    at: u64,
    /// Length of the file when it was opened: what is appended later is not looked at.
    limit: u64,
}

impl SegmentReader {
    /// Opens a segment, whatever its header says. `buffer` is used again.
    pub(super) fn open(info: SegmentInfo, buffer: Vec<u8>) -> Result<Self, JournalError> {
        let failed = |action, error| JournalError::io(action, &info.path, error);
        let file = File::open(&info.path).map_err(|error| failed("open", error))?;
        let limit = file.metadata().map_err(|error| failed("look at", error))?.len();
        let seed = Seed::of(info.segment);
        let header = HeaderState::Short;
        let mut reader =
            Self { info, header, file, seed, buffer, base: 0, filled: 0, at: 0, limit };
        let segment = reader.info.segment;
        let bytes = reader.window(0, SEGMENT_HEADER)?;
        reader.header = SegmentHeader::parse(bytes, segment);
        if matches!(reader.header, HeaderState::Whole(_)) {
            reader.at = SEGMENT_HEADER as u64;
        }
        Ok(reader)
    }

    /// Goes on reading at `offset`, which must be behind everything read so far.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.at = offset;
    }

    /// Where the next record must begin.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Length of the file when it was opened.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The buffer, for the next segment.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The part of the buffer that [`Found::Record`] names.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// What stands next.
    pub(super) fn next(&mut self) -> Result<Found, JournalError> {
        if self.at >= self.limit {
            return Ok(Found::End);
        }
        let at = self.at;
        if at < SEGMENT_HEADER as u64 {
            return self.search(at, Damage::Header);
        }
        match self.look(at, false)? {
            Err(why) => self.search(at, why),
            Ok(head) => {
                self.at = at + head.size() as u64;
                let Some(kind) = FrameKind::from_u8(head.kind) else {
                    let why = Damage::UnknownKind(head.kind);
                    return Ok(Found::Damaged { from: at, to: self.at, why });
                };
                let start = (at - self.base) as usize + RECORD_HEADER;
                Ok(Found::Record {
                    offset: at as u32,
                    kind,
                    received_us: head.received_us,
                    payload: start..start + head.length,
                })
            }
        }
    }

    /// Whether a true record stands at `at`.
    pub(super) fn has_record(&mut self, at: u64) -> Result<bool, JournalError> {
        Ok(self.look(at, true)?.is_ok())
    }

    /// The true record at `at`, or why there is none. While `searching`, the header has to pass
    /// for itself before the payload is read.
    fn look(&mut self, at: u64, searching: bool) -> Result<Result<Head, Damage>, JournalError> {
        let (seed, left) = (self.seed, self.limit.saturating_sub(at));
        let Ok(offset) = u32::try_from(at) else { return Ok(Err(Damage::NoRecord)) };
        let bytes = self.window(at, RECORD_HEADER)?;
        let Some(header) = bytes.first_chunk::<RECORD_HEADER>() else {
            return Ok(Err(Damage::CutOff));
        };
        let Some(head) = Head::parse(header) else { return Ok(Err(Damage::NoRecord)) };
        if searching && !header_is_true(seed, offset, header) {
            return Ok(Err(Damage::NoRecord));
        }
        let size = head.size();
        if size as u64 > left {
            return Ok(Err(Damage::CutOff));
        }
        let bytes = match bytes.get(..size) {
            Some(bytes) => bytes,
            None => &self.window(at, size)?[..size],
        };
        Ok(if record_is_true(seed, offset, bytes) { Ok(head) } else { Err(Damage::Checksum) })
    }

    /// Looks, byte by byte, for the true record that follows the damage at `from`.
    fn search(&mut self, from: u64, why: Damage) -> Result<Found, JournalError> {
        let mut at = from + 1;
        while at + (RECORD_HEADER as u64) <= self.limit {
            let window = self.window(at, MARKER.len())?;
            let seen = window.len();
            match memmem::find(window, &MARKER) {
                Some(hit) => {
                    at += hit as u64;
                    if self.has_record(at)? {
                        self.at = at;
                        return Ok(Found::Damaged { from, to: at, why });
                    }
                    at += 1;
                }
                None => at += (seen.saturating_sub(MARKER.len() - 1)).max(1) as u64,
            }
        }
        self.at = self.limit;
        Ok(Found::Tail { from, to: self.limit, why })
    }

    /// The bytes from `offset` on that are at hand: at least `wanted`, unless the file ends before.
    fn window(&mut self, offset: u64, wanted: usize) -> Result<&[u8], JournalError> {
        let end = (offset + wanted as u64).min(self.limit);
        if end > self.base + self.filled as u64 || offset < self.base {
            self.load(offset, wanted).map_err(|e| JournalError::io("read", &self.info.path, e))?;
        }
        let start = offset.saturating_sub(self.base).min(self.filled as u64) as usize;
        Ok(&self.buffer[start..self.filled])
    }

    /// Makes the buffer begin at `offset`, and fills it.
    fn load(&mut self, offset: u64, wanted: usize) -> std::io::Result<()> {
        let held = match offset.checked_sub(self.base) {
            Some(passed) if passed < self.filled as u64 => {
                self.buffer.copy_within(passed as usize..self.filled, 0);
                self.filled - passed as usize
            }
            _ => 0,
        };
        (self.base, self.filled) = (offset, held);
        let size = wanted.max(CHUNK);
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
        let room = self.limit.saturating_sub(offset).min(self.buffer.len() as u64) as usize;
        while self.filled < room {
            let target = &mut self.buffer[self.filled..room];
            match self.file.read_at(target, self.base + self.filled as u64) {
                // Cut shorter meanwhile.
                Ok(0) => {
                    self.limit = self.base + self.filled as u64;
                    break;
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the header of `info` says; `None` when the file cannot be read.
pub(super) fn read_header(info: &SegmentInfo) -> Option<HeaderState> {
    let mut bytes = [0; SEGMENT_HEADER];
    let file = File::open(&info.path).ok()?;
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    Some(SegmentHeader::parse(&bytes[..filled], info.segment))
}
