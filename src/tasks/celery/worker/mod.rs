//! The worker: messages of a queue in, results out, seen by Celery's tools as one of theirs.
//!
//! Its parts run side by side and meet in `Shared`:
//!
//! | part | what |
//! |---|---|
//! | `receive` | waits for messages without polling, takes them in batches, refuses what cannot be run |
//! | `execute` | holds a message until it may run, runs it, and says what its end comes to |
//! | `finish` | stores, sends and acknowledges, many tasks a round trip; chords |
//! | `upkeep` | beats, what others have lost, the end |
//! | `control` | remote control: `inspect`, `revoke`, rates, Flower |
//!
//! **Redis away.** Nothing is taken; what runs goes on, and its end is stored when Redis is back. What
//! Redis has forgotten by then is put back into hand; what somebody else has taken meanwhile is let go,
//! unless it runs.
//!
//! **The end.** Nothing new is taken, what waits goes back at once, what runs has
//! [`WorkerOptions::patience`] to end, and then goes back too.

mod control;
mod execute;
mod finish;
mod receive;
mod reply;
mod upkeep;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::broker::{Broker, BrokerOptions};
use super::connection::{Address, BrokerError};
use super::events::{Events, Load};
use super::hands::{Hands, Revoked};
use super::signature::Sender;
use crate::messages::health::HealthRegistry;
use crate::messages::{Component, Reject};
use crate::tasks::{Rates, Runner};

/// Ends that wait to be stored, at most: each belongs to a message in hand or tells that one began.
const ENDINGS: usize = 8_192;

/// Messages that wait for their ETA in this worker's memory, at most; further ones wait in Redis.
const MAX_SCHEDULED: usize = 10_000;

/// A message whose ETA is farther away waits in Redis, where no worker's death can delay it.
const PARK_BEYOND: Duration = Duration::from_secs(300);

/// How a worker stands at its queue.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Address of Redis.
    pub url: String,
    /// The queue.
    pub queue: String,
    /// The worker's name, `name@host`; unique at this Redis.
    pub node: String,
    /// Tasks that run at a time, instant ones aside.
    pub concurrency: usize,
    /// Messages in hand at most, those aside that wait for their ETA.
    pub prefetch: usize,
    /// kombu's visibility time-out: the same for every worker at this Redis.
    pub visibility: Duration,
    /// A worker that is silent for so long is dead to the others.
    pub lost_after: Duration,
    /// Life of a result; zero: for ever.
    pub result_life: Duration,
    /// Whether STARTED is stored.
    pub track_started: bool,
    /// Whether task events are sent before anybody has asked for them.
    pub events: bool,
    /// Bytes of a message, at most.
    pub max_message: usize,
    /// How long a running task may take to end when the worker stops.
    pub patience: Duration,
}

impl WorkerOptions {
    /// A worker of `ai_tasks` at `url`, as Celery's defaults have it.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            queue: "ai_tasks".to_owned(),
            node: node_name("bongsu"),
            concurrency: 8,
            prefetch: 32,
            visibility: Duration::from_secs(3_600),
            lost_after: Duration::from_secs(75),
            result_life: Duration::from_secs(86_400),
            track_started: false,
            events: false,
            max_message: 16 << 20,
            patience: Duration::from_secs(4),
        }
    }
}

impl std::fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("queue", &self.queue)
            .field("node", &self.node)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// `name@host` on this machine.
#[must_use]
pub fn node_name(name: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        host => host,
    };
    format!("{name}@{host}")
}

/// Where messages are reported that cannot be run.
pub type OnReject = Arc<dyn Fn(Reject) + Send + Sync>;

/// A limit in seconds for each of hard and soft, where remote control has set one.
type Limits = (Option<f64>, Option<f64>);

/// What the parts of a worker share.
struct Shared {
    options: WorkerOptions,
    address: Address,
    runner: Runner,
    broker: Broker,
    sender: Sender,
    events: Events,
    health: HealthRegistry,
    on_reject: OnReject,
    hands: Mutex<Hands>,
    revoked: Mutex<Revoked>,
    rates: Mutex<Rates>,
    limits: Mutex<HashMap<String, Limits>>,
    /// Tasks received so far.
    totals: Mutex<BTreeMap<String, u64>>,
    processed: AtomicU64,
    since: tokio::time::Instant,
    /// There may be something to take, or room for it.
    wake: Notify,
    places: Arc<Semaphore>,
    /// Set while remote control has told the worker to take nothing.
    paused: AtomicBool,
    /// Places in all; remote control changes it.
    concurrency: std::sync::atomic::AtomicUsize,
    endings: mpsc::Sender<finish::Ending>,
    /// What holds or runs a message.
    running: TaskTracker,
    stopping: CancellationToken,
    /// Set when nothing more will be taken.
    received: CancellationToken,
}

