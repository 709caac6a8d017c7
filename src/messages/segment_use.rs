//! Which of the journal's segments are still needed, and by whom: said by those who need them,
//! asked by the one who deletes.
//!
//! A segment may go when both hold:
//! - **recovery** no longer starts in it: no checkpoint that is kept stands for a position in it
//!   or before it;
//! - **the archive** has it: what it holds is uploaded and was read back. Where no archive is kept,
//!   nobody waits for one.
//!
//! Nothing may go before recovery has said where it starts. What was said only grows: a later
//! word that names an earlier segment changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shared word of who needs which segments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SegmentUse(Arc<Marks>);

#[derive(Debug)]
struct Marks {
    /// First segment that recovery needs; 0 until it has said so.
    needed_from: AtomicU64,
    /// First segment that is not archived yet; `u64::MAX` where nothing is archived.
    archived_before: AtomicU64,
}

impl SegmentUse {
    /// Nobody has said anything yet. With `archived`, nothing goes before it is archived.
    #[must_use]
    pub fn new(archived: bool) -> Self {
        let archived_before = AtomicU64::new(if archived { 0 } else { u64::MAX });
        Self(Arc::new(Marks { needed_from: AtomicU64::new(0), archived_before }))
    }

    /// Recovery starts in `segment` or later: from the oldest checkpoint that is kept.
    pub fn note_needed_from(&self, segment: u32) {
        self.0.needed_from.fetch_max(segment.into(), Ordering::AcqRel);
    }

    /// `segment` and all before it are in the archive.
    pub fn note_archived(&self, segment: u32) {
        self.0.archived_before.fetch_max(u64::from(segment) + 1, Ordering::AcqRel);
    }

    /// Whether `segment` is needed by nobody any more.
    #[must_use]
    pub fn may_go(&self, segment: u32) -> bool {
        let segment = u64::from(segment);
        segment < self.0.needed_from.load(Ordering::Acquire)
            && segment < self.0.archived_before.load(Ordering::Acquire)
    }

    /// Why `segment` may not go: for the operator whose disk is filling up.
    #[must_use]
    pub fn why_kept(&self, segment: u32) -> Option<&'static str> {
        let segment = u64::from(segment);
        if segment >= self.0.needed_from.load(Ordering::Acquire) {
            Some("a start after a crash would read it")
        } else if segment >= self.0.archived_before.load(Ordering::Acquire) {
            Some("it is not in the archive yet")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_before_recovery_has_spoken() {
        let segments = SegmentUse::new(false);
        assert!(!segments.may_go(1));
        segments.note_needed_from(3);
        assert!(segments.may_go(2));
        assert!(!segments.may_go(3));
        assert_eq!(segments.why_kept(3), Some("a start after a crash would read it"));
    }

    #[test]
    fn nothing_goes_before_it_is_archived_and_marks_never_fall() {
        let segments = SegmentUse::new(true);
        segments.note_needed_from(9);
        assert_eq!(segments.why_kept(1), Some("it is not in the archive yet"));
        segments.note_archived(4);
        segments.note_archived(2);
        segments.note_needed_from(5);
        assert!(segments.may_go(4) && !segments.may_go(5));
        assert_eq!(segments.why_kept(4), None);
    }
}
