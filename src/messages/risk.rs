//! From the RiskScorer: scores, and what its detectors found.
//!
//! The types belong to the domain, which makes them; here they are as messages.

pub use crate::risk::types::{
    Cause, Detection, Level, RiskMinute, RiskPoint, RiskRow, Rule, ScoreBatch, ScoreParts,
};
