//! Making and judging models: from rows to a registered version, and from a version to measures.
//!
//! **snapshot → fit and walk-forward validation → comparison → registry → use.** In: files of daily
//! bars, or the database's. Out: a version in the registry, put to use when it is not worse than the one
//! that is; what was done, step by step ([`Step`]) and as a whole ([`TrainingReport`]).
//!
//! The arithmetic runs on threads of its own: [`Effort::Background`] gives it half the cores at a lower
//! priority, so that a daemon's hot path does not feel it. It cannot be interrupted; a process that is
//! told to stop ends without it, and nothing is half registered.
//!
//! **Failures.** [`ModellingError`]; too few rows are one of their own ([`ModellingError::is_too_few`]):
//! on a fresh machine that is how it is, and no fault.

mod compare;
mod effort;
mod jobs;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

pub use compare::Comparison;
pub use effort::{Effort, compute};
pub use jobs::{JobOutcome, ModelJob, ModelJobParts, run_job};

use self::compare::{compare, verdict};
use super::ingest::wall_micros;
use crate::market::{EventTime, ModelId, SessionDay};
use crate::messages::ModelVersion;
use crate::model::{
    DataInfo, Document, Panel, Progress, TrainError, TrainOptions, Validation, train,
};
use crate::store::models::{ModelRegistry, RegistryError, sha256};
use crate::store::panel::{Join, PanelError, read, read_database};
use crate::store::{Database, StoreError};

/// What the models of this program forecast.
pub const KIND: &str = "daily_risk";

/// Where the rows come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Files of daily bars, and of index series.
    Files(Vec<PathBuf>, Vec<PathBuf>),
    /// `market_prices` of the database, interval `1d`.
    Database(Database),
}

/// Whether a new version is put to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activate {
    /// Unless it is worse than the one in use.
    UnlessWorse,
    /// In any case.
    Always,
    /// Not.
    Never,
}

/// What to make a model of, and what to do with it.
#[derive(Debug, Clone)]
pub struct Training {
    /// The rows.
    pub source: Source,
    /// Sessions after this day are not looked at; `None`: all.
    pub until: Option<SessionDay>,
    /// Whether it is put to use.
    pub activate: Activate,
    /// How hard it presses.
    pub effort: Effort,
    /// Every step but those that write.
    pub dry_run: bool,
}

/// A step that was done.
#[derive(Debug, Clone)]
pub enum Step {
    /// The rows were read.
    Snapshot(DataInfo),
    /// Fitting is so far.
    Fit(Progress),
    /// It was fitted and validated.
    Fitted {
        /// Rows that were fitted.
        rows: u64,
        /// Its measures.
        validation: Option<Validation>,
    },
    /// It was compared with the version in use.
    Compared(Comparison),
    /// It is in the registry.
    Registered {
        /// Its name.
        id: ModelId,
        /// SHA-256 of its document.
        sha256: String,
        /// Versions there are now.
        versions: usize,
    },
    /// It is in use: daemons load it at their next look.
    Activated(ModelId),
    /// It is not put to use.
    NotActivated(String),
}

/// What training came to.
#[derive(Debug, Clone, Serialize)]
pub struct TrainingReport {
    /// The new version.
    pub id: ModelId,
    /// Whether it is in use.
    pub activated: bool,
    /// Why it is not, or what it took the place of.
    pub note: String,
    /// The rows.
    pub data: DataInfo,
    /// Rows that were fitted.
    pub fitted_rows: u64,
    /// Last session it was fitted to.
    pub trained_until: SessionDay,
    /// SHA-256 of its document.
    pub model_sha256: String,
    /// Its measures.
    pub validation: Option<Validation>,
    /// The version that was in use before.
    pub before: Option<ModelId>,
    /// The new one beside that one; `None`: there was none.
    pub comparison: Option<Comparison>,
    /// How long it took.
    pub seconds: f64,
}

/// Why there is no new version, or no measures.
#[derive(Debug, thiserror::Error)]
pub enum ModellingError {
    /// The built-in model: a mistake of the build.
    #[error("the built-in model: {0}")]
    BuiltIn(String),
    /// The files.
    #[error(transparent)]
    Panel(#[from] PanelError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The fit.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The database has no daily bars at all.
    #[error(
        "the database has no daily bars: give files with --data, or let the job collect_market_prices run first"
    )]
    NoRows,
    /// The model in use cannot be read.
    #[error("the model {id} {reason}; activate another version (bongsu models list)")]
    Unusable {
        /// Version.
        id: ModelId,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that computed ended without a result.
    #[error("the computation was cut off")]
    CutOff,
}

impl ModellingError {
    /// Whether there is just not enough to fit or to judge yet.
    #[must_use]
    pub const fn is_too_few(&self) -> bool {
        matches!(
            self,
            Self::NoRows | Self::Train(TrainError::TooFew { .. } | TrainError::NoSessions { .. })
        )
    }
}

/// The rows, with an error that says so when there are none.
///
/// # Errors
/// When they cannot be read.
pub async fn panel(
    source: &Source,
    until: Option<SessionDay>,
    effort: Effort,
) -> Result<Panel, ModellingError> {
    match source {
        Source::Files(data, indices) => {
            let (data, indices) = (data.clone(), indices.clone());
            Ok(compute(effort, move || read(&data, &indices, Join::BySymbol)).await??)
        }
        Source::Database(database) => {
            let panel = read_database(database, until).await?;
            if panel.issues.is_empty() { Err(ModellingError::NoRows) } else { Ok(panel) }
        }
    }
}

