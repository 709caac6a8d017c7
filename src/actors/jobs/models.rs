//! `retrain_model`, `evaluate_models`.

use std::time::Duration;

use serde_json::{Value, json};

use super::TaskWorld;
use crate::actors::modelling::{ModelJob, run_job};
use crate::tasks::{RetryPolicy, Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// A model fitted to the daily bars of the database, registered, and put to use unless it is worse than the one in use.
    pub struct Retrain("retrain_model") {}
}

crate::task_arguments! {
    /// How good the model in use was over the last year: rows, metrics and /v1/evaluation.
    pub struct Evaluate("evaluate_models") {}
}

/// A training over 2,500 issues takes some minutes beside a daemon; it computes on threads of its own.
const LIMITS: (Duration, Duration) = (Duration::from_secs(3_000), Duration::from_secs(3_600));

pub(super) fn retrain(world: &TaskWorld) -> Task {
    let world = world.clone();
    let task = Task::io(move |_: Retrain, context| run(world.clone(), ModelJob::Retrain, context));
    task.limits(LIMITS.0, LIMITS.1).retry(RetryPolicy::NONE)
}

pub(super) fn evaluate(world: &TaskWorld) -> Task {
    let world = world.clone();
    let task =
        Task::io(move |_: Evaluate, context| run(world.clone(), ModelJob::Evaluate, context));
    task.limits(LIMITS.0, LIMITS.1).retry(RetryPolicy::NONE)
}

async fn run(world: TaskWorld, job: ModelJob, context: TaskContext) -> Result<Value, TaskFailure> {
    let parts = world.models.as_ref().ok_or_else(|| {
        TaskFailure::runtime("models need a database: this is a dry run (BONGSU_WRITES=off)")
    })?;
    if context.is_past() {
        return Err(TaskFailure::value(format!(
            "{} works on the present rows only; of the past, `bongsu train --until` and `bongsu evaluate --to` tell",
            job.as_str()
        )));
    }
    let outcome = run_job(parts, job, job.as_str(), context.as_of()).await;
    match outcome.is_failure() {
        true => Err(TaskFailure::runtime(outcome.detail)),
        false => Ok(json!({
            "status": outcome.status,
            "detail": outcome.detail,
            "report": outcome.report,
        })),
    }
}
