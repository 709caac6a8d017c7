//! The bytes are those of `channels_redis` 4.3, and decode to what went in.

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::*;
use crate::market::EventTime;
use crate::messages::EventKind;

/// What the genuine layer wrote.
fn captured() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/channels_layer.json")).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    hex::decode(hex.as_str().unwrap()).unwrap()
}

fn codec(serializer: Serializer) -> Codec {
    Codec { serializer, cipher: None }
}

fn event(data: &Value) -> OutwardEvent {
    let time = EventTime::from_micros(1_722_816_021_000_000);
    OutwardEvent::new(EventKind::Crash, "id".into(), "005930", "005930", time, data)
}

#[test]
fn core_writes_the_captured_bytes() {
    let core = &captured()["core"];
    let mut message = core["message"].clone();
    message["__asgi_channel__"] = core["channels"].clone();
    let member = &core["keys_after_group_send"][0]["members"][0];
    let prefix = bytes(&member["random_prefix_hex"]);
    assert_eq!(prefix.len(), RANDOM_PREFIX);
    let written = codec(Serializer::Msgpack).seal(&message, 0, prefix).unwrap();
    assert_eq!(written, bytes(&member["bytes_hex"]));
}

#[test]
fn pubsub_publishes_the_captured_bytes() {
    let pubsub = &captured()["pubsub"];
    let written = codec(Serializer::Msgpack).seal(&pubsub["message"], 0, Vec::new()).unwrap();
    assert_eq!(written, bytes(&pubsub["msgpack_hex"]));
}

#[test]
fn names_are_the_captured_ones() {
    let captured = captured();
    let core = &captured["core"];
    let channels = core["channels"].as_array().unwrap();
    let processes = by_process(channels.iter().map(|channel| channel.as_str().unwrap()));
    let [(process, members)] = processes.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(inbox_key("asgi", process), core["keys_after_group_send"][0]["key"]);
    assert_eq!(group_key("asgi", "alerts"), core["keys_after_group_send"][1]["key"]);
    assert_eq!(group_channel("asgi", "alerts"), captured["pubsub"]["redis_channel"]);
    let general = &captured["core_general_channel"];
    let channel = general["channel"].as_str().unwrap();
    assert_eq!(inbox_key("asgi", process_of(channel)), general["key"]);
    assert_eq!(process_of("specific.a!b!c"), "specific.a!");
}

/// As `channels_redis.utils._consistent_hash` answers.
#[test]
fn hosts_are_chosen_as_the_layer_does() {
    let names = [
        "alerts",
        "asgi__group__alerts",
        "specific.b5e5a35fe30c4207b74379700777fe12!",
        "background-jobs",
        "한글",
        "",
    ];
    for (hosts, expected) in HOSTS {
        assert_eq!(names.map(|name| host_of(name, *hosts)), *expected, "{hosts} hosts");
    }
}

const HOSTS: &[(usize, [usize; 6])] = &[
    (1, [0, 0, 0, 0, 0, 0]),
    (2, [0, 1, 0, 0, 1, 0]),
    (3, [0, 2, 1, 0, 2, 0]),
    (5, [0, 4, 2, 1, 4, 0]),
    (7, [0, 6, 3, 1, 5, 0]),
    (6, [0, 5, 2, 1, 5, 0]),
];

#[test]
fn an_inbox_gets_the_event_with_its_members_behind_fresh_random_bytes() {
    let message = Message::of(&event(&json!({"name": "삼성전자", "score": 88.0}))).unwrap();
    let codec = codec(Serializer::Msgpack);
    let write = || codec.for_inbox(&message, &["specific.a!1", "specific.a!2"], 0).unwrap();
    let (first, second) = (write(), write());
    assert_ne!(first[..RANDOM_PREFIX], second[..RANDOM_PREFIX], "or the second moves the first");
    assert_eq!(first[RANDOM_PREFIX..], second[RANDOM_PREFIX..]);
    let decoded = decode(&first[RANDOM_PREFIX..]);
    assert_eq!(decoded["__asgi_channel__"], json!(["specific.a!1", "specific.a!2"]));
    assert_eq!(decoded["type"], "bongsu.event");
    assert_eq!(decoded["channel"], "bongsu.crash.005930");
    assert_eq!(decoded["event"]["type"], "io.bongsu.crash.v1");
    assert_eq!(decoded["event"]["data"], json!({"name": "삼성전자", "score": 88.0}));
    let published = decode(&codec.published(&message, 0).unwrap());
    assert_eq!(published.as_object().unwrap().len(), 3, "no members for a pubsub layer");
}

