//! The jobs `retrain_model` and `evaluate_models`: what a daemon does with its models by itself.
//!
//! In: the daily bars of the database. Out: a new version; the figures of `bongsu evaluate` over the last
//! year, and those of the model in use as daemons use it (`active.…`), as rows of `evaluation_metrics`,
//! as gauges and on the board. A job that is not done has said
//! why ([`JobOutcome`]) and is not tried again before its next time. A machine that has collected too
//! little yet is no failure.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::compare::{in_use, measure, walk};
use super::{
    Activate, Effort, ModellingError, Source, Step, Training, log, make_model, now, panel,
};
use crate::evaluate::{self, RunOptions};
use crate::market::{EventTime, ModelId, SessionDay};
use crate::messages::{Evaluation, ModelBoard};
use crate::model::design::Reader;
use crate::model::{Panel, TrainError, Validation};
use crate::store::Database;
use crate::store::models::{ModelRegistry, write_evaluation, write_versions};

/// Days before the last session that are judged.
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
    let done = match job {
        ModelJob::Retrain => retrain(parts).await,
        ModelJob::Evaluate => judge(parts, planned).await,
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

async fn judge(
    parts: &ModelJobParts,
    planned: EventTime,
) -> Result<(String, Value), ModellingError> {
    let source = Source::Database(parts.database.clone());
    let panel = Arc::new(panel(&source, None, parts.effort).await?);
    let window = judged(&panel);
    let mut report = walked(&panel, window, parts.effort).await?;
    let active = judge_active(parts, &panel, window).await?;
    if let Some((_, measured)) = &active {
        report["active"] = serde_json::to_value(measured).unwrap_or_default();
    }
    let run_id = format!("{}:{}", ModelJob::Evaluate.as_str(), planned.second());
    let evaluation = Evaluation::of_report(&run_id, now(), &report);
    if !parts.dry_run {
        write_evaluation(&parts.database, &evaluation).await?;
    }
    show(&evaluation);
    parts.board.set_evaluation(evaluation);
    let share = |name: &str| 100.0 * report[name]["exceed_ratio"].as_f64().unwrap_or(f64::NAN);
    let model = active.as_ref().map(|(id, _)| *id);
    let detail = format!(
        "{} rows of {} to {}: {:.2} % below the 1 % quantile, {:.2} % below the 5 % one; model in use {}",
        report["rows"],
        window.0,
        window.1,
        share("var_99"),
        share("var_95"),
        model.map_or_else(|| "none".to_owned(), |id| id.to_string())
    );
    Ok((detail, json!({ "model": model, "run_id": run_id, "measures": report })))
}

/// The figures of `bongsu evaluate`: forecasts and picks of each session from what was known before it.
async fn walked(
    panel: &Arc<Panel>,
    (from, to): (SessionDay, SessionDay),
    effort: Effort,
) -> Result<Value, ModellingError> {
    let options = RunOptions::default();
    let (origin, method) = (options.origin, options.method);
    let run = walk(panel, options.reader, (from, to), effort).await?;
    let Some(metrics) = &run.metrics else {
        return Err(TrainError::NoSessions { from, to, first: panel.info.from, last: to }.into());
    };
    let report = evaluate::Evaluation::new(metrics, &run, origin, method);
    Ok(serde_json::to_value(&report).unwrap_or_default())
}

/// The measures of the model in use as daemons use it; `None` when there is none, or it cannot be scored there.
async fn judge_active(
    parts: &ModelJobParts,
    panel: &Arc<Panel>,
    window: (SessionDay, SessionDay),
) -> Result<Option<(ModelId, Validation)>, ModellingError> {
    let index = parts.registry.index().await?;
    let Some(active) = index.active() else { return Ok(None) };
    let document = in_use(&parts.registry, active).await?;
    match measure(panel, document, Reader::Daemon, window, parts.effort).await {
        Ok(measured) => Ok(Some((active.id, measured))),
        Err(ModellingError::Train(TrainError::NoSessions { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last year of the rows.
fn judged(panel: &Panel) -> (SessionDay, SessionDay) {
    let to = panel.info.to;
    (SessionDay::from_epoch_days(to.epoch_days() - JUDGED_DAYS), to)
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
