//! Schedulers over a real SQLite ledger, with clocks of the tests' own.

mod away;

use std::collections::BTreeMap;
use std::path::Path;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::schedule::Jobs;
use crate::store::{Database, DatabaseOptions};

const SECOND: i64 = 1_000_000;
const LEASE: Duration = Duration::from_secs(15);

/// Two clocks that a test moves.
#[derive(Clone, Default)]
struct Hands(Arc<Mutex<(EventTime, Duration)>>);

impl Hands {
    fn at(text: &str) -> Self {
        let hands = Self::default();
        hands.0.lock().0 = at(text);
        hands
    }

    /// Time passes.
    fn pass(&self, seconds: i64) {
        let mut hands = self.0.lock();
        hands.0 = hands.0.plus_micros(seconds * SECOND);
        hands.1 += Duration::from_secs(seconds.unsigned_abs());
    }

    /// Somebody sets the wall clock.
    fn set(&self, text: &str) {
        self.0.lock().0 = at(text);
    }

    fn now(&self) -> EventTime {
        self.0.lock().0
    }

    fn clocks(&self) -> Clocks {
        let (wall, steady) = (self.clone(), self.clone());
        Clocks {
            wall: Arc::new(move || wall.0.lock().0),
            steady: Arc::new(move || steady.0.lock().1),
        }
    }
}

fn at(text: &str) -> EventTime {
    let (day, time) = text.split_once(' ').unwrap();
    EventTime::from_kst(day.parse().unwrap(), time.parse().unwrap())
}

/// A queue that knows ids, and does what it is told of each order.
#[derive(Clone, Default)]
struct Queue {
    orders: Arc<Mutex<BTreeMap<String, (Order, Progress)>>>,
    /// Orders that came again.
    repeated: Arc<Mutex<usize>>,
    hang: Arc<Mutex<bool>>,
    fail: Arc<Mutex<usize>>,
    away: Arc<Mutex<bool>>,
}

impl Queue {
    fn planned(&self) -> Vec<EventTime> {
        let mut planned: Vec<_> =
            self.orders.lock().values().map(|(order, _)| order.planned).collect();
        planned.sort_unstable();
        planned
    }

    fn times(&self) -> Vec<String> {
        self.planned().iter().map(|at| at.time_of_day().to_string()).collect()
    }

    fn finish_all(&self) {
        for (_, progress) in self.orders.lock().values_mut() {
            if *progress == Progress::Open {
                *progress = Progress::Done("ok".to_owned());
            }
        }
    }
}

impl Desk for Queue {
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if *self.away.lock() {
                return Err("away".to_owned());
            }
            let mut orders = self.orders.lock();
            if orders.contains_key(&order.task_id) {
                *self.repeated.lock() += 1;
                return Ok(());
            }
            let mut fail = self.fail.lock();
            let progress = if *fail > 0 {
                *fail -= 1;
                Progress::Failed("no".to_owned())
            } else if *self.hang.lock() {
                Progress::Open
            } else {
                Progress::Done("ok".to_owned())
            };
            orders.insert(order.task_id.clone(), (order, progress));
            Ok(())
        })
    }

    fn progress<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Progress, String>> {
        Box::pin(async move {
            let orders = self.orders.lock();
            Ok(orders.get(task_id).map_or(Progress::Open, |(_, progress)| progress.clone()))
        })
    }

    fn take_back<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if let Some((_, progress)) = self.orders.lock().get_mut(task_id) {
                *progress = Progress::Failed("revoked".to_owned());
            }
            Ok(())
        })
    }
}

/// A machine: folder with jobs.yaml, database, queue, clocks.
struct World {
    folder: tempfile::TempDir,
    db: Database,
    queue: Queue,
    hands: Hands,
    days: TradingDays,
}

impl World {
    async fn new(jobs: &str, now: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let db = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        db.migrate().await.unwrap();
        let world = Self {
            folder,
            db,
            queue: Queue::default(),
            hands: Hands::at(now),
            days: TradingDays::default(),
        };
        world.write(jobs);
        world
    }

    fn write(&self, jobs: &str) {
        std::fs::write(self.folder.path().join(crate::schedule::FILE), jobs).unwrap();
    }

    fn scheduler(&self, holder: &str) -> Scheduler {
        let folder = self.folder.path().to_owned();
        Scheduler::new(SchedulerParts {
            file: Arc::new(move || {
                let text = Jobs::text(&folder).unwrap();
                let jobs = Jobs::parse(&text, Path::new("jobs.yaml")).unwrap();
                ScheduleFile::new(folder.clone(), text, jobs)
            }),
            ledger: Ledger::Database(self.db.clone()),
            desk: Some(Arc::new(self.queue.clone())),
            days: self.days.clone(),
            clocks: self.hands.clocks(),
            holder: holder.to_owned(),
            ttl: LEASE,
            board: JobBoard::default(),
            health: HealthRegistry::new(),
        })
    }

