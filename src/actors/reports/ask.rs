//! The report that says that there is none yet.

use std::sync::Arc;
use std::time::Duration;

use super::ReportDesk;
use crate::actors::supervision::StageError;
use crate::llm::retrying;
use crate::messages::advice::Report;

impl ReportDesk {
    /// Tells that a report of this kind cannot be made yet, and when it is tried again. Who calls
    /// tries again: a task by its retries.
    ///
    /// # Errors
    /// When the Recorder is gone.
    pub async fn not_yet(
        &self,
        kind: &str,
        why: &str,
        retry_in: Duration,
    ) -> Result<Arc<Report>, StageError> {
        let report = Arc::new(retrying(kind, kind, why, retry_in));
        metrics::counter!("bongsu_reports_total", "rung" => report.rung.as_str()).increment(1);
        self.tell(Arc::clone(&report)).await?;
        Ok(report)
    }
}
