//! Drafter: what the language model writes, and when.
//!
//! The LlmSummarizer tells a crash by template at once and hands the rest over here, so that no
//! alert ever waits for a model. In: [`Draft`]s. Out: reports through the [`ReportDesk`].
//!
//! - Alerts are drafted one by one up to a number a minute; beyond it they are gathered, and told
//!   together in one digest ([`DraftOptions::digest_after`] after the first). Each of them is a stored
//!   event and a report by template already.
//! - Other reports on the same subject are written by the model once in
//!   [`DraftOptions::refresh`]; in between by the template.
//! - A report that the model failed to write is tried again, at the time the failure names, up to
//!   three times, while it is news.
//!
//! **Limits:** so many at once, so many that wait for another try, so many in a digest. **Stop:**
//! what is being asked is dropped, what was not told yet goes out by template.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Produced, ReportDesk};
use crate::actors::supervision::{Inbox, StageError};
use crate::llm::{ReportRequest, Writer};
use crate::messages::OutwardEvent;

/// Alerts gathered for one digest.
const MAX_GATHERED: usize = 2_000;
/// Drafts that wait for another try.
const MAX_RETRIES: usize = 64;
/// Tries of one report after the first.
const TRIES: u32 = 3;
/// Subjects whose last writing is remembered.
const MAX_SUBJECTS: usize = 1_024;
/// A report that could not be written for so long is no news any more.
const NEWS_FOR: Duration = Duration::from_secs(1_800);

/// A report to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What about.
    pub request: Arc<ReportRequest>,
    /// Whether its template has been told already.
    pub told: bool,
}

/// How much is written, and how often.
#[derive(Debug, Clone, Copy)]
pub struct DraftOptions {
    /// Reports in work at once.
    pub at_once: usize,
    /// Alerts drafted one by one within a minute.
    pub alerts_per_minute: u32,
    /// How long alerts beyond that are gathered.
    pub digest_after: Duration,
    /// How often the model writes on the same subject.
    pub refresh: Duration,
}

impl Default for DraftOptions {
    fn default() -> Self {
        Self {
            at_once: 4,
            alerts_per_minute: 6,
            digest_after: Duration::from_secs(30),
            refresh: Duration::from_secs(600),
        }
    }
}

/// Drafts with the same key replace each other while they wait.
#[must_use]
pub fn key(draft: &Arc<Draft>) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    draft.request.kind().hash(&mut hasher);
    match &*draft.request {
        ReportRequest::Alert { event, .. } => event.id.hash(&mut hasher),
        other => subject(other).hash(&mut hasher),
    }
    hasher.finish()
}

/// What a report is about, within its kind.
pub(crate) fn subject(request: &ReportRequest) -> &str {
    match request {
        ReportRequest::Alert { event, .. } => &event.subject,
        ReportRequest::Recommendation(set) => &set.scenario,
        ReportRequest::Mitigation(plan) => &plan.subject,
        ReportRequest::MarketRisk(_)
        | ReportRequest::Digest(_)
        | ReportRequest::WeeklyReview(_) => "",
    }
}

/// What the Drafter is made of.
#[derive(Clone)]
pub struct DrafterParts {
    /// Writes, keeps and tells.
    pub desk: ReportDesk,
    /// Drafts to be written.
    pub inbox: Inbox<Arc<Draft>>,
    /// How much and how often.
    pub options: DraftOptions,
}

/// A draft with its history.
#[derive(Debug, Clone)]
struct Job {
    draft: Draft,
    tries: u32,
    since: Instant,
}

type Finished = Result<Produced, StageError>;

