//! A queue within this process, where no Redis is set.
//!
//! In: calls, by priority, at their time. Out: the same [`Runner`]'s outcomes, as states that can be
//! asked for. It behaves as the queue on Redis does: an id that is known is not run again, what may pass
//! is tried again after its pause, what is past its expiry or taken back is `REVOKED`.
//!
//! **Limits.** [`MemoryOptions`]: calls that wait (beyond, [`SubmitError::Full`]), calls that run,
//! results that are kept (by number, size and age; then their id is unknown again).
//!
//! **Dies:** what waits and what is known outlives [`MemoryQueue::serve`]; calls that ran when it died run
//! again. It does not outlive the process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::size_of_value;
use super::runner::{Clock, Runner, wall};
use super::submit::{Submit, SubmitError, SubmitOptions, Submitted, TaskStatus};
use super::{Outcome, Rates, TaskCall, TaskFailure, TaskState};
use crate::market::EventTime;

/// The limits of a [`MemoryQueue`].
#[derive(Clone)]
pub struct MemoryOptions {
    /// Calls that wait, at most.
    pub waiting: usize,
    /// Calls that run or wait for a thread, at most.
    pub running: usize,
    /// Ended calls that are remembered, at most.
    pub kept: usize,
    /// Bytes of their results, about, at most.
    pub kept_bytes: usize,
    /// How long they are remembered.
    pub keep: Duration,
    /// The clock of `eta` and `expires`.
    pub clock: Clock,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            waiting: 10_000,
            running: 64,
            kept: 10_000,
            kept_bytes: 64 << 20,
            keep: Duration::from_secs(86_400),
            clock: Arc::new(wall),
        }
    }
}

impl std::fmt::Debug for MemoryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryOptions({} waiting, {} running)", self.waiting, self.running)
    }
}

/// A call that has not ended.
struct Open {
    call: TaskCall,
    options: SubmitOptions,
    stop: CancellationToken,
    /// Whether its place by the task's rate has been given out.
    paced: bool,
}

struct Entry {
    status: TaskStatus,
    open: Option<Open>,
    size: usize,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Calls whose turn it is, by priority and order of arrival.
    ready: BTreeMap<(u8, u64), String>,
    /// Calls for later.
    due: BTreeMap<(EventTime, u64), String>,
    /// Ended calls, oldest first.
    ended: VecDeque<(Instant, String)>,
    kept_bytes: usize,
    number: u64,
}

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct MemoryQueue {
    state: Arc<Mutex<State>>,
    options: MemoryOptions,
    wake: Arc<Notify>,
    changed: Arc<watch::Sender<u64>>,
}

impl std::fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryQueue({} waiting)", self.waiting())
    }
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        Self {
            state: Arc::default(),
            options,
            wake: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Calls that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.ready.len() + state.due.len()
    }

    /// Runs what is put into the queue until `stop`; then what runs has `drain` to end, and is cut off.
    pub async fn serve(&self, runner: &Runner, stop: CancellationToken, drain: Duration) {
        let mut running: JoinSet<(String, Outcome)> = JoinSet::new();
        let mut rates = Rates::of(runner.registry());
        self.state.lock().take_up_again();
        while !stop.is_cancelled() {
            let next = self.begin_what_is_due(runner, &mut rates, &mut running);
            let wait = async {
                match next {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = running.join_next() => self.note(ended),
                () = self.wake.notified() => {}
                () = wait => {}
            }
        }
        let rest = async {
            while let Some(ended) = running.join_next().await {
                self.note(ended);
            }
        };
        if tokio::time::timeout(drain, rest).await.is_err() {
            tracing::warn!(
                calls = running.len(),
                "tasks were still running at the stop and are cut off"
            );
        }
    }

    /// Begins calls as far as there is room; returns the pause until the next is due.
    fn begin_what_is_due(
        &self,
        runner: &Runner,
        rates: &mut Rates,
        running: &mut JoinSet<(String, Outcome)>,
    ) -> Option<Duration> {
        let now = (self.options.clock)();
        let mut state = self.state.lock();
        while let Some(entry) = state.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, number), id) = entry.remove_entry();
            let priority = state.priority(&id);
            state.ready.insert((priority, number), id);
        }
        while running.len() < self.options.running.max(1) {
            let Some((_, id)) = state.ready.pop_first() else { break };
            let Some(entry) = state.entries.get_mut(&id) else { continue };
            let Some(open) = &mut entry.open else { continue };
            if open.options.expires.is_some_and(|expires| expires <= now) {
                state.end(&id, &Outcome::Revoked { terminated: false }, "expired", now);
                self.tell();
                continue;
            }
            let at = Instant::now();
            let pause = match open.paced {
                true => Duration::ZERO,
                false => rates.slot(&open.call.name, at).saturating_duration_since(at),
            };
            open.paced = true;
            if !pause.is_zero() {
                let pause = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX / 2);
                state.put(id, Some(now.plus_micros(pause)));
                continue;
            }
            entry.status.state = TaskState::Started;
            let work = runner.run(open.call.clone(), open.stop.clone());
            running.spawn(async move { (id, work.await) });
        }
        self.show(&state);
        let (due, _) = state.due.first_key_value()?.0;
        Some(Duration::from_micros(u64::try_from(due.micros_since(now)).unwrap_or(0)))
    }

    fn note(&self, ended: Result<(String, Outcome), tokio::task::JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // The runner never panics; a call that is lost runs again with the next service.
                tracing::error!(%error, "a call was lost");
                return;
            }
        };
        let now = (self.options.clock)();
        let mut state = self.state.lock();
        match &outcome {
            Outcome::Retry { after, .. } => state.again(&id, &outcome, *after, now),
            _ => state.end(&id, &outcome, "", now),
        }
        state.forget(&self.options);
        drop(state);
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn show(&self, state: &State) {
        let waiting = (state.ready.len() + state.due.len()) as f64;
        metrics::gauge!("bongsu_queue_length", "queue" => "ai_tasks").set(waiting);
    }

    fn known(&self, id: &str) -> TaskStatus {
        let state = self.state.lock();
        state.entries.get(id).map_or_else(|| TaskStatus::pending(id), |entry| entry.status.clone())
    }
}

