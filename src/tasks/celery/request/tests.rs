use proptest::prelude::*;
use serde_json::json;

use super::*;

fn message(headers: Value, body: &Value) -> Envelope {
    let Value::Object(headers) = headers else { panic!("headers are an object") };
    Envelope::around(body, headers, ("", "ai_tasks"))
}

fn refused(headers: Value, body: &Value) -> Refusal {
    *read(message(headers, body)).unwrap_err()
}

#[test]
fn the_smallest_message_is_read() {
    let raw = r#"{"body": "W1tdLCB7fSwge31d", "content-encoding": "utf-8", "content-type": "application/json",
        "headers": {"task": "debug_ping", "id": "minimal-1"},
        "properties": {"body_encoding": "base64", "delivery_tag": "tag-min-1",
            "delivery_info": {"exchange": "", "routing_key": "ai_tasks"}}}"#;
    let request = read(Envelope::parse(raw.as_bytes()).unwrap()).unwrap();
    assert_eq!((request.name.as_str(), request.id.as_str()), ("debug_ping", "minimal-1"));
    assert_eq!(request.root_id, "minimal-1");
    assert_eq!(request.envelope.tag(), Some("tag-min-1"));
    assert!(!request.ignore_result && request.embed == Embed::default());
}

#[test]
fn every_header_is_read() {
    let headers = json!({
        "task": "t", "id": "i", "retries": 2, "timelimit": [30, 20], "group": "g", "group_index": 3,
        "eta": "2026-11-22T07:01:05.593211+00:00", "expires": "2026-11-22T08:00:00Z",
        "root_id": "r", "parent_id": "p", "ignore_result": true, "shadow": "s", "origin": "gen1@h",
    });
    let body = json!([[1], {"a": 2}, {"callbacks": [{"task": "c"}], "chord": {"task": "b"}}]);
    let request = read(message(headers, &body)).unwrap();
    assert_eq!((request.retries, request.time_limit), (2, (Some(30.0), Some(20.0))));
    assert_eq!((request.group.as_deref(), request.group_index), (Some("g"), Some(3)));
    assert_eq!(request.eta.map(time::format).unwrap(), "2026-11-22T07:01:05.593211+00:00");
    assert!(request.ignore_result && request.is_expired(time::now().max(request.expires.unwrap())));
    assert_eq!((request.shown_name(), request.origin()), ("s", "gen1@h"));
    assert_eq!(request.embed.callbacks, [json!({"task": "c"})]);
    assert!(request.embed.chord.is_some());
}

#[test]
fn what_cannot_be_run_says_why_and_tells_the_client_where_it_can() {
    let ok = json!({"task": "t", "id": "i"});
    let empty = json!([[], {}, {}]);
    for (headers, body, reason, told) in [
        (ok.clone(), json!([[], {}]), "body", true),
        (ok.clone(), json!([1, {}, {}]), "arguments", true),
        (ok.clone(), json!([[], [], {}]), "arguments", true),
        (json!({"task": "t", "id": "i", "eta": "garbage"}), empty.clone(), "moment", true),
        (json!({"task": "t", "id": "i", "expires": 7}), empty.clone(), "moment", true),
        (json!({"task": "t"}), empty.clone(), "no_id", false),
        (json!({"id": "i"}), empty.clone(), "no_task", false),
        (json!({}), empty, "no_task", false),
        (json!({"task": "t", "id": "i", "ignore_result": true}), json!([]), "body", false),
    ] {
        let refusal = refused(headers, &body);
        assert_eq!((refusal.reason, refusal.failure.is_some()), (reason, told), "{refusal:?}");
    }
}

#[test]
fn a_body_that_is_not_json_is_told_to_nobody() {
    let mut envelope = message(json!({"task": "t", "id": "i"}), &json!([]));
    envelope.body = "bm90IGpzb24=".to_owned();
    let refusal = read(envelope).unwrap_err();
    assert_eq!((refusal.reason, refusal.failure), ("body", None));
}

#[test]
fn pythons_nan_is_a_failure_that_says_so() {
    let mut envelope = message(json!({"task": "t", "id": "i"}), &json!([]));
    envelope.properties.remove("body_encoding");
    envelope.body = r#"[[NaN, "NaN \" Infinity", -Infinity], {}, {}]"#.to_owned();
    let refusal = read(envelope).unwrap_err();
    assert_eq!(refusal.reason, "not_finite");
    assert!(refusal.failure.unwrap().message().contains("NaN"));
    assert_eq!(
        without_nan(br#"["NaN \" x", NaN]"#),
        Some(json!(["NaN \" x", null])),
        "texts are left alone"
    );
}

#[test]
fn protocol_1_becomes_protocol_2() {
    let body = json!({"task": "t", "id": "i", "args": [1], "kwargs": {"a": 2}, "retries": 1,
        "taskset": "g", "callbacks": null, "chord": null, "utc": true});
    let request = read(message(json!({}), &body)).unwrap();
    assert_eq!((request.name.as_str(), request.retries), ("t", 1));
    assert_eq!(request.group.as_deref(), Some("g"));
    assert_eq!(request.envelope.header("task"), Some("t"));
}

#[test]
fn absent_bytes_and_wrong_kinds_never_panic_by_hand() {
    for raw in [&b""[..], b"null", b"[]", b"{}", b"\xff\xfenot json", b"{\"body\": 7}"] {
        assert!(Envelope::parse(raw).is_err());
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(text in ".{0,120}", base64 in any::<bool>()) {
        let mut envelope = message(json!({"task": "t", "id": "i"}), &json!([]));
        envelope.body = text;
        if !base64 {
            envelope.properties.remove("body_encoding");
        }
        let _ = read(envelope);
    }
}