/// Fits a model, registers it and puts it to use, as `training` says.
///
/// # Errors
/// [`ModellingError`]; a version that was registered stays so when it cannot be put to use.
pub async fn make_model(
    registry: &ModelRegistry,
    training: &Training,
    tell: Arc<dyn Fn(Step) + Send + Sync>,
) -> Result<TrainingReport, ModellingError> {
    let began = Instant::now();
    let Training { source, until, activate, effort, dry_run } = training;
    let (until, effort) = (*until, *effort);
    // A registry that cannot be read or written is known before the work, not behind it.
    registry.index().await?;
    if !dry_run {
        registry.probe().await?;
    }
    let panel = Arc::new(panel(source, until, effort).await?);
    tell(Step::Snapshot(panel.info.clone()));
    let (rows, progress) = (Arc::clone(&panel), Arc::clone(&tell));
    let options = TrainOptions { until, ..TrainOptions::default() };
    let trained =
        compute(effort, move || train(&rows, &options, &|step| progress(Step::Fit(step))))
            .await??;
    let document = trained.document;
    let validation = document.validation.clone();
    tell(Step::Fitted { rows: document.fitted_rows, validation: validation.clone() });
    let comparison = compare(registry, &panel, &document, effort).await?;
    comparison.iter().for_each(|found| tell(Step::Compared(found.clone())));
    let mut verdict = verdict(*activate, validation.as_ref(), comparison.as_ref());
    if *dry_run {
        verdict = Err("dry run (BONGSU_WRITES=off): nothing is registered".to_owned());
    }
    let (mut version, text) = entry(&document, &verdict)?;
    let mut before = comparison.as_ref().map(|found| found.with);
    if !dry_run {
        version = registry.register(version, text.into()).await?;
        let versions = registry.index().await?.versions().len();
        let (id, sha256) = (version.id, version.model_sha256.clone());
        tell(Step::Registered { id, sha256, versions });
    }
    match &verdict {
        Ok(note) => {
            before = registry.activate(version.id, now(), Some(note)).await?;
            tell(Step::Activated(version.id));
        }
        Err(why) => tell(Step::NotActivated(why.clone())),
    }
    Ok(TrainingReport {
        id: version.id,
        activated: verdict.is_ok(),
        note: verdict.unwrap_or_else(|why| why),
        data: document.data,
        fitted_rows: document.fitted_rows,
        trained_until: document.trained_until,
        model_sha256: version.model_sha256,
        validation,
        before,
        comparison,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn now() -> EventTime {
    EventTime::from_micros(wall_micros())
}

/// What is said of a new version, and its document as text.
fn entry(
    document: &Document,
    verdict: &Result<String, String>,
) -> Result<(ModelVersion, String), ModellingError> {
    let text = document.to_json().map_err(TrainError::from)?;
    let created = now();
    // The wall clock stands within the years 1900 to 9999, or the machine has other troubles.
    let id = ModelId::of(created).ok_or(ModellingError::CutOff)?;
    let metrics: Map<String, Value> = match serde_json::to_value(&document.validation) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let features = document.own_terms.iter().chain(&document.market_terms).cloned().collect();
    let version = ModelVersion {
        id,
        kind: KIND.to_owned(),
        created_at: id.time(),
        trained_until: document.trained_until,
        data: document.data.clone(),
        features,
        metrics,
        code_version: document.code_version.clone(),
        active: false,
        activated_at: None,
        model_sha256: sha256(text.as_bytes()),
        note: verdict.as_ref().err().cloned().unwrap_or_default(),
    };
    Ok((version, text))
}

/// Logs a step.
pub fn log(step: &Step) {
    match step {
        Step::Snapshot(data) => tracing::info!(
            rows = data.rows,
            symbols = data.symbols,
            from = %data.from,
            to = %data.to,
            sha256 = data.sha256,
            "snapshot: the rows are read"
        ),
        Step::Fit(progress) => tracing::debug!(?progress, "train"),
        Step::Fitted { rows, validation } => tracing::info!(
            rows,
            scored = validation.as_ref().map(|one| one.rows),
            fz0_025 = validation.as_ref().map(|one| one.fz0_025),
            qlike_r2 = validation.as_ref().map(|one| one.qlike_r2),
            "train: fitted and validated walk-forward"
        ),
        Step::Compared(Comparison { with, since_its_fit, losses }) => {
            let (new, old) = losses.map_or((None, None), |(new, old)| (Some(new), Some(old)));
            tracing::info!(
                %with,
                since_its_fit,
                rows = old.map(|one| one.rows),
                fz0_025 = new.map(|one| one.fz0_025),
                fz0_025_in_use = old.map(|one| one.fz0_025),
                qlike_r2 = new.map(|one| one.qlike_r2),
                qlike_r2_in_use = old.map(|one| one.qlike_r2),
                "train: beside the model in use, on the same sessions"
            );
        }
        Step::Registered { id, sha256, versions } => {
            tracing::info!(%id, sha256, versions, "models.json: the version is registered");
        }
        Step::Activated(id) => {
            tracing::info!(%id, "in use: running daemons load it at their next look");
        }
        Step::NotActivated(why) => tracing::warn!(why, "the version is not put to use"),
    }
}

#[cfg(test)]
mod tests;
