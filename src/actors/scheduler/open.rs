//! Planned runs that are ours and not over: in which order they start, and what follows their outcome.
//!
//! Pure arithmetic over rows and instants: [`super::Scheduler`] asks what is to be done, does it, and
//! says what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::desk::{Progress, task_id};
use crate::market::EventTime;
use crate::schedule::{Job, ON_TIME, Overlap};
use crate::store::job_runs::{JobRun, RunStatus};

/// Runs of one job that wait or run at once; one more is left out.
pub const MAX_OPEN: usize = 1_000;

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// Its row.
    pub run: JobRun,
    /// Not before this.
    pub start_at: EventTime,
    /// Whether its task was taken by the queue under our eyes.
    pub ordered: bool,
    /// When the queue was last seen to have it, or to be away.
    pub seen: EventTime,
    /// When its attempt has taken too long.
    pub deadline: Option<EventTime>,
}

impl OpenRun {
    /// A claimed run, to start at `start_at`.
    #[must_use]
    pub fn new(run: JobRun, start_at: EventTime) -> Self {
        Self { run, start_at, ordered: false, seen: start_at, deadline: None }
    }
}

/// What the outcome of an attempt makes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet.
    Wait,
    /// The row is to be written; the run goes on.
    Again(JobRun),
    /// The row is to be written; the run is over.
    Over(JobRun),
}

/// What a new run finds when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It may start, in its turn.
    Take,
    /// It is left out, and why.
    LeaveOut(String),
    /// It takes the place of these, by planned moment.
    Replace(Vec<EventTime>),
}

/// All open runs, by job, each job's in the order of the plan.
#[derive(Debug, Clone, Default)]
pub struct OpenRuns {
    jobs: BTreeMap<String, VecDeque<OpenRun>>,
}

impl OpenRuns {
    /// Takes up what an earlier leader left: every task is ordered anew under its id, which does
    /// nothing where the queue knows it, and brings it there where the queue lost it.
    #[must_use]
    pub fn taken_up(rows: Vec<JobRun>, jobs: &[Job], now: EventTime) -> Self {
        let mut open = Self::default();
        for run in rows {
            let job = jobs.iter().find(|job| job.name == run.job);
            // A run that waited for its jitter still does; any other wait is over.
            let delay = job
                .filter(|_| run.attempt == 0)
                .map_or(0, |job| i64::try_from(job.delay(run.planned).as_micros()).unwrap_or(0));
            let start_at = run.planned.plus_micros(delay);
            let deadline = job.and_then(|job| deadline(job, now));
            let run = OpenRun { deadline, ..OpenRun::new(run, start_at) };
            open.jobs.entry(run.run.job.clone()).or_default().push_back(run);
        }
        open
    }

    /// Whether the run is among them.
    #[must_use]
    pub fn has(&self, job: &str, planned: EventTime) -> bool {
        self.of(job).any(|open| open.run.planned == planned)
    }

    /// The open runs of `job`, in the order of the plan.
    pub fn of(&self, job: &str) -> impl Iterator<Item = &OpenRun> {
        self.jobs.get(job).into_iter().flatten()
    }

    /// Every open run.
    pub fn all(&self) -> impl Iterator<Item = &OpenRun> {
        self.jobs.values().flatten()
    }

    /// What a run of `job` that is due finds. `together`: it is due with others of the job, which came
    /// before it at the same look: they take turns.
    #[must_use]
    pub fn turn(&self, job: &Job, together: usize) -> Turn {
        let open = self.jobs.get(&job.name).map_or(0, VecDeque::len);
        let earlier = open.saturating_sub(together);
        if open >= MAX_OPEN {
            return Turn::LeaveOut(format!("{open} runs before it are not over"));
        }
        match (earlier, job.overlap) {
            (0, _) | (_, Overlap::Queue) => Turn::Take,
            (_, Overlap::Skip) => {
                let first = self.of(&job.name).next().map(|open| open.run.planned.rfc3339());
                Turn::LeaveOut(format!("the run of {} is not over", first.unwrap_or_default()))
            }
            (_, Overlap::Replace) => Turn::Replace(
                self.of(&job.name).take(earlier).map(|open| open.run.planned).collect(),
            ),
        }
    }

    /// Adds a claimed run.
    pub fn add(&mut self, open: OpenRun) {
        let runs = self.jobs.entry(open.run.job.clone()).or_default();
        let place = runs.partition_point(|other| other.run.planned <= open.run.planned);
        runs.insert(place, open);
    }