    async fn rows(&self) -> Vec<JobRun> {
        use sea_orm::EntityTrait;
        let rows = crate::store::entity::job_run::Entity::find().all(self.db.connection()).await;
        let mut rows: Vec<(EventTime, String)> =
            rows.unwrap().into_iter().map(|row| (row.scheduled_for, row.status)).collect();
        rows.sort();
        let run = |(planned, status): (EventTime, String)| JobRun {
            job: "a".to_owned(),
            planned,
            status: RunStatus::ALL.into_iter().find(|known| known.as_str() == status).unwrap(),
            detail: String::new(),
            started: planned,
            finished: None,
            task_id: None,
            attempt: 0,
        };
        rows.into_iter().map(run).collect()
    }

    async fn statuses(&self) -> Vec<String> {
        let show = |run: JobRun| format!("{} {}", run.planned.time_of_day(), run.status.as_str());
        self.rows().await.into_iter().map(show).collect()
    }
}

fn job(words: &str) -> String {
    format!("jobs:\n  - {{name: a, task: debug_ping, {words}}}\n")
}

/// Looks every `step` seconds for `seconds`.
async fn run_for(scheduler: &mut Scheduler, hands: &Hands, seconds: i64, step: i64) {
    for _ in 0..seconds / step {
        hands.pass(step);
        scheduler.look().await;
    }
}

#[test]
fn the_built_in_jobs_are_tasks_that_take_their_arguments() {
    let registry = crate::actors::jobs::empty_registry();
    let jobs = Jobs::load(tempfile::tempdir().unwrap().path()).unwrap();
    for job in &jobs.jobs {
        let task = registry.get(job.task).unwrap_or_else(|| panic!("no task {}", job.task));
        let call = crate::tasks::TaskCall::new(job.task).kwargs(job.kwargs.clone());
        task.check(&call).unwrap_or_else(|failure| panic!("{}: {failure}", job.name));
    }
}

#[tokio::test]
async fn planned_runs_start_at_their_time_and_end_with_their_task() {
    let world = World::new(&job("cron: '*/10 * * * *'"), "2026-11-12 09:55").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    assert!(scheduler.leads());
    run_for(&mut scheduler, &world.hands, 15 * 60 + 5, 1).await;
    assert_eq!(world.queue.times(), ["10:00:00", "10:10:00"]);
    assert_eq!(world.statuses().await, ["10:00:00 done", "10:10:00 done"]);
    let state = scheduler.parts.board.state();
    assert_eq!(
        (state.leader, state.jobs[0].last.as_ref().unwrap().status.as_str()),
        ("here", "done")
    );
    let body = serde_json::json!({
        "leader": state.leader, "problem": state.problem, "count": 1, "jobs": state.jobs
    });
    crate::messages::schema::assert_fits("jobs", &body);
    assert!(state.jobs[0].next[0].at.contains("T10:20:00"), "{:?}", state.jobs[0].next);
}

#[tokio::test]
async fn a_restart_at_the_due_second_loses_nothing() {
    let world = World::new(&job("cron: '*/10 * * * *'"), "2026-11-12 09:55").await;
    let mut first = world.scheduler("one");
    first.look().await;
    run_for(&mut first, &world.hands, 4 * 60, 1).await;
    drop(first);
    // Killed a minute before, back two seconds after: the dead one's lease is over by then.
    world.hands.pass(62);
    let mut second = world.scheduler("two");
    second.look().await;
    assert!(!second.leads() || world.queue.times() == ["10:00:00"]);
    run_for(&mut second, &world.hands, 20, 1).await;
    assert!(second.leads());
    assert_eq!(world.queue.times(), ["10:00:00"]);
}

#[tokio::test]
async fn a_clock_that_jumps_starts_nothing_twice_and_makes_up_by_policy() {
    let world =
        World::new(&job("cron: '*/10 * * * *', max_lateness: 1h"), "2026-11-12 09:55").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    run_for(&mut scheduler, &world.hands, 400, 1).await;
    assert_eq!(world.queue.times(), ["10:00:00"]);
    world.hands.set("2026-11-12 09:50");
    run_for(&mut scheduler, &world.hands, 900, 1).await;
    assert_eq!(world.queue.times(), ["10:00:00"], "10:00 was started; 09:50 lies before the plan");
    world.hands.set("2026-11-12 12:05");
    run_for(&mut scheduler, &world.hands, 10, 1).await;
    assert_eq!(world.queue.times(), ["10:00:00", "12:00:00"], "the newest of the hole");
    assert_eq!(world.statuses().await, ["10:00:00 done", "11:50:00 missed", "12:00:00 done"]);
    // A clock that was years ahead, and is set right again.
    world.hands.set("2031-01-01 00:00");
    scheduler.look().await;
    world.hands.set("2026-11-12 12:15");
    run_for(&mut scheduler, &world.hands, 400, 1).await;
    assert!(world.queue.times().contains(&"12:20:00".to_owned()), "{:?}", world.queue.times());
}

