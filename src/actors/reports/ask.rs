//! Reports that are asked for: the daily market report and the weekly review.

use std::sync::Arc;
use std::time::Duration;

use super::{ReportDesk, summaries};
use crate::actors::supervision::StageError;
use crate::llm::{MarketSummary, ReportRequest, retrying};
use crate::market::SessionDay;
use crate::messages::advice::Report;
use crate::messages::{EventBus, EventFilter, EventKind, RiskBoard};

/// When a report that could not be made is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(300);
/// Latest events of the bus that are told of.
const EVENTS: usize = MarketSummary::MAX_ROWS;

impl ReportDesk {
    /// The market's risk as `board` shows it, with the latest events of `bus` and the day's alerts.
    /// Without a score on the board: the report that says so.
    ///
    /// # Errors
    /// When the Recorder is gone.
    pub async fn market_risk(
        &self,
        board: &RiskBoard,
        bus: &EventBus,
        within: Duration,
    ) -> Result<Arc<Report>, StageError> {
        let kinds = vec![EventKind::Crash, EventKind::Threat];
        let filter = EventFilter { kinds, ..EventFilter::default() };
        let events: Vec<_> =
            bus.latest(&filter, EVENTS).into_iter().map(|told| told.event).collect();
        let Some(mut summary) = MarketSummary::of_board(board, &events) else {
            return self.none_yet("market_risk", "아직 점수가 계산되지 않음").await;
        };
        if let Some(database) = &self.database {
            match summaries::alerts_of_day(database, summary.as_of).await {
                Ok(counts) => summary.alerts = Some(counts),
                Err(error) => tracing::warn!(%error, "the report goes without the day's alerts"),
            }
        }
        Ok(self.produce(&ReportRequest::MarketRisk(summary), within, false).await?.report)
    }

    /// The seven days that end with `to`. Without anything stored for them: the report that says so.
    ///
    /// # Errors
    /// When the Recorder is gone.
    pub async fn weekly_review(
        &self,
        to: SessionDay,
        within: Duration,
    ) -> Result<Arc<Report>, StageError> {
        let Some(database) = &self.database else {
            return self.none_yet("weekly_review", "데이터베이스가 없음").await;
        };
        match summaries::week(database, &self.directory, to).await {
            Ok(Some(week)) => {
                let request = ReportRequest::WeeklyReview(week);
                Ok(self.produce(&request, within, false).await?.report)
            }
            Ok(None) => self.none_yet("weekly_review", "해당 주의 점수가 저장되어 있지 않음").await,
            Err(error) => {
                tracing::warn!(%error, "the weekly review cannot be made");
                self.none_yet("weekly_review", "데이터베이스를 읽을 수 없음").await
            }
        }
    }

    async fn none_yet(&self, kind: &str, why: &str) -> Result<Arc<Report>, StageError> {
        let report = Arc::new(retrying(kind, kind, why, TRY_AGAIN));
        metrics::counter!("bongsu_reports_total", "rung" => report.rung.as_str()).increment(1);
        self.tell(Arc::clone(&report)).await?;
        Ok(report)
    }
}
