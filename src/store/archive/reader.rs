//! The frames of an archive, in the order in which they were received.
//!
//! In: manifests, and the files they name, checked against size and checksum. Out: one
//! [`ArchivedFrame`] at a time. Segments come by number; where a number comes twice, because a journal
//! was begun anew, by the time of their first record. One file a partition is held at a time, at most
//! some 20 MiB each.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use sha2::{Digest as _, Sha256};

use super::{ArchiveError, ArchiveFile, Dataset, MANIFESTS, Manifest, frames_schema};
use crate::market::{RecordRef, SessionDay};
use crate::messages::FrameKind;
use crate::store::objects::{Bucket, Key, Objects};

/// Rows decoded at once.
const BATCH_ROWS: usize = 4_096;
/// Manifests listed at once.
const PAGE: usize = 1_000;

/// Where an archive is.
#[derive(Debug, Clone)]
pub enum ArchiveSource {
    /// The bucket `raw-data` of an object store.
    Objects(Objects),
    /// A copy of the bucket: a folder with its keys as paths.
    Folder(PathBuf),
}

impl ArchiveSource {
    async fn manifests(&self) -> Result<Vec<Key>, ArchiveError> {
        match self {
            Self::Objects(objects) => {
                let mut keys: Vec<Key> = Vec::new();
                loop {
                    let after = keys.last();
                    let page = objects.list(Bucket::RawData, MANIFESTS, after, PAGE).await?;
                    let full = page.len() == PAGE;
                    keys.extend(page);
                    if !full {
                        return Ok(keys);
                    }
                }
            }
            Self::Folder(folder) => manifests_in(folder),
        }
    }

    async fn read(&self, key: &Key) -> Result<Bytes, ArchiveError> {
        match self {
            Self::Objects(objects) => Ok(objects.get(Bucket::RawData, key, None).await?.bytes),
            Self::Folder(folder) => {
                let path = folder.join(key.as_str());
                match tokio::fs::read(&path).await {
                    Ok(bytes) => Ok(bytes.into()),
                    Err(source) => Err(ArchiveError::Io { path, source }),
                }
            }
        }
    }
}

fn manifests_in(folder: &Path) -> Result<Vec<Key>, ArchiveError> {
    let path = folder.join(MANIFESTS);
    let failed = |source| ArchiveError::Io { path: path.clone(), source };
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_str().filter(|name| name.ends_with(".json"));
        keys.extend(name.and_then(|name| format!("{MANIFESTS}{name}").parse::<Key>().ok()));
    }
    keys.sort();
    Ok(keys)
}

/// A record as it was in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedFrame {
    /// Where it stood.
    pub at: RecordRef,
    /// What it holds.
    pub kind: FrameKind,
    /// When it was received, microseconds since the Unix epoch.
    pub received_us: i64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// Reads an archive.
#[derive(Debug)]
pub struct ArchiveReader {
    source: ArchiveSource,
    day: Option<String>,
    segments: VecDeque<Manifest>,
    files: VecDeque<ArchiveFile>,
    open: Vec<OpenFile>,
    faults: u64,
}

#[derive(Debug)]
struct OpenFile {
    key: String,
    batches: ParquetRecordBatchReader,
    batch: RecordBatch,
    row: usize,
}

impl ArchiveReader {
    /// Reads the manifests. With `day`, only that partition is read.
    ///
    /// # Errors
    /// When they cannot be read, or there are none.
    pub async fn open(
        source: ArchiveSource,
        day: Option<SessionDay>,
    ) -> Result<Self, ArchiveError> {
        let mut segments = Vec::new();
        for key in source.manifests().await? {
            segments.push(Manifest::parse(key.as_str(), &source.read(&key).await?)?);
        }
        if segments.is_empty() {
            return Err(ArchiveError::Content {
                what: MANIFESTS.to_owned(),
                why: "there is no manifest: no segment is in this archive yet".to_owned(),
            });
        }
        let numbers: BTreeSet<u32> = segments.iter().map(|manifest| manifest.segment).collect();
        let (mut before, mut missing) = (None, 0);
        for number in &numbers {
            missing += before.map_or(0, |before: u32| number - before - 1);
            before = Some(*number);
        }
        if missing > 0 {
            tracing::warn!(
                missing,
                "segments between others have no manifest: they held no record, or are not in this archive"
            );
        }
        if numbers.len() == segments.len() {
            segments.sort_by_key(|manifest| manifest.segment);
        } else {
            segments.sort_by_key(|manifest| (manifest.first_received(), manifest.segment));
        }
        let faults = segments.iter().map(|manifest| manifest.faults.len() as u64).sum();
        let (segments, day) = (segments.into(), day.map(|day| day.to_string()));
        Ok(Self { source, day, segments, files: VecDeque::new(), open: Vec::new(), faults })
    }

