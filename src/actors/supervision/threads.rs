//! The arbiters of a tree.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::Placement;

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

    pub(super) fn spawn(
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

    pub(super) fn abandon(&self, placement: Placement) {
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
