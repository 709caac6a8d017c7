//! Reports from the question to the reader: written, charted, stored, told.
//!
//! [`ReportDesk`] does one report: it has the writer write, puts rows into the database, what was
//! asked and answered into the bucket `prompts`, Markdown and HTML with charts into the bucket
//! `reports`, and tells it outward. Actors and tasks use it alike. [`drafter`] decides what is written
//! by the language model and when; [`charts`] and [`summaries`] read what a report shows beside its
//! facts.
//!
//! **Failures:** without database there are no charts, without object store no pages; both are
//! logged and the report goes out all the same.

mod ask;
pub mod charts;
pub mod drafter;
pub mod past;
pub mod shared_cache;
pub mod summaries;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::collection::wall_clock;
use super::outlet::AdviceOutlet;
use super::supervision::StageError;
use crate::llm::chart::Chart;
use crate::llm::limits::Spent;
use crate::llm::{ReportRequest, Writer, Written, document};
use crate::market::{Directory, EventTime, TimeOfDay};
use crate::messages::advice::{LlmOutcome, Report};
use crate::messages::health::{Component, HealthRegistry, HealthState};
use crate::messages::{IndexPath, StoreBatch};
use crate::store::objects::{About, Key};
use crate::store::{Bucket, Database, ObjectError, Objects, report_data};

/// Charts are waited for no longer than this.
const CHARTS_WITHIN: Duration = Duration::from_secs(3);

/// What writes, keeps and tells reports. Cheap to clone.
#[derive(Clone)]
pub struct ReportDesk {
    /// Who writes.
    pub writer: Writer,
    /// Where reports go.
    pub outlet: AdviceOutlet,
    /// Where pages and prompts are kept; `None` where nothing is.
    pub objects: Option<Objects>,
    /// What charts are read from.
    pub database: Option<Database>,
    /// The minutes of the indices, for charts.
    pub indices: IndexPath,
    /// Names of all issues; those that a report is not about must not stand in it.
    pub directory: Directory,
    /// Where it is shown how the language model does; `None` where nobody looks.
    pub health: Option<HealthRegistry>,
}

/// What came about.
#[derive(Debug, Clone)]
pub struct Produced {
    /// The report, as it was told.
    pub report: Arc<Report>,
    /// When writing it again may go better.
    pub retry_in: Option<Duration>,
}

impl ReportDesk {
    /// Writes a report within `within`, keeps it and tells it. `told`: its template has been told
    /// already, so that another one is not.
    ///
    /// # Errors
    /// When the Recorder is gone.
    pub async fn produce(
        &self,
        request: &ReportRequest,
        within: Duration,
        told: bool,
    ) -> Result<Produced, StageError> {
        if let Writer::Model(writer) = &self.writer {
            let names = self.directory.all();
            writer.know(names.iter().map(|issue| issue.name.clone()).collect());
        }
        let written = self.writer.write_within(request, within).await;
        self.show(&written);
        self.keep(request, written, told).await
    }

    /// As [`produce`](Self::produce), by the template and at once; `reason` says why although a
    /// model is set.
    ///
    /// # Errors
    /// As there.
    pub async fn by_template(
        &self,
        request: &ReportRequest,
        reason: &str,
    ) -> Result<Arc<Report>, StageError> {
        let report = Arc::new(self.writer.by_template(request, reason).report);
        self.tell(Arc::clone(&report)).await?;
        Ok(report)
    }

    /// Tells the writer what was spent today before this process began, so that a restart does not
    /// begin the day's budget anew. Without a database nothing is known, and it does.
    pub async fn resume(&self) {
        let (Writer::Model(writer), Some(database)) = (&self.writer, &self.database) else {
            return;
        };
        let now = wall_clock()();
        let midnight = EventTime::from_kst(now.session_day(), TimeOfDay::default());
        match report_data::llm_account(database, midnight, now).await {
            Ok(account) => {
                let sum = |of: fn(&(String, i64, i64, i64)) -> i64| {
                    account.iter().map(of).sum::<i64>().max(0).unsigned_abs()
                };
                let day = now.session_day().epoch_days().into();
                writer.resume(Spent {
                    day,
                    tokens: sum(|row| row.2),
                    cost_micros: sum(|row| row.3),
                });
            }
            Err(error) => {
                tracing::warn!(%error, "what the language model cost today is not known: the day's budget begins anew");
            }
        }
    }

