//! `bongsu train`: fits a model, registers it, and puts it to use when it is not worse.
//!
//! Rows come from files (`--data`) or from the daily bars of the database. Each step is a log line with
//! its counts and checksums; the last line on standard output says what came of it. Running daemons load
//! the new version by themselves.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use anyhow::Context;

use super::args::TrainArgs;
use super::models::store_rows;
use super::{CliError, assembly};
use crate::actors::modelling::{
    Activate, Effort, ModellingError, Source, Step, Training, TrainingReport, log, make_model,
};
use crate::config::Settings;
use crate::messages::health::HealthRegistry;
use crate::model::Progress;

/// Trains.
///
/// # Errors
/// When the rows cannot be read, are too few, or the version cannot be registered.
pub fn execute(args: TrainArgs, settings: &Settings) -> Result<(), CliError> {
    if args.data.is_empty() && !args.indices.is_empty() {
        return Err(CliError::Usage(
            "--indices needs --data: with the database's bars there is nothing to join them to"
                .to_owned(),
        ));
    }
    assembly::start_telemetry(settings)?;
    let runtime = assembly::runtime()?;
    let registry = assembly::model_registry(settings)?;
    let report = runtime.block_on(async {
        if settings.writes {
            // A fresh service has no bucket yet; why it gets none is told by the first write.
            let objects = assembly::object_store(settings, None, false)?;
            if let Err(error) = objects.prepare(&assembly::bucket_wishes(settings)).await {
                tracing::warn!(%error, "the buckets cannot be looked after");
            }
        }
        let training = Training {
            source: source(&args, settings).await?,
            until: args.until,
            activate: match (args.no_activate, args.force) {
                (true, _) => Activate::Never,
                (false, true) => Activate::Always,
                (false, false) => Activate::UnlessWorse,
            },
            effort: Effort::Full,
            dry_run: !settings.writes,
        };
        let report = make_model(&registry, &training, teller()).await.map_err(failed)?;
        if settings.writes {
            store_rows(&registry, settings).await;
        }
        Ok::<_, CliError>(report)
    })?;
    let text = match args.json {
        true => serde_json::to_string(&report).context("the report as JSON")?,
        false => summary(&report),
    };
    super::print(&format!("{text}\n"))?;
    // Somebody who asked for it in so many words is told by the exit code too.
    if args.activate && !report.activated && settings.writes {
        return Err(CliError::runtime(format!(
            "{} is registered but not put to use: {}; --force does it all the same",
            report.id, report.note
        )));
    }
    Ok(())
}

async fn source(args: &TrainArgs, settings: &Settings) -> Result<Source, CliError> {
    if !args.data.is_empty() {
        return Ok(Source::Files(args.data.clone(), args.indices.clone()));
    }
    let database = assembly::database(settings, &HealthRegistry::new()).await?;
    database.map(Source::Database).ok_or_else(|| {
        CliError::Usage(
            "in a dry run (BONGSU_WRITES=off) no database is opened: give the rows with --data"
                .to_owned(),
        )
    })
}

fn failed(error: ModellingError) -> CliError {
    CliError::Runtime(error.into())
}

/// Logs each step; on a terminal the months of the fit are counted on one line.
fn teller() -> Arc<dyn Fn(Step) + Send + Sync> {
    let terminal = std::io::stderr().is_terminal();
    Arc::new(move |step| {
        if let (true, Step::Fit(progress)) = (terminal, &step) {
            let text = match progress {
                Progress::Features => "terms".to_owned(),
                Progress::Months { done, of } => format!("month {done} of {of}"),
                Progress::Tails => "tails".to_owned(),
                Progress::Validation => "validation\n".to_owned(),
            };
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[Ktrain: {text}");
        }
        log(&step);
    })
}

/// For people.
fn summary(report: &TrainingReport) -> String {
    let state = if report.activated { "in use" } else { "not in use" };
    let measures = report.validation.as_ref().map_or_else(String::new, |one| {
        format!(
            "; walk-forward {} to {}: FZ0 2.5 % {:.4}, QLIKE {:.4}, below the 1 % quantile {:.2} %",
            one.from,
            one.to,
            one.fz0_025,
            one.qlike_r2,
            100.0 * one.exceed_99
        )
    });
    format!(
        "{} {state} ({}); {} rows of {} issues until {}{measures}; {:.1} s",
        report.id,
        report.note,
        report.fitted_rows,
        report.data.symbols,
        report.trained_until,
        report.seconds
    )
}
