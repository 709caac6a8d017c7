//! A job: its words in `jobs.yaml`, checked, and what they mean.
//!
//! `Entry` is what stands in the file, [`Job`] what it means; every mistake of an entry is told, with
//! the field it is in. What is not said has the default of [`DEFAULT_LATENESS`] and its neighbours.

use std::time::Duration;

use chrono_tz::Tz;
use garde::Validate;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::cron::Cron;
use super::policy::{Misfire, Overlap};
use super::span;
use super::timing::{Mark, On, Source, Timing};
use crate::telemetry::families::TASKS;

/// A run that was missed is made up for when it is not older than this, unless the job says otherwise.
pub const DEFAULT_LATENESS: Duration = Duration::from_secs(3_600);
/// First pause before a failed run is repeated, unless the job says otherwise.
pub const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(60);
/// Most repetitions of a failed run.
const MAX_RETRIES: u32 = 10;
/// Longest distance of a mark from the opening or the close.
const FARTHEST_MARK: Duration = Duration::from_secs(86_400);
/// The task that can follow the market's clock.
const BY_EVENT_TIME: &str = "generate_recommendations";

/// By which clock a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobClock {
    /// The wall clock, by the scheduler.
    #[default]
    Wall,
    /// The market's: the RiskScorer, which sees its time pass, tells the advisers.
    Event,
}

/// One job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Unique name.
    pub name: String,
    /// What it does: one of [`TASKS`].
    pub task: &'static str,
    /// The task's arguments.
    pub kwargs: Map<String, Value>,
    /// Whether it runs.
    pub enabled: bool,
    /// By which clock.
    pub clock: JobClock,
    /// When.
    pub timing: Timing,
    /// What becomes of runs that nobody was there to start.
    pub misfire: Misfire,
    /// How old a run may be that is made up for.
    pub max_lateness: Duration,
    /// Runs start up to so much later than planned.
    pub jitter: Duration,
    /// How long an attempt may take; `None`: as the task's own limits say.
    pub timeout: Option<Duration>,
    /// How often a failed run is repeated.
    pub retries: u32,
    /// First pause before that.
    pub retry_delay: Duration,
    /// What becomes of a run that is due while an earlier one is not over.
    pub overlap: Overlap,
}

impl Job {
    /// Whether the scheduler starts it.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.enabled && self.clock == JobClock::Wall
    }

    /// What makes the plan, as text: a job whose plan has been edited is not late by its new one.
    #[must_use]
    pub fn plan_key(&self) -> String {
        let zone = self.timing.zone().map_or("", Tz::name);
        format!("{} {zone}", self.timing)
    }
}

/// One job, as in the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    task: String,
    #[serde(default)]
    kwargs: Map<String, Value>,
    enabled: Option<bool>,
    clock: Option<String>,
    cron: Option<String>,
    zone: Option<String>,
    every: Option<String>,
    before_open: Option<String>,
    after_open: Option<String>,
    before_close: Option<String>,
    after_close: Option<String>,
    on: Option<String>,
    during: Option<String>,
    misfire: Option<String>,
    max_lateness: Option<String>,
    jitter: Option<String>,
    timeout: Option<String>,
    retries: Option<u32>,
    retry_delay: Option<String>,
    overlap: Option<String>,
}

/// A mistake: the field it is in, and what is wrong.
type Mistake = (&'static str, String);

/// Collects mistakes, so that all of an entry are told at once.
#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, field: &'static str, what: impl Into<String>) {
        self.0.push((field, what.into()));
    }

    /// A length of time; `None` where it is wrong.
    fn span(&mut self, field: &'static str, text: &str) -> Option<Duration> {
        let span = span::parse(text);
        if span.is_none() {
            self.add(field, format!("\"{text}\" is no length of time: {}", span::FORM));
        }
        span
    }

    /// One of `words`; the first where nothing is said, or something wrong.
    fn word<T: Copy>(&mut self, field: &'static str, text: Option<&str>, words: &[(&str, T)]) -> T {
        let found = text.and_then(|text| words.iter().find(|(word, _)| *word == text));
        match (text, found) {
            (_, Some(&(_, value))) => value,
            (None, None) => words[0].1,
            (Some(text), None) => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.add(field, format!("\"{text}\": expected {}", known.join(", ")));
                words[0].1
            }
        }
    }
}

