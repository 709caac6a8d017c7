//! One budget of REST calls for each app key: evenly spaced, in order of importance, and learning.
//!
//! KIS counts over a sliding second by several gateways, so equal gaps work and bursts do not. The
//! rate starts below the nominal limit. A refusal for speed (EGW00201) takes a quarter off it, at
//! most once a second, and holds it there for a while; a run of calls that were served adds a
//! twentieth of the starting rate, up to a ceiling that is below the nominal limit as well. It never
//! falls below a quarter of the starting rate.
//!
//! Calls wait in lanes ([`Lane`]). The next slot goes to the most important lane that waits, but a
//! lane that was passed over a set number of times goes first once: each lane has a least share.
//! Within a lane the order is that of arrival. A waiter that is dropped leaves the queue and costs no
//! slot. Waiters are bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

const REFUSED: f64 = 0.75;
const SLOWEST: f64 = 0.25;
const STEP: f64 = 0.05;
/// Calls served in a row that make the rate grow by one step.
const CLEAN: u32 = 20;
/// The rate does not grow for so long after a refusal.
const HOLD: Duration = Duration::from_secs(30);
/// Refusals within this time are one event: they were sent at the same, too high rate.
const SAME_EVENT: Duration = Duration::from_secs(1);
/// Calls that may wait.
const MAX_WAITING: usize = 4_096;

/// How important a call is. The order is that of the variants.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Tokens and keys: everything else waits for them.
    Control,
    /// What a gap in the live feed needs, and what the daemon cannot start without.
    #[default]
    Backfill,
    /// Regular looks at prices and accounts.
    Poll,
    /// History for the archive; it has the whole night.
    Collect,
}

const LANES: usize = 4;

impl Lane {
    /// All of them, the most important one first.
    pub const ALL: [Self; LANES] = [Self::Control, Self::Backfill, Self::Poll, Self::Collect];

    const fn index(self) -> usize {
        self as usize
    }

    /// Slots that may go to more important lanes while this one waits, before it has one itself.
    /// The shares they guarantee (a fifth, an eighth, a tenth) leave more than half free.
    const fn patience(self) -> u32 {
        match self {
            Self::Control => u32::MAX,
            Self::Backfill => 4,
            Self::Poll => 7,
            Self::Collect => 9,
        }
    }
}

/// Too many calls wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded {
    /// Calls that wait.
    pub waiting: usize,
}

/// The budget of one app key. Share it ([`std::sync::Arc`]) between all clients of the key.
#[derive(Debug)]
pub struct Budget {
    limits: Option<Limits>,
    state: Mutex<State>,
}

/// Calls a second.
#[derive(Debug, Clone, Copy)]
struct Limits {
    start: f64,
    ceiling: f64,
}

#[derive(Debug)]
struct State {
    /// Calls a second at present.
    rate: f64,
    /// When the next call may go; `None` before the first.
    next: Option<Instant>,
    lanes: [VecDeque<Waiter>; LANES],
    /// Slots given to more important lanes while the lane waited.
    passed: [u32; LANES],
    clean: u32,
    refused_at: Option<Instant>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    wake: Arc<Notify>,
}

impl State {
    fn gap(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    fn waiting(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    /// The lane the next slot belongs to.
    fn lane_to_serve(&self) -> Option<Lane> {
        let waits = |lane: &Lane| !self.lanes[lane.index()].is_empty();
        let due = |lane: &Lane| waits(lane) && self.passed[lane.index()] >= lane.patience();
        // Of two that are due the less important one has waited longer.
        Lane::ALL.into_iter().rev().find(due).or_else(|| Lane::ALL.into_iter().find(waits))
    }

    fn head(&self) -> Option<&Waiter> {
        self.lanes[self.lane_to_serve()?.index()].front()
    }

    /// Wakes the call whose turn it is.
    fn wake(&self) {
        if let Some(waiter) = self.head() {
            waiter.wake.notify_one();
        }
    }

    fn give_slot(&mut self, lane: Lane, now: Instant) {
        self.lanes[lane.index()].pop_front();
        for other in Lane::ALL {
            let passed = &mut self.passed[other.index()];
            if other == lane || self.lanes[other.index()].is_empty() {
                *passed = 0;
            } else if other > lane {
                *passed = passed.saturating_add(1);
            }
        }
        self.next = Some(now + self.gap());
    }
}

/// Leaves the queue when its call no longer wants the slot.
struct Place<'a> {
    budget: &'a Budget,
    lane: Lane,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        let queue = &mut state.lanes[self.lane.index()];
        if let Some(at) = queue.iter().position(|waiter| waiter.ticket == self.ticket) {
            queue.remove(at);
        }
        // The turn may have passed to another one, by the slot taken or by the place left.
        state.wake();
    }
}

