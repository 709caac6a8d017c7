//! TBD
pub mod supervision;
