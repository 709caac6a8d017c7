//! Canvas: what follows a task. Callbacks and errbacks, the next step of a chain, groups and chords.
//!
//! Pure: from a request and how it ended to a [`Plan`] of messages, results and counted chord parts.
//! The worker carries the plan out, together with the task's own result.
//!
//! `celery.chain`, `celery.group` and `celery.chord` are no tasks but shapes: whoever comes to such a
//! step sends what it is made of. A shape within a chord's header is refused, except a chain: counting
//! nested groups takes a structure that only Python's client writes. A step that cannot be sent fails
//! the task before it, so that its client hears of it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::repr;
use super::request::Request;
use super::results::{self, Of, Stored};
use super::signature::{Lineage, Outgoing, Sender, Signature};
use crate::tasks::{TaskFailure, TaskState};

/// Tasks that one step may send, at most.
const MAX_WIDTH: usize = 10_000;

/// A chord's key: `celery-taskset-meta-<group id>` and what follows it.
#[must_use]
pub fn chord_key(group: &str, part: &str) -> String {
    format!("celery-taskset-meta-{group}{part}")
}

/// A finished part of a chord, to be counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The chord's group.
    pub group: String,
    /// Its place.
    pub index: Option<i64>,
    /// The task.
    pub id: String,
    /// How it ended.
    pub state: TaskState,
    /// Its result, or exception.
    pub result: Value,
    /// The chord's body: a signature.
    pub body: Value,
    /// What the body inherits if this part is the last.
    pub lineage: Lineage,
}

impl Part {
    /// The part as the chord's set holds it.
    #[must_use]
    pub fn member(&self) -> String {
        json!([1, self.id, self.state.as_str(), self.result]).to_string()
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Messages, in this order.
    pub messages: Vec<Outgoing>,
    /// Sizes of chords that are begun: group and number of parts; to be written before the messages.
    pub chords: Vec<(String, usize)>,
    /// Results of tasks that will never run.
    pub stored: Vec<Stored>,
    /// Chord parts that are finished with this.
    pub parts: Vec<Part>,
    /// Tasks sent on, as the result lists them.
    pub children: Vec<Value>,
}

/// Plans for one sender and moment.
#[derive(Debug, Clone, Copy)]
pub struct Canvas<'a> {
    /// In whose name messages go out.
    pub sender: &'a Sender,
    /// The present moment.
    pub now: DateTime<Utc>,
}

