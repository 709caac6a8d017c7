//! How the scheduler has tasks done: it hands in an order under an id of its own, and asks how it stands.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::market::EventTime;

/// A task to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id: who orders twice under one id orders once.
    pub task_id: String,
    /// The task.
    pub task: &'static str,
    /// Its arguments.
    pub kwargs: Map<String, Value>,
    /// How long it may take; `None`: as its own limits say.
    pub timeout: Option<Duration>,
    /// It is not to begin after this, wherever it waits.
    pub begin_by: EventTime,
    /// The job that wants it.
    pub job: String,
    /// The planned moment.
    pub planned: EventTime,
}

/// How an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It waits, runs, or nobody has heard of it.
    Open,
    /// It is done; the result in a few words.
    Done(String),
    /// It was done in vain: there was nothing to do it with, and why.
    Skipped(String),
    /// It failed; why.
    Failed(String),
    /// It waited until it was too late for it; what is known of that.
    Late(String),
}

/// Who has tasks done.
pub trait Desk: Send + Sync {
    /// Who that is, in words for people.
    fn place(&self) -> String {
        "this process".to_owned()
    }

    /// Takes an order; one whose id is known is not done again.
    ///
    /// # Errors
    /// Why it cannot be taken now.
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), String>>;

    /// How the order stands.
    ///
    /// # Errors
    /// Why that cannot be told now.
    fn progress<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Progress, String>>;

    /// Takes an order back, also when it is being done.
    ///
    /// # Errors
    /// Why that cannot be done now.
    fn take_back<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// The id of the task of an attempt (from 1) at a planned run: the same on every machine.
#[must_use]
pub fn task_id(job: &str, planned: EventTime, attempt: u32) -> String {
    let mut cause = format!("{job}\n{}", planned.micros());
    if attempt > 1 {
        cause = format!("{cause}\n{attempt}");
    }
    let sum = Sha256::digest(cause);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sum[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_run() {
        let at = EventTime::from_micros(1_700_000_000_000_000);
        let id = task_id("bars", at, 1);
        assert_eq!(id, task_id("bars", at, 1));
        assert_eq!(id.len(), 36);
        let others =
            [task_id("bars", at, 2), task_id("bar", at, 1), task_id("bars", at.plus_micros(1), 1)];
        assert!(others.iter().all(|other| *other != id));
    }
}
