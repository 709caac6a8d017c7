//! The service of the in-process queue: runs what is put there while no Redis is set, and says how
//! the tasks' threads are.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::supervision::StageError;
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::tasks::memory::MemoryQueue;
use crate::tasks::{Runner, RunnerHealth};

/// What runs at a stop has so long to end.
const DRAIN: Duration = Duration::from_millis(1_500);
/// Time between two looks at the threads.
const LOOK: Duration = Duration::from_secs(1);

/// Serves `queue` until it is told to stop.
///
/// # Errors
/// None; a task that fails is told by its state.
pub async fn run_task_queue(
    queue: MemoryQueue,
    runner: Runner,
    stop: CancellationToken,
) -> Result<(), StageError> {
    queue.serve(&runner, stop, DRAIN).await;
    Ok(())
}

/// Says how the threads of the tasks are, until it is told to stop.
///
/// # Errors
/// None.
pub async fn watch_tasks(
    runner: Runner,
    health: HealthRegistry,
    stop: CancellationToken,
) -> Result<(), StageError> {
    loop {
        health.set(Component::Tasks, state_of(&runner.health()));
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// How the tasks are, by the threads of their runner.
#[must_use]
pub fn state_of(health: &RunnerHealth) -> HealthState {
    let pool = health.pool;
    match (pool.exhausted, pool.leaked) {
        (false, 0) => HealthState::Up,
        (false, leaked) => HealthState::degraded(format!(
            "{leaked} computing tasks go on beyond their hard limit; others took their threads"
        )),
        (true, leaked) if pool.threads > 0 => HealthState::degraded(format!(
            "{leaked} computing tasks hang, more than are replaced; {} threads are left: restart the process when it can be",
            pool.threads
        )),
        (true, leaked) => HealthState::down(format!(
            "{leaked} computing tasks hang and no thread is left for others: restart the process"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::PoolHealth;

    #[test]
    fn hanging_threads_are_told_by_how_bad_it_is() {
        let state = |threads, leaked, exhausted| {
            let pool = PoolHealth { threads, leaked, abandoned: 0, exhausted };
            state_of(&RunnerHealth { pool, io_running: 0 })
        };
        assert_eq!(state(2, 0, false), HealthState::Up);
        assert_eq!(state(2, 1, false).as_str(), "degraded");
        assert_eq!(state(1, 5, true).as_str(), "degraded");
        assert_eq!(state(0, 6, true).as_str(), "down");
    }
}
