//! Archiver: sealed segments of the journal into the archive, one at a time, beside the hot path.
//!
//! A segment is sealed when a later one is there: the newest is the one that is being written, or was
//! when the last process ended. Each is converted on a thread for blocking work, a file at a time, and
//! every file is stored and read back before the next is made; the manifest comes last. Only then is
//! the segment said to be archived ([`SegmentUse::note_archived`]). Nothing is deleted here.
//!
//! **In:** the journal's folder. **Out:** objects, metrics, the health of `archive`. **State:** none
//! that matters: a start asks the object store which segments it has. **The store is away, slow or
//! refuses:** the same segment again after 1 s, doubling up to a minute, and as soon as the store is
//! found to be back, for as long as it takes; later segments wait, so that none is said to be archived before an earlier one. **A segment that cannot be
//! read or converted** is archived as far as it can be, and the segment itself beside it.
//!
//! **Limits:** two files in memory (one being stored, one that waits) besides what the converter holds,
//! see [`crate::store::archive`].

mod convert;
mod upload;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

pub use self::convert::{Converted, convert, segment_id};
pub use self::upload::{ArchiveFailure, archive_segment};
use super::ingest::wall_micros;
use super::supervision::StageError;
use crate::journal::{SegmentInfo, segments};
use crate::messages::{Component, HealthRegistry, HealthState, SegmentUse};
use crate::store::Objects;
use crate::store::archive::{ArchiveLimits, Manifest};

/// What the Archiver is made of.
#[derive(Debug, Clone)]
pub struct ArchiverParts {
    /// Folder of the segments.
    pub journal: PathBuf,
    /// Where they go.
    pub objects: Objects,
    /// Where it is said that a segment is archived.
    pub segments: SegmentUse,
    /// Where to report [`Component::Archive`].
    pub health: HealthRegistry,
    /// Sizes of files.
    pub limits: ArchiveLimits,
    /// Time between two looks into the journal's folder.
    pub every: Duration,
    /// First and longest pause after a failure.
    pub patience: (Duration, Duration),
}

impl ArchiverParts {
    /// The usual limits.
    #[must_use]
    pub fn new(
        journal: PathBuf,
        objects: Objects,
        segments: SegmentUse,
        health: HealthRegistry,
    ) -> Self {
        Self {
            journal,
            objects,
            segments,
            health,
            limits: ArchiveLimits::default(),
            every: Duration::from_secs(2),
            patience: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }
}

/// The segments that are not written to any more, oldest first.
fn sealed(parts: &ArchiverParts, done: &BTreeSet<u32>) -> Result<Vec<SegmentInfo>, ArchiveFailure> {
    let mut found = segments(&parts.journal)?;
    found.pop();
    found.retain(|info| !done.contains(&info.segment));
    Ok(found)
}

/// Archives what is sealed until it is told to stop.
///
/// # Errors
/// None: what fails is told and tried again.
pub async fn run_archiver(
    parts: Arc<ArchiverParts>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut done = BTreeSet::new();
    let (first, most) = parts.patience;
    let mut pause = first;
    loop {
        let round = round(&parts, &mut done);
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            outcome = round => outcome,
        };
        let wait = match outcome {
            Ok(()) => {
                pause = first;
                parts.health.set(Component::Archive, HealthState::Up);
                parts.every
            }
            Err(error) => {
                metrics::counter!("bongsu_archive_failures_total").increment(1);
                let waiting = sealed(&parts, &done).map_or(0, |waiting| waiting.len());
                let reason = format!("{waiting} segments wait for the archive: {error}");
                // Told once, and then in /readyz: an outage is long.
                if parts.health.set(Component::Archive, HealthState::degraded(reason.clone())) {
                    tracing::warn!(reason, "the archive waits");
                }
                let longer = (pause * 2).min(most);
                std::mem::replace(&mut pause, longer)
            }
        };
        let store_is_back = store_is_back(&parts.health);
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = store_is_back => pause = first,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Ends when the object store is found to be there after it was away.
async fn store_is_back(health: &HealthRegistry) {
    let mut changes = health.changes();
    loop {
        match changes.recv().await {
            Ok(line) if line.component == Component::Objects && line.state == HealthState::Up => {
                return;
            }
            // What was missed while too many changed is found out at the next try.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Archives every segment that is sealed now.
async fn round(parts: &ArchiverParts, done: &mut BTreeSet<u32>) -> Result<(), ArchiveFailure> {
    let mut waiting = sealed(parts, done)?;
    waiting.reverse();
    loop {
        metrics::gauge!("bongsu_archive_lag_segments").set(waiting.len() as f64);
        let Some(info) = waiting.pop() else { return Ok(()) };
        let segment = info.segment;
        let archived = archive_segment(&parts.objects, info, parts.limits).await;
        match archived {
            Ok(manifest) => {
                done.insert(segment);
                parts.segments.note_archived(segment);
                tell(segment, manifest.as_ref());
            }
            Err(error) => {
                metrics::gauge!("bongsu_archive_lag_segments").set(waiting.len() as f64 + 1.0);
                return Err(error);
            }
        }
    }
}

/// `manifest`: `None` when there was nothing to do.
fn tell(segment: u32, manifest: Option<&Manifest>) {
    metrics::gauge!("bongsu_archive_last_success_timestamp_seconds")
        .set(wall_micros() as f64 / 1e6);
    let Some(manifest) = manifest else { return };
    metrics::counter!("bongsu_archive_bytes_total").increment(manifest.bytes());
    metrics::counter!("bongsu_archive_rows_total", "dataset" => "frames")
        .increment(manifest.records);
    metrics::counter!("bongsu_archive_rows_total", "dataset" => "ticks").increment(manifest.ticks);
    tracing::info!(
        segment,
        records = manifest.records,
        ticks = manifest.ticks,
        files = manifest.files.len(),
        bytes = manifest.bytes(),
        faults = manifest.faults.len(),
        "a segment is in the archive"
    );
}

#[cfg(test)]
mod tests;
