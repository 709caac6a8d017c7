//! A place in the tree: what stays when the actor that worked there is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Cursor, Envelope, ExitReason, Inbox, Stage};
use crate::messages::Reject;

/// A record that was skipped because it kept its handler from going on.
#[derive(Debug, Clone)]
pub struct Poison {
    /// Name of the stage.
    pub stage: &'static str,
    /// Why, for the log.
    pub why: String,
    /// What to keep of it.
    pub reject: Reject,
}

/// Where poison records go.
pub type PoisonSink = Arc<dyn Fn(Poison) + Send + Sync>;

/// Records after which a snapshot is taken. With a state of about 1 KiB an issue and 4,000 issues
/// a snapshot copies some 4 MiB, a millisecond or so; 65,536 records take at least 30 ms to
/// process, so snapshots stay within a few per cent.
const SNAPSHOT_EVERY_RECORDS: usize = 65_536;
/// The same, in messages, so that a quiet feed does not keep thousands of small ones.
const SNAPSHOT_EVERY_MESSAGES: usize = 1_024;
/// The same, in bytes of payload, so that long frames do not add up.
const SNAPSHOT_EVERY_BYTES: usize = 32 << 20;

pub(super) struct Entry<M> {
    pub(super) message: Arc<M>,
    pub(super) skip: Vec<u32>,
}

impl<M> Clone for Entry<M> {
    fn clone(&self) -> Self {
        Self { message: Arc::clone(&self.message), skip: self.skip.clone() }
    }
}

struct Memory<S: Stage> {
    snapshot: Option<S::Snapshot>,
    /// Handled and flushed since the snapshot.
    done: Vec<Entry<S::In>>,
    done_records: usize,
    done_bytes: usize,
    in_flight: Option<Entry<S::In>>,
    /// Times the message in flight was given up outside a record.
    failures_outside: u32,
    /// The record a fenced generation was stuck in.
    stuck: Option<usize>,
}

/// What an actor is doing, for the watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Activity {
    /// Not running.
    Absent = 0,
    /// Waiting for a message, or paused.
    Idle = 1,
    /// Computing: must make progress.
    Busy = 2,
    /// Waiting for something known to be slow: start-up, a send, I/O with a limit of its own.
    Protected = 3,
}

struct Inner<S: Stage> {
    inbox: Inbox<Arc<S::In>>,
    memory: Mutex<Memory<S>>,
    generation: AtomicU64,
    activity: AtomicU8,
    /// What the running generation was asked: 0 nothing, 1 to drain and end, 2 to end. Here and
    /// not only in a control message, because a generation that is still being made has no
    /// address for one.
    halt: AtomicU8,
    /// Messages that were handled, or given up for good.
    completed: AtomicU64,
    /// Of the running generation; one that was fenced keeps its own.
    cursor: Mutex<Cursor>,
}

/// The inbox of a stage, the last snapshot of its state, the messages since, and the message in
/// work. Owned by the supervisor, lent to one generation of the actor at a time.
pub struct Slot<S: Stage> {
    inner: Arc<Inner<S>>,
}

impl<S: Stage> Clone for Slot<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Stage> Slot<S> {
    /// A slot around `inbox`.
    #[must_use]
    pub fn new(inbox: Inbox<Arc<S::In>>) -> Self {
        let memory = Memory {
            snapshot: None,
            done: Vec::new(),
            done_records: 0,
            done_bytes: 0,
            in_flight: None,
            failures_outside: 0,
            stuck: None,
        };
        Self {
            inner: Arc::new(Inner {
                inbox,
                memory: Mutex::new(memory),
                generation: AtomicU64::new(0),
                activity: AtomicU8::new(Activity::Absent as u8),
                halt: AtomicU8::new(0),
                completed: AtomicU64::new(0),
                cursor: Mutex::new(Cursor::default()),
            }),
        }
    }

    /// The same, with a state for the first generation to begin with.
    #[must_use]
    pub fn begin_with(self, state: Option<S::Snapshot>) -> Self {
        self.inner.memory.lock().snapshot = state;
        self
    }

    /// The inbox.
    #[must_use]
    pub fn inbox(&self) -> &Inbox<Arc<S::In>> {
        &self.inner.inbox
    }

    /// Whether every message its inbox ever took in was handled, effects included. Exact for an
    /// inbox that blocks; one that sheds may never look quiet.
    pub(crate) fn is_quiet(&self) -> bool {
        // This order: what is counted as completed was accepted before.
        let completed = self.inner.completed.load(Ordering::Acquire);
        self.inner.inbox.stats().accepted == completed
    }

    pub(super) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Makes every earlier generation an outsider: its effects are refused from now on.
    pub(super) fn advance_generation(&self) -> u64 {
        let generation = {
            // Under the same lock as `take`: an earlier generation has taken its message before
            // this, or it gets none.
            let _memory = self.inner.memory.lock();
            *self.inner.cursor.lock() = Cursor::default();
            self.inner.halt.store(0, Ordering::SeqCst);
            self.inner.generation.fetch_add(1, Ordering::AcqRel) + 1
        };
        self.inner.inbox.rouse();
        generation
    }

    /// Notes that the running generation is to end.
    pub(super) fn ask_halt(&self, drain: bool) {
        self.inner.halt.store(if drain { 1 } else { 2 }, Ordering::SeqCst);
    }

