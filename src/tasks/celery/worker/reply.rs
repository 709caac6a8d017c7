//! What the worker answers to each command of remote control.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{Shared, execute};
use crate::tasks::celery::envelope::Envelope;
use crate::tasks::celery::hands::{Held, Phase};
use crate::tasks::celery::request::{self, Request};
use crate::tasks::celery::{events, time};
use crate::tasks::{RateLimit, TaskSpec};

/// Messages that wait for their ETA in Redis and are listed, at most.
const LISTED: usize = 1_000;
/// Places that remote control may give a worker, at most.
const MAX_PLACES: usize = 1_000;

/// Does what `method` says, and the answer.
pub(super) async fn to(
    shared: &Arc<Shared>,
    method: &str,
    arguments: &Map<String, Value>,
) -> Value {
    match method {
        "ping" => json!({"ok": "pong"}),
        "stats" => stats(shared),
        "registered" => registered(shared, arguments),
        "active" => listed(shared, |phase| matches!(phase, Phase::Active(_))),
        "reserved" => listed(shared, |phase| phase == Phase::Reserved),
        "scheduled" => scheduled(shared).await,
        "revoked" => json!(shared.revoked.lock().ids()),
        "query_task" => query(shared, arguments),
        "active_queues" => active_queues(shared),
        "conf" => conf(shared),
        "report" => json!({"ok": report(shared)}),
        "clock" => json!({"clock": shared.events.tick()}),
        "hello" => hello(shared, arguments),
        "revoke" | "terminate" => revoke(shared, method, arguments).await,
        "enable_events" => switched(shared, true),
        "disable_events" => switched(shared, false),
        "heartbeat" => {
            shared.events.worker(shared.broker.link(), "worker-heartbeat", shared.load()).await;
            json!({"ok": "heartbeat sent"})
        }
        "rate_limit" => rate_limit(shared, arguments),
        "time_limit" => time_limit(shared, arguments),
        "add_consumer" => consume(shared, arguments, true),
        "cancel_consumer" => consume(shared, arguments, false),
        "pool_grow" => resize(shared, arguments, 1),
        "pool_shrink" => resize(shared, arguments, -1),
        "shutdown" | "pool_restart" | "autoscale" => {
            error(format!("{method} is not for this worker: its daemon starts and stops it"))
        }
        _ => error(format!("KeyError('{method}')")),
    }
}

fn error(text: impl Into<String>) -> Value {
    json!({"error": text.into()})
}

/// The texts of an argument that is one or a list of them.
fn texts(arguments: &Map<String, Value>, name: &str) -> Vec<String> {
    match arguments.get(name) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn stats(shared: &Shared) -> Value {
    let places = shared.concurrency.load(Ordering::Relaxed);
    let pid = std::process::id();
    json!({
        "total": *shared.totals.lock(),
        "pid": pid,
        "clock": shared.events.tick().to_string(),
        "uptime": shared.since.elapsed().as_secs(),
        "pool": {
            "implementation": "bongsu",
            "max-concurrency": places,
            "processes": [pid],
            "max-tasks-per-child": "N/A",
            "put-guarded-by-semaphore": true,
            "timeouts": [0, 0],
            "writes": {
                "total": shared.processed.load(Ordering::Relaxed),
                "avg": "0.00", "all": "", "raw": "", "strategy": "fair",
                "inqueues": {"total": places, "active": shared.hands.lock().active()},
            },
        },
        "broker": {
            "hostname": shared.address.host(),
            "userid": null,
            "virtual_host": shared.address.database().to_string(),
            "port": shared.address.port(),
            "insist": false,
            "ssl": shared.address.is_encrypted(),
            "transport": "redis",
            "connect_timeout": 4,
            "transport_options": {"visibility_timeout": shared.options.visibility.as_secs()},
            "login_method": null,
            "uri_prefix": null,
            "heartbeat": 120.0,
            "failover_strategy": "round-robin",
            "alternates": [],
            "credential_provider": null,
        },
        "prefetch_count": shared.options.prefetch,
        "rusage": usage(),
    })
}

/// What the process has used: seconds of the processor, and its largest memory in KiB.
fn usage() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let largest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok())
        .unwrap_or(0_u64);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in brackets, which may hold blanks: fields 3 and on; times are 14 and 15, in
    // hundredths of a second.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    json!({"utime": ticks(11) / 100.0, "stime": ticks(12) / 100.0, "maxrss": largest})
}

