//! TaskWorker: the queue that Celery clients send to, worked off.
//!
//! **Gets** messages of the queue from Redis. **Sends** results back there, and what cannot be run to
//! the Recorder, as a row of `etl_failures`. **Redis away:** nothing is taken, what runs goes on and its
//! end is stored when Redis is back; `/readyz` says so. **Stopped:** what waits goes back into the
//! queue at once, what runs has [`PATIENCE`] to end and goes back then. **Dies:** the messages in its hand
//! stay in Redis; it, started again, or another worker puts them back when it has been silent for the time that
//! the settings say.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::supervision::{Edge, StageError};
use crate::messages::health::HealthRegistry;
use crate::messages::{Reject, StoreBatch};
use crate::tasks::Runner;
use crate::tasks::celery::{BrokerError, OnReject, WorkerOptions, run_worker};

/// How long running tasks may take to end when the worker is stopped.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// How long the worker may take to stop: patience, and two round trips to a Redis that is slow.
pub const STOPS_WITHIN: Duration = Duration::from_secs(7);

/// What the worker is made of.
#[derive(Clone)]
pub struct TaskWorkerParts {
    /// How it stands at its queue.
    pub options: WorkerOptions,
    /// What runs the tasks.
    pub runner: Runner,
    /// Where it reports [`Component::Tasks`](crate::messages::Component::Tasks).
    pub health: HealthRegistry,
    /// To the Recorder; `None` where nothing is stored.
    pub recorder: Option<Edge<Arc<StoreBatch>>>,
}

/// Works the queue off until it is told to stop.
///
/// # Errors
/// When the address of Redis cannot be used, or a part of the worker has failed.
pub async fn run_task_worker(
    parts: Arc<TaskWorkerParts>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let options = WorkerOptions { patience: PATIENCE, ..parts.options.clone() };
    let on_reject = keeper(parts.recorder.clone());
    let (runner, health) = (parts.runner.clone(), parts.health.clone());
    run_worker(options, runner, health, on_reject, stop).await.map_err(|error| match error {
        // Another attempt would meet the same address.
        BrokerError::Url(_) => StageError::Fatal(error.to_string()),
        other => StageError::Failed(other.to_string()),
    })
}

/// Messages that cannot be run are counted and kept.
fn keeper(recorder: Option<Edge<Arc<StoreBatch>>>) -> OnReject {
    Arc::new(move |reject: Reject| {
        metrics::counter!("bongsu_rejects_total", "reason" => reject.reason).increment(1);
        if let Some(recorder) = &recorder
            && recorder.try_send(Arc::new(StoreBatch::Rejects(vec![reject]))).is_err()
        {
            tracing::error!(
                "the Recorder's inbox is full, the refused message is only in this log"
            );
        }
    })
}
