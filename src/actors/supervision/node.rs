//! The actix actor around a [`Stage`]: one generation of it, and the control lane.
//!
//! The stage runs in a future of the actor's context and takes its messages from the slot's inbox.
//! The actix mailbox carries control messages only. The future yields after every message, so a
//! control message is handled after at most one batch, however full the inbox is.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture,
};
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::exit::panic_text;
use super::pump::{Control, Wish, pump, reason_of};
use super::slot::{Activity, Slot};
use super::{ExitReason, ExitSender, InboxStats, Stage, StageError};

/// Where a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// On the supervisor's own thread: for tests with a paused clock.
    Here,
    /// On the arbiter with this name, shared by all nodes that name it.
    Thread(&'static str),
}

/// How a node is run.
#[derive(Debug, Clone, Copy)]
pub struct NodeOptions {
    /// Where.
    pub placement: Placement,
    /// Longest time without progress while busy.
    pub hang_after: std::time::Duration,
}

/// Asks the actor how it is doing.
#[derive(Debug, Message)]
#[rtype(result = "ProbeReply")]
pub struct Probe;

/// Answer to [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, actix::MessageResponse)]
pub struct ProbeReply {
    /// Generation that answered.
    pub generation: u64,
    /// Messages handled by this generation.
    pub handled: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Its inbox.
    pub inbox: InboxStats,
}

/// Stops taking messages until [`Resume`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Pause;

/// Takes messages again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Resume;

/// Ends the actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Halt {
    /// Handle what waits in the inbox first.
    pub drain: bool,
}

type Pump = Pin<Box<dyn Future<Output = ExitReason>>>;

/// The actor.
pub struct Shell<S: Stage> {
    slot: Slot<S>,
    generation: u64,
    control: Rc<Control>,
    pump: Option<Pump>,
    outcome: Rc<RefCell<Option<ExitReason>>>,
}

impl<S: Stage> Actor for Shell<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(pump) = self.pump.take() {
            ctx.spawn(pump.into_actor(self).map(|reason, shell, ctx| {
                *shell.outcome.borrow_mut() = Some(reason);
                ctx.stop();
            }));
        }
    }
}

impl<S: Stage> Handler<Probe> for Shell<S> {
    type Result = ProbeReply;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> ProbeReply {
        ProbeReply {
            generation: self.generation,
            handled: self.control.handled.get(),
            paused: self.control.paused.get(),
            inbox: self.slot.inbox().stats(),
        }
    }
}

impl<S: Stage> Handler<Pause> for Shell<S> {
    type Result = ();

    fn handle(&mut self, _: Pause, _: &mut Self::Context) {
        self.control.paused.set(true);
        self.control.changed.notify_one();
    }
}

impl<S: Stage> Handler<Resume> for Shell<S> {
    type Result = ();

    fn handle(&mut self, _: Resume, _: &mut Self::Context) {
        self.control.paused.set(false);
        self.control.changed.notify_one();
    }
}

impl<S: Stage> Handler<Halt> for Shell<S> {
    type Result = ();

    fn handle(&mut self, halt: Halt, _: &mut Self::Context) {
        self.control.wish.set(if halt.drain { Wish::Drain } else { Wish::Stop });
        self.control.changed.notify_one();
    }
}

/// The way to the control lane of whichever generation is running.
pub struct NodeHandle<S: Stage> {
    address: Arc<Mutex<Option<Addr<Shell<S>>>>>,
}

impl<S: Stage> Clone for NodeHandle<S> {
    fn clone(&self) -> Self {
        Self { address: Arc::clone(&self.address) }
    }
}

impl<S: Stage> NodeHandle<S> {
    /// The control address of the running generation, if one is running.
    #[must_use]
    pub fn address(&self) -> Option<Addr<Shell<S>>> {
        self.address.lock().clone().filter(Addr::connected)
    }
}

/// What the supervisor is told when a generation ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) child: usize,
    pub(super) generation: u64,
    pub(super) reason: ExitReason,
}

