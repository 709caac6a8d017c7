//! A desk within the process: what it can do, it does on the shared runtime; what it cannot do is
//! skipped, with the reason.
//!
//! A task ends with the process; the scheduler that takes up its row orders it anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Order, Progress};

/// Tasks that run at once; one more waits with the scheduler.
const MAX_RUNNING: usize = 32;
/// Finished orders that are remembered; of more the first to finish is forgotten. The scheduler asks
/// within seconds.
const REMEMBERED: usize = 4_096;

/// Does a task; ends early when the token is cancelled.
pub type Work = Arc<dyn Fn(Order, CancellationToken) -> BoxFuture<'static, Progress> + Send + Sync>;

/// See the module.
pub struct LocalDesk {
    runtime: Handle,
    works: BTreeMap<&'static str, Work>,
    /// Why other tasks are not done.
    otherwise: String,
    orders: Arc<Mutex<Orders>>,
}

#[derive(Default)]
struct Orders {
    known: BTreeMap<String, (Progress, CancellationToken)>,
    /// Ids, in the order in which they finished.
    finished: VecDeque<String>,
}

impl Orders {
    fn finish(&mut self, id: &str, progress: Progress) {
        if let Some((known, _)) = self.known.get_mut(id) {
            *known = progress;
            self.finished.push_back(id.to_owned());
        }
        while self.finished.len() > REMEMBERED {
            if let Some(id) = self.finished.pop_front() {
                self.known.remove(&id);
            }
        }
    }
}

impl LocalDesk {
    /// A desk that does `works` on `runtime`; of other tasks it says `otherwise`.
    #[must_use]
    pub fn new(runtime: Handle, works: BTreeMap<&'static str, Work>, otherwise: String) -> Self {
        Self { runtime, works, otherwise, orders: Arc::default() }
    }

    fn take(&self, order: Order) -> Result<(), String> {
        let mut orders = self.orders.lock();
        if orders.known.contains_key(&order.task_id) {
            return Ok(());
        }
        let open = orders.known.len() - orders.finished.len();
        if open >= MAX_RUNNING {
            return Err(format!("{open} tasks run already"));
        }
        let (id, stop) = (order.task_id.clone(), CancellationToken::new());
        orders.known.insert(id.clone(), (Progress::Open, stop.clone()));
        let Some(work) = self.works.get(order.task) else {
            orders.finish(&id, Progress::Skipped(self.otherwise.clone()));
            return Ok(());
        };
        let all = Arc::clone(&self.orders);
        let work = std::panic::AssertUnwindSafe(work(order, stop)).catch_unwind();
        self.runtime.spawn(async move {
            let progress =
                work.await.unwrap_or_else(|_| Progress::Failed("it panicked".to_owned()));
            all.lock().finish(&id, progress);
        });
        Ok(())
    }
}

impl Desk for LocalDesk {
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), String>> {
        let taken = self.take(order);
        Box::pin(async move { taken })
    }

    fn progress<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Progress, String>> {
        let known = self.orders.lock().known.get(task_id).map(|(progress, _)| progress.clone());
        // Forgotten, or of another process: the scheduler then orders it again at its next start.
        Box::pin(async move { Ok(known.unwrap_or(Progress::Open)) })
    }

    fn take_back<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<(), String>> {
        if let Some((_, stop)) = self.orders.lock().known.get(task_id) {
            stop.cancel();
        }
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::EventTime;

    fn order(id: &str, task: &'static str) -> Order {
        Order {
            task_id: id.to_owned(),
            task,
            kwargs: serde_json::Map::new(),
            timeout: None,
            job: "a".to_owned(),
            planned: EventTime::default(),
            begin_by: EventTime::default(),
        }
    }

    async fn settled(desk: &LocalDesk, id: &str) -> Progress {
        loop {
            match desk.progress(id).await.unwrap() {
                Progress::Open => tokio::task::yield_now().await,
                progress => return progress,
            }
        }
    }

    #[tokio::test]
    async fn a_task_is_done_once_and_its_panic_is_its_own() {
        let count = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&count);
        let done: Work = Arc::new(move |_, _| {
            *counted.lock() += 1;
            Box::pin(async { Progress::Done("ok".into()) })
        });
        let wrong: Work = Arc::new(|_, _| Box::pin(async { panic!("a fault of the test") }));
        let patient: Work = Arc::new(|_, stop| {
            Box::pin(async move {
                stop.cancelled().await;
                Progress::Failed("taken back".into())
            })
        });
        let works = BTreeMap::from([
            ("debug_ping", done),
            ("retrain_model", wrong),
            ("weekly_review", patient),
        ]);
        let desk = LocalDesk::new(Handle::current(), works, "not here".into());
        for _ in 0..3 {
            desk.order(order("1", "debug_ping")).await.unwrap();
            assert_eq!(settled(&desk, "1").await, Progress::Done("ok".into()));
        }
        assert_eq!(*count.lock(), 1);
        desk.order(order("2", "retrain_model")).await.unwrap();
        assert_eq!(settled(&desk, "2").await, Progress::Failed("it panicked".into()));
        desk.order(order("3", "snapshot_backup")).await.unwrap();
        assert_eq!(settled(&desk, "3").await, Progress::Skipped("not here".into()));
        desk.order(order("4", "weekly_review")).await.unwrap();
        assert_eq!(desk.progress("4").await, Ok(Progress::Open));
        desk.take_back("4").await.unwrap();
        assert_eq!(settled(&desk, "4").await, Progress::Failed("taken back".into()));
    }
}
