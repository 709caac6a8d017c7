//! A queue that goes away, hears without answering, or comes back without its data.

use super::*;

#[tokio::test]
async fn a_run_that_finds_no_queue_waits_for_it_and_is_missed_when_it_is_too_late() {
    let words = "cron: '*/10 * * * *', max_lateness: 2m";
    let world = World::new(&job(words), "2026-11-12 09:58").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    *world.queue.away.lock() = true;
    run_for(&mut scheduler, &world.hands, 3 * 60, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 running"], "it is 10:01");
    *world.queue.away.lock() = false;
    run_for(&mut scheduler, &world.hands, 2, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 done"]);
    let begin_by = world.queue.orders.lock().values().next().unwrap().0.begin_by;
    assert_eq!(begin_by, at("2026-11-12 10:02"), "the task says itself when it is too late");

    *world.queue.away.lock() = true;
    run_for(&mut scheduler, &world.hands, 11 * 60 - 10, 1).await;
    assert_eq!(world.statuses().await[1], "10:10:00 running", "it is 10:11:52");
    assert_eq!(scheduler.latest["a"].status, RunStatus::Running);
    run_for(&mut scheduler, &world.hands, 20, 1).await;
    assert_eq!(world.statuses().await[1], "10:10:00 missed");
    let missed = &scheduler.parts.ledger.latest().await.unwrap()["a"];
    let wanted = "its task was to begin by 2026-11-12T10:12:00+09:00: away";
    assert!(missed.detail.starts_with(wanted) && missed.finished.is_some(), "{missed:?}");
    *world.queue.away.lock() = false;
    run_for(&mut scheduler, &world.hands, 60, 1).await;
    assert_eq!(world.queue.times(), ["10:00:00"], "what is missed does not start later");
}

#[tokio::test]
async fn a_queue_that_came_back_empty_is_given_the_open_tasks_again() {
    let world = World::new(&job("cron: '0 10 * * *'"), "2026-11-12 09:59").await;
    *world.queue.hang.lock() = true;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    run_for(&mut scheduler, &world.hands, 90, 1).await;
    assert_eq!((world.queue.times().len(), *world.queue.repeated.lock()), (1, 1));
    world.queue.orders.lock().clear();
    *world.queue.hang.lock() = false;
    run_for(&mut scheduler, &world.hands, 40, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 done"]);
}

#[tokio::test]
async fn a_run_whose_task_nobody_began_in_time_is_missed() {
    let words = "cron: '0 10 * * *', max_lateness: 1m, retries: 3";
    let world = World::new(&job(words), "2026-11-12 09:59").await;
    *world.queue.hang.lock() = true;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    run_for(&mut scheduler, &world.hands, 150, 1).await;
    for (_, progress) in world.queue.orders.lock().values_mut() {
        *progress = Progress::Late("no worker".to_owned());
    }
    run_for(&mut scheduler, &world.hands, 5, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 missed"]);
}

/// Never answers.
struct Silent(Arc<Mutex<usize>>);

impl Desk for Silent {
    fn order(&self, _: Order) -> BoxFuture<'_, Result<(), String>> {
        *self.0.lock() += 1;
        Box::pin(std::future::pending())
    }

    fn progress<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Progress, String>> {
        Box::pin(std::future::pending())
    }

    fn take_back<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_queue_that_does_not_answer_costs_a_look_a_share_of_the_lease() {
    let jobs: String =
        (0..20).map(|n| format!("  - {{name: j{n}, task: debug_ping, every: 1m}}\n")).collect();
    let world = World::new(&format!("jobs:\n{jobs}"), "2026-11-12 09:58").await;
    let asked = Arc::new(Mutex::new(0));
    let mut scheduler = world.scheduler("one");
    scheduler.parts.desk = Some(Arc::new(Silent(Arc::clone(&asked))));
    scheduler.parts.ttl = Duration::from_secs(1);
    scheduler.look().await;
    world.hands.pass(0);
    // The lease's clock stands still, so that only the asking counts.
    world.hands.0.lock().0 = at("2026-11-12 09:59");
    let began = std::time::Instant::now();
    scheduler.look().await;
    assert_eq!(*asked.lock(), 1, "the others are not asked in vain");
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    let told = scheduler.told.clone().unwrap();
    assert!(told.reason().unwrap().contains("no answer within 200ms"), "{told:?}");
}
