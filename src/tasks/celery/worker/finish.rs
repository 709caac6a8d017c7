//! Ends: results, followers and acknowledgements, as many a round trip as there are.
//!
//! The end of a task is stored, what follows it is sent, and its message is acknowledged in one step of
//! Redis. While Redis is away the ends wait here; each belongs to a message in hand, so there are never
//! more than those. A part of a chord is acknowledged only when it has been counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use crate::tasks::celery::broker::{Finish, Finished};
use crate::tasks::celery::canvas::{Canvas, Part, Plan};
use crate::tasks::celery::connection::BrokerError;
use crate::tasks::celery::events::Events;
use crate::tasks::celery::request::Request;
use crate::tasks::celery::results::{self, Of, Stored};
use crate::tasks::celery::time;
use crate::tasks::{TaskFailure, TaskState};

/// Ends stored in one step, at most.
const BATCH: usize = 128;
/// First and longest pause between attempts while Redis is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

type Tell = Box<dyn FnOnce(&Events, &Request) + Send>;

/// The end of a task, or that it began.
pub(super) struct Ending {
    pub(super) finish: Finish,
    request: Option<Arc<Request>>,
    /// The event, sent once the end is stored.
    tell: Option<Tell>,
}

impl Ending {
    /// The end of `request` with `result`; its message is to be acknowledged.
    pub(super) fn of(tag: String, request: &Arc<Request>, result: Stored) -> Self {
        let result = (!request.ignore_result).then_some(result);
        Self {
            finish: Finish { tag, plan: Plan::default(), result, acknowledge: true },
            request: Some(Arc::clone(request)),
            tell: None,
        }
    }

    /// The same end with an event.
    pub(super) fn told(mut self, tell: impl FnOnce(&Events, &Request) + Send + 'static) -> Self {
        self.tell = Some(Box::new(tell));
        self
    }

    /// A task began: no end yet.
    pub(super) fn started(shared: &Shared, request: &Arc<Request>) -> Self {
        let result = serde_json::json!({
            "pid": std::process::id(),
            "hostname": shared.options.node,
        });
        let of = request.as_ref().into();
        let result = results::stored(of, TaskState::Started, result, None, Vec::new(), time::now());
        let mut ending = Self::of(String::new(), request, result);
        ending.finish.acknowledge = false;
        ending
    }

    /// It failed for good.
    pub(super) fn failed(
        shared: &Shared,
        tag: String,
        request: &Arc<Request>,
        failure: TaskFailure,
    ) -> Self {
        Self::without_success(shared, tag, request, TaskState::Failure, &failure)
            .told(move |events, request| events.failed(&request.id, &failure))
    }

    /// It was taken back: `revoked`, `expired` or `terminated`.
    pub(super) fn revoked(shared: &Shared, tag: String, request: &Arc<Request>, how: &str) -> Self {
        let failure = TaskFailure::revoked(how);
        let (terminated, expired) = (how == "terminated", how == "expired");
        Self::without_success(shared, tag, request, TaskState::Revoked, &failure)
            .told(move |events, request| events.revoked(&request.id, terminated, expired))
    }

    fn without_success(
        shared: &Shared,
        tag: String,
        request: &Arc<Request>,
        state: TaskState,
        failure: &TaskFailure,
    ) -> Self {
        let now = time::now();
        let plan = Canvas { sender: &shared.sender, now }.failure(request, state, failure);
        let of = request.as_ref().into();
        let result = results::failed(of, state, failure, Vec::new(), now);
        let mut ending = Self::of(tag, request, result);
        ending.finish.acknowledge = plan.parts.is_empty();
        ending.finish.plan = plan;
        ending
    }

    /// A message that cannot be run, of a task whose client is told.
    pub(super) fn refused(tag: String, id: &str, failure: &TaskFailure, acknowledge: bool) -> Self {
        let of = Of { id, ..Of::default() };
        let result = results::failed(of, TaskState::Failure, failure, Vec::new(), time::now());
        let plan = Plan::default();
        let finish = Finish { tag, plan, result: Some(result), acknowledge };
        Self { finish, request: None, tell: None }
    }

    /// A message that cannot be run and whose client cannot be told.
    pub(super) fn dropped(tag: String) -> Self {
        let finish = Finish { tag, acknowledge: true, ..Finish::default() };
        Self { finish, request: None, tell: None }
    }
}

/// Hands an end in. Waits while too many are there.
pub(super) async fn send(shared: &Shared, ending: Ending) {
    if shared.endings.send(ending).await.is_err() {
        tracing::debug!(
            "the worker has ended; a message stays unacknowledged and will be put back"
        );
    }
}

/// Stores ends as they come.
pub(super) async fn run(shared: Arc<Shared>, mut ended: mpsc::Receiver<Ending>) {
    let mut batch = Vec::with_capacity(BATCH);
    while ended.recv_many(&mut batch, BATCH).await > 0 {
        let (finishes, rest): (Vec<Finish>, Vec<_>) = batch
            .drain(..)
            .map(|Ending { finish, request, tell }| (finish, (request, tell)))
            .unzip();
        let step = uuid::Uuid::new_v4().simple().to_string();
        let finished = until_done(|| shared.broker.finish(&step, &finishes)).await;
        for ((finish, (request, tell)), how) in finishes.into_iter().zip(rest).zip(finished) {
            match how {
                Finished::Here => {}
                Finished::Elsewhere => tracing::warn!(
                    tag = finish.tag,
                    "a task ended whose message had gone elsewhere; its result counts"
                ),
                Finished::Before => tracing::warn!(
                    tag = finish.tag,
                    "a task ended that another worker had finished before; nothing was stored"
                ),
            }
            if let (Some(request), Some(tell), true) = (request, tell, how != Finished::Before) {
                tell(&shared.events, &request);
            }
            let parts = finish.plan.parts;
            if finish.acknowledge || finish.tag.is_empty() {
                shared.hands.lock().release(&finish.tag);
            } else {
                let (shared_, tag) = (Arc::clone(&shared), finish.tag);
                shared.running.spawn(async move { count(&shared_, tag, parts).await });
            }
        }
        shared.wake.notify_one();
    }
}

/// Counts the chord parts that a task was, and acknowledges it then.
async fn count(shared: &Arc<Shared>, tag: String, parts: Vec<Part>) {
    let mut left = parts;
    // A chord's failure can finish a part of another one.
    while let Some(part) = left.pop() {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let Some(members) = until_done(|| shared.broker.count(&part, &token)).await else {
            continue;
        };
        let canvas = Canvas { sender: &shared.sender, now: time::now() };
        let mut plan = canvas.complete(&part, &members);
        let further = std::mem::take(&mut plan.parts);
        let closed = until_done(|| shared.broker.close(&part.group, &token, &plan)).await;
        if closed {
            left.extend(further);
        } else {
            tracing::warn!(group = part.group, "a chord was closed by another worker meanwhile");
        }
    }
    send(shared, Ending::dropped(tag)).await;
}

/// Repeats `ask` until Redis has done it. Ends with the worker: what is left then stays in `unacked`.
async fn until_done<T, F, W>(ask: F) -> T
where
    F: Fn() -> W,
    W: Future<Output = Result<T, BrokerError>>,
{
    let mut pause = PAUSE.0;
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(error) => {
                tracing::debug!(%error, "an end could not be stored; it waits");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}
