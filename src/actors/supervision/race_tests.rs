//! Ends that come at a bad moment: while a successor waits, while a thread is shared, while the
//! tree stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::tests::{Adder, Batch, Work, batch, bench_with, here, paused, policy, threaded, until};
use super::*;

#[test]
fn an_end_told_while_the_successor_waits_is_not_the_successor_s() {
    threaded(|threads| async move {
        let slow = RestartPolicy { backoff_initial: Duration::from_millis(400), ..policy(10) };
        let mut bench = bench_with(Placement::Thread("late"), threads.clone(), slow);
        let running = tokio::task::spawn_local(async move { bench.supervisor.run().await });
        bench.edge.send(batch(&[Work::Add(1), Work::Hang, Work::Add(2)])).await.unwrap();
        until("it was fenced", || threads.leaked() == 1).await;
        // Slow, not hung: it ends before its successor is started.
        bench.unhang.store(true, Ordering::Relaxed);
        until("the successor went on", || *bench.out.lock() == [1, 3]).await;
        bench.handle.stop();
        running.await.unwrap();
    });
}

#[test]
fn who_shares_a_hung_thread_is_moved_to_another() {
    threaded(|threads| async move {
        let sink: PoisonSink = Arc::new(|_| ());
        let rest = RestartPolicy { strategy: Strategy::OneThenRest, ..policy(10) };
        let heartbeat = Duration::from_millis(20);
        let mut supervisor = Supervisor::new("test", rest, heartbeat, threads.clone(), 8, sink);
        let (mut edges, mut outs, unhang) = (Vec::new(), Vec::new(), Arc::default());
        for _ in 0..2 {
            let inbox = Inbox::new("adder", 8, Policy::Block);
            edges.push(inbox.edge("test"));
            let out = Arc::<Mutex<Vec<u64>>>::default();
            outs.push(Arc::clone(&out));
            let placement = Placement::Thread("shared");
            let options = NodeOptions { placement, hang_after: Duration::from_millis(200) };
            let unhang = Arc::clone(&unhang);
            supervisor.add(Node::new(Slot::<Adder>::new(inbox), options, move || {
                Ok(Adder::new(Arc::clone(&out), Arc::clone(&unhang)))
            }));
        }
        let handle = supervisor.handle();
        let running = tokio::task::spawn_local(async move { supervisor.run().await });
        edges[0].send(batch(&[Work::Add(1)])).await.unwrap();
        until("the first works", || *outs[0].lock() == [1]).await;
        edges[1].send(batch(&[Work::Hang, Work::Add(5)])).await.unwrap();
        until("the second was replaced", || *outs[1].lock() == [5]).await;
        edges[0].send(batch(&[Work::Add(2)])).await.unwrap();
        until("the first works on, with its state", || *outs[0].lock() == [1, 3]).await;
        assert_eq!(threads.leaked(), 1, "one thread hung");
        // The old thread comes back: nobody on it may take or send anything.
        unhang.store(true, Ordering::Relaxed);
        for number in 3..40 {
            edges[0].send(batch(&[Work::Add(number)])).await.unwrap();
        }
        until("all of it, once and in order", || outs[0].lock().len() == 39).await;
        let sums: Vec<u64> = (1..40).map(|n| n * (n + 1) / 2).collect();
        assert_eq!(*outs[0].lock(), sums);
        handle.stop();
        running.await.unwrap();
    });
}

#[test]
fn a_stop_before_the_first_message_is_heard() {
    paused(async {
        let mut bench = here(10);
        for _ in 0..3 {
            bench.edge.send(batch(&[Work::Add(1)])).await.unwrap();
        }
        bench.handle.stop();
        let began = tokio::time::Instant::now();
        assert_eq!(bench.supervisor.run().await, ExitReason::Asked);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(*bench.out.lock(), [1, 2, 3]);
    });
}

#[test]
fn a_poison_record_met_while_stopping_costs_itself_and_nothing_else() {
    paused(async {
        let mut bench = here(10);
        bench.edge.send(batch(&[Work::Add(1), Work::Panic, Work::Add(2)])).await.unwrap();
        bench.edge.send(batch(&[Work::Add(3)])).await.unwrap();
        bench.handle.stop();
        assert_eq!(bench.supervisor.run().await, ExitReason::Asked);
        assert_eq!(*bench.out.lock(), [1, 3, 6]);
        assert_eq!(bench.poisons.lock().len(), 1);
    });
}

