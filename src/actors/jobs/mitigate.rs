//! `plan_mitigation`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::TaskWorld;
use super::scene::{Scene, scene};
use crate::advice::alarm::{Alarm, LivePosition, respond};
use crate::advice::holdings::portfolio_name;
use crate::advice::live_world::LiveIssue;
use crate::advice::mitigate::Severity;
use crate::advice::simulate::Control;
use crate::market::{EventTime, Market, Symbol, Won};
use crate::messages::advice::{MitigationPlan, outward_json};
use crate::messages::{OutwardEvent, StoreBatch};
use crate::tasks::{ArgumentType, Task, TaskContext, TaskFailure};

/// A position as a caller tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    symbol: Symbol,
    /// Shares.
    quantity: Option<i64>,
    /// Won.
    value: Option<Won>,
}

impl ArgumentType for Vec<Held> {
    const EXPECTED: &'static str = "a list of positions as {\"symbol\": \"005930\", \"quantity\": 10} or {\"symbol\": …, \"value\": 1000000}";
}

crate::task_arguments! {
    /// Ranked defences of a position in an issue, or of a portfolio: what each would cost and change.
    ///
    /// With the event that calls for it the plan answers that event and its level; without one the level
    /// follows from the score. A position that is not told is the one of advice.portfolio, else assumed
    /// (advice.capital); without an issue and positions it is that portfolio that is defended. The plan is
    /// stored and published like those that the daemon makes by itself.
    pub struct PlanMitigation("plan_mitigation") {
        /// The issue.
        symbol: Option<Symbol>,
        /// The portfolio, 1 to 200 positions.
        positions: Option<Vec<Held>>,
        /// The crash or threat event to answer.
        event_id: Option<String>,
    }
}

/// Most that a position may be worth, won: a thousand trillion.
const MOST_WORTH: Won = 1_000_000_000_000_000;
/// Positions in one call, at most.
const MOST: usize = 200;

pub(super) fn task(world: &TaskWorld) -> Task {
    let world = world.clone();
    Task::io(move |arguments, context| {
        let world = world.clone();
        async move {
            let plan = plan(&world, arguments, &context).await?;
            Ok(outward_json(plan.as_ref(), plan.as_of))
        }
    })
    .limits(Duration::from_secs(30), Duration::from_secs(60))
}

async fn plan(
    world: &TaskWorld,
    arguments: PlanMitigation,
    context: &TaskContext,
) -> Result<Arc<MitigationPlan>, TaskFailure> {
    let event = match &arguments.event_id {
        Some(id) => Some(super::events::by_id(world, id, context.as_of()).await?),
        None => None,
    };
    let of_event = event.as_ref().and_then(|event| event.data()["symbol"].as_str()?.parse().ok());
    let held = match (arguments.symbol.or(of_event), arguments.positions) {
        (Some(_), Some(_)) if arguments.symbol.is_some() => {
            return Err(TaskFailure::arguments(
                "plan_mitigation() takes 'symbol' or 'positions', not both",
            ));
        }
        (_, Some(positions)) => positions,
        (Some(symbol), None) => {
            let scene = scene(world, context, None, &[symbol]).await?;
            let (row, _) = scene.known(symbol)?;
            let position = world.holdings.position(symbol, row.point.price);
            let defended = Defended {
                symbols: vec![symbol],
                values: vec![position.value],
                assumed: position.assumed,
                cash: 0,
                left_out: Vec::new(),
            };
            let plan = respond_to(world, context, scene, defended, event.as_deref()).await?;
            return keep(world, context, plan).await;
        }
        (None, None) => {
            let symbols: Vec<Symbol> = world.holdings.symbols().collect();
            if !symbols.is_empty() {
                let plan = of_portfolio(world, context, symbols, event.as_deref()).await?;
                return keep(world, context, plan).await;
            }
            return Err(TaskFailure::arguments(
                "plan_mitigation() missing 1 required argument: 'symbol' (an issue code as 005930) or 'positions' (a list of them); advice.portfolio tells none either",
            ));
        }
    };
    if held.is_empty() || held.len() > MOST {
        return Err(TaskFailure::value(format!(
            "plan_mitigation(): argument positions has {} positions: expected 1 to {MOST}",
            held.len()
        )));
    }
    let symbols: Vec<Symbol> = held.iter().map(|one| one.symbol).collect();
    if let Some(twice) = (1..symbols.len()).find(|at| symbols[..*at].contains(&symbols[*at])) {
        return Err(TaskFailure::value(format!(
            "plan_mitigation(): argument positions has {} twice: expected one position an issue",
            symbols[twice]
        )));
    }
    let scene = scene(world, context, None, &symbols).await?;
    let values: Vec<Won> = held.iter().map(|one| value(&scene, one)).collect::<Result<_, _>>()?;
    let defended = Defended { symbols, values, assumed: false, cash: 0, left_out: Vec::new() };
    let plan = respond_to(world, context, scene, defended, event.as_deref()).await?;
    keep(world, context, plan).await
}

/// A plan for all that the settings say is held.
async fn of_portfolio(
    world: &TaskWorld,
    context: &TaskContext,
    symbols: Vec<Symbol>,
    event: Option<&OutwardEvent>,
) -> Result<MitigationPlan, TaskFailure> {
    let scene = scene(world, context, None, &symbols).await?;
    let (symbols, left_out): (Vec<Symbol>, Vec<Symbol>) =
        symbols.into_iter().partition(|symbol| scene.row(*symbol).is_some());
    if let (true, Some(first)) = (symbols.is_empty(), left_out.first()) {
        scene.known(*first)?;
    }
    let mut values = Vec::with_capacity(symbols.len());
    for symbol in &symbols {
        let (row, _) = scene.known(*symbol)?;
        values.push(world.holdings.position(*symbol, row.point.price).value);
    }
    let worth = values.iter().fold(0, |sum: Won, value| sum.saturating_add(*value));
    let cash = world.holdings.cash(worth);
    respond_to(
        world,
        context,
        scene,
        Defended { symbols, values, assumed: false, cash, left_out },
        event,
    )
    .await
}

