//! A tree without a pipeline: the services of a process that has other roles than `ingest`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{RECORDER, SupervisionOptions, Tree, TreeHandles, Wiring, poison_sink};
use crate::actors::limits::HOT_INBOX;
use crate::actors::recorder::{self, Recorder, RecorderParts};
use crate::actors::recovery::Ways;
use crate::actors::supervision::{
    Inbox, Policy, RestartPolicy, StageError, Strategy, Supervisor, TaskChild, Threads,
};
use crate::actors::tree::Quiet;

/// What such a tree is made of.
pub struct ServiceParts {
    /// Runtime of everything that waits for the outside.
    pub runtime: Arc<tokio::runtime::Runtime>,
    /// How failures are met.
    pub supervision: SupervisionOptions,
    /// The Recorder's parts; `None` where nothing is stored.
    pub recorder: Option<RecorderParts>,
}

impl Tree {
    /// A tree of services alone, with a Recorder. Must be called on the thread that will run it.
    #[must_use]
    pub fn of_services(parts: ServiceParts) -> Self {
        let options = parts.supervision;
        let threads = Threads::new(Some(Arc::clone(&parts.runtime)));
        let wiring = Wiring { hang_after: options.hang_after };
        let rows = parts.recorder.as_ref().map_or_else(recorder::inbox, |one| one.inbox.clone());
        let to_recorder = parts.recorder.is_some().then(|| rows.edge("supervisor"));
        let supervisor = |name, max_failures| {
            let policy = RestartPolicy {
                strategy: Strategy::OneForOne,
                max_failures,
                within: options.within,
                backoff_initial: options.backoff_initial,
                backoff_max: options.backoff_max,
            };
            let sink = poison_sink(to_recorder.clone());
            let leaked = options.max_leaked_threads;
            Supervisor::new(name, policy, options.heartbeat, threads.clone(), leaked, sink)
        };
        let max = options.max_failures;
        let [feed, pipeline, advice, service] =
            ["feed_supervisor", "pipeline", "advice", "service"].map(|name| supervisor(name, max));
        let root = supervisor("root", max.div_ceil(3).max(1));
        let mut quiet = Quiet::default();
        let recorder = parts.recorder.map(|recorder| {
            let make = move || Ok(Recorder::new(recorder.clone()));
            quiet.watch(wiring.node(rows, None, RECORDER, make))
        });
        // Nothing brings frames here.
        let frames = Inbox::new("nobody", HOT_INBOX, Policy::DropNewest);
        let ticks = Inbox::new("nobody", HOT_INBOX, Policy::DropNewest);
        let recovery = Ways {
            handled: Quiet::default(),
            normalizer: ticks.edge("recovery"),
            recorder: None,
            ingest: frames.edge("recovery"),
        };
        let handles = TreeHandles {
            root: root.handle(),
            feed: feed.handle(),
            pipeline: pipeline.handle(),
            advice: advice.handle(),
            service: service.handle(),
        };
        let runtime = parts.runtime.handle().clone();
        Self {
            root,
            feed,
            pipeline,
            advice,
            service,
            services_only: true,
            recorder,
            runtime,
            frames: frames.edge("feed"),
            threads,
            handles,
            quiet,
            recovery,
        }
    }

    /// Adds a service that may take `grace` to stop.
    pub fn add_patient_service<F, W>(&mut self, name: &'static str, grace: Duration, factory: F)
    where
        F: Fn(CancellationToken) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        let task = TaskChild::new(name, self.runtime.clone(), factory).stops_within(grace);
        self.service.add(task);
    }
}
