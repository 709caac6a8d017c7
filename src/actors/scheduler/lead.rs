//! What the scheduler that has the lease does at each look: follow what runs, claim what is due, start
//! what has its turn, remember how far it came.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SchedulerParts;
use super::ask::Asking;
use super::desk::{Order, Progress};
use super::open::{Next, OpenRun, OpenRuns, Turn, begin_by, deadline, follow, missed};
use crate::market::EventTime;
use crate::schedule::{Job, Jobs, Missed};
use crate::store::StoreError;
use crate::store::job_runs::{Fenced, JobCursor, JobRun, RunStatus};

/// How often cursors are written although nothing was due: the longest hole that a crash adds to the
/// time it takes to start again. Within it, rows tell what was started.
const CURSORS_EVERY: Duration = Duration::from_secs(30);
/// A task that is not over is ordered again after so long, under its id: that does nothing where the queue
/// has it, and brings it back where the queue came back without its data.
const AGAIN_MICROS: i64 = 30_000_000;

/// The lease is another's.
struct Lost;

/// Why a step of a look ended early.
enum Stop {
    /// The lease is another's.
    Lost,
    /// The database.
    Store(StoreError),
}

impl From<Lost> for Stop {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether the write was done; the lease may have been lost.
fn written(fenced: Fenced) -> Result<bool, Lost> {
    match fenced {
        Fenced::Written => Ok(true),
        Fenced::Taken => Ok(false),
        Fenced::Lost => Err(Lost),
    }
}

/// The schedule, as its leader has it in hand.
pub struct Lead {
    /// The lease's epoch.
    pub epoch: i64,
    /// By the steady clock: not longer, unless it is extended.
    pub until: Duration,
    /// Whether the last look wrote a run.
    pub wrote: bool,
    /// What the last look could not do.
    pub problems: Vec<String>,
    /// When something is next to be done, as far as it is known.
    pub next_due: Option<EventTime>,
    open: OpenRuns,
    cursors: BTreeMap<String, JobCursor>,
    kept: BTreeMap<String, JobCursor>,
    /// Whether cursors are to be written at the end of this look.
    keep: bool,
    keep_at: Duration,
}

impl Lead {
    /// Takes up the schedule as the last leader left it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(
        parts: &SchedulerParts,
        jobs: &Jobs,
        epoch: i64,
        until: Duration,
    ) -> Result<Self, StoreError> {
        let cursors = parts.ledger.cursors().await?;
        let rows = parts.ledger.open_runs().await?;
        if !rows.is_empty() {
            tracing::info!(runs = rows.len(), "planned runs that are not over are taken up");
        }
        Ok(Self {
            epoch,
            until,
            wrote: true,
            problems: Vec::new(),
            next_due: None,
            open: OpenRuns::taken_up(rows, &jobs.jobs, (parts.clocks.wall)()),
            kept: cursors.clone(),
            cursors,
            keep: false,
            keep_at: Duration::ZERO,
        })
    }

    /// One look; `false` when the lease was lost.
    ///
    /// # Errors
    /// When the database fails: what could not be done is done at a later look.
    pub async fn look(&mut self, parts: &SchedulerParts, jobs: &Jobs) -> Result<bool, StoreError> {
        self.problems.clear();
        self.wrote = false;
        match self.steps(parts, jobs).await {
            Ok(()) => Ok(true),
            Err(Stop::Lost) => Ok(false),
            Err(Stop::Store(error)) => Err(error),
        }
    }

