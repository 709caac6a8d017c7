//! The supervisor: starts children, watches them, and acts on why they end.
//!
//! A supervisor runs on one thread that no stage shares, so nothing its children do can delay it.
//! Supervisors nest: a sub-tree is a child like any other, and one that gives up is a failure to
//! its parent. When the root gives up, the process ends with a non-zero code and its container
//! starts it again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::decide::Judge;
use super::node::{Exit, ExitGuard, Halt, run_generation};
use super::slot::Activity;
use super::{
    Decision, ExitReason, InboxStats, Node, Placement, Poison, PoisonSink, RestartPolicy, Stage,
    Strategy,
};

/// How long a child may take to stop when asked, before it is fenced.
const STOP_GRACE: Duration = Duration::from_secs(4);
/// The same for a sub-tree: its children stop one after the other, as a rule at once.
const SUBTREE_GRACE: Duration = Duration::from_secs(8);

/// The arbiters of a tree by name, made on one shared runtime when first needed.
#[derive(Clone)]
pub struct Threads {
    runtime: Option<Arc<tokio::runtime::Runtime>>,
    arbiters: Rc<RefCell<HashMap<&'static str, actix_rt::Arbiter>>>,
    leaked: Rc<Cell<usize>>,
}

impl Threads {
    /// Arbiters on `runtime`; without one, every node must be placed [`Placement::Here`].
    #[must_use]
    pub fn new(runtime: Option<Arc<tokio::runtime::Runtime>>) -> Self {
        Self { runtime, arbiters: Rc::default(), leaked: Rc::default() }
    }

    /// Threads that were abandoned because what ran on them hung.
    #[must_use]
    pub fn leaked(&self) -> usize {
        self.leaked.get()
    }

    fn spawn(
        &self,
        placement: Placement,
        make: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        let Placement::Thread(name) = placement else {
            make();
            return Ok(());
        };
        let mut arbiters = self.arbiters.borrow_mut();
        if !arbiters.get(name).is_some_and(actix_rt::Arbiter::alive) {
            let runtime = self.runtime.clone().ok_or_else(|| {
                format!("thread {name} was asked for in a tree that has no shared runtime")
            })?;
            let arbiter = actix_rt::Arbiter::try_with_tokio_rt(move || Ok(runtime))
                .map_err(|error| format!("thread {name} could not be started: {error}"))?;
            arbiters.insert(name, arbiter);
        }
        if arbiters[name].spawn_fn(make) { Ok(()) } else { Err(format!("thread {name} has ended")) }
    }

    fn abandon(&self, placement: Placement) {
        if let Placement::Thread(name) = placement
            && self.arbiters.borrow_mut().remove(name).is_some()
        {
            self.leaked.set(self.leaked.get() + 1);
        }
    }

    /// Ends all threads that are not abandoned.
    pub fn stop_all(&self) {
        for (_, arbiter) in self.arbiters.borrow_mut().drain() {
            arbiter.stop();
        }
    }
}

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

/// Something a supervisor can start and watch.
pub trait Child {
    /// Name, unique in the tree.
    fn name(&self) -> &'static str;
    /// Starts a new generation as child `index`, which reports its end to `exits`.
    ///
    /// # Errors
    /// When not even the attempt was possible.
    fn start(&mut self, index: usize, threads: &Threads, exits: &ExitSender)
    -> Result<u64, String>;
    /// Asks the running generation to end.
    fn ask_stop(&self, drain: bool);
    /// Gives the running generation up: whatever it still does has no effect.
    fn fence(&mut self, threads: &Threads);
    /// Whether it has made no progress for too long.
    fn is_hung(&mut self, now: Instant) -> bool;
    /// After a failure: records to skip from now on.
    fn condemn(&mut self, reason: &ExitReason) -> Vec<Poison>;
    /// Forgets state, before its supervisor starts over.
    fn reset(&mut self);
    /// Its inbox.
    fn inbox(&self) -> InboxStats;
    /// How long it may take to stop when asked.
    fn grace(&self) -> Duration {
        STOP_GRACE
    }
}

/// Where a generation reports its end.
pub struct ExitSender(pub(super) mpsc::Sender<Exit>);

