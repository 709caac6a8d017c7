//! Bongsu: a real-time market-risk daemon for the Korean stock market.
//!
//! One supervised tree of actors watches the market through the KIS Open API, scores risk tick by
//! tick and sends crash and threat events outward, then explains them, recommends and proposes a
//! defence. `ARCHITECTURE.md` walks through the life of a tick and of an event; the modules stand
//! in the order in which data flows:
//!
//! - the domain, pure: [`market`], [`collect`], [`model`], [`risk`], [`advice`],
//!   [`evaluate`]
//! - what passes between the parts: [`messages`]
//! - adapters: [`kis`], [`journal`], [`schedule`], [`store`], [`bus`], [`tasks`], [`llm`], [`telemetry`],
//!   [`api`]
//! - what holds them together: [`actors`], [`config`], [`cli`]

#![warn(missing_docs)]

pub mod actors;
pub mod advice;
pub mod api;
pub mod bus;
pub mod cli;
pub mod collect;
pub mod config;
pub mod evaluate;
pub mod journal;
pub mod kis;
pub mod llm;
pub mod market;
pub mod messages;
pub mod model;
pub mod risk;
pub mod schedule;
pub mod store;
pub mod tasks;
pub mod telemetry;
