//! The tree: who supervises and who feeds whom, in one place.
//!
//! ```text
//! root ── one_for_one; too many failures end the process with a non-zero code
//! ├── feed      on the shared runtime: the feed's sessions or the recorded input; beside live ones
//! │             backfill (minutes with missing trades) and poll (issues without a registration)
//! ├── pipeline ── one, then the rest
//! │   ├── ingest        own thread: frames into the journal
//! │   ├── normalizer    own thread: frames to ticks
//! │   ├── risk_scorer   own thread: ticks to scores and detections
//! │   └── alert         own thread: outward
//! ├── advice   ── one_for_one
//! │   ├── recommender, mitigator   one thread
//! │   └── llm_summarizer           one thread
//! └── service  ── one_for_one
//!     ├── recorder      own thread
//!     └── health_monitor, http, object_watch, archiver, collection   on the shared runtime
//! ```
//!
//! The stages of the pipeline have a thread each: a storm then keeps both cores of a small machine
//! busy (copying and checksumming a frame for the journal, parsing it, and scoring it cost about
//! 0.3, 0.4 and 0.2 µs), and a hop between threads costs 5 µs awake, 25 µs asleep, far below the
//! millisecond that an event may take. Which stage lives where is a constant below. A stop
//! goes through the tree in this order, so that everything that was received is handled.

mod quiet;
mod services;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::alert::{Alert, AlertParts};
use super::ingest::{Ingest, IngestParts};
use super::limits::{ADVICE_INBOX, HOT_INBOX, STORM_INBOX};
use super::llm_summarizer::{LlmSummarizer, SummarizerParts};
use super::mitigator::{Mitigator, MitigatorParts};
use super::normalizer::{Normalizer, NormalizerParts};
use super::outlet::AdviceOutlet;
use super::recommender::{Recommender, RecommenderParts};
use super::recorder::{self, Recorder, RecorderParts};
use super::recovery::Ways;
use super::reports::ReportDesk;
use super::reports::drafter::{self, DraftOptions, DrafterParts, run_drafter};
use super::risk_scorer::{BatchLatency, RiskScorer, RiskScorerParts};
use super::states::PipelineStates;
use super::supervision::{
    Edge, Inbox, Node, NodeOptions, Placement, Poison, PoisonSink, Policy, RestartPolicy, Slot,
    Stage, StageError, Strategy, Subtree, Supervisor, SupervisorHandle, TaskChild, Threads,
};
use crate::advice::holdings::Holdings;
use crate::advice::{PlanSettings, ScenarioLimits};
use crate::bus::Publisher;
use crate::journal::JournalOptions;
use crate::llm::Writer;
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{
    AdviceBoard, Checkpoints, Flag, FrameBatch, ModelBoard, Repairs, RiskBoard, StoreBatch,
};
use crate::risk::RiskParams;
use crate::store::{Database, Objects};

pub use quiet::Quiet;
pub use services::ServiceParts;

/// How the tree meets failures.
#[derive(Debug, Clone, Copy)]
pub struct SupervisionOptions {
    /// Failures within `within` at which a supervisor gives up.
    pub max_failures: usize,
    /// Window of `max_failures`.
    pub within: Duration,
    /// First restart delay.
    pub backoff_initial: Duration,
    /// Longest restart delay.
    pub backoff_max: Duration,
    /// How often the children are looked after.
    pub heartbeat: Duration,
    /// Longest time without progress.
    pub hang_after: Duration,
    /// Hung threads that end the process when there are more.
    pub max_leaked_threads: usize,
}

/// What the tree is made of.
pub struct TreeParts {
    /// Runtime of everything that waits for the outside.
    pub runtime: Arc<tokio::runtime::Runtime>,
    /// How failures are met.
    pub supervision: SupervisionOptions,
    /// The journal.
    pub journal: JournalOptions,
    /// Silence of the feed after which a record says so; `None` for recorded input.
    pub silence_after: Option<Duration>,
    /// Thresholds of the detectors.
    pub risk: RiskParams,
    /// Scores, and the issues' directory.
    pub board: RiskBoard,
    /// Newest advice.
    pub advice_board: AdviceBoard,
    /// Where it is said which model the scores are made with.
    pub models: ModelBoard,
    /// The way outward.
    pub publisher: Publisher,
    /// How the components are.
    pub health: HealthRegistry,
    /// The Recorder's parts; `None` where nothing is stored.
    pub recorder: Option<RecorderParts>,
    /// The advisers; `None` where nobody advises.
    pub advice: Option<AdviceParts>,
    /// Where minutes with missing trades are asked for; `None` where nobody can be asked.
    pub repairs: Option<Repairs>,
    /// Where the time from a batch's reception to its scores is noted, in microseconds; `None`
    /// where nobody asks.
    pub batch_latency: Option<BatchLatency>,
    /// Where the stages hand in their states.
    pub checkpoints: Checkpoints,
    /// Set when the start has caught up with the journal: only then is the feed's silence told.
    pub caught_up: Flag,
    /// States to begin with.
    pub states: Option<PipelineStates>,
}