    async fn steps(&mut self, parts: &SchedulerParts, jobs: &Jobs) -> Result<(), Stop> {
        let Some(desk) = parts.desk.as_deref() else { return Ok(()) };
        let desk = &mut Asking::new(desk, parts.ttl);
        let now = (parts.clocks.wall)();
        self.follow(parts, desk, jobs, now).await?;
        self.cursors.retain(|name, _| jobs.find(name).is_some());
        for job in &jobs.jobs {
            self.plan(parts, desk, job, now).await?;
        }
        if self.start(parts, desk, jobs, now).await? {
            // What is done at once is over at once, also for a leader whose every look is its first.
            self.follow(parts, desk, jobs, now).await?;
        }
        self.keep_cursors(parts).await?;
        let calendar = parts.days.calendar();
        let planned = jobs.scheduled().filter_map(|job| job.timing.next(&calendar, now).ok()?);
        self.next_due = planned.chain(self.open.next_start()).min();
        Ok(())
    }

    /// Asks how every ordered task stands.
    async fn follow(
        &mut self,
        parts: &SchedulerParts,
        desk: &mut Asking<'_>,
        jobs: &Jobs,
        now: EventTime,
    ) -> Result<(), Stop> {
        let ordered: Vec<OpenRun> = self.open.all().filter(|open| open.ordered).cloned().collect();
        for open in ordered {
            let Some(task_id) = open.run.task_id.clone() else { continue };
            let progress = match desk.progress(&task_id).await {
                Ok(progress) => progress,
                Err(why) => {
                    // Whoever has it in hand says so first when the queue is back.
                    self.seen(&open, now);
                    self.problems
                        .push(format!("how {} stands cannot be told: {why}", open.run.job));
                    continue;
                }
            };
            let job = jobs.find(&open.run.job);
            let next = follow(job, &open, &progress, now);
            let (Next::Again(row) | Next::Over(row)) = &next else {
                if let Some(job) = job.filter(|_| open.seen.plus_micros(AGAIN_MICROS) <= now) {
                    self.seen(&open, now);
                    if let Err(why) = desk.order(order(job, &open.run)).await {
                        self.problems.push(format!("{} is not ordered again: {why}", job.name));
                    }
                }
                continue;
            };
            if progress == Progress::Open
                && let Err(why) = desk.take_back(&task_id).await
            {
                tracing::warn!(job = row.job, why, "a run that took too long cannot be taken back");
            }
            self.wrote = true;
            written(parts.ledger.update(self.epoch, row).await?)?;
            match next {
                Next::Again(row) => {
                    tracing::warn!(job = row.job, planned = %row.planned, "{}", row.detail);
                    if let Some(open) = self.open.get_mut(&row.job, row.planned) {
                        let pause = jobs.find(&row.job).map(|job| job.retry_pause(row.attempt));
                        let pause = pause.unwrap_or_default().as_micros();
                        open.start_at = now.plus_micros(i64::try_from(pause).unwrap_or(0));
                        (open.run, open.ordered) = (row, false);
                    }
                }
                Next::Over(row) => {
                    self.open.remove(&row.job, row.planned);
                    over(&row, now);
                }
                Next::Wait => {}
            }
        }
        Ok(())
    }

    /// The queue has the task of `run`, or is away: it is not ordered again for a while.
    fn seen(&mut self, run: &OpenRun, now: EventTime) {
        if let Some(open) = self.open.get_mut(&run.run.job, run.run.planned) {
            open.seen = now;
        }
    }

    /// Claims what is due of a job.
    async fn plan(
        &mut self,
        parts: &SchedulerParts,
        desk: &mut Asking<'_>,
        job: &Job,
        now: EventTime,
    ) -> Result<(), Stop> {
        let plan = job.plan_key();
        let known = self.cursors.get(&job.name).filter(|cursor| cursor.plan == plan);
        let Some(cursor) = known.map(|cursor| cursor.until) else {
            // A new plan is never late: it begins now.
            self.keep = true;
            self.move_on(job, plan, now);
            return Ok(());
        };
        if job.is_scheduled() && cursor < now {
            let due = match job.due(&parts.days.calendar(), cursor, now) {
                Ok(due) => due,
                Err(error) => {
                    self.problems.push(format!("the job {} has no next run: {error}", job.name));
                    return Ok(());
                }
            };
            self.wrote |= !due.run.is_empty() || due.missed.is_some();
            if let Some(missed) = &due.missed {
                self.keep = true;
                self.note_missed(parts, job, missed, now).await?;
            }
            let mut together = 0;
            for &planned in &due.run {
                self.keep = true;
                if self.take(parts, desk, job, planned, together, now).await? {
                    together += 1;
                }
            }
        }
        // Also where the clock went back: what was started has its row.
        self.move_on(job, plan, now);
        Ok(())
    }