/// Names of the tasks, with what of them was asked for: `debug_ping [rate_limit=10/s]`.
fn registered(shared: &Shared, arguments: &Map<String, Value>) -> Value {
    let items = texts(arguments, "taskinfoitems");
    let value = |spec: &TaskSpec, item: &str| match item {
        "rate_limit" => spec.rate_limit.map(|rate| rate.to_string()),
        "time_limit" => Some(spec.hard_limit.as_secs_f64().to_string()),
        "soft_time_limit" => Some(spec.soft_limit.as_secs_f64().to_string()),
        "max_retries" => Some(spec.retry.max_retries.to_string()),
        _ => None,
    };
    let mut names: Vec<String> = shared
        .runner
        .registry()
        .specs()
        .map(|spec| {
            let of = |item: &String| Some(format!("{item}={}", value(spec, item)?));
            let info: Vec<String> = items.iter().filter_map(of).collect();
            match info.is_empty() {
                true => spec.name.to_owned(),
                false => format!("{} [{}]", spec.name, info.join(" ")),
            }
        })
        .collect();
    names.sort_unstable();
    json!(names)
}

/// A request as `active`, `reserved` and their like show it.
fn info(shared: &Shared, request: &Request, phase: Phase) -> Value {
    let start = match phase {
        Phase::Active(since) => json!(time::unix(since)),
        _ => Value::Null,
    };
    json!({
        "id": request.id,
        "name": request.shown_name(),
        "args": request.args,
        "kwargs": request.kwargs,
        "type": request.name,
        "hostname": shared.options.node,
        "time_start": start,
        "acknowledged": false,
        "delivery_info": {
            "exchange": "",
            "routing_key": request.envelope.routing_key().unwrap_or(&shared.options.queue),
            "priority": request.envelope.priority(),
            "redelivered": request.envelope.is_redelivered(),
        },
        "worker_pid": std::process::id(),
    })
}

fn in_hand(shared: &Shared) -> Vec<Held> {
    shared.hands.lock().all().into_iter().map(|(_, held)| held).collect()
}

fn listed(shared: &Shared, which: impl Fn(Phase) -> bool) -> Value {
    let held = in_hand(shared).into_iter().filter(|held| which(held.phase));
    held.map(|held| info(shared, &held.request, held.phase)).collect()
}

fn waiting_for_eta(shared: &Shared, request: &Request) -> Option<Value> {
    let eta = request.eta?;
    Some(json!({
        "eta": time::format(eta),
        "priority": 6,
        "request": info(shared, request, Phase::Scheduled(eta)),
    }))
}

/// Those in memory, and those in Redis, which are nobody's: each worker shows them.
async fn scheduled(shared: &Shared) -> Value {
    let here = in_hand(shared).into_iter();
    let here = here.filter(|held| matches!(held.phase, Phase::Scheduled(_)));
    let mut all: Vec<Value> =
        here.filter_map(|held| waiting_for_eta(shared, &held.request)).collect();
    match shared.broker.parked(LISTED).await {
        Ok(parked) => all.extend(
            parked
                .into_iter()
                .filter_map(|(_, envelope)| request::read(envelope).ok())
                .filter_map(|request| waiting_for_eta(shared, &request)),
        ),
        Err(error) => tracing::debug!(%error, "parked messages cannot be listed"),
    }
    all.into()
}

