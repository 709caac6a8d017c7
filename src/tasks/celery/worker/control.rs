//! Remote control: what `celery inspect`, `celery control`, `revoke()` and Flower ask of a worker.
//!
//! Requests are broadcast on one channel; each says whom it is for. An answer goes into the asker's
//! list, which it has registered; one that has gone is not answered, because its list would stay
//! behind for ever.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{Shared, reply};
use crate::tasks::celery::connection::{BrokerError, Link};
use crate::tasks::celery::envelope::{Envelope, SEPARATOR};

/// Exchange of the answers, and the set that tells who waits for them.
const ANSWERS: &str = "reply.celery.pidbox";
const WAITING: &str = "_kombu.binding.reply.celery.pidbox";
/// Bytes of a request, at most.
const MAX_REQUEST: usize = 1 << 20;
/// An answer is of no use after so long: who asked has gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request.
#[derive(Debug, Clone, PartialEq)]
struct Command {
    method: String,
    arguments: Map<String, Value>,
    destination: Option<Vec<String>>,
    pattern: Option<(String, String)>,
    ticket: Value,
    reply_to: Option<String>,
    clock: u64,
}

impl Command {
    fn read(raw: &[u8]) -> Option<Self> {
        if raw.len() > MAX_REQUEST {
            return None;
        }
        let envelope = Envelope::parse(raw).ok()?;
        let body: Value = serde_json::from_slice(&envelope.unpack().ok()?).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let names =
            |list: &Vec<Value>| list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let matcher = text("matcher").unwrap_or_else(|| "glob".to_owned());
        Some(Self {
            method: text("method")?,
            arguments: body
                .get("arguments")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
            destination: body.get("destination").and_then(Value::as_array).map(names),
            pattern: text("pattern").map(|pattern| (pattern, matcher)),
            ticket: body.get("ticket").cloned().unwrap_or(Value::Null),
            reply_to: body
                .get("reply_to")
                .and_then(|to| to.get("routing_key")?.as_str())
                .map(str::to_owned),
            clock: envelope.headers.get("clock").and_then(Value::as_u64).unwrap_or(0),
        })
    }

    /// Whether it is for the worker `node`.
    fn is_for(&self, node: &str) -> bool {
        if let Some(destination) = &self.destination {
            return destination.iter().any(|name| name == node);
        }
        match &self.pattern {
            None => true,
            Some((pattern, matcher)) => matches(pattern, matcher, node),
        }
    }
}

/// Whether a name matches, as Python's `fnmatch` or, from its beginning, `re.match` has it.
fn matches(pattern: &str, matcher: &str, name: &str) -> bool {
    let expression = match matcher {
        "pcre" => format!("^(?:{pattern})"),
        "glob" => glob(pattern),
        _ => return false,
    };
    let built = regex::RegexBuilder::new(&expression).size_limit(1 << 18).build();
    built.is_ok_and(|expression| expression.is_match(name))
}

/// A shell pattern as an expression.
fn glob(pattern: &str) -> String {
    let mut out = "^(?s:".to_owned();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => match rest.get(1..).and_then(|inner| inner.find(']')) {
                Some(end) => {
                    let (set, after) = rest.split_at(end + 1);
                    let (negated, set) = match set.strip_prefix('!') {
                        Some(set) => ("^", set),
                        None => ("", set),
                    };
                    out.push_str(&format!("[{negated}{}]", set.replace(['\\', '[', '&', '~'], "")));
                    rest = &after[1..];
                }
                None => out.push_str("\\["),
            },
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push_str(")$");
    out
}

