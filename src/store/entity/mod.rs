//! One entity a table. Times are [`crate::market::EventTime`] (`DATETIME(6)` in UTC on MySQL, RFC 3339 text
//! in SQLite), prices whole won, lists and maps JSON text.

#![allow(
    missing_docs,
    reason = "the derives write public items; every column is documented at its field"
)]

pub mod etl_failure;
pub mod etl_run;
pub mod evaluation_metric;
pub mod job_cursor;
pub mod job_run;
pub mod llm_usage;
pub mod market_price;
pub mod mitigation_plan;
pub mod model_version;
pub mod recommendation;
pub mod recommendation_item;
pub mod report;
pub mod risk_score;
pub mod scheduler_lease;
pub mod task_run;
pub mod threat_event;
pub mod trade_log;