impl Budget {
    /// A budget that starts at `calls_per_second` and learns up to `ceiling`, which also bounds the
    /// start. `None`, zero or less means no limit.
    #[must_use]
    pub fn new(calls_per_second: Option<f64>, ceiling: f64) -> Self {
        let limits = calls_per_second
            .filter(|rate| rate.is_finite() && *rate > 0.0)
            .map(|rate| Limits { start: rate.max(0.001).min(ceiling), ceiling });
        let state = State {
            rate: limits.map_or(1.0, |limits| limits.start),
            next: None,
            lanes: Default::default(),
            passed: [0; LANES],
            clean: 0,
            refused_at: None,
            tickets: 0,
        };
        Self { limits, state: Mutex::new(state) }
    }

    /// Waits for a slot. Dropping the future gives the place back.
    ///
    /// # Errors
    /// [`Crowded`] when too many wait already.
    pub async fn take(&self, lane: Lane) -> Result<(), Crowded> {
        if self.limits.is_none() {
            return Ok(());
        }
        let wake = Arc::new(Notify::new());
        let place = {
            let mut state = self.state.lock();
            let waiting = state.waiting();
            if waiting >= MAX_WAITING {
                return Err(Crowded { waiting });
            }
            let ticket = state.tickets;
            state.tickets += 1;
            state.lanes[lane.index()].push_back(Waiter { ticket, wake: Arc::clone(&wake) });
            Place { budget: self, lane, ticket }
        };
        loop {
            let until = {
                let mut state = self.state.lock();
                let now = Instant::now();
                let mine = state.head().is_some_and(|waiter| waiter.ticket == place.ticket);
                match state.next {
                    _ if !mine => None,
                    Some(next) if now < next => Some(next),
                    _ => {
                        state.give_slot(lane, now);
                        return Ok(());
                    }
                }
            };
            match until {
                // Another one may overtake meanwhile; the look after the sleep finds out.
                Some(next) => tokio::time::sleep_until(next).await,
                None => wake.notified().await,
            }
        }
    }

    /// A call was served.
    pub fn served(&self) {
        let Some(limits) = self.limits else { return };
        let mut state = self.state.lock();
        state.clean += 1;
        let held = state.refused_at.is_some_and(|at| at.elapsed() < HOLD);
        if state.clean >= CLEAN && !held {
            state.clean = 0;
            state.rate = (state.rate + limits.start * STEP).min(limits.ceiling);
        }
    }

    /// A call was refused for speed.
    pub fn refused(&self) {
        let Some(limits) = self.limits else { return };
        let mut state = self.state.lock();
        let now = Instant::now();
        state.clean = 0;
        let same = state.refused_at.is_some_and(|at| now - at < SAME_EVENT);
        if !same {
            state.refused_at = Some(now);
            state.rate = (state.rate * REFUSED).max(limits.start * SLOWEST);
            // The gateways still count the calls that were too many.
            let pause = now + state.gap();
            state.next = Some(state.next.map_or(pause, |next| next.max(pause)));
        }
    }

    /// Calls a second at present; `None` without a limit.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.limits.map(|_| self.state.lock().rate)
    }

    /// Calls that could still go within the next second; `None` without a limit.
    #[must_use]
    pub fn remaining(&self) -> Option<f64> {
        self.limits?;
        let state = self.state.lock();
        let busy = state
            .next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()));
        let free = Duration::from_secs(1).saturating_sub(busy);
        let calls = free.as_secs_f64() * state.rate - state.waiting() as f64;
        Some(calls.max(0.0))
    }
}

#[cfg(test)]
mod tests;
