//! Recorder: everything that is to be kept, in batches, off the hot path.
//!
//! Gathers what the other actors send and writes it in large transactions: when enough rows have
//! come together, or when some time has passed and nothing more is waiting.
//!
//! **Database away** (or slow beyond its deadline, full, read-only): a circuit opens, and rows go
//! into the [spill](crate::store::spill) on disk, in the order in which they came. A task beside
//! asks the database again after a growing pause, so that nobody waits for it here. When it is
//! back, the spilled rows are written oldest first, a bounded batch at a time; as long as there are
//! any, new trades, bars, scores and advice queue up behind them, because an older row must not
//! come after a newer one, while events and refused input, which are written once, go straight to
//! the database. **Spill full** or the disk: the Recorder stops reading its inbox, and the pressure
//! goes back to the journal; health says so. Without a spill (a replay) rows wait in memory, up to
//! the writer's bound.
//!
//! **Durable.** [`Recorder::secure`] is the point where everything taken in so far is in the
//! database, or in the spill and forced to the disk. A spilled row counts as stored.
//!
//! **Dies:** writer and spill outlive the actor; writing twice changes nothing. **The process
//! dies:** the next one writes what is spilled first.

mod keep;
mod outage;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::keep::Keep;
use self::outage::{Outage, Refuge};
use super::limits::RECORDER_INBOX;
use super::supervision::{Cursor, Envelope, Inbox, Policy, Stage, StageError};
use crate::market::Directory;
use crate::messages::health::HealthRegistry;
use crate::messages::{Checkpoints, Reject, StoreBatch};
use crate::store::{Database, RowCounts, Spill, StoreError, StoreWriter, WriterOptions};

/// Longest time spent on spilled rows while messages wait, and while none do.
const DRAIN_WITHIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// Shortest pause while nothing takes rows.
const PATIENCE: Duration = Duration::from_millis(50);
/// Longest time the database gets at a stop; what it has not taken by then is spilled.
const LAST_WRITE: Duration = Duration::from_secs(2);

impl Envelope for StoreBatch {
    fn records(&self) -> usize {
        1
    }

    fn poison(&self, _: usize, stage: &'static str, why: &str) -> Reject {
        let payload = super::reject::excerpt(format!("{self:?}").as_bytes());
        let source = "recorder".to_owned();
        Reject { stage, source, reason: "poison", detail: why.to_owned(), payload, at: None }
    }
}

/// What the Recorder is made of.
#[derive(Clone)]
pub struct RecorderParts {
    /// Where rows wait; whoever has something to store takes an edge to it.
    pub inbox: Inbox<Arc<StoreBatch>>,
    /// The database; `None` in a dry run, where every step but the writing is done.
    pub database: Option<Database>,
    /// Why it was away at the start; `None` when it answered.
    pub away: Option<String>,
    /// Rows on their way; outlives the actor.
    pub writer: Arc<Mutex<StoreWriter>>,
    /// Where rows go while the database is away; outlives the actor. `None`: nowhere.
    pub spill: Option<Arc<parking_lot::Mutex<Spill>>>,
    /// Rows that make a write worth its while.
    pub batch_rows: usize,
    /// Longest time rows wait when no more come.
    pub flush_every: Duration,
    /// Where it says how the database is.
    pub health: HealthRegistry,
    /// Where it says which checkpoints have everything stored.
    pub checkpoints: Checkpoints,
}

/// An inbox for a Recorder.
#[must_use]
pub fn inbox() -> Inbox<Arc<StoreBatch>> {
    Inbox::new(Recorder::NAME, RECORDER_INBOX, Policy::Block)
}

/// The actor's state.
pub struct Recorder {
    parts: RecorderParts,
    taken: Vec<StoreBatch>,
    /// Checkpoints whose rows are with the writer.
    checkpoints: Vec<u64>,
    last_write: Instant,
    outage: Outage,
    keep: Option<Keep>,
    /// Asks a database that is away.
    probe: Option<JoinHandle<Result<(), StoreError>>>,
    stopping: bool,
}

