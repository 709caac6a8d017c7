//! `collect_market_prices`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::TaskWorld;
use crate::actors::collection::{CollectionParts, RunStatus, Universe, collect};
use crate::market::Symbol;
use crate::tasks::{RetryPolicy, Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// Prices, trades and the account's orders, asked of KIS and stored.
    pub struct Collect("collect_market_prices") {
        /// Which issues, at most 1,000; else those of the settings.
        symbols: Option<Vec<Symbol>>,
        /// all, or prices: without the account's orders.
        kind: Option<String>,
    }
}

const MOST: usize = 1_000;

pub(super) fn task(world: &TaskWorld) -> Task {
    let world = world.clone();
    let task = Task::io(move |arguments, context| {
        let world = world.clone();
        async move { run(&world, arguments, &context).await }
    });
    // A failing call is repeated within the run; the whole run is not.
    task.limits(Duration::from_secs(1_500), Duration::from_secs(1_800)).retry(RetryPolicy {
        max_retries: 1,
        backoff: Duration::from_secs(60),
        backoff_max: Duration::from_secs(60),
    })
}

async fn run(
    world: &TaskWorld,
    arguments: Collect,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let parts = world.collection.as_ref().map_err(TaskFailure::runtime)?;
    if context.is_past() {
        return Err(TaskFailure::value(
            "collect_market_prices asks KIS, which tells the present only",
        ));
    }
    let mut parts = CollectionParts::clone(parts);
    if let Some(symbols) = arguments.symbols {
        if symbols.is_empty() || symbols.len() > MOST {
            return Err(TaskFailure::value(format!(
                "collect_market_prices(): argument symbols has {} issues: expected 1 to {MOST}",
                symbols.len()
            )));
        }
        parts.universe = Universe::Symbols(symbols);
    }
    match arguments.kind.as_deref() {
        None | Some("all") => {}
        Some("prices") => parts.account = None,
        Some(other) => {
            return Err(TaskFailure::value(format!(
                "collect_market_prices(): argument kind is \"{}\": expected all or prices",
                other.chars().take(40).collect::<String>()
            )));
        }
    }
    let parts = Arc::new(parts);
    let log = collect(&parts, "collect_market_prices", context.as_of(), context.cancel()).await;
    match log.status {
        RunStatus::Failed => Err(TaskFailure::transient(format!(
            "nothing more could be collected: {}",
            log.summary()
        ))),
        RunStatus::Stopped => Err(TaskFailure::soft_limit()),
        RunStatus::Done | RunStatus::Partial => {
            serde_json::to_value(&log).map_err(TaskFailure::runtime)
        }
    }
}
