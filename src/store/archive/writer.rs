//! From records to files. See [`super`] for limits.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest as _, Sha256};

use super::schema::{FrameColumns, TickColumns};
use super::{
    ArchiveError, ArchiveFile, Dataset, Manifest, Place, SegmentId, Sums, frames_schema, offset_of,
    ticks_schema,
};
use crate::market::{RecordRef, SessionDay, Symbol, Trade};
use crate::messages::FrameKind;
use crate::store::objects::Key;

/// Rows handed to Parquet at once.
const BATCH_ROWS: usize = 1_024;
/// Payload handed to Parquet at once, bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Level of zstd: the default, which is fast enough for ten segments a second on one core.
const LEVEL: i32 = 3;

/// How large what is written may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// A file is closed when it has grown past this, bytes.
    pub file_bytes: usize,
    /// Rows of a row group, at most.
    pub group_rows: usize,
    /// Bytes of a row group, about, at most.
    pub group_bytes: usize,
    /// Days of each kind that are written at once.
    pub open_days: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, group_rows: 65_536, group_bytes: 8 << 20, open_days: 4 }
    }
}

/// A record of the journal.
#[derive(Debug, Clone, Copy)]
pub struct FrameRow<'a> {
    /// Where it stands.
    pub at: RecordRef,
    /// What it holds.
    pub kind: FrameKind,
    /// When it was received, microseconds since the Unix epoch.
    pub received_us: i64,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// A trade of a record.
#[derive(Debug, Clone, Copy)]
pub struct TickRow {
    /// Where it stands.
    pub at: RecordRef,
    /// When it was received, microseconds since the Unix epoch.
    pub received_us: i64,
    /// Issue.
    pub symbol: Symbol,
    /// The trade; its own id of the issue is not looked at.
    pub trade: Trade,
}

/// A file that is ready to be stored.
#[derive(Debug, Clone)]
pub struct FinishedFile {
    /// Its key.
    pub key: Key,
    /// Its line in the manifest.
    pub file: ArchiveFile,
    /// Its bytes.
    pub bytes: Bytes,
}

enum Columns {
    Frames(Box<FrameColumns>),
    Ticks(Box<TickColumns>),
}

impl Columns {
    fn of(dataset: Dataset) -> (Self, SchemaRef) {
        match dataset {
            Dataset::Frames => (Self::Frames(Box::default()), frames_schema()),
            Dataset::Ticks => (Self::Ticks(Box::default()), ticks_schema()),
        }
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        match self {
            Self::Frames(columns) => columns.take(),
            Self::Ticks(columns) => columns.take(),
        }
    }
}

/// A file in the making.
struct OpenFile {
    dataset: Dataset,
    day: SessionDay,
    part: u32,
    columns: Columns,
    writer: ArrowWriter<Vec<u8>>,
    waiting: usize,
    waiting_bytes: usize,
    rows: u64,
    first: u32,
    last: u32,
    sums: Sums,
    /// Number of the row that was last added to it, of all of the segment's.
    used: u64,
}

/// Makes the files of one segment.
pub struct SegmentWriter {
    id: SegmentId,
    limits: ArchiveLimits,
    open: Vec<OpenFile>,
    parts: BTreeMap<(Dataset, SessionDay), u32>,
    rows: u64,
    manifest: Manifest,
}

impl SegmentWriter {
    /// A writer for the segment `id`.
    #[must_use]
    pub fn new(id: SegmentId, limits: ArchiveLimits) -> Self {
        let manifest = Manifest::of(id);
        Self { id, limits, open: Vec::new(), parts: BTreeMap::new(), rows: 0, manifest }
    }

    /// Takes in a record, in the partition of `day`. Files that are finished by it are given to
    /// `out`.
    ///
    /// # Errors
    /// When Parquet cannot be written.
    pub fn frame(
        &mut self,
        day: SessionDay,
        row: &FrameRow<'_>,
        out: &mut Vec<FinishedFile>,
    ) -> Result<(), ArchiveError> {
        let place = Place { offset: offset_of(row.at), received_us: row.received_us };
        self.manifest.first.get_or_insert(place);
        self.manifest.last = Some(place);
        self.manifest.records += 1;
        let sums = Sums { payload_bytes: row.payload.len() as u64, ..Sums::default() };
        let file = self.file(Dataset::Frames, day, out)?;
        if let Columns::Frames(columns) = &mut file.columns {
            columns.push(row);
        }
        self.added(Dataset::Frames, day, offset_of(row.at), sums, out)
    }

    /// Takes in a trade, in the partition of its own session day.
    ///
    /// # Errors
    /// When Parquet cannot be written.
    pub fn tick(&mut self, row: &TickRow, out: &mut Vec<FinishedFile>) -> Result<(), ArchiveError> {
        let day = row.trade.time.session_day();
        self.manifest.ticks += 1;
        let value = row.trade.price.saturating_mul(row.trade.quantity);
        let sums = Sums { payload_bytes: 0, quantity: row.trade.quantity, value };
        let file = self.file(Dataset::Ticks, day, out)?;
        if let Columns::Ticks(columns) = &mut file.columns {
            columns.push(row);
        }
        self.added(Dataset::Ticks, day, offset_of(row.at), sums, out)
    }

    /// Notes something of the segment that could not be read.
    pub fn fault(&mut self, what: String) {
        self.manifest.faults.push(what);
    }