#[test]
fn a_token_stands_behind_the_random_bytes() {
    let cipher = Some(Fernet::of_secret(&"secret".to_owned().into()));
    let codec = Codec { serializer: Serializer::Msgpack, cipher };
    let message = Message::of(&event(&json!({}))).unwrap();
    let written = codec.for_inbox(&message, &["specific.a!1"], 1_722_816_021).unwrap();
    // 0x80 and the upper bytes of the time.
    assert!(written[RANDOM_PREFIX..].starts_with(b"gAAAAA"));
    assert!(codec.published(&message, 1_722_816_021).unwrap().starts_with(b"gAAAAA"));
    assert_ne!(codec.published(&message, 1).unwrap(), codec.published(&message, 1).unwrap());
}

/// A reader of its own, which takes only what the layer's reader takes: text keys, no bytes, no
/// extensions; and of numbers with a fraction only float64.
fn decode(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    let value = decode_one(&mut rest);
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    value
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn unsigned(rest: &mut &[u8], width: usize) -> u64 {
    take(rest, width).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn decode_one(rest: &mut &[u8]) -> Value {
    let marker = take(rest, 1)[0];
    match marker {
        0x00..=0x7f => marker.into(),
        0x80..=0x8f => map(rest, (marker & 0x0f).into()),
        0x90..=0x9f => list(rest, (marker & 0x0f).into()),
        0xa0..=0xbf => text(rest, (marker & 0x1f).into()),
        0xc0 => Value::Null,
        0xc2 | 0xc3 => (marker == 0xc3).into(),
        0xcb => Number::from_f64(f64::from_bits(unsigned(rest, 8))).unwrap().into(),
        0xcc..=0xcf => unsigned(rest, 1 << (marker - 0xcc)).into(),
        0xd0..=0xd3 => {
            let width = 1 << (marker - 0xd0);
            let shift = 64 - 8 * width;
            (((unsigned(rest, width) << shift) as i64) >> shift).into()
        }
        0xd9..=0xdb => {
            let length = unsigned(rest, 1 << (marker - 0xd9));
            text(rest, length)
        }
        0xdc | 0xdd => {
            let length = unsigned(rest, 2 << (marker - 0xdc));
            list(rest, length)
        }
        0xde | 0xdf => {
            let length = unsigned(rest, 2 << (marker - 0xde));
            map(rest, length)
        }
        0xe0..=0xff => i64::from(marker as i8).into(),
        _ => panic!("{marker:#x} is not for the layer"),
    }
}

fn text(rest: &mut &[u8], length: u64) -> Value {
    let bytes = take(rest, usize::try_from(length).unwrap());
    String::from_utf8(bytes.to_vec()).unwrap().into()
}

fn list(rest: &mut &[u8], length: u64) -> Value {
    (0..length).map(|_| decode_one(rest)).collect()
}

fn map(rest: &mut &[u8], length: u64) -> Value {
    let mut map = Map::new();
    for _ in 0..length {
        let Value::String(key) = decode_one(rest) else { panic!("a key is text") };
        assert!(map.insert(key, decode_one(rest)).is_none(), "a key comes once");
    }
    map.into()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter_map("JSON has no infinity", Number::from_f64)
            .prop_map(Value::from),
        (-40_000i64..70_000).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[가-힣a-z]{200,400}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(".{0,12}", inner, 0..20)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_sent_is_what_was_said(data in any_json(), members in prop::collection::vec("[a-z.]{1,9}![0-9a-f]{32}", 1..40)) {
        let event = event(&data);
        let message = Message::of(&event).unwrap();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let expected: Value = serde_json::from_str(&event.json).unwrap();
        let written = codec(Serializer::Msgpack).for_inbox(&message, &members, 0).unwrap();
        let decoded = decode(&written[RANDOM_PREFIX..]);
        prop_assert_eq!(&decoded["event"], &expected);
        prop_assert_eq!(&decoded["event"]["data"], &data);
        prop_assert_eq!(&decoded["__asgi_channel__"], &json!(members));
        let json = codec(Serializer::Json).for_inbox(&message, &members, 0).unwrap();
        let read: Value = serde_json::from_slice(&json[RANDOM_PREFIX..]).unwrap();
        prop_assert_eq!(read, decoded);
    }

    #[test]
    fn each_member_is_in_its_process_once(channels in prop::collection::btree_set("[ab]{1,2}(![a-c]{1,2})?", 0..40)) {
        let processes = by_process(channels.iter().map(String::as_str));
        let mut told = Vec::new();
        for (process, members) in &processes {
            for member in members {
                prop_assert!(member.starts_with(process));
                prop_assert_eq!(process.ends_with('!'), member.contains('!'));
                told.push((*member).to_owned());
            }
        }
        told.sort();
        prop_assert_eq!(told, channels.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_host_is_one_of_them(name in ".{0,40}", hosts in 1usize..100) {
        prop_assert!(host_of(&name, hosts) < hosts);
    }
}
