//! From a message in hand to the end of its task: waiting, running, and what the end comes to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::finish::{self, Ending};
use crate::market::EventTime;
use crate::tasks::celery::canvas::Canvas;
use crate::tasks::celery::hands::{Held, Phase};
use crate::tasks::celery::request::{AS_OF, Request};
use crate::tasks::celery::{repr, results, signature, time};
use crate::tasks::{Outcome, TaskCall, TaskFailure, TaskState};

/// Workers died with the message.
pub(super) fn lost(times: u32) -> TaskFailure {
    TaskFailure {
        exc_type: "WorkerLostError".to_owned(),
        exc_module: "billiard.exceptions".to_owned(),
        ..TaskFailure::runtime(format!("{times} workers died while they had this task in hand"))
    }
}

/// A place among those that run, once there is one; `None` when there never will be.
type Turn = BoxFuture<'static, Option<OwnedSemaphorePermit>>;

fn turn(shared: &Shared) -> Turn {
    let places = Arc::clone(&shared.places);
    Box::pin(async move { places.acquire_owned().await.ok() })
}

/// Takes a turn now: messages run in the order in which they asked, not in that in which their
/// tasks happen to be polled first.
pub(super) fn queue_up(shared: &Shared) -> Turn {
    let mut turn = turn(shared);
    let mut nobody = Context::from_waker(Waker::noop());
    match turn.as_mut().poll(&mut nobody) {
        Poll::Ready(place) => Box::pin(std::future::ready(place)),
        // Its next poll tells the semaphore whom to wake.
        Poll::Pending => turn,
    }
}

/// Holds a message until its ETA and its slot, then for a place, and runs it.
pub(super) async fn hold(
    shared: Arc<Shared>,
    tag: String,
    held: Held,
    slot: Instant,
    place: Option<Turn>,
) {
    if let Phase::Scheduled(eta) = held.phase {
        if !wait(&held.stop, time::until(eta, time::now())).await {
            return revoked_while_waiting(&shared, tag, &held).await;
        }
        if !shared.hands.lock().step(&tag, Phase::Reserved) {
            return;
        }
    }
    let place = tokio::select! {
        biased;
        () = held.stop.cancelled() => None,
        place = async {
            tokio::time::sleep_until(slot).await;
            place.unwrap_or_else(|| turn(&shared)).await
        } => place,
    };
    match place {
        // The place is free again when the task has ended, not when its end is stored.
        Some(place) => {
            let ending = begin(&shared, &tag, &held).await;
            drop(place);
            if let Some(ending) = ending {
                finish::send(&shared, ending).await;
            }
        }
        None => revoked_while_waiting(&shared, tag, &held).await,
    }
}

/// Whether the time passed; false when the message was taken back meanwhile.
async fn wait(stop: &CancellationToken, span: Duration) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(span) => true,
    }
}

async fn revoked_while_waiting(shared: &Arc<Shared>, tag: String, held: &Held) {
    // What is no longer in hand was let go, not revoked.
    if shared.hands.lock().get(&tag).is_some() {
        take_back(shared, tag, &held.request, "revoked").await;
    }
}

/// Runs a message at once.
pub(super) async fn run(shared: &Arc<Shared>, tag: String, held: Held) {
    if let Some(ending) = begin(shared, &tag, &held).await {
        finish::send(shared, ending).await;
    }
}

/// Runs a message to its end; `None` when it was let go.
async fn begin(shared: &Arc<Shared>, tag: &str, held: &Held) -> Option<Ending> {
    let request = &held.request;
    let now = time::now();
    if request.is_expired(now) {
        return Some(taken_back(shared, tag.to_owned(), request, "expired").await);
    }
    if !shared.hands.lock().step(tag, Phase::Active(now)) {
        return None;
    }
    shared.events.started(&request.id);
    if shared.options.track_started && !request.ignore_result {
        finish::send(shared, Ending::started(shared, request)).await;
    }
    let began = Instant::now();
    let outcome = shared.runner.run(call(shared, request), held.stop.clone()).await;
    let runtime = began.elapsed();
    // What was given back while it ran is somebody else's: its end counts for nothing.
    shared
        .hands
        .lock()
        .step(tag, Phase::Ending)
        .then(|| ending(shared, tag.to_owned(), request, outcome, runtime))
}