    /// Finishes all files and tells what there is, but for the pieces.
    ///
    /// # Errors
    /// When Parquet cannot be written.
    pub fn finish(mut self, out: &mut Vec<FinishedFile>) -> Result<Manifest, ArchiveError> {
        self.open.sort_by_key(|file| (file.dataset, file.day));
        for file in std::mem::take(&mut self.open) {
            self.close(file, out)?;
        }
        Ok(self.manifest)
    }

    /// The open file of a partition.
    fn file(
        &mut self,
        dataset: Dataset,
        day: SessionDay,
        out: &mut Vec<FinishedFile>,
    ) -> Result<&mut OpenFile, ArchiveError> {
        let known = self.open.iter().position(|file| file.dataset == dataset && file.day == day);
        let at = match known {
            Some(at) => at,
            None => {
                self.make_room(dataset, out)?;
                let part = self.parts.entry((dataset, day)).or_default();
                let file = OpenFile::new(dataset, day, *part, &self.limits)?;
                *part += 1;
                self.open.push(file);
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at])
    }

    /// Finishes the file of the day that has been left alone for longest, when too many are open.
    fn make_room(
        &mut self,
        dataset: Dataset,
        out: &mut Vec<FinishedFile>,
    ) -> Result<(), ArchiveError> {
        let of_it = |file: &&OpenFile| file.dataset == dataset;
        if self.open.iter().filter(of_it).count() < self.limits.open_days {
            return Ok(());
        }
        let idle = self.open.iter().enumerate().filter(|(_, file)| file.dataset == dataset);
        if let Some((at, _)) = idle.min_by_key(|(_, file)| file.used) {
            let file = self.open.swap_remove(at);
            self.close(file, out)?;
        }
        Ok(())
    }

    /// A row is in the columns of a partition's file.
    fn added(
        &mut self,
        dataset: Dataset,
        day: SessionDay,
        offset: u32,
        sums: Sums,
        out: &mut Vec<FinishedFile>,
    ) -> Result<(), ArchiveError> {
        self.rows += 1;
        self.manifest.sums.add(sums);
        let of_it = |file: &OpenFile| file.dataset == dataset && file.day == day;
        let Some(at) = self.open.iter().position(of_it) else { return Ok(()) };
        let file = &mut self.open[at];
        file.used = self.rows;
        file.note(offset, sums);
        if file.waiting < BATCH_ROWS && file.waiting_bytes < BATCH_BYTES {
            return Ok(());
        }
        file.write()?;
        if file.writer.bytes_written() >= self.limits.file_bytes {
            let file = self.open.swap_remove(at);
            self.close(file, out)?;
        }
        Ok(())
    }

    fn close(
        &mut self,
        mut file: OpenFile,
        out: &mut Vec<FinishedFile>,
    ) -> Result<(), ArchiveError> {
        file.write()?;
        let key = self.id.file_key(file.dataset, file.day, file.part)?;
        let bytes = file.writer.into_inner().map_err(failed("finish", &key))?;
        let line = ArchiveFile {
            dataset: file.dataset,
            day: file.day.to_string(),
            key: key.to_string(),
            rows: file.rows,
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
            first_offset: file.first,
            last_offset: file.last,
            sums: file.sums,
        };
        self.manifest.files.push(line.clone());
        out.push(FinishedFile { key, file: line, bytes: bytes.into() });
        Ok(())
    }
}

fn failed(
    action: &'static str,
    what: impl std::fmt::Display,
) -> impl FnOnce(ParquetError) -> ArchiveError {
    move |source| ArchiveError::Parquet { action, what: what.to_string(), source }
}

impl OpenFile {
    fn new(
        dataset: Dataset,
        day: SessionDay,
        part: u32,
        limits: &ArchiveLimits,
    ) -> Result<Self, ArchiveError> {
        let (columns, schema) = Columns::of(dataset);
        let level = ZstdLevel::try_new(LEVEL).map_err(failed("begin", dataset.prefix()))?;
        let payload = || ColumnPath::from("payload");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("bongsu".to_owned())
            .set_max_row_group_row_count(Some(limits.group_rows.max(1)))
            .set_max_row_group_bytes(Some(limits.group_bytes.max(1)))
            // No two payloads are equal, and nobody looks for one between two others.
            .set_column_dictionary_enabled(payload(), false)
            .set_column_statistics_enabled(payload(), EnabledStatistics::None)
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))
            .map_err(failed("begin", dataset.prefix()))?;
        Ok(Self {
            dataset,
            day,
            part,
            columns,
            writer,
            waiting: 0,
            waiting_bytes: 0,
            rows: 0,
            first: 0,
            last: 0,
            sums: Sums::default(),
            used: 0,
        })
    }

    fn note(&mut self, offset: u32, sums: Sums) {
        if self.rows == 0 {
            self.first = offset;
        }
        self.last = offset;
        self.rows += 1;
        self.waiting += 1;
        self.waiting_bytes += usize::try_from(sums.payload_bytes).unwrap_or(usize::MAX);
        self.sums.add(sums);
    }

    /// Hands what waits to Parquet.
    fn write(&mut self) -> Result<(), ArchiveError> {
        if self.waiting == 0 {
            return Ok(());
        }
        (self.waiting, self.waiting_bytes) = (0, 0);
        let batch = self.columns.take().map_err(ParquetError::from);
        batch
            .and_then(|batch| self.writer.write(&batch))
            .map_err(failed("write", self.dataset.prefix()))
    }
}
