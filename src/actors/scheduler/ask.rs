//! A desk within one look: it is asked until it does not answer, and no longer than the look can spare.
//!
//! A queue that is away takes the whole time-out of every call, and the lease runs out meanwhile. So
//! each call has a share of the lease, and after the first that fails the others of the look are not made.
//! A call that is cut off may have been heard: ids make it harmless to ask again.

use std::time::Duration;

use futures::future::BoxFuture;

use super::desk::{Desk, Order, Progress};

/// See the module.
pub(super) struct Asking<'a> {
    desk: &'a dyn Desk,
    within: Duration,
    away: Option<String>,
}

impl<'a> Asking<'a> {
    /// `desk` for one look of a leader whose lease is for `ttl`.
    pub(super) fn new(desk: &'a dyn Desk, ttl: Duration) -> Self {
        // A look asks twice at most in vain: for what runs, and for what starts.
        Self { desk, within: ttl / 5, away: None }
    }

    async fn answer<T>(
        &mut self,
        call: impl FnOnce(&'a dyn Desk) -> BoxFuture<'a, Result<T, String>>,
    ) -> Result<T, String> {
        if let Some(why) = &self.away {
            return Err(why.clone());
        }
        let answer = tokio::time::timeout(self.within, call(self.desk)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(format!("{}: no answer within {:?}", self.desk.place(), self.within))
        });
        if let Err(why) = &answer {
            self.away = Some(why.clone());
        }
        answer
    }

    /// As [`Desk::order`].
    pub(super) async fn order(&mut self, order: Order) -> Result<(), String> {
        self.answer(|desk| desk.order(order)).await
    }

    /// As [`Desk::progress`].
    pub(super) async fn progress(&mut self, task_id: &str) -> Result<Progress, String> {
        let id = task_id.to_owned();
        self.answer(|desk| Box::pin(async move { desk.progress(&id).await })).await
    }

    /// As [`Desk::take_back`].
    pub(super) async fn take_back(&mut self, task_id: &str) -> Result<(), String> {
        let id = task_id.to_owned();
        self.answer(|desk| Box::pin(async move { desk.take_back(&id).await })).await
    }
}