impl Entry {
    /// What it means.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn job(&self) -> Result<Job, Vec<Mistake>> {
        let mut wrong = Mistakes::default();
        if !is_name(&self.name) {
            let what =
                format!("\"{}\" is no name: expected 1 to 64 letters, digits, - and _", self.name);
            wrong.add("name", what);
        }
        let task = TASKS.iter().find(|&&task| task == self.task).copied();
        if task.is_none() {
            let what = format!("\"{}\" is no task: expected {}", self.task, TASKS.join(", "));
            wrong.add("task", what);
        }
        let clocks = [("wall", JobClock::Wall), ("event", JobClock::Event)];
        let clock = match &self.clock {
            // Advice at an interval is the market's business, unless it is said otherwise.
            None if self.task == BY_EVENT_TIME && self.every.is_some() => JobClock::Event,
            text => wrong.word("clock", text.as_deref(), &clocks),
        };
        let timing = self.timing(&mut wrong);
        if clock == JobClock::Event {
            self.check_event_job(&mut wrong);
        }
        let mut span =
            |field, text: &Option<String>| text.as_deref().and_then(|text| wrong.span(field, text));
        let max_lateness = span("max_lateness", &self.max_lateness).unwrap_or(DEFAULT_LATENESS);
        let jitter = span("jitter", &self.jitter).unwrap_or_default();
        let timeout = span("timeout", &self.timeout);
        let retry_delay = span("retry_delay", &self.retry_delay).unwrap_or(DEFAULT_RETRY_DELAY);
        let retries = self.retries.unwrap_or(0);
        if retries > MAX_RETRIES {
            wrong.add("retries", format!("{retries}: expected 0 to {MAX_RETRIES}"));
        }
        let policies =
            [("latest", Misfire::Latest), ("all", Misfire::All), ("none", Misfire::None)];
        let misfire = wrong.word("misfire", self.misfire.as_deref(), &policies);
        let overlaps =
            [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("replace", Overlap::Replace)];
        let overlap = wrong.word("overlap", self.overlap.as_deref(), &overlaps);
        match (task, timing) {
            (Some(task), Some(timing)) if wrong.0.is_empty() => Ok(Job {
                name: self.name.clone(),
                task,
                kwargs: self.kwargs.clone(),
                enabled: self.enabled.unwrap_or(true),
                clock,
                timing,
                misfire,
                max_lateness,
                jitter,
                timeout,
                retries,
                retry_delay,
                overlap,
            }),
            _ => Err(wrong.0),
        }
    }

    fn timing(&self, wrong: &mut Mistakes) -> Option<Timing> {
        let said: Vec<(&'static str, &str)> = [
            ("cron", &self.cron),
            ("every", &self.every),
            ("before_open", &self.before_open),
            ("after_open", &self.after_open),
            ("before_close", &self.before_close),
            ("after_close", &self.after_close),
        ]
        .into_iter()
        .filter_map(|(field, text)| Some((field, text.as_deref()?)))
        .collect();
        let days = [
            ("every_day", On::EveryDay),
            ("trading_day", On::TradingDay),
            ("closed_day", On::ClosedDay),
        ];
        let on = wrong.word("on", self.on.as_deref(), &days);
        let when = [("always", false), ("session", true)];
        let in_session = wrong.word("during", self.during.as_deref(), &when);
        if in_session && on == On::ClosedDay {
            wrong.add("during", "a day without trading has no session");
        }
        let &[(field, text)] = said.as_slice() else {
            let found: Vec<&str> = said.iter().map(|(field, _)| *field).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(" and ") };
            let what = format!(
                "the job \"{}\" says {found} of when it runs: expected one of cron, every, before_open, \
                 after_open, before_close, after_close",
                self.name
            );
            wrong.add("name", what);
            return None;
        };
        if self.zone.is_some() && field != "cron" {
            wrong.add("zone", format!("only a cron has a zone, this job has {field}"));
        }
        let source = match field {
            "cron" => self.cron_source(text, wrong),
            "every" => wrong.span(field, text).map(Source::Every),
            _ => {
                if in_session {
                    wrong.add("during", format!("{field} is one moment of a session by itself"));
                }
                if on == On::ClosedDay {
                    wrong.add("on", format!("{field} is of trading days"));
                }
                mark(field, text, wrong)
            }
        };
        source.map(|source| Timing { source, on, in_session })
    }

    fn cron_source(&self, text: &str, wrong: &mut Mistakes) -> Option<Source> {
        let name = self.zone.as_deref().unwrap_or("Asia/Seoul");
        let zone = name.parse::<Tz>();
        if zone.is_err() {
            let what = format!("\"{name}\" is no time zone: expected a name as Asia/Seoul or UTC");
            wrong.add("zone", what);
        }
        match Cron::parse(text) {
            Ok(cron) => Some(Source::Cron(Box::new(cron), zone.ok()?)),
            Err(error) => {
                wrong.add("cron", format!("\"{text}\" is no crontab: {error}"));
                None
            }
        }
    }

    /// What follows the market's clock has an interval and nothing else: no scheduler looks after it.
    fn check_event_job(&self, wrong: &mut Mistakes) {
        if self.task != BY_EVENT_TIME {
            wrong.add("clock", format!("only {BY_EVENT_TIME} can follow the market's clock"));
        }
        if self.every.is_none() {
            wrong.add("clock", "by the market's clock a job runs at an interval: expected every");
        }
        if !self.kwargs.is_empty() {
            wrong.add("kwargs", "a job by the market's clock has no arguments");
        }
        let words = [
            ("on", &self.on),
            ("during", &self.during),
            ("misfire", &self.misfire),
            ("max_lateness", &self.max_lateness),
            ("jitter", &self.jitter),
            ("timeout", &self.timeout),
            ("retry_delay", &self.retry_delay),
            ("overlap", &self.overlap),
        ];
        const WALL: &str = "leave it out, or say clock: wall";
        for (field, _) in words.into_iter().filter(|(_, text)| text.is_some()) {
            wrong.add(field, format!("{field} has no meaning by the market's clock: {WALL}"));
        }
        if self.retries.is_some() {
            wrong.add("retries", format!("retries has no meaning by the market's clock: {WALL}"));
        }
    }
}

fn mark(field: &'static str, text: &str, wrong: &mut Mistakes) -> Option<Source> {
    let Some(by) = span::parse_or_zero(text).filter(|by| *by <= FARTHEST_MARK) else {
        wrong.add(field, format!("\"{text}\": expected 0s to 24h as 0s, 10m or 2h"));
        return None;
    };
    Some(Source::Mark(match field {
        "before_open" => Mark::BeforeOpen(by),
        "after_open" => Mark::AfterOpen(by),
        "before_close" => Mark::BeforeClose(by),
        _ => Mark::AfterClose(by),
    }))
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl Validate for Entry {
    type Context = ();

    fn validate_into(
        &self,
        (): &(),
        parent: &mut dyn FnMut() -> garde::Path,
        report: &mut garde::Report,
    ) {
        for (field, what) in self.job().err().into_iter().flatten() {
            report.append(parent().join(field), garde::Error::new(what));
        }
    }
}
