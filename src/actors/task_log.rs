//! TaskLog: how runs of tasks stand, on their way to `task_runs`.
//!
//! **In:** [`TaskRun`]s of the runner, by a channel of 4,096. **Out:** batches of at most 512 to the
//! Recorder, which writes them as it writes everything, through an outage of the database too. **Full**
//! (the Recorder takes nothing): a task waits for a second at most; then its row is only in the log,
//! and counted (`bongsu_task_rows_lost_total`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::supervision::{Edge, StageError};
use crate::messages::{StoreBatch, TaskRun};
use crate::tasks::TaskLog;

/// Runs that wait to be sent on: some 4 MiB.
const WAITING: usize = 4_096;
/// Runs in one message.
const BATCH: usize = 512;
/// How long a task waits for room.
const PATIENCE: Duration = Duration::from_secs(1);

/// The runner's end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskRuns {
    runs: mpsc::Sender<TaskRun>,
}

/// The Recorder's end; outlives the service.
pub type RunsToStore = Arc<Mutex<mpsc::Receiver<TaskRun>>>;

/// Both ends.
#[must_use]
pub fn channel() -> (TaskRuns, RunsToStore) {
    let (runs, receiver) = mpsc::channel(WAITING);
    (TaskRuns { runs }, Arc::new(Mutex::new(receiver)))
}

impl TaskLog for TaskRuns {
    fn record(&self, run: TaskRun) -> BoxFuture<'_, ()> {
        match self.runs.try_send(run) {
            Ok(()) => Box::pin(std::future::ready(())),
            Err(mpsc::error::TrySendError::Full(run) | mpsc::error::TrySendError::Closed(run)) => {
                Box::pin(async move {
                    let (id, task, state) = (run.id.clone(), run.name.clone(), run.state.clone());
                    if self.runs.send_timeout(run, PATIENCE).await.is_err() {
                        metrics::counter!("bongsu_task_rows_lost_total").increment(1);
                        tracing::error!(id, task, state, "the run of a task is only in this log");
                    }
                })
            }
        }
    }
}

/// Sends what is recorded to the Recorder until `stop`, and what has come by then.
///
/// # Errors
/// When the Recorder is gone.
pub async fn run_task_log(
    runs: RunsToStore,
    recorder: Edge<Arc<StoreBatch>>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut runs = runs.lock().await;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            count = runs.recv_many(&mut batch, BATCH) => count,
            () = stop.cancelled() => 0,
        };
        if count == 0 {
            return Ok(());
        }
        recorder.send(Arc::new(StoreBatch::TaskRuns(std::mem::take(&mut batch)))).await?;
    }
}