    fn move_on(&mut self, job: &Job, plan: String, until: EventTime) {
        let cursor = JobCursor { job: job.name.clone(), plan, until };
        self.cursors.insert(job.name.clone(), cursor);
    }

    async fn note_missed(
        &self,
        parts: &SchedulerParts,
        job: &Job,
        missed: &Missed,
        now: EventTime,
    ) -> Result<(), Stop> {
        let row = JobRun {
            detail: format!(
                "{} planned runs from {} on had nobody to start them",
                missed.count, missed.oldest
            ),
            finished: Some(now),
            ..claimed(job, missed.newest, RunStatus::Missed, now)
        };
        if written(parts.ledger.claim(self.epoch, &row).await?)? {
            over(&row, now);
        }
        Ok(())
    }

    /// Claims a run that is due; whether it is ours and is to start.
    async fn take(
        &mut self,
        parts: &SchedulerParts,
        desk: &mut Asking<'_>,
        job: &Job,
        planned: EventTime,
        together: usize,
        now: EventTime,
    ) -> Result<bool, Stop> {
        if self.open.has(&job.name, planned) {
            return Ok(false);
        }
        match self.open.turn(job, together) {
            Turn::LeaveOut(why) => {
                let row = JobRun {
                    detail: why,
                    finished: Some(now),
                    ..claimed(job, planned, RunStatus::Skipped, now)
                };
                if written(parts.ledger.claim(self.epoch, &row).await?)? {
                    tracing::warn!(job = job.name, planned = %planned, "left out: {}", row.detail);
                    over(&row, now);
                }
                return Ok(false);
            }
            Turn::Replace(earlier) => {
                for at in earlier {
                    self.replace(parts, desk, job, at, planned, now).await?;
                }
            }
            Turn::Take => {}
        }
        let row = claimed(job, planned, RunStatus::Waiting, now);
        let ours = written(parts.ledger.claim(self.epoch, &row).await?)?;
        if ours {
            let delay = i64::try_from(job.delay(planned).as_micros()).unwrap_or(0);
            self.open.add(OpenRun::new(row, planned.plus_micros(delay)));
        }
        Ok(ours)
    }

    /// Ends the run of `at`, for that of `by` takes its place.
    async fn replace(
        &mut self,
        parts: &SchedulerParts,
        desk: &mut Asking<'_>,
        job: &Job,
        at: EventTime,
        by: EventTime,
        now: EventTime,
    ) -> Result<(), Stop> {
        let Some(open) = self.open.remove(&job.name, at) else { return Ok(()) };
        let row = JobRun {
            status: RunStatus::Replaced,
            detail: format!("the run of {by} took its place"),
            finished: Some(now),
            ..open.run
        };
        written(parts.ledger.update(self.epoch, &row).await?)?;
        if let Some(task_id) = row.task_id.as_deref().filter(|_| open.ordered)
            && let Err(why) = desk.take_back(task_id).await
        {
            tracing::warn!(job = job.name, why, "a run that is replaced cannot be taken back");
        }
        over(&row, now);
        Ok(())
    }

