//! Checkpoint files: the states of the pipeline as of one place in the journal.
//!
//! # Format
//! All integers little endian, in `<data_dir>/checkpoints/<segment>-<offset>.checkpoint`:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `BONGSUC1` |
//! | 32 | fingerprint: SHA-256 of what the states depend on besides the frames |
//! | 4, 4 | segment and byte offset of the place |
//! | 8 | created, microseconds since the Unix epoch |
//! | 4 | number of states |
//! | 4 and so many, for each | length and bytes of a state |
//! | 4 | CRC-32 of all of the above |
//!
//! # Writing
//! Into a file of another name, forced to the disk, then renamed: a checkpoint is there whole or
//! not at all. The newest [`KEPT`] are kept, so that one that turns out damaged costs a longer tail
//! and not the whole journal.
//!
//! # Reading
//! A file whose checksum is wrong is [`CheckpointError::Damaged`]. One whose fingerprint is another
//! is [`CheckpointError::OtherBuild`]: after an upgrade, or with other thresholds, the states would
//! mean something else. It still tells the place up to which everything was stored and said, so a
//! rebuild from the journal does not say it again, and what had not been sent by then. So does one
//! whose place a power cut took from the journal.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::messages::Position;

/// Checkpoints kept.
pub const KEPT: usize = 3;

const MAGIC: &[u8; 8] = b"BONGSUC1";
const HEADER: usize = 8 + 32 + 4 + 4 + 8 + 4;
const STATES: usize = 3;
const SUFFIX: &str = "checkpoint";
const REFUSED: &str = "refused";

/// What the states depend on besides the frames: the build and the settings of the detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of these texts, in this order.
    #[must_use]
    pub fn of(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

/// A checkpoint that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where the journal stood.
    pub position: Position,
    /// When it was written, microseconds since the Unix epoch.
    pub created_us: i64,
    /// The states, in the order of [`Part::ALL`](crate::messages::checkpoint::Part::ALL).
    pub states: [Vec<u8>; STATES],
}

/// Why a checkpoint cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// An operation on a file failed.
    #[error("checkpoint: cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Not what was written.
    #[error("checkpoint {path} is damaged: {why}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// Whole, but of another build or of other settings.
    #[error(
        "checkpoint {path} was written by another build or under other thresholds", path = path.display()
    )]
    OtherBuild {
        /// The file.
        path: PathBuf,
    },
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CheckpointError {
    move |source| CheckpointError::Io { action, path: path.to_owned(), source }
}

/// Where a data folder keeps its checkpoints.
#[must_use]
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("checkpoints")
}

fn path_of(folder: &Path, position: Position) -> PathBuf {
    folder.join(format!("{:08}-{:010}.{SUFFIX}", position.segment, position.offset))
}

/// The checkpoints in `folder`, newest place first; none when the folder does not exist.
///
/// # Errors
/// [`CheckpointError::Io`] when the folder cannot be listed.
pub fn list(folder: &Path) -> Result<Vec<(Position, PathBuf)>, CheckpointError> {
    list_of(folder, SUFFIX)
}

/// The checkpoints that were set aside, newest place first.
///
/// # Errors
/// [`CheckpointError::Io`] when the folder cannot be listed.
pub fn list_refused(folder: &Path) -> Result<Vec<(Position, PathBuf)>, CheckpointError> {
    list_of(folder, REFUSED)
}

/// The checkpoints, used or set aside, whose segments are above `last`, the newest segment; all of
/// them when it is 0, because there is none.
///
/// # Errors
/// [`CheckpointError::Io`] when the folder cannot be listed.
pub fn beyond(folder: &Path, last: u32) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut all = list_of(folder, SUFFIX)?;
    all.extend(list_of(folder, REFUSED)?);
    // The journal may be about to begin the next one.
    all.retain(|(position, _)| last == 0 || position.segment > last.saturating_add(1));
    Ok(all.into_iter().map(|(_, path)| path).collect())
}

/// Takes a checkpoint out of every list; the file stays.
///
/// # Errors
/// [`CheckpointError::Io`] when it cannot be renamed.
pub fn disown(path: &Path) -> Result<(), CheckpointError> {
    fs::rename(path, path.with_extension("foreign")).map_err(io("set aside", path))
}

