//! Receiving: waiting for messages without polling, taking them in batches, refusing what cannot be run.
//!
//! A connection of its own for each list waits with `BLMOVE list list RIGHT RIGHT`: Redis answers the
//! moment something is there, and the message stays where it was. Only then is it taken, by the script
//! that puts it into `unacked`: at no moment is it nowhere. A look each second beside that finds what a
//! connection that only seems alive did not tell, and has it made anew.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::ClientLike;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::finish::Ending;
use super::{MAX_SCHEDULED, PARK_BEYOND, Shared, execute};
use crate::messages::Reject;
use crate::tasks::celery::broker::Taken;
use crate::tasks::celery::connection::Link;
use crate::tasks::celery::envelope::{Envelope, EnvelopeError};
use crate::tasks::celery::hands::Phase;
use crate::tasks::celery::request::{self, Refusal, Request};
use crate::tasks::celery::time;
use crate::tasks::{TaskFailure, TaskKind};

/// Messages taken in one step, at most.
const BATCH: usize = 64;
/// A waiting connection is asked so often whether it lives.
const WAIT: Duration = Duration::from_secs(5);
/// Time between two looks without being told.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row that found what no connection told, before these are made anew.
const MISSED: u32 = 3;
/// Workers that may die with a message before it is given up.
const MAX_LOSSES: u32 = 3;
/// Bytes of a refused message that are kept.
const KEPT: usize = 4_096;

/// Takes messages until the worker stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let (arm, armed) = watch::channel(0_u64);
    let mut waiting = wakers(&shared, &armed);
    let mut lost_answer = false;
    // Whether nobody told that there is something to take, and how often there was in a row.
    let (mut untold, mut missed) = (false, 0);
    while !shared.stopping.is_cancelled() {
        if lost_answer {
            lost_answer = strays(&shared).await.is_err();
        }
        let mut found = 0;
        while !lost_answer {
            let want = shared.room().min(BATCH);
            if want == 0 {
                break;
            }
            match shared.broker.take(want).await {
                Ok(taken) => {
                    let more = taken.len() >= want;
                    found += taken.len();
                    for one in taken {
                        receive(&shared, one).await;
                    }
                    if !more {
                        arm.send_modify(|times| *times += 1);
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "nothing could be taken from the queue");
                    lost_answer = true;
                }
            }
        }
        missed = if found > 0 && untold { missed + 1 } else { 0 };
        if missed >= MISSED {
            tracing::warn!("messages came that no connection told of: these are made anew");
            waiting = wakers(&shared, &armed);
            missed = 0;
        }
        let pause = if lost_answer { LOOK / 4 } else { LOOK };
        untold = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => break,
            () = shared.wake.notified() => false,
            () = tokio::time::sleep(pause) => true,
        };
    }
    drop(waiting);
    shared.received.cancel();
}

/// Messages that are this worker's although the answer that told of them was lost.
async fn strays(shared: &Arc<Shared>) -> Result<(), ()> {
    let known = shared.hands.lock().tags();
    match shared.broker.strays(known).await {
        Ok(strays) => {
            for (tag, envelope) in strays {
                message(shared, tag, Ok(envelope), None).await;
            }
            Ok(())
        }
        Err(error) => {
            tracing::debug!(%error, "the queue cannot be asked");
            Err(())
        }
    }
}

/// One waiting connection for each list.
fn wakers(shared: &Arc<Shared>, armed: &watch::Receiver<u64>) -> JoinSet<()> {
    let mut wakers = JoinSet::new();
    for list in shared.broker.lists().clone() {
        let (shared, armed) = (Arc::clone(shared), armed.clone());
        wakers.spawn(async move {
            match Link::open(&shared.address) {
                Ok(link) => wait_for(&shared, &link, &list, armed).await,
                Err(error) => tracing::error!(%error, "no connection to wait with"),
            }
        });
    }
    wakers
}

