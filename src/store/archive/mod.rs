//! The archive: sealed segments of the journal as Parquet in the bucket `raw-data`.
//!
//! ```text
//! kis/ws/dt=2024-08-05/00000007-1722816000000000-000.parquet      frames: every record, as received
//! kis/ticks/dt=2024-08-05/00000007-1722816000000000-000.parquet   ticks: the trades in them
//! kis/segments/00000007-1722816000000000.json                     manifest, written last
//! ```
//!
//! In: the records of one segment, in order. Out: files of bounded size, cut by the session day, and
//! a [`Manifest`] that names them with their checksums. A segment is in the archive when its manifest
//! is. Equal records give equal keys and equal bytes, so archiving a segment again after a crash in
//! the middle changes nothing.
//!
//! - [`SegmentWriter`] makes the files; it knows neither the journal nor the feed's format
//! - [`ArchiveReader`] gives the frames back, in order
//!
//! **Limits:** a row group holds at most 65,536 rows or 8 MiB, a file about 16 MiB (and one row
//! group more); at most four days of each kind are being written at once. So a writer needs some
//! 200 MiB at worst, and some 30 MiB for a segment of one day.
//!
//! **Failures:** [`ArchiveError`], naming the object.

mod reader;
mod schema;
mod writer;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use reader::{ArchiveReader, ArchiveSource, ArchivedFrame};
pub use schema::{frames_schema, ticks_schema};
pub use writer::{ArchiveLimits, FinishedFile, FrameRow, SegmentWriter, TickRow};

use super::objects::{Key, ObjectError};
use crate::market::{EventTime, RecordRef, SessionDay};

/// Where manifests are.
pub const MANIFESTS: &str = "kis/segments/";
/// Version of the layout, in every manifest.
pub const FORMAT: u32 = 1;

/// What can go wrong with the archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The object store.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Parquet cannot be written or read.
    #[error("archive: cannot {action} {what}: {source}")]
    Parquet {
        /// What was being done.
        action: &'static str,
        /// The file.
        what: String,
        /// The cause.
        source: parquet::errors::ParquetError,
    },
    /// A file is not what its manifest, or the schema, says.
    #[error(
        "archive: {what} is not what it should be: {why}; restore it from a backup, or archive the segment again"
    )]
    Content {
        /// The object.
        what: String,
        /// How it shows.
        why: String,
    },
    /// A folder cannot be read.
    #[error("archive: cannot read {}: {source}", path.display())]
    Io {
        /// Where.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// What names a segment for ever: its number, and when its first record was received, because a
/// journal that is begun anew counts from one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Number.
    pub segment: u32,
    /// Reception of its first record, microseconds since the Unix epoch.
    pub first_received_us: i64,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{:016}", self.segment, self.first_received_us.max(0))
    }
}

impl SegmentId {
    /// Key of its manifest.
    ///
    /// # Errors
    /// None that can happen: the parts are digits.
    pub fn manifest_key(self) -> Result<Key, ObjectError> {
        format!("{MANIFESTS}{self}.json").parse()
    }

    /// Key of one of its files.
    ///
    /// # Errors
    /// None that can happen: the parts are digits.
    pub fn file_key(
        self,
        dataset: Dataset,
        day: SessionDay,
        part: u32,
    ) -> Result<Key, ObjectError> {
        format!("{}dt={day}/{self}-{part:03}.parquet", dataset.prefix()).parse()
    }

    /// Key of a piece of the segment itself, kept because not all of it could be read.
    ///
    /// # Errors
    /// None that can happen: the parts are digits.
    pub fn piece_key(self, piece: u32) -> Result<Key, ObjectError> {
        format!("kis/damaged/{self}-{piece:03}.journal.zst").parse()
    }
}

/// The two kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dataset {
    /// Every record of the journal, as received.
    Frames,
    /// The trades that could be parsed.
    Ticks,
}

impl Dataset {
    /// Where its partitions are.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Frames => "kis/ws/",
            Self::Ticks => "kis/ticks/",
        }
    }
}

/// Sums over rows, to compare with what a reader finds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Bytes of payload; of frames.
    pub payload_bytes: u64,
    /// Shares; of ticks.
    pub quantity: i64,
    /// Price times shares, won; of ticks.
    pub value: i64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.payload_bytes += other.payload_bytes;
        self.quantity = self.quantity.saturating_add(other.quantity);
        self.value = self.value.saturating_add(other.value);
    }
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Byte offset of the record in its segment.
    pub offset: u32,
    /// When it was received, microseconds since the Unix epoch.
    pub received_us: i64,
}

/// One file of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// Which kind.
    pub dataset: Dataset,
    /// Partition.
    pub day: String,
    /// Key in the bucket.
    pub key: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Offset of its first row's record.
    pub first_offset: u32,
    /// Offset of its last row's record.
    pub last_offset: u32,
    /// Sums over its rows.
    pub sums: Sums,
}

/// A piece of the segment as it lay in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Key in the bucket.
    pub key: String,
    /// Bytes of the object, compressed.
    pub bytes: u64,
    /// SHA-256 of the object, hexadecimal.
    pub sha256: String,
}

/// What is in the archive of one segment. Its presence says that all of it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Segment number.
    pub segment: u32,
    /// Records of the segment, each a row of `frames`.
    pub records: u64,
    /// First record; `None` without any.
    pub first: Option<Place>,
    /// Last record.
    pub last: Option<Place>,
    /// Sums over all rows.
    pub sums: Sums,
    /// Rows of `ticks`.
    pub ticks: u64,
    /// What could not be read of the segment.
    pub faults: Vec<String>,
    /// The segment itself, when not all of it could be read.
    pub pieces: Vec<Piece>,
    /// The files.
    pub files: Vec<ArchiveFile>,
}

impl Manifest {
    /// Of a segment of which nothing is known yet.
    #[must_use]
    pub fn of(id: SegmentId) -> Self {
        Self {
            format: FORMAT,
            segment: id.segment,
            records: 0,
            first: None,
            last: None,
            sums: Sums::default(),
            ticks: 0,
            faults: Vec::new(),
            pieces: Vec::new(),
            files: Vec::new(),
        }
    }

    /// As stored.
    ///
    /// # Errors
    /// When it is no JSON, or of another format.
    pub fn parse(key: &str, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let content = |why: String| ArchiveError::Content { what: key.to_owned(), why };
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| content(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(content(format!("format {}, expected {FORMAT}", manifest.format)));
        }
        Ok(manifest)
    }

    /// When its first record was received.
    #[must_use]
    pub fn first_received(&self) -> EventTime {
        EventTime::from_micros(self.first.map_or(0, |place| place.received_us))
    }

    /// Bytes of everything but the manifest.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files: u64 = self.files.iter().map(|file| file.bytes).sum();
        files + self.pieces.iter().map(|piece| piece.bytes).sum::<u64>()
    }
}

/// The place of a record without the time.
const fn offset_of(at: RecordRef) -> u32 {
    at.offset
}

#[cfg(test)]
mod tests;
