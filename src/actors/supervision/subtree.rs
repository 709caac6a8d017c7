//! A supervisor as a child of another one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::node::ExitGuard;
use super::{
    Child, ExitReason, ExitSender, InboxStats, Poison, Supervisor, SupervisorHandle, Threads,
};

/// How long a sub-tree may take to stop: its children stop one after the other, as a rule at once.
const SUBTREE_GRACE: Duration = Duration::from_secs(8);

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
            name: supervisor.name(),
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
            supervisor.reset();
        }
    }

    fn inbox(&self) -> InboxStats {
        InboxStats::default()
    }

    fn grace(&self) -> Duration {
        SUBTREE_GRACE
    }
}
