//! TBD
pub mod sim;