impl Recorder {
    /// A Recorder over `parts`.
    #[must_use]
    pub fn new(parts: RecorderParts) -> Self {
        let mut outage = Outage::new(parts.health.clone());
        if let Some(cause) = &parts.away {
            outage.begin_open(cause);
        }
        let keep = parts.spill.clone().map(Keep::new);
        Self {
            parts,
            taken: Vec::new(),
            checkpoints: Vec::new(),
            last_write: Instant::now(),
            outage,
            keep,
            probe: None,
            stopping: false,
        }
    }

    /// Brings everything taken in so far to a safe place: the database, or the spill, forced to
    /// the disk. False when neither takes it; then it is still in memory, and the call is to be
    /// repeated. This is the one place where a message counts as stored for good.
    pub async fn secure(&mut self) -> bool {
        let Some(database) = self.parts.database.clone() else {
            self.parts.writer.lock().await.discard();
            return true;
        };
        let may_write = !self.is_spilling() && self.outage.may_try();
        if may_write && self.write(&database).await {
            return true;
        }
        self.spill_all().await
    }

    /// Whether rows go to the spill: because the database is away, or because older ones are there.
    fn is_spilling(&self) -> bool {
        self.outage.is_open() || self.keep.as_ref().is_some_and(|keep| !keep.is_empty())
    }

    /// Moves what waits into the spill and forces it to the disk. False when it finds no room.
    async fn spill_all(&mut self) -> bool {
        let Some(keep) = &mut self.keep else { return false };
        let mut writer = self.parts.writer.lock().await;
        keep.put(&mut writer, StoreWriter::take_waiting).and_then(|()| keep.sync()).is_ok()
    }

    /// Moves into the spill what belongs there as things are. False when it finds no room: it stays
    /// in the writer then, and the state says why.
    async fn spill_some(&mut self) -> bool {
        if !self.is_spilling() {
            return true;
        }
        let is_open = self.outage.is_open();
        let Some(keep) = &mut self.keep else { return true };
        let mut writer = self.parts.writer.lock().await;
        let take = if is_open { StoreWriter::take_waiting } else { StoreWriter::take_ordered };
        keep.put(&mut writer, take).is_ok()
    }

    /// Writes what the writer holds. False when the database fails.
    async fn write(&mut self, database: &Database) -> bool {
        self.last_write = Instant::now();
        let outcome = self.parts.writer.lock().await.flush(database).await;
        self.note(outcome)
    }

    fn note(&mut self, outcome: Result<RowCounts, StoreError>) -> bool {
        match outcome {
            Ok(rows) => {
                for (table, count) in rows.iter().filter(|(_, count)| *count > 0) {
                    metrics::counter!("bongsu_store_rows_total", "table" => table.as_str())
                        .increment(count);
                }
                self.outage.succeeded();
                true
            }
            Err(error) => {
                self.outage.failed(&error);
                false
            }
        }
    }

    /// Everything that was taken in is in a safe place.
    fn tell_stored(&mut self) {
        for number in self.checkpoints.drain(..) {
            self.parts.checkpoints.stored(number);
        }
    }

    /// A checkpoint that waits is complete when nothing is in memory only. While rows go to the
    /// spill, they are forced to the disk for it; else the next write is near enough.
    async fn settle_checkpoints(&mut self) {
        if self.checkpoints.is_empty() {
            return;
        }
        let is_safe = match self.is_spilling() {
            true => self.secure().await,
            false => self.parts.writer.lock().await.pending() == 0,
        };
        if is_safe {
            self.tell_stored();
        }
    }

    /// Hands a message to the writer; while the writer is full, makes room.
    async fn push(&mut self, batch: StoreBatch) {
        let mut batch = batch;
        loop {
            let refused = self.parts.writer.lock().await.push(batch);
            match refused {
                Ok(()) => return,
                Err(back) => batch = back,
            }
            if !self.secure().await {
                self.tell();
                tokio::time::sleep(self.outage.wait().max(PATIENCE)).await;
                self.make_room().await;
            }
        }
    }

    /// Nothing takes rows: whether the database does again, and makes room in the spill.
    async fn make_room(&mut self) {
        if let Some(database) = self.parts.database.clone()
            && self.ask().await
            && self.outage.may_try()
        {
            self.drain(&database, false).await;
        }
    }

