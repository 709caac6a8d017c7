//! The tasks: what each of them does when somebody asks for it.
//!
//! A task is a function over its arguments, its context and the [`TaskWorld`]; what it computes lies in
//! the modules that the daemon's own actors use. A task works in the world of a moment: the present
//! one, or that of [`TaskContext::as_of`](crate::tasks::TaskContext::as_of), of which only the database
//! tells; then nothing is stored or published, and equal input gives equal output.
//!
//! | file | tasks |
//! |---|---|
//! | `collect` | `collect_market_prices` |
//! | `score` | `compute_risk` |
//! | `recommend` | `generate_recommendations` |
//! | `mitigate` | `plan_mitigation` |
//! | `scenario` | `simulate_scenario` |
//! | `report` | `summarize_recommendation`, `generate_report`, `weekly_review` |
//! | `alert` | `draft_alert` |
//! | `models` | `retrain_model`, `evaluate_models` |
//! | `backup` | `snapshot_backup` |
//! | `scene` | what they share: the issues at a moment; `events`: what happened by then |
//!
//! **Limits.** A world has at most 8,192 issues with 85 sessions each (some 30 MiB); events are
//! looked up among the newest 1,000.
//!
//! **Failures.** What the caller has to change is a `TypeError`, `ValueError` or `LookupError`; a database or
//! an object store that is away is a `ConnectionError`, and tried again.

mod alert;
mod backup;
mod collect;
mod events;
mod mitigate;
mod models;
mod recommend;
mod report;
mod scenario;
mod scene;
mod score;

use std::path::PathBuf;
use std::sync::Arc;

use super::collection::CollectionParts;
use super::modelling::ModelJobParts;
use super::outlet::AdviceOutlet;
use super::reports::ReportDesk;
use crate::advice::holdings::Holdings;
use crate::advice::{PlanSettings, ScenarioLimits};
use crate::bus::Publisher;
use crate::llm::Writer;
use crate::market::Directory;
use crate::messages::{
    AdviceBoard, AskScenario, BusLimits, EventBus, OutwardEvent, RiskBoard, StoreBatch,
};
use crate::store::fault::Fault;
use crate::store::{Database, ObjectError, Objects, StoreError};
use crate::tasks::{Registry, RegistryError, TaskFailure, TaskSpec};

/// What the tasks work on; what is `None` this process does not have, and the tasks that need it say so.
#[derive(Clone)]
pub struct TaskWorld {
    /// Latest scores of this process's own pipeline; empty without one.
    pub board: RiskBoard,
    /// Kept events.
    pub bus: EventBus,
    /// Where advice goes.
    pub outlet: AdviceOutlet,
    /// The database; `None` in a dry run.
    pub database: Option<Database>,
    /// The object store; `None` in a dry run.
    pub objects: Option<Objects>,
    /// Limits of the default scenario.
    pub limits: ScenarioLimits,
    /// What plans assume.
    pub plans: PlanSettings,
    /// What is held, or assumed.
    pub holdings: Holdings,
    /// Who writes reports, keeps and tells them.
    pub reports: ReportDesk,
    /// What asks KIS; `Err`: why there is none.
    pub collection: Result<Arc<CollectionParts>, String>,
    /// What makes and judges models; `None` in a dry run.
    pub models: Option<Arc<ModelJobParts>>,
    /// Who answers scenarios; `None` without daily bars to look into.
    pub scenarios: Option<AskScenario>,
    /// Where temporary files may lie.
    pub scratch: PathBuf,
}

/// The registry of all tasks over `world`.
///
/// # Errors
/// When two tasks have one name.
pub fn registry(world: &TaskWorld) -> Result<Registry, RegistryError> {
    let mut registry = Registry::new()?;
    for task in [
        collect::task(world),
        score::task(world),
        recommend::task(world),
        mitigate::task(world),
        scenario::task(world),
        report::summarize(world),
        alert::draft_alert(world),
        report::generate(world),
        report::weekly_review(world),
        models::retrain(world),
        models::evaluate(world),
        backup::task(world),
    ] {
        registry.add(task)?;
    }
    Ok(registry)
}

/// The tasks over a world of nothing: to check calls with, and to say what there is.
#[must_use]
pub fn empty_registry() -> Registry {
    registry(&TaskWorld::nothing())
        .expect("invariant: the names of the tasks differ, a test says so")
}

/// What is said of each task, before any setting.
#[must_use]
pub fn catalogue() -> Vec<TaskSpec> {
    empty_registry().specs().cloned().collect()
}

impl TaskWorld {
    /// A world without anything: every task that needs something says that it is missing.
    #[must_use]
    pub fn nothing() -> Self {
        let bus = EventBus::new(BusLimits::default());
        let outlet = AdviceOutlet {
            publisher: Publisher::new(bus.clone(), None),
            board: AdviceBoard::default(),
            recorder: None,
        };
        Self {
            board: RiskBoard::new(Directory::new()),
            bus,
            outlet: outlet.clone(),
            database: None,
            objects: None,
            limits: ScenarioLimits::default(),
            plans: PlanSettings::default(),
            holdings: Holdings::assumed(100_000_000),
            reports: ReportDesk {
                writer: Writer::Template,
                outlet,
                objects: None,
                database: None,
                indices: crate::messages::IndexPath::default(),
                directory: Directory::new(),
                health: None,
            },
            collection: Err("there is nothing to ask here".to_owned()),
            models: None,
            scenarios: None,
            scratch: PathBuf::new(),
        }
    }

    fn database(&self) -> Result<&Database, TaskFailure> {
        self.database.as_ref().ok_or_else(|| {
            TaskFailure::runtime("there is no database: this is a dry run (BONGSU_WRITES=off)")
        })
    }

    /// Keeps what came of a task in the present world.
    async fn store(&self, batch: StoreBatch) -> Result<(), TaskFailure> {
        self.outlet
            .store(batch)
            .await
            .map_err(|error| TaskFailure::transient(format!("the recorder is away: {error}")))
    }

    async fn publish(&self, event: OutwardEvent) {
        self.outlet.publish(event).await;
    }
}

/// A failure of the database: whether it passes is the fault's to say.
fn of_store(error: StoreError) -> TaskFailure {
    match error.fault() {
        Fault::Conflict | Fault::Away | Fault::Slow | Fault::Full | Fault::ReadOnly => {
            TaskFailure::transient(error)
        }
        Fault::Refused | Fault::Row | Fault::Other => TaskFailure::runtime(error),
    }
}

fn of_objects(error: ObjectError) -> TaskFailure {
    match error {
        ObjectError::Away { .. } => TaskFailure::transient(error),
        _ => TaskFailure::runtime(error),
    }
}

#[cfg(test)]
mod tests;
