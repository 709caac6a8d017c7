//! The envelope: what lies in a Redis list, and how a body is packed into it.
//!
//! One JSON object with `body`, `content-type`, `content-encoding`, `headers` and `properties`.
//! Reading is lenient where a genuine worker is (a body that is not base64, headers it does not
//! know, which are kept and passed on), and never panics, whatever the bytes are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::compression::{self, CompressionError};

/// What stands between the parts of kombu's names: of a queue and its priority, of a binding.
pub const SEPARATOR: &str = "\u{6}\u{16}";

/// Steps that a priority is rounded down to; each has a list of its own, the first is served first.
pub const PRIORITY_STEPS: [u8; 4] = [0, 3, 6, 9];

/// Bytes of a decompressed body, at most: what a client cannot send uncompressed it cannot send
/// compressed either.
pub const MAX_BODY: usize = 64 << 20;

/// The lists of a queue, in the order in which they are served.
#[must_use]
pub fn lists(queue: &str) -> [String; 4] {
    PRIORITY_STEPS.map(|step| list(queue, step))
}

/// The list of `queue` for messages of this priority.
#[must_use]
pub fn list(queue: &str, priority: u8) -> String {
    let step = PRIORITY_STEPS.iter().rev().find(|&&step| step <= priority).copied().unwrap_or(0);
    if step == 0 { queue.to_owned() } else { format!("{queue}{SEPARATOR}{step}") }
}

/// Why an element of the queue is no envelope, or its body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no JSON object.
    #[error("the message is no JSON object: {0}")]
    NotJson(String),
    /// `body` is missing or no text.
    #[error("the message has no body; expected a text")]
    NoBody,
    /// `body` is no base64, which its properties say it is.
    #[error("the body is not base64: {0}")]
    NotBase64(String),
    /// The body is compressed in a way that cannot be undone.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The body is not JSON by its own account, for instance a pickle.
    #[error("content type \"{0}\" is refused; expected application/json")]
    ContentType(String),
}

/// A message as it lies in the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The body as sent: base64 if `properties.body_encoding` says so.
    pub body: String,
    /// `application/json`, as a rule.
    pub content_type: Option<String>,
    /// `utf-8`, as a rule.
    pub content_encoding: Option<String>,
    /// Headers, those included that nobody here knows.
    pub headers: Map<String, Value>,
    /// Properties, likewise.
    pub properties: Map<String, Value>,
}

impl Envelope {
    /// Reads an element of the queue.
    ///
    /// # Errors
    /// When it is no JSON object, or has no body.
    pub fn parse(raw: &[u8]) -> Result<Self, EnvelopeError> {
        let value: Value = serde_json::from_slice(raw)
            .map_err(|error| EnvelopeError::NotJson(error.to_string()))?;
        Self::from_value(value)
    }