async fn wait_for(shared: &Shared, link: &Link, list: &str, mut armed: watch::Receiver<u64>) {
    loop {
        // After a message was told, nothing is asked until the list was seen empty again.
        if armed.changed().await.is_err() {
            return;
        }
        loop {
            let words = [list, list, "RIGHT", "RIGHT"].map(fred::prelude::Value::from);
            let mut words = words.to_vec();
            words.push(WAIT.as_secs().to_string().into());
            match link.call_within("BLMOVE", words, WAIT + LOOK * 2).await {
                Ok(answer) if answer.is_null() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(%error, list, "waiting for messages was interrupted");
                    if link.client().is_connected() {
                        // It answers nothing although it seems alive.
                        let _ = link.client().force_reconnection().await;
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
        shared.wake.notify_one();
    }
}

async fn receive(shared: &Arc<Shared>, taken: Taken) {
    match taken {
        Taken::Absorbed => tracing::info!("a copy of a message in hand, or done, was absorbed"),
        Taken::Junk(raw) => {
            let detail =
                "the element of the queue is no JSON object; it is kept in bongsu:tasks:rejected";
            reject(shared, None, detail, &raw);
        }
        Taken::Large(end) => large(shared, &end).await,
        Taken::Message { tag, raw } => {
            message(shared, tag, Envelope::parse(&raw), Some(&raw)).await;
        }
    }
}

/// A message beyond the limit: its client is told, where its end tells who that is.
async fn large(shared: &Arc<Shared>, end: &Bytes) {
    let most = shared.options.max_message;
    let text = String::from_utf8_lossy(end);
    let id = header_of(&text, "id");
    let detail = format!("the message is larger than {most} bytes (tasks.max_message_mib)");
    reject(shared, id.as_deref(), &detail, end);
    if let Some(id) = id {
        let ending = Ending::refused(String::new(), &id, &TaskFailure::value(detail), false);
        send(shared, ending).await;
    }
}

/// The text of a header in the end of an envelope, where kombu writes them.
fn header_of(end: &str, name: &str) -> Option<String> {
    let headers = &end[end.find("\"headers\"")?..];
    let name = format!("\"{name}\"");
    let after = headers[headers.find(&name)? + name.len()..].trim_start();
    let value = after.strip_prefix(':')?.trim_start();
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    values.next()?.ok()?.as_str().map(str::to_owned)
}

/// A message in this worker's hand. `raw` is what was taken, as far as it is still there.
async fn message(
    shared: &Arc<Shared>,
    tag: String,
    envelope: Result<Envelope, EnvelopeError>,
    raw: Option<&Bytes>,
) {
    let refusal = match envelope {
        Ok(envelope) => match request::read(envelope) {
            Ok(request) => return admit(shared, tag, request).await,
            Err(refusal) => *refusal,
        },
        Err(error) => {
            Refusal { id: None, reason: "envelope", detail: error.to_string(), failure: None }
        }
    };
    let Refusal { id, reason, detail, failure } = refusal;
    let shown = raw.cloned().unwrap_or_default();
    reject(shared, id.as_deref(), &format!("{reason}: {detail}"), &shown);
    let ending = match (&id, failure) {
        (Some(id), Some(failure)) => Ending::refused(tag, id, &failure, true),
        _ => Ending::dropped(tag),
    };
    send(shared, ending).await;
}

/// The order of Celery: unknown, lost too often, revoked or expired, received, held, run.
async fn admit(shared: &Arc<Shared>, tag: String, request: Request) {
    let request = Arc::new(request);
    let Some(task) = shared.runner.registry().get(&request.name).cloned() else {
        let detail = format!("no task \"{}\" is registered", request.name);
        reject(shared, Some(&request.id), &detail, detail.as_bytes());
        let failure = TaskFailure::not_registered(&request.name);
        return send(shared, Ending::failed(shared, tag, &request, failure)).await;
    };
    let now = time::now();
    // What waits for its ETA waits in memory only for a while, and only so many do.
    let eta = request.eta.filter(|&eta| eta > now);
    let phase = eta.map_or(Phase::Reserved, Phase::Scheduled);
    let (held, crowded) = {
        let mut hands = shared.hands.lock();
        (hands.take(&tag, Arc::clone(&request), phase), hands.scheduled() > MAX_SCHEDULED)
    };
    // The message came back although it is still in hand: it is one, not two.
    let Some(held) = held else { return };
    if request.losses >= MAX_LOSSES {
        let failure = execute::lost(request.losses);
        return send(shared, Ending::failed(shared, tag, &request, failure)).await;
    }
    if request.is_expired(now) {
        return execute::take_back(shared, tag, &request, "expired").await;
    }
    if shared.revoked.lock().contains(&request.id, tokio::time::Instant::now()) {
        return execute::take_back(shared, tag, &request, "revoked").await;
    }
    *shared.totals.lock().entry(request.name.clone()).or_default() += 1;
    shared.events.received(&request);
    if let Some(eta) = eta
        && (crowded || time::until(eta, now) > PARK_BEYOND)
    {
        match shared.broker.park(&tag, &request.id, eta).await {
            Ok(_) => return shared.let_go(&tag),
            // It is held like any other then.
            Err(error) => tracing::debug!(%error, "a message could not be parked"),
        }
    }
    let slot = shared.rates.lock().slot(&request.name, tokio::time::Instant::now());
    let at_once = eta.is_none() && slot <= tokio::time::Instant::now();
    if at_once && task.spec().kind == TaskKind::Instant {
        execute::run(shared, tag, held).await;
    } else {
        let place = at_once.then(|| execute::queue_up(shared));
        let own = Arc::clone(shared);
        shared.running.spawn(async move { execute::hold(own, tag, held, slot, place).await });
    }
}

/// Hands an end to those who store it.
async fn send(shared: &Shared, ending: Ending) {
    super::finish::send(shared, ending).await;
}

/// Reports a message that cannot be run.
fn reject(shared: &Shared, id: Option<&str>, detail: &str, payload: &[u8]) {
    tracing::warn!(task = id, detail, "a message of the queue cannot be run");
    let end = payload.len().min(KEPT);
    (shared.on_reject)(Reject {
        stage: "task_worker",
        source: shared.options.queue.clone(),
        reason: "task_message",
        detail: match id {
            Some(id) => format!("task {id}: {detail}"),
            None => detail.to_owned(),
        },
        payload: String::from_utf8_lossy(&payload[..end]).into_owned(),
        at: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_from_the_end_of_a_large_message() {
        let end = r#"AAAA", "content-type": "application/json", "headers": {"task": "t", "id" : "a\"b", "x": 1}"#;
        assert_eq!(header_of(end, "id").as_deref(), Some("a\"b"));
        assert_eq!(header_of(end, "task").as_deref(), Some("t"));
        for end in ["", "\"headers\": {", "\"headers\": {\"id\": 7}", "\"id\": \"x\""] {
            assert_eq!(header_of(end, "id"), None, "{end}");
        }
    }
}