fn query(shared: &Shared, arguments: &Map<String, Value>) -> Value {
    let ids = texts(arguments, "ids");
    let mut found = Map::new();
    for held in in_hand(shared) {
        if ids.contains(&held.request.id) {
            let state = match held.phase {
                Phase::Active(_) => "active",
                Phase::Reserved => "reserved",
                Phase::Scheduled(_) => "scheduled",
                Phase::Ending => "ready",
            };
            let entry = json!([state, info(shared, &held.request, held.phase)]);
            found.insert(held.request.id.clone(), entry);
        }
    }
    Value::Object(found)
}

fn active_queues(shared: &Shared) -> Value {
    if shared.paused.load(Ordering::Relaxed) {
        return json!([]);
    }
    let queue = &shared.options.queue;
    json!([{
        "name": queue,
        "exchange": {
            "name": queue, "type": "direct", "arguments": null, "durable": true, "passive": false,
            "auto_delete": false, "delivery_mode": null, "no_declare": false,
        },
        "routing_key": queue,
        "queue_arguments": null, "binding_arguments": null, "consumer_arguments": null,
        "durable": true, "exclusive": false, "auto_delete": false, "no_ack": false, "alias": null,
        "bindings": [], "no_declare": null, "expires": null, "message_ttl": null,
        "max_length": null, "max_length_bytes": null, "max_priority": null,
    }])
}

fn redis(shared: &Shared) -> String {
    let address = &shared.address;
    let scheme = if address.is_encrypted() { "rediss" } else { "redis" };
    format!("{scheme}://:********@{}:{}/{}", address.host(), address.port(), address.database())
}

fn conf(shared: &Shared) -> Value {
    let options = &shared.options;
    json!({
        "broker_url": redis(shared),
        "result_backend": redis(shared),
        "task_default_queue": options.queue,
        "task_track_started": options.track_started,
        "task_acks_late": true,
        "worker_send_task_events": shared.events.are_enabled(),
        "worker_concurrency": shared.concurrency.load(Ordering::Relaxed),
        "worker_prefetch_multiplier": options.prefetch / options.concurrency.max(1),
        "result_expires": options.result_life.as_secs(),
        "broker_transport_options": {"visibility_timeout": options.visibility.as_secs()},
        "timezone": "UTC",
        "enable_utc": true,
    })
}

fn report(shared: &Shared) -> String {
    let conf = conf(shared);
    let lines = conf.as_object().into_iter().flatten();
    let lines: Vec<String> = lines.map(|(name, value)| format!("{name}: {value}")).collect();
    format!(
        "\nsoftware -> bongsu:{}\nplatform -> system:Linux\nload -> {:?}\nsettings -> transport:redis results:{}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        events::load_average(),
        redis(shared),
        lines.join("\n")
    )
}

/// A worker that starts asks what was revoked, and tells what it knows.
fn hello(shared: &Shared, arguments: &Map<String, Value>) -> Value {
    if arguments.get("from_node").and_then(Value::as_str) == Some(shared.events.node()) {
        return error("it is this node's own");
    }
    let told = match arguments.get("revoked") {
        Some(Value::Object(revoked)) => revoked.keys().cloned().collect(),
        _ => texts(arguments, "revoked"),
    };
    let mut revoked = shared.revoked.lock();
    for id in told {
        revoked.add(id, Instant::now());
    }
    json!({"revoked": revoked.ids(), "clock": shared.events.tick()})
}

async fn revoke(shared: &Arc<Shared>, method: &str, arguments: &Map<String, Value>) -> Value {
    let ids = texts(arguments, "task_id");
    let terminate = method == "terminate" || arguments.get("terminate") == Some(&Value::Bool(true));
    {
        let mut revoked = shared.revoked.lock();
        ids.iter().for_each(|id| revoked.add(id.clone(), Instant::now()));
    }
    {
        let hands = shared.hands.lock();
        for held in hands.of(&ids).iter().filter_map(|tag| hands.get(tag)) {
            match held.phase {
                Phase::Reserved | Phase::Scheduled(_) => held.stop.cancel(),
                Phase::Active(_) if terminate => held.stop.cancel(),
                Phase::Active(_) | Phase::Ending => {}
            }
        }
    }
    match shared.broker.unpark(&ids).await {
        Ok(parked) => {
            for (tag, envelope) in parked {
                take_back_parked(shared, tag, envelope).await;
            }
        }
        // They are recognised when their time comes.
        Err(error) => tracing::debug!(%error, "parked messages cannot be revoked at once"),
    }
    let shown: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    let how = if terminate { "terminated" } else { "flagged as revoked" };
    json!({"ok": format!("tasks {{{}}} {how}", shown.join(", "))})
}