/// What a position is worth, won.
fn value(scene: &Scene, held: &Held) -> Result<Won, TaskFailure> {
    let (row, _) = scene.known(held.symbol)?;
    let value = match (held.quantity, held.value) {
        (Some(quantity), None) => quantity.checked_mul(row.point.price),
        (None, Some(value)) => Some(value),
        _ => {
            return Err(TaskFailure::value(format!(
                "plan_mitigation(): the position in {} has {}: expected either quantity (shares) or value (won)",
                held.symbol,
                if held.value.is_some() { "both" } else { "neither" }
            )));
        }
    };
    value.filter(|value| (1..=MOST_WORTH).contains(value)).ok_or_else(|| {
        let (what, told) = match (held.quantity, held.value) {
            (Some(quantity), _) => ("quantity", quantity),
            (_, value) => ("value", value.unwrap_or(0)),
        };
        TaskFailure::value(format!(
            "plan_mitigation(): the position in {} has {what} {told}, at {} won a share: expected a worth of 1 to {MOST_WORTH} won",
            held.symbol, row.point.price
        ))
    })
}

fn severity(event: Option<&OutwardEvent>, score: f64) -> Severity {
    let told = event.and_then(|event| super::events::level(event.data()["level"].as_str()?));
    told.map_or_else(|| Severity::from(super::alert::level_of(score)), Severity::from)
}

fn event_id(event: Option<&OutwardEvent>) -> String {
    event.map(|event| event.id.clone()).unwrap_or_default()
}

/// What is to be defended.
struct Defended {
    symbols: Vec<Symbol>,
    values: Vec<Won>,
    assumed: bool,
    /// Beside it, won.
    cash: Won,
    /// Held too, but nothing is known of it.
    left_out: Vec<Symbol>,
}

/// The plan; simulated on a thread that may take its time.
async fn respond_to(
    world: &TaskWorld,
    context: &TaskContext,
    scene: Scene,
    defended: Defended,
    event: Option<&OutwardEvent>,
) -> Result<MitigationPlan, TaskFailure> {
    let Defended { symbols, values, assumed, cash, left_out } = defended;
    let mut rows = Vec::with_capacity(symbols.len());
    for symbol in &symbols {
        let (row, _) = scene.known(*symbol)?;
        rows.push((row, scene.board.directory.reference(row.point.symbol)));
    }
    let highest = rows.iter().map(|(row, _)| row.point.score).fold(0.0, f64::max);
    let kosdaq = rows.iter().filter(|(_, one)| one.market == Market::Kosdaq).count();
    let market = if 2 * kosdaq > rows.len() { Market::Kosdaq } else { Market::Kospi };
    let (subject, name) = match &rows[..] {
        [(_, one)] if left_out.is_empty() => (one.symbol.as_str().to_owned(), one.name.clone()),
        _ => ("portfolio".to_owned(), portfolio_name(&left_out)),
    };
    let (event_id, severity, as_of) =
        (event_id(event), severity(event, highest), as_of(&scene, event));
    let (settings, cancel) = (world.plans.clone(), context.cancel().clone());
    let work = move || {
        let held = rows.iter().zip(&values).map(|((row, reference), value)| LivePosition {
            issue: LiveIssue {
                reference,
                price: row.point.price,
                daily_volatility_pct: row.daily_volatility_pct,
                shortfall_pct: row.point.parts.volatility,
                spread_pct: row.spread_pct,
                halted: row.halted || scene.board.stands_still(reference.market),
            },
            value: *value,
        });
        let alarm = Alarm {
            event_id,
            severity,
            subject,
            name,
            as_of,
            held: held.collect(),
            market,
            value: 0,
            cash,
            assumed,
            market_halted: scene.board.stands_still(market),
        };
        let watched = scene.board.directory.all();
        let control = Control { cancelled: &|| cancel.is_cancelled(), progress: &|_, _| {} };
        respond(&alarm, &watched, scene.model.as_deref(), &settings, &control)
    };
    let plan = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| TaskFailure::runtime(format!("planning was cut off: {error}")))?;
    plan.map_err(|error| {
        let cancelled = context.check();
        cancelled.err().unwrap_or_else(|| TaskFailure::value(error))
    })
}

/// A plan is of the moment it is made at; it does not lie before its event.
fn as_of(scene: &Scene, event: Option<&OutwardEvent>) -> EventTime {
    event.map_or(scene.as_of, |event| scene.as_of.max(event.time))
}

async fn keep(
    world: &TaskWorld,
    context: &TaskContext,
    plan: MitigationPlan,
) -> Result<Arc<MitigationPlan>, TaskFailure> {
    let plan = Arc::new(plan);
    if !context.is_past() {
        world.publish(plan.event()).await;
        world.outlet.board.add_mitigation(Arc::clone(&plan));
        world.store(StoreBatch::Mitigation(Arc::clone(&plan))).await?;
    }
    Ok(plan)
}

/// A plan as a caller hands it on.
pub(super) fn subject_of(plan: &Value) -> Option<Symbol> {
    plan.get("options")?;
    plan["subject"].as_str()?.parse().ok()
}
