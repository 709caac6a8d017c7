//! The log of a run: what was done, how long it took, what failed.

use serde::Serialize;

use crate::market::SessionDay;

/// Failures told in a log, at most; all of them are in `etl_failures`.
const MOST_LINES: usize = 1_000;

/// How a run or a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// All was collected.
    Done,
    /// Some subjects failed.
    Partial,
    /// It ended early.
    Failed,
    /// It was cut off by a stop.
    Stopped,
}

impl RunStatus {
    /// As in `etl_runs`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// Something that could not be collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureLine {
    /// Endpoint asked.
    pub endpoint: String,
    /// Issue, or the account's pseudonym.
    pub subject: String,
    /// Short machine-readable reason.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// Where the raw answer lies; empty when there was none.
    pub payload_ref: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepLog {
    /// `token`, `universe`, `prices`, `executions` or `orders`.
    pub name: &'static str,
    /// How it ended.
    pub status: RunStatus,
    /// Why it was left out, when it was.
    pub skipped: Option<&'static str>,
    /// Issues or accounts asked about.
    pub subjects: u64,
    /// Records read.
    pub rows_in: u64,
    /// Rows that are new or changed; in a dry run none.
    pub rows_out: u64,
    /// Rows left as they are stored.
    pub kept: u64,
    /// Trades that stay in the raw archive alone, because their identity was not certain.
    pub unidentified: u64,
    /// Duration, milliseconds.
    pub millis: u64,
    /// What failed.
    pub failed: u64,
    /// The first thousand of it.
    pub failures: Vec<FailureLine>,
}

impl StepLog {
    /// A step that begins.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            status: RunStatus::Done,
            skipped: None,
            subjects: 0,
            rows_in: 0,
            rows_out: 0,
            kept: 0,
            unidentified: 0,
            millis: 0,
            failed: 0,
            failures: Vec::new(),
        }
    }

    /// Notes a failure.
    pub(super) fn fail(&mut self, line: FailureLine) {
        self.failed += 1;
        if self.status == RunStatus::Done {
            self.status = RunStatus::Partial;
        }
        if self.failures.len() < MOST_LINES {
            self.failures.push(line);
        }
    }
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLog {
    /// Id, from job and planned time.
    pub id: String,
    /// Job.
    pub job: String,
    /// Planned time, RFC 3339.
    pub planned: String,
    /// Day it was done for.
    pub day: SessionDay,
    /// How it ended.
    pub status: RunStatus,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Raw answers, archived but in a dry run.
    pub raw_answers: u64,
    /// The steps that were begun.
    pub steps: Vec<StepLog>,
    /// Start, RFC 3339.
    pub started_at: String,
    /// End, RFC 3339.
    pub finished_at: String,
}

impl RunLog {
    /// The sum of `of` over the steps.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&StepLog) -> u64) -> u64 {
        self.steps.iter().map(of).sum()
    }

    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{}: {} records read, {} rows written, {} kept, {} raw answers",
            self.status.as_str(),
            self.sum(|step| step.rows_in),
            self.sum(|step| step.rows_out),
            self.sum(|step| step.kept),
            self.raw_answers,
        );
        if self.dry_run {
            text.push_str(", dry run");
        }
        let unidentified = self.sum(|step| step.unidentified);
        if unidentified > 0 {
            text.push_str(&format!(", {unidentified} trades without certain identity"));
        }
        for step in self.steps.iter().filter(|step| step.skipped.is_some()) {
            let why = step.skipped.unwrap_or_default();
            text.push_str(&format!(", {} left out ({why})", step.name));
        }
        if let Some(first) = self.steps.iter().find_map(|step| step.failures.first()) {
            let failed = self.sum(|step| step.failed);
            text.push_str(&format!(
                ", {failed} failed: {} of {}: {}",
                first.endpoint, first.subject, first.detail
            ));
        }
        text
    }
}