async fn take_back_parked(shared: &Arc<Shared>, tag: String, envelope: Envelope) {
    let Ok(request) = request::read(envelope) else { return };
    let request = Arc::new(request);
    let taken = shared.hands.lock().take(&tag, Arc::clone(&request), Phase::Ending);
    if taken.is_some() {
        execute::take_back(shared, tag, &request, "revoked").await;
    }
}

fn switched(shared: &Shared, on: bool) -> Value {
    let word = if on { "enabled" } else { "disabled" };
    json!({"ok": match shared.events.enable(on) {
        true => format!("task events {word}"),
        false => format!("task events already {word}"),
    }})
}

/// The task that is named, or why there is none.
fn task<'a>(shared: &Shared, arguments: &'a Map<String, Value>) -> Result<&'a str, Value> {
    let name = arguments.get("task_name").and_then(Value::as_str).unwrap_or_default();
    match shared.runner.registry().get(name) {
        Some(_) => Ok(name),
        None => Err(error("unknown task")),
    }
}

fn rate_limit(shared: &Shared, arguments: &Map<String, Value>) -> Value {
    let name = match task(shared, arguments) {
        Ok(name) => name,
        Err(error) => return error,
    };
    let given = match arguments.get("rate_limit") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    if ["", "0", "0/s", "0/m", "0/h"].contains(&given.as_str()) {
        shared.rates.lock().set(name, None);
        return json!({"ok": "rate limit disabled successfully"});
    }
    match given.parse::<RateLimit>() {
        Ok(rate) => {
            shared.rates.lock().set(name, Some(rate));
            json!({"ok": "new rate limit set successfully"})
        }
        Err(wrong) => error(wrong.to_string()),
    }
}

fn time_limit(shared: &Shared, arguments: &Map<String, Value>) -> Value {
    let name = match task(shared, arguments) {
        Ok(name) => name,
        Err(error) => return error,
    };
    let limit = |name| arguments.get(name).and_then(Value::as_f64).filter(|&limit| limit > 0.0);
    shared.limits.lock().insert(name.to_owned(), (limit("hard"), limit("soft")));
    json!({"ok": "time limits set successfully"})
}

fn consume(shared: &Shared, arguments: &Map<String, Value>, on: bool) -> Value {
    let queue = arguments.get("queue").and_then(Value::as_str).unwrap_or_default();
    if queue != shared.options.queue {
        let own = &shared.options.queue;
        return error(format!("this worker stands at {own} alone (tasks.queue)"));
    }
    shared.paused.store(!on, Ordering::Relaxed);
    shared.wake.notify_one();
    json!({"ok": match on {
        true => format!("add consumer {queue}"),
        false => format!("no longer consuming from {queue}"),
    }})
}

fn resize(shared: &Shared, arguments: &Map<String, Value>, sign: isize) -> Value {
    let by = arguments.get("n").and_then(Value::as_u64).unwrap_or(1);
    let by = usize::try_from(by).unwrap_or(MAX_PLACES).min(MAX_PLACES);
    let old = shared.concurrency.load(Ordering::Relaxed);
    let wanted = old.saturating_add_signed(sign * by.cast_signed()).clamp(1, MAX_PLACES);
    if wanted > old {
        shared.places.add_permits(wanted - old);
    } else {
        let taken = shared.places.forget_permits(old - wanted);
        if taken < old - wanted {
            shared.places.add_permits(taken);
            return error(format!("{} of {old} places are taken: try again later", old - taken));
        }
    }
    shared.concurrency.store(wanted, Ordering::Relaxed);
    json!({"ok": if sign > 0 { "pool will grow" } else { "pool will shrink" }})
}
