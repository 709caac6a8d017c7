//! Advice: picks, defence plans, reports. The types belong to the domain; they travel as they are.

use super::Level;
use crate::advice::mitigate::Severity;
pub use crate::advice::types::{
    LlmOutcome, LlmUsage, MitigationPlan, Pick, PlanOption, RecommendationSet, Report, ReportOrigin,
};

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Watch => Self::Watch,
            Level::Warning => Self::Warning,
            Level::Critical => Self::Critical,
        }
    }
}
