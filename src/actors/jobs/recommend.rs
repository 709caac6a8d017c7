//! `generate_recommendations`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::TaskWorld;
use super::scene::{Scene, scene};
use crate::actors::recommender::candidate;
use crate::advice::recommend::{RankingModel, recommend};
use crate::advice::{Candidate, ScenarioLimits};
use crate::market::Symbol;
use crate::messages::StoreBatch;
use crate::messages::advice::{RecommendationSet, outward_json};
use crate::tasks::{Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// Ranked picks under a scenario; the default one when none is given.
    ///
    /// With a symbol: picks beside it, or in its place: the same, without the issue itself. The picks are
    /// stored and published like those that the daemon makes by itself.
    pub struct GenerateRecommendations("generate_recommendations") {
        /// The limits that the scenario changes, as an object (max_picks, max_score, markets, excluded, …), or its name.
        scenario: Option<Value>,
        /// The issue to accompany or replace.
        symbol: Option<Symbol>,
        /// Picks at most, 1 to 100.
        limit: Option<u32>,
    }
}

pub(super) fn task(world: &TaskWorld) -> Task {
    let world = world.clone();
    Task::io(move |arguments, context| {
        let world = world.clone();
        async move {
            let set = generate(&world, arguments, &context).await?;
            Ok(outward_json(set.as_ref(), set.as_of))
        }
    })
    .limits(Duration::from_secs(30), Duration::from_secs(60))
}

async fn generate(
    world: &TaskWorld,
    arguments: GenerateRecommendations,
    context: &TaskContext,
) -> Result<Arc<RecommendationSet>, TaskFailure> {
    let mut limits = limits(world, arguments.scenario)?;
    if let Some(limit) = arguments.limit {
        if !(1..=100).contains(&limit) {
            return Err(TaskFailure::value(format!(
                "generate_recommendations(): argument limit is {limit}: expected 1 to 100"
            )));
        }
        limits.max_picks = limit as usize;
    }
    let scene = scene(world, context, None, &[]).await?;
    if let Some(symbol) = arguments.symbol {
        scene.known(symbol)?;
        limits.excluded.push(symbol);
        limits.name = format!("{}:{symbol}", limits.name);
    }
    let candidates = candidates(&scene);
    context.check()?;
    let model = RankingModel::from(scene.model.as_deref());
    let set = Arc::new(recommend(&candidates, &limits, model, scene.as_of));
    if !context.is_past() {
        world.publish(set.event()).await;
        world.outlet.board.add_recommendation(Arc::clone(&set));
        world.store(StoreBatch::Recommendation(Arc::clone(&set))).await?;
    }
    Ok(set)
}

/// All issues of the scene as candidates.
pub(super) fn candidates(scene: &Scene) -> Vec<Candidate> {
    scene.board.rows().iter().map(|row| candidate(&scene.board.directory, row)).collect()
}

/// The limits of the scenario that is asked for.
fn limits(world: &TaskWorld, scenario: Option<Value>) -> Result<ScenarioLimits, TaskFailure> {
    let wrong = |what: &str| {
        TaskFailure::value(format!(
            "generate_recommendations(): argument scenario {what}; expected \"default\" or an object with the limits to change"
        ))
    };
    match scenario {
        None | Some(Value::Null) => Ok(world.limits.clone()),
        Some(Value::String(name)) if name == world.limits.name => Ok(world.limits.clone()),
        Some(Value::String(name)) => Err(wrong(&format!("\"{name}\" is not known"))),
        Some(Value::Object(changes)) => {
            // What the scenario does not say is as in the default one.
            let mut whole = serde_json::to_value(&world.limits)
                .map_err(|error| TaskFailure::runtime(format!("the default limits: {error}")))?;
            if let Some(fields) = whole.as_object_mut() {
                fields.extend(changes);
            }
            serde_json::from_value(whole).map_err(|error| wrong(&format!("is none: {error}")))
        }
        Some(_) => Err(wrong("is neither a name nor an object")),
    }
}