    /// Whether the running generation was asked to end, and to drain its inbox before.
    pub(super) fn halt(&self) -> Option<bool> {
        match self.inner.halt.load(Ordering::SeqCst) {
            0 => None,
            wish => Some(wish == 1),
        }
    }

    /// Advances the generation because the running one is stuck, and remembers in which record.
    pub(super) fn fence(&self) {
        let stuck_cursor = self.cursor();
        self.advance_generation();
        self.inner.memory.lock().stuck = stuck_cursor.record();
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.inner.cursor.lock().clone()
    }

    pub(super) fn activity(&self) -> Activity {
        match self.inner.activity.load(Ordering::Relaxed) {
            1 => Activity::Idle,
            2 => Activity::Busy,
            3 => Activity::Protected,
            _ => Activity::Absent,
        }
    }

    pub(super) fn set_activity(&self, generation: u64, activity: Activity) {
        if self.generation() == generation {
            self.inner.activity.store(activity as u8, Ordering::Relaxed);
        }
    }

    /// The message an earlier generation left in work.
    pub(super) fn resume(&self) -> Option<Entry<S::In>> {
        self.inner.memory.lock().in_flight.clone()
    }

    /// Takes the next message of the inbox into work, for the running generation only.
    pub(super) fn take(&self, generation: u64) -> Option<Entry<S::In>> {
        let mut memory = self.inner.memory.lock();
        if self.generation() != generation {
            return None;
        }
        let entry = Entry { message: self.inner.inbox.try_recv()?, skip: Vec::new() };
        memory.in_flight = Some(entry.clone());
        memory.failures_outside = 0;
        // Of an earlier message, whose fate is decided.
        memory.stuck = None;
        Some(entry)
    }

    /// The message in flight was handled and its effects were had.
    pub(super) fn complete(&self, stage: &S, generation: u64) {
        let mut memory = self.inner.memory.lock();
        if self.generation() != generation {
            return;
        }
        let Some(entry) = memory.in_flight.take() else { return };
        self.inner.completed.fetch_add(1, Ordering::AcqRel);
        if std::mem::size_of::<S::Snapshot>() == 0 {
            return;
        }
        memory.done_records += entry.message.records();
        memory.done_bytes += entry.message.bytes();
        memory.done.push(entry);
        if memory.done_records >= SNAPSHOT_EVERY_RECORDS
            || memory.done.len() >= SNAPSHOT_EVERY_MESSAGES
            || memory.done_bytes >= SNAPSHOT_EVERY_BYTES
        {
            memory.snapshot = Some(stage.snapshot());
            memory.done.clear();
            memory.done_records = 0;
            memory.done_bytes = 0;
        }
    }

    /// Keeps the state of an actor that ends in good order.
    pub(super) fn keep(&self, stage: &S) {
        let mut memory = self.inner.memory.lock();
        if std::mem::size_of::<S::Snapshot>() != 0 {
            memory.snapshot = Some(stage.snapshot());
        }
        memory.done.clear();
        memory.done_records = 0;
        memory.done_bytes = 0;
    }

    /// Brings a fresh stage to the state of its predecessor. Returns the messages to feed it again.
    pub(super) fn restore(&self, stage: &mut S) -> Vec<Entry<S::In>> {
        let memory = self.inner.memory.lock();
        if let Some(snapshot) = &memory.snapshot {
            stage.restore(snapshot);
        }
        memory.done.clone()
    }

    /// Forgets the state, keeps the inbox: a sub-tree that starts over starts from nothing.
    pub(super) fn reset(&self) {
        let mut memory = self.inner.memory.lock();
        memory.snapshot = None;
        memory.done.clear();
        memory.done_records = 0;
        memory.done_bytes = 0;
    }

    /// After a failure: marks the record in work as one to skip and says what to keep of it.
    ///
    /// A panic outside any record (in a flush) is met by one more try of the whole message; when
    /// that panics too, every record of it is given up. An error outside any record is the
    /// world's fault, not the message's: it is tried again as often as the tree allows.
    pub(super) fn condemn(&self, reason: &ExitReason) -> Vec<Poison> {
        let why = reason.to_string();
        let cursor = self.cursor();
        let mut memory = self.inner.memory.lock();
        let record = memory.stuck.take().or_else(|| cursor.record());
        cursor.leave();
        let failures_outside = memory.failures_outside;
        let Some(entry) = &mut memory.in_flight else { return Vec::new() };
        let poison = |index: usize, entry: &Entry<S::In>| Poison {
            stage: S::NAME,
            why: why.clone(),
            reject: entry.message.poison(index, S::NAME, &why),
        };
        match record {
            Some(index) => {
                let found = poison(index, entry);
                entry.skip.push(index as u32);
                vec![found]
            }
            None if !matches!(reason, ExitReason::Panicked(_)) => Vec::new(),
            None if failures_outside == 0 => {
                memory.failures_outside = 1;
                Vec::new()
            }
            None => {
                let given_up = (0..entry.message.records())
                    .filter(|index| !entry.skip.contains(&(*index as u32)))
                    .map(|index| poison(index, entry))
                    .collect();
                memory.in_flight = None;
                self.inner.completed.fetch_add(1, Ordering::AcqRel);
                given_up
            }
        }
    }
}