impl Canvas<'_> {
    /// What follows the success of `request`.
    ///
    /// # Errors
    /// When a callback or the next step cannot be sent: the task then counts as failed.
    pub fn success(&self, request: &Request, result: &Value) -> Result<Plan, TaskFailure> {
        let mut plan = Plan::default();
        let lineage = Lineage::of(request);
        let embed = &request.embed;
        for callback in &embed.callbacks {
            let child = self.send(&mut plan, callback, Some(result), &lineage, Vec::new())?;
            plan.children.push(child);
        }
        if let Some((next, rest)) = embed.chain.split_last() {
            let child = self.send(&mut plan, next, Some(result), &lineage, rest.to_vec())?;
            plan.children.push(child);
        }
        plan.parts.extend(own_part(request, TaskState::Success, result.clone()));
        Ok(plan)
    }

    /// What follows the end of `request` without success: errbacks, the failure of every later step,
    /// and its place in a chord. `state` is FAILURE or REVOKED.
    #[must_use]
    pub fn failure(&self, request: &Request, state: TaskState, failure: &TaskFailure) -> Plan {
        let mut plan = Plan::default();
        let lineage = Lineage::of(request);
        self.errbacks(&mut plan, &request.embed.errbacks, &request.id, &lineage);
        for step in request.embed.chain.iter().rev() {
            self.fail(&mut plan, step, failure, &lineage);
        }
        plan.parts.extend(own_part(request, state, failure.to_json()));
        plan
    }

    /// What a complete chord does: `members` are the parts as [`Part::member`] has them, in order.
    #[must_use]
    pub fn complete(&self, last: &Part, members: &[String]) -> Plan {
        let mut plan = Plan::default();
        let sent = joined(members).and_then(|results| {
            self.send(&mut plan, &last.body, Some(&results), &last.lineage, Vec::new())
        });
        match sent {
            Ok(_) => plan,
            Err(failure) => {
                let mut plan = Plan::default();
                self.fail(&mut plan, &last.body, &failure, &last.lineage);
                plan
            }
        }
    }

    fn errbacks(&self, plan: &mut Plan, errbacks: &[Value], id: &str, lineage: &Lineage) {
        for errback in errbacks {
            // One that cannot be sent has nobody left who could be told.
            if let Err(error) = self.send(plan, errback, Some(&id.into()), lineage, Vec::new()) {
                tracing::warn!(task = id, %error, "an errback cannot be sent");
            }
        }
    }

    /// Stores `failure` for a step that will not run, and for all that it is made of.
    fn fail(&self, plan: &mut Plan, step: &Value, failure: &TaskFailure, lineage: &Lineage) {
        let Some(signature) = Signature::read(step) else { return };
        match signature.task.as_str() {
            "celery.chain" => {
                for step in tasks_of(&signature.kwargs) {
                    self.fail(plan, step, failure, lineage);
                }
                return;
            }
            "celery.group" => {
                for task in tasks_of(&signature.kwargs) {
                    self.fail(plan, task, failure, lineage);
                }
                return;
            }
            "celery.chord" => {
                if let Some(body) = signature.kwargs.get("body") {
                    self.fail(plan, body, failure, lineage);
                }
                return;
            }
            _ => {}
        }
        let Some(id) = signature.option("task_id") else { return };
        let group = signature.option("group_id");
        let of = Of { id, parent_id: None, group };
        plan.stored.push(results::failed(of, TaskState::Failure, failure, Vec::new(), self.now));
        if let Some(Value::Array(errbacks)) = signature.options.get("link_error") {
            self.errbacks(plan, errbacks, id, lineage);
        }
        if let (Some(body), Some(group)) = (signature.options.get("chord"), group)
            && body.is_object()
        {
            plan.parts.push(Part {
                group: group.to_owned(),
                index: signature.options.get("group_index").and_then(Value::as_i64),
                id: id.to_owned(),
                state: TaskState::Failure,
                result: failure.to_json(),
                body: body.clone(),
                lineage: lineage.clone(),
            });
        }
        if let Some(Value::Array(steps)) = signature.options.get("chain") {
            for step in steps {
                self.fail(plan, step, failure, lineage);
            }
        }
    }

    /// Plans to send `step` with `first` in front of its arguments and `chain` behind it; returns the
    /// entry in the list of children.
    fn send(
        &self,
        plan: &mut Plan,
        step: &Value,
        first: Option<&Value>,
        lineage: &Lineage,
        chain: Vec<Value>,
    ) -> Result<Value, TaskFailure> {
        let signature = Signature::read(step).ok_or_else(|| {
            TaskFailure::value(format!("what follows is no signature: {}", repr::value(step)))
        })?;
        match signature.task.as_str() {
            "celery.chain" => self.send_chain(plan, &signature, first, lineage, chain),
            "celery.group" => self.send_group(plan, &signature, first, lineage, &chain),
            "celery.chord" => self.send_chord(plan, signature, first, lineage, chain),
            _ => {
                let signature = match first {
                    Some(first) => signature.given(first),
                    None => signature,
                };
                let message = signature.message(self.sender, lineage, chain, self.now);
                let child = results::child(&message.id);
                push(plan, message)?;
                Ok(child)
            }
        }
    }

    fn send_chain(
        &self,
        plan: &mut Plan,
        chain: &Signature,
        first: Option<&Value>,
        lineage: &Lineage,
        behind: Vec<Value>,
    ) -> Result<Value, TaskFailure> {
        let mut steps: Vec<Value> = tasks_of(&chain.kwargs).cloned().collect();
        // What is said of the chain as a whole holds for its last step.
        if let Some(last) = steps.last_mut() {
            inherit(last, &chain.options);
        }
        let mut rest = behind;
        rest.extend(steps.drain(1.min(steps.len())..).rev());
        let head = steps.pop().ok_or_else(|| TaskFailure::value("a chain without steps"))?;
        self.send(plan, &head, first, lineage, rest)
    }

    fn send_group(
        &self,
        plan: &mut Plan,
        group: &Signature,
        first: Option<&Value>,
        lineage: &Lineage,
        behind: &[Value],
    ) -> Result<Value, TaskFailure> {
        if !behind.is_empty() {
            return Err(TaskFailure::value(
                "a chain goes on behind a group; expected a chord, as clients make of it",
            ));
        }
        let id = group.clone().id();
        let mut children = Vec::new();
        for (index, task) in tasks_of(&group.kwargs).enumerate() {
            let mut task = task.clone();
            inherit(&mut task, &group.options);
            place(&mut task, &id, index);
            children.push(self.send(plan, &task, first, lineage, Vec::new())?);
        }
        Ok(json!([[id, null], children]))
    }

    fn send_chord(
        &self,
        plan: &mut Plan,
        mut chord: Signature,
        first: Option<&Value>,
        lineage: &Lineage,
        behind: Vec<Value>,
    ) -> Result<Value, TaskFailure> {
        let header = chord.kwargs.get("header").cloned().unwrap_or(Value::Null);
        let (tasks, header_id) = match &header {
            Value::Array(tasks) => (tasks.clone(), None),
            header => {
                let group = Signature::read(header)
                    .filter(|group| group.task == "celery.group")
                    .ok_or_else(|| TaskFailure::value("a chord whose header is no group"))?;
                let id = group.option("task_id").map(str::to_owned);
                (tasks_of(&group.kwargs).cloned().collect(), id)
            }
        };
        let group = header_id.unwrap_or_else(|| chord.id());
        let mut body = chord.kwargs.get("body").cloned().unwrap_or(Value::Null);
        let mut signature =
            Signature::read(&body).ok_or_else(|| TaskFailure::value("a chord without a body"))?;
        let id = signature.id();
        set(&mut body, "task_id", id.clone().into());
        set(&mut body, "group_id", group.clone().into());
        inherit(&mut body, &chord.options);
        if !behind.is_empty() {
            set(&mut body, "chain", behind.into());
        }
        if tasks.is_empty() {
            return self.send(plan, &body, Some(&json!([])), lineage, Vec::new());
        }
        plan.chords.push((group.clone(), tasks.len()));
        for (index, mut task) in tasks.into_iter().enumerate() {
            let shape = task.get("task").and_then(Value::as_str).unwrap_or_default();
            if shape == "celery.group" || shape == "celery.chord" {
                return Err(TaskFailure::value(format!(
                    "a {shape} within a chord's header cannot be counted; expected tasks or chains"
                )));
            }
            place(&mut task, &group, index);
            set(&mut task, "chord", body.clone());
            self.send(plan, &task, first, lineage, Vec::new())?;
        }
        Ok(results::child(&id))
    }
}

