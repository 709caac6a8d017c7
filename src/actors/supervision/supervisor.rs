//! The supervisor: starts children, watches them, and acts on why they end.
//!
//! A supervisor runs on one thread that no stage shares, so nothing its children do can delay it.
//! Supervisors nest: a sub-tree is a child like any other, and one that gives up is a failure to
//! its parent. When the root gives up, the process ends with a non-zero code and its container
//! starts it again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

mod stop;

use super::decide::Judge;
use super::node::Exit;
use super::{
    Child, Decision, ExitReason, ExitSender, InboxStats, Placement, PoisonSink, RestartPolicy,
    Strategy, Threads,
};

/// What a child looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// Name.
    pub name: &'static str,
    /// Whether a generation is running.
    pub up: bool,
    /// Generations started so far.
    pub generation: u64,
    /// Restarts after failures.
    pub restarts: u64,
    /// Why the last generation ended, if one has.
    pub last_exit: Option<ExitReason>,
    /// Its inbox; zeroes for a sub-tree.
    pub inbox: InboxStats,
}

/// Status of a supervisor's children by name, shared and updated as things happen.
pub type TreeStatus = Arc<Mutex<Vec<ChildStatus>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Asked to stop; fenced at the deadline.
    Stopping {
        deadline: Instant,
    },
    /// To be started then.
    Waiting {
        at: Instant,
    },
    Ended,
}

struct Place {
    child: Box<dyn Child>,
    phase: Phase,
    generation: u64,
    /// What to do once a stopping child has ended.
    restart_at: Option<Instant>,
}

/// A supervisor and its children, in the order in which they feed each other.
pub struct Supervisor {
    name: &'static str,
    places: Vec<Place>,
    judge: Judge,
    policy: RestartPolicy,
    heartbeat: Duration,
    threads: Threads,
    max_leaked: usize,
    poison: PoisonSink,
    status: TreeStatus,
    commands: mpsc::Receiver<()>,
    handle: SupervisorHandle,
    /// Counts what got on while the tree stops, for the parent.
    progress: Arc<AtomicU64>,
    /// Told when the children are to start from nothing.
    on_reset: Option<Box<dyn Fn()>>,
}

/// Asks a running supervisor to stop its tree.
#[derive(Debug, Clone)]
pub struct SupervisorHandle {
    stop: mpsc::Sender<()>,
    status: TreeStatus,
}

impl SupervisorHandle {
    /// Asks for an orderly end: upstream first, each child drained before the next is stopped.
    pub fn stop(&self) {
        // One wish is enough: a full channel holds one already.
        if let Err(error) = self.stop.try_send(()) {
            tracing::debug!(%error, "the supervisor was already asked to stop, or has ended");
        }
    }

    /// Status of the children.
    #[must_use]
    pub fn status(&self) -> Vec<ChildStatus> {
        self.status.lock().clone()
    }
}

impl Supervisor {
    /// A supervisor without children.
    #[must_use]
    pub fn new(
        name: &'static str,
        policy: RestartPolicy,
        heartbeat: Duration,
        threads: Threads,
        max_leaked: usize,
        poison: PoisonSink,
    ) -> Self {
        let (stop, commands) = mpsc::channel(1);
        let status = TreeStatus::default();
        Self {
            name,
            places: Vec::new(),
            judge: Judge::new(policy, 0),
            policy,
            heartbeat,
            threads,
            max_leaked,
            poison,
            status: Arc::clone(&status),
            commands,
            handle: SupervisorHandle { stop, status },
            progress: Arc::default(),
            on_reset: None,
        }
    }

    /// Calls `told` when it has given up and its children's states are forgotten.
    pub fn on_reset(&mut self, told: impl Fn() + 'static) {
        self.on_reset = Some(Box::new(told));
    }

