//! What a supervisor can start and watch: a node here, a sub-tree, a task.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::node::{Exit, ExitGuard, Halt, run_generation};
use super::slot::Activity;
use super::{ExitReason, InboxStats, Node, Poison, Stage, Threads};

/// How long a child may take to stop when asked, before it is fenced.
const STOP_GRACE: Duration = Duration::from_secs(4);

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
        if let Some(address) = self.handle.address() {
            // One control address for each generation, far below the mailbox bound; a failure
            // means that the actor has just ended by itself.
            if let Err(error) = address.try_send(Halt { drain }) {
                tracing::debug!(actor = S::NAME, %error, "a stop found nobody to stop");
            }
        }
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
