//! What the daemon tells of itself: metrics for Prometheus and logs.
//!
//! [`metrics`] declares every metric from the start and renders the exposition; [`logging`] sets
//! up `tracing`. `docs/telemetry.md` is the contract of names, labels and units.

pub mod families;
pub mod logging;
pub mod metrics;

pub use metrics::{Metrics, hot, install};
