//! Every integration test is a module of this one program: each further program links some 130 MB.
//!
//! A new file of tests is `tests/<behaviour>.rs` and one `mod` line here. What the tests share
//! stands in [`support`]: real servers on free loopback ports, the daemon as a child process,
//! waiting for a condition, and skipping by name.

mod support;

mod archive;
mod bad_frames;
mod celery;
mod channels;
mod check_etl;
mod collect;
mod crash;
mod crash_damage;
mod crash_days;
mod daemon;
mod effects;
mod evaluate;
mod faults;
mod feed;
mod harness;
mod hedge;
mod indicators;
mod journal_disk;
mod kis_clients;
mod licences;
mod llm;
mod models;
mod objects;
mod outages;
mod quality;
mod replay;
mod roles;
mod schedule;
mod settings_cli;
mod simulate;
mod soak;
mod store;
mod tasks;
mod tidy;
mod training;
mod wrong_settings;
