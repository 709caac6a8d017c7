//! Reading for a start after a crash: records, and what had to be skipped, which is kept.
//!
//! Damaged bytes are copied, once, to `quarantine/` in the journal's folder, named by segment and
//! offset, up to a total of [`QUARANTINE_BYTES`]: an operator may find in them what no program
//! can. They stay in their segment as well, until that goes.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Damage, Fault, JournalError, JournalReader, Position, PositionError, Record};
use crate::market::RecordRef;

/// Bytes that the quarantine holds at most.
pub const QUARANTINE_BYTES: u64 = 64 << 20;

/// What stands next in the journal.
#[derive(Debug)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// Bytes without a record that can be read.
    Skipped(Skipped),
}

/// Bytes that were skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where they begin.
    pub at: RecordRef,
    /// How many they are.
    pub bytes: u64,
    /// Why.
    pub why: Why,
    /// Where they are kept; `None` when there is nothing to keep, or no room for it.
    pub kept: Option<PathBuf>,
}

/// Why bytes were skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Records were lost.
    Damaged(Damage),
    /// The last write of a run was cut short. This is normal after a kill or a power cut: nothing
    /// of it had been passed on.
    Torn,
    /// The file is not a segment of this version; it stays where it is.
    NotASegment(String),
}

impl Why {
    /// Whether no record that was passed on is lost by it.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Torn)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(damage) => damage.fmt(f),
            Self::Torn => f.write_str("the last write before the end of a run was cut short"),
            Self::NotASegment(why) => write!(f, "not a segment of this version: {why}"),
        }
    }
}

/// Reads what follows a position and keeps what it skips.
#[derive(Debug)]
pub struct RecoveryReader {
    reader: JournalReader,
    folder: PathBuf,
    /// Bytes that may still go into the quarantine; `None` until it was looked at.
    room: Option<u64>,
}

impl RecoveryReader {
    /// A reader over what follows `from` in `folder`, or over everything. Costs what
    /// [`JournalReader::open_from`] costs.
    ///
    /// # Errors
    /// [`PositionError`] when `from` does not fit this journal; what was noted for it must not be
    /// used then.
    pub fn open(folder: &Path, from: Option<Position>) -> Result<Self, PositionError> {
        let reader = match from {
            Some(from) => JournalReader::open_from(folder, from)?,
            None => JournalReader::open(folder)?,
        };
        Ok(Self { reader, folder: folder.to_owned(), room: None })
    }

    /// Where what was not given yet begins.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.reader.position()
    }

    /// The next record, or what had to be skipped; `None` at the end.
    ///
    /// # Errors
    /// Inside: [`JournalError::Io`] when a segment cannot be read. The rest of that segment is left
    /// out when reading goes on.
    #[allow(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Option<Result<Item<'_>, JournalError>> {
        let fault = match self.reader.next()? {
            // The borrow of a record does not outlive the call in the other arm.
            Ok(record) => return Some(Ok(Item::Record(record))),
            Err(fault) => fault,
        };
        Some(skipped(fault, &self.folder, &mut self.room).map(Item::Skipped))
    }
}

/// Reports a fault and keeps its bytes.
fn skipped(fault: Fault, folder: &Path, room: &mut Option<u64>) -> Result<Skipped, JournalError> {
    let (segment, from, to, why) = match fault {
        Fault::Io(error) => return Err(error),
        Fault::Damaged { segment, from, to, why } => (segment, from, to, Why::Damaged(why)),
        Fault::Torn { segment, from, to } => (segment, from, to, Why::Torn),
        Fault::NotASegment { segment, bytes, why, .. } => {
            (segment, 0, bytes, Why::NotASegment(why))
        }
    };
    let offset = u32::try_from(from).unwrap_or(u32::MAX);
    let at = RecordRef { segment, offset, record: 0 };
    let bytes = to.saturating_sub(from);
    let kept = match &why {
        Why::Damaged(_) => {
            metrics::counter!("bongsu_journal_damaged_bytes_total").increment(bytes);
            match keep(folder, at, bytes, room) {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::warn!(%error, "damaged bytes of the journal could not be kept apart");
                    None
                }
            }
        }
        Why::Torn | Why::NotASegment(_) => None,
    };
    if why.is_normal() {
        tracing::info!(segment, offset, bytes, %why, "the journal ends in an unfinished write");
    } else {
        tracing::error!(segment, offset, bytes, %why, ?kept, "a part of the journal cannot be read");
    }
    Ok(Skipped { at, bytes, why, kept })
}

/// Copies the bytes at `at` into the quarantine, unless they are there already. `None` when there
/// is no room or nothing to copy.
fn keep(
    folder: &Path,
    at: RecordRef,
    bytes: u64,
    room: &mut Option<u64>,
) -> Result<Option<PathBuf>, JournalError> {
    let quarantine = folder.join("quarantine");
    std::fs::create_dir_all(&quarantine)
        .map_err(|error| JournalError::io("make the folder", &quarantine, error))?;
    let left = match *room {
        Some(left) => left,
        None => QUARANTINE_BYTES.saturating_sub(size_of_files(&quarantine)?),
    };
    *room = Some(left);
    let name = format!("{:08}-{:010}.bytes", at.segment, at.offset);
    let path = quarantine.join(&name);
    let source = super::segment_path(folder, at.segment);
    let failed = |error| JournalError::io("read", &source, error);
    let mut file = File::open(&source).map_err(failed)?;
    // What was cut off is not there any more.
    let length = file.metadata().map_err(failed)?.len();
    let bytes = bytes.min(length.saturating_sub(at.offset.into()));
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes) {
        return Ok(Some(path));
    }
    if bytes == 0 {
        return Ok(None);
    }
    if bytes > left {
        tracing::warn!(
            segment = at.segment,
            offset = at.offset,
            bytes,
            left,
            "no room in the journal's quarantine for more damaged bytes: they stay in their segment only"
        );
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at.offset.into())).map_err(failed)?;
    // Under another name first: a copy that is there is whole.
    let unfinished = quarantine.join(format!("{name}.part"));
    let wrote = File::create(&unfinished)
        .and_then(|mut copy| std::io::copy(&mut file.take(bytes), &mut copy))
        .and_then(|_| std::fs::rename(&unfinished, &path));
    wrote.map_err(|error| JournalError::io("write to", &path, error))?;
    *room = Some(left - bytes);
    Ok(Some(path))
}

fn size_of_files(folder: &Path) -> Result<u64, JournalError> {
    let failed = |error| JournalError::io("list", folder, error);
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        bytes += entry.and_then(|entry| entry.metadata()).map_err(failed)?.len();
    }
    Ok(bytes)
}
