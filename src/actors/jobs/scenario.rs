//! `simulate_scenario`.

use std::time::Duration;

use serde_json::Value;

use super::TaskWorld;
use crate::advice::scenario::Scenario;
use crate::messages::ScenarioRefusal;
use crate::tasks::{Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// A user's scenario: distribution, risk, picks and plans, as POST /v1/scenarios answers; changes nothing.
    pub struct Simulate("simulate_scenario") {
        /// The scenario as an object, or its text (YAML or JSON).
        scenario: Value,
    }
}

pub(super) fn task(world: &TaskWorld) -> Task {
    let world = world.clone();
    Task::io(move |arguments, context| {
        let world = world.clone();
        async move { simulate(&world, arguments, &context).await }
    })
    .limits(Duration::from_secs(150), Duration::from_secs(180))
}

async fn simulate(
    world: &TaskWorld,
    arguments: Simulate,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let ask = world.scenarios.as_ref().ok_or_else(|| {
        TaskFailure::runtime(
            "scenarios need daily bars: a database, or the files of advice.history",
        )
    })?;
    let text = match arguments.scenario {
        Value::String(text) => text,
        object => object.to_string(),
    };
    let mut scenario = Scenario::parse(&text).map_err(|error| {
        TaskFailure::value(format!("simulate_scenario(): argument scenario {error}"))
    })?;
    if context.is_past() && scenario.simulation.as_of.is_none() {
        scenario.simulation.as_of = Some(context.as_of().session_day());
    }
    let answer = ask(scenario).await.map_err(|refusal| match refusal {
        ScenarioRefusal::Fields(_) => {
            TaskFailure::value(format!("simulate_scenario(): argument scenario: {refusal}"))
        }
        ScenarioRefusal::NoData(_) => TaskFailure::missing(refusal),
        ScenarioRefusal::Busy { .. } => {
            TaskFailure::builtin("BlockingIOError", refusal).retry_after(Duration::from_secs(2))
        }
        ScenarioRefusal::TooLong { .. } | ScenarioRefusal::Failed(_) => {
            TaskFailure::runtime(refusal)
        }
    })?;
    serde_json::to_value(answer.as_ref()).map_err(TaskFailure::runtime)
}
