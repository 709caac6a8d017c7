//! Rows into the spill and out of it again.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::outage::Refuge;
use crate::messages::Reject;
use crate::store::spill::{Damage, Entry};
use crate::store::{Database, RowCounts, Spill, SpillError, StoreError, StoreWriter, Waiting};

/// Bytes read back and written in one go: some ten thousand rows, a second's work at most.
const AT_ONCE: usize = 1 << 20;
/// Longest time between two syncs while rows are spilled.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// The spill with what the Recorder knows of it.
pub(super) struct Keep {
    spill: Arc<Mutex<Spill>>,
    /// Writes what was spilled: bars are made by one writer at a time, and while there is a spill
    /// this is the one.
    writer: Option<StoreWriter>,
    synced: Instant,
    /// Why the last append was refused.
    refused: Option<String>,
}

impl Keep {
    pub(super) fn new(spill: Arc<Mutex<Spill>>) -> Self {
        // A Recorder that died with entries in hand has not written them.
        spill.lock().again();
        Self { spill, writer: None, synced: Instant::now(), refused: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spill.lock().is_empty()
    }

    pub(super) fn refuge(&self) -> Refuge {
        let spill = self.spill.lock();
        metrics::gauge!("bongsu_spill_bytes").set(spill.bytes() as f64);
        match &self.refused {
            Some(why) => Refuge::Full(why.clone()),
            None => Refuge::Spill { bytes: spill.bytes(), cap: spill.cap() },
        }
    }

    /// Appends what `take` takes out of `writer`. What finds no room is put back.
    pub(super) fn put(
        &mut self,
        writer: &mut StoreWriter,
        take: impl FnOnce(&mut StoreWriter) -> Vec<Waiting>,
    ) -> Result<(), SpillError> {
        let spill = Arc::clone(&self.spill);
        let mut spill = spill.lock();
        let mut waiting = take(writer).into_iter();
        let mut outcome = Ok(());
        for rows in waiting.by_ref() {
            outcome = match rows.encode() {
                Ok(bytes) => spill.append(&bytes),
                // Plain data: it always encodes. If not, memory is still there for it.
                Err(error) => {
                    tracing::error!(%error, "rows cannot be encoded for the spill");
                    writer.put_back(rows.clone());
                    Ok(())
                }
            };
            if outcome.is_err() {
                writer.put_back(rows);
                break;
            }
            metrics::counter!("bongsu_spill_entries_total", "way" => "in").increment(1);
        }
        waiting.for_each(|rows| writer.put_back(rows));
        if outcome.is_ok() && self.synced.elapsed() >= SYNC_EVERY {
            self.synced = Instant::now();
            outcome = spill.sync();
        }
        self.note(&outcome);
        outcome
    }

    /// Forces what was appended to the disk.
    pub(super) fn sync(&mut self) -> Result<(), SpillError> {
        self.synced = Instant::now();
        let outcome = self.spill.lock().sync();
        self.note(&outcome);
        outcome
    }

    fn note(&mut self, outcome: &Result<(), SpillError>) {
        match outcome {
            Ok(()) => self.refused = None,
            Err(error) => {
                let why = error.to_string();
                if self.refused.as_ref() != Some(&why) {
                    tracing::error!(%error, "rows find no room, the pipeline waits");
                }
                self.refused = Some(why);
            }
        }
    }

    /// Writes the oldest spilled rows; none when there are none left. Rejects are added for what
    /// could not be read.
    pub(super) async fn write_some(
        &mut self,
        database: &Database,
        make: impl FnOnce() -> StoreWriter,
        rejects: &mut Vec<Reject>,
    ) -> Result<Option<RowCounts>, StoreError> {
        let Some(entries) = self.read(rejects) else {
            self.writer = None;
            return Ok(None);
        };
        let mut writer = self.writer.take().unwrap_or_else(make);
        for entry in &entries {
            match Waiting::decode(&entry.payload) {
                Ok(rows) => writer.put_back(rows),
                Err(why) => self.spill.lock().reject(entry, &why),
            }
        }
        // After a failure the entries are read again, into another writer.
        match writer.flush(database).await {
            Ok(rows) => {
                self.writer = Some(writer);
                let acknowledged = self.spill.lock().acknowledge();
                self.note(&acknowledged);
                metrics::counter!("bongsu_spill_entries_total", "way" => "out")
                    .increment(entries.len() as u64);
                Ok(Some(rows))
            }
            Err(error) => {
                self.spill.lock().again();
                Err(error)
            }
        }
    }

    /// The next entries, `None` when there are none to be had.
    fn read(&mut self, rejects: &mut Vec<Reject>) -> Option<Vec<Entry>> {
        let shared = Arc::clone(&self.spill);
        let mut spill = shared.lock();
        let entries = spill.next(AT_ONCE);
        rejects.extend(spill.take_damage().iter().map(|damage| told(&spill, damage)));
        drop(spill);
        match entries {
            Ok(entries) => (!entries.is_empty()).then_some(entries),
            Err(error) => {
                self.note(&Err(error));
                None
            }
        }
    }
}

/// Damage of the spill as a row of `etl_failures`.
fn told(spill: &Spill, damage: &Damage) -> Reject {
    let Damage { file, from, to, why, kept, is_torn } = damage;
    let place = format!("{} bytes {from} to {to}", spill.folder().join(file).display());
    let kept = match kept {
        Some(path) => format!("the bytes are in {}", path.display()),
        None => "the bytes could not be kept".to_owned(),
    };
    if *is_torn {
        tracing::warn!(place, why, kept, "the spill ends where an earlier run was cut off");
    } else {
        tracing::error!(place, why, kept, "a part of the spill cannot be read and is left out");
    }
    metrics::counter!("bongsu_rejects_total", "reason" => "damaged_spill").increment(1);
    Reject {
        stage: "recorder",
        source: "spill".to_owned(),
        reason: "damaged_spill",
        detail: format!("{place}: {why}; {kept}"),
        payload: String::new(),
        at: None,
    }
}