    /// Removes a run; gives it back when it was there.
    pub fn remove(&mut self, job: &str, planned: EventTime) -> Option<OpenRun> {
        let runs = self.jobs.get_mut(job)?;
        let place = runs.iter().position(|open| open.run.planned == planned)?;
        let run = runs.remove(place);
        if runs.is_empty() {
            self.jobs.remove(job);
        }
        run
    }

    /// The run, to be changed.
    pub fn get_mut(&mut self, job: &str, planned: EventTime) -> Option<&mut OpenRun> {
        self.jobs.get_mut(job)?.iter_mut().find(|open| open.run.planned == planned)
    }

    /// Rows of the runs that are to be started or ordered now: of each job the first, when its time has
    /// come. One that waits is given as it is to be written before its task is ordered.
    #[must_use]
    pub fn to_start(&self, now: EventTime) -> Vec<JobRun> {
        let first = self.jobs.values().filter_map(VecDeque::front);
        let ready = first.filter(|open| !open.ordered && open.start_at <= now);
        ready
            .map(|open| {
                if open.run.status == RunStatus::Waiting {
                    started(&open.run, now)
                } else {
                    open.run.clone()
                }
            })
            .collect()
    }

    /// When the next run is to start.
    #[must_use]
    pub fn next_start(&self) -> Option<EventTime> {
        let first = self.jobs.values().filter_map(VecDeque::front);
        first.filter(|open| !open.ordered).map(|open| open.start_at).min()
    }
}

/// The row of the next attempt at `run`.
fn started(run: &JobRun, now: EventTime) -> JobRun {
    let attempt = run.attempt + 1;
    JobRun {
        status: RunStatus::Running,
        started: now,
        attempt,
        task_id: Some(task_id(&run.job, run.planned, attempt)),
        detail: String::new(),
        ..run.clone()
    }
}

/// Until when the task of the attempt of `run` may begin: so long after the planned moment as a run may be
/// late. One that had to wait for its turn longer than that, and a repetition, have as long from their start.
#[must_use]
pub fn begin_by(job: &Job, run: &JobRun) -> EventTime {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4);
    let late = micros(job.max_lateness.max(ON_TIME));
    let due = run.planned.plus_micros(micros(job.delay(run.planned)));
    match due.plus_micros(late) {
        last if run.attempt <= 1 && run.started <= last => last,
        _ => run.started.plus_micros(late),
    }
}

/// The row of a run whose task did not begin in time, and why.
#[must_use]
pub fn missed(run: &JobRun, by: EventTime, why: &str, now: EventTime) -> JobRun {
    JobRun {
        status: RunStatus::Missed,
        detail: format!("its task was to begin by {by}: {why}"),
        finished: Some(now),
        ..run.clone()
    }
}

/// When an attempt that begins now has taken too long.
#[must_use]
pub fn deadline(job: &Job, now: EventTime) -> Option<EventTime> {
    let timeout = i64::try_from(job.timeout?.as_micros()).ok()?;
    Some(now.plus_micros(timeout))
}