/// What the advisers are made of.
pub struct AdviceParts {
    /// Event time between two recommendations; `None` for none.
    pub every: Option<Duration>,
    /// Limits of the default scenario.
    pub limits: ScenarioLimits,
    /// What plans assume.
    pub plans: PlanSettings,
    /// What is held, or assumed.
    pub holdings: Holdings,
    /// Who writes reports.
    pub writer: Writer,
    /// How much is written, and how often.
    pub drafting: DraftOptions,
    /// Where pages and prompts are kept; `None` where nothing is.
    pub objects: Option<Objects>,
    /// What charts are read from.
    pub database: Option<Database>,
}

/// A tree that is ready to run.
pub struct Tree {
    root: Supervisor,
    feed: Supervisor,
    pipeline: Supervisor,
    advice: Supervisor,
    service: Supervisor,
    /// Whether the services are all there is.
    services_only: bool,
    /// The last of the services: what the others have to store comes before it stops.
    recorder: Option<Node<Recorder>>,
    runtime: Handle,
    /// Where the feed puts its frames.
    pub frames: Edge<Arc<FrameBatch>>,
    /// Threads of the tree.
    pub threads: Threads,
    /// Handles for looking at the sub-trees.
    pub handles: TreeHandles,
    /// Whether everything sent so far was handled.
    pub quiet: Quiet,
    /// The ways of what is read back from the journal.
    pub recovery: Ways,
}

/// The ways into a running tree.
#[derive(Debug, Clone)]
pub struct TreeHandles {
    /// The root: stops everything.
    pub root: SupervisorHandle,
    /// The feed.
    pub feed: SupervisorHandle,
    /// The hot path.
    pub pipeline: SupervisorHandle,
    /// The advisers.
    pub advice: SupervisorHandle,
    /// Services.
    pub service: SupervisorHandle,
}

const INGEST: Placement = Placement::Thread("ingest");
const NORMALIZER: Placement = Placement::Thread("normalizer");
const SCORER: Placement = Placement::Thread("risk_scorer");
const ALERT: Placement = Placement::Thread("alert");
const ADVICE: Placement = Placement::Thread("advice");
const REPORTS: Placement = Placement::Thread("reports");
const RECORDER: Placement = Placement::Thread("recorder");

struct Wiring {
    hang_after: Duration,
}

impl Wiring {
    fn node<S: Stage>(
        &self,
        inbox: Inbox<Arc<S::In>>,
        state: Option<S::Snapshot>,
        placement: Placement,
        factory: impl Fn() -> Result<S, StageError> + Send + Sync + 'static,
    ) -> Node<S> {
        let options = NodeOptions { placement, hang_after: self.hang_after };
        Node::new(Slot::new(inbox).begin_with(state), options, factory)
    }
}

