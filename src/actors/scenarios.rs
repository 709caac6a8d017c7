//! Answers users' scenarios: the one place behind `bongsu simulate`, `POST /v1/scenarios` and the task.
//!
//! **In:** a checked [`Scenario`]. **Out:** a [`ScenarioAnswer`], or why there is none
//! ([`ScenarioRefusal`]). Daily bars come from files (`--data`, `advice.history`) or from the database,
//! the model is the one in use in the registry, or the built-in one. Equal bars, model and scenario
//! give equal answers, whoever asks.
//!
//! **Limits.** So many at once, the next is refused, not queued; a time limit, and an asker that goes
//! away, cancel the computation. Bars are kept in memory between questions and read anew when they
//! changed; the last [`SITUATIONS`] days that were asked about are kept too.
//!
//! **Slow or failing.** The arithmetic runs on threads of its own, at a lower priority beside a daemon.
//! Nothing is written.

mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::history::History;
use super::limits::SITUATIONS;
use super::model_watch::built_in;
use super::modelling::{Effort, ModellingError, Source, compute};
use crate::advice::scenario::answer::{AnswerError, Situation, answer};
use crate::advice::scenario::{FieldProblem, Scenario, ScenarioAnswer};
use crate::advice::simulate::build::{ModelInUse, WorldError};
use crate::advice::simulate::sessions::{cut_after, session_at};
use crate::advice::simulate::{Control, Known, World};
use crate::market::{ModelOrigin, SessionDay, Symbol};
use crate::messages::{AskScenario, ScenarioRefusal};
use crate::model::{Document, FittedModel};
use crate::store::models::ModelRegistry;

/// What it is made of.
#[derive(Debug, Clone)]
pub struct ScenarioParts {
    /// Where the bars come from.
    pub source: Source,
    /// What is known of issues besides what the files say.
    pub known: BTreeMap<Symbol, Known>,
    /// Which model is in use.
    pub registry: ModelRegistry,
    /// Most answers computed at once.
    pub at_once: usize,
    /// Time an answer may take.
    pub within: Duration,
    /// How hard it presses.
    pub effort: Effort,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScenarioStep {
    /// Bars and model are read.
    Reading,
    /// The forecasts of the day are made.
    Forecasts,
    /// Paths are simulated.
    Paths {
        /// Done.
        done: usize,
        /// In all.
        of: usize,
    },
}

/// Told each step, from any thread.
pub type TellStep = Arc<dyn Fn(ScenarioStep) + Send + Sync>;

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scenarios(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: ScenarioParts,
    permits: Semaphore,
    history: tokio::sync::Mutex<History>,
    /// The newest last.
    situations: Mutex<Vec<(Key, Arc<Situation>)>>,
}

/// What a situation is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    session: SessionDay,
    data: String,
    model: String,
}

