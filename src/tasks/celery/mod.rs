//! Celery on Redis: a worker for the queue that Python clients send to, and a client of it.
//!
//! Message protocol 2 over kombu's Redis transport and Celery's Redis result back end, as a genuine
//! worker speaks them; genuine workers may stand at the same queue. See `docs/tasks.md` for what an
//! operator sees and what is guaranteed.
//!
//! | file | what |
//! |---|---|
//! | `envelope`, `compression` | a message as it lies in the queue; pure |
//! | `request` | what it asks for, or why it cannot be run; pure |
//! | `signature`, `canvas` | what follows a task: callbacks, chains, groups, chords; pure |
//! | `results`, `repr`, `time` | results, and how Python writes values and moments; pure |
//! | `script` | what Redis does in one step, and every key |
//! | `connection`, `broker` | connections, and the queue's operations |
//! | `events` | what monitors hear |
//! | `hands` | what a worker has in hand and remembers |
//! | `worker` | the worker |
//! | `client` | calls sent from here |

mod broker;
mod canvas;
pub mod client;
mod compression;
mod connection;
mod envelope;
mod events;
mod hands;
mod repr;
mod request;
mod results;
mod script;
mod signature;
mod time;
pub mod worker;

pub use client::{CeleryQueue, ClientOptions};
pub use connection::BrokerError;
pub use worker::{OnReject, WorkerOptions, node_name, run_worker};
