//! Appending.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::format::{RECORD_HEADER, SEGMENT_HEADER, Seed, SegmentHeader, encode_record};
use super::room::Room;
use super::sync::{Suspect, SyncCall, Syncer, Written};
use super::{
    Durability, JournalError, JournalOptions, MAX_PAYLOAD, Position, segment_path, segments,
    start_of,
};
use crate::market::RecordRef;
use crate::messages::FrameBatch;

/// Bytes gathered before a write under [`Durability::Buffered`].
const GATHER: usize = 1 << 20;

/// The writing end of a journal. One at a time for a folder: the owner of the data folder's lock.
pub struct Journal {
    options: JournalOptions,
    sync: SyncCall,
    /// First segment of this run.
    run: u32,
    /// Number of the segment that is begun next.
    next: u32,
    /// Bytes of the last segment of this run that was finished.
    before: u32,
    open: Option<OpenSegment>,
    /// Encoded records that are not in the file yet.
    buffer: Vec<u8>,
    syncer: Option<Syncer>,
    room: Room,
    suspect: Option<Suspect>,
    /// A segment that was deleted from outside while it was written.
    gone: Option<String>,
    bytes_written: metrics::Counter,
    write_errors: metrics::Counter,
    last_segment: metrics::Gauge,
    last_offset: metrics::Gauge,
}

/// The segment that is written.
struct OpenSegment {
    segment: u32,
    seed: Seed,
    path: PathBuf,
    file: File,
    /// Bytes in the file.
    written: u64,
    /// The same, for the thread that syncs.
    shared: Arc<AtomicU64>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal in `options.folder`. The first append begins a new segment, or
    /// [`Journal::tend`] before it. Only the folder is listed.
    ///
    /// # Errors
    /// [`JournalError::Io`] naming the file and what was tried.
    pub fn open(options: JournalOptions) -> Result<Self, JournalError> {
        Self::open_with(options, Arc::new(File::sync_data))
    }

    /// As [`Journal::open`], with another way to force a file to the disk.
    pub(super) fn open_with(options: JournalOptions, sync: SyncCall) -> Result<Self, JournalError> {
        std::fs::create_dir_all(&options.folder)
            .map_err(|error| JournalError::io("make the folder", &options.folder, error))?;
        let found = segments(&options.folder)?;
        let next = found.last().map_or(1, |info| info.segment + 1);
        let syncer = match options.durability {
            Durability::Group(period) => {
                Some(Syncer::start(&options.folder, period, Arc::clone(&sync))?)
            }
            Durability::Buffered | Durability::Process | Durability::Power => None,
        };
        Ok(Self {
            room: Room::new(&found),
            options,
            sync,
            run: next,
            next,
            before: 0,
            open: None,
            buffer: Vec::new(),
            syncer,
            suspect: None,
            gone: None,
            bytes_written: metrics::counter!("bongsu_journal_bytes_total"),
            write_errors: metrics::counter!("bongsu_journal_write_errors_total"),
            last_segment: metrics::gauge!("bongsu_journal_segment"),
            last_offset: metrics::gauge!("bongsu_journal_offset_bytes"),
        })
    }

    /// Appends all frames of the batch; the position of each.
    ///
    /// When this returns `Ok`, the batch survives what the options' [`Durability`] says.
    ///
    /// # Errors
    /// Nothing of the batch was kept, and it may be tried again: [`JournalError::Io`],
    /// [`JournalError::NoRoom`]. [`JournalError::TooLong`] for a frame, or a batch, over the limit.
    pub fn append(&mut self, frames: &FrameBatch) -> Result<Vec<RecordRef>, JournalError> {
        let size = frames.byte_len() + RECORD_HEADER * frames.len();
        if let Some(long) = frames.iter().map(|f| f.payload.len()).find(|len| *len > MAX_PAYLOAD) {
            return Err(JournalError::TooLong(long));
        }
        if size > (u32::MAX as usize) - SEGMENT_HEADER {
            return Err(JournalError::TooLong(size));
        }
        let outcome = self.append_checked(frames, size);
        if let Err(error) = &outcome {
            self.write_errors.increment(1);
            self.room.failed(&self.options, error);
        }
        outcome
    }

