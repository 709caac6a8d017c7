//! The scheduler: starts what `jobs.yaml` plans, each planned run once.
//!
//! In: the schedule, the calendar, two clocks (the wall's for plans, a steady one for the lease), a
//! ledger and a desk. Out: rows of `job_runs`, orders for tasks, the board that readers see.
//!
//! Any number of schedulers may run; the one with the lease **leads** ([`crate::store::lease`]). At
//! each look it computes what its jobs planned since their cursors, claims a row for each run that is to
//! start ([`crate::store::job_runs`]), orders its task under an id that follows from the run, and
//! follows the task to its end. The row comes before the order: a scheduler that dies in between leaves
//! a row that its successor takes up, with the same task id. What is ordered twice is done once, because
//! the queue knows ids.
//!
//! **Clocks.** A look comes at the next planned instant, and every second at the latest, so a wall
//! clock that jumps is noticed then. Forward, or after a pause of the machine, is a hole like a restart
//! (`Job::due`). Backward makes nothing due twice: what was started has its row.
//!
//! **Failures.** A database that is away stops the schedule; the lease is not ours any more when its
//! time by the steady clock is over, whatever the database thinks. What was missed is a hole when it is
//! back. A queue that is away or full is asked again at each look, until the run may not be late any more:
//! then it is `missed`, with the reason; the task itself says by when it is to begin, so one that was heard
//! without our knowing does not begin after that either. A queue that came back without its data is given
//! the tasks that are not over again. A calendar that has ended, a wrong
//! `jobs.yaml`: told as the health of `scheduler`; jobs that do not depend on it go on.

mod ask;
mod desk;
mod file;
mod lead;
mod ledger;
mod local;
mod open;
mod queue;
pub mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use desk::{Desk, Order, Progress, task_id};
pub use file::{Look, ScheduleFile};
pub use ledger::{Ledger, Memory};
pub use local::{LocalDesk, Work};
pub use queue::QueueOrders;

use self::lead::Lead;
use super::supervision::StageError;
use crate::market::EventTime;
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{JobBoard, JobsState, LastRun, TradingDays};
use crate::store::StoreError;
use crate::store::job_runs::{JobRun, RunStatus};
use crate::store::lease::Grant;

/// Longest pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the file is read, and the board put up anew.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// How often the newest runs are read although this process did nothing: others may have.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Coming runs of each job on the board.
const SHOWN: usize = 3;

