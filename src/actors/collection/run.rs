//! One run: asking with patience, archiving what comes, writing, and keeping the log.

use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ask::{Asked, RawAnswer};
use super::log::{FailureLine, RunLog, RunStatus, StepLog};
use super::{CollectionParts, wall_clock};
use crate::collect::{Kind, SchemaError, naming};
use crate::kis::KisError;
use crate::kis::backoff::Backoff;
use crate::market::{EventTime, SessionDay};
use crate::store::collected::{Failure, Run, write, write_failures, write_runs};
use crate::store::objects::{About, Key};
use crate::store::{Bucket, StoreError};

/// Compression of raw answers: the library's default.
const ZSTD_LEVEL: i32 = 3;
/// Attempts to write rows.
const WRITE_ATTEMPTS: u32 = 3;

/// Why a run goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// An error that no repetition helps was noted.
    Terminal,
    /// It was told to stop.
    Stopped,
}

/// What came of asking about one subject.
pub(super) struct Told<T> {
    pub value: T,
    /// Where the raw answer lies, `raw-data/…`; empty in a dry run.
    pub payload_ref: String,
}

pub(super) struct Runner<'a> {
    pub parts: &'a CollectionParts,
    pub stop: &'a CancellationToken,
    pub id: String,
    /// The market's time at the start, and its day.
    pub day: SessionDay,
    pub step: StepLog,
    job: &'a str,
    planned: EventTime,
    started: EventTime,
    raw_answers: usize,
    done: Vec<StepLog>,
    runs: Vec<Run>,
}

impl<'a> Runner<'a> {
    pub fn new(
        parts: &'a CollectionParts,
        job: &'a str,
        planned: EventTime,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            parts,
            stop,
            id: naming::run_id(job, planned),
            day: (parts.clock)().session_day(),
            step: StepLog::new("token"),
            job,
            planned,
            started: wall_clock()(),
            raw_answers: 0,
            done: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Does the run.
    pub async fn run(mut self) -> RunLog {
        let running = self.row(self.id.clone(), "collect".to_owned(), "running", None);
        self.write_runs(vec![running]).await;
        let end = self.steps().await.err();
        let failed = self.done.iter().any(|step| step.failed > 0);
        let status = match end {
            Some(End::Stopped) => RunStatus::Stopped,
            Some(End::Terminal) => RunStatus::Failed,
            None if failed => RunStatus::Partial,
            None => RunStatus::Done,
        };
        let finished = wall_clock()();
        let log = RunLog {
            id: self.id.clone(),
            job: self.job.to_owned(),
            planned: self.planned.rfc3339(),
            day: self.day,
            status,
            dry_run: self.parts.database.is_none(),
            raw_answers: self.raw_answers as u64,
            steps: std::mem::take(&mut self.done),
            started_at: self.started.rfc3339(),
            finished_at: finished.rfc3339(),
        };
        let mut runs = std::mem::take(&mut self.runs);
        let mut whole =
            self.row(self.id.clone(), "collect".to_owned(), status.as_str(), Some(finished));
        whole.rows_in = log.sum(|step| step.rows_in);
        whole.rows_out = log.sum(|step| step.rows_out);
        whole.rejects = log.sum(|step| step.failed);
        whole.detail = log.summary();
        runs.push(whole);
        self.write_runs(runs).await;
        self.write_log(&log).await;
        log
    }

    fn row(
        &self,
        id: String,
        kind: String,
        status: &'static str,
        finished_at: Option<EventTime>,
    ) -> Run {
        Run {
            id,
            kind,
            status,
            rows_in: 0,
            rows_out: 0,
            rejects: 0,
            detail: format!("{} planned for {}", self.job, self.planned.rfc3339()),
            started_at: self.started,
            finished_at,
        }
    }

    /// Begins a step; [`Self::end_step`] ends it.
    pub fn begin(&mut self, name: &'static str) -> (Instant, EventTime) {
        self.step = StepLog::new(name);
        (Instant::now(), wall_clock()())
    }

    /// Ends the step with what came of it.
    pub async fn end_step(
        &mut self,
        (since, started_at): (Instant, EventTime),
        outcome: Result<(), End>,
    ) -> Result<(), End> {
        let mut step = std::mem::replace(&mut self.step, StepLog::new(""));
        step.millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Ok(()) => {}
            Err(End::Terminal) => step.status = RunStatus::Failed,
            Err(End::Stopped) => step.status = RunStatus::Stopped,
        }
        tracing::info!(
            run = self.id,
            step = step.name,
            status = step.status.as_str(),
            rows_in = step.rows_in,
            rows_out = step.rows_out,
            failed = step.failed,
            "a step of the collection has ended"
        );
        self.runs.push(Run {
            id: format!("{}:{}", self.id, step.name),
            kind: format!("collect.{}", step.name),
            status: step.status.as_str(),
            rows_in: step.rows_in,
            rows_out: step.rows_out,
            rejects: step.failed,
            detail: step.skipped.unwrap_or_default().to_owned(),
            started_at,
            finished_at: Some(wall_clock()()),
        });
        self.write_failures(&step).await;
        self.done.push(step);
        outcome
    }

