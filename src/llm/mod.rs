//! Reports in Korean: from facts to text, by a template or by a language model under guard.
//!
//! In: a [`ReportRequest`] (an event, picks, a plan, the market, a week). Out: always a
//! well-formed [`Report`] within the deadline, which says by its [`rung`](Report::rung) how it came
//! about; and for a model the account and the record of each call ([`Written`]).
//!
//! 1. The facts are put into one table with ids ([`facts`]), without what is secret ([`mask`]).
//! 2. The prompt holds the table; an answer cites an id behind every figure ([`prompt`]).
//! 3. The answer is read leniently ([`answer`]) and judged strictly ([`guard`]): a figure must state
//!    the very fact it cites. One repair, with the error quoted.
//! 4. What does not hold within the deadline is replaced by the next step of the ladder
//!    ([`writer`]): cache, answer, repaired answer, newest report on the same subject, template.
//! 5. Below the sentences stand the facts as computed ([`document`]).
//!
//! Limits: those of [`limits`], a mebibyte of an answer, the context of the model. Failures of the
//! endpoint are data: nothing here panics on what it says, and its own words go masked.

pub mod answer;
pub mod archive;
pub mod cache;
mod call;
pub mod chart;
mod conversation;
pub mod document;
mod endpoint;
pub mod facts;
pub mod guard;
pub mod lenient;
pub mod limits;
pub mod mask;
pub mod prices;
pub mod prompt;
pub mod quantity;
pub mod request;
pub mod scan;
pub mod stored;
mod tokens;
pub mod words;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use archive::PromptRecord;
pub use cache::SharedCache;
pub use document::Document;
pub use endpoint::OptionsError;
pub use request::{MarketSummary, ReportRequest, SummaryRow, WeekSummary};
pub use stored::PastReports;
pub use writer::{ModelOptions, ModelWriter};

use crate::messages::advice::{LlmUsage, Report, Rung};
use facts::Facts;
use mask::Masker;

/// A report, and what came about on the way to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The report.
    pub report: Report,
    /// The same to be printed.
    pub document: Document,
    /// Calls made, spared or forbidden.
    pub usage: Vec<LlmUsage>,
    /// Calls to be kept.
    pub prompts: Vec<PromptRecord>,
    /// The earlier report that stands in.
    pub stands_in: Option<Arc<Report>>,
    /// When asking again may go better; `None` when there is no reason to.
    pub retry_in: Option<Duration>,
}

/// Who writes the reports. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Writer {
    /// Templates; deterministic and at once.
    #[default]
    Template,
    /// A language model, with the templates behind it.
    Model(Arc<ModelWriter>),
}

impl Writer {
    /// Writes the report within the writer's own deadline.
    pub async fn write(&self, request: &ReportRequest) -> Written {
        self.write_within(request, Duration::MAX).await
    }

    /// Writes the report within `within`, or the writer's own deadline when that is shorter.
    pub async fn write_within(&self, request: &ReportRequest, within: Duration) -> Written {
        match self {
            Self::Template => self.by_template(request, ""),
            Self::Model(writer) => {
                let facts = Facts::masked(request, writer.masker());
                writer.write(&facts, request.task(), within).await
            }
        }
    }

    /// The report by template, at once; `reason` says why although a model is set.
    #[must_use]
    pub fn by_template(&self, request: &ReportRequest, reason: &str) -> Written {
        let facts = match self {
            Self::Template => Facts::masked(request, &Masker::default()),
            Self::Model(writer) => Facts::masked(request, writer.masker()),
        };
        let document = Document::of_template(&facts);
        let report = document.report(&facts, Rung::Template, reason, "");
        Written {
            report,
            document,
            usage: Vec::new(),
            prompts: Vec::new(),
            stands_in: None,
            retry_in: None,
        }
    }
}

/// The report that says that there is none yet: what it would rest on cannot be had.
#[must_use]
pub fn retrying(kind: &str, subject: &str, why: &str, retry_in: Duration) -> Report {
    let seconds = u32::try_from(retry_in.as_secs()).unwrap_or(u32::MAX).max(1);
    let body = format!(
        "재시도중: {}\n\n{seconds}초 뒤에 다시 시도합니다.\n\n---\n\n{}\n",
        facts::plain(why),
        document::DISCLAIMER
    );
    Report {
        id: crate::market::identity::deterministic_id(&["report", kind, subject, "retrying"]),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        title: "재시도중".to_owned(),
        body,
        as_of: crate::market::EventTime::default(),
        origin: crate::messages::advice::ReportOrigin::Template,
        rung: Rung::Retrying,
        fallback_reason: why.to_owned(),
        retry_in_s: Some(seconds),
        model: String::new(),
        sources: Vec::new(),
    }
}

#[cfg(test)]
pub(crate) mod examples;
