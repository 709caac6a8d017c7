//! Upkeep: beats, messages that others have lost, events, and the end.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::ClientLike;

use super::Shared;
use crate::messages::Component;
use crate::messages::health::HealthState;
use crate::tasks::celery::events::HEARTBEAT;
use crate::tasks::celery::hands::{Held, Phase};

/// Beats between two that name everything in hand.
const FULL_EVERY: u32 = 5;
/// Time between two searches for lost messages, at most.
const SEARCH: Duration = Duration::from_secs(15);
/// A parked message comes back into the queue so long before its ETA; more than a search apart.
const AHEAD: Duration = Duration::from_secs(60);
/// Beats in a row that Redis must miss to count as away.
const MISSED: u32 = 2;

/// Beats until the worker ends.
pub(super) async fn beat(shared: Arc<Shared>) {
    let every = Duration::from_secs_f64(HEARTBEAT).min(shared.options.lost_after / 4);
    let mut beats = tokio::time::interval(every.max(Duration::from_millis(100)));
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first beat is not to miss a connection that is being made.
    let connected = shared.broker.link().client().wait_for_connect();
    let _ = tokio::time::timeout(every, connected).await;
    let (mut number, mut missed) = (0_u32, 0_u32);
    let mut greeted = false;
    loop {
        beats.tick().await;
        let full = number.is_multiple_of(FULL_EVERY) || missed > 0;
        number = number.wrapping_add(1);
        let tags = if full { shared.hands.lock().tags() } else { Vec::new() };
        match shared.broker.beat(tags).await {
            Ok(told) => {
                missed = 0;
                metrics::gauge!("bongsu_queue_length", "queue" => shared.options.queue.clone())
                    .set(told.waiting as f64);
                report(&shared);
                if told.fresh && greeted {
                    adopt(&shared).await;
                } else {
                    told.gone.iter().for_each(|tag| missing(&shared, tag));
                }
                let kind = if greeted { "worker-heartbeat" } else { greet(&shared).await };
                greeted = true;
                shared.events.worker(shared.broker.link(), kind, shared.load()).await;
            }
            Err(error) => {
                missed = missed.saturating_add(1);
                if missed >= MISSED {
                    let reason = format!("{:?}: {error}; tasks wait", shared.address);
                    shared.health.set(Component::Tasks, HealthState::down(reason));
                }
            }
        }
    }
}

/// What is said of the worker on `/readyz`.
fn report(shared: &Shared) {
    let pool = shared.runner.health().pool;
    let state = if pool.exhausted {
        let leaked = pool.leaked;
        HealthState::degraded(format!(
            "{leaked} computing tasks hang; their threads are lost until they end, and fewer \
             tasks run at a time: restart the daemon if they do not"
        ))
    } else {
        HealthState::Up
    };
    shared.health.set(Component::Tasks, state);
}

async fn greet(shared: &Shared) -> &'static str {
    if matches!(shared.broker.has_namesake().await, Ok(true)) {
        tracing::warn!(
            node = shared.options.node,
            "a worker of this name was here lately. If it still is, Celery's tools show only one of \
             the two: give each its own tasks.node"
        );
    }
    "worker-online"
}

/// A message in hand that is in nobody's, or somebody else's, by what Redis says.
fn missing(shared: &Shared, tag: &str) {
    let phase = shared.hands.lock().get(tag).map(|held| held.phase);
    match phase {
        // Its end tells what has become of it.
        None | Some(Phase::Active(_) | Phase::Ending) => {}
        Some(Phase::Reserved | Phase::Scheduled(_)) => {
            tracing::warn!(tag, "a message that waited here is in other hands now");
            shared.let_go(tag);
        }
    }
}

/// Redis came back without its data: what is in hand is told to it again.
async fn adopt(shared: &Shared) {
    let hands = shared.hands.lock().all();
    let kept = hands.into_iter().filter(|(_, held)| held.phase != Phase::Ending);
    let kept = kept
        .map(|(tag, held)| (tag, held.request.id.clone(), held.request.envelope.to_json().into()));
    let kept: Vec<_> = kept.collect();
    tracing::warn!(
        messages = kept.len(),
        "redis came back without its data; what is in hand is kept"
    );
    if let Err(error) = shared.broker.adopt(kept.into_iter()).await {
        tracing::error!(%error, "messages in hand are known to this worker alone");
    }
}

/// Looks for lost messages until the worker ends.
pub(super) async fn restore(shared: Arc<Shared>) {
    let every = SEARCH.min(shared.options.lost_after / 3).max(Duration::from_millis(200));
    loop {
        match shared.broker.restore(AHEAD).await {
            Ok((0, due)) => tracing::trace!(due, "no message was lost"),
            Ok((lost, _)) => {
                tracing::warn!(lost, "messages of workers that are gone were put back")
            }
            Err(error) => tracing::debug!(%error, "lost messages could not be looked for"),
        }
        // By chance a little apart, so that several workers take turns.
        let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        tokio::time::sleep(every.mul_f64(1.0 - chance / 4.0)).await;
    }
}

/// Sends task events until the worker ends.
pub(super) async fn events(shared: Arc<Shared>) {
    shared.events.run(shared.broker.link()).await;
}

/// The end: what waits goes back at once, what runs may end, then it goes back too.
pub(super) async fn stop(shared: &Arc<Shared>) {
    shared.stopping.cancel();
    // What is being taken is in hand before it goes back.
    let _ = tokio::time::timeout(Duration::from_secs(1), shared.received.cancelled()).await;
    let waiting = |held: &Held| matches!(held.phase, Phase::Reserved | Phase::Scheduled(_));
    give_back(shared, waiting).await;
    shared.running.close();
    let deadline = tokio::time::Instant::now() + shared.options.patience;
    let running = async {
        shared.running.wait().await;
        while !shared.hands.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout_at(deadline, running).await.is_err() {
        give_back(shared, |held| held.phase != Phase::Ending).await;
    }
    let left = shared.hands.lock().len();
    if left > 0 {
        tracing::warn!(left, "messages stay unacknowledged; other workers will put them back");
    } else if let Err(error) = shared.broker.leave().await {
        tracing::debug!(%error, "the others will notice by themselves that this worker has left");
    }
    shared.events.flush(shared.broker.link()).await;
    shared.events.worker(shared.broker.link(), "worker-offline", shared.load()).await;
    tracing::info!("the task worker has left its queue");
}

async fn give_back(shared: &Shared, which: impl Fn(&Held) -> bool) {
    let all = shared.hands.lock().all();
    let back: Vec<_> = all.into_iter().filter(|(_, held)| which(held)).collect();
    // Let go first: what ends meanwhile ends for nobody.
    let back: Vec<_> = back
        .into_iter()
        .filter_map(|(tag, _)| {
            let held = shared.hands.lock().release(&tag)?;
            held.stop.cancel();
            Some((tag, held.request.envelope.clone()))
        })
        .collect();
    if back.is_empty() {
        return;
    }
    let messages = back.len();
    match shared.broker.give_back(back).await {
        Ok(done) => tracing::info!(messages, done, "messages went back into the queue"),
        Err(error) => {
            tracing::warn!(messages, %error, "messages could not be given back; the others will do it");
        }
    }
}
