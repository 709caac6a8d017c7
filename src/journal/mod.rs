//! The journal: every raw frame, in order, before anything else sees it.
//!
//! # What it is
//! An append-only sequence of records in numbered segment files below `<data_dir>/journal`. A
//! record is a frame as it came from the feed, or another fact a decision depends on
//! ([`FrameKind`](crate::messages::FrameKind)). Its position (segment, byte offset) names it for
//! ever: rejects, poison records and events refer to it.
//!
//! # Format
//! All integers little endian. A segment `00000001.journal` begins with a header of 32 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `BONGSUJ1` |
//! | 4 | segment number |
//! | 4 | reserved, zero |
//! | 8 | created, microseconds since the Unix epoch |
//! | 4 | reserved, zero |
//! | 4 | CRC-32 of the 28 bytes before |
//!
//! Then records, each a header of 24 bytes and its payload:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the payload |
//! | 4 | CRC-32 of everything after this field |
//! | 1 | kind |
//! | 1 | reserved, zero |
//! | 2 | reserved for the feed session, zero |
//! | 4 | reserved, zero |
//! | 8 | received, microseconds since the Unix epoch |
//!
//! # Limits
//! A segment is closed when it passes [`JournalOptions::segment_bytes`] (below 4 GiB, because an
//! offset has 32 bits); a payload has at most [`MAX_PAYLOAD`] bytes. Every start begins a new
//! segment, so opening costs the same however long the journal is, and a torn tail stays where it
//! tore.
//!
//! # Durability
//! [`Durability::Process`]: a batch is with the operating system before it is passed on: lost only
//! if the machine loses power. [`Durability::Group`]: besides, `fdatasync` runs every so many
//! milliseconds: a power loss costs at most that.
//!
//! # Failure modes
//! A write that fails (disk full) leaves the file as it was before the batch and is returned; the
//! caller must not pass the batch on. A torn tail ends its segment; a record whose checksum is
//! wrong is reported with its position, and reading goes on behind it if its length can be right.

pub mod checkpoint;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::messages::Position;
pub use reader::{Fault, JournalReader, Record, SegmentInfo, segments};
pub use writer::Journal;

/// Longest payload: far above any frame, and a bound for what a corrupt length can make us read.
pub const MAX_PAYLOAD: usize = 4 << 20;

const MAGIC: &[u8; 8] = b"BONGSUJ1";
const SEGMENT_HEADER: usize = 32;
const RECORD_HEADER: usize = 24;

/// When the journal is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives the death of the process.
    Process,
    /// Survives a power loss but for the last so many milliseconds.
    Group(Duration),
}

/// How a journal is written.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Folder of the segments; made when absent.
    pub folder: PathBuf,
    /// A segment is closed when it has grown past this.
    pub segment_bytes: u32,
    /// When it is on the disk.
    pub durability: Durability,
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
    /// A payload is too long.
    #[error("journal: a frame of {0} bytes is over the limit of {MAX_PAYLOAD} bytes")]
    TooLong(usize),
    /// Not a segment of this version.
    #[error("journal: {path} is not a journal segment of this version ({why})", path = path.display())]
    NotASegment {
        /// The file.
        path: PathBuf,
        /// What is wrong with its header.
        why: &'static str,
    },
}

impl JournalError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