#[tokio::test]
async fn edits_are_in_force_at_once_and_make_nothing_late() {
    let world = World::new(&job("cron: '*/10 * * * *'"), "2026-11-12 09:55").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    run_for(&mut scheduler, &world.hands, 60, 1).await;
    world.write(&job("cron: '55 * * * *'"));
    run_for(&mut scheduler, &world.hands, 600, 1).await;
    assert!(world.queue.times().is_empty(), "09:55 is not made up for: {:?}", world.queue.times());
    world.write("jobs:\n  - {name: a, task: dance, every: 1h}\n");
    run_for(&mut scheduler, &world.hands, 10, 1).await;
    let state = scheduler.parts.board.state();
    assert!(state.problem.as_ref().unwrap().contains("dance"));
    assert!(
        matches!(&scheduler.told, Some(HealthState::Degraded { reason }) if reason.contains("dance"))
    );
    run_for(&mut scheduler, &world.hands, 3_600, 1).await;
    assert_eq!(world.queue.times(), ["10:55:00"], "the old schedule stays in force");
    world.write(&job("cron: '0 * * * *', enabled: false"));
    run_for(&mut scheduler, &world.hands, 3_600, 1).await;
    world.write(&job("cron: '0 * * * *'"));
    run_for(&mut scheduler, &world.hands, 60, 1).await;
    assert_eq!(world.queue.times(), ["10:55:00"], "what passed while it was off is not late");
    assert_eq!(scheduler.told, Some(HealthState::Up));
}

#[tokio::test]
async fn a_calendar_that_has_ended_is_told_and_starts_nothing() {
    let jobs = "jobs:\n  - {name: a, task: debug_ping, after_close: 20m}\n  \
                - {name: b, task: debug_ping, cron: '0 * * * *'}\n";
    let world = World::new(jobs, "2028-01-04 15:00").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    run_for(&mut scheduler, &world.hands, 7_200, 2).await;
    assert_eq!(world.queue.times(), ["16:00:00", "17:00:00"], "only what needs no calendar");
    assert!(
        matches!(&scheduler.told, Some(HealthState::Degraded { reason }) if reason.contains("2028"))
    );
}

#[tokio::test]
async fn retries_timeouts_and_overlaps_follow_the_row() {
    let words = "cron: '*/10 * * * *', retries: 1, retry_delay: 30s, timeout: 2m, overlap: skip";
    let world = World::new(&job(words), "2026-11-12 09:59").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    *world.queue.fail.lock() = 1;
    run_for(&mut scheduler, &world.hands, 300, 1).await;
    assert_eq!(world.queue.times(), ["10:00:00", "10:00:00"], "two attempts");
    assert_eq!(world.statuses().await, ["10:00:00 done"]);
    // The next one hangs twice: after its timeout it is taken back and tried again.
    *world.queue.hang.lock() = true;
    run_for(&mut scheduler, &world.hands, 700, 1).await;
    assert_eq!(world.statuses().await[1], "10:10:00 failed");
    // A queue that is away is asked again.
    *world.queue.hang.lock() = false;
    *world.queue.away.lock() = true;
    run_for(&mut scheduler, &world.hands, 600, 1).await;
    assert_eq!(world.statuses().await[2], "10:20:00 running");
    *world.queue.away.lock() = false;
    run_for(&mut scheduler, &world.hands, 3, 1).await;
    assert_eq!(world.statuses().await[2], "10:20:00 done");
}

