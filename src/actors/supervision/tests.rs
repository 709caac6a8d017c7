//! The whole of supervision on real actors. Where nothing blocks, everything runs on one thread
//! with a paused clock; where a thread must hang or vanish, on real threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::LocalSet;

use super::*;
use crate::messages::Reject;

/// What the test stage has to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Add(u64),
    Panic,
    Hang,
}

pub(super) struct Batch(Vec<Work>);

impl Envelope for Batch {
    fn records(&self) -> usize {
        self.0.len()
    }

    fn poison(&self, index: usize, stage: &'static str, why: &str) -> Reject {
        Reject {
            stage,
            source: "test".into(),
            reason: "panic",
            detail: why.into(),
            payload: format!("{:?}", self.0[index]),
            at: None,
        }
    }
}

/// Adds numbers; what it has summed up goes out with every flush.
pub(super) struct Adder {
    sum: u64,
    fresh: Vec<u64>,
    out: Arc<Mutex<Vec<u64>>>,
    unhang: Arc<AtomicBool>,
}

impl Adder {
    pub(super) fn new(out: Arc<Mutex<Vec<u64>>>, unhang: Arc<AtomicBool>) -> Self {
        Self { sum: 0, fresh: Vec::new(), out, unhang }
    }
}

impl Stage for Adder {
    type In = Batch;
    type Snapshot = u64;
    const NAME: &'static str = "adder";

