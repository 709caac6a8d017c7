//! The jobs `retrain_model` and `evaluate_models`: what a daemon does with its models by itself.
//!
//! In: the daily bars of the database. Out: a new version; measures of the one in use as rows of
//! `evaluation_metrics`, as gauges and on the board; a row of `job_runs`. A job that is not done has said
//! why ([`JobOutcome`]) and is not tried again before its next time. A machine that has collected too
//! little yet is no failure.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Activate, Effort, ModellingError, Source, Step, Training, in_use, log, make_model, measure,
    now, panel,
};
use crate::actors::ingest::wall_micros;
use crate::actors::supervision::StageError;
use crate::market::{EventTime, SessionDay};
use crate::messages::{Evaluation, ModelBoard};
use crate::model::{Panel, Validation};
use crate::schedule::after_hours;
use crate::store::Database;
use crate::store::job_runs::{JobRun, write_job_run};
use crate::store::models::{ModelRegistry, write_evaluation, write_versions};

/// Days before the last session over which the model in use is judged.
const JUDGED_DAYS: i32 = 365;

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelJob {
    /// A new model.
    Retrain,
    /// How good the one in use was.
    Evaluate,
}

impl ModelJob {
    /// The task's name, as in `jobs.yaml` and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrain => "retrain_model",
            Self::Evaluate => "evaluate_models",
        }
    }
}

/// What the jobs are made of.
#[derive(Debug, Clone)]
pub struct ModelJobParts {
    /// The registry.
    pub registry: ModelRegistry,
    /// Rows in and out.
    pub database: Database,
    /// What readers see.
    pub board: ModelBoard,
    /// How hard the arithmetic presses.
    pub effort: Effort,
    /// Every step but those that write.
    pub dry_run: bool,
}

/// How a job ended.
#[derive(Debug, Clone, Serialize)]
pub struct JobOutcome {
    /// `done`, `skipped` (not enough data yet) or `failed`.
    pub status: &'static str,
    /// In one line.
    pub detail: String,
    /// The report; `null` when there is none.
    pub report: Value,
}

impl JobOutcome {
    /// Whether it failed; that there is not enough yet is no failure.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.status == "failed"
    }
}

/// Does a job of the schedule once.
pub async fn run_job(
    parts: &ModelJobParts,
    job: ModelJob,
    name: &str,
    planned: EventTime,
) -> JobOutcome {
    let started = now();
    let done = match job {
        ModelJob::Retrain => retrain(parts).await,
        ModelJob::Evaluate => evaluate(parts, planned).await,
    };
    let outcome = match done {
        Ok((detail, report)) => JobOutcome { status: "done", detail, report },
        Err(error) => {
            let status = if error.is_too_few() { "skipped" } else { "failed" };
            JobOutcome { status, detail: error.to_string(), report: Value::Null }
        }
    };
    let JobOutcome { status, detail, .. } = &outcome;
    if outcome.is_failure() {
        tracing::error!(job = name, detail, "the job failed");
    } else {
        tracing::info!(job = name, status, detail, "the job has ended");
    }
    if *status == "done" {
        metrics::gauge!("bongsu_job_last_success_timestamp_seconds", "job" => job.as_str())
            .set(wall_micros() as f64 / 1e6);
    }
    if !parts.dry_run {
        let (job, detail) = (name.to_owned(), detail.clone());
        let run = JobRun { job, planned, status, detail, started, finished: Some(now()) };
        if let Err(error) = write_job_run(&parts.database, &run).await {
            tracing::warn!(job = name, %error, "the run is not in job_runs");
        }
    }
    outcome
}

async fn retrain(parts: &ModelJobParts) -> Result<(String, Value), ModellingError> {
    let training = Training {
        source: Source::Database(parts.database.clone()),
        until: None,
        activate: Activate::UnlessWorse,
        effort: parts.effort,
        dry_run: parts.dry_run,
    };
    let tell = Arc::new(|step: Step| log(&step));
    let report = make_model(&parts.registry, &training, tell).await?;
    if !parts.dry_run {
        let index = parts.registry.index().await?;
        write_versions(&parts.database, index.versions()).await?;
    }
    let state = if report.activated { "in use" } else { "registered, not in use" };
    let detail = format!("{} {state}: {}", report.id, report.note);
    Ok((detail, serde_json::to_value(&report).unwrap_or_default()))
}