/// What `progress` of its task makes of a run of `job` (`None`: the job is no more).
#[must_use]
pub fn follow(job: Option<&Job>, open: &OpenRun, progress: &Progress, now: EventTime) -> Next {
    let over = |status, detail: &str| {
        Next::Over(JobRun {
            status,
            detail: detail.to_owned(),
            finished: Some(now),
            ..open.run.clone()
        })
    };
    let failed = |why: &str| match job {
        Some(job) if open.run.attempt <= job.retries => {
            let pause = job.retry_pause(open.run.attempt);
            let detail = format!(
                "attempt {} of {} failed: {why}; the next in {} s",
                open.run.attempt,
                job.retries + 1,
                pause.as_secs()
            );
            Next::Again(JobRun { status: RunStatus::Waiting, detail, ..open.run.clone() })
        }
        _ => over(RunStatus::Failed, why),
    };
    match progress {
        Progress::Done(detail) => over(RunStatus::Done, detail),
        Progress::Skipped(why) => over(RunStatus::Skipped, why),
        Progress::Failed(why) => failed(why),
        Progress::Late(why) => {
            let by = job.map_or(open.run.planned, |job| begin_by(job, &open.run));
            Next::Over(missed(&open.run, by, why, now))
        }
        Progress::Open if open.deadline.is_some_and(|deadline| deadline <= now) => {
            failed("it took longer than its timeout")
        }
        Progress::Open => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::schedule::Jobs;

    fn job(words: &str) -> Job {
        let text = format!("jobs:\n  - {{name: a, task: debug_ping, every: 1m, {words}}}\n");
        Jobs::parse(&text, Path::new("jobs.yaml")).unwrap().jobs.remove(0)
    }

    fn at(minute: i64) -> EventTime {
        EventTime::from_micros(minute * 60_000_000)
    }

    fn run(minute: i64, status: RunStatus) -> JobRun {
        JobRun {
            job: "a".into(),
            planned: at(minute),
            status,
            detail: String::new(),
            started: at(minute),
            finished: None,
            task_id: None,
            attempt: 0,
        }
    }

    fn with(minutes: &[i64]) -> OpenRuns {
        let mut open = OpenRuns::default();
        for &minute in minutes {
            open.add(OpenRun::new(run(minute, RunStatus::Waiting), at(minute)));
        }
        open
    }

    #[test]
    fn overlaps_are_met_as_the_job_says() {
        let busy = with(&[1]);
        assert_eq!(OpenRuns::default().turn(&job("overlap: skip"), 0), Turn::Take);
        assert!(matches!(busy.turn(&job("overlap: skip"), 0), Turn::LeaveOut(_)));
        assert_eq!(busy.turn(&job("overlap: queue"), 0), Turn::Take);
        assert_eq!(busy.turn(&job("overlap: replace"), 0), Turn::Replace(vec![at(1)]));
        // Runs that are made up for together take turns, whatever the policy.
        assert_eq!(with(&[1, 2]).turn(&job("overlap: skip"), 2), Turn::Take);
        assert_eq!(with(&[1, 2]).turn(&job("overlap: replace"), 1), Turn::Replace(vec![at(1)]));
    }

    #[test]
    fn runs_start_in_the_order_of_the_plan() {
        let mut open = with(&[3, 1, 2]);
        let first = open.to_start(at(5));
        assert_eq!(first.iter().map(|run| run.planned).collect::<Vec<_>>(), [at(1)]);
        assert_eq!((first[0].attempt, first[0].status), (1, RunStatus::Running));
        assert_eq!(first[0].task_id, Some(task_id("a", at(1), 1)));
        assert!(open.to_start(at(0)).is_empty(), "its time has not come");
        open.get_mut("a", at(1)).unwrap().ordered = true;
        assert!(open.to_start(at(5)).is_empty() && open.next_start().is_none());
        open.remove("a", at(1));
        assert_eq!(open.next_start(), Some(at(2)));
    }

    #[test]
    fn a_task_may_begin_as_long_as_its_run_may_be_late() {
        let strict = job("max_lateness: 5m");
        let first = started(&run(10, RunStatus::Waiting), at(12));
        assert_eq!(begin_by(&strict, &first), at(15), "from the planned moment");
        let turn = started(&run(10, RunStatus::Waiting), at(20));
        assert_eq!(begin_by(&strict, &turn), at(25), "it had to wait for its turn");
        let again = started(&first, at(13));
        assert_eq!((again.attempt, begin_by(&strict, &again)), (2, at(18)));
        let none = job("max_lateness: 1s");
        assert!(begin_by(&none, &started(&run(10, RunStatus::Waiting), at(10))) > at(10));
    }

    #[test]
    fn what_follows_an_outcome() {
        let patient = job("retries: 1, timeout: 5m");
        let mut open = OpenRun::new(started(&run(1, RunStatus::Waiting), at(1)), at(1));
        open.deadline = deadline(&patient, at(1));
        let failed = Progress::Failed("no".into());
        let Next::Again(again) = follow(Some(&patient), &open, &failed, at(2)) else { panic!() };
        assert_eq!((again.status, again.attempt), (RunStatus::Waiting, 1));
        assert_eq!(follow(Some(&patient), &open, &Progress::Open, at(5)), Next::Wait);
        assert!(matches!(follow(Some(&patient), &open, &Progress::Open, at(6)), Next::Again(_)));
        open.run = started(&again, at(3));
        assert_ne!(open.run.task_id, again.task_id, "an attempt of its own");
        let Next::Over(over) = follow(Some(&patient), &open, &failed, at(4)) else { panic!() };
        assert_eq!((over.status, over.detail.as_str()), (RunStatus::Failed, "no"));
        let late = follow(Some(&patient), &open, &Progress::Late("nobody".into()), at(4));
        assert!(matches!(late, Next::Over(run) if run.status == RunStatus::Missed));
        let done = follow(None, &open, &Progress::Done("pong".into()), at(4));
        assert!(
            matches!(done, Next::Over(run) if run.status == RunStatus::Done && run.finished == Some(at(4)))
        );
    }
}
