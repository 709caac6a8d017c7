//! `draft_alert`: the Korean alert on an event, on an issue, or on what a chain handed on.

use std::sync::Arc;

use serde_json::{Value, json};

use super::TaskWorld;
use super::report::{io_task, write};
use super::scene::scene;
use crate::llm::ReportRequest;
use crate::market::Symbol;
use crate::messages::event::deterministic_id;
use crate::messages::{EventKind, OutwardEvent};
use crate::risk::Level;
use crate::tasks::{Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// The Korean alert on a crash or threat, or on the present risk of an issue.
    ///
    /// In a chain, what the task before answered may come first: an event, a score, picks, a plan, or a list of
    /// such: the alert is on its event or issue. On an answer that names neither, it is on the newest event of
    /// the last day, else on the issue of the highest score, and `chosen` says which.
    pub struct DraftAlert("draft_alert") {
        /// Id of the event; or an event or advice object.
        event_id: Option<Value>,
        /// The issue: its newest event of the last day, else its present risk.
        symbol: Option<Symbol>,
        /// watch, warning or critical (or low, medium, high); else that of the event, or what the score calls for.
        level: Option<String>,
    }
}

const DAY_US: i64 = 86_400_000_000;

pub(super) fn draft_alert(world: &TaskWorld) -> Task {
    io_task!(world, write_alert)
}

/// The level that a score calls for.
pub(super) fn level_of(score: f64) -> Level {
    match score {
        95.0.. => Level::Critical,
        80.0.. => Level::Warning,
        _ => Level::Watch,
    }
}

/// What an alert is to be on.
enum Subject {
    Event(String),
    Issue(Symbol),
    /// Whatever is newest.
    Newest,
}

/// The event or issue that an object is about.
fn subject_of(object: &Value) -> Option<Subject> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if object.get("specversion").is_some() {
        return text(&object["id"]).map(Subject::Event);
    }
    if let Some(id) = text(&object["event_id"]) {
        return Some(Subject::Event(id));
    }
    if let Some(symbol) = super::mitigate::subject_of(object) {
        return Some(Subject::Issue(symbol));
    }
    let first = [
        &object["symbol"],
        &object["data"]["symbol"],
        &object["picks"][0]["symbol"],
        &object["scores"][0]["symbol"],
    ];
    let symbol = first.into_iter().find_map(|value| value.as_str()?.parse().ok());
    symbol.map(Subject::Issue)
}

/// The level that a word asks for.
fn asked_level(word: &str) -> Result<Level, TaskFailure> {
    let plain = match word {
        "low" => "watch",
        "medium" => "warning",
        "high" => "critical",
        word => word,
    };
    super::events::level(plain).ok_or_else(|| {
        let word: String = word.chars().take(40).collect();
        TaskFailure::value(format!(
            "draft_alert(): argument level is \"{word}\": expected watch, warning or critical (or low, medium, high)"
        ))
    })
}

/// What the task before in a chain answered is about: the event or issue that it names, or nothing.
async fn handed_on(
    world: &TaskWorld,
    context: &TaskContext,
    value: &Value,
) -> Result<Subject, TaskFailure> {
    let named = match value {
        Value::String(id) => Some(Subject::Event(id.clone())),
        Value::Object(_) => subject_of(value),
        Value::Array(all) => all.iter().find_map(subject_of),
        _ => None,
    };
    let Some(Subject::Event(id)) = &named else { return Ok(named.unwrap_or(Subject::Newest)) };
    if is_event_id(id) || !value.is_string() {
        return Ok(Subject::Event(id.clone()));
    }
    // A text may be an answer as `pong`, which is no event.
    match super::events::by_id(world, id, context.as_of()).await {
        Err(failure) if failure.exc_type == "LookupError" => Ok(Subject::Newest),
        found => found.map(|event| Subject::Event(event.id.clone())),
    }
}