/// Obeys until the worker ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let link = match Link::open(&shared.address) {
        Ok(link) => link,
        Err(error) => return tracing::error!(%error, "no connection for remote control"),
    };
    let channel = format!("/{}.celery.pidbox", shared.address.database());
    let client = link.client();
    let (mut messages, mut connected) = (client.message_rx(), client.reconnect_rx());
    loop {
        if client.wait_for_connect().await.is_ok() {
            match client.subscribe(channel.as_str()).await {
                Ok(()) => break,
                Err(error) => tracing::debug!(%error, "remote control cannot be heard yet"),
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    loop {
        tokio::select! {
            biased;
            again = connected.recv() => {
                if matches!(again, Err(RecvError::Closed)) {
                    return;
                }
                if let Err(error) = client.subscribe(channel.as_str()).await {
                    tracing::warn!(%error, "remote control is not heard until the next connection");
                }
            }
            message = messages.recv() => match message {
                Ok(message) => {
                    let raw = message.value.as_bytes().and_then(Command::read);
                    match raw.filter(|command| command.is_for(shared.events.node())) {
                        Some(command) => obey(&shared, command).await,
                        None => tracing::trace!("a request of remote control is for others"),
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "requests of remote control came too fast");
                }
                Err(RecvError::Closed) => return,
            },
        }
    }
}

async fn obey(shared: &Arc<Shared>, command: Command) {
    shared.events.heard(command.clock);
    let Command { method, arguments, ticket, reply_to, .. } = command;
    tracing::debug!(method, "remote control");
    let answered = async {
        let answer = reply::to(shared, &method, &arguments).await;
        match reply_to {
            Some(to) => send(shared, &to, ticket, answer).await,
            None => Ok(()),
        }
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(method, %error, "an answer could not be sent"),
        Err(_) => tracing::debug!(method, "an answer took too long"),
    }
}

async fn send(shared: &Shared, to: &str, ticket: Value, answer: Value) -> Result<(), BrokerError> {
    let link = shared.broker.link();
    let waiting = link.call("SMEMBERS", vec![WAITING.into()]).await?.into_array();
    let bindings = waiting.iter().filter_map(fred::prelude::Value::as_string);
    let list = bindings.into_iter().find_map(|binding| {
        let mut parts = binding.split(SEPARATOR);
        let (key, _pattern, list) = (parts.next()?, parts.next()?, parts.next()?);
        (key == to && !list.is_empty()).then(|| list.to_owned())
    });
    let Some(list) = list else {
        tracing::debug!(to, "who asked has gone");
        return Ok(());
    };
    let headers = Map::from_iter([
        ("ticket".to_owned(), ticket),
        ("clock".to_owned(), shared.events.tick().into()),
    ]);
    let mut body = Map::new();
    body.insert(shared.events.node().to_owned(), answer);
    let mut envelope = Envelope::around(&Value::Object(body), headers, (ANSWERS, to));
    envelope.properties.insert("delivery_mode".to_owned(), json!(1));
    link.call("LPUSH", vec![list.into(), envelope.to_json().into()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(body: &Value) -> Command {
        let headers = Map::from_iter([("clock".to_owned(), json!(17))]);
        let envelope = Envelope::around(body, headers, ("celery.pidbox", ""));
        Command::read(envelope.to_json().as_bytes()).unwrap()
    }

    #[test]
    fn a_captured_ping_is_read() {
        let ping = command(&json!({
            "method": "ping", "arguments": {}, "destination": null, "pattern": null, "matcher": null,
            "ticket": "cd48", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "a9b4"},
        }));
        assert_eq!((ping.method.as_str(), ping.clock), ("ping", 17));
        assert_eq!((ping.ticket.as_str(), ping.reply_to.as_deref()), (Some("cd48"), Some("a9b4")));
        assert!(ping.is_for("anybody@host"));
    }

    #[test]
    fn destination_goes_before_pattern() {
        let both = command(
            &json!({"method": "ping", "destination": ["a@h"], "pattern": "b*", "matcher": "glob"}),
        );
        assert!(both.is_for("a@h") && !both.is_for("b@h"));
        let none = command(&json!({"method": "ping", "destination": []}));
        assert!(!none.is_for("a@h"), "a list without names is for nobody");
        for (pattern, matcher, name, wanted) in [
            ("w*", "glob", "w1@host", true),
            ("w*", "glob", "b1@host", false),
            ("w?@h.st", "glob", "w1@h.st", true),
            ("w?@h.st", "glob", "w1@host", false),
            ("[!w]*", "glob", "b@h", true),
            ("[wb", "glob", "[wb", true),
            ("w\\d", "pcre", "w1@host", true),
            ("1@", "pcre", "w1@host", false),
            ("(", "pcre", "(", false),
            ("w*", "other", "w1", false),
        ] {
            assert_eq!(matches(pattern, matcher, name), wanted, "{pattern} {matcher} {name}");
        }
    }

    #[test]
    fn what_is_no_request_is_ignored() {
        for raw in [&b""[..], b"{}", b"{\"body\": \"e30=\"}"] {
            assert_eq!(Command::read(raw), None);
        }
    }
}