/// The place of `request` in a chord, if it has one.
fn own_part(request: &Request, state: TaskState, result: Value) -> Option<Part> {
    let (body, group) = (request.embed.chord.as_ref()?, request.group.as_ref()?);
    Some(Part {
        group: group.clone(),
        index: request.group_index,
        id: request.id.clone(),
        state,
        result,
        body: body.clone(),
        lineage: Lineage::of(request),
    })
}

/// The results of a chord's parts in one list, or what its body fails with.
fn joined(members: &[String]) -> Result<Value, TaskFailure> {
    let mut results = Vec::with_capacity(members.len());
    for member in members {
        let parts: Vec<Value> = serde_json::from_str(member).unwrap_or_default();
        let [_, id, state, result] = parts.as_slice() else {
            return Err(chord_error(format!("a part cannot be read: {member}")));
        };
        let state = state.as_str().unwrap_or_default();
        if state == TaskState::Failure.as_str() || state == TaskState::Revoked.as_str() {
            let kind = result.get("exc_type").and_then(Value::as_str).unwrap_or("Exception");
            let message = match result.get("exc_message") {
                Some(Value::Array(message)) => message.clone(),
                Some(one) => vec![one.clone()],
                None => Vec::new(),
            };
            let id = id.as_str().unwrap_or_default();
            let raised = repr::exception(kind, &message);
            return Err(chord_error(format!("Dependency {id} raised {raised}")));
        }
        results.push(result.clone());
    }
    Ok(results.into())
}

fn chord_error(message: String) -> TaskFailure {
    TaskFailure {
        exc_type: "ChordError".to_owned(),
        exc_module: "celery.exceptions".to_owned(),
        ..TaskFailure::runtime(message)
    }
}

fn push(plan: &mut Plan, message: Outgoing) -> Result<(), TaskFailure> {
    if plan.messages.len() >= MAX_WIDTH {
        return Err(TaskFailure::value(format!("a step sends more than {MAX_WIDTH} tasks")));
    }
    plan.messages.push(message);
    Ok(())
}

fn tasks_of(kwargs: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    kwargs.get("tasks").and_then(Value::as_array).into_iter().flatten()
}

/// Sets an option of a signature.
fn set(signature: &mut Value, name: &str, value: Value) {
    if let Some(fields) = signature.as_object_mut() {
        let options = fields.entry("options").or_insert_with(|| json!({}));
        if let Some(options) = options.as_object_mut() {
            options.insert(name.to_owned(), value);
        }
    }
}

/// Puts a signature into a group.
fn place(task: &mut Value, group: &str, index: usize) {
    set(task, "group_id", group.into());
    set(task, "group_index", index.into());
}

/// Options of a shape that hold for what it is made of, where that says nothing of its own.
fn inherit(task: &mut Value, options: &Map<String, Value>) {
    const INHERITED: [&str; 8] =
        ["queue", "priority", "expires", "link", "link_error", "chord", "group_id", "group_index"];
    for name in INHERITED {
        if let Some(value) = options.get(name)
            && task.get("options").and_then(|own| own.get(name)).is_none_or(Value::is_null)
        {
            set(task, name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
