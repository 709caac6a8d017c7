//! A desk that puts orders into the queue of tasks: whoever works there does them, with the limits and retries
//! of each task.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::desk::{Desk, Order, Progress};
use crate::tasks::{Submit, SubmitOptions, TaskCall, TaskState, TaskStatus};

/// Longest text of an outcome, characters.
const MOST: usize = 500;

/// See the module.
#[derive(Clone)]
pub struct QueueOrders(Arc<dyn Submit>);

impl QueueOrders {
    /// A desk over `queue`.
    #[must_use]
    pub fn new(queue: Arc<dyn Submit>) -> Self {
        Self(queue)
    }
}

fn short(text: &str) -> String {
    text.chars().take(MOST).collect()
}

/// Whether a call was taken back because nobody had begun it in time, in Celery's words.
fn is_expired(status: &TaskStatus) -> bool {
    let message = status.error.as_ref().map(|error| &error["exc_message"]);
    message.is_some_and(|message| message[0] == "expired" || message == "expired")
}

/// What a status means for the order.
fn progress(status: &TaskStatus) -> Progress {
    let result = status.result.as_ref();
    let word =
        |name: &str| result.and_then(|result| result.get(name)?.as_str()).unwrap_or_default();
    match status.state {
        TaskState::Pending | TaskState::Started | TaskState::Retry => Progress::Open,
        TaskState::Success if word("status") == "skipped" => {
            Progress::Skipped(short(word("detail")))
        }
        TaskState::Success => {
            let detail = match word("detail") {
                "" => result.map(Value::to_string).unwrap_or_default(),
                detail => detail.to_owned(),
            };
            Progress::Done(short(&detail))
        }
        TaskState::Revoked if is_expired(status) => {
            Progress::Late("no worker had begun it by then".to_owned())
        }
        TaskState::Failure | TaskState::Revoked => {
            let error = status.error.as_ref();
            let why = error.map(|error| format!("{}: {}", error["exc_type"], error["exc_message"]));
            Progress::Failed(short(&why.unwrap_or_else(|| status.state.as_str().to_owned())))
        }
    }
}

impl Desk for QueueOrders {
    fn place(&self) -> String {
        self.0.place()
    }

    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let call = TaskCall {
                hard_limit: order.timeout,
                ..TaskCall::with_id(order.task_id, order.task)
            };
            let call = call.kwargs(order.kwargs).origin(format!("job {}", order.job));
            let options =
                SubmitOptions { expires: Some(order.begin_by), ..SubmitOptions::default() };
            let taken = self.0.submit(call, options).await;
            taken.map(drop).map_err(|error| error.to_string())
        })
    }

    fn progress<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Progress, String>> {
        Box::pin(async move {
            let status = self.0.state(task_id).await.map_err(|error| error.to_string())?;
            Ok(progress(&status))
        })
    }

    fn take_back<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(
            async move { self.0.revoke(task_id, true).await.map_err(|error| error.to_string()) },
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::market::EventTime;
    use crate::tasks::memory::{MemoryOptions, MemoryQueue};
    use crate::tasks::{Registry, Runner, RunnerOptions, TaskFailure};

    #[test]
    fn a_status_is_told_in_the_words_of_the_schedule() {
        let status = |state, result: Value| TaskStatus {
            state,
            result: Some(result),
            error: Some(TaskFailure::value("no").to_json()),
            ..TaskStatus::pending("a")
        };
        let done = status(TaskState::Success, json!({"status": "done", "detail": "in use"}));
        assert_eq!(progress(&done), Progress::Done("in use".to_owned()));
        let skipped = status(TaskState::Success, json!({"status": "skipped", "detail": "too few"}));
        assert_eq!(progress(&skipped), Progress::Skipped("too few".to_owned()));
        assert_eq!(progress(&status(TaskState::Retry, Value::Null)), Progress::Open);
        let expired = TaskStatus {
            error: Some(TaskFailure::revoked("expired").to_json()),
            ..status(TaskState::Revoked, Value::Null)
        };
        assert!(matches!(progress(&expired), Progress::Late(_)));
        let taken_back = TaskStatus {
            error: Some(TaskFailure::revoked("revoked").to_json()),
            ..status(TaskState::Revoked, Value::Null)
        };
        assert!(matches!(progress(&taken_back), Progress::Failed(_)));
        let failed = progress(&status(TaskState::Failure, Value::Null));
        assert!(
            matches!(&failed, Progress::Failed(why) if why.contains("ValueError")),
            "{failed:?}"
        );
    }

    #[tokio::test]
    async fn an_order_is_done_once() {
        let queue = MemoryQueue::new(MemoryOptions::default());
        let desk = QueueOrders::new(Arc::new(queue.clone()));
        let order = Order {
            task_id: "a".to_owned(),
            task: "debug_ping",
            kwargs: serde_json::Map::new(),
            timeout: None,
            job: "ping".to_owned(),
            planned: EventTime::from_micros(0),
            begin_by: EventTime::from_micros(i64::MAX / 2),
        };
        desk.order(order.clone()).await.unwrap();
        desk.order(order).await.unwrap();
        assert_eq!((queue.waiting(), desk.progress("a").await), (1, Ok(Progress::Open)));
        let runner = Runner::new(Registry::new().unwrap(), RunnerOptions::new("test"));
        let (served, stop) = (queue.clone(), CancellationToken::new());
        let ended = stop.clone();
        let service = tokio::spawn(async move {
            served.serve(&runner, ended, std::time::Duration::ZERO).await;
        });
        queue.finished("a").await.unwrap();
        assert_eq!(desk.progress("a").await, Ok(Progress::Done("\"pong\"".to_owned())));
        stop.cancel();
        service.await.unwrap();
    }
}