#[tokio::test]
async fn a_run_replaces_one_that_is_not_over() {
    let world =
        World::new(&job("cron: '*/10 * * * *', overlap: replace"), "2026-11-12 09:59").await;
    let mut scheduler = world.scheduler("one");
    scheduler.look().await;
    *world.queue.hang.lock() = true;
    run_for(&mut scheduler, &world.hands, 700, 1).await;
    world.queue.finish_all();
    run_for(&mut scheduler, &world.hands, 2, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 replaced", "10:10:00 done"]);
}

#[tokio::test]
async fn what_a_dead_leader_left_is_taken_up_under_the_same_task() {
    let world = World::new(&job("cron: '*/10 * * * *'"), "2026-11-12 09:59").await;
    let mut first = world.scheduler("one");
    first.look().await;
    // The row is written, the order never arrives.
    *world.queue.away.lock() = true;
    run_for(&mut first, &world.hands, 65, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 running"]);
    drop(first);
    *world.queue.away.lock() = false;
    let mut second = world.scheduler("two");
    run_for(&mut second, &world.hands, 30, 1).await;
    assert_eq!(world.statuses().await, ["10:00:00 done"]);
    assert_eq!(world.queue.times(), ["10:00:00"]);
}

#[tokio::test]
async fn a_leader_that_was_paused_writes_nothing_any_more() {
    let world = World::new(&job("cron: '* * * * *', misfire: all"), "2026-11-12 09:59").await;
    let (mut first, mut second) = (world.scheduler("one"), world.scheduler("two"));
    first.look().await;
    second.look().await;
    assert!(first.leads() && !second.leads());
    run_for(&mut second, &world.hands, 300, 1).await;
    assert!(second.leads(), "the lease of the one that is paused is over");
    let epoch = second.lead.as_ref().unwrap().epoch;
    // The first still believes in its lease: the steady clock of a machine that slept stands still.
    first.lead.as_mut().unwrap().until = Duration::from_secs(1_000_000);
    first.lease_at = Duration::from_secs(1_000_000);
    let lost = first.lead.as_ref().unwrap().epoch;
    assert_eq!(epoch, lost + 1);
    first.look().await;
    assert!(!first.leads(), "its first write tells it");
    let rows = world.rows().await;
    assert_eq!(rows.len(), 5);
    assert_eq!(world.queue.planned().len(), 5);
}

/// Two simulated weeks with two schedulers that are killed, paused and cut off at random: every planned
/// run is started exactly once.
#[tokio::test]
async fn two_weeks_of_kills_and_pauses_start_every_planned_run_once() {
    let jobs = "jobs:\n  - {name: a, task: debug_ping, every: 17m, misfire: all, max_lateness: 12h, overlap: queue}\n  \
                - {name: b, task: debug_ping, cron: '7 3,15 * * *', zone: America/New_York, misfire: all, max_lateness: 12h}\n  \
                - {name: c, task: debug_ping, after_close: 20m, misfire: all, max_lateness: 12h, jitter: 90s}\n";
    let world = World::new(jobs, "2026-10-26 00:00").await;
    let start = world.hands.now();
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let mut schedulers = [Some(world.scheduler("0")), Some(world.scheduler("1"))];
    let mut paused = [0_u32; 2];
    let mut starts = 2;
    for scheduler in schedulers.iter_mut().flatten() {
        scheduler.look().await;
    }
    let end = start.plus_micros(14 * 86_400 * SECOND);
    while world.hands.now() < end {
        world.hands.pass(chance.random_range(60..900));
        for which in 0..2 {
            if paused[which] > 0 {
                paused[which] -= 1;
                continue;
            }
            match chance.random_range(0..200) {
                // Killed, and started again a while later.
                0 => (schedulers[which], paused[which]) = (None, chance.random_range(1..12)),
                // Stopped in order.
                1 => {
                    if let Some(mut scheduler) = schedulers[which].take() {
                        scheduler.close().await;
                    }
                }
                2..4 => paused[which] = chance.random_range(1..20),
                _ => {}
            }
            if schedulers[which].is_none() {
                starts += 1;
                schedulers[which] = Some(world.scheduler(&starts.to_string()));
            }
            if let Some(scheduler) = &mut schedulers[which] {
                scheduler.look().await;
            }
        }
    }
    let mut last = world.scheduler("last");
    run_for(&mut last, &world.hands, 600, 20).await;
    assert!(last.leads() || schedulers.iter().flatten().any(Scheduler::leads));
    let jobs = Jobs::load(world.folder.path()).unwrap();
    let calendar = world.days.calendar();
    let orders: Vec<Order> =
        world.queue.orders.lock().values().map(|(order, _)| order.clone()).collect();
    for job in &jobs.jobs {
        let plan =
            job.timing.between(&calendar, start, end.plus_micros(-300 * SECOND), 10_000).unwrap();
        let mut done: Vec<EventTime> = orders
            .iter()
            .filter(|order| order.job == job.name)
            .map(|order| order.planned)
            .collect();
        done.sort_unstable();
        done.retain(|at| *at <= end.plus_micros(-300 * SECOND));
        assert_eq!(done, plan, "{}", job.name);
    }
}