fn segment_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:08}.journal"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{FrameBatch, FrameKind};
    use proptest::prelude::*;

    fn options(folder: &Path, segment_bytes: u32) -> JournalOptions {
        JournalOptions { folder: folder.to_owned(), segment_bytes, durability: Durability::Process }
    }

    fn read_all(folder: &Path) -> (Vec<Vec<u8>>, Vec<Fault>) {
        let (mut payloads, mut faults) = (Vec::new(), Vec::new());
        let mut reader = JournalReader::open(folder).unwrap();
        while let Some(item) = reader.next() {
            match item {
                Ok(record) => payloads.push(record.payload.to_vec()),
                Err(fault) => faults.push(fault),
            }
        }
        (payloads, faults)
    }

    fn write(folder: &Path, segment_bytes: u32, payloads: &[Vec<u8>], batch: usize) {
        let mut journal = Journal::open(options(folder, segment_bytes)).unwrap();
        for chunk in payloads.chunks(batch) {
            let mut frames = FrameBatch::new();
            for payload in chunk {
                frames.push(FrameKind::Data, 42, payload);
            }
            journal.append(&frames).unwrap();
        }
    }

    #[test]
    fn group_commit_loses_nothing_over_segments() {
        let folder = tempfile::tempdir().unwrap();
        let durability = Durability::Group(Duration::from_millis(1));
        let mut journal =
            Journal::open(JournalOptions { durability, ..options(folder.path(), 200) }).unwrap();
        for number in 0..50u8 {
            let mut frames = FrameBatch::new();
            frames.push(FrameKind::Data, 1, &[number; 40]);
            journal.append(&frames).unwrap();
        }
        drop(journal);
        let (payloads, faults) = read_all(folder.path());
        assert_eq!((payloads.len(), faults.len()), (50, 0));
        assert!(segments(folder.path()).unwrap().len() > 5);
    }

    #[test]
    fn every_start_begins_a_segment_and_positions_name_records() {
        let folder = tempfile::tempdir().unwrap();
        for round in 1..=2u32 {
            let mut journal = Journal::open(options(folder.path(), 1 << 20)).unwrap();
            let mut frames = FrameBatch::new();
            frames.push(FrameKind::Data, 7, b"first");
            frames.push(FrameKind::Connection, 8, b"\x01");
            let positions = journal.append(&frames).unwrap();
            assert_eq!(positions[0].segment, round);
            assert_eq!(positions[1].offset, (SEGMENT_HEADER + RECORD_HEADER + 5) as u32);
        }
        let (payloads, faults) = read_all(folder.path());
        assert_eq!((payloads.len(), faults.len()), (4, 0));
    }

    #[test]
    fn a_wrong_bit_is_reported_with_its_position_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let payloads: Vec<Vec<u8>> = (0..3u8).map(|n| vec![n; 10]).collect();
        write(folder.path(), 1 << 20, &payloads, 3);
        let path = segment_path(folder.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let second = SEGMENT_HEADER + RECORD_HEADER + 10;
        bytes[second + RECORD_HEADER + 4] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (read, faults) = read_all(folder.path());
        assert_eq!(read, [payloads[0].clone(), payloads[2].clone()]);
        assert!(
            matches!(faults[..], [Fault::Corrupt { segment: 1, offset }] if offset == second as u32),
            "{faults:?}"
        );
    }

    #[test]
    fn a_foreign_file_is_not_taken_for_a_segment() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(segment_path(folder.path(), 3), b"something else entirely, and long")
            .unwrap();
        let mut reader = JournalReader::open(folder.path()).unwrap();
        assert!(matches!(reader.next(), Some(Err(Fault::NotASegment { segment: 3, .. }))));
        assert!(reader.next().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40),
            batch in 1usize..8,
            segment_bytes in 64u32..4_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), segment_bytes, &payloads, batch);
            let (read, faults) = read_all(folder.path());
            prop_assert_eq!(read, payloads);
            prop_assert!(faults.is_empty());
        }

        #[test]
        fn a_torn_tail_costs_only_what_was_torn(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..12),
            cut in 0usize..2_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), 1 << 20, &payloads, 4);
            let path = segment_path(folder.path(), 1);
            let bytes = std::fs::read(&path).unwrap();
            let keep = SEGMENT_HEADER + cut % (bytes.len() - SEGMENT_HEADER + 1);
            std::fs::write(&path, &bytes[..keep]).unwrap();
            let (read, faults) = read_all(folder.path());
            prop_assert_eq!(&read[..], &payloads[..read.len()]);
            let whole: usize = read.iter().map(|p| RECORD_HEADER + p.len()).sum();
            prop_assert_eq!(faults.len(), usize::from(SEGMENT_HEADER + whole != keep));
        }
    }
}
