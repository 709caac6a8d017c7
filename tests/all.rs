//! Every integration test, in one binary.

mod settings_cli;
mod store;