fn list_of(folder: &Path, suffix: &str) -> Result<Vec<(Position, PathBuf)>, CheckpointError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("list", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io("list", folder))?.path();
        let position = path
            .extension()
            .filter(|extension| *extension == suffix)
            .and_then(|_| path.file_stem()?.to_str()?.split_once('-'))
            .and_then(|(segment, offset)| {
                Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
            });
        found.extend(position.map(|position| (position, path)));
    }
    found.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
    Ok(found)
}

/// Writes a checkpoint and lets go of those beyond the newest [`KEPT`]; gives the oldest place
/// that is still kept.
///
/// # Errors
/// [`CheckpointError::Io`] when it is not there for sure.
pub fn write(
    folder: &Path,
    fingerprint: Fingerprint,
    position: Position,
    states: &[Vec<u8>; STATES],
) -> Result<Position, CheckpointError> {
    fs::create_dir_all(folder).map_err(io("make the folder", folder))?;
    let path = path_of(folder, position);
    // Always the same: what a kill leaves of it is overwritten.
    let beside = folder.join("unfinished");
    let bytes = encode(fingerprint, position, states);
    let mut file = File::create(&beside).map_err(io("create", &beside))?;
    file.write_all(&bytes).map_err(io("write to", &beside))?;
    file.sync_all().map_err(io("force to the disk", &beside))?;
    drop(file);
    fs::rename(&beside, &path).map_err(io("rename to", &path))?;
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(io("force to the disk", folder))?;
    let all = list(folder)?;
    for (place, old) in all.iter().skip(KEPT) {
        if *place != position {
            fs::remove_file(old).map_err(io("remove", old))?;
        }
    }
    let oldest = all.iter().take(KEPT).next_back().map_or(position, |(oldest, _)| *oldest);
    Ok(oldest.min(position))
}

