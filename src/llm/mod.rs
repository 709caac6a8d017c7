//! Reports in Korean: from facts to text, by a template or by a language model under guard.
//!
//! In: a [`ReportRequest`] (an event, picks, a plan, the market). Out: always a
//! [`Report`], and for a model an [`LlmUsage`]. The facts are put into one table ([`facts`]);
//! the template prints it, the prompt holds it, and an answer may state nothing that is not in it
//! ([`guard`]).
//!
//! A model gets two tries within one deadline: its first answer, and one repair with the error
//! quoted. After that, on any failure of the endpoint, or when the deadline passes, the template
//! is used and says why. Several failures in a row open a circuit: the endpoint is left alone for
//! a while. Nothing here panics on what an endpoint says.
//!
//! Limits: an answer's body is bounded by the deadline and the token limit asked for, not by bytes
//! read; the client library logs a body it cannot read under the target `async_openai`, which a
//! subscriber should filter out.

mod alert_facts;
pub mod clean;
mod endpoint;
pub mod facts;
pub mod guard;
pub mod model;
pub mod numbers;
pub mod prompt;
pub mod request;
pub mod template;

use std::sync::Arc;

pub use endpoint::OptionsError;
pub use model::{ModelOptions, ModelWriter};
pub use request::{MarketSummary, ReportRequest, SummaryRow};

use crate::messages::advice::{LlmUsage, Report};
use facts::Facts;

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
    /// Writes the report. For a template the usage is `None`; for a model it is `None` only when
    /// the circuit is open and nothing was asked.
    pub async fn write(&self, request: ReportRequest) -> (Report, Option<LlmUsage>) {
        let facts = Facts::of(&request);
        match self {
            Self::Template => (template::fill(&facts, ""), None),
            Self::Model(writer) => writer.write(&facts).await,
        }
    }
}

#[cfg(test)]
pub(crate) mod examples;