/// The call that a request is.
fn call(shared: &Shared, request: &Request) -> TaskCall {
    let set = shared.limits.lock().get(&request.name).copied().unwrap_or_default();
    let limit = |own: Option<f64>, set: Option<f64>| {
        own.or(set).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    };
    let (hard, soft) = request.time_limit;
    let as_of = request.envelope.header(AS_OF).and_then(time::parse);
    TaskCall {
        as_of: as_of.map(|moment| EventTime::from_micros(moment.timestamp_micros())),
        args: request.args.clone(),
        kwargs: request.kwargs.clone(),
        attempt: request.retries,
        soft_limit: limit(soft, set.1),
        hard_limit: limit(hard, set.0),
        root_id: request.root_id.clone(),
        parent_id: request.parent_id.clone(),
        ..TaskCall::with_id(request.id.clone(), request.name.clone()).origin(request.origin())
    }
}

/// What an outcome comes to.
fn ending(
    shared: &Shared,
    tag: String,
    request: &Arc<Request>,
    outcome: Outcome,
    runtime: Duration,
) -> Ending {
    shared.processed.fetch_add(1, Ordering::Relaxed);
    match outcome {
        Outcome::Success(value) => succeeded(shared, tag, request, value, runtime),
        Outcome::Failure(failure) => Ending::failed(shared, tag, request, failure),
        Outcome::Retry { failure, after } => {
            let now = time::now();
            let message = signature::retry(request, &shared.options.queue, after, now);
            let child = results::child(&request.id);
            let of = request.as_ref().into();
            let result = results::failed(of, TaskState::Retry, &failure, vec![child], now);
            let mut ending = Ending::of(tag, request, result);
            ending.finish.plan.messages.push(message);
            ending.told(move |events, request| events.retried(&request.id, &failure))
        }
        Outcome::Revoked { terminated } => {
            let how = if terminated { "terminated" } else { "revoked" };
            Ending::revoked(shared, tag, request, how)
        }
    }
}

fn succeeded(
    shared: &Shared,
    tag: String,
    request: &Arc<Request>,
    value: serde_json::Value,
    runtime: Duration,
) -> Ending {
    let now = time::now();
    let canvas = Canvas { sender: &shared.sender, now };
    let mut plan = match canvas.success(request, &value) {
        Ok(plan) => plan,
        // What follows cannot be sent: its client is told, rather than wait for ever.
        Err(failure) => return Ending::failed(shared, tag, request, failure),
    };
    let shown = shared.events.are_enabled().then(|| repr::value(&value));
    let children = std::mem::take(&mut plan.children);
    let of = request.as_ref().into();
    let result = results::stored(of, TaskState::Success, value, None, children, now);
    let mut ending = Ending::of(tag, request, result);
    ending.finish.acknowledge = plan.parts.is_empty();
    ending.finish.plan = plan;
    ending.told(move |events, request| {
        events.succeeded(&request.id, &shown.unwrap_or_default(), runtime.as_secs_f64());
    })
}

/// Ends a message that is not to be run: `expired` or `revoked`.
pub(super) async fn take_back(
    shared: &Arc<Shared>,
    tag: String,
    request: &Arc<Request>,
    how: &str,
) {
    let ending = taken_back(shared, tag, request, how).await;
    finish::send(shared, ending).await;
}

async fn taken_back(
    shared: &Arc<Shared>,
    tag: String,
    request: &Arc<Request>,
    how: &str,
) -> Ending {
    shared.hands.lock().step(&tag, Phase::Ending);
    // Run with a token that is cancelled: the runner writes down that it was taken back.
    let stop = CancellationToken::new();
    stop.cancel();
    shared.runner.run(call(shared, request), stop).await;
    Ending::revoked(shared, tag, request, how)
}