struct Drafter {
    parts: DrafterParts,
    running: JoinSet<Finished>,
    jobs: HashMap<Id, Job>,
    /// When alerts were drafted one by one, within the last minute.
    recent: VecDeque<Instant>,
    gathered: Vec<Arc<OutwardEvent>>,
    gathered_since: Option<Instant>,
    retries: Vec<(Instant, Job)>,
    /// When the model last wrote, by kind and subject.
    written: HashMap<(&'static str, String), Instant>,
}

/// Writes drafts until it is asked to stop or the inbox is closed.
///
/// # Errors
/// When the Recorder is gone.
pub async fn run_drafter(parts: DrafterParts, stop: CancellationToken) -> Result<(), StageError> {
    let mut drafter = Drafter {
        parts,
        running: JoinSet::new(),
        jobs: HashMap::new(),
        recent: VecDeque::new(),
        gathered: Vec::new(),
        gathered_since: None,
        retries: Vec::new(),
        written: HashMap::new(),
    };
    drafter.parts.desk.resume().await;
    let inbox = drafter.parts.inbox.clone();
    loop {
        let has_room = drafter.running.len() < drafter.parts.options.at_once.max(1);
        let due = drafter.next_due();
        tokio::select! {
            biased;
            () = stop.cancelled() => return drafter.stop().await,
            Some(done) = drafter.running.join_next_with_id(), if !drafter.running.is_empty() => {
                drafter.finish(done)?;
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && has_room => {
                drafter.take_due();
            }
            draft = inbox.recv(), if has_room => match draft {
                Some(draft) => drafter.take(Draft::clone(&draft)).await?,
                None => return drafter.stop().await,
            },
        }
    }
}

impl Drafter {
    const fn has_model(&self) -> bool {
        matches!(self.parts.desk.writer, Writer::Model(_))
    }

    /// When the next digest or retry is due.
    fn next_due(&self) -> Option<Instant> {
        let digest = self.gathered_since.map(|since| since + self.parts.options.digest_after);
        let retry = self.retries.iter().map(|(at, _)| *at).min();
        digest.into_iter().chain(retry).min()
    }

    fn take_due(&mut self) {
        let now = Instant::now();
        if self.gathered_since.is_some_and(|since| since + self.parts.options.digest_after <= now) {
            self.gathered_since = None;
            let events = std::mem::take(&mut self.gathered);
            let request = Arc::new(ReportRequest::Digest(events));
            self.start(Job { draft: Draft { request, told: false }, tries: 0, since: now });
        }
        if let Some(index) = self.retries.iter().position(|(at, _)| *at <= now) {
            let (_, job) = self.retries.swap_remove(index);
            self.start(job);
        }
    }

    async fn take(&mut self, draft: Draft) -> Result<(), StageError> {
        if let ReportRequest::Alert { event, .. } = &*draft.request
            && !self.may_draft_alert()
        {
            let event = Arc::clone(event);
            return self.gather(event, &draft).await;
        }
        let now = Instant::now();
        let place = (draft.request.kind(), subject(&draft.request).to_owned());
        let refresh = self.parts.options.refresh;
        let is_alert = matches!(&*draft.request, ReportRequest::Alert { .. });
        let fresh = self.written.get(&place).is_some_and(|at| now.duration_since(*at) < refresh);
        if !is_alert && fresh {
            if !draft.told {
                let reason = match self.has_model() {
                    true => "언어 모델은 같은 대상에 대해 정해진 간격으로만 씀",
                    false => "",
                };
                self.parts.desk.by_template(&draft.request, reason).await?;
            }
            return Ok(());
        }
        if !is_alert {
            self.written.retain(|_, at| now.duration_since(*at) < refresh);
            if self.written.len() < MAX_SUBJECTS {
                self.written.insert(place, now);
            }
        }
        self.start(Job { draft, tries: 0, since: now });
        Ok(())
    }

    /// Whether one more alert may be drafted by itself within this minute.
    fn may_draft_alert(&mut self) -> bool {
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now.duration_since(*at).as_secs() >= 60) {
            self.recent.pop_front();
        }
        let allowed = self.recent.len() < self.parts.options.alerts_per_minute as usize;
        if allowed {
            self.recent.push_back(now);
        }
        allowed
    }

    /// Puts an alert into the digest; what finds no room there is told by its template alone.
    async fn gather(&mut self, event: Arc<OutwardEvent>, draft: &Draft) -> Result<(), StageError> {
        if !draft.told {
            self.parts.desk.by_template(&draft.request, "").await?;
        }
        if self.gathered.len() < MAX_GATHERED {
            self.gathered.push(event);
            self.gathered_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn start(&mut self, job: Job) {
        let desk = self.parts.desk.clone();
        let draft = job.draft.clone();
        let handle = self
            .running
            .spawn(async move { desk.produce(&draft.request, Duration::MAX, draft.told).await });
        self.jobs.insert(handle.id(), job);
    }

    fn finish(
        &mut self,
        done: Result<(Id, Finished), tokio::task::JoinError>,
    ) -> Result<(), StageError> {
        let (id, finished) = match done {
            Ok(done) => done,
            Err(error) => {
                self.jobs.remove(&error.id());
                // A panic in one report is that report's.
                tracing::error!(%error, "a report was lost while it was written");
                return Ok(());
            }
        };
        let Some(mut job) = self.jobs.remove(&id) else { return Ok(()) };
        let produced = finished?;
        let Some(wait) = produced.retry_in.filter(|_| self.has_model()) else { return Ok(()) };
        job.tries += 1;
        // What came out was told; only the model's own text is news now.
        job.draft.told = true;
        let at = Instant::now() + wait;
        let is_news = at.duration_since(job.since) < NEWS_FOR;
        if job.tries <= TRIES && is_news && self.retries.len() < MAX_RETRIES {
            self.retries.push((at, job));
        }
        Ok(())
    }

    /// Drops what is being asked; what was not told yet goes out by template.
    async fn stop(mut self) -> Result<(), StageError> {
        self.running.abort_all();
        let mut left: Vec<Draft> = self.jobs.drain().map(|(_, job)| job.draft).collect();
        while let Some(draft) = self.parts.inbox.try_recv() {
            left.push(Draft::clone(&draft));
        }
        if !self.gathered.is_empty() {
            let request = Arc::new(ReportRequest::Digest(std::mem::take(&mut self.gathered)));
            left.push(Draft { request, told: false });
        }
        for draft in left.into_iter().filter(|draft| !draft.told) {
            self.parts.desk.by_template(&draft.request, "").await?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "drafter_tests.rs"]
mod tests;