    /// How the language model does, by its last call.
    fn show(&self, written: &Written) {
        let (Some(health), Some(last)) = (&self.health, written.usage.last()) else { return };
        let state = match last.outcome {
            LlmOutcome::Ok | LlmOutcome::Cached => HealthState::Up,
            // What its answers are worth is told by `bongsu_llm_valid_ratio`.
            LlmOutcome::Invalid => return,
            LlmOutcome::Timeout | LlmOutcome::Refused | LlmOutcome::Error => {
                HealthState::degraded(written.report.fallback_reason.clone())
            }
        };
        health.set(Component::Llm, state);
    }

    async fn keep(
        &self,
        request: &ReportRequest,
        written: Written,
        told: bool,
    ) -> Result<Produced, StageError> {
        let Written { report, document, usage, prompts, stands_in, retry_in } = written;
        let report = Arc::new(report);
        metrics::counter!("bongsu_reports_total", "rung" => report.rung.as_str()).increment(1);
        if !usage.is_empty() {
            self.outlet.store(StoreBatch::LlmUsage(usage)).await?;
        }
        let is_news = !told || !report.model.is_empty();
        if is_news {
            self.tell(Arc::clone(&report)).await?;
        }
        if let Some(objects) = &self.objects {
            for prompt in &prompts {
                let bytes = Bytes::from(prompt.json.to_string());
                let about = About::of("application/json");
                put(objects, Bucket::Prompts, &prompt.key, bytes, about).await;
            }
            // Of a report that stands in, the page that was made for it, with its charts.
            let stored = match &stands_in {
                Some(past) => stored_page(objects, past, &document.mark).await,
                None => None,
            };
            let page = match stored {
                Some(page) => page,
                None => document.html(&self.charts(request).await),
            };
            let pages = [
                ("md", "text/markdown; charset=utf-8", report.body.clone()),
                ("html", "text/html; charset=utf-8", page),
            ];
            for (end, kind, text) in pages {
                let key = page_key(&report, end);
                let about = About::of(kind)
                    .with("kind", report.kind.clone())
                    .with("rung", report.rung.as_str());
                put(objects, Bucket::Reports, &key, Bytes::from(text), about).await;
            }
        }
        Ok(Produced { report, retry_in })
    }

    /// The charts of a report; none when they cannot be had in time.
    async fn charts(&self, request: &ReportRequest) -> Vec<Chart> {
        let Some(database) = &self.database else { return Vec::new() };
        let reading = charts::of(database, &self.indices, request);
        match tokio::time::timeout(CHARTS_WITHIN, reading).await {
            Ok(Ok(charts)) => charts,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a report goes without its charts");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("a report goes without its charts: the database is too slow");
                Vec::new()
            }
        }
    }

    /// Tells a report outward, to the board and to the database.
    async fn tell(&self, report: Arc<Report>) -> Result<(), StageError> {
        self.outlet.publish(report.event()).await;
        self.outlet.board.add_report(Arc::clone(&report));
        self.outlet.store(StoreBatch::Report(report)).await
    }
}

/// The page of an earlier report with `mark` on it; `None` when it cannot be had.
async fn stored_page(objects: &Objects, past: &Report, mark: &str) -> Option<String> {
    let key: Key = page_key(past, "html").parse().ok()?;
    let found = tokio::time::timeout(CHARTS_WITHIN, objects.get(Bucket::Reports, &key, None));
    let bytes = match found.await {
        Ok(Ok(object)) => object.bytes,
        Ok(Err(error)) => {
            tracing::warn!(%key, %error, "a stored page cannot be read");
            return None;
        }
        Err(_) => {
            tracing::warn!(%key, "a stored page cannot be read: the object store is too slow");
            return None;
        }
    };
    document::marked_page(std::str::from_utf8(&bytes).ok()?, mark)
}

/// Where a page lies: `2024/08/05/crash_alert-<id>.html`, by the Korean date it is about.
#[must_use]
pub fn page_key(report: &Report, end: &str) -> String {
    let as_of = if report.as_of == EventTime::default() { None } else { Some(report.as_of) };
    let (year, month, day) = as_of.unwrap_or_default().session_day().ymd();
    format!("{year:04}/{month:02}/{day:02}/{}-{}.{end}", report.kind, report.id)
}

/// Puts an object, or keeps it until the service is back. What cannot be kept is logged: the report
/// itself is in the database.
async fn put(objects: &Objects, bucket: Bucket, key: &str, bytes: Bytes, about: About) {
    let outcome = match key.parse::<Key>() {
        Ok(key) => objects.put_or_keep(bucket, &key, bytes, about).await.map(|_| ()),
        Err(error) => Err::<(), ObjectError>(error),
    };
    if let Err(error) = outcome {
        tracing::warn!(bucket = bucket.as_str(), key, %error, "an object could not be kept");
    }
}