    fn append_checked(
        &mut self,
        frames: &FrameBatch,
        size: usize,
    ) -> Result<Vec<RecordRef>, JournalError> {
        if let Some(mut suspect) = self.syncer.as_ref().and_then(Syncer::take_failure) {
            if suspect.to.segment == self.position().segment {
                // What was written there since is as doubtful.
                suspect.to = self.position();
                self.finish_segment()?;
            }
            self.suspect = Some(suspect.and(self.suspect.take()));
        }
        let offset = self.position().offset;
        let is_full = offset > self.options.segment_bytes;
        if is_full || u64::from(offset) + size as u64 > u64::from(u32::MAX) {
            self.finish_segment()?;
        }
        self.room.admit(&self.options, size as u64)?;
        self.begin()?;
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let held = self.buffer.len();
        let mut offset = open.written as usize + held;
        let (segment, seed) = (open.segment, open.seed);
        let mut positions = Vec::with_capacity(frames.len());
        for frame in frames.iter() {
            positions.push(RecordRef { segment, offset: offset as u32, record: 0 });
            let (kind, received_us, payload) = (frame.kind, frame.received_us, frame.payload);
            encode_record(&mut self.buffer, seed, offset as u32, kind, received_us, payload);
            offset += RECORD_HEADER + payload.len();
        }
        debug_assert!(self.buffer.len() - held == size);
        let gathers = self.options.durability == Durability::Buffered;
        if !(gathers && self.buffer.len() < GATHER) {
            self.write_out(held)?;
        }
        self.bytes_written.increment(size as u64);
        self.last_offset.set(offset as f64);
        Ok(positions)
    }

    /// Writes the buffer to the file, whole or not at all; `held` bytes of it were there before
    /// the batch in hand, and stay when it fails.
    fn write_out(&mut self, held: usize) -> Result<(), JournalError> {
        let Some(open) = self.open.as_mut().filter(|_| !self.buffer.is_empty()) else {
            return Ok(());
        };
        if let Err(error) = open.file.write_all(&self.buffer) {
            self.buffer.truncate(held);
            let error = JournalError::io("write to", &open.path, error);
            self.take_back();
            return Err(error);
        }
        if self.options.durability == Durability::Power
            && let Err(error) = (self.sync)(&open.file)
        {
            metrics::counter!("bongsu_journal_sync_errors_total").increment(1);
            let error = JournalError::io("force to the disk", &open.path, error);
            self.buffer.truncate(held);
            self.take_back();
            // The state of the file's pages is unknown now, and a sync that succeeds later says
            // nothing of them. Everything before this batch had been synced; the batch itself goes
            // to a new file.
            self.abandon();
            return Err(error);
        }
        open.written += self.buffer.len() as u64;
        open.shared.store(open.written, Ordering::Release);
        self.buffer.clear();
        Ok(())
    }

    /// Takes back whatever part of a batch reached the file: the caller will not pass the batch
    /// on, so a later reader must not find it.
    fn take_back(&mut self) {
        let Some(open) = &self.open else { return };
        if let Err(error) = open.file.set_len(open.written) {
            tracing::error!(
                path = %open.path.display(), from = open.written, %error,
                "a failed write to the journal cannot be taken back; frames may be in it twice"
            );
            self.abandon();
        }
    }

