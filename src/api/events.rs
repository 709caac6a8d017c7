//! `/v1/events` and the event stream. Bodies: `docs/schemas/events.schema.json`.
//!
//! The stream gives each event as `id:` (the event's id; scores have none, because they cannot be
//! gone back to), `event:` (`crash`, `threat`, …) and `data:` (the CloudEvent). `Last-Event-ID`
//! (or `since`) goes on after that event; when it is no longer known, a `gap` event comes first
//! and then all kept events, whose ids make the overlap harmless. A client that reads too slowly
//! gets a `gap` event where scores are missing; kept events are caught up on from memory.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::problem::Problem;
use super::query::Query;
use crate::messages::{
    EventFilter, EventKind, GapNotice, Pattern, Published, Resume, StreamItem, Subscription,
};

const MAX_EVENTS: usize = 10_000;
const DEFAULT_EVENTS: usize = 100;

/// `type`: kinds as short names or CloudEvents types, comma-separated.
fn kinds(text: &str) -> Result<Vec<EventKind>, Problem> {
    let parse = |name: &str| {
        let found =
            EventKind::ALL.into_iter().find(|k| k.as_str() == name || k.cloud_type() == name);
        found.ok_or_else(|| {
            let names = EventKind::ALL.map(EventKind::as_str).join(", ");
            Problem::bad_parameter("type", name, format!("{names}, or several joined by commas"))
        })
    };
    text.split(',').map(|name| parse(name.trim())).collect()
}

fn filter(query: &Query) -> Result<EventFilter, Problem> {
    let pattern = query.text("pattern").map(|text| {
        text.parse::<Pattern>().map_err(|_| {
            let expected = "a channel where * stands for any text and ? for one character, for example bongsu.crash.*";
            Problem::bad_parameter("pattern", text, expected)
        })
    });
    Ok(EventFilter {
        kinds: query.text("type").map(kinds).transpose()?.unwrap_or_default(),
        symbol: query.text("symbol").map(str::to_owned),
        pattern: pattern.transpose()?,
    })
}

/// A sequence number, or an event id.
fn resume(text: &str) -> Resume {
    match text.parse() {
        // An id is 32 hex digits, so even one of digits alone is no sequence number.
        Ok(number) if text.len() < 20 => Resume::Sequence(number),
        _ => Resume::Id(text.to_owned()),
    }
}

fn gap_json(gap: &GapNotice) -> Value {
    json!({ "reason": gap.reason.as_str(), "after": gap.after, "missed": gap.missed })
}

fn event_json(published: &Published) -> Option<Value> {
    // Written by us as a JSON object, so this does parse.
    let event: Value = serde_json::from_str(&published.event.json).ok()?;
    Some(json!({
        "sequence": published.sequence,
        "channel": published.event.channel,
        "event": event,
    }))
}

/// `GET /v1/events?since=&type=&symbol=&pattern=&limit=`: kept events, oldest first. Without
/// `since` the newest `limit`; with it the first `limit` after that sequence number or event id.
pub(super) async fn list(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    query.allow(&["since", "type", "symbol", "pattern", "limit"])?;
    let filter = filter(&query)?;
    let limit = query.count("limit", DEFAULT_EVENTS, MAX_EVENTS)?;
    let (events, gap) = match query.text("since") {
        Some(since) => state.bus.since(&resume(since), &filter, limit),
        None => (state.bus.latest(&filter, limit), None),
    };
    let next = events.last().map(|published| published.sequence);
    let events: Vec<Value> = events.iter().filter_map(event_json).collect();
    Ok(Json(json!({
        "count": events.len(),
        "next": next,
        "gap": gap.as_ref().map(gap_json),
        "events": events,
    })))
}

/// An open stream: counted while it lives, ended by the server's stop.
struct Open {
    subscription: Subscription,
    shutdown: CancellationToken,
    clients: metrics::Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.clients.decrement(1.0);
    }
}

fn sse(item: &StreamItem) -> Event {
    match item {
        StreamItem::Event(published) => {
            let event = &published.event;
            let sse = Event::default().event(event.kind.as_str()).data(event.json.as_ref());
            if event.kind.is_kept() { sse.id(&event.id) } else { sse }
        }
        StreamItem::Gap(gap) => {
            metrics::counter!("bongsu_sse_gaps_total", "reason" => gap.reason.as_str())
                .increment(1);
            Event::default().event("gap").data(gap_json(gap).to_string())
        }
    }
}

async fn next(mut open: Open) -> Option<(Result<Event, Infallible>, Open)> {
    let item = tokio::select! {
        biased;
        () = open.shutdown.cancelled() => None,
        item = open.subscription.next() => item,
    };
    item.map(|item| (Ok(sse(&item)), open))
}

/// `GET /v1/events/stream?since=&type=&symbol=&pattern=`: server-sent events.
pub(super) async fn stream(
    State(state): State<ApiState>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["since", "type", "symbol", "pattern"])?;
    let filter = filter(&query)?;
    // A browser sends its last id by itself, so it is newer than what the URL says.
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let since = header.filter(|id| !id.is_empty()).or(query.text("since"));
    let Ok(permit) = std::sync::Arc::clone(&state.streams).try_acquire_owned() else {
        metrics::counter!("bongsu_sse_refused_total").increment(1);
        return Err(Problem::too_many_streams());
    };
    let clients = metrics::gauge!("bongsu_sse_clients");
    clients.increment(1.0);
    let open = Open {
        subscription: state.bus.subscribe(filter, &since.map_or(Resume::Now, resume)),
        shutdown: state.shutdown.clone(),
        clients,
        _permit: permit,
    };
    let keep_alive = KeepAlive::new().interval(state.keep_alive).text("keep-alive");
    // The first bytes tell the client how long to wait before it connects again, and that it is
    // connected now.
    let hello = Event::default().retry(Duration::from_secs(2)).comment("bongsu");
    let hello = futures::stream::once(std::future::ready(Ok::<_, Infallible>(hello)));
    let events = futures::StreamExt::chain(hello, futures::stream::unfold(open, next));
    let response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies must not collect the stream.
    Ok(([("x-accel-buffering", "no")], response).into_response())
}