    /// Orders the tasks of the runs whose turn has come; whether there were any.
    async fn start(
        &mut self,
        parts: &SchedulerParts,
        desk: &mut Asking<'_>,
        jobs: &Jobs,
        now: EventTime,
    ) -> Result<bool, Stop> {
        let mut any = false;
        for row in self.open.to_start(now) {
            let Some(job) = jobs.find(&row.job) else {
                let detail = "the job is not in jobs.yaml any more".to_owned();
                let row = JobRun { status: RunStatus::Skipped, detail, finished: Some(now), ..row };
                written(parts.ledger.update(self.epoch, &row).await?)?;
                self.open.remove(&row.job, row.planned);
                over(&row, now);
                continue;
            };
            if !written(parts.ledger.update(self.epoch, &row).await?)? {
                // Somebody has ended it by hand.
                self.open.remove(&row.job, row.planned);
                continue;
            }
            // Nothing is started that the next leader may have taken up already.
            if (parts.clocks.steady)() >= self.until {
                return Err(Stop::Lost);
            }
            let ordered = desk.order(order(job, &row)).await;
            let Some(open) = self.open.get_mut(&row.job, row.planned) else { continue };
            open.run = row;
            match ordered {
                Ok(()) => {
                    any = true;
                    (open.ordered, open.seen) = (true, now);
                    open.deadline = deadline(job, now);
                    tracing::info!(
                        job = job.name,
                        planned = %open.run.planned,
                        attempt = open.run.attempt,
                        task = job.task,
                        "a planned run has started"
                    );
                }
                Err(why) => {
                    let by = begin_by(job, &open.run);
                    if now > by {
                        // If it was heard after all, no worker begins it any more.
                        let row = missed(&open.run, by, &why, now);
                        written(parts.ledger.update(self.epoch, &row).await?)?;
                        self.open.remove(&row.job, row.planned);
                        over(&row, now);
                    }
                    self.problems
                        .push(format!("the task of the job {} is not taken: {why}", job.name));
                }
            }
        }
        Ok(any)
    }

    async fn keep_cursors(&mut self, parts: &SchedulerParts) -> Result<(), Stop> {
        let steady = (parts.clocks.steady)();
        if !self.keep && steady < self.keep_at {
            return Ok(());
        }
        let changed =
            self.cursors.values().filter(|cursor| self.kept.get(&cursor.job) != Some(*cursor));
        let changed: Vec<JobCursor> = changed.cloned().collect();
        written(parts.ledger.write_cursors(self.epoch, &changed).await?)?;
        self.kept = self.cursors.clone();
        (self.keep, self.keep_at) = (false, steady + CURSORS_EVERY);
        Ok(())
    }
}

/// The row of a run that is claimed now.
fn claimed(job: &Job, planned: EventTime, status: RunStatus, now: EventTime) -> JobRun {
    JobRun {
        job: job.name.clone(),
        planned,
        status,
        detail: String::new(),
        started: now,
        finished: None,
        task_id: None,
        attempt: 0,
    }
}

fn order(job: &Job, row: &JobRun) -> Order {
    Order {
        task_id: row.task_id.clone().unwrap_or_default(),
        task: job.task,
        kwargs: job.kwargs.clone(),
        timeout: job.timeout,
        begin_by: begin_by(job, row),
        job: job.name.clone(),
        planned: row.planned,
    }
}

/// Counts and logs the end of a run.
fn over(row: &JobRun, now: EventTime) {
    metrics::counter!("bongsu_job_runs_total", "status" => row.status.as_str()).increment(1);
    match row.status {
        RunStatus::Done => {
            metrics::gauge!("bongsu_job_last_success_timestamp_seconds", "job" => row.job.clone())
                .set(now.micros() as f64 / 1e6);
            tracing::info!(job = row.job, planned = %row.planned, "the run is done: {}", row.detail);
        }
        RunStatus::Missed => {
            tracing::warn!(job = row.job, planned = %row.planned, "the run is missed: {}", row.detail);
        }
        RunStatus::Failed => {
            tracing::error!(job = row.job, planned = %row.planned, "the run failed: {}", row.detail);
        }
        _ => {}
    }
}
