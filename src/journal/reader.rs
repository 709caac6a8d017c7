//! Reading, in order, across segments.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{JournalError, MAGIC, MAX_PAYLOAD, Position, RECORD_HEADER, SEGMENT_HEADER};
use crate::market::RecordRef;
use crate::messages::FrameKind;

/// A segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub segment: u32,
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The segments in `folder`, in order; none when the folder does not exist.
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
        let path = entry.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".journal"))
            .and_then(|stem| stem.parse().ok());
        if let Some(segment) = number {
            let meta = entry.metadata().map_err(|e| JournalError::io("look at", &path, e))?;
            found.push(SegmentInfo { segment, bytes: meta.len(), path });
        }
    }
    found.sort_by_key(|info| info.segment);
    Ok(found)
}

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

/// Something in the journal that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A record was cut off; nothing follows it in its segment.
    #[error("segment {segment} is torn at byte {offset}: the record there is incomplete")]
    Torn {
        /// Segment.
        segment: u32,
        /// Offset of the incomplete record.
        offset: u32,
    },
    /// A record's checksum or kind is wrong.
    #[error(
        "the record at segment {segment}, byte {offset} is corrupt: its checksum or kind is wrong"
    )]
    Corrupt {
        /// Segment.
        segment: u32,
        /// Offset of the record.
        offset: u32,
    },
    /// The file is not a segment of this version.
    #[error("{path} is not a segment of this version: {why}", path = path.display())]
    NotASegment {
        /// Number in its name.
        segment: u32,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] JournalError),
}

impl Fault {
    fn into_error(self) -> JournalError {
        match self {
            Self::NotASegment { path, why, .. } => JournalError::NotASegment { path, why },
            Self::Io(error) => error,
            Self::Torn { .. } | Self::Corrupt { .. } => {
                unreachable!("the header of a segment is neither torn nor corrupt, but not one")
            }
        }
    }
}

/// Reads all records of a folder in order. Holds one record in memory at a time.
#[derive(Debug)]
pub struct JournalReader {
    rest: std::vec::IntoIter<SegmentInfo>,
    current: Option<Open>,
    payload: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    info: SegmentInfo,
    file: std::io::BufReader<File>,
    offset: u64,
}

impl JournalReader {
    /// A reader over all segments in `folder`.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be listed.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let rest = segments(folder)?.into_iter();
        Ok(Self { rest, current: None, payload: Vec::new() })
    }

    /// A reader over one segment.
    #[must_use]
    pub fn of_segment(segment: SegmentInfo) -> Self {
        Self { rest: vec![segment].into_iter(), current: None, payload: Vec::new() }
    }

    /// A reader over what follows `from`, the place that [`Journal::position`](super::Journal::position)
    /// gave.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be listed, or the segment of `from` cannot be
    /// read.
    pub fn open_from(folder: &Path, from: Position) -> Result<Self, JournalError> {
        let mut rest = segments(folder)?;
        rest.retain(|info| info.segment >= from.segment);
        let mut rest = rest.into_iter().peekable();
        let first = rest.next_if(|info| info.segment == from.segment);
        let current = match first.map(open_segment).transpose() {
            Ok(None) => None,
            Ok(Some(mut open)) => {
                let offset = u64::from(from.offset);
                std::io::Seek::seek(&mut open.file, std::io::SeekFrom::Start(offset))
                    .map_err(|error| JournalError::io("seek in", &open.info.path, error))?;
                open.offset = offset;
                Some(open)
            }
            Err(fault) => return Err(fault.into_error()),
        };
        Ok(Self { rest: rest.collect::<Vec<_>>().into_iter(), current, payload: Vec::new() })
    }

    /// The next record or fault; `None` at the end. Reading goes on after a fault.
    #[allow(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Option<Result<Record<'_>, Fault>> {
        let (at, kind, received_us) = loop {
            if self.current.is_none() {
                let info = self.rest.next()?;
                match open_segment(info) {
                    Ok(open) => self.current = Some(open),
                    Err(fault) => return Some(Err(fault)),
                }
            }
            let Some(open) = &mut self.current else { continue };
            match read_record(open, &mut self.payload) {
                Ok(Some(found)) => break found,
                Ok(None) => self.current = None,
                Err(fault) => {
                    if !matches!(fault, Fault::Corrupt { .. }) {
                        self.current = None;
                    }
                    return Some(Err(fault));
                }
            }
        };
        Some(Ok(Record { at, kind, received_us, payload: &self.payload }))
    }
}

fn open_segment(info: SegmentInfo) -> Result<Open, Fault> {
    let file =
        File::open(&info.path).map_err(|error| JournalError::io("open", &info.path, error))?;
    let mut file = std::io::BufReader::with_capacity(1 << 18, file);
    let mut header = [0; SEGMENT_HEADER];
    let problem = match file.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Some("it is too short"),
        Err(error) => return Err(JournalError::io("read", &info.path, error).into()),
        Ok(()) if &header[..8] != MAGIC => Some("it does not begin with BONGSUJ1"),
        Ok(()) if header[28..32] != crc32fast::hash(&header[..28]).to_le_bytes() => {
            Some("the checksum of its header is wrong")
        }
        Ok(()) if header[8..12] != info.segment.to_le_bytes() => {
            Some("its header carries another segment number than its name")
        }
        Ok(()) => None,
    };
    match problem {
        Some(why) => Err(Fault::NotASegment { segment: info.segment, path: info.path, why }),
        None => Ok(Open { info, file, offset: SEGMENT_HEADER as u64 }),
    }
}

type Head = (RecordRef, FrameKind, i64);

fn read_record(open: &mut Open, payload: &mut Vec<u8>) -> Result<Option<Head>, Fault> {
    let segment = open.info.segment;
    let offset = open.offset as u32;
    let torn = Fault::Torn { segment, offset };
    let mut header = [0; RECORD_HEADER];
    match fill(&mut open.file, &mut header) {
        Ok(0) => return Ok(None),
        Ok(RECORD_HEADER) => {}
        Ok(_) => return Err(torn),
        Err(error) => return Err(JournalError::io("read", &open.info.path, error).into()),
    }
    let word =
        |at: usize| -> [u8; 4] { [header[at], header[at + 1], header[at + 2], header[at + 3]] };
    let length = u32::from_le_bytes(word(0)) as usize;
    if length > MAX_PAYLOAD {
        return Err(torn);
    }
    payload.resize(length, 0);
    match fill(&mut open.file, payload) {
        Ok(read) if read == length => {}
        Ok(_) => return Err(torn),
        Err(error) => return Err(JournalError::io("read", &open.info.path, error).into()),
    }
    open.offset += (RECORD_HEADER + length) as u64;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&header[8..]);
    checksum.update(payload);
    let kind = FrameKind::from_u8(header[8]);
    match kind {
        Some(kind) if checksum.finalize().to_le_bytes() == word(4) => {
            let (low, high) = (word(16), word(20));
            let received =
                i64::from(u32::from_le_bytes(low)) | i64::from(i32::from_le_bytes(high)) << 32;
            Ok(Some((RecordRef { segment, offset, record: 0 }, kind, received)))
        }
        _ => Err(Fault::Corrupt { segment, offset }),
    }
}

/// Reads until `buffer` is full or the file ends; how many bytes were read.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