    /// Asks about `subject` until it is told, with growing pauses, as often as patience allows.
    /// `mask` is what the archive may keep of a body. `None`: it failed, and that is noted.
    ///
    /// # Errors
    /// Why the run ends.
    pub async fn ask<T, F: Future<Output = Asked<T>>>(
        &mut self,
        subject: &str,
        mask: impl Fn(&RawAnswer) -> Bytes,
        ask: impl Fn() -> F,
    ) -> Result<Option<Told<T>>, End> {
        let patience = self.parts.patience;
        let mut backoff = Backoff::new(patience.first, patience.most);
        for tried in 1.. {
            let asked = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(End::Stopped),
                asked = ask() => asked,
            };
            let mut payload_ref = String::new();
            let mut endpoint = "token";
            for raw in &asked.raws {
                endpoint = raw.endpoint;
                payload_ref = self.archive(subject, raw, mask(raw)).await;
            }
            let error = match asked.result {
                Ok(value) => return Ok(Some(Told { value, payload_ref })),
                Err(error) => error,
            };
            if error.is_retryable() && tried < patience.attempts {
                let pause = backoff.pause();
                tracing::warn!(subject, %error, ?pause, "collection asks again");
                self.pause(pause).await?;
                continue;
            }
            self.fail(endpoint, subject, error.outcome(), &error, payload_ref);
            return if error.is_terminal() { Err(End::Terminal) } else { Ok(None) };
        }
        unreachable!("the loop above ends by returning")
    }

    /// Waits, unless told to stop.
    pub async fn pause(&self, pause: Duration) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(End::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Notes a failure.
    pub fn fail(
        &mut self,
        endpoint: &str,
        subject: &str,
        reason: &str,
        error: &dyn std::fmt::Display,
        payload_ref: String,
    ) {
        tracing::warn!(endpoint, subject, reason, %error, "collection failed for this subject");
        self.step.fail(FailureLine {
            endpoint: endpoint.to_owned(),
            subject: subject.to_owned(),
            reason: reason.to_owned(),
            detail: error.to_string(),
            payload_ref,
        });
    }

    /// Checks and writes a batch of `kind` about `subject`.
    pub async fn store(
        &mut self,
        kind: Kind,
        subject: &str,
        batch: Result<RecordBatch, SchemaError>,
        payload_ref: String,
    ) -> Result<(), End> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                self.fail(kind.as_str(), subject, "schema", &error, payload_ref);
                return Ok(());
            }
        };
        self.step.rows_in += batch.num_rows() as u64;
        let Some(database) = &self.parts.database else { return Ok(()) };
        let mut backoff = Backoff::new(self.parts.patience.first, self.parts.patience.most);
        for tried in 1.. {
            match write(database, kind, &batch).await {
                Ok(written) => {
                    self.step.rows_out += written.written;
                    self.step.kept += written.kept;
                    let table = if kind == Kind::Bars { "market_prices" } else { "trade_logs" };
                    metrics::counter!("bongsu_store_rows_total", "table" => table)
                        .increment(written.written);
                    return Ok(());
                }
                Err(error @ StoreError::Statement { .. }) if tried < WRITE_ATTEMPTS => {
                    let pause = backoff.pause();
                    tracing::warn!(subject, %error, ?pause, "collected rows are written again");
                    self.pause(pause).await?;
                }
                Err(error) => {
                    self.fail(kind.as_str(), subject, "database", &error, payload_ref);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Puts a body into the archive; returns where it lies.
    async fn archive(&mut self, subject: &str, raw: &RawAnswer, body: Bytes) -> String {
        self.raw_answers += 1;
        let Some(objects) = &self.parts.objects else { return String::new() };
        let name = naming::raw_key(self.day, raw.endpoint, subject, &self.id, self.raw_answers);
        let about = About::of("application/zstd")
            .with("endpoint", raw.endpoint)
            .with("http-status", raw.status.to_string());
        let packed = zstd::bulk::compress(&body, ZSTD_LEVEL).map(Bytes::from);
        let outcome = match (name.parse::<Key>(), packed) {
            (Ok(key), Ok(packed)) => objects
                .put_or_keep(Bucket::RawData, &key, packed, about)
                .await
                .map_err(|error| error.to_string()),
            (Err(error), _) => Err(error.to_string()),
            (_, Err(error)) => Err(format!("cannot compress it: {error}")),
        };
        match outcome {
            Ok(_) => format!("{}/{name}", Bucket::RawData.as_str()),
            Err(error) => {
                self.fail(raw.endpoint, subject, "archive", &error, String::new());
                String::new()
            }
        }
    }

    async fn write_log(&self, log: &RunLog) {
        let Some(objects) = &self.parts.objects else { return };
        let (key, text) = (naming::log_key(&self.id).parse(), serde_json::to_vec_pretty(log));
        let outcome = match (key, text) {
            (Ok(key), Ok(text)) => objects
                .put_or_keep(Bucket::RawData, &key, text.into(), About::of("application/json"))
                .await
                .map_err(|error| error.to_string()),
            (Err(error), _) => Err(error.to_string()),
            (_, Err(error)) => Err(error.to_string()),
        };
        if let Err(error) = outcome {
            tracing::error!(run = self.id, error, "the run log could not be stored");
        }
    }

    async fn write_runs(&self, runs: Vec<Run>) {
        let Some(database) = &self.parts.database else { return };
        if let Err(error) = write_runs(database, &runs).await {
            tracing::error!(run = self.id, %error, "the run is not in etl_runs");
        }
    }

    async fn write_failures(&self, step: &StepLog) {
        let Some(database) = &self.parts.database else { return };
        let failures: Vec<Failure> = step
            .failures
            .iter()
            .map(|line| Failure {
                run: self.id.clone(),
                endpoint: line.endpoint.clone(),
                subject: line.subject.clone(),
                reason: line.reason.clone(),
                detail: line.detail.clone(),
                payload_ref: line.payload_ref.clone(),
            })
            .collect();
        if let Err(error) = write_failures(database, &failures).await {
            tracing::error!(run = self.id, %error, "failures of the collection are only in this log");
        }
    }

    /// Notes that no token could be had.
    pub fn no_token(&mut self, error: &KisError) -> End {
        self.fail("token", "app key", error.outcome(), error, String::new());
        End::Terminal
    }
}
