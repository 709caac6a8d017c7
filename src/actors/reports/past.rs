//! Reports of earlier processes, from the table `reports`: what stands in when the language model
//! does not answer after a restart.

use std::time::Duration;

use super::super::collection::wall_clock;
use crate::llm::cache::Answer;
use crate::llm::stored::{Past, PastReports};
use crate::store::{Database, read};

/// The reports of a database.
pub struct StoredReports(pub Database);

impl std::fmt::Debug for StoredReports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredReports")
    }
}

impl PastReports for StoredReports {
    fn newest<'a>(
        &'a self,
        kind: &'a str,
        subject: &'a str,
        max_age: Duration,
    ) -> Answer<'a, Option<Past>> {
        Box::pin(async move {
            let now = wall_clock()();
            let micros = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
            let since = now.plus_micros(-micros);
            match read::newest_of_model(&self.0, kind, subject, since).await {
                Ok(found) => found.map(|(report, written_at)| {
                    let age = now.micros().saturating_sub(written_at.micros()).max(0);
                    let age = Duration::from_micros(age.unsigned_abs());
                    Past { report: report.into(), age }
                }),
                Err(error) => {
                    tracing::warn!(%error, "no earlier report can be looked for");
                    None
                }
            }
        })
    }
}