/// Reports the end of a generation exactly once, even when its thread vanishes.
pub(super) struct ExitGuard {
    child: usize,
    generation: u64,
    exits: mpsc::Sender<Exit>,
    reported: bool,
}

impl ExitGuard {
    pub(super) fn new(child: usize, generation: u64, exits: &ExitSender) -> Self {
        Self { child, generation, exits: exits.0.clone(), reported: false }
    }

    pub(super) fn report(&mut self, reason: ExitReason) {
        self.reported = true;
        let exit = Exit { child: self.child, generation: self.generation, reason };
        // The channel holds several exits of every child; one that does not fit belongs to a
        // supervisor that has stopped listening.
        if let Err(error) = self.exits.try_send(exit) {
            tracing::debug!(%error, "an exit reached no supervisor");
        }
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        if !self.reported {
            self.report(ExitReason::ThreadLost);
        }
    }
}

/// Factory of a stage: called on the node's own thread for every generation.
pub type Factory<S> = Arc<dyn Fn() -> Result<S, StageError> + Send + Sync>;

/// A stage's place in the tree with what is needed to start a generation there.
pub struct Node<S: Stage> {
    pub(super) slot: Slot<S>,
    pub(super) factory: Factory<S>,
    pub(super) options: NodeOptions,
    pub(super) handle: NodeHandle<S>,
    pub(super) watched: Option<(u64, Instant)>,
}

impl<S: Stage> Node<S> {
    /// A node over `slot` whose generations are made by `factory`.
    pub fn new(
        slot: Slot<S>,
        options: NodeOptions,
        factory: impl Fn() -> Result<S, StageError> + Send + Sync + 'static,
    ) -> Self {
        let handle = NodeHandle { address: Arc::default() };
        Self { slot, factory: Arc::new(factory), options, handle, watched: None }
    }

    /// Its place.
    #[must_use]
    pub fn slot(&self) -> &Slot<S> {
        &self.slot
    }

    /// The way to its control lane; valid across restarts.
    #[must_use]
    pub fn handle(&self) -> NodeHandle<S> {
        self.handle.clone()
    }
}

/// Runs one generation to its end. Called on the thread it is to live on.
pub(super) async fn run_generation<S: Stage>(
    slot: Slot<S>,
    factory: Factory<S>,
    handle: NodeHandle<S>,
    generation: u64,
    mut guard: ExitGuard,
) {
    let body = generation_body(slot.clone(), factory, handle.clone(), generation);
    let reason = match AssertUnwindSafe(body).catch_unwind().await {
        Ok(reason) => reason,
        Err(payload) => ExitReason::Panicked(panic_text(payload.as_ref())),
    };
    if slot.generation() == generation {
        slot.set_activity(generation, Activity::Absent);
        *handle.address.lock() = None;
    }
    guard.report(reason);
}

async fn generation_body<S: Stage>(
    slot: Slot<S>,
    factory: Factory<S>,
    handle: NodeHandle<S>,
    generation: u64,
) -> ExitReason {
    let control = Rc::new(Control {
        wish: Cell::new(Wish::Run),
        paused: Cell::new(false),
        handled: Cell::new(0),
        changed: Notify::new(),
    });
    let stage = match factory() {
        Ok(stage) => stage,
        Err(error) => return reason_of(error),
    };
    let outcome = Rc::new(RefCell::new(None));
    let pump = pump(stage, slot.clone(), Rc::clone(&control), generation);
    let shell = Shell {
        slot,
        generation,
        control,
        pump: Some(Box::pin(pump)),
        outcome: Rc::clone(&outcome),
    };
    let context = Context::new();
    *handle.address.lock() = Some(context.address());
    // Asked before there was an address to send a message to.
    if let Some(drain) = shell.slot.halt() {
        shell.control.wish.set(if drain { Wish::Drain } else { Wish::Stop });
    }
    context.into_future(shell).await;
    outcome.take().unwrap_or(ExitReason::Asked)
}
