//! `compute_risk`.

use std::time::Duration;

use serde_json::{Value, json};

use super::TaskWorld;
use super::scene::{Origin, Scene, scene};
use crate::market::{Market, Symbol};
use crate::messages::RiskRow;
use crate::tasks::arguments::Moment;
use crate::tasks::{Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// The risk of one issue, or of several: score, what it is made of, forecast volatility.
    ///
    /// Of the present it is the score of the live pipeline where this process has one, else the last
    /// stored one, else what the daily bars say; of a past moment one of the latter two.
    pub struct ComputeRisk("compute_risk") {
        /// One issue: the answer is its row.
        symbol: Option<Symbol>,
        /// Several issues, at most 1,000: the answer has a list.
        symbols: Option<Vec<Symbol>>,
        /// A past moment.
        as_of: Option<Moment>,
    }
}

/// Issues in one call, at most.
const MOST: usize = 1_000;

pub(super) fn task(world: &TaskWorld) -> Task {
    let world = world.clone();
    Task::io(move |arguments, context| {
        let world = world.clone();
        async move { compute(&world, arguments, &context).await }
    })
    .limits(Duration::from_secs(20), Duration::from_secs(40))
}

async fn compute(
    world: &TaskWorld,
    arguments: ComputeRisk,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let as_of = arguments.as_of.map(|moment| moment.0);
    match (arguments.symbol, arguments.symbols) {
        (Some(symbol), None) => {
            let scene = scene(world, context, as_of, &[symbol]).await?;
            let (row, origin) = scene.known(symbol)?;
            let mut answer = row_json(&scene, &row, origin);
            answer["as_of"] = scene.as_of.rfc3339().into();
            Ok(answer)
        }
        (None, Some(symbols)) => {
            if symbols.is_empty() || symbols.len() > MOST {
                return Err(TaskFailure::value(format!(
                    "compute_risk(): argument symbols has {} issues: expected 1 to {MOST}",
                    symbols.len()
                )));
            }
            let scene = scene(world, context, as_of, &symbols).await?;
            let mut scores = Vec::with_capacity(symbols.len());
            let mut missing = Vec::new();
            for symbol in symbols {
                match scene.row(symbol) {
                    Some((row, origin)) => scores.push(row_json(&scene, &row, origin)),
                    None => missing.push(symbol),
                }
            }
            Ok(json!({
                "as_of": scene.as_of.rfc3339(),
                "count": scores.len(),
                "scores": scores,
                "missing": missing,
            }))
        }
        (None, None) => Err(TaskFailure::arguments(
            "compute_risk() missing 1 required argument: 'symbol' (an issue code as 005930) or 'symbols' (a list of them)",
        )),
        (Some(_), Some(_)) => {
            Err(TaskFailure::arguments("compute_risk() takes 'symbol' or 'symbols', not both"))
        }
    }
}

/// A number that JSON can hold, to `digits` places.
fn number(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    let rounded = (value * scale).round() / scale;
    // Adding zero turns -0 into 0.
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

/// An issue's risk as results have it.
pub(super) fn row_json(scene: &Scene, row: &RiskRow, origin: Origin) -> Value {
    let point = &row.point;
    let reference = scene.board.directory.reference(point.symbol);
    let market = match reference.market {
        Market::Unknown => Value::Null,
        market => serde_json::to_value(market).unwrap_or_default(),
    };
    json!({
        "symbol": point.code,
        "name": reference.name,
        "market": market,
        "score": number(point.score, 2),
        "parts": {
            "volatility": number(point.parts.volatility, 4),
            "drawdown": number(point.parts.drawdown, 4),
            "liquidity": number(point.parts.liquidity, 4),
            "volume": number(point.parts.volume, 4),
        },
        "price": point.price,
        "change_pct": number(point.change_pct, 4),
        "daily_volatility_pct": number(row.daily_volatility_pct, 4),
        "over_gap": point.over_gap,
        "model": point.model,
        "event_time": point.time.rfc3339(),
        "source": origin,
    })
}
