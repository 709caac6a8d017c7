//! TBD
pub mod tail;