    /// Reads an envelope that is JSON already.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub fn from_value(value: Value) -> Result<Self, EnvelopeError> {
        let Value::Object(mut fields) = value else {
            return Err(EnvelopeError::NotJson("it is another kind of value".to_owned()));
        };
        let Some(Value::String(body)) = fields.remove("body") else {
            return Err(EnvelopeError::NoBody);
        };
        let mut object = |name| match fields.remove(name) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        let (headers, properties) = (object("headers"), object("properties"));
        let mut text = |name| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Ok(Self {
            body,
            content_type: text("content-type"),
            content_encoding: text("content-encoding"),
            headers,
            properties,
        })
    }

    /// An envelope around `body`, JSON, for the exchange and routing key given.
    #[must_use]
    pub fn around(
        body: &Value,
        headers: Map<String, Value>,
        (exchange, routing_key): (&str, &str),
    ) -> Self {
        let properties = json!({
            "delivery_mode": 2,
            "delivery_info": { "exchange": exchange, "routing_key": routing_key },
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": uuid::Uuid::new_v4().to_string(),
        });
        Self {
            body: STANDARD.encode(body.to_string()),
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            headers,
            properties: match properties {
                Value::Object(properties) => properties,
                _ => Map::new(),
            },
        }
    }

    /// The JSON text, fields in the order in which kombu writes them.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({
            "body": self.body,
            "content-encoding": self.content_encoding,
            "content-type": self.content_type,
            "headers": self.headers,
            "properties": self.properties,
        })
        .to_string()
    }

    /// The body's text: base64 and compression undone.
    ///
    /// # Errors
    /// When it is not JSON by its own account, or cannot be unpacked.
    pub fn unpack(&self) -> Result<Vec<u8>, EnvelopeError> {
        if let Some(kind) = &self.content_type
            && !kind.eq_ignore_ascii_case("application/json")
        {
            return Err(EnvelopeError::ContentType(kind.clone()));
        }
        let bytes =
            if self.properties.get("body_encoding").and_then(Value::as_str) == Some("base64") {
                STANDARD
                    .decode(self.body.as_bytes())
                    .map_err(|error| EnvelopeError::NotBase64(error.to_string()))?
            } else {
                self.body.clone().into_bytes()
            };
        match self.headers.get("compression").and_then(Value::as_str) {
            Some(method) => Ok(compression::expand(method, &bytes, MAX_BODY)?),
            None => Ok(bytes),
        }
    }

    /// The header's text, when it is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::as_str)
    }

    /// The tag under which the message is held.
    #[cfg(test)]
    pub fn tag(&self) -> Option<&str> {
        self.properties.get("delivery_tag").and_then(Value::as_str).filter(|tag| !tag.is_empty())
    }

    /// The priority as given; 0 when none was.
    #[must_use]
    pub fn priority(&self) -> u8 {
        let given = self.properties.get("priority").and_then(Value::as_u64).unwrap_or(0);
        u8::try_from(given).unwrap_or(u8::MAX)
    }

    /// The queue it was sent to, by its own account.
    #[must_use]
    pub fn routing_key(&self) -> Option<&str> {
        self.properties.get("delivery_info")?.get("routing_key")?.as_str()
    }

    /// Marks it as delivered before, as a worker does that puts it back.
    pub fn mark_redelivered(&mut self) {
        self.headers.insert("redelivered".to_owned(), Value::Bool(true));
        let info = self.properties.entry("delivery_info").or_insert_with(|| json!({}));
        if let Some(info) = info.as_object_mut() {
            info.insert("redelivered".to_owned(), Value::Bool(true));
        }
    }

    /// Whether it was delivered before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.headers.get("redelivered") == Some(&Value::Bool(true))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_priority_picks_the_list_that_kombu_takes() {
        let lists = [0, 1, 2, 3, 5, 6, 8, 9, 10, 255].map(|priority| list("q", priority));
        let wanted = ["q", "q", "q", "q3", "q3", "q6", "q6", "q9", "q9", "q9"]
            .map(|name| name.replacen('q', "", 1))
            .map(|step| if step.is_empty() { "q".to_owned() } else { format!("q\x06\x16{step}") });
        assert_eq!(lists, wanted);
    }

    #[test]
    fn other_content_types_are_refused_and_a_missing_one_is_json() {
        let mut envelope = Envelope::around(&json!([[], {}, {}]), Map::new(), ("", "q"));
        assert_eq!(envelope.unpack().unwrap(), b"[[],{},{}]");
        envelope.content_type = None;
        assert!(envelope.unpack().is_ok());
        envelope.content_type = Some("application/x-python-serialize".to_owned());
        let error = envelope.unpack().unwrap_err();
        assert!(error.to_string().contains("x-python-serialize"), "{error}");
    }

    #[test]
    fn putting_it_back_sets_both_flags() {
        let mut envelope = Envelope::around(&json!([]), Map::new(), ("", "q"));
        envelope.mark_redelivered();
        assert!(envelope.is_redelivered());
        assert_eq!(envelope.properties["delivery_info"]["redelivered"], json!(true));
        assert_eq!(envelope.routing_key(), Some("q"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite()).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_body_comes_back(body in any_json(), header in any_json()) {
            let headers = Map::from_iter([("custom".to_owned(), header)]);
            let sent = Envelope::around(&body, headers, ("", "ai_tasks"));
            let read = Envelope::parse(sent.to_json().as_bytes()).unwrap();
            prop_assert_eq!(&read, &sent);
            let text = read.unpack().unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), body);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(envelope) = Envelope::parse(&bytes) {
                let _ = envelope.unpack();
            }
        }

        #[test]
        fn no_object_makes_it_panic(
            body in any_json(), headers in any_json(), properties in any_json(), kind in any_json(),
        ) {
            let value = json!({
                "body": body, "headers": headers, "properties": properties, "content-type": kind,
            });
            if let Ok(envelope) = Envelope::from_value(value) {
                let _ = (envelope.unpack(), envelope.tag(), envelope.priority());
                let _ = (envelope.routing_key(), envelope.is_redelivered());
                let mut envelope = envelope;
                envelope.mark_redelivered();
            }
        }
    }
}