    /// Adds a child after those it is fed by.
    pub fn add(&mut self, child: impl Child + 'static) {
        self.status.lock().push(ChildStatus {
            name: child.name(),
            up: false,
            generation: 0,
            restarts: 0,
            last_exit: None,
            inbox: InboxStats::default(),
        });
        let phase = Phase::Ended;
        let child = Box::new(child);
        self.places.push(Place { child, phase, generation: 0, restart_at: None });
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Counts what gets on while the tree stops.
    pub(super) fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.progress)
    }

    /// Forgets the state of all children, before it starts over.
    pub(super) fn reset(&mut self) {
        if let Some(told) = &self.on_reset {
            told();
        }
        for place in &mut self.places {
            place.child.reset();
        }
    }

    /// The way to stop it and to look at it.
    #[must_use]
    pub fn handle(&self) -> SupervisorHandle {
        self.handle.clone()
    }

    /// Runs the tree until it is asked to stop, everything has finished, or it gives up.
    pub async fn run(&mut self) -> ExitReason {
        self.judge = Judge::new(self.policy, self.places.len());
        let (sender, mut exits) = mpsc::channel(16 + 4 * self.places.len());
        let sender = ExitSender(sender);
        let now = Instant::now();
        for place in &mut self.places {
            place.phase = Phase::Waiting { at: now };
        }
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(reason) = self.start_due(&sender) {
                return self.give_up(reason, &mut exits).await;
            }
            if self.places.iter().all(|place| place.phase == Phase::Ended) {
                return ExitReason::Finished;
            }
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = self.commands.recv() => {
                    self.shut_down(&sender, &mut exits).await;
                    return ExitReason::Asked;
                }
                Some(exit) = exits.recv() => {
                    if let Some(reason) = self.on_exit(exit) {
                        return self.give_up(reason, &mut exits).await;
                    }
                }
                _ = heartbeat.tick() => {
                    if let Some(reason) = self.look_after() {
                        return self.give_up(reason, &mut exits).await;
                    }
                }
                () = async { match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                } } => {}
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.places
            .iter()
            .filter_map(|place| match place.phase {
                Phase::Waiting { at } => Some(at),
                Phase::Stopping { deadline } => Some(deadline),
                Phase::Running | Phase::Ended => None,
            })
            .min()
    }

    /// Starts what is due, in order, and fences what did not stop in time.
    fn start_due(&mut self, exits: &ExitSender) -> Option<ExitReason> {
        let now = Instant::now();
        for index in 0..self.places.len() {
            match self.places[index].phase {
                Phase::Stopping { deadline } if deadline <= now => {
                    self.fence(index);
                    let restart = self.places[index].restart_at.take();
                    self.places[index].phase =
                        restart.map_or(Phase::Ended, |at| Phase::Waiting { at });
                }
                Phase::Waiting { at } if at <= now => {
                    let place = &mut self.places[index];
                    match place.child.start(index, &self.threads, exits) {
                        Ok(generation) => {
                            place.phase = Phase::Running;
                            place.generation = generation;
                            self.note(index, |status| {
                                status.up = true;
                                status.generation = generation;
                            });
                        }
                        Err(why) => {
                            let reason = ExitReason::Failed(why);
                            if let Some(reason) = self.judge_failure(index, reason) {
                                return Some(reason);
                            }
                        }
                    }
                }
                // A stage is started only after those that feed it; independent children are not
                // kept waiting for each other.
                Phase::Waiting { .. } | Phase::Stopping { .. }
                    if self.policy.strategy != Strategy::OneForOne =>
                {
                    break;
                }
                _ => {}
            }
        }
        (self.threads.leaked() > self.max_leaked).then(|| {
            ExitReason::Failed(format!(
                "{} hung threads were abandoned, the limit is {}",
                self.threads.leaked(),
                self.max_leaked
            ))
        })
    }

    fn on_exit(&mut self, exit: Exit) -> Option<ExitReason> {
        let place = &mut self.places[exit.child];
        if exit.generation != place.generation {
            // A generation that was replaced has ended at last.
            return None;
        }
        let stopping = matches!(place.phase, Phase::Stopping { .. });
        place.phase = Phase::Ended;
        let (name, restart) = (place.child.name(), place.restart_at.take());
        let reason = exit.reason;
        self.note(exit.child, |status| {
            status.up = false;
            status.last_exit = Some(reason.clone());
        });
        if stopping {
            if let Some(at) = restart {
                self.places[exit.child].phase = Phase::Waiting { at };
            }
            if !reason.is_failure() {
                return None;
            }
        }
        if reason.is_failure() {
            tracing::error!(actor = name, supervisor = self.name, %reason, "actor ended");
        } else if reason == ExitReason::Asked {
            tracing::debug!(actor = name, supervisor = self.name, "actor ended as asked");
        } else {
            tracing::info!(actor = name, supervisor = self.name, %reason, "actor ended");
        }
        self.judge_failure(exit.child, reason)
    }

    /// Acts on a failure; the answer is why the supervisor gives up, if it does.
    fn judge_failure(&mut self, index: usize, reason: ExitReason) -> Option<ExitReason> {
        if reason.is_failure() {
            for poison in self.places[index].child.condemn(&reason) {
                (self.poison)(poison);
            }
        }
        let name = self.places[index].child.name();
        match self.judge.decide(index, name, &reason, Instant::now()) {
            Decision::LeaveEnded => None,
            Decision::GiveUp(why) => Some(why),
            Decision::Restart { first, last, delay } => {
                let at = Instant::now() + delay;
                self.places[first].phase = Phase::Waiting { at };
                let name = self.places[first].child.name();
                metrics::counter!("bongsu_actor_restarts_total", "actor" => name).increment(1);
                self.note(first, |status| status.restarts += 1);
                for other in (first + 1..=last).rev() {
                    self.restart_after(other, at);
                }
                None
            }
        }
    }

    fn restart_after(&mut self, index: usize, at: Instant) {
        let place = &mut self.places[index];
        match place.phase {
            Phase::Running => {
                place.child.ask_stop(false);
                place.phase = Phase::Stopping { deadline: Instant::now() + place.child.grace() };
                place.restart_at = Some(at);
            }
            Phase::Stopping { .. } => place.restart_at = Some(at),
            Phase::Waiting { .. } => place.phase = Phase::Waiting { at },
            // It had finished; what feeds it starts over, so does it.
            Phase::Ended => place.phase = Phase::Waiting { at },
        }
    }

    /// The heartbeat: hung children, inbox depths.
    fn look_after(&mut self) -> Option<ExitReason> {
        let now = Instant::now();
        for index in 0..self.places.len() {
            let inbox = self.places[index].child.inbox();
            let name = self.places[index].child.name();
            metrics::gauge!("bongsu_mailbox_depth", "actor" => name).set(inbox.depth as f64);
            self.note(index, |status| status.inbox = inbox);
            if self.places[index].phase == Phase::Running && self.places[index].child.is_hung(now) {
                tracing::error!(actor = name, "no progress, the actor is fenced and replaced");
                self.fence(index);
                self.places[index].phase = Phase::Ended;
                self.note(index, |status| {
                    status.up = false;
                    status.last_exit = Some(ExitReason::Hung);
                });
                if let Some(reason) = self.judge_failure(index, ExitReason::Hung) {
                    return Some(reason);
                }
            }
        }
        None
    }

    /// Gives up the running generation of child `index`, and the thread it is on. Whoever shares
    /// that thread cannot go on there either, looks idle to the watchdog, and is moved.
    fn fence(&mut self, index: usize) {
        self.fence_one(index);
        let Some(placement @ Placement::Thread(thread)) = self.places[index].child.placement()
        else {
            return;
        };
        self.threads.abandon(placement);
        let now = Instant::now();
        for other in (0..self.places.len()).filter(|other| *other != index) {
            let place = &mut self.places[other];
            if place.child.placement() != Some(placement) {
                continue;
            }
            let phase = match place.phase {
                Phase::Running => Phase::Waiting { at: now },
                Phase::Stopping { .. } => {
                    place.restart_at.take().map_or(Phase::Ended, |at| Phase::Waiting { at })
                }
                Phase::Waiting { .. } | Phase::Ended => continue,
            };
            place.phase = phase;
            tracing::warn!(actor = place.child.name(), thread, "moved off an abandoned thread");
            self.fence_one(other);
            self.note(other, |status| status.up = false);
        }
    }

    fn fence_one(&mut self, index: usize) {
        let place = &mut self.places[index];
        place.child.fence();
        // No generation has this number. The fenced one may yet end and say so, even before its
        // successor is started; it is not to be taken for the running one.
        place.generation = 0;
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut ChildStatus)) {
        let mut status = self.status.lock();
        let entry = &mut status[index];
        change(entry);
        metrics::gauge!("bongsu_actor_up", "actor" => entry.name)
            .set(f64::from(u8::from(entry.up)));
    }
}
