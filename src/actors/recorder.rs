//! Recorder: everything that is to be kept, in batches, off the hot path.
//!
//! Gathers what the other actors send and writes it in large transactions: when enough rows have
//! come together, or when some time has passed and nothing more is waiting.
//!
//! **Database away:** rows stay in the writer, up to its bound; the Recorder tries again with a
//! growing delay and, when the bound is reached, stops reading its inbox, so that the pressure
//! goes back to the journal. **Dies:** the writer outlives the actor; writing twice changes
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::supervision::{Cursor, Envelope, Stage, StageError};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{Checkpoints, Reject, StoreBatch};
use crate::store::{Database, StoreWriter};

/// First delay after a failed write.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest delay.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long a database that failed may take to show that it is back. Waiting for a connection
/// takes much longer, and while the Recorder waits, its inbox fills and the pipeline waits with it.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

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
    /// The database; `None` in a dry run, where every step but the writing is done.
    pub database: Option<Database>,
    /// Rows on their way; outlives the actor.
    pub writer: Arc<Mutex<StoreWriter>>,
    /// Rows that make a write worth its while.
    pub batch_rows: usize,
    /// Longest time rows wait when no more come.
    pub flush_every: Duration,
    /// Where it says how the database is.
    pub health: HealthRegistry,
    /// Where it says which checkpoints have everything stored.
    pub checkpoints: Checkpoints,
}

/// The actor's state.
pub struct Recorder {
    parts: RecorderParts,
    taken: Vec<StoreBatch>,
    /// Checkpoints whose rows are with the writer.
    checkpoints: Vec<u64>,
    last_write: Instant,
    retry: Duration,
    retry_at: Option<Instant>,
    stopping: bool,
}

impl Recorder {
    /// A Recorder over `parts`.
    #[must_use]
    pub fn new(parts: RecorderParts) -> Self {
        Self {
            parts,
            taken: Vec::new(),
            checkpoints: Vec::new(),
            last_write: Instant::now(),
            retry: RETRY_FIRST,
            retry_at: None,
            stopping: false,
        }
    }

    /// Writes what the writer holds. False when the database is away.
    async fn write(&mut self) -> bool {
        self.last_write = Instant::now();
        let mut writer = self.parts.writer.lock().await;
        let Some(database) = &self.parts.database else {
            writer.discard();
            drop(writer);
            self.tell_stored();
            return true;
        };
        let outcome = if self.retry_at.is_some() && !answers(database).await {
            Err("it still does not answer".to_owned())
        } else {
            writer.flush(database).await.map_err(|error| error.to_string())
        };
        match outcome {
            Ok(rows) => {
                for (table, count) in rows.iter().filter(|(_, count)| *count > 0) {
                    metrics::counter!("bongsu_store_rows_total", "table" => table.as_str())
                        .increment(count);
                }
                if self.retry_at.take().is_some() || self.retry != RETRY_FIRST {
                    tracing::info!("the database takes rows again");
                }
                self.retry = RETRY_FIRST;
                self.parts.health.set(Component::Database, HealthState::Up);
                drop(writer);
                self.tell_stored();
                true
            }
            Err(error) => {
                tracing::error!(%error, retry_in = ?self.retry, "rows could not be written, they are kept");
                self.parts.health.set(Component::Database, HealthState::down(error));
                self.retry_at = Some(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(RETRY_MAX);
                false
            }
        }
    }

    /// Everything that was taken in is stored.
    fn tell_stored(&mut self) {
        for number in self.checkpoints.drain(..) {
            self.parts.checkpoints.stored(number);
        }
    }

    /// Hands a message to the writer; waits for the database while the writer is full.
    async fn push(&mut self, batch: StoreBatch) {
        let mut batch = batch;
        loop {
            let refused = self.parts.writer.lock().await.push(batch);
            match refused {
                Ok(()) => return,
                Err(back) => batch = back,
            }
            if !self.write().await {
                tokio::time::sleep(self.retry).await;
            }
        }
    }
}

/// Whether a database that failed works again.
async fn answers(database: &Database) -> bool {
    matches!(tokio::time::timeout(ANSWER_WITHIN, database.ping()).await, Ok(Ok(())))
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
        let pending = self.parts.writer.lock().await.pending();
        if pending == 0 {
            self.tell_stored();
        }
        let waited = self.last_write.elapsed() >= self.parts.flush_every;
        let due = pending >= self.parts.batch_rows || (pending > 0 && idle && waited);
        let may = self.retry_at.is_none_or(|at| at <= Instant::now());
        let written = if (due && may) || self.stopping { self.write().await } else { true };
        if self.stopping && !written {
            let rows = self.parts.writer.lock().await.pending();
            tracing::error!(
                rows,
                "the database is away at the stop: these rows are not written, their frames are in the journal"
            );
        }
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