    /// What could not be read of the segments when they were archived.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what its manifest says.
    pub async fn next(&mut self) -> Result<Option<ArchivedFrame>, ArchiveError> {
        loop {
            let first =
                self.open.iter().enumerate().filter_map(|(at, file)| Some((file.offset()?, at)));
            let first = first.min();
            let due =
                |file: &ArchiveFile| first.is_none_or(|(offset, _)| file.first_offset < offset);
            if let Some(file) = self.files.pop_front_if(|file| due(file)) {
                let open = open_file(&self.source, file).await?;
                self.open.push(open);
                continue;
            }
            if let Some((_, at)) = first {
                let file = &mut self.open[at];
                let frame = file.frame()?;
                if !file.advance()? {
                    self.open.swap_remove(at);
                }
                return Ok(Some(frame));
            }
            let Some(segment) = self.segments.pop_front() else { return Ok(None) };
            let wanted = |file: &ArchiveFile| {
                file.dataset == Dataset::Frames
                    && self.day.as_ref().is_none_or(|day| *day == file.day)
            };
            let mut files: Vec<_> = segment.files.into_iter().filter(wanted).collect();
            files.sort_by_key(|file| file.first_offset);
            self.files = files.into();
        }
    }
}

/// Fetches a file, and checks it against its line in the manifest.
async fn open_file(source: &ArchiveSource, file: ArchiveFile) -> Result<OpenFile, ArchiveError> {
    let key: Key = file.key.parse()?;
    let bytes = source.read(&key).await?;
    let content = |why: &str| ArchiveError::Content { what: file.key.clone(), why: why.to_owned() };
    if bytes.len() as u64 != file.bytes || hex::encode(Sha256::digest(&bytes)) != file.sha256 {
        return Err(content("size or checksum differ from its manifest"));
    }
    let parquet = |source| ArchiveError::Parquet { action: "read", what: file.key.clone(), source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(parquet)?;
    if builder.schema().fields() != frames_schema().fields() {
        return Err(content("its columns are not those of frames"));
    }
    let batches = builder.with_batch_size(BATCH_ROWS).build().map_err(parquet)?;
    let batch = RecordBatch::new_empty(frames_schema());
    let mut open = OpenFile { key: file.key.clone(), batches, batch, row: 0 };
    if !open.advance()? {
        return Err(content("it holds no row"));
    }
    Ok(open)
}

impl OpenFile {
    /// Offset of the row that is next; `None` at the end.
    fn offset(&self) -> Option<u32> {
        let offsets = self.batch.column(1).as_primitive::<UInt32Type>();
        (self.row < offsets.len()).then(|| offsets.value(self.row))
    }

    fn frame(&self) -> Result<ArchivedFrame, ArchiveError> {
        let batch = &self.batch;
        let number = batch.column(2).as_primitive::<UInt8Type>().value(self.row);
        let kind = FrameKind::from_u8(number).ok_or_else(|| ArchiveError::Content {
            what: self.key.clone(),
            why: format!("a record is of kind {number}, which this version does not know"),
        })?;
        let word =
            |column: usize| batch.column(column).as_primitive::<UInt32Type>().value(self.row);
        Ok(ArchivedFrame {
            at: RecordRef { segment: word(0), offset: word(1), record: 0 },
            kind,
            received_us: batch.column(3).as_primitive::<Int64Type>().value(self.row),
            payload: batch.column(4).as_binary::<i32>().value(self.row).to_vec(),
        })
    }

    /// Goes to the next row; `false` when there is none.
    fn advance(&mut self) -> Result<bool, ArchiveError> {
        self.row += 1;
        while self.row >= self.batch.num_rows() {
            let next = self.batches.next().transpose();
            let next = next.map_err(|error| ArchiveError::Parquet {
                action: "read",
                what: self.key.clone(),
                source: error.into(),
            })?;
            let Some(batch) = next else { return Ok(false) };
            (self.batch, self.row) = (batch, 0);
        }
        Ok(true)
    }
}
