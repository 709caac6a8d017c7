//! Appending.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    Durability, JournalError, JournalOptions, MAGIC, MAX_PAYLOAD, Position, RECORD_HEADER,
    SEGMENT_HEADER, segment_path, segments,
};
use crate::market::RecordRef;
use crate::messages::FrameBatch;

/// The writing end of a journal. One at a time for a folder: the owner of the data folder's lock.
#[derive(Debug)]
pub struct Journal {
    options: JournalOptions,
    segment: u32,
    file: File,
    offset: u64,
    buffer: Vec<u8>,
    syncer: Option<Syncer>,
    bytes_written: metrics::Counter,
}

impl Journal {
    /// Opens the journal in `options.folder` and begins a new segment.
    ///
    /// # Errors
    /// [`JournalError::Io`] naming the file and what was tried.
    pub fn open(options: JournalOptions) -> Result<Self, JournalError> {
        std::fs::create_dir_all(&options.folder)
            .map_err(|error| JournalError::io("make the folder", &options.folder, error))?;
        let last = segments(&options.folder)?.last().map_or(0, |info| info.segment);
        let segment = last + 1;
        let file = create_segment(&options, segment)?;
        let syncer = match options.durability {
            Durability::Process => None,
            Durability::Group(period) => Some(Syncer::start(&file, &options, segment, period)?),
        };
        let bytes_written = metrics::counter!("bongsu_journal_bytes_total");
        let offset = SEGMENT_HEADER as u64;
        Ok(Self { options, segment, file, offset, buffer: Vec::new(), syncer, bytes_written })
    }

    /// Appends all frames of the batch; the position of each.
    ///
    /// When this returns `Ok`, the frames are with the operating system.
    ///
    /// # Errors
    /// [`JournalError::Io`] when nothing of the batch was kept, [`JournalError::TooLong`] for a
    /// frame over the limit.
    pub fn append(&mut self, frames: &FrameBatch) -> Result<Vec<RecordRef>, JournalError> {
        if self.offset > u64::from(self.options.segment_bytes) {
            self.rotate()?;
        }
        self.buffer.clear();
        let mut positions = Vec::with_capacity(frames.len());
        for frame in frames.iter() {
            if frame.payload.len() > MAX_PAYLOAD {
                return Err(JournalError::TooLong(frame.payload.len()));
            }
            let start = self.buffer.len();
            self.buffer.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(&[0; 4]);
            self.buffer.extend_from_slice(&[frame.kind as u8, 0, 0, 0, 0, 0, 0, 0]);
            self.buffer.extend_from_slice(&frame.received_us.to_le_bytes());
            self.buffer.extend_from_slice(frame.payload);
            let checksum = crc32fast::hash(&self.buffer[start + 8..]);
            self.buffer[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
            let offset = (self.offset as usize + start) as u32;
            positions.push(RecordRef { segment: self.segment, offset, record: 0 });
        }
        debug_assert!(self.buffer.len() == frames.byte_len() + RECORD_HEADER * frames.len());
        if let Err(error) = self.file.write_all(&self.buffer) {
            // Whatever part of the batch reached the file is taken back: the caller will not pass
            // the batch on, so a later reader must not find it either.
            let path = segment_path(&self.options.folder, self.segment);
            self.file
                .set_len(self.offset)
                .and_then(|()| {
                    std::io::Seek::seek(&mut self.file, std::io::SeekFrom::Start(self.offset))
                })
                .map_err(|undo| JournalError::io("take back a failed write to", &path, undo))?;
            return Err(JournalError::io("write to", &path, error));
        }
        self.offset += self.buffer.len() as u64;
        self.bytes_written.increment(self.buffer.len() as u64);
        Ok(positions)
    }

    /// Where the next record will stand: everything appended so far is before it.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.offset as u32 }
    }

    /// Forces everything written so far to the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the disk refuses.
    pub fn sync(&self) -> Result<(), JournalError> {
        let path = segment_path(&self.options.folder, self.segment);
        self.file.sync_data().map_err(|error| JournalError::io("sync", &path, error))
    }

    /// Begins the next segment. The old one is not forced to the disk here: that can take a
    /// quarter of a second, and nobody is promised it ([`Durability::Process`]), or its own thread
    /// does it on the way out ([`Durability::Group`]).
    fn rotate(&mut self) -> Result<(), JournalError> {
        let next = self.segment + 1;
        let file = create_segment(&self.options, next)?;
        if let Durability::Group(period) = self.options.durability {
            let syncer = Syncer::start(&file, &self.options, next, period)?;
            if let Some(old) = self.syncer.replace(syncer) {
                old.finish_in_background();
            }
        }
        self.segment = next;
        self.file = file;
        self.offset = SEGMENT_HEADER as u64;
        Ok(())
    }
}

fn create_segment(options: &JournalOptions, segment: u32) -> Result<File, JournalError> {
    let path = segment_path(&options.folder, segment);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|error| JournalError::io("create", &path, error))?;
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut header = Vec::with_capacity(SEGMENT_HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&segment.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&(created.as_micros() as u64).to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    let checksum = crc32fast::hash(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    file.write_all(&header).map_err(|error| JournalError::io("write to", &path, error))?;
    Ok(file)
}

/// Runs `fdatasync` beside the writer, so that appending never waits for the disk.
#[derive(Debug)]
struct Syncer {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Syncer {
    fn start(
        file: &File,
        options: &JournalOptions,
        segment: u32,
        period: Duration,
    ) -> Result<Self, JournalError> {
        let path = segment_path(&options.folder, segment);
        let file = file.try_clone().map_err(|error| JournalError::io("share", &path, error))?;
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("journal-sync".into())
            .spawn({
                let ended = Arc::clone(&ended);
                move || {
                    loop {
                        // Looked at before the sync: the last one comes after the last write.
                        let is_last = ended.load(Ordering::Acquire);
                        if let Err(error) = file.sync_data() {
                            tracing::error!(%error, "the journal could not be forced to the disk");
                            metrics::counter!("bongsu_journal_sync_errors_total").increment(1);
                        }
                        if is_last {
                            return;
                        }
                        std::thread::park_timeout(period);
                    }
                }
            })
            .map_err(|error| {
                JournalError::io("start the sync thread for", &options.folder, error)
            })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Syncer {
    /// Lets the thread force what was written and end, without waiting for it.
    fn finish_in_background(mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the journal's sync thread panicked");
            }
        }
    }
}