impl State {
    fn priority(&self, id: &str) -> u8 {
        let open = self.entries.get(id).and_then(|entry| entry.open.as_ref());
        open.map_or(0, |open| open.options.priority)
    }

    fn put(&mut self, id: String, at: Option<EventTime>) {
        self.number += 1;
        match at {
            Some(at) => drop(self.due.insert((at, self.number), id)),
            None => {
                let priority = self.priority(&id);
                self.ready.insert((priority, self.number), id);
            }
        }
    }

    /// What ran when the service died is to be run again.
    fn take_up_again(&mut self) {
        let started = |(id, entry): (&String, &Entry)| {
            (entry.status.state == TaskState::Started && entry.open.is_some()).then(|| id.clone())
        };
        let lost: Vec<String> = self.entries.iter().filter_map(started).collect();
        for id in lost {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.status.state = TaskState::Pending;
            }
            self.put(id, None);
        }
    }

    /// The call waits for its next attempt.
    fn again(&mut self, id: &str, outcome: &Outcome, after: Duration, now: EventTime) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(open) = &mut entry.open else { return };
        (open.call.attempt, open.paced) = (open.call.attempt + 1, false);
        entry.status = entry.status.clone().after(outcome, now);
        entry.status.retries = Some(open.call.attempt);
        let pause = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        self.put(id.to_owned(), Some(now.plus_micros(pause)));
    }

    fn end(&mut self, id: &str, outcome: &Outcome, why: &str, now: EventTime) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.status = entry.status.clone().after(outcome, now);
        if !why.is_empty() {
            entry.status.error = Some(TaskFailure::revoked(why).to_json());
        }
        entry.open = None;
        entry.size = entry.status.result.as_ref().map_or(0, size_of_value);
        self.kept_bytes += entry.size;
        self.ended.push_back((Instant::now(), id.to_owned()));
    }

    /// Lets go of ended calls beyond the limits.
    fn forget(&mut self, options: &MemoryOptions) {
        while let Some((at, _)) = self.ended.front() {
            let within = self.ended.len() <= options.kept && self.kept_bytes <= options.kept_bytes;
            if within && at.elapsed() < options.keep {
                break;
            }
            let Some((_, id)) = self.ended.pop_front() else { break };
            if let Some(entry) = self.entries.remove(&id) {
                self.kept_bytes -= entry.size;
            }
        }
    }
}

impl Submit for MemoryQueue {
    fn knows_every_call(&self) -> bool {
        true
    }

    fn submit(
        &self,
        call: TaskCall,
        options: SubmitOptions,
    ) -> BoxFuture<'_, Result<Submitted, SubmitError>> {
        let outcome = (|| {
            let mut state = self.state.lock();
            state.forget(&self.options);
            if state.entries.contains_key(&call.id) {
                return Ok(Submitted::Known);
            }
            let waiting = state.ready.len() + state.due.len();
            if waiting >= self.options.waiting {
                return Err(SubmitError::Full { waiting });
            }
            let id = call.id.clone();
            let mut status = TaskStatus::pending(&id);
            status.name = Some(call.name.clone());
            status.retries = Some(call.attempt);
            let open = Open { call, options, stop: CancellationToken::new(), paced: false };
            state.entries.insert(id.clone(), Entry { status, open: Some(open), size: 0 });
            state.put(id, options.eta);
            self.show(&state);
            Ok(Submitted::New)
        })();
        self.wake.notify_one();
        Box::pin(std::future::ready(outcome))
    }

    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TaskStatus, SubmitError>> {
        Box::pin(std::future::ready(Ok(self.known(id))))
    }

    fn finished<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TaskStatus, SubmitError>> {
        Box::pin(async move {
            let mut changes = self.changed.subscribe();
            loop {
                let status = self.known(id);
                if status.state.is_final() {
                    return Ok(status);
                }
                // The sender is in `self`: it is not gone.
                let _ = changes.changed().await;
            }
        })
    }

    fn revoke<'a>(
        &'a self,
        id: &'a str,
        terminate: bool,
    ) -> BoxFuture<'a, Result<(), SubmitError>> {
        let mut state = self.state.lock();
        let now = (self.options.clock)();
        let runs = state.entries.get(id).is_some_and(|one| one.status.state == TaskState::Started);
        let open = state.entries.get(id).and_then(|entry| entry.open.as_ref());
        match open {
            Some(open) if runs && terminate => open.stop.cancel(),
            Some(_) if !runs => {
                state.ready.retain(|_, waiting| waiting != id);
                state.due.retain(|_, waiting| waiting != id);
                state.end(id, &Outcome::Revoked { terminated: false }, "revoked", now);
            }
            _ => {}
        }
        drop(state);
        self.tell();
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
