//! How much the journal may hold, and which segments go.
//!
//! A segment goes when somebody wants its room (the cap [`JournalOptions::max_bytes`], its age, or
//! a disk with less than [`JournalOptions::min_free_bytes`] left) and nobody needs it any more
//! ([`SegmentUse::may_go`](crate::messages::SegmentUse::may_go)): the oldest first. The one that is
//! written never goes. Where none may go, the journal grows on until the disk is nearly full; then
//! a batch is refused with [`JournalError::NoRoom`] before anything is written.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use super::segment::SegmentInfo;
use super::{JournalError, JournalOptions, segment_path};

/// Bytes that may be written until free space is looked at again.
const LOOK_EVERY: u64 = 16 << 20;

/// A segment that is not written any more.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    segment: u32,
    bytes: u64,
    ended: SystemTime,
}

/// What there is, and what may come.
#[derive(Debug)]
pub(super) struct Room {
    sealed: VecDeque<Sealed>,
    sealed_bytes: u64,
    /// Bytes that may be written before free space is looked at; `None`: now.
    allowed: Option<u64>,
    /// Why the journal holds more than it should.
    over: Option<String>,
    size: metrics::Gauge,
    free: metrics::Gauge,
    deleted: metrics::Counter,
}

impl Room {
    pub(super) fn new(found: &[SegmentInfo]) -> Self {
        let sealed: VecDeque<Sealed> = found
            .iter()
            .map(|info| Sealed { segment: info.segment, bytes: info.bytes, ended: info.modified })
            .collect();
        Self {
            sealed_bytes: sealed.iter().map(|sealed| sealed.bytes).sum(),
            sealed,
            allowed: None,
            over: None,
            size: metrics::gauge!("bongsu_journal_size_bytes"),
            free: metrics::gauge!("bongsu_journal_free_bytes"),
            deleted: metrics::counter!("bongsu_journal_segments_deleted_total"),
        }
    }

    /// A segment is finished.
    pub(super) fn seal(&mut self, segment: u32, bytes: u64) {
        self.sealed.push_back(Sealed { segment, bytes, ended: SystemTime::now() });
        self.sealed_bytes += bytes;
    }

    /// Whether `bytes` may be written now, with room made for them if need be.
    pub(super) fn admit(
        &mut self,
        options: &JournalOptions,
        bytes: u64,
    ) -> Result<(), JournalError> {
        if let Some(left) = self.allowed.and_then(|allowed| allowed.checked_sub(bytes)) {
            self.allowed = Some(left);
            return Ok(());
        }
        loop {
            let free = free_bytes(&options.folder)?;
            self.free.set(free as f64);
            if options.min_free_bytes == 0 {
                // The disk itself says when it is full.
                self.allowed = Some(LOOK_EVERY);
                return Ok(());
            }
            let needed = options.min_free_bytes.saturating_add(bytes);
            if let Some(spare) = free.checked_sub(needed) {
                self.allowed = Some((spare / 4).min(LOOK_EVERY));
                return Ok(());
            }
            if !self.delete_oldest(options, "the disk is nearly full") {
                let kept = self.why_none_goes(options);
                let (folder, min_free) = (options.folder.clone(), options.min_free_bytes);
                return Err(JournalError::NoRoom { folder, free, min_free, kept });
            }
        }
    }

    /// Time has passed: the next batch looks at the disk.
    pub(super) fn look_again(&mut self) {
        self.allowed = None;
    }

    /// A write failed for this reason. A full disk takes what nobody needs.
    pub(super) fn failed(&mut self, options: &JournalOptions, error: &JournalError) {
        self.allowed = None;
        if matches!(error, JournalError::Io { source, .. } if source.kind() == ErrorKind::StorageFull)
        {
            self.delete_oldest(options, "the disk is full");
        }
    }

    /// Lets go what is too much or too old, `current` being the bytes of the open segment.
    pub(super) fn enforce(&mut self, options: &JournalOptions, current: u64) {
        loop {
            let total = self.sealed_bytes + current;
            let too_much = total > options.max_bytes;
            let too_old = self.sealed.front().is_some_and(|oldest| {
                options.keep.is_some_and(|keep| oldest.ended.elapsed().is_ok_and(|age| age >= keep))
            });
            let why = if too_much { "the journal's cap" } else { "its age" };
            if !(too_much || too_old) || !self.delete_oldest(options, why) {
                self.over = too_much.then(|| {
                    format!(
                        "it holds {} MiB, more than journal.max_gib ({} MiB): {}; it grows on until the disk is nearly full",
                        total >> 20,
                        options.max_bytes >> 20,
                        self.why_none_goes(options)
                    )
                });
                break;
            }
        }
        self.size.set((self.sealed_bytes + current) as f64);
    }

    /// Why the journal holds more than it should, if it does.
    pub(super) fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    fn why_none_goes(&self, options: &JournalOptions) -> String {
        match self.sealed.front() {
            None => "the segment being written is all there is".to_owned(),
            Some(Sealed { segment, .. }) => match options.segment_use.why_kept(*segment) {
                Some(why) => format!("segment {segment} is kept because {why}"),
                None => format!("segment {segment} cannot be deleted, see the log"),
            },
        }
    }

    /// Deletes the oldest segment, if it may go and can.
    fn delete_oldest(&mut self, options: &JournalOptions, reason: &'static str) -> bool {
        let Some(oldest) = self.sealed.front().copied() else { return false };
        let segment = oldest.segment;
        if !options.segment_use.may_go(segment) {
            return false;
        }
        let path = segment_path(&options.folder, segment);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::error!(segment, path = %path.display(), %error, "a segment nobody needs cannot be deleted");
                return false;
            }
            // Somebody else has deleted it: as well.
            Ok(()) | Err(_) => {}
        }
        self.sealed.pop_front();
        self.sealed_bytes -= oldest.bytes;
        self.deleted.increment(1);
        tracing::info!(segment, bytes = oldest.bytes, reason, "a segment nobody needs is deleted");
        true
    }
}

/// Bytes that a process without privileges may still write on the disk of `folder`.
fn free_bytes(folder: &Path) -> Result<u64, JournalError> {
    let found = rustix::fs::statvfs(folder)
        .map_err(|error| JournalError::io("ask for the free space of", folder, error.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