/// Passes on what it gets, and waits while nobody takes it.
struct Talker(Edge<u64>, Vec<u64>);

impl Stage for Talker {
    type In = Batch;
    type Snapshot = ();
    const NAME: &'static str = "talker";

    fn handle(&mut self, batch: &Arc<Batch>, cursor: &Cursor) -> Result<(), StageError> {
        for index in 0..batch.records() {
            if cursor.enter(index) {
                self.1.push(index as u64);
            }
        }
        Ok(())
    }

    async fn flush(&mut self, _idle: bool) -> Result<(), StageError> {
        for number in std::mem::take(&mut self.1) {
            self.0.send(number).await?;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.1.clear();
    }

    fn snapshot(&self) {}

    fn restore(&mut self, _: &()) {}
}

#[test]
fn a_stage_that_waits_for_its_receiver_can_be_restarted() {
    paused(async {
        let sink: PoisonSink = Arc::new(|_| ());
        let rest = RestartPolicy { strategy: Strategy::RestForOne, ..policy(10) };
        let heartbeat = Duration::from_millis(20);
        let mut supervisor = Supervisor::new("test", rest, heartbeat, Threads::new(None), 8, sink);
        let options = NodeOptions { placement: Placement::Here, hang_after: heartbeat };
        let first = Inbox::new("adder", 8, Policy::Block);
        let second = Inbox::new("talker", 8, Policy::Block);
        let full = Inbox::new("nobody", 1, Policy::Block);
        let (to_first, to_second, to_full) =
            (first.edge("test"), second.edge("test"), full.edge("talker"));
        supervisor.add(Node::new(Slot::<Adder>::new(first), options, || {
            Ok(Adder::new(Arc::default(), Arc::default()))
        }));
        supervisor.add(Node::new(Slot::<Talker>::new(second), options, move || {
            Ok(Talker(to_full.clone(), Vec::new()))
        }));
        let handle = supervisor.handle();
        let running = tokio::task::spawn_local(async move { supervisor.run().await });
        to_second.send(batch(&[Work::Add(0); 2])).await.unwrap();
        until("the talker waits", || full.stats().depth == 1).await;
        let began = tokio::time::Instant::now();
        to_first.send(batch(&[Work::Panic])).await.unwrap();
        until("the talker was restarted", || handle.status()[1].generation == 2).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        // Its message was not finished, so it is said again from the beginning.
        let mut heard = Vec::new();
        while heard.len() < 3 {
            heard.extend(full.recv().await);
        }
        assert_eq!(heard, [0, 0, 1]);
        handle.stop();
        running.await.unwrap();
    });
}

#[test]
fn a_stop_lasts_as_long_as_the_work_gets_on() {
    paused(async {
        let sink: PoisonSink = Arc::new(|_| ());
        let heartbeat = Duration::from_millis(20);
        let threads = Threads::new(None);
        let mut supervisor =
            Supervisor::new("test", policy(10), heartbeat, threads.clone(), 8, sink);
        let options = NodeOptions { placement: Placement::Here, hang_after: heartbeat };
        let inbox = Inbox::new("talker", 16, Policy::Block);
        let slow = Inbox::new("slow", 1, Policy::Block);
        let (edge, to_slow) = (inbox.edge("test"), slow.edge("talker"));
        supervisor.add(Node::new(Slot::<Talker>::new(inbox), options, move || {
            Ok(Talker(to_slow.clone(), Vec::new()))
        }));
        for _ in 0..10 {
            edge.send(batch(&[Work::Add(0)])).await.unwrap();
        }
        let handle = supervisor.handle();
        let mut root =
            Supervisor::new("root", policy(10), heartbeat, threads.clone(), 8, Arc::new(|_| ()));
        root.add(Subtree::new(supervisor));
        let stop = root.handle();
        let running = tokio::task::spawn_local(async move { root.run().await });
        until("it runs", || handle.status()[0].up).await;
        stop.stop();
        // Ten messages, two seconds each: far longer than any grace.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(slow.recv().await, Some(0));
        }
        assert_eq!(running.await.unwrap(), ExitReason::Asked);
        assert_eq!(threads.unfinished(), 0);
    });
}
