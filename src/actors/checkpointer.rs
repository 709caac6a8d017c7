//! Keeps checkpoints: takes what is complete from the desk and writes it to the disk.
//!
//! A thread of its own, because writing states out takes tens of milliseconds for thousands of
//! issues, and forcing a file to the disk as long as the disk likes. A checkpoint that cannot be
//! written costs a longer tail at the next start, nothing else: it is logged and counted, and the
//! next one comes in its time.

use std::path::Path;
use std::thread::JoinHandle;

use crate::journal::checkpoint::{self, Fingerprint};
use crate::messages::checkpoint::Complete;
use crate::messages::{Checkpoints, SegmentUse};

/// Writes checkpoints until the desk is closed.
#[derive(Debug)]
pub struct Checkpointer {
    desk: Checkpoints,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        desk: Checkpoints,
        data_dir: &Path,
        fingerprint: Fingerprint,
        segments: SegmentUse,
    ) -> std::io::Result<Self> {
        let own = desk.clone();
        let folder = checkpoint::folder(data_dir);
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(move || {
            while let Some(complete) = own.next() {
                count("given_up", own.take_given_up());
                keep(complete, &folder, fingerprint, &segments);
            }
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Writes what is complete, and ends.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.desk.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes checkpoints panicked");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

fn count(outcome: &'static str, times: u64) {
    if times > 0 {
        metrics::counter!("bongsu_checkpoints_total", "outcome" => outcome).increment(times);
    }
}

fn keep(
    complete: Complete,
    folder: &std::path::Path,
    fingerprint: Fingerprint,
    segments: &SegmentUse,
) {
    let Complete { position, states, began } = complete;
    match write(folder, fingerprint, position, states) {
        Ok(oldest) => {
            segments.note_needed_from(oldest.segment);
            count("written", 1);
            let now = super::ingest::wall_micros() as f64 / 1e6;
            metrics::gauge!("bongsu_checkpoint_last_success_timestamp_seconds").set(now);
            tracing::debug!(%position, took = ?began.elapsed(), "checkpoint");
        }
        Err(error) => {
            count("failed", 1);
            tracing::error!(error, %position, "a checkpoint could not be written; the next start has more to read again");
        }
    }
}

fn write(
    folder: &std::path::Path,
    fingerprint: Fingerprint,
    position: crate::messages::Position,
    states: [crate::messages::checkpoint::Frozen; 3],
) -> Result<crate::messages::Position, String> {
    let [normalizer, scorer, alert] = states;
    let states = [normalizer()?, scorer()?, alert()?];
    checkpoint::write(folder, fingerprint, position, &states).map_err(|error| error.to_string())
}