/// Longest wait for the lease to be given back at the end.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Two clocks.
#[derive(Clone)]
pub struct Clocks {
    /// The wall's; it may jump.
    pub wall: Arc<dyn Fn() -> EventTime + Send + Sync>,
    /// One that only goes forward.
    pub steady: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clocks {
    /// Those of this machine.
    #[must_use]
    pub fn machine() -> Self {
        let start = std::time::Instant::now();
        Self { wall: super::collection::wall_clock(), steady: Arc::new(move || start.elapsed()) }
    }
}

/// What the scheduler is made of.
#[derive(Clone)]
pub struct SchedulerParts {
    /// The schedule, as read at the start.
    pub file: Arc<dyn Fn() -> ScheduleFile + Send + Sync>,
    /// Where runs are kept.
    pub ledger: Ledger,
    /// Who has tasks done; `None`: this process only shows the schedule.
    pub desk: Option<Arc<dyn Desk>>,
    /// The calendar.
    pub days: TradingDays,
    /// The clocks.
    pub clocks: Clocks,
    /// Name of this process, for people.
    pub holder: String,
    /// How long the lease is taken for; it is extended at a third of it.
    pub ttl: Duration,
    /// What readers see.
    pub board: JobBoard,
    /// Where it says how it is.
    pub health: HealthRegistry,
}

/// Runs the scheduler until it is told to stop; then the lease is given back.
///
/// # Errors
/// None: what goes wrong is told, and tried again.
pub async fn run_scheduler(
    parts: Arc<SchedulerParts>,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let mut scheduler = Scheduler::new((*parts).clone());
    loop {
        // A database that does not answer must not hold up the end. What a look that is cut off leaves
        // is what a crash leaves, and is taken up in the same way.
        let wait = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            wait = scheduler.look() => wait,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    if tokio::time::timeout(GIVE_BACK_WITHIN, scheduler.close()).await.is_err() {
        tracing::warn!("the scheduler's lease is not given back in time, it ends by itself");
    }
    Ok(())
}

/// A scheduler, look by look.
pub struct Scheduler {
    parts: SchedulerParts,
    file: ScheduleFile,
    lead: Option<Lead>,
    /// Who leads, as far as it is known: ourselves, another, nobody.
    leader: &'static str,
    latest: BTreeMap<String, JobRun>,
    /// When lease, file and newest runs are looked at next, by the steady clock.
    lease_at: Duration,
    refresh_at: Duration,
    read_at: Duration,
    told: Option<HealthState>,
}

impl Scheduler {
    /// A scheduler that has not looked yet.
    #[must_use]
    pub fn new(mut parts: SchedulerParts) -> Self {
        // One that was replaced and still lives must not pass for its successor.
        parts.holder = format!("{}:{}", parts.holder, uuid::Uuid::new_v4());
        let file = (parts.file)();
        Self {
            parts,
            file,
            lead: None,
            leader: "nobody",
            latest: BTreeMap::new(),
            lease_at: Duration::ZERO,
            refresh_at: Duration::ZERO,
            read_at: Duration::ZERO,
            told: None,
        }
    }

    /// Whether it has the lease, as far as it knows.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// Does what is due now; how long until the next look.
    pub async fn look(&mut self) -> Duration {
        let steady = (self.parts.clocks.steady)();
        let mut problems = Vec::new();
        let refresh = steady >= self.refresh_at;
        if refresh {
            self.refresh_at = steady + REFRESH_EVERY;
            match self.file.look().await {
                Look::Same => {}
                Look::Changed => {
                    tracing::info!("jobs.yaml has changed, the new schedule is in force")
                }
                Look::Wrong(what) => {
                    tracing::error!(what, "jobs.yaml is wrong, the schedule before stays in force");
                }
            }
        }
        if let Err(error) = self.keep_lease(steady).await {
            problems.push(error.to_string());
        }
        if let Some(lead) = &mut self.lead {
            let jobs = self.file.jobs();
            match lead.look(&self.parts, &jobs).await {
                Ok(true) => problems.append(&mut lead.problems),
                Ok(false) => self.lose("another process has taken over"),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if self.lead.as_ref().is_some_and(|lead| lead.wrote) {
            self.read_at = steady;
        }
        if refresh {
            if steady >= self.read_at {
                self.read_at = steady + READ_EVERY;
                if let Err(error) = self.read_latest().await {
                    problems.push(error.to_string());
                }
            }
            self.show();
        }
        self.tell(problems);
        self.wait(steady)
    }

    /// Gives the lease back.
    pub async fn close(&mut self) {
        if let Some(lead) = self.lead.take()
            && let Err(error) = self.parts.ledger.give_back(lead.epoch).await
        {
            tracing::warn!(%error, "the scheduler's lease is not given back, it ends by itself");
        }
    }

    /// Takes or extends the lease when it is time to, and stops leading before its time is over.
    async fn keep_lease(&mut self, steady: Duration) -> Result<(), StoreError> {
        if self.parts.desk.is_none() {
            return Ok(());
        }
        if self.lead.as_ref().is_some_and(|lead| lead.until <= steady) {
            self.lose("the lease could not be extended in time");
        }
        if steady < self.lease_at {
            return Ok(());
        }
        let ttl = self.parts.ttl;
        self.lease_at = steady + ttl / 3;
        let now = (self.parts.clocks.wall)();
        match self.parts.ledger.take(&self.parts.holder, ttl, now).await? {
            Grant::Held(epoch) => {
                // Counted from before it was asked for, and a fifth less: it ends here first.
                let until = steady + ttl - ttl / 5;
                match &mut self.lead {
                    Some(lead) if lead.epoch == epoch => lead.until = until,
                    _ => {
                        let jobs = self.file.jobs();
                        let lead = Lead::begin(&self.parts, &jobs, epoch, until).await?;
                        tracing::info!(epoch, "this process starts the planned runs");
                        self.lead = Some(lead);
                    }
                }
                self.leader = "here";
                metrics::gauge!("bongsu_scheduler_leader").set(1.0);
            }
            Grant::Other { holder, until } => {
                if self.lead.is_some() {
                    self.lose("another process has taken over");
                }
                if self.leader != "elsewhere" {
                    tracing::info!(holder, until = %until, "another process starts the planned runs");
                }
                self.leader = "elsewhere";
            }
        }
        Ok(())
    }

    fn lose(&mut self, why: &str) {
        tracing::warn!(why, "this process does not start planned runs any more");
        self.lead = None;
        self.leader = "nobody";
        metrics::gauge!("bongsu_scheduler_leader").set(0.0);
    }

    async fn read_latest(&mut self) -> Result<(), StoreError> {
        let first = self.latest.is_empty();
        self.latest = self.parts.ledger.latest().await?;
        let mut successes: Vec<(String, EventTime)> = Vec::new();
        if first {
            successes = self.parts.ledger.successes().await?;
        }
        let done = self.latest.values().filter(|run| run.status == RunStatus::Done);
        successes.extend(done.filter_map(|run| Some((run.job.clone(), run.finished?))));
        for (job, at) in successes {
            if self.file.jobs().find(&job).is_some() {
                metrics::gauge!("bongsu_job_last_success_timestamp_seconds", "job" => job)
                    .set(at.micros() as f64 / 1e6);
            }
        }
        Ok(())
    }

    /// Puts the board up.
    fn show(&self) {
        let (calendar, now) = (self.parts.days.calendar(), (self.parts.clocks.wall)());
        let jobs = self.file.jobs();
        let rows = jobs.jobs.iter().map(|job| {
            let last = self.latest.get(&job.name).map(last_run);
            view::row(job, &calendar, now, SHOWN, last)
        });
        self.parts.board.set(JobsState {
            leader: self.leader,
            problem: self.file.problem().map(str::to_owned),
            jobs: rows.collect(),
        });
    }

    /// Says how it is, when that has changed.
    fn tell(&mut self, mut problems: Vec<String>) {
        problems.extend(
            self.file
                .problem()
                .map(|what| format!("{what}; the schedule before this edit stays in force")),
        );
        problems.dedup();
        let state = match problems.is_empty() {
            true => HealthState::Up,
            false => HealthState::degraded(problems.join("; ")),
        };
        if self.told.as_ref() != Some(&state) {
            if let Some(reason) = state.reason() {
                tracing::warn!(reason, "the schedule does not go on as it should");
            }
            self.parts.health.set(Component::Scheduler, state.clone());
            self.told = Some(state);
        }
    }

    fn wait(&self, steady: Duration) -> Duration {
        let now = (self.parts.clocks.wall)();
        let due = self.lead.as_ref().and_then(|lead| lead.next_due);
        let until_due = due.map_or(LOOK_EVERY, |due| {
            Duration::from_micros(u64::try_from(due.micros_since(now)).unwrap_or(0))
        });
        let until_lease = self.lease_at.saturating_sub(steady);
        // A moment at least: two looks at the same microsecond find the same.
        until_due.min(until_lease).min(LOOK_EVERY).max(Duration::from_millis(1))
    }
}

/// A run as readers see it.
fn last_run(run: &JobRun) -> LastRun {
    LastRun {
        planned: run.planned.rfc3339(),
        status: run.status.as_str().to_owned(),
        detail: run.detail.clone(),
        started_at: run.started.rfc3339(),
        finished_at: run.finished.map(EventTime::rfc3339),
        attempt: run.attempt,
        task_id: run.task_id.clone(),
    }
}

#[cfg(test)]
mod tests;