/// Whether a text has the form of the ids that events have.
fn is_event_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn write_alert(
    world: &TaskWorld,
    arguments: DraftAlert,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let level = arguments.level.as_deref().map(asked_level).transpose()?;
    let is_handed_on = !context.call().args.is_empty();
    let subject = match (arguments.event_id, arguments.symbol) {
        (_, Some(symbol)) => Subject::Issue(symbol),
        (Some(value), None) if is_handed_on => handed_on(world, context, &value).await?,
        (Some(Value::String(id)), None) => Subject::Event(id),
        (Some(object @ Value::Object(_)), None) => subject_of(&object).ok_or_else(|| {
            TaskFailure::value(
                "draft_alert(): argument event_id is an object without an event id and without a symbol",
            )
        })?,
        (Some(other), None) => {
            return Err(TaskFailure::arguments(format!(
                "draft_alert(): argument event_id is {other}: expected an id, or an event or advice object"
            )));
        }
        (None, None) => {
            return Err(TaskFailure::arguments(
                "draft_alert() missing 1 required argument: 'event_id' (of a crash or threat) or 'symbol' (an issue code as 005930)",
            ));
        }
    };
    let (event, chosen) = match subject {
        Subject::Event(id) => (super::events::by_id(world, &id, context.as_of()).await?, None),
        Subject::Issue(symbol) => (of_issue(world, context, symbol, level).await?, None),
        Subject::Newest => newest(world, context, level).await?,
    };
    let told = event.data()["level"].as_str().and_then(super::events::level);
    let event = match level {
        Some(level) if told != Some(level) => Arc::new(at_level(&event, level)),
        _ => event,
    };
    let data = event.data().clone();
    let mut answer =
        write(world, context, ReportRequest::Alert { event: Arc::clone(&event), plan: None })
            .await?;
    answer["event_id"] = event.id.clone().into();
    answer["symbol"] = data["symbol"].clone();
    answer["level"] = data["level"].clone();
    if let Some(chosen) = chosen {
        answer["chosen"] = chosen.into();
    }
    Ok(answer)
}

/// The newest event of the last day, else a draft on the issue of the highest score; and which it is.
async fn newest(
    world: &TaskWorld,
    context: &TaskContext,
    level: Option<Level>,
) -> Result<(Arc<OutwardEvent>, Option<&'static str>), TaskFailure> {
    let scene = scene(world, context, None, &[]).await?;
    let since = scene.as_of.plus_micros(-DAY_US);
    let events = super::events::until(world, since, scene.as_of, None).await?;
    if let Some(event) = events.into_iter().next() {
        return Ok((event, Some("newest_event")));
    }
    let rows = scene.board.rows();
    let riskiest = rows.iter().max_by(|a, b| {
        a.point.score.total_cmp(&b.point.score).then(b.point.code.cmp(&a.point.code))
    });
    let riskiest = riskiest.ok_or_else(|| {
        TaskFailure::missing("no event within a day and no issue with a score: nothing to alert on")
    })?;
    let event = of_issue(world, context, riskiest.point.code, level).await?;
    Ok((event, Some("highest_score")))
}

/// The same event told at another level: a draft, with an identity of its own.
fn at_level(event: &OutwardEvent, level: Level) -> OutwardEvent {
    let mut data = event.data().clone();
    data["level"] = level.as_str().into();
    let id = deterministic_id(&["draft", &event.id, level.as_str()]);
    let topic = event.channel.rsplit('.').next().unwrap_or_default();
    OutwardEvent::new(event.kind, id, topic, &event.subject, event.time, &data)
}

/// The newest event of an issue within the last day, else a draft on its present risk.
async fn of_issue(
    world: &TaskWorld,
    context: &TaskContext,
    symbol: Symbol,
    level: Option<Level>,
) -> Result<Arc<OutwardEvent>, TaskFailure> {
    let scene = scene(world, context, None, &[symbol]).await?;
    let (row, _) = scene.known(symbol)?;
    let since = scene.as_of.plus_micros(-DAY_US);
    let events = super::events::until(world, since, scene.as_of, Some(symbol)).await?;
    if let Some(event) = events.into_iter().next() {
        return Ok(event);
    }
    let point = &row.point;
    let reference = scene.board.directory.reference(point.symbol);
    let level = level.unwrap_or_else(|| level_of(point.score)).as_str();
    let data = json!({
        "rule": "위험 점수",
        "level": level,
        "symbol": symbol,
        "name": reference.name,
        "price": point.price,
        "reference_price": reference.base_price.unwrap_or(0),
        "change_pct": (point.change_pct * 1e4).round() / 1e4,
        "window_s": 0,
        "score": (point.score * 100.0).round() / 100.0,
        "event_time": point.time.rfc3339(),
        "evidence": {"daily_volatility_pct": (row.daily_volatility_pct * 1e4).round() / 1e4},
    });
    let minute = point.time.minute().to_string();
    let id = deterministic_id(&["draft", symbol.as_str(), &minute, level]);
    let code = symbol.as_str();
    Ok(Arc::new(OutwardEvent::new(EventKind::Threat, id, code, code, point.time, &data)))
}
