//! Rows on disk while the database is away: a queue of entries in files.
//!
//! In: entries, appended at the end. Out: the same entries, oldest first, until they are
//! acknowledged. What an entry holds is its owner's business ([`super::Waiting`]).
//!
//! **Files.** `<data_dir>/spill/<number>.spill`, of some 8 MiB. A file begins with `BONGSPL1`; an
//! entry is a marker of four bytes, the length of the payload (u32), the CRC-32 of length and
//! payload (u32), and the payload; numbers little-endian. Only files that are closed are read. One
//! whose entries are all acknowledged is deleted. How far a file was read is not kept: after a
//! crash its entries come again from the first one, which writing by key makes harmless.
//!
//! **Durability.** [`Spill::append`] hands the bytes to the system: they survive the death of the
//! process. [`Spill::sync`] forces them to the disk: what was synced survives a power cut.
//!
//! **Limit.** [`SpillOptions::cap_bytes`] over all files. An append beyond it is refused with
//! [`SpillError::Full`] and leaves nothing behind; so does one that the disk has no room for.
//!
//! **Damage.** An entry with a wrong checksum, or bytes that are no entry, are copied to
//! `spill/quarantine/<file>.<from>-<to>` and named by [`Spill::take_damage`]; reading goes on at
//! the next true entry. A file that ends within an entry was cut off by a crash: what its writer
//! did not finish was never acknowledged, so it is left out and named like the rest.

mod file;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use file::{HEADER, Scan, Scanned};

/// How a [`Spill`] is kept.
#[derive(Debug, Clone)]
pub struct SpillOptions {
    /// Its folder; made when it is not there.
    pub folder: PathBuf,
    /// Bytes of all files, at most.
    pub cap_bytes: u64,
    /// Size at which a file is closed, bytes.
    pub file_bytes: u64,
}

impl SpillOptions {
    /// The spill in `folder`, of at most `cap_bytes`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, cap_bytes: u64) -> Self {
        Self { folder: folder.into(), cap_bytes, file_bytes: 8 << 20 }
    }
}

/// Why rows could not be spilled or read back.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// The limit is reached.
    #[error(
        "the spill {} is full: {bytes} of {cap} bytes; bring the database back, or raise database.spill_mib",
        folder.display()
    )]
    Full {
        /// The folder.
        folder: PathBuf,
        /// Bytes in it.
        bytes: u64,
        /// The limit.
        cap: u64,
    },
    /// The disk, or the folder.
    #[error("cannot {action} {}: {source}; check the disk's free space and who may write there", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Bytes that were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file they stood in, its name.
    pub file: String,
    /// First byte.
    pub from: u64,
    /// The byte behind the last.
    pub to: u64,
    /// What is wrong.
    pub why: String,
    /// The copy; `None` when it could not be made.
    pub kept: Option<PathBuf>,
    /// Whether a crash in the middle of an append explains it.
    pub is_torn: bool,
}

/// An entry that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was appended.
    pub payload: Vec<u8>,
    from: u64,
    to: u64,
}

#[derive(Debug)]
struct Listed {
    number: u64,
    bytes: u64,
}

/// The file that is read.
#[derive(Debug)]
struct Reading {
    number: u64,
    bytes: Vec<u8>,
    /// Everything before it is acknowledged.
    acknowledged: usize,
    /// Everything before it was given out.
    given: usize,
}

/// The queue; see the module's documentation.
#[derive(Debug)]
pub struct Spill {
    options: SpillOptions,
    /// Oldest first; the last may be the one that is written.
    files: VecDeque<Listed>,
    writing: Option<File>,
    is_synced: bool,
    /// File that could not be forced to the disk.
    in_doubt: Option<u64>,
    reading: Option<Reading>,
    damage: Vec<Damage>,
    bytes: u64,
}

