//! A plain asynchronous task as a child: the feed session, the HTTP server.
//!
//! Runs on the shared runtime, so that its connections live as long as the process. It has no
//! inbox and no state worth keeping; what it needs is told apart from why it ended, and restarted
//! by the same rules as an actor.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exit::panic_text;
use super::node::ExitGuard;
use super::{Child, ExitReason, ExitSender, InboxStats, Poison, StageError, Threads};

type Work = Pin<Box<dyn Future<Output = Result<(), StageError>> + Send>>;

/// A task's place in the tree.
pub struct TaskChild {
    name: &'static str,
    runtime: Handle,
    factory: Arc<dyn Fn(CancellationToken) -> Work + Send + Sync>,
    generation: u64,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    grace: Duration,
}

/// How long a task may take to stop, unless it says otherwise.
const GRACE: Duration = Duration::from_secs(2);

impl TaskChild {
    /// A task on `runtime`, made anew by `factory` for each generation. The token is cancelled
    /// when the task is asked to stop; it should then end with `Ok` before long.
    pub fn new<F, W>(name: &'static str, runtime: Handle, factory: F) -> Self
    where
        F: Fn(CancellationToken) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        let factory = Arc::new(move |token| Box::pin(factory(token)) as Work);
        Self { name, runtime, factory, generation: 0, running: None, grace: GRACE }
    }

    /// The same task, which may take so long to stop when asked.
    #[must_use]
    pub const fn stops_within(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Child for TaskChild {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self, index: usize, _: &Threads, exits: &ExitSender) -> Result<u64, String> {
        self.generation += 1;
        let generation = self.generation;
        let mut guard = ExitGuard::new(index, generation, exits);
        let token = CancellationToken::new();
        let (factory, asked) = (Arc::clone(&self.factory), token.clone());
        let task = self.runtime.spawn(async move {
            // The factory runs inside as well: its panic is a failure of this generation.
            let body = AssertUnwindSafe(async { factory(asked.clone()).await }).catch_unwind();
            let reason = match body.await {
                Ok(Ok(())) if asked.is_cancelled() => ExitReason::Asked,
                Ok(Ok(()) | Err(StageError::Finished)) => ExitReason::Finished,
                Ok(Err(StageError::Downstream(closed))) => ExitReason::DownstreamGone(closed.0),
                Ok(Err(StageError::Failed(why))) => ExitReason::Failed(why),
                Ok(Err(StageError::Fatal(why))) => ExitReason::Fatal(why),
                Err(payload) => ExitReason::Panicked(panic_text(payload.as_ref())),
            };
            guard.report(reason);
        });
        self.running = Some((token, task));
        Ok(generation)
    }

    fn ask_stop(&self, _drain: bool) {
        if let Some((token, _)) = &self.running {
            token.cancel();
        }
    }

    fn fence(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
        }
    }

    fn is_hung(&mut self, _: Instant) -> bool {
        false
    }

    fn condemn(&mut self, _: &ExitReason) -> Vec<Poison> {
        Vec::new()
    }

    fn reset(&mut self) {}

    fn inbox(&self) -> InboxStats {
        InboxStats::default()
    }

    fn grace(&self) -> Duration {
        self.grace
    }
}
