//! One segment into the archive: files, pieces where they are needed, and the manifest at the end.

use std::io::Read as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::convert::{Converted, convert, segment_id};
use crate::journal::{JournalError, SegmentInfo};
use crate::store::archive::{ArchiveError, ArchiveLimits, Manifest, Piece, SegmentId};
use crate::store::objects::{About, Key};
use crate::store::{Bucket, ObjectError, Objects};

/// Files that are ready and wait.
const READY: usize = 1;
/// Bytes of the journal in one piece.
const PIECE: u64 = 16 << 20;
const LEVEL: i32 = 3;

/// Why a segment is not in the archive yet. It may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFailure {
    /// The archive, or the object store behind it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The journal's folder cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The segment's file cannot be read.
    #[error("archive: cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The process ends.
    #[error("archive: the work was cut off while the process ends")]
    CutOff,
}

impl From<ObjectError> for ArchiveFailure {
    fn from(error: ObjectError) -> Self {
        Self::Archive(error.into())
    }
}

/// Puts a segment into the archive, unless it is there already or holds nothing: then `None`. Doing it
/// again, whole or from the middle, gives the same objects.
///
/// # Errors
/// [`ArchiveFailure`]; then it is not in the archive, and may be tried again.
pub async fn archive_segment(
    objects: &Objects,
    info: SegmentInfo,
    limits: ArchiveLimits,
) -> Result<Option<Manifest>, ArchiveFailure> {
    let named = info.clone();
    let id = tokio::task::spawn_blocking(move || segment_id(&named)).await;
    let unread = SegmentId { segment: info.segment, first_received_us: 0 };
    let id = id.unwrap_or(None).unwrap_or(unread);
    let key = id.manifest_key()?;
    match objects.get(Bucket::RawData, &key, None).await {
        Ok(found) if Manifest::parse(key.as_str(), &found.bytes).is_ok() => return Ok(None),
        // One that cannot be read is written anew.
        Ok(_) | Err(ObjectError::Missing { .. } | ObjectError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut manifest = files_of(objects, id, &info, limits).await?;
    if manifest.records == 0 && manifest.faults.is_empty() {
        return Ok(None);
    }
    if !manifest.faults.is_empty() {
        manifest.pieces = pieces_of(objects, id, &info).await?;
    }
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| ArchiveError::Content { what: key.to_string(), why: error.to_string() })?;
    store(objects, &key, text.into(), About::of("application/json")).await?;
    Ok(Some(manifest))
}

/// Converts and stores the files.
async fn files_of(
    objects: &Objects,
    id: SegmentId,
    info: &SegmentInfo,
    limits: ArchiveLimits,
) -> Result<Manifest, ArchiveFailure> {
    let (give, mut ready) = mpsc::channel(READY);
    let segment = info.clone();
    let work = tokio::task::spawn_blocking(move || {
        convert(id, &segment, limits, |converted| give.blocking_send(converted).is_ok())
    });
    let mut done = None;
    while let Some(converted) = ready.recv().await {
        match converted {
            Converted::File(file) => {
                let about = About::of("application/vnd.apache.parquet");
                store(objects, &file.key, file.bytes, about).await?;
            }
            Converted::Done(manifest) => done = Some(*manifest),
        }
    }
    match (work.await, done) {
        (Ok(Ok(())), Some(manifest)) => Ok(manifest),
        (Ok(Ok(())), None) => Err(ArchiveFailure::CutOff),
        (Ok(Err(error)), _) => Err(error),
        // A record that makes the converter fail is a mistake of ours: the segment itself is kept.
        (Err(error), _) if error.is_panic() => Ok(unconverted(id)),
        (Err(_), _) => Err(ArchiveFailure::CutOff),
    }
}

fn unconverted(id: SegmentId) -> Manifest {
    tracing::error!(segment = id.segment, "a segment cannot be converted; it is archived as it is");
    let why = "it could not be converted: see the log of the time";
    Manifest { faults: vec![why.to_owned()], ..Manifest::of(id) }
}

/// Stores the segment itself, compressed.
async fn pieces_of(
    objects: &Objects,
    id: SegmentId,
    info: &SegmentInfo,
) -> Result<Vec<Piece>, ArchiveFailure> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < info.bytes {
        let path = info.path.clone();
        let read = tokio::task::spawn_blocking(move || piece(&path, from)).await;
        let packed = read
            .map_err(|_| ArchiveFailure::CutOff)?
            .map_err(|source| ArchiveFailure::Io { path: info.path.clone(), source })?;
        let key = id.piece_key(u32::try_from(pieces.len()).unwrap_or(u32::MAX))?;
        let (bytes, sha256) = (packed.len() as u64, hex::encode(Sha256::digest(&packed)));
        store(objects, &key, packed, About::of("application/zstd")).await?;
        pieces.push(Piece { key: key.to_string(), bytes, sha256 });
        from += PIECE;
    }
    Ok(pieces)
}

fn piece(path: &std::path::Path, from: u64) -> std::io::Result<Bytes> {
    use std::io::Seek as _;
    let mut file = std::fs::File::open(path)?;
    file.seek(std::io::SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(PIECE).read_to_end(&mut bytes)?;
    Ok(zstd::bulk::compress(&bytes, LEVEL)?.into())
}

/// Stores an object unless it is there as it should be, and reads it back.
async fn store(
    objects: &Objects,
    key: &Key,
    bytes: Bytes,
    about: About,
) -> Result<(), ArchiveFailure> {
    match objects.get(Bucket::RawData, key, None).await {
        // Left by an earlier try.
        Ok(found) if found.bytes == bytes => return Ok(()),
        Ok(_) | Err(ObjectError::Missing { .. } | ObjectError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    objects.put(Bucket::RawData, key, bytes.clone(), about).await?;
    let found = objects.get(Bucket::RawData, key, None).await?;
    if found.bytes == bytes {
        return Ok(());
    }
    Err(ArchiveFailure::Archive(ArchiveError::Content {
        what: key.to_string(),
        why: format!("{} bytes were stored, {} are read back", bytes.len(), found.bytes.len()),
    }))
}
