//! The engine as a whole.

mod detect;
mod determinism;
mod falls;
mod histories;
mod outlook;
mod points;
mod real_day;
mod support;
