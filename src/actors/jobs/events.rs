//! Crash and threat events by their id, or of an issue: from memory, else from the database.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{TaskWorld, of_store};
use crate::market::{EventTime, Symbol};
use crate::messages::{EventFilter, EventKind, OutwardEvent};
use crate::risk::Level;
use crate::store::entity::threat_event;
use crate::store::past;
use crate::tasks::TaskFailure;

/// Kept events looked through.
const NEWEST: usize = 1_000;

/// The event `id`, as it stood at `at`.
pub(super) async fn by_id(
    world: &TaskWorld,
    id: &str,
    at: EventTime,
) -> Result<Arc<OutwardEvent>, TaskFailure> {
    let missing = || {
        TaskFailure::missing(format!(
            "there is no crash or threat event \"{}\"; /v1/events lists them",
            id.chars().take(64).collect::<String>()
        ))
    };
    let kinds =
        EventFilter { kinds: vec![EventKind::Crash, EventKind::Threat], ..EventFilter::default() };
    let kept = world.bus.latest(&kinds, NEWEST);
    if let Some(found) = kept.into_iter().find(|one| one.event.id == id) {
        return Ok(found.event);
    }
    let database = world.database.as_ref().ok_or_else(missing)?;
    let row = past::event(database, id).await.map_err(of_store)?;
    let row = row.filter(|row| row.event_time <= at).ok_or_else(missing)?;
    Ok(Arc::new(of_row(&row)))
}

/// Crash and threat events within `since` and `at`, newest first; of one issue when `symbol` is given.
pub(super) async fn until(
    world: &TaskWorld,
    since: EventTime,
    at: EventTime,
    symbol: Option<Symbol>,
) -> Result<Vec<Arc<OutwardEvent>>, TaskFailure> {
    let filter = EventFilter {
        kinds: vec![EventKind::Crash, EventKind::Threat],
        symbol: symbol.map(|symbol| symbol.as_str().to_owned()),
        ..EventFilter::default()
    };
    let kept = world.bus.latest(&filter, NEWEST);
    let mut events: Vec<_> = kept.into_iter().map(|one| one.event).collect();
    events.retain(|event| event.time >= since && event.time <= at);
    if let Some(database) = &world.database {
        let rows = past::events_until(database, since, at, symbol, NEWEST as u64);
        let rows = rows.await.map_err(of_store)?;
        // The newest may still be on their way to the database.
        let known: BTreeSet<String> = events.iter().map(|event| event.id.clone()).collect();
        let stored = rows.iter().filter(|row| !known.contains(&row.id));
        events.extend(stored.map(|row| Arc::new(of_row(row))));
    }
    events.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.id.cmp(&b.id)));
    Ok(events)
}

/// The event that a row was made of.
fn of_row(row: &threat_event::Model) -> OutwardEvent {
    let kind = if row.kind == "crash" { EventKind::Crash } else { EventKind::Threat };
    let subject = match (row.symbol.as_deref(), row.rule.as_str()) {
        (Some(symbol), _) => symbol,
        (None, "feed_stale") => "feed",
        (None, "model_drift") => "model",
        (None, _) => "market",
    };
    let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_else(|_| json!({}));
    let data = json!({
        "rule": row.rule,
        "level": row.level,
        "symbol": row.symbol,
        "name": row.name,
        "price": row.price,
        "reference_price": row.reference_price,
        "change_pct": row.change_pct,
        "window_s": row.window_s,
        "score": row.score,
        "event_time": row.event_time.rfc3339(),
        "journal": {"segment": row.journal_segment, "offset": row.journal_offset},
        "evidence": evidence,
    });
    let topic = if kind == EventKind::Crash { subject } else { row.rule.as_str() };
    let mut event = OutwardEvent::new(kind, row.id.clone(), topic, subject, row.event_time, &data);
    event.level = level(&row.level);
    event
}

/// The level that a word names.
pub(super) fn level(word: &str) -> Option<Level> {
    [Level::Watch, Level::Warning, Level::Critical].into_iter().find(|one| one.as_str() == word)
}