impl<S: Stage> Child for Node<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn start(
        &mut self,
        index: usize,
        threads: &Threads,
        exits: &ExitSender,
    ) -> Result<u64, String> {
        let generation = self.slot.advance_generation();
        self.watched = None;
        self.handle.renew();
        let guard = ExitGuard::new(index, generation, exits);
        let (slot, factory, handle) =
            (self.slot.clone(), Arc::clone(&self.factory), self.handle.clone());
        threads.spawn(self.options.placement, move || {
            // The task reports its own end through the guard, panics included.
            drop(actix_rt::spawn(run_generation(slot, factory, handle, generation, guard)));
        })?;
        Ok(generation)
    }

    fn ask_stop(&self, drain: bool) {
        self.handle.halt(Halt { drain });
    }

    fn fence(&mut self, threads: &Threads) {
        self.slot.fence();
        threads.abandon(self.options.placement);
    }

    fn is_hung(&mut self, now: Instant) -> bool {
        if self.slot.activity() != Activity::Busy {
            self.watched = None;
            return false;
        }
        let mark = self.slot.cursor().mark();
        match self.watched {
            Some((seen, since)) if seen == mark => {
                now.saturating_duration_since(since) >= self.options.hang_after
            }
            _ => {
                self.watched = Some((mark, now));
                false
            }
        }
    }

    fn condemn(&mut self, reason: &ExitReason) -> Vec<Poison> {
        self.slot.condemn(reason)
    }

    fn reset(&mut self) {
        self.slot.reset();
    }

    fn inbox(&self) -> InboxStats {
        self.slot.inbox().stats()
    }
}

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
        }
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
                    self.shut_down(&mut exits).await;
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
    fn start_due(&mut self, exits: &ExitSender) -> Option<String> {
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
            format!(
                "{} hung threads were abandoned, the limit is {}",
                self.threads.leaked(),
                self.max_leaked
            )
        })
    }

    fn on_exit(&mut self, exit: Exit) -> Option<String> {
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
        } else {
            tracing::info!(actor = name, supervisor = self.name, %reason, "actor ended");
        }
        self.judge_failure(exit.child, reason)
    }

    /// Acts on a failure; the answer is why the supervisor gives up, if it does.
    fn judge_failure(&mut self, index: usize, reason: ExitReason) -> Option<String> {
        if reason.is_failure() {
            for poison in self.places[index].child.condemn(&reason) {
                (self.poison)(poison);
            }
        }
        match self.judge.decide(index, &reason, Instant::now()) {
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
    fn look_after(&mut self) -> Option<String> {
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

    fn fence(&mut self, index: usize) {
        let threads = self.threads.clone();
        self.places[index].child.fence(&threads);
    }

    async fn give_up(&mut self, why: String, exits: &mut mpsc::Receiver<Exit>) -> ExitReason {
        tracing::error!(supervisor = self.name, why, "supervisor gives up");
        for index in (0..self.places.len()).rev() {
            self.end(index, false, exits).await;
        }
        for place in &mut self.places {
            place.child.reset();
        }
        ExitReason::Failed(why)
    }

    /// Upstream first: each child handles what it was sent before the next one is asked.
    async fn shut_down(&mut self, exits: &mut mpsc::Receiver<Exit>) {
        for index in 0..self.places.len() {
            self.end(index, true, exits).await;
        }
    }

    async fn end(&mut self, index: usize, drain: bool, exits: &mut mpsc::Receiver<Exit>) {
        if matches!(self.places[index].phase, Phase::Running | Phase::Stopping { .. }) {
            self.places[index].child.ask_stop(drain);
            let deadline = Instant::now() + self.places[index].child.grace();
            loop {
                match tokio::time::timeout_at(deadline, exits.recv()).await {
                    Ok(Some(exit)) => {
                        let mine =
                            exit.child == index && exit.generation == self.places[index].generation;
                        self.note(exit.child, |status| {
                            status.up = false;
                            status.last_exit = Some(exit.reason.clone());
                        });
                        if exit.generation == self.places[exit.child].generation {
                            self.places[exit.child].phase = Phase::Ended;
                        }
                        if mine {
                            break;
                        }
                    }
                    Ok(None) | Err(_) => {
                        let name = self.places[index].child.name();
                        tracing::error!(actor = name, "did not stop when asked, it is fenced");
                        self.fence(index);
                        break;
                    }
                }
            }
        }
        self.places[index].phase = Phase::Ended;
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut ChildStatus)) {
        let mut status = self.status.lock();
        let entry = &mut status[index];
        change(entry);
        metrics::gauge!("bongsu_actor_up", "actor" => entry.name)
            .set(f64::from(u8::from(entry.up)));
    }
}

/// A sub-tree as a child of another supervisor.
pub struct Subtree {
    name: &'static str,
    supervisor: Rc<RefCell<Option<Supervisor>>>,
    handle: SupervisorHandle,
    generation: u64,
}

impl Subtree {
    /// `supervisor` as a child.
    #[must_use]
    pub fn new(supervisor: Supervisor) -> Self {
        Self {
            name: supervisor.name,
            handle: supervisor.handle(),
            supervisor: Rc::new(RefCell::new(Some(supervisor))),
            generation: 0,
        }
    }
}

impl Child for Subtree {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self, index: usize, _: &Threads, exits: &ExitSender) -> Result<u64, String> {
        let supervisor = self.supervisor.borrow_mut().take();
        let mut supervisor =
            supervisor.ok_or_else(|| format!("sub-tree {} is still running", self.name))?;
        self.generation += 1;
        let generation = self.generation;
        let mut guard = ExitGuard::new(index, generation, exits);
        let home = Rc::clone(&self.supervisor);
        // On the supervisor's own thread: supervisors never block.
        drop(tokio::task::spawn_local(async move {
            let reason = supervisor.run().await;
            *home.borrow_mut() = Some(supervisor);
            guard.report(reason);
        }));
        Ok(generation)
    }

    fn ask_stop(&self, _drain: bool) {
        self.handle.stop();
    }

    fn fence(&mut self, _: &Threads) {}

    fn is_hung(&mut self, _: Instant) -> bool {
        false
    }

    fn condemn(&mut self, _: &ExitReason) -> Vec<Poison> {
        Vec::new()
    }

    fn reset(&mut self) {
        if let Some(supervisor) = self.supervisor.borrow_mut().as_mut() {
            for place in &mut supervisor.places {
                place.child.reset();
            }
        }
    }

    fn inbox(&self) -> InboxStats {
        InboxStats::default()
    }

    fn grace(&self) -> Duration {
        SUBTREE_GRACE
    }
}