impl Tree {
    /// Wires the tree. Must be called on the thread that will run it.
    #[must_use]
    pub fn new(parts: TreeParts) -> Self {
        let options = parts.supervision;
        let threads = Threads::new(Some(Arc::clone(&parts.runtime)));
        let wiring = Wiring { hang_after: options.hang_after };

        let frames: Inbox<Arc<FrameBatch>> = Inbox::new(Ingest::NAME, HOT_INBOX, Policy::Block);
        let journaled = Inbox::new(Normalizer::NAME, HOT_INBOX, Policy::Block);
        let ticks = Inbox::new(RiskScorer::NAME, HOT_INBOX, Policy::Block);
        let scores = Inbox::new(Alert::NAME, HOT_INBOX, Policy::Block);
        let rows = parts.recorder.as_ref().map_or_else(recorder::inbox, |one| one.inbox.clone());
        let ticks_of_advice = Inbox::new(Recommender::NAME, ADVICE_INBOX, Policy::Conflate(|_| 0));
        let notices = Inbox::new(Mitigator::NAME, STORM_INBOX, Policy::Conflate(notice_key));
        let requests = Inbox::new(
            LlmSummarizer::NAME,
            STORM_INBOX,
            Policy::Conflate(super::llm_summarizer::key),
        );

        let stored = parts.recorder.is_some();
        let to_recorder = |from| stored.then(|| rows.edge(from));
        let supervisor = |name, strategy, max_failures| {
            let policy = RestartPolicy {
                strategy,
                max_failures,
                within: options.within,
                backoff_initial: options.backoff_initial,
                backoff_max: options.backoff_max,
            };
            let sink = poison_sink(to_recorder("supervisor"));
            let leaked = options.max_leaked_threads;
            Supervisor::new(name, policy, options.heartbeat, threads.clone(), leaked, sink)
        };
        let max = options.max_failures;
        let mut pipeline = supervisor("pipeline", Strategy::OneThenRest, max);
        let (desk, health) = (parts.checkpoints.clone(), parts.health.clone());
        let health_of_advice = parts.health.clone();
        pipeline.on_reset(move || {
            if desk.suspend() {
                let reason = "the pipeline failed too often and began from nothing; no checkpoint is \
                              taken any more: restart the daemon, and it goes on from the last one";
                tracing::error!("{reason}");
                health.set(Component::Pipeline, HealthState::degraded(reason));
            }
        });
        let mut advice = supervisor("advice", Strategy::OneForOne, max);
        let service = supervisor("service", Strategy::OneForOne, max);
        let feed = supervisor("feed_supervisor", Strategy::OneForOne, max);
        // A sub-tree that gives up has failed `max` times already: the root does not repeat that
        // as often.
        let root = supervisor("root", Strategy::OneForOne, max.div_ceil(3).max(1));

        let states = parts.states;
        let checkpoints = parts.checkpoints;
        let mut ways = Ways {
            handled: Quiet::default(),
            normalizer: journaled.edge("recovery"),
            recorder: to_recorder("recovery"),
            ingest: frames.edge("recovery"),
        };
        let ingest = IngestParts {
            checkpoints: checkpoints.clone(),
            caught_up: parts.caught_up,
            journal: parts.journal,
            silence_after: parts.silence_after,
            normalizer: journaled.edge(Ingest::NAME),
            health: parts.health,
        };
        let mut quiet = Quiet::default();
        let node = wiring.node(frames.clone(), None, INGEST, move || Ingest::new(ingest.clone()));
        pipeline.add(quiet.watch(node));

        let normalizer = NormalizerParts {
            directory: parts.board.directory.clone(),
            scorer: ticks.edge(Normalizer::NAME),
            recorder: to_recorder(Normalizer::NAME),
            repairs: parts.repairs,
            checkpoints: checkpoints.clone(),
        };
        let make = move || Ok(Normalizer::new(normalizer.clone()));
        let state = states.as_ref().map(|states| states.normalizer.state.clone());
        pipeline.add(quiet.watch(wiring.node(journaled, state, NORMALIZER, make)));

        let every = parts
            .advice
            .as_ref()
            .and_then(|advice| advice.every)
            .map(|every| every.as_micros() as i64);
        let scorer = RiskScorerParts {
            params: parts.risk,
            board: parts.board.clone(),
            alert: scores.edge(RiskScorer::NAME),
            recorder: to_recorder(RiskScorer::NAME),
            batch_latency: parts.batch_latency,
            advice: every.map(|every| (ticks_of_advice.edge(RiskScorer::NAME), every)),
            models: parts.models,
            checkpoints: checkpoints.clone(),
        };
        let make = move || Ok(RiskScorer::new(scorer.clone()));
        let state = states.as_ref().map(|states| states.scorer.clone());
        pipeline.add(quiet.watch(wiring.node(ticks, state, SCORER, make)));

        let alert = AlertParts {
            directory: parts.board.directory.clone(),
            publisher: parts.publisher.clone(),
            recorder: to_recorder(Alert::NAME),
            mitigator: parts.advice.is_some().then(|| notices.edge(Alert::NAME)),
            checkpoints,
        };
        let state = states.map(|states| states.alert.said);
        let node = wiring.node(scores, state, ALERT, move || Ok(Alert::new(alert.clone())));
        pipeline.add(quiet.watch(node));
        // What Ingest brings meanwhile is not waited for.
        ways.handled = Quiet { stages: quiet.stages[1..].to_vec() };

        if let Some(adviser) = parts.advice {
            let directory = parts.board.directory.clone();
            let indices = parts.board.indices.clone();
            let outlet = AdviceOutlet {
                publisher: parts.publisher.clone(),
                board: parts.advice_board,
                recorder: to_recorder("advice"),
            };
            let recommender = RecommenderParts {
                directory: parts.board.directory.clone(),
                limits: adviser.limits,
                outlet: outlet.clone(),
                summarizer: requests.edge(Recommender::NAME),
            };
            let make = move || Ok(Recommender::new(recommender.clone()));
            advice.add(wiring.node(ticks_of_advice, None, ADVICE, make));

            let mitigator = MitigatorParts {
                board: parts.board,
                settings: adviser.plans,
                holdings: adviser.holdings,
                outlet: outlet.clone(),
                summarizer: requests.edge(Mitigator::NAME),
            };
            let make = move || Ok(Mitigator::new(mitigator.clone()));
            advice.add(wiring.node(notices, None, ADVICE, make));

            let desk = ReportDesk {
                writer: adviser.writer,
                outlet,
                objects: adviser.objects,
                database: adviser.database,
                indices,
                directory,
                health: Some(health_of_advice),
            };
            let drafts = Inbox::new("drafter", STORM_INBOX, Policy::Conflate(drafter::key));
            let summarizer =
                SummarizerParts { desk: desk.clone(), drafter: drafts.edge(LlmSummarizer::NAME) };
            let make = move || Ok(LlmSummarizer::new(summarizer.clone()));
            advice.add(wiring.node(requests, None, REPORTS, make));
            let drafting = DrafterParts { desk, inbox: drafts, options: adviser.drafting };
            let make = move |stop| run_drafter(drafting.clone(), stop);
            advice.add(TaskChild::new("drafter", parts.runtime.handle().clone(), make));
        }
        let recorder = parts.recorder.map(|recorder| {
            let make = move || Ok(Recorder::new(recorder.clone()));
            quiet.watch(wiring.node(rows, None, RECORDER, make))
        });

        let handles = TreeHandles {
            root: root.handle(),
            feed: feed.handle(),
            pipeline: pipeline.handle(),
            advice: advice.handle(),
            service: service.handle(),
        };
        let runtime = parts.runtime.handle().clone();
        let frames = frames.edge("feed");
        let recovery = ways;
        Self {
            root,
            feed,
            pipeline,
            advice,
            service,
            services_only: false,
            recorder,
            runtime,
            frames,
            threads,
            handles,
            quiet,
            recovery,
        }
    }