/// Cancels what was asked for when nobody waits any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scenarios {
    /// A service over `parts`.
    #[must_use]
    pub fn new(parts: ScenarioParts) -> Self {
        let permits = Semaphore::new(parts.at_once.min(Semaphore::MAX_PERMITS));
        let history =
            tokio::sync::Mutex::new(History::new(parts.source.clone(), parts.known.clone()));
        Self(Arc::new(Inner { parts, permits, history, situations: Mutex::default() }))
    }

    /// For those who ask without knowing who answers.
    #[must_use]
    pub fn ask(&self) -> AskScenario {
        let service = self.clone();
        Arc::new(move |scenario| {
            let service = service.clone();
            Box::pin(async move { service.answer(scenario, Arc::new(|_| ())).await.map(Arc::new) })
        })
    }

    /// Answers a scenario that was checked.
    ///
    /// # Errors
    /// [`ScenarioRefusal`].
    pub async fn answer(
        &self,
        scenario: Scenario,
        tell: TellStep,
    ) -> Result<ScenarioAnswer, ScenarioRefusal> {
        let Inner { parts, permits, .. } = self.0.as_ref();
        let Ok(_permit) = permits.try_acquire() else {
            return Err(ScenarioRefusal::Busy { at_once: parts.at_once });
        };
        let seconds = parts.within.as_secs();
        match tokio::time::timeout(parts.within, self.computed(scenario, tell)).await {
            Ok(answer) => answer,
            Err(_) => Err(ScenarioRefusal::TooLong { seconds }),
        }
    }

    async fn computed(
        &self,
        scenario: Scenario,
        tell: TellStep,
    ) -> Result<ScenarioAnswer, ScenarioRefusal> {
        tell(ScenarioStep::Reading);
        let situation = self.situation(scenario.simulation.as_of, &tell).await?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let work = move || {
            let control = Control {
                cancelled: &|| cancelled.load(Ordering::Relaxed),
                progress: &|done, of| tell(ScenarioStep::Paths { done, of }),
            };
            answer(&situation, &scenario, &control)
        };
        match compute(self.0.parts.effort, work).await.map_err(|error| failed(&error))? {
            Ok(answer) => Ok(answer),
            Err(AnswerError::Fields(problems)) => Err(ScenarioRefusal::Fields(problems)),
            Err(AnswerError::Cancelled) => Err(failed(&AnswerError::Cancelled)),
        }
    }

    /// What is known at a day.
    async fn situation(
        &self,
        as_of: Option<SessionDay>,
        tell: &TellStep,
    ) -> Result<Arc<Situation>, ScenarioRefusal> {
        let Inner { parts, history, situations, .. } = self.0.as_ref();
        let model = in_use(&parts.registry).await?;
        // Held while bars are read: who comes second finds them read.
        let (panel, known) = history.lock().await.read(parts.effort).await.map_err(no_data)?;
        let session = session_at(&panel, as_of).map_err(no_session)?;
        let data = panel.info.sha256.clone();
        let key = Key { session, data, model: model.sha256.clone() };
        let kept = |all: &[(Key, Arc<Situation>)]| {
            all.iter().find(|(one, _)| *one == key).map(|(_, found)| Arc::clone(found))
        };
        if let Some(found) = kept(&situations.lock()) {
            return Ok(found);
        }
        tell(ScenarioStep::Forecasts);
        let made = compute(parts.effort, move || {
            let panel = cut_after(&panel, session).map_or(panel, Arc::new);
            let in_use =
                ModelInUse { document: &model.document, id: Some(model.id), sha256: &model.sha256 };
            let world = World::build(&panel, in_use, &known, None)?;
            Ok::<_, WorldError>(Arc::new(Situation { world, panel, model: Arc::new(model) }))
        });
        let made =
            made.await.map_err(|error| failed(&error))?.map_err(|error| too_early(error, as_of))?;
        let mut situations = situations.lock();
        // Another asker may have made the same meanwhile.
        if kept(&situations).is_none() {
            if situations.len() >= SITUATIONS {
                situations.remove(0);
            }
            situations.push((key, Arc::clone(&made)));
        }
        Ok(made)
    }
}

/// The model in use: the registry's, or the built-in one.
async fn in_use(registry: &ModelRegistry) -> Result<FittedModel, ScenarioRefusal> {
    let unusable = |error: &dyn std::fmt::Display| ScenarioRefusal::NoData(error.to_string());
    let index = registry.index().await.map_err(|error| unusable(&error))?;
    let Some(active) = index.active() else {
        let switch = built_in().map_err(|error| unusable(&error))?;
        let Some(switch) = switch else {
            return Err(unusable(
                &"no model is in use, and none is built in: bongsu train makes one",
            ));
        };
        return FittedModel::read(&switch)
            .map_err(|error| unusable(&format!("the built-in model {error}")));
    };
    let bytes = registry.document(active).await.map_err(|error| unusable(&error))?;
    let document = Document::from_json(&bytes)
        .map_err(|error| unusable(&format!("the model {} {error}", active.id)))?;
    let (id, sha256) = (active.id, active.model_sha256.clone());
    Ok(FittedModel { id, origin: ModelOrigin::Registry, sha256, document })
}

fn failed(error: &dyn std::fmt::Display) -> ScenarioRefusal {
    ScenarioRefusal::Failed(error.to_string())
}

fn no_data(error: ModellingError) -> ScenarioRefusal {
    match error {
        ModellingError::NoRows => ScenarioRefusal::NoData(
            "there are no daily bars yet: give files with --data or advice.history, or let the job \
             collect_market_prices run first"
                .to_owned(),
        ),
        other => ScenarioRefusal::NoData(other.to_string()),
    }
}

/// Too little before a day that the scenario chose is its mistake; a history that is too short is not.
fn too_early(error: WorldError, asked: Option<SessionDay>) -> ScenarioRefusal {
    match (&error, asked) {
        (WorldError::TooFewDays { days, needed, .. }, Some(asked)) => {
            ScenarioRefusal::Fields(vec![FieldProblem {
                field: "simulation.as_of".to_owned(),
                problem: format!(
                    "is {asked}, before which {days} days can be drawn from, expected a later day: at least {needed} are needed"
                ),
            }])
        }
        _ => no_session(error),
    }
}

/// A day of the scenario's own choice that is not there is its mistake.
fn no_session(error: WorldError) -> ScenarioRefusal {
    match error {
        WorldError::NoSession { as_of, first, last } => {
            ScenarioRefusal::Fields(vec![FieldProblem {
                field: "simulation.as_of".to_owned(),
                problem: format!("is {as_of}, expected a day from {first} to {last}"),
            }])
        }
        other => ScenarioRefusal::NoData(other.to_string()),
    }
}
