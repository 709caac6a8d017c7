//! What passes between actors and outward: one file a stage.
//!
//! A message between hot stages is a batch, never a single tick in a storm. Messages own their
//! data and are immutable once sent, so a stage that is replaced can be fed again.

pub mod advice;
pub mod advice_request;
pub mod board;
pub mod checkpoint;
pub mod circuit;
pub mod event;
pub mod event_bus;
pub mod feed;
pub mod flag;
pub mod health;
pub mod index_path;
pub mod jobs;
pub mod model_record;
pub mod models;
pub mod record;
pub mod repair;
pub mod risk;
pub mod scenarios;
pub mod segment_use;
pub mod task_desk;
pub mod task_run;
pub mod trading_days;

#[cfg(test)]
pub(crate) mod schema;

pub use board::{AdviceBoard, RiskBoard, RiskRow};
pub use checkpoint::{Checkpoints, Position};
pub use circuit::{Circuit, CircuitOptions, CircuitState};
pub use event::{EventKind, KeptEvent, OutwardEvent};
pub use event_bus::{
    BusLimits, EventBus, EventFilter, GapNotice, GapReason, Pattern, Published, Resume, StreamItem,
    Subscription,
};
pub use feed::{
    Coverage, FetchedBar, FetchedBars, Frame, FrameBatch, FrameKind, JournaledBatch, Sample,
};
pub use flag::Flag;
pub use health::{Component, ComponentHealth, HealthRegistry, HealthState};
pub use index_path::{IndexNow, IndexPath};
pub use jobs::{JobBoard, JobRow, JobsState, LastRun, PlannedAt};
pub use model_record::{ModelRecord, ModelRecordError};
pub use models::{Evaluation, Forecasts, LiveModel, Measure, ModelBoard, ModelVersion};
pub use record::{Reject, StoreBatch};
pub use repair::{Repair, Repairs};
pub use risk::{Cause, Detection, Level, RiskMinute, RiskPoint, Rule, ScoreBatch, ScoreParts};
pub use scenarios::{AskScenario, ScenarioRefusal};
pub use segment_use::SegmentUse;
pub use task_run::TaskRun;
pub use trading_days::TradingDays;