    /// Adds what brings the frames.
    pub fn set_feed<F, W>(&mut self, factory: F)
    where
        F: Fn(tokio_util::sync::CancellationToken) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        self.add_feed_task("feed", factory);
    }

    /// Adds something beside the feed that brings frames too.
    pub fn add_feed_task<F, W>(&mut self, name: &'static str, factory: F)
    where
        F: Fn(tokio_util::sync::CancellationToken) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        self.feed.add(TaskChild::new(name, self.runtime.clone(), factory));
    }

    /// Adds a service on the shared runtime.
    pub fn add_service<F, W>(&mut self, name: &'static str, factory: F)
    where
        F: Fn(tokio_util::sync::CancellationToken) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        self.service.add(TaskChild::new(name, self.runtime.clone(), factory));
    }

    /// Runs it until it is asked to stop or gives up. Must run inside a `LocalSet`.
    ///
    /// # Errors
    /// Why the root gave up, or that not everything was handled before the end.
    pub async fn run(self) -> Result<(), String> {
        let Self {
            mut root,
            feed,
            pipeline,
            advice,
            mut service,
            services_only,
            recorder,
            threads,
            ..
        } = self;
        if let Some(recorder) = recorder {
            service.add(recorder);
        }
        if !services_only {
            for supervisor in [feed, pipeline, advice] {
                root.add(Subtree::new(supervisor));
            }
        }
        root.add(Subtree::new(service));
        let reason = root.run().await;
        threads.stop_all();
        match (reason.is_failure(), threads.unfinished()) {
            (true, _) => Err(reason.to_string()),
            (false, 0) => Ok(()),
            (false, parts) => Err(format!(
                "{parts} of its parts made no progress while stopping and were given up before \
                 they had handled what they were sent"
            )),
        }
    }
}

fn notice_key(notice: &Arc<crate::messages::advice_request::CrashNotice>) -> u64 {
    notice.symbol.map_or(0, crate::market::Symbol::word)
}

/// Poison records are logged, counted and kept.
fn poison_sink(recorder: Option<Edge<Arc<StoreBatch>>>) -> PoisonSink {
    Arc::new(move |poison: Poison| {
        metrics::counter!("bongsu_rejects_total", "reason" => poison.reject.reason).increment(1);
        tracing::error!(
            actor = poison.stage,
            why = poison.why,
            at = ?poison.reject.at,
            payload = poison.reject.payload,
            "a record was skipped"
        );
        let batch = Arc::new(StoreBatch::Rejects(vec![poison.reject]));
        if let Some(recorder) = &recorder
            && recorder.try_send(batch).is_err()
        {
            tracing::error!("the Recorder's inbox is full, the skipped record is only in this log");
        }
    })
}

/// Where a data folder keeps its journal.
#[must_use]
pub fn journal_folder(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("journal")
}