impl Shared {
    /// Messages that may be taken now.
    fn room(&self) -> usize {
        if self.paused.load(Ordering::Relaxed) || self.stopping.is_cancelled() {
            return 0;
        }
        self.options.prefetch.max(1).saturating_sub(self.hands.lock().counted())
    }

    fn load(&self) -> Load {
        Load {
            active: self.hands.lock().active(),
            processed: self.processed.load(Ordering::Relaxed),
        }
    }

    /// Lets a message go that is not this worker's any more.
    fn let_go(&self, tag: &str) {
        if let Some(held) = self.hands.lock().release(tag) {
            held.stop.cancel();
        }
        self.wake.notify_one();
    }
}

/// Stands at the queue until `stop`. Must run on the runtime that does the process's I/O.
///
/// # Errors
/// When the address of Redis cannot be used. A Redis that is away is waited for.
pub async fn run_worker(
    options: WorkerOptions,
    runner: Runner,
    health: HealthRegistry,
    on_reject: OnReject,
    stop: CancellationToken,
) -> Result<(), BrokerError> {
    let (connect, command) = (Duration::from_secs(3), Duration::from_secs(3));
    let address = Address::of(&options.url, connect, command)?;
    let broker = Broker::open(
        &address,
        BrokerOptions {
            queue: options.queue.clone(),
            identity: format!("{}/{}", options.node, uuid::Uuid::new_v4().simple()),
            lost_after: options.lost_after,
            visibility: options.visibility,
            result_life: options.result_life,
            max_message: options.max_message,
        },
    )?;
    let (endings, ended) = mpsc::channel(ENDINGS);
    let rates = Rates::of(runner.registry());
    let host = options.node.split_once('@').map_or("localhost", |(_, host)| host);
    health.declare(Component::Tasks, false);
    let shared = Arc::new(Shared {
        sender: Sender {
            queue: options.queue.clone(),
            origin: format!("gen{}@{host}", std::process::id()),
        },
        events: Events::new(&options.node, address.database(), options.events),
        address,
        runner,
        broker,
        health,
        on_reject,
        hands: Mutex::default(),
        revoked: Mutex::default(),
        rates: Mutex::new(rates),
        limits: Mutex::default(),
        totals: Mutex::default(),
        processed: AtomicU64::new(0),
        since: tokio::time::Instant::now(),
        wake: Notify::new(),
        places: Arc::new(Semaphore::new(options.concurrency.max(1))),
        paused: AtomicBool::new(false),
        concurrency: std::sync::atomic::AtomicUsize::new(options.concurrency.max(1)),
        endings,
        running: TaskTracker::new(),
        stopping: CancellationToken::new(),
        received: CancellationToken::new(),
        options,
    });
    tracing::info!(
        queue = shared.options.queue,
        node = shared.options.node,
        redis = ?shared.address,
        tasks = shared.runner.registry().specs().count(),
        "the task worker stands at its queue"
    );
    // Dropped, also when the caller is, these end.
    let parts = [
        AbortOnDrop::spawn(finish::run(Arc::clone(&shared), ended)),
        AbortOnDrop::spawn(receive::run(Arc::clone(&shared))),
        AbortOnDrop::spawn(upkeep::beat(Arc::clone(&shared))),
        AbortOnDrop::spawn(upkeep::restore(Arc::clone(&shared))),
        AbortOnDrop::spawn(control::run(Arc::clone(&shared))),
        AbortOnDrop::spawn(upkeep::events(Arc::clone(&shared))),
    ];
    let failed = tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = any_ended(&parts) => true,
    };
    if failed {
        // Each of them runs until it is told to stop: one that has ended has panicked.
        let part = parts.iter().position(AbortOnDrop::has_ended).unwrap_or_default();
        return Err(BrokerError::Part(PARTS[part]));
    }
    upkeep::stop(&shared).await;
    Ok(())
}

const PARTS: [&str; 6] = ["finish", "receive", "beat", "restore", "control", "events"];

/// A part of the worker that ends with it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl AbortOnDrop {
    fn spawn(part: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(part))
    }

    fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn any_ended(parts: &[AbortOnDrop]) {
    let mut looks = tokio::time::interval(Duration::from_millis(500));
    while !parts.iter().any(AbortOnDrop::has_ended) {
        looks.tick().await;
    }
}
