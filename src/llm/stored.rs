//! Reports of the model that stand in for a newer one: the last but one step of the ladder.
//!
//! The newest ones are remembered here. Behind them stands the place where all reports are kept
//! ([`PastReports`]), so that a restart, or another process, does not begin with nothing. Only a text
//! that the model itself wrote and the guard passed stands in, never one that stood in before: its age
//! is that of the text. A place that is away or slow is passed over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::messages::advice::{Report, Rung};

use super::cache::Answer;
use super::mask::Masker;

/// Reports that are remembered.
const REMEMBERED: usize = 256;
/// The place where all are kept is waited for no longer than this.
const PATIENCE: Duration = Duration::from_millis(800);
/// What the last steps take where nothing is looked for.
const LAST_STEPS: Duration = Duration::from_millis(100);

/// A report of before.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// As it was told.
    pub report: Arc<Report>,
    /// Since it was written, by the wall clock.
    pub age: Duration,
}

/// Where reports are kept beyond the process.
pub trait PastReports: Send + Sync + std::fmt::Debug {
    /// The newest report of this kind on this subject that the model wrote, no older than
    /// `max_age`; `None` also when the place is away.
    fn newest<'a>(
        &'a self,
        kind: &'a str,
        subject: &'a str,
        max_age: Duration,
    ) -> Answer<'a, Option<Past>>;
}

/// What a writer knows of earlier reports.
#[derive(Debug)]
pub(super) struct Stored {
    max_age: Duration,
    own: Mutex<VecDeque<(Instant, Arc<Report>)>>,
    past: Option<Arc<dyn PastReports>>,
}

impl Stored {
    pub(super) fn new(max_age: Duration, past: Option<Arc<dyn PastReports>>) -> Self {
        Self { max_age, own: Mutex::default(), past }
    }

    /// What the steps behind the model may take: kept free of the deadline.
    pub(super) fn patience(&self) -> Duration {
        match self.past {
            Some(_) if !self.max_age.is_zero() => PATIENCE,
            _ => LAST_STEPS,
        }
    }

    pub(super) fn remember(&self, report: &Report) {
        let mut own = self.own.lock();
        own.retain(|(at, kept)| {
            let same = kept.kind == report.kind && kept.subject == report.subject;
            !same && at.elapsed() < self.max_age
        });
        own.push_back((Instant::now(), Arc::new(report.clone())));
        while own.len() > REMEMBERED {
            own.pop_front();
        }
    }

    /// The newest report of the model of this kind on this subject. What another process or an
    /// earlier one wrote is masked anew: what is secret may have been set since.
    pub(super) async fn newest(&self, kind: &str, subject: &str, masker: &Masker) -> Option<Past> {
        if self.max_age.is_zero() {
            return None;
        }
        if let Some(past) = self.remembered(kind, subject) {
            return Some(past);
        }
        let past = self.past.as_ref()?;
        let found = past.newest(kind, subject, self.max_age);
        let found = tokio::time::timeout(PATIENCE, found).await.ok()??;
        let fits = found.report.kind == kind
            && found.report.subject == subject
            && found.age < self.max_age
            && matches!(found.report.rung, Rung::Model | Rung::Cached | Rung::Repaired);
        fits.then(|| {
            let mut report = Report::clone(&found.report);
            report.title = masker.mask(&report.title);
            report.body = masker.mask(&report.body);
            Past { report: Arc::new(report), age: found.age }
        })
    }

    fn remembered(&self, kind: &str, subject: &str) -> Option<Past> {
        let own = self.own.lock();
        let of_it = |(at, report): &(Instant, Arc<Report>)| {
            let age = at.elapsed();
            let fits = report.kind == kind && report.subject == subject;
            (fits && age < self.max_age).then(|| Past { report: Arc::clone(report), age })
        };
        own.iter().rev().find_map(of_it)
    }
}

/// How an age is said: minutes up to two hours, then hours, then days; never less than it is.
pub(super) fn age_in_words(age: Duration) -> String {
    let minutes = age.as_secs().div_ceil(60).max(1);
    match minutes {
        0..120 => format!("{minutes}분"),
        120..2_880 => format!("{}시간", minutes.div_ceil(60)),
        _ => format!("{}일", minutes.div_ceil(1_440)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::examples::alert;
    use crate::llm::{Document, facts::Facts};

    #[derive(Debug)]
    struct Kept(Option<Past>);

    impl PastReports for Kept {
        fn newest<'a>(&'a self, _: &'a str, _: &'a str, _: Duration) -> Answer<'a, Option<Past>> {
            Box::pin(async move { self.0.clone() })
        }
    }

    #[derive(Debug)]
    struct Away;

    impl PastReports for Away {
        fn newest<'a>(&'a self, _: &'a str, _: &'a str, _: Duration) -> Answer<'a, Option<Past>> {
            Box::pin(std::future::pending())
        }
    }

    fn report(rung: Rung) -> Report {
        let facts = Facts::of(&alert());
        Document::of_model(&facts, &["계좌 12345678-01의 글".to_owned()], "m")
            .report(&facts, rung, "", "m")
    }

    fn stored(rung: Rung, minutes: u64) -> Stored {
        let age = Duration::from_secs(minutes * 60);
        let past = Past { report: Arc::new(report(rung)), age };
        Stored::new(Duration::from_secs(3_600), Some(Arc::new(Kept(Some(past)))))
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_models_own_text_stands_in_and_not_for_ever() {
        let wanted = report(Rung::Model);
        let (kind, subject) = (wanted.kind.as_str(), wanted.subject.as_str());
        let masker = Masker::default();
        for (rung, minutes, stands) in [
            (Rung::Model, 5, true),
            (Rung::Repaired, 59, true),
            (Rung::Cached, 5, true),
            (Rung::Model, 60, false),
            (Rung::Stored, 5, false),
            (Rung::Template, 5, false),
        ] {
            let found = stored(rung, minutes).newest(kind, subject, &masker).await;
            assert_eq!(found.is_some(), stands, "{rung:?} {minutes}");
            let body = found.map(|past| past.report.body.clone()).unwrap_or_default();
            assert!(!body.contains("12345678-01"), "{body}");
        }
        assert!(stored(Rung::Model, 5).newest(kind, "another", &masker).await.is_none());
        assert!(stored(Rung::Model, 5).newest("another", subject, &masker).await.is_none());
        let away = Stored::new(Duration::from_secs(60), Some(Arc::new(Away)));
        let began = Instant::now();
        assert!(away.newest(kind, subject, &masker).await.is_none());
        assert_eq!((began.elapsed(), away.patience()), (PATIENCE, PATIENCE));
        let none = Stored::new(Duration::ZERO, Some(Arc::new(Away)));
        assert!(none.newest(kind, subject, &masker).await.is_none());
        assert_eq!(none.patience(), LAST_STEPS);
    }

    #[test]
    fn ages() {
        for (seconds, words) in [
            (0, "1분"),
            (61, "2분"),
            (7_140, "119분"),
            (7_141, "2시간"),
            (90_000, "25시간"),
            (172_800, "2일"),
            (172_801, "3일"),
        ] {
            assert_eq!(age_in_words(Duration::from_secs(seconds)), words, "{seconds}");
        }
    }
}
