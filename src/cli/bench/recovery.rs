//! `bongsu bench recovery`: how long a start takes to be where the last run ended.
//!
//! Journals a storm, with a checkpoint some frames before its end, as a crash would leave it. Then
//! times a start twice, from looking for a checkpoint until the pipeline has handled the last frame
//! of the journal: with that checkpoint, and with none at all.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use parking_lot::Mutex as SyncMutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Storm, TICKS_PER_EVENT_SECOND, histogram, parts};
use crate::actors::checkpointer::Checkpointer;
use crate::actors::ingest::wall_micros;
use crate::actors::limits::BATCH_FRAMES;
use crate::actors::recovery::Plan;
use crate::actors::states::PipelineStates;
use crate::actors::supervision::StageError;
use crate::actors::tree::{Tree, TreeParts};
use crate::bus::Publisher;
use crate::cli::assembly;
use crate::journal::checkpoint::{self, Fingerprint};
use crate::journal::{Durability, segments};
use crate::messages::health::HealthRegistry;
use crate::messages::{BusLimits, Checkpoints, EventBus, Flag, SegmentUse};

/// Batches generated at a time.
const CHUNK: usize = 64;

/// What `bench recovery` prints.
#[derive(Debug, Clone, Serialize)]
pub struct RecoveryFigures {
    /// Ticks in the journal.
    pub ticks: u64,
    /// Issues.
    pub symbols: usize,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: u64,
    /// Ticks behind the checkpoint.
    pub tail: u64,
    /// A start with the checkpoint, seconds.
    pub with_checkpoint_s: f64,
    /// A start without any, seconds.
    pub without_s: f64,
    /// Ticks a second of the latter.
    pub ticks_per_second: f64,
}

/// Journals `frames` frames of `symbols` issues in `folder`, `tail` of them behind the checkpoint,
/// and times the starts.
///
/// # Errors
/// When the tree gives up, or the disk does not take it.
pub fn recovery(
    folder: &Path,
    frames: usize,
    tail: usize,
    symbols: usize,
) -> anyhow::Result<RecoveryFigures> {
    let fingerprint = Fingerprint::of(&["bench"]);
    let tail = tail.min(frames);
    let mut storm = Storm::new(symbols, TICKS_PER_EVENT_SECOND);
    let desk = Checkpoints::new(Duration::MAX, false);
    let checkpoints = checkpoint::folder(folder);
    let keeper = Checkpointer::start(desk.clone(), folder, fingerprint, SegmentUse::new(false))
        .context("start the thread that writes checkpoints")?;
    // Its stop takes the checkpoint.
    storm = journal(folder, storm, frames - tail, desk, None)?;
    keeper.finish();
    let states = Plan::make(folder, fingerprint)?.and_then(|plan| plan.states);
    journal(folder, storm, tail, Checkpoints::none(), states)?;

    let (_, newest) = checkpoint::list(&checkpoints)?.into_iter().next().context("a checkpoint")?;
    let checkpoint_bytes = std::fs::metadata(&newest).context("the checkpoint's size")?.len();
    let journal_bytes =
        segments(&folder.join("journal"))?.iter().map(|segment| segment.bytes).sum();
    let with_checkpoint_s = start(folder, fingerprint)?;
    std::fs::remove_dir_all(&checkpoints).context("remove the checkpoints")?;
    let without_s = start(folder, fingerprint)?;
    Ok(RecoveryFigures {
        ticks: frames as u64,
        symbols,
        journal_bytes,
        checkpoint_bytes,
        tail: tail as u64,
        with_checkpoint_s,
        without_s,
        ticks_per_second: frames as f64 / without_s,
    })
}

fn parts_of(
    runtime: &Arc<tokio::runtime::Runtime>,
    folder: &Path,
    checkpoints: Checkpoints,
    states: Option<PipelineStates>,
) -> anyhow::Result<TreeParts> {
    let publisher = Publisher::new(EventBus::new(BusLimits::default()), None);
    let parts = parts(runtime, folder, Durability::Process, publisher, histogram()?);
    if let Some(states) = &states {
        for reference in &states.normalizer.references {
            parts.board.directory.update(reference.clone());
        }
    }
    Ok(TreeParts { checkpoints, states, ..parts })
}

/// Sends `frames` frames through a tree that goes on from `states`; the storm behind them.
fn journal(
    folder: &Path,
    storm: Storm,
    frames: usize,
    checkpoints: Checkpoints,
    states: Option<PipelineStates>,
) -> anyhow::Result<Storm> {
    let runtime = assembly::runtime()?;
    let parts = parts_of(&runtime, folder, checkpoints, states)?;
    let storm = Arc::new(SyncMutex::new(Some(storm)));
    let behind = Arc::clone(&storm);
    assembly::run_tree(
        &runtime,
        || {
            let mut tree = Tree::new(parts);
            let (edge, root) = (tree.frames.clone(), tree.handles.root.clone());
            let quiet = tree.quiet.clone();
            tree.set_feed(move |_| {
                let (edge, root, quiet) = (edge.clone(), root.clone(), quiet.clone());
                let storm = Arc::clone(&storm);
                let taken = storm.lock().take();
                async move {
                    let Some(mut source) = taken else { return Err(used_up()) };
                    let mut left = frames;
                    while left > 0 {
                        let count = left.min(CHUNK * BATCH_FRAMES);
                        left -= count;
                        for mut batch in source.batches(count, BATCH_FRAMES) {
                            batch.stamp(wall_micros());
                            edge.send(Arc::new(batch)).await?;
                        }
                    }
                    quiet.wait().await;
                    *storm.lock() = Some(source);
                    root.stop();
                    Ok(())
                }
            });
            tree
        },
        |_| async {},
    )?;
    let storm = behind.lock().take();
    storm.ok_or_else(|| anyhow!("the storm did not come to its end"))
}

fn used_up() -> StageError {
    StageError::Failed("the storm was used up".to_owned())
}

/// One start: seconds until the pipeline has handled the last frame of the journal.
fn start(folder: &Path, fingerprint: Fingerprint) -> anyhow::Result<f64> {
    let runtime = assembly::runtime()?;
    let began = Instant::now();
    let mut plan = Plan::make(folder, fingerprint)?.context("a journal")?;
    let parts = parts_of(&runtime, folder, Checkpoints::none(), plan.states.take())?;
    let recovery = plan.recovery();
    let (caught_up, took) = (Flag::pending(), Arc::new(SyncMutex::new(None)));
    let seconds = Arc::clone(&took);
    assembly::run_tree(
        &runtime,
        || {
            let mut tree = Tree::new(parts);
            let (ways, root) = (tree.recovery.clone(), tree.handles.root.clone());
            tree.set_feed(move |stop: CancellationToken| {
                let (recovery, ways, root) = (recovery.clone(), ways.clone(), root.clone());
                let (caught_up, took) = (caught_up.clone(), Arc::clone(&took));
                async move {
                    let (health, desk) = (HealthRegistry::new(), Checkpoints::none());
                    recovery.run(&ways, &health, &desk, &caught_up, &stop).await?;
                    *took.lock() = Some(began.elapsed().as_secs_f64());
                    root.stop();
                    Ok(())
                }
            });
            tree
        },
        |_| async {},
    )?;
    let took = *seconds.lock();
    took.context("the start did not come to its end")
}