    fn handle(&mut self, batch: &Arc<Batch>, cursor: &Cursor) -> Result<(), StageError> {
        for (index, work) in batch.0.iter().enumerate() {
            if !cursor.enter(index) {
                continue;
            }
            match work {
                Work::Add(number) => {
                    self.sum += number;
                    self.fresh.push(self.sum);
                }
                Work::Panic => panic!("poison at {index}"),
                Work::Hang => {
                    while !self.unhang.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        self.out.lock().append(&mut self.fresh);
        Ok(())
    }

    fn discard(&mut self) {
        self.fresh.clear();
    }

    fn snapshot(&self) -> u64 {
        self.sum
    }

    fn restore(&mut self, snapshot: &u64) {
        self.sum = *snapshot;
    }
}

pub(super) struct Bench {
    pub(super) edge: Edge<Arc<Batch>>,
    pub(super) out: Arc<Mutex<Vec<u64>>>,
    pub(super) poisons: Arc<Mutex<Vec<Poison>>>,
    control: NodeHandle<Adder>,
    pub(super) handle: SupervisorHandle,
    starts: Arc<AtomicU32>,
    refuse_starts: Arc<AtomicU32>,
    pub(super) unhang: Arc<AtomicBool>,
    pub(super) supervisor: Supervisor,
}

pub(super) fn policy(max_failures: usize) -> RestartPolicy {
    RestartPolicy {
        strategy: Strategy::OneForOne,
        max_failures,
        within: Duration::from_secs(60),
        backoff_initial: Duration::from_millis(10),
        backoff_max: Duration::from_secs(1),
    }
}

fn bench(placement: Placement, threads: Threads, max_failures: usize) -> Bench {
    bench_with(placement, threads, policy(max_failures))
}

pub(super) fn bench_with(placement: Placement, threads: Threads, policy: RestartPolicy) -> Bench {
    let inbox = Inbox::new("adder", 64, Policy::Block);
    let edge = inbox.edge("test");
    let out: Arc<Mutex<Vec<u64>>> = Arc::default();
    let poisons: Arc<Mutex<Vec<Poison>>> = Arc::default();
    let (starts, refuse_starts, unhang) =
        (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
    let options = NodeOptions { placement, hang_after: Duration::from_millis(200) };
    let node = Node::new(Slot::<Adder>::new(inbox), options, {
        let (out, starts) = (Arc::clone(&out), Arc::clone(&starts));
        let (refuse, unhang) = (Arc::clone(&refuse_starts), Arc::clone(&unhang));
        move || {
            starts.fetch_add(1, Ordering::SeqCst);
            if refuse.load(Ordering::SeqCst) > 0 {
                refuse.fetch_sub(1, Ordering::SeqCst);
                return Err(StageError::Failed("not today".into()));
            }
            let (out, unhang) = (Arc::clone(&out), Arc::clone(&unhang));
            Ok(Adder { sum: 0, fresh: Vec::new(), out, unhang })
        }
    });
    let control = node.handle();
    let sink: PoisonSink = Arc::new({
        let poisons = Arc::clone(&poisons);
        move |poison| poisons.lock().push(poison)
    });
    let heartbeat = Duration::from_millis(20);
    let mut supervisor = Supervisor::new("test", policy, heartbeat, threads, 8, sink);
    supervisor.add(node);
    let handle = supervisor.handle();
    Bench { edge, out, poisons, control, handle, starts, refuse_starts, unhang, supervisor }
}

pub(super) fn here(max_failures: usize) -> Bench {
    bench(Placement::Here, Threads::new(None), max_failures)
}

pub(super) fn batch(works: &[Work]) -> Arc<Batch> {
    Arc::new(Batch(works.to_vec()))
}

/// Runs `test` with a paused clock on one thread.
pub(super) fn paused<F: Future<Output = ()>>(test: F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    LocalSet::new().block_on(&runtime.unwrap(), test);
}

/// Runs `test` inside an actix system on a shared runtime, as the daemon does.
pub(super) fn threaded<F: Future<Output = ()>>(test: impl FnOnce(Threads) -> F) {
    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    );
    let for_system = Arc::clone(&runtime);
    let system = actix_rt::System::with_tokio_rt(move || for_system);
    let threads = Threads::new(Some(runtime));
    system.block_on(async {
        test(threads.clone()).await;
        threads.stop_all();
    });
}

/// Waits for a condition, in the clock's own time, up to ten seconds.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came true: {what}");
}

#[test]
fn a_poison_record_costs_itself_and_nothing_else() {
    paused(async {
        let mut bench = here(10);
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        bench.edge.send(batch(&[Work::Add(1), Work::Add(2)])).await.unwrap();
        let poisoned = [Work::Add(3), Work::Panic, Work::Add(4), Work::Panic, Work::Add(5)];
        bench.edge.send(batch(&poisoned)).await.unwrap();
        // Queued behind the poison: must survive both restarts.
        bench.edge.send(batch(&[Work::Add(6)])).await.unwrap();
        until("all sums are out", || bench.out.lock().len() == 6).await;
        assert_eq!(*bench.out.lock(), [1, 3, 6, 10, 15, 21]);
        let poisons = bench.poisons.lock().clone();
        assert_eq!(poisons.len(), 2);
        assert!(poisons.iter().all(|poison| poison.reject.payload == "Panic"));
        assert!(poisons[0].why.contains("poison at 1") && poisons[1].why.contains("poison at 3"));
        let status = bench.handle.status();
        assert_eq!((status[0].generation, status[0].restarts), (3, 2));
        bench.handle.stop();
        assert_eq!(supervisor.await.unwrap(), ExitReason::Asked);
    });
}

#[test]
fn too_many_failures_end_the_tree() {
    paused(async {
        let mut bench = here(10);
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        bench.edge.send(batch(&[Work::Panic; 10])).await.unwrap();
        let ExitReason::Failed(why) = supervisor.await.unwrap() else { panic!() };
        assert!(why.contains("10 failures within 60 s, the limit is 10"), "{why}");
        assert_eq!(bench.starts.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn a_failing_start_is_tried_again_later_each_time() {
    paused(async {
        let mut bench = here(10);
        bench.refuse_starts.store(3, Ordering::SeqCst);
        let began = tokio::time::Instant::now();
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        bench.edge.send(batch(&[Work::Add(7)])).await.unwrap();
        until("the sum is out", || !bench.out.lock().is_empty()).await;
        // 10 + 20 + 40 ms of back-off.
        assert!(began.elapsed() >= Duration::from_millis(70), "{:?}", began.elapsed());
        assert_eq!(bench.starts.load(Ordering::SeqCst), 4);
        bench.handle.stop();
        supervisor.await.unwrap();
    });
}

#[test]
fn control_is_not_delayed_by_a_flood() {
    paused(async {
        let mut bench = here(10);
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        until("it runs", || bench.control.address().is_some()).await;
        let address = bench.control.address().unwrap();
        for _ in 0..64 {
            bench.edge.send(batch(&[Work::Add(1)])).await.unwrap();
        }
        let reply = address.send(Probe).await.unwrap();
        assert!(reply.inbox.depth > 50, "answered only after the flood: {reply:?}");
        address.send(Pause).await.unwrap();
        let handled = address.send(Probe).await.unwrap().handled;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let reply = address.send(Probe).await.unwrap();
        assert!(reply.paused && reply.handled <= handled + 1, "{reply:?}");
        address.send(Resume).await.unwrap();
        until("the flood is over", || bench.out.lock().len() == 64).await;
        bench.handle.stop();
        supervisor.await.unwrap();
    });
}

#[test]
fn an_orderly_stop_handles_what_was_sent() {
    paused(async {
        let mut bench = here(10);
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        until("it runs", || bench.control.address().is_some()).await;
        for _ in 0..50 {
            bench.edge.send(batch(&[Work::Add(1)])).await.unwrap();
        }
        bench.handle.stop();
        assert_eq!(supervisor.await.unwrap(), ExitReason::Asked);
        assert_eq!(bench.out.lock().len(), 50);
    });
}

#[test]
fn a_stop_that_comes_before_the_actor_is_there_is_not_lost() {
    paused(async {
        let mut bench = here(10);
        // Read as soon as the child is started, before its task has run.
        bench.handle.stop();
        let began = tokio::time::Instant::now();
        assert_eq!(bench.supervisor.run().await, ExitReason::Asked);
        assert_eq!(began.elapsed(), Duration::ZERO, "it was fenced after its time of grace");
        assert_eq!(bench.handle.status()[0].last_exit, Some(ExitReason::Asked));
    });
}

#[test]
fn a_hung_actor_is_fenced_and_replaced() {
    threaded(|threads| async move {
        let mut bench = bench(Placement::Thread("hang"), threads.clone(), 10);
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        bench.edge.send(batch(&[Work::Add(1), Work::Hang, Work::Add(2)])).await.unwrap();
        bench.edge.send(batch(&[Work::Add(3)])).await.unwrap();
        until("the successor went on", || bench.out.lock().len() == 3).await;
        assert_eq!(*bench.out.lock(), [1, 3, 6]);
        assert_eq!(bench.poisons.lock().len(), 1);
        assert_eq!(threads.leaked(), 1);
        // The zombie comes back to life: nothing it does may have an effect.
        bench.unhang.store(true, Ordering::Relaxed);
        bench.edge.send(batch(&[Work::Add(4)])).await.unwrap();
        until("work goes on", || bench.out.lock().len() == 4).await;
        assert_eq!(*bench.out.lock(), [1, 3, 6, 10]);
        bench.handle.stop();
        supervisor.await.unwrap();
    });
}

#[test]
fn a_vanished_thread_is_noticed() {
    threaded(|threads| async move {
        let mut bench = bench(Placement::Thread("lost"), threads.clone(), 10);
        let supervisor = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        bench.edge.send(batch(&[Work::Add(1)])).await.unwrap();
        until("it works", || bench.out.lock().len() == 1).await;
        threads.stop_all();
        until("it was restarted", || bench.handle.status()[0].restarts == 1).await;
        bench.edge.send(batch(&[Work::Add(2)])).await.unwrap();
        until("work goes on with the old state", || *bench.out.lock() == [1, 3]).await;
        assert_eq!(bench.handle.status()[0].last_exit, Some(ExitReason::ThreadLost));
        bench.handle.stop();
        supervisor.await.unwrap();
    });
}

#[test]
fn a_second_failure_restarts_what_the_stage_feeds() {
    paused(async {
        let heartbeat = Duration::from_millis(20);
        let sink: PoisonSink = Arc::new(|_| ());
        let policy = RestartPolicy { strategy: Strategy::OneThenRest, ..policy(10) };
        let mut supervisor =
            Supervisor::new("test", policy, heartbeat, Threads::new(None), 8, sink);
        let (mut edges, mut starts) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let inbox = Inbox::new("adder", 8, Policy::Block);
            edges.push(inbox.edge("test"));
            let count = Arc::<AtomicU32>::default();
            starts.push(Arc::clone(&count));
            let options = NodeOptions { placement: Placement::Here, hang_after: heartbeat };
            supervisor.add(Node::new(Slot::<Adder>::new(inbox), options, move || {
                count.fetch_add(1, Ordering::SeqCst);
                let (out, unhang) = (Arc::default(), Arc::default());
                Ok(Adder { sum: 0, fresh: Vec::new(), out, unhang })
            }));
        }
        let counts = || starts.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let handle = supervisor.handle();
        let running = tokio::task::spawn_local(async move { supervisor.run().await });
        edges[1].send(batch(&[Work::Panic])).await.unwrap();
        until("it alone was restarted", || counts() == [1, 2, 1]).await;
        edges[1].send(batch(&[Work::Panic])).await.unwrap();
        until("the rest too", || counts() == [1, 3, 2]).await;
        handle.stop();
        running.await.unwrap();
    });
}

#[test]
fn a_sub_tree_that_gives_up_is_a_failure_of_its_parent() {
    paused(async {
        let bench = here(3);
        let sink: PoisonSink = Arc::new(|_| ());
        let mut root = Supervisor::new(
            "root",
            policy(2),
            Duration::from_millis(20),
            Threads::new(None),
            8,
            sink,
        );
        root.add(Subtree::new(bench.supervisor));
        let running = tokio::task::spawn_local(async move { root.run().await });
        bench.edge.send(batch(&[Work::Panic; 6])).await.unwrap();
        let ExitReason::Failed(why) = running.await.unwrap() else { panic!() };
        assert!(why.contains("3 failures"), "{why}");
        // Three starts of the child in each of the two lives of the sub-tree.
        assert_eq!(bench.starts.load(Ordering::SeqCst), 6);
        bench.handle.stop();
        bench.poisons.lock().clear();
    });
}