impl Spill {
    /// Opens the folder; what an earlier process left there comes first.
    ///
    /// # Errors
    /// When the folder cannot be made or listed.
    pub fn open(options: SpillOptions) -> Result<Self, SpillError> {
        let folder = options.folder.clone();
        let failed =
            |source| SpillError::Io { action: "open the spill", path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".spill")?.parse().ok());
            if let Some(number) = number {
                let bytes = entry.metadata().map_err(failed)?.len();
                files.push(Listed { number, bytes });
            }
        }
        files.sort_by_key(|file| file.number);
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok(Self {
            options,
            files: files.into(),
            writing: None,
            is_synced: true,
            in_doubt: None,
            reading: None,
            damage: Vec::new(),
            bytes,
        })
    }

    /// Whether every entry was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of its files.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its limit, bytes.
    #[must_use]
    pub const fn cap(&self) -> u64 {
        self.options.cap_bytes
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.options.folder
    }

    fn path(&self, number: u64) -> PathBuf {
        self.options.folder.join(format!("{number:010}.spill"))
    }

    /// Appends an entry. It survives the process from here on, and a power cut from the next
    /// [`Spill::sync`] on.
    ///
    /// # Errors
    /// When the limit is reached or the disk refuses; nothing of the entry is kept then.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), SpillError> {
        let entry = file::entry(payload);
        let grows =
            entry.len() as u64 + if self.writing.is_none() { HEADER.len() as u64 } else { 0 };
        if self.bytes + grows > self.options.cap_bytes {
            let folder = self.options.folder.clone();
            return Err(SpillError::Full { folder, bytes: self.bytes, cap: self.cap() });
        }
        if self.writing.is_none() {
            self.begin_file()?;
        }
        let (Some(writing), Some(last)) = (self.writing.as_mut(), self.files.back_mut()) else {
            // Both were just made.
            return Ok(());
        };
        let number = last.number;
        if let Err(source) = file::write_at(writing, last.bytes, &entry) {
            // Half an entry must not stand before the next one. Should this fail too, the reader
            // steps over it: the file is closed either way.
            let cut = writing.set_len(last.bytes);
            tracing::debug!(?cut, "an append to the spill was taken back");
            let path = self.path(number);
            self.close_file();
            return Err(SpillError::Io { action: "append to", path, source });
        }
        last.bytes += entry.len() as u64;
        self.bytes += entry.len() as u64;
        self.is_synced = false;
        if last.bytes >= self.options.file_bytes {
            self.sync()?;
            self.close_file();
        }
        Ok(())
    }

    fn begin_file(&mut self) -> Result<(), SpillError> {
        let newest = self.files.back().map_or(0, |file| file.number);
        let reading = self.reading.as_ref().map_or(0, |reading| reading.number);
        let number = newest.max(reading) + 1;
        let path = self.path(number);
        let made = file::create(&path).and_then(|file| {
            file::write_at(&file, 0, HEADER)?;
            // The name itself must survive too.
            File::open(&self.options.folder)?.sync_all()?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                self.writing = Some(file);
                self.files.push_back(Listed { number, bytes: HEADER.len() as u64 });
                self.bytes += HEADER.len() as u64;
                Ok(())
            }
            Err(source) => {
                // A file without entries says nothing; it is read over and deleted if it stays.
                let removed = fs::remove_file(&path);
                tracing::debug!(?removed, "a file of the spill could not be begun");
                Err(SpillError::Io { action: "begin", path, source })
            }
        }
    }

    fn close_file(&mut self) {
        self.writing = None;
        self.is_synced = true;
    }

    /// Forces everything appended to the disk.
    ///
    /// # Errors
    /// When the disk refuses. What is on it is unknown then: the file is closed, so that the next
    /// entries go into another one, and nothing counts as forced until all of that file was read
    /// back and acknowledged.
    pub fn sync(&mut self) -> Result<(), SpillError> {
        if let Some(number) = self.in_doubt {
            if self.files.iter().any(|file| file.number == number) {
                let source = io::Error::other("an earlier try failed, what is on it is unknown");
                let path = self.path(number);
                return Err(SpillError::Io { action: "force to the disk", path, source });
            }
            self.in_doubt = None;
        }
        let (false, Some(writing)) = (self.is_synced, &self.writing) else { return Ok(()) };
        if let Err(source) = writing.sync_data() {
            let path = self.files.back().map(|file| self.path(file.number)).unwrap_or_default();
            self.close_file();
            self.in_doubt = self.files.back().map(|file| file.number);
            return Err(SpillError::Io { action: "force to the disk", path, source });
        }
        self.is_synced = true;
        Ok(())
    }

    /// The next entries that were not given out yet, of about `limit` bytes together, at least one;
    /// none when there is nothing more in the oldest file. Follow with [`Spill::acknowledge`] or
    /// [`Spill::again`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self, limit: usize) -> Result<Vec<Entry>, SpillError> {
        let mut entries = Vec::new();
        let mut taken = 0;
        while taken < limit || entries.is_empty() {
            if self.reading.is_none() && !self.begin_reading()? {
                break;
            }
            let Some(reading) = self.reading.as_mut() else { break };
            let Scan { item, end } = file::scan(&reading.bytes, reading.given);
            let from = reading.given as u64;
            reading.given = end;
            match item {
                Scanned::Entry(payload) => {
                    taken += payload.len();
                    let payload = reading.bytes[payload].to_vec();
                    entries.push(Entry { payload, from, to: end as u64 });
                }
                Scanned::Damaged { why, is_torn } => self.set_aside(from, end as u64, why, is_torn),
                Scanned::End if entries.is_empty() => {
                    reading.acknowledged = reading.given;
                    self.finish_reading()?;
                }
                Scanned::End => break,
            }
        }
        Ok(entries)
    }

    fn begin_reading(&mut self) -> Result<bool, SpillError> {
        let Some(oldest) = self.files.front() else { return Ok(false) };
        let number = oldest.number;
        if self.files.len() == 1 {
            // The one that is written: what comes goes into another.
            self.sync()?;
            self.close_file();
        }
        let path = self.path(number);
        let bytes =
            fs::read(&path).map_err(|source| SpillError::Io { action: "read", path, source })?;
        let start = if bytes.starts_with(HEADER) { HEADER.len() } else { 0 };
        self.reading = Some(Reading { number, bytes, acknowledged: start, given: start });
        Ok(true)
    }

    /// The file that was read has nothing more: it goes.
    fn finish_reading(&mut self) -> Result<(), SpillError> {
        let Some(reading) = self.reading.take() else { return Ok(()) };
        let path = self.path(reading.number);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                // It is tried again with the next look; its entries are harmless.
                self.reading = Some(reading);
                return Err(SpillError::Io { action: "delete", path, source });
            }
            _ => {}
        }
        if let Some(gone) = self.files.pop_front() {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
        Ok(())
    }

    /// Everything given out is stored elsewhere now.
    ///
    /// # Errors
    /// When a file that is done cannot be deleted.
    pub fn acknowledge(&mut self) -> Result<(), SpillError> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        reading.acknowledged = reading.given;
        let is_done = matches!(file::scan(&reading.bytes, reading.given).item, Scanned::End);
        if is_done { self.finish_reading() } else { Ok(()) }
    }

    /// What was given out and not acknowledged is given out again.
    pub fn again(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.given = reading.acknowledged;
        }
    }

    /// Sets an entry aside whose payload cannot be used.
    pub fn reject(&mut self, entry: &Entry, why: &str) {
        self.set_aside(entry.from, entry.to, why.to_owned(), false);
    }

    fn set_aside(&mut self, from: u64, to: u64, why: String, is_torn: bool) {
        let Some(reading) = &self.reading else { return };
        let file = format!("{:010}.spill", reading.number);
        let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(0);
        let bytes = reading.bytes.get(range).unwrap_or_default();
        let folder = self.options.folder.join("quarantine");
        let path = folder.join(format!("{file}.{from}-{to}"));
        let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, bytes));
        if let Err(error) = &kept {
            tracing::error!(path = %path.display(), %error, "damaged bytes of the spill could not be copied");
        }
        let kept = kept.ok().map(|()| path);
        let damage = Damage { file, from, to, why, kept, is_torn };
        // Entries are read again after a failure of the database; their damage is told once.
        if !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }

    /// The damage found since the last call.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }
}

#[cfg(test)]
mod tests;
