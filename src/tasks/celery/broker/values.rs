//! What the scripts are given and what they answer, as values of the client.

use std::time::Duration;

use fred::prelude::Value;

use super::Taken;
use crate::tasks::celery::canvas::{Plan, chord_key};
use crate::tasks::celery::envelope::Envelope;

pub(super) fn push_chords(arguments: &mut Vec<Value>, plan: &Plan) {
    for (group, size) in &plan.chords {
        arguments.extend([chord_key(group, "").into(), number(*size)]);
    }
}

pub(super) fn push_messages(arguments: &mut Vec<Value>, plan: &Plan) {
    for message in &plan.messages {
        arguments.extend([message.list.as_str().into(), message.json.as_str().into()]);
    }
}

pub(super) fn number(value: usize) -> Value {
    value.to_string().into()
}

/// Whole seconds, rounded up: a life of a fraction of one is still one.
pub(super) fn seconds(span: Duration) -> Value {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).to_string().into()
}

/// The rows of a nested answer.
pub(super) fn rows(answer: Value) -> impl Iterator<Item = Vec<Value>> {
    answer.into_array().into_iter().map(Value::into_array)
}

pub(super) fn taken(row: Vec<Value>) -> Option<Taken> {
    let [verdict, tag, raw] = <[Value; 3]>::try_from(row).ok()?;
    let raw = raw.into_bytes()?;
    Some(match verdict.as_bytes()? {
        b"new" | b"mine" => Taken::Message { tag: tag.into_string()?, raw },
        b"held" | b"done" => Taken::Absorbed,
        b"junk" => Taken::Junk(raw),
        b"large" => Taken::Large(raw),
        _ => return None,
    })
}

/// Tags and messages of a flat answer.
pub(super) fn pairs(answer: Value) -> Vec<(String, Envelope)> {
    let answer = answer.into_array();
    let pairs = answer.chunks_exact(2).filter_map(|pair| {
        let entry = entry_of(pair[1].as_bytes()?)?;
        Some((pair[0].as_string()?, entry.0))
    });
    pairs.collect()
}

/// An entry in `unacked`: the message and the queue it came from.
pub(super) fn entry_of(entry: &[u8]) -> Option<(Envelope, Option<String>)> {
    let entry: Vec<serde_json::Value> = serde_json::from_slice(entry).ok()?;
    let [message, _exchange, routing_key] = <[_; 3]>::try_from(entry).ok()?;
    let envelope = Envelope::from_value(message).ok()?;
    Some((envelope, routing_key.as_str().map(str::to_owned)))
}