async fn evaluate(
    parts: &ModelJobParts,
    planned: EventTime,
) -> Result<(String, Value), ModellingError> {
    let index = parts.registry.index().await?;
    let active = index.active().ok_or(ModellingError::NoModel)?;
    let document = in_use(&parts.registry, active).await?;
    let source = Source::Database(parts.database.clone());
    let panel = Arc::new(panel(&source, None, parts.effort).await?);
    let measured = measure(&panel, document, judged(&panel), parts.effort).await?;
    let report = report(&measured);
    let run_id = format!("{}:{}", ModelJob::Evaluate.as_str(), planned.second());
    let evaluation = Evaluation::of_report(&run_id, now(), &report);
    if !parts.dry_run {
        write_evaluation(&parts.database, &evaluation).await?;
    }
    show(&evaluation);
    parts.board.set_evaluation(evaluation);
    let Validation { rows, from, to, exceed_99, exceed_95, .. } = measured;
    let detail = format!(
        "{} over {rows} rows of {from} to {to}: {:.2} % below the 1 % quantile, {:.2} % below the 5 % one",
        active.id,
        100.0 * exceed_99,
        100.0 * exceed_95
    );
    Ok((detail, json!({ "model": active.id, "run_id": run_id, "measures": report })))
}

/// The last year of the rows.
fn judged(panel: &Panel) -> (SessionDay, SessionDay) {
    let to = panel.info.to;
    (SessionDay::from_epoch_days(to.epoch_days() - JUDGED_DAYS), to)
}

/// Measures under the names of `bongsu evaluate --json`.
fn report(measured: &Validation) -> Value {
    let level = |ratio: f64| json!({ "exceed_ratio": ratio });
    json!({
        "var_99": level(measured.exceed_99),
        "var_975": level(measured.exceed_975),
        "var_95": level(measured.exceed_95),
        "qlike_r2": measured.qlike_r2,
        "qlike_range": measured.qlike_range,
        "fz0_025": measured.fz0_025,
        "fz0_05": measured.fz0_05,
        "es_ratio_975": measured.es_ratio_975,
        "rows": measured.rows,
        "symbols": measured.symbols,
        "from": measured.from,
        "to": measured.to,
    })
}

/// Sets the gauges of quality; a measure that is not there leaves its gauge.
pub fn show(evaluation: &Evaluation) {
    for (metric, level) in [("var_99", "99"), ("var_975", "97.5"), ("var_95", "95")] {
        if let Some(ratio) = evaluation.value(&format!("{metric}.exceed_ratio"), "") {
            metrics::gauge!("bongsu_var_exceed_ratio", "level" => level).set(ratio);
        }
    }
    for horizon in ["5", "20"] {
        if let Some(ratio) = evaluation.value("hit_ratio", horizon) {
            metrics::gauge!("bongsu_recommendation_hit_ratio", "horizon" => horizon).set(ratio);
        }
    }
    if let Some(ratio) = evaluation.value("overestimate_ratio", "") {
        metrics::gauge!("bongsu_risk_overestimate_ratio").set(ratio);
    }
    if let Some(ratio) = evaluation.value("underestimate_ratio", "") {
        metrics::gauge!("bongsu_risk_underestimate_ratio").set(ratio);
    }
}

/// Does the jobs at their times, one after the other, until it is told to stop; a computation that is
/// under way then is left behind.
///
/// # Errors
/// None: how a job ended is told by its outcome.
pub async fn run_model_jobs(
    parts: Arc<ModelJobParts>,
    jobs: Vec<(ModelJob, String, Duration)>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut due: Vec<i64> =
        jobs.iter().map(|(_, _, every)| after_hours(wall_micros(), *every)).collect();
    loop {
        // In the order of the file where two are due at once.
        let Some(next) = (0..jobs.len()).min_by_key(|&at| due[at]) else {
            stop.cancelled().await;
            return Ok(());
        };
        let wait = Duration::from_micros(u64::try_from(due[next] - wall_micros()).unwrap_or(0));
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        let (job, name, every) = &jobs[next];
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = run_job(&parts, *job, name, EventTime::from_micros(due[next])) => {}
        }
        due[next] = after_hours(wall_micros(), *every);
    }
}