    /// Asks a database that is away, beside: true when it has answered.
    async fn ask(&mut self) -> bool {
        if !self.outage.is_open() {
            return true;
        }
        let Some(database) = &self.parts.database else { return true };
        match &mut self.probe {
            None if self.outage.may_try() => {
                let database = database.clone();
                self.probe = Some(tokio::spawn(async move { database.prepare().await }));
                false
            }
            Some(probe) if probe.is_finished() => {
                let answer = probe.await;
                self.probe = None;
                match answer {
                    Ok(Ok(())) => {
                        self.outage.succeeded();
                        true
                    }
                    Ok(Err(error)) => {
                        self.outage.failed(&error);
                        false
                    }
                    Err(panicked) => {
                        tracing::error!(%panicked, "the task that asks the database died");
                        false
                    }
                }
            }
            _ => false,
        }
    }

    /// Writes spilled rows for a while. False when the database fails.
    async fn drain(&mut self, database: &Database, idle: bool) -> bool {
        let began = Instant::now();
        let directory = self.parts.writer.lock().await.directory().clone();
        while began.elapsed() < DRAIN_WITHIN[usize::from(idle)] && !self.stopping {
            let Some(keep) = &mut self.keep else { return true };
            let mut rejects = Vec::new();
            let make = || new_writer(&directory);
            let outcome = keep.write_some(database, make, &mut rejects).await;
            self.parts.writer.lock().await.push_rejects(rejects);
            match outcome {
                Ok(None) => return true,
                Ok(Some(rows)) => self.note(Ok(rows)),
                Err(error) => return self.note(Err(error)),
            };
        }
        true
    }

    async fn work(&mut self, idle: bool) {
        let Some(database) = self.parts.database.clone() else {
            self.parts.writer.lock().await.discard();
            return;
        };
        let in_order = self.spill_some().await;
        if !self.ask().await || !self.outage.may_try() {
            return;
        }
        if self.is_spilling() && !self.drain(&database, idle).await {
            return;
        }
        // What should be behind the spilled rows must not overtake them.
        if !in_order && self.is_spilling() {
            return;
        }
        let pending = self.parts.writer.lock().await.pending();
        let waited = self.last_write.elapsed() >= self.parts.flush_every;
        let due = pending >= self.parts.batch_rows || (pending > 0 && idle && waited);
        if due && self.write(&database).await && !self.is_spilling() {
            self.tell_stored();
        }
    }

    /// The last write: the database gets a moment, the spill gets the rest.
    async fn end(&mut self) {
        let in_time = tokio::time::timeout(LAST_WRITE, self.secure()).await;
        let is_safe = matches!(in_time, Ok(true)) || self.spill_all().await;
        if is_safe {
            self.tell_stored();
        } else {
            let rows = self.parts.writer.lock().await.pending();
            tracing::error!(
                rows,
                "the database is away at the stop and the spill takes no more: these rows are not stored, their frames are in the journal"
            );
        }
    }

    fn tell(&mut self) {
        if self.parts.database.is_some() {
            let refuge = self.keep.as_ref().map_or(Refuge::Memory, Keep::refuge);
            self.outage.tell(&refuge);
        }
    }
}

fn new_writer(directory: &Directory) -> StoreWriter {
    StoreWriter::new(directory.clone(), WriterOptions::default())
}

impl Stage for Recorder {
    type In = StoreBatch;
    type Snapshot = ();
    const NAME: &'static str = "recorder";

    fn handle(&mut self, batch: &Arc<StoreBatch>, cursor: &Cursor) -> Result<(), StageError> {
        if cursor.enter(0) {
            self.taken.push(StoreBatch::clone(batch));
        }
        Ok(())
    }

    async fn flush(&mut self, idle: bool) -> Result<(), StageError> {
        for batch in std::mem::take(&mut self.taken) {
            match batch {
                StoreBatch::Checkpoint(number) => self.checkpoints.push(number),
                batch => self.push(batch).await,
            }
        }
        if self.stopping {
            self.end().await;
        } else {
            self.work(idle).await;
            self.settle_checkpoints().await;
        }
        self.tell();
        Ok(())
    }

    fn discard(&mut self) {
        self.taken.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}

    fn wake_every(&self) -> Option<Duration> {
        Some(self.parts.flush_every)
    }

    fn stopping(&mut self) -> Result<(), StageError> {
        self.stopping = true;
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(probe) = &self.probe {
            probe.abort();
        }
    }
}

#[cfg(test)]
mod tests;
