//! The journal: every raw frame, in order, before anything else sees it.
//!
//! # What it is
//! An append-only sequence of records in numbered segment files below `<data_dir>/journal`. A
//! record is a frame as it came from the feed, or another fact a decision depends on
//! ([`FrameKind`](crate::messages::FrameKind)). Its position (segment, byte offset) names it for
//! ever: rejects, poison records, events and checkpoints refer to it.
//!
//! # Format
//! All integers little endian. A segment `00000001.journal` begins with a header of 32 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `BONGSUJ2` |
//! | 4 | segment number |
//! | 4 | number of the first segment of the run that wrote it |
//! | 8 | created, microseconds since the Unix epoch |
//! | 4 | length of the segment before it, when the same run wrote that; else zero |
//! | 4 | CRC-32 of the 28 bytes before |
//!
//! Then records, each a header of 24 bytes and its payload:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `FB 42 53 FE`: here a record begins |
//! | 4 | CRC-32 of segment number, record offset (4 bytes each, not stored here) and everything after this field |
//! | 4 | length of the payload |
//! | 1 | kind |
//! | 3 | the low 24 bits of the CRC-32 of segment number, record offset, length, kind and time |
//! | 8 | received, microseconds since the Unix epoch |
//!
//! A record is true in its own place only. So journal bytes in a payload, or old blocks of a
//! deleted segment in the tail of a new one, are never taken for records, and after damage the
//! reader finds the next true record by its marker, byte by byte.
//!
//! # Limits
//! A segment is closed when it passes [`JournalOptions::segment_bytes`] (below 4 GiB, because an
//! offset has 32 bits); a payload has at most [`MAX_PAYLOAD`] bytes. Every start begins a new
//! segment, so opening costs the same however long the journal is, and a torn tail stays where it
//! tore. How much the journal holds, and what goes: [`JournalOptions`].
//!
//! # Durability
//! See [`Durability`]. After a failed `fdatasync` the state of a file's pages is unknown, and the
//! next call may report success: so the segment is never written again. With [`Durability::Power`]
//! the batch was not passed on and goes to a new segment; with [`Durability::Group`] the bytes in
//! doubt are named in [`Journal::complaint`] until nobody needs their segment any more.
//!
//! # Failure modes
//! A write that fails (disk full) leaves the file as it was before the batch and is returned; the
//! caller must not pass the batch on, and tries again. A failure to begin a segment leaves no
//! file. A torn tail ends its segment; damage costs the records it touches and is reported with
//! its exact range. Not detected: whole segments that were deleted from outside.

pub mod checkpoint;
mod format;
mod reader;
mod recovery;
mod room;
mod segment;
mod summary;
mod sync;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer_tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::messages::SegmentUse;

pub use crate::messages::Position;
pub use reader::{Fault, JournalReader, PositionError, Record};
pub use recovery::{Item, QUARANTINE_BYTES, RecoveryReader, Skipped, Why};
pub use segment::{Damage, SegmentInfo, segments};
pub use summary::{SegmentState, SegmentSummary, summarize};
pub use writer::Journal;

/// Longest payload: far above any frame, and a bound for what a corrupt length can make us read.
pub const MAX_PAYLOAD: usize = 4 << 20;

/// Before the first record of a segment.
#[must_use]
pub const fn start_of(segment: u32) -> Position {
    Position { segment, offset: format::SEGMENT_HEADER as u32 }
}

/// What a batch survives once it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: batches are gathered in memory and written a megabyte at a time. For measuring
    /// what the others cost.
    Buffered,
    /// The death of the process: it is with the operating system.
    Process,
    /// Besides, a power cut, but for the last so many milliseconds: `fdatasync` runs beside the
    /// writer.
    Group(Duration),
    /// A power cut: `fdatasync` comes before the batch is passed on.
    Power,
}

/// How a journal is written, and how much of it is kept.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Folder of the segments; made when absent.
    pub folder: PathBuf,
    /// A segment is closed when it has grown past this.
    pub segment_bytes: u32,
    /// What a batch survives.
    pub durability: Durability,
    /// Above this, the oldest segments go that may; the quarantine does not count.
    pub max_bytes: u64,
    /// What has to stay free on the disk.
    pub min_free_bytes: u64,
    /// Segments go that are older and may; `None` keeps them until there is no room.
    pub keep: Option<Duration>,
    /// Which segments may go.
    pub segment_use: SegmentUse,
}

impl JournalOptions {
    /// A journal in `folder` that survives the death of the process, in segments of 64 MiB, of
    /// which none goes.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            segment_bytes: 64 << 20,
            durability: Durability::Process,
            max_bytes: u64::MAX,
            min_free_bytes: 0,
            keep: None,
            segment_use: SegmentUse::new(false),
        }
    }
}

/// Why the journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// An operation on a file failed.
    #[error("journal: cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The disk is nearly full, and no segment may go.
    #[error(
        "journal: the disk of {folder} is nearly full: {} MiB free, {} MiB must stay free (journal.min_free_mib); {kept}; free some space, then it goes on by itself",
        free >> 20, min_free >> 20, folder = folder.display()
    )]
    NoRoom {
        /// The journal.
        folder: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        min_free: u64,
        /// Why no segment goes.
        kept: String,
    },
    /// A payload, or a batch, is too long.
    #[error("journal: a frame of {0} bytes is over the limit of {MAX_PAYLOAD} bytes")]
    TooLong(usize),
}

impl JournalError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether a file is not there: deleted by the daemon meanwhile, where it was listed before.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Whether the same may succeed later: all that the disk says no to.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::NoRoom { .. })
    }
}

fn segment_name(segment: u32) -> String {
    format!("{segment:08}.journal")
}

fn segment_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(segment_name(segment))
}
