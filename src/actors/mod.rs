//! The actors and the tree they stand in.

pub mod supervision;
