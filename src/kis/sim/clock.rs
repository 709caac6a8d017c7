//! The simulated clock: plays the day at its speed and hands frames to the sessions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::market::EventTime;

use super::faults;
use super::feed::FrameInfo;
use super::options::SimSpeed;
use super::server::Shared;
use super::session::{Outgoing, Session};

/// Frames played in one go.
const CHUNK: usize = 256;
/// Longest sleep, so that a lost subscriber stops a held clock soon.
const NAP: Duration = Duration::from_millis(20);

/// Plays the whole day, then tells `shared.finished`.
pub(crate) async fn run(shared: &Shared, speed: SimSpeed) {
    let mut anchor: Option<(Instant, EventTime)> = None;
    loop {
        if !shared.may_run() {
            anchor = None;
            wait_until_watched(shared).await;
            continue;
        }
        let Some(next) = shared.playback.lock().next_at() else { break };
        let until = match speed {
            SimSpeed::Max => None,
            SimSpeed::Times(times) => {
                let (since, event) = *anchor.get_or_insert_with(|| (Instant::now(), next));
                let passed = since.elapsed().as_secs_f64() * times * 1e6;
                let until = event.plus_micros(passed as i64);
                if next > until {
                    let wait = next.micros_since(until) as f64 / times / 1e6;
                    tokio::time::sleep(NAP.min(Duration::from_secs_f64(wait))).await;
                    continue;
                }
                Some(until)
            }
        };
        let (frames, bytes) = play(shared, until);
        shared.accounts.follow(&shared.playback, &shared.outbox);
        deliver(shared, &frames, bytes).await;
        // A day at full speed must leave room for the sockets on a small runtime.
        tokio::task::yield_now().await;
    }
    if !shared.faults.idle() {
        faults::release(shared).await;
    }
    settle(shared).await;
    shared.finished.send_replace(true);
}

/// Waits until somebody is subscribed and the list of subscriptions has been quiet for a while.
async fn wait_until_watched(shared: &Shared) {
    let changed = shared.watched.notified();
    match shared.quiet_in() {
        Some(left) => tokio::time::sleep(left).await,
        // A change between the check and the wait is not lost: `notify_one` leaves a permit.
        None => changed.await,
    }
}

/// Frames with their place in the buffer.
pub(crate) type Frames = Vec<(FrameInfo, std::ops::Range<usize>)>;

fn play(shared: &Shared, until: Option<EventTime>) -> (Frames, Vec<u8>) {
    let mut playback = shared.playback.lock();
    let (mut frames, mut bytes) = (Frames::with_capacity(CHUNK), Vec::with_capacity(CHUNK * 400));
    while frames.len() < CHUNK {
        let due = playback.next_at().is_some_and(|at| until.is_none_or(|until| at <= until));
        let start = bytes.len();
        if !due {
            break;
        }
        let Some(info) = playback.next_frame(&mut bytes) else { break };
        frames.push((info, start..bytes.len()));
    }
    (frames, bytes)
}

/// Queues the frames at every session that wants them; waits where a queue is full.
async fn deliver(shared: &Shared, frames: &Frames, bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    if shared.options.hold && shared.options.confirm {
        return deliver_confirmed(shared, frames, &bytes).await;
    }
    if !shared.faults.idle() {
        return faults::deliver(shared, frames, &bytes).await;
    }
    let sessions = shared.sessions.lock().clone();
    for session in sessions {
        let wanted: Vec<Utf8Bytes> = {
            let subscriptions = session.subscriptions.lock();
            frames
                .iter()
                .filter(|(info, _)| subscriptions.wants(info.feed, info.key))
                .filter_map(|(_, range)| Utf8Bytes::try_from(bytes.slice(range.clone())).ok())
                .collect()
        };
        if !wanted.is_empty() {
            // A session that has ended has no queue; its frames have no reader.
            let _ = session.queue.send(Outgoing::Frames(wanted)).await;
        }
    }
}

/// The same, but waits until each session has confirmed what it was sent; what a session that ended
/// has not confirmed goes to the next one.
async fn deliver_confirmed(shared: &Shared, frames: &Frames, bytes: &Bytes) {
    let trades = shared.faults.enter(frames, bytes);
    let mut open: Vec<usize> = (0..frames.len()).collect();
    while !open.is_empty() {
        while !shared.may_run() {
            wait_until_watched(shared).await;
        }
        let step = shared.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let sent = send_step(shared, frames, bytes, &open, step).await;
        // Nobody is there: it is not that nobody wants them.
        if sent.is_empty() && !shared.may_run() {
            continue;
        }
        // What no session wants has no reader, as ever.
        open = sent.iter().flat_map(|(_, own)| own.iter().copied()).collect();
        for (session, own) in sent {
            if session.has_confirmed(step).await {
                open.retain(|index| !own.contains(index));
                shared.faults.delivered(own.iter().map(|index| trades[*index].clone()));
            }
        }
        open.sort_unstable();
        open.dedup();
    }
}

/// Queues those of the `open` frames that each session wants, and a request to confirm them.
async fn send_step(
    shared: &Shared,
    frames: &Frames,
    bytes: &Bytes,
    open: &[usize],
    step: u64,
) -> Vec<(Arc<Session>, BTreeSet<usize>)> {
    let sessions = shared.sessions.lock().clone();
    let mut sent = Vec::new();
    for session in sessions {
        let own: BTreeSet<usize> = {
            let subscriptions = session.subscriptions.lock();
            let wants = |index: &usize| {
                let info = &frames[*index].0;
                subscriptions.wants(info.feed, info.key)
            };
            open.iter().copied().filter(wants).collect()
        };
        if own.is_empty() {
            continue;
        }
        let texts = own
            .iter()
            .filter_map(|index| Utf8Bytes::try_from(bytes.slice(frames[*index].1.clone())).ok())
            .collect();
        // A session that has ended confirms nothing.
        let _ = session.queue.send(Outgoing::Frames(texts)).await;
        let _ = session.queue.send(Outgoing::Confirm(step)).await;
        sent.push((session, own));
    }
    sent
}

/// Waits until every session has been written what it was queued.
async fn settle(shared: &Shared) {
    let sessions = shared.sessions.lock().clone();
    for session in sessions {
        let (done, written) = oneshot::channel();
        if session.queue.send(Outgoing::Barrier(done)).await.is_ok() {
            // An error means that the session ended, so nothing waits there any more.
            let _ = written.await;
        }
    }
}
