//! A process without a pipeline sees what another one makes: events from the stream on Redis, scores and
//! advice from the database.
//!
//! **In:** the stream, `risk_scores`, `reports`. **Out:** the read models that HTTP and the tasks read. What
//! is away is asked again; nobody waits for it, and the health lines of database and Redis say so.
//!
//! Behind: events by up to [`STEP`], scores by up to [`SCORES`] and the time to the Recorder's next write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::supervision::StageError;
use crate::bus::StreamFollower;
use crate::market::{EventTime, Reference, Symbol};
use crate::messages::advice::{MitigationPlan, RecommendationSet};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{
    AdviceBoard, EventBus, EventKind, OutwardEvent, RiskBoard, RiskPoint, RiskRow, ScoreParts,
};
use crate::store::entity::risk_score;
use crate::store::read::{self, Pointer};
use crate::store::{Database, StoreError, past};

/// Time between two looks at the stream.
pub const STEP: Duration = Duration::from_millis(100);
/// Time between two looks at the scores.
pub const SCORES: Duration = Duration::from_secs(2);
/// Scores of a day are read at the start: those of the newest session.
const SESSION_US: i64 = 86_400_000_000;
/// A minute.
const MINUTE_US: i64 = 60_000_000;
/// Rows that were still on their way when the minutes before were read.
const OVERLAP_US: i64 = 180_000_000;

/// Brings the stream's events into `bus` and the advice among them onto `advice`, until it is told to stop.
///
/// # Errors
/// When the URL cannot be used.
pub async fn follow_events(
    url: String,
    bus: EventBus,
    advice: AdviceBoard,
    database: Option<Database>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut stream = StreamFollower::connect(&url, Duration::from_secs(2))
        .map_err(|error| StageError::Fatal(error.to_string()))?;
    let mut told = false;
    loop {
        let pause = match stream.read().await {
            Ok(events) if events.is_empty() => STEP,
            Ok(events) => {
                for event in &events {
                    take_advice(event, &advice, database.as_ref()).await;
                }
                bus.publish(&events.into_iter().map(Arc::new).collect::<Vec<_>>());
                told = false;
                Duration::ZERO
            }
            Err(error) => {
                if !told {
                    tracing::warn!(error, "the stream of events cannot be read; it is asked again");
                }
                told = true;
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Advice travels whole in its event, but for the body of a report.
async fn take_advice(event: &OutwardEvent, board: &AdviceBoard, database: Option<&Database>) {
    let mut whole = event.data().clone();
    if !whole.is_object() {
        return;
    }
    whole["as_of"] = serde_json::json!(event.time);
    match event.kind {
        EventKind::Recommendation => {
            if let Ok(set) = serde_json::from_value::<RecommendationSet>(whole) {
                board.add_recommendation(Arc::new(set));
            }
        }
        EventKind::Mitigation => {
            if let Ok(plan) = serde_json::from_value::<MitigationPlan>(whole) {
                board.add_mitigation(Arc::new(plan));
            }
        }
        EventKind::Report => {
            let (Some(id), Some(database)) = (event.data()["id"].as_str(), database) else {
                return;
            };
            match read::report(database, Pointer::Id(id)).await {
                Ok(Some(report)) => board.add_report(Arc::new(report)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a report cannot be read"),
            }
        }
        _ => {}
    }
}

/// Brings stored scores onto `board`, until it is told to stop.
///
/// # Errors
/// None; a database that is away is asked again.
pub async fn follow_scores(
    board: RiskBoard,
    database: Database,
    health: HealthRegistry,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut after = None;
    loop {
        let state = match look(&board, &database, &mut after).await {
            Ok(()) => HealthState::Up,
            Err(error) => HealthState::down(error.to_string()),
        };
        if health.set(Component::Database, state.clone())
            && let Some(why) = state.reason()
        {
            tracing::warn!(why, "scores of the other process are not read; the last ones stay");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(SCORES) => {}
        }
    }
}

/// Reads what was scored since the last look.
async fn look(
    board: &RiskBoard,
    database: &Database,
    after: &mut Option<EventTime>,
) -> Result<(), StoreError> {
    let Some(newest) = past::newest_score(database).await? else { return Ok(()) };
    let since = match *after {
        Some(after) => after.plus_micros(-OVERLAP_US),
        None => newest.plus_micros(-SESSION_US),
    };
    // To the end of that minute.
    let rows = past::scores_at(database, since, newest.plus_micros(MINUTE_US), &[]).await?;
    let new: BTreeSet<Symbol> = rows
        .iter()
        .filter_map(|row| row.symbol.parse().ok())
        .filter(|symbol| board.directory.find(*symbol).is_none())
        .collect();
    let names: BTreeMap<Symbol, String> =
        if new.is_empty() { BTreeMap::new() } else { past::names(database, &new).await? };
    for symbol in new {
        let name = names.get(&symbol).cloned().unwrap_or_default();
        board.directory.update(Reference { name, ..Reference::bare(symbol) });
    }
    // Made before the board is locked: each row is held against the one that is shown.
    let fresh: Vec<RiskRow> = rows.iter().filter_map(|row| of_row(board, row)).collect();
    board.update(fresh);
    *after = Some(newest);
    Ok(())
}

fn of_row(board: &RiskBoard, row: &risk_score::Model) -> Option<RiskRow> {
    let code: Symbol = row.symbol.parse().ok()?;
    let symbol = board.directory.find(code)?;
    let shown = board.get(symbol);
    if shown.is_some_and(|shown| shown.point.time > row.event_time) {
        return None;
    }
    let parts = ScoreParts {
        volatility: row.part_volatility,
        drawdown: row.part_drawdown,
        liquidity: row.part_liquidity,
        volume: row.part_volume,
    };
    let (high, low) = match shown {
        Some(shown) => (shown.high.max(row.price), shown.low.min(row.price)),
        None => (row.price, row.price),
    };
    let point = RiskPoint {
        symbol,
        code,
        time: row.event_time,
        price: row.price,
        score: row.score,
        parts,
        change_pct: row.change_pct,
        over_gap: row.over_gap,
        cum_volume: 0,
        at: Default::default(),
        model: row.model.parse().ok(),
    };
    // What is not stored is not known here: 0.
    Some(RiskRow {
        point,
        high,
        low,
        daily_volatility_pct: 0.0,
        rest_of_day_var_pct: 0.0,
        spread_pct: 0.0,
        cum_value: 0,
        halted: false,
    })
}
