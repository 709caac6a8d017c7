//! Going on where the last run ended: what of it the wiring has to know.

use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::risk_params;
use crate::actors::checkpointer::Checkpointer;
use crate::actors::recovery::{Plan, Recovery};
use crate::actors::states::PipelineStates;
use crate::actors::supervision::StageError;
use crate::actors::tree::Tree;
use crate::bus::Publisher;
use crate::cli::CliError;
use crate::config::{FeedSource, Recover, Settings};
use crate::journal::checkpoint::Fingerprint;
use crate::market::Directory;
use crate::messages::health::HealthRegistry;
use crate::messages::{Checkpoints, Flag, KeptEvent, Repair, Repairs, SegmentUse};

/// What ties this run to the last and the next one.
pub struct Continuity {
    /// The desk of the checkpoints.
    pub checkpoints: Checkpoints,
    /// Set when the journal has been caught up with.
    pub caught_up: Flag,
    states: Option<PipelineStates>,
    repairs: Vec<Repair>,
    unsent: Vec<KeptEvent>,
    recovery: Option<Recovery>,
    keeper: Option<Checkpointer>,
}

impl Continuity {
    /// Looks where the last run ended. To be called before the journal is opened for writing.
    ///
    /// # Errors
    /// When journal or checkpoints cannot be read.
    pub fn of(
        settings: &Settings,
        data_dir: &std::path::Path,
        segments: &SegmentUse,
    ) -> Result<Self, CliError> {
        if !goes_on(settings) {
            // No start will read any of it.
            segments.note_needed_from(u32::MAX);
            return Ok(Self {
                checkpoints: Checkpoints::none(),
                caught_up: Flag::already(),
                states: None,
                repairs: Vec::new(),
                unsent: Vec::new(),
                recovery: None,
                keeper: None,
            });
        }
        let fingerprint = fingerprint(settings)?;
        let plan = Plan::make(data_dir, fingerprint).map_err(CliError::Runtime)?;
        if let Some(plan) = &plan {
            segments.note_needed_from(plan.needed_from);
        }
        let checkpoints = match settings.journal.checkpoint_seconds {
            // A dry run stores nothing: a checkpoint of it would hide what is not stored yet.
            _ if !settings.writes => Checkpoints::none(),
            0 => Checkpoints::none(),
            seconds => Checkpoints::new(Duration::from_secs(seconds), plan.is_some()),
        };
        let keeper =
            Checkpointer::start(checkpoints.clone(), data_dir, fingerprint, segments.clone())
                .context("start the thread that writes checkpoints")?;
        let caught_up = if plan.is_some() { Flag::pending() } else { Flag::already() };
        let mut continuity = Self {
            checkpoints,
            caught_up,
            states: None,
            repairs: Vec::new(),
            unsent: Vec::new(),
            recovery: None,
            keeper: Some(keeper),
        };
        if let Some(mut plan) = plan {
            continuity.states = plan.states.take();
            continuity.repairs = std::mem::take(&mut plan.repairs);
            continuity.unsent = std::mem::take(&mut plan.unsent);
            continuity.recovery = Some(plan.recovery());
        }
        Ok(continuity)
    }

    /// The states to begin with, after what outlives the stages has been given its own.
    pub fn states(
        &mut self,
        directory: &Directory,
        repairs: &Repairs,
        publisher: &Publisher,
    ) -> Option<PipelineStates> {
        let mut states = self.states.take();
        if let Some(states) = &mut states {
            for reference in std::mem::take(&mut states.normalizer.references) {
                directory.update(reference);
            }
            self.repairs.append(&mut states.normalizer.repairs);
            self.unsent.append(&mut states.alert.unsent);
        }
        let now = tokio::time::Instant::now();
        for repair in std::mem::take(&mut self.repairs) {
            repairs.ask(repair, now, Duration::ZERO);
        }
        publisher.resume(std::mem::take(&mut self.unsent));
        states
    }

    /// Adds the task that catches up with the journal, if there is one to catch up with.
    pub fn catch_up(&mut self, tree: &mut Tree, health: &HealthRegistry) {
        let Some(recovery) = self.recovery.take() else { return };
        let (ways, health) = (tree.recovery.clone(), health.clone());
        let (checkpoints, caught_up) = (self.checkpoints.clone(), self.caught_up.clone());
        tree.add_feed_task("recovery", move |stop| {
            let (recovery, ways, health) = (recovery.clone(), ways.clone(), health.clone());
            let (checkpoints, caught_up) = (checkpoints.clone(), caught_up.clone());
            async move {
                if !caught_up.is_set() {
                    recovery.run(&ways, &health, &checkpoints, &caught_up, &stop).await?;
                }
                stop.cancelled().await;
                Ok(())
            }
        });
    }

    /// Writes the last checkpoint; to be called when the tree has ended.
    pub fn finish(self) {
        if let Some(keeper) = self.keeper {
            keeper.finish();
        }
    }
}

/// Runs `work` once the journal has been caught up with.
pub async fn after<W>(
    caught_up: Flag,
    stop: CancellationToken,
    work: impl FnOnce(CancellationToken) -> W,
) -> Result<(), StageError>
where
    W: Future<Output = Result<(), StageError>>,
{
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        () = caught_up.wait() => {}
    }
    work(stop).await
}

/// With the built-in simulator a start plays its day from the beginning: there is nothing to go on
/// with.
fn goes_on(settings: &Settings) -> bool {
    match settings.journal.recover {
        Recover::On => true,
        Recover::Off => false,
        Recover::Auto => settings.feed.source == FeedSource::Kis,
    }
}

/// What the states in a checkpoint depend on besides the frames.
fn fingerprint(settings: &Settings) -> Result<Fingerprint, CliError> {
    let params = serde_json::to_string(&risk_params(settings)).context("thresholds as JSON")?;
    let build = option_env!("BONGSU_BUILD").unwrap_or(env!("CARGO_PKG_VERSION"));
    Ok(Fingerprint::of(&[build, &params]))
}
