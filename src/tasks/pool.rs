//! Plain threads for computing tasks.
//!
//! A thread cannot be stopped from outside. One whose caller has given it up is fenced: what it
//! answers goes nowhere, another thread takes its place, and it ends with its work. So many at once
//! are replaced; beyond that the pool has a thread less until one comes back, and says so.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::TaskFailure;
use super::registry::Answer;

/// How much lower the priority of the pool's threads is: what `nice` gives without being told. The hot
/// path goes before.
const NICE: i32 = 10;

/// How the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolHealth {
    /// Threads that work or could.
    pub threads: usize,
    /// Threads whose callers have given them up and that have not come back yet.
    pub leaked: usize,
    /// Threads that were given up so far.
    pub abandoned: u64,
    /// Whether more hang than are replaced.
    pub exhausted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Given up; `replaced`: another thread is there for it.
    Abandoned {
        replaced: bool,
    },
    Over,
}

struct Job {
    work: Box<dyn FnOnce() -> Answer + Send>,
    answer: oneshot::Sender<Answer>,
    /// The place in the pool; given back by whoever ends the stage `Running`.
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    held: Mutex<(Stage, Option<OwnedSemaphorePermit>)>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    health: PoolHealth,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    max_leaked: usize,
}

/// The pool. Dropping it lets its threads end with what they do.
pub(super) struct Pool {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

/// A job that runs on a thread.
pub(super) struct Running {
    /// What it came to; an error when its thread is gone.
    pub(super) answer: oneshot::Receiver<Answer>,
    place: Arc<Place>,
    shared: Arc<Shared>,
}

impl Pool {
    /// A pool of `threads`, of which `max_leaked` are replaced when they hang.
    pub(super) fn new(threads: usize, max_leaked: usize) -> Self {
        let threads = threads.max(1);
        let shared = Shared { queue: Mutex::default(), wake: Condvar::new(), max_leaked };
        let pool = Self { shared: Arc::new(shared), places: Arc::new(Semaphore::new(threads)) };
        for _ in 0..threads {
            add_thread(&pool.shared);
        }
        pool
    }

    /// Waits for a free thread.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Begins `work` on the thread that `permit` stands for.
    pub(super) fn begin(
        &self,
        permit: OwnedSemaphorePermit,
        work: Box<dyn FnOnce() -> Answer + Send>,
    ) -> Running {
        let (send, answer) = oneshot::channel();
        let place = Arc::new(Place { held: Mutex::new((Stage::Running, Some(permit))) });
        let job = Job { work, answer: send, place: Arc::clone(&place) };
        // As many jobs as permits, so the queue is bounded by them.
        self.shared.queue.lock().jobs.push_back(job);
        self.shared.wake.notify_one();
        Running { answer, place, shared: Arc::clone(&self.shared) }
    }

    pub(super) fn health(&self) -> PoolHealth {
        self.shared.queue.lock().health
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Running {
    /// Gives the job up. Its thread, if it is at it, is replaced by another.
    pub(super) fn abandon(self) {
        drop(self);
    }

    fn give_up(&self) {
        let mut held = self.place.held.lock();
        if held.0 != Stage::Running {
            return;
        }
        let mut queue = self.shared.queue.lock();
        if let Some(at) = queue.jobs.iter().position(|job| Arc::ptr_eq(&job.place, &self.place)) {
            // No thread has begun it.
            queue.jobs.remove(at);
            *held = (Stage::Over, None);
            return;
        }
        queue.health.leaked += 1;
        queue.health.abandoned += 1;
        let replaced = queue.health.leaked <= self.shared.max_leaked;
        queue.health.exhausted = !replaced;
        queue.health.threads -= 1;
        held.0 = Stage::Abandoned { replaced };
        drop(queue);
        if replaced {
            add_thread(&self.shared);
            held.1 = None;
        }
    }
}

impl Drop for Running {
    /// A job that nobody waits for any more is given up; one that is over is not touched.
    fn drop(&mut self) {
        self.give_up();
    }
}

fn add_thread(shared: &Arc<Shared>) {
    shared.queue.lock().health.threads += 1;
    let own = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("task".to_owned()).spawn(move || serve(&own));
    if let Err(error) = thread {
        tracing::error!(%error, "no thread for tasks");
        shared.queue.lock().health.threads -= 1;
    }
}

fn serve(shared: &Arc<Shared>) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread for tasks keeps its priority");
    }
    loop {
        let job = {
            let mut queue = shared.queue.lock();
            loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                shared.wake.wait(&mut queue);
            }
        };
        let Job { work, answer, place } = job;
        let result =
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)));
        let mut held = place.held.lock();
        let permit = held.1.take();
        let stage = std::mem::replace(&mut held.0, Stage::Over);
        drop(held);
        let replaced = match stage {
            Stage::Abandoned { replaced } => {
                let mut queue = shared.queue.lock();
                queue.health.leaked -= 1;
                queue.health.exhausted = queue.health.leaked > shared.max_leaked;
                queue.health.threads += usize::from(!replaced);
                replaced
            }
            Stage::Running | Stage::Over => false,
        };
        // The thread is free before its caller hears of it.
        drop(permit);
        // Nobody may wait any more.
        let _ = answer.send(result);
        if replaced {
            return;
        }
    }
}

/// The failure of a task that panicked.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> TaskFailure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    TaskFailure::runtime(format!("the task panicked: {text}"))
}