fn encode(fingerprint: Fingerprint, position: Position, states: &[Vec<u8>; STATES]) -> Vec<u8> {
    let length: usize = states.iter().map(|state| state.len() + 4).sum();
    let mut bytes = Vec::with_capacity(HEADER + length + 4);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&fingerprint.0);
    bytes.extend_from_slice(&position.segment.to_le_bytes());
    bytes.extend_from_slice(&position.offset.to_le_bytes());
    bytes.extend_from_slice(&(created.as_micros() as i64).to_le_bytes());
    bytes.extend_from_slice(&(STATES as u32).to_le_bytes());
    for state in states {
        bytes.extend_from_slice(&(state.len() as u32).to_le_bytes());
        bytes.extend_from_slice(state);
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads the checkpoint in the file at `path`.
///
/// # Errors
/// See [`CheckpointError`].
pub fn read(path: &Path, fingerprint: Fingerprint) -> Result<Checkpoint, CheckpointError> {
    match read_any(path, fingerprint)? {
        (checkpoint, true) => Ok(checkpoint),
        (_, false) => Err(CheckpointError::OtherBuild { path: path.to_owned() }),
    }
}

/// Reads a checkpoint, whosever it is; true when it is of this build and these thresholds.
///
/// # Errors
/// [`CheckpointError::Io`] or [`CheckpointError::Damaged`].
pub fn read_any(
    path: &Path,
    fingerprint: Fingerprint,
) -> Result<(Checkpoint, bool), CheckpointError> {
    let bytes = fs::read(path).map_err(io("read", path))?;
    let damaged = |why| CheckpointError::Damaged { path: path.to_owned(), why };
    let (whose, checkpoint) = decode(&bytes).map_err(damaged)?;
    Ok((checkpoint, whose == fingerprint))
}

fn decode(bytes: &[u8]) -> Result<(Fingerprint, Checkpoint), &'static str> {
    const SHORT: &str = "it is too short";
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(SHORT)?;
    let mut rest = body.strip_prefix(MAGIC).ok_or("it does not begin with BONGSUC1")?;
    if crc32fast::hash(body).to_le_bytes() != *checksum {
        return Err("its checksum is wrong");
    }
    let fingerprint = Fingerprint(take(&mut rest).ok_or(SHORT)?);
    let mut word = || take(&mut rest).map(u32::from_le_bytes).ok_or(SHORT);
    let position = Position { segment: word()?, offset: word()? };
    let created_us = take(&mut rest).map(i64::from_le_bytes).ok_or(SHORT)?;
    if take(&mut rest).map(u32::from_le_bytes) != Some(STATES as u32) {
        return Err("it holds another number of states than this build has");
    }
    let mut states: [Vec<u8>; STATES] = Default::default();
    for state in &mut states {
        let length = take(&mut rest).map(u32::from_le_bytes).ok_or(SHORT)? as usize;
        let (own, behind) = rest.split_at_checked(length).ok_or(SHORT)?;
        *state = own.to_vec();
        rest = behind;
    }
    if !rest.is_empty() {
        return Err("something follows the last state");
    }
    Ok((fingerprint, Checkpoint { position, created_us, states }))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

/// Puts a checkpoint that cannot be used out of the way, where it can be looked at; as many as are
/// kept of the others stay there.
///
/// # Errors
/// [`CheckpointError::Io`] when it cannot be renamed, or an older one not removed.
pub fn set_aside(path: &Path) -> Result<(), CheckpointError> {
    fs::rename(path, path.with_extension(REFUSED)).map_err(io("set aside", path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for (_, old) in list_of(folder, REFUSED)?.iter().skip(KEPT) {
        fs::remove_file(old).map_err(io("remove", old))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn states() -> [Vec<u8>; STATES] {
        [b"normalizer".to_vec(), Vec::new(), vec![7; 1_000]]
    }

    fn at(segment: u32, offset: u32) -> Position {
        Position { segment, offset }
    }

    #[test]
    fn what_is_written_is_read_and_the_newest_are_kept() {
        let data = tempfile::tempdir().unwrap();
        let folder = folder(data.path());
        let own = Fingerprint::of(&["build", "thresholds"]);
        assert!(list(&folder).unwrap().is_empty());
        for offset in [40, 9, 100, 1_000] {
            let oldest = write(&folder, own, at(2, offset), &states()).unwrap();
            assert!(oldest <= at(2, 40));
        }
        let all = list(&folder).unwrap();
        let places: Vec<_> = all.iter().map(|(position, _)| *position).collect();
        assert_eq!(places, [at(2, 1_000), at(2, 100), at(2, 40)]);
        let newest = read(&all[0].1, own).unwrap();
        assert_eq!((newest.position, newest.states), (at(2, 1_000), states()));
        for (_, path) in &all {
            set_aside(path).unwrap();
        }
        assert!(list(&folder).unwrap().is_empty());
        write(&folder, own, at(3, 40), &states()).unwrap();
        set_aside(&list(&folder).unwrap()[0].1).unwrap();
        let aside = list_of(&folder, REFUSED).unwrap();
        let places: Vec<_> = aside.iter().map(|(position, _)| *position).collect();
        assert_eq!(places, [at(3, 40), at(2, 1_000), at(2, 100)]);
    }

    #[test]
    fn of_another_build_only_the_place_is_used() {
        let data = tempfile::tempdir().unwrap();
        write(data.path(), Fingerprint::of(&["old"]), at(3, 32), &states()).unwrap();
        let path = &list(data.path()).unwrap()[0].1;
        let new = Fingerprint::of(&["new"]);
        assert!(matches!(read(path, new), Err(CheckpointError::OtherBuild { .. })));
        let (whole, is_own) = read_any(path, new).unwrap();
        assert_eq!((whole.position, is_own), (at(3, 32), false));
        assert!(beyond(data.path(), 2).unwrap().is_empty(), "segment 3 may be about to begin");
        assert_eq!(beyond(data.path(), 1).unwrap(), std::slice::from_ref(path));
        assert_eq!(beyond(data.path(), 0).unwrap().len(), 1, "there is no journal at all");
        disown(path).unwrap();
        assert!(list(data.path()).unwrap().is_empty());
        assert_ne!(Fingerprint::of(&["ab", "c"]), Fingerprint::of(&["a", "bc"]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn damage_of_any_kind_is_noticed(place in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
            let mut bytes = encode(Fingerprint::of(&["x"]), at(1, 32), &states());
            let place = place.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
