//! The desk of tasks: a registry to check calls with, and a queue to put them into.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::messages::task_desk::{TaskDesk, TaskRefusal, TaskRequest};
use crate::tasks::{Runner, Submit, SubmitError, SubmitOptions, TaskCall};

/// A desk over a queue. Cheap to clone.
#[derive(Clone)]
pub struct QueueDesk {
    runner: Runner,
    queue: Arc<dyn Submit>,
}

impl QueueDesk {
    /// The desk that checks calls with the registry of `runner` and puts them into `queue`.
    #[must_use]
    pub fn new(runner: Runner, queue: Arc<dyn Submit>) -> Self {
        Self { runner, queue }
    }

    async fn take(&self, request: TaskRequest) -> Result<String, TaskRefusal> {
        let registry = self.runner.registry();
        let Some(task) = registry.get(&request.name) else {
            let known: Vec<&str> = registry.specs().map(|spec| spec.name).collect();
            let known = known.join(", ");
            return Err(TaskRefusal::Unknown { name: request.name, known });
        };
        let call = match request.id {
            Some(id) => TaskCall::with_id(id, request.name),
            None => TaskCall::new(request.name),
        };
        let call = call
            .args(request.args)
            .kwargs(request.kwargs)
            .origin(request.origin)
            .as_of(request.as_of);
        task.check(&call).map_err(|failure| TaskRefusal::Arguments(failure.message()))?;
        let id = call.id.clone();
        let options = SubmitOptions {
            priority: request.priority,
            eta: request.eta,
            expires: request.expires,
        };
        self.queue.submit(call, options).await.map_err(refusal)?;
        Ok(id)
    }
}

fn refusal(error: SubmitError) -> TaskRefusal {
    match error {
        SubmitError::Full { .. } => TaskRefusal::Full(error.to_string()),
        SubmitError::Away { .. } => TaskRefusal::Away(error.to_string()),
    }
}

fn text(status: &crate::tasks::TaskStatus) -> Value {
    // Plain fields with text keys always serialise.
    serde_json::to_value(status).unwrap_or_default()
}

impl TaskDesk for QueueDesk {
    fn specs(&self) -> Value {
        let specs: Vec<_> = self.runner.registry().specs().collect();
        serde_json::to_value(specs).unwrap_or_default()
    }

    fn submit(&self, request: TaskRequest) -> BoxFuture<'_, Result<String, TaskRefusal>> {
        Box::pin(self.take(request))
    }

    fn status<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, TaskRefusal>> {
        Box::pin(async move {
            let status = self.queue.state(id).await.map_err(refusal)?;
            let known = status.name.is_some() || !self.queue.knows_every_call();
            Ok(known.then(|| text(&status)))
        })
    }

    fn finished<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Value, TaskRefusal>> {
        Box::pin(async move {
            let status = self.queue.finished(id).await.map_err(refusal)?;
            Ok(text(&status))
        })
    }
}