    /// Gives up the file that is written: deletes it when no batch is in it, so that retries leave
    /// no trail of empty files.
    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        if !self.buffer.is_empty() {
            // Gathered under `Buffered`, which promises nothing; true in that file only.
            tracing::error!(bytes = self.buffer.len(), "gathered frames are lost");
            self.buffer.clear();
        }
        let empty = open.written == SEGMENT_HEADER as u64;
        if empty && std::fs::remove_file(&open.path).is_ok() {
            self.next = open.segment;
            return;
        }
        self.before = u32::try_from(open.written).unwrap_or(u32::MAX);
        self.room.seal(open.segment, open.written);
    }

    /// Where the next record will stand: everything appended so far is before it.
    #[must_use]
    pub fn position(&self) -> Position {
        match &self.open {
            Some(open) => Position {
                segment: open.segment,
                offset: (open.written as usize + self.buffer.len()) as u32,
            },
            None => start_of(self.next),
        }
    }

    /// Forces everything written so far to the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the disk refuses.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.write_out(self.buffer.len())?;
        let Some(open) = &self.open else { return Ok(()) };
        (self.sync)(&open.file).map_err(|error| JournalError::io("sync", &open.path, error))
    }

    /// What is to be done from time to time, about every second: lets segments go that nobody
    /// needs, looks at the free space, begins a segment when none is open, updates the gauges.
    ///
    /// # Errors
    /// What an append would say now.
    pub fn tend(&mut self) -> Result<(), JournalError> {
        self.look_for_the_file();
        self.room.look_again();
        let current = self.open.as_ref().map_or(0, |open| open.written);
        self.room.enforce(&self.options, current);
        let in_doubt = |suspect: &Suspect| !self.options.segment_use.may_go(suspect.to.segment);
        self.suspect = self.suspect.take().filter(in_doubt);
        self.room.admit(&self.options, 0)?;
        self.begin()
    }

    /// Leaves a segment whose file was deleted or replaced from outside: what is written into it
    /// would be gone with the process.
    fn look_for_the_file(&mut self) {
        let Some(open) = self.open.take_if(|open| !is_at(&open.file, &open.path)) else { return };
        let gone = format!(
            "{} was deleted while it was written: what it held up to byte {} is lost to the next start; a new segment is begun",
            open.path.display(),
            open.written
        );
        tracing::error!("{gone}");
        self.before = 0;
        self.run = self.next;
        self.gone = Some(gone);
    }

    /// What is wrong although the journal is written, for the operator.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let over = self.room.over().map(ToOwned::to_owned);
        let suspect = self.suspect.as_ref().map(|Suspect { from, to, why }| {
            format!(
                "it could not be forced to the disk ({why}): what was received from {from} to {to} may not survive a power cut"
            )
        });
        let all: Vec<String> = [self.gone.clone(), over, suspect].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Finishes the segment that is written; the next append begins another. Its pages are not
    /// forced to the disk here: that can take a quarter of a second, and nobody is promised it
    /// ([`Durability::Process`]), or its own thread does it ([`Durability::Group`]), or it was done
    /// ([`Durability::Power`]).
    fn finish_segment(&mut self) -> Result<(), JournalError> {
        self.write_out(self.buffer.len())?;
        if let Some(open) = self.open.take() {
            self.before = u32::try_from(open.written).unwrap_or(u32::MAX);
            self.room.seal(open.segment, open.written);
        }
        Ok(())
    }

    /// Begins a segment, unless one is open. A failure leaves nothing behind.
    fn begin(&mut self) -> Result<(), JournalError> {
        if self.open.is_some() {
            return Ok(());
        }
        let segment = self.next;
        let path = segment_path(&self.options.folder, segment);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut file = file.map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                // An empty one that could not be deleted: the next try takes the next number.
                self.next += 1;
            }
            JournalError::io("create", &path, error)
        })?;
        let shared = Arc::new(AtomicU64::new(SEGMENT_HEADER as u64));
        let made = self.write_header(&mut file, segment).and_then(|()| match &self.syncer {
            Some(syncer) => Ok(Some((syncer, file.try_clone()?))),
            None => Ok(None),
        });
        match made {
            Ok(Some((syncer, file))) => {
                syncer.begin(Written { segment, file, bytes: Arc::clone(&shared) });
            }
            Ok(None) => {}
            Err(error) => {
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "an unfinished segment stays");
                }
                return Err(JournalError::io("begin", &path, error));
            }
        }
        let written = SEGMENT_HEADER as u64;
        let seed = Seed::of(segment);
        self.open = Some(OpenSegment { segment, seed, path, file, written, shared });
        self.next = segment + 1;
        self.last_segment.set(f64::from(segment));
        self.last_offset.set(written as f64);
        self.room.enforce(&self.options, written);
        Ok(())
    }

    /// The header; with [`Durability::Power`] it and the file's name are on the disk then. With
    /// [`Durability::Group`] the thread that syncs sees to that: it can take a quarter of a second.
    fn write_header(&self, file: &mut File, segment: u32) -> std::io::Result<()> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = SegmentHeader {
            segment,
            run: self.run,
            before: if segment == self.run { 0 } else { self.before },
            created_us: created.as_micros() as u64,
        };
        file.write_all(&header.encode())?;
        match self.options.durability {
            Durability::Buffered | Durability::Process | Durability::Group(_) => Ok(()),
            Durability::Power => {
                (self.sync)(file)?;
                File::open(&self.options.folder)?.sync_all()
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.write_out(self.buffer.len()) {
            tracing::error!(%error, "the last frames are not in the journal");
        }
    }
}

/// Whether the file at `path` is this very one. Where that cannot be known it is taken to be.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
        (Ok(_), Err(error)) => error.kind() != ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}
