//! The grammar: every kind and key, refusals by name, and texts from nowhere.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<FaultSpec, FaultSpecError> {
    text.parse()
}

#[test]
fn the_table_has_every_kind_once_and_only_its_own_keys() {
    for (at, row) in KINDS.iter().enumerate() {
        assert_eq!(row.kind.row().name, row.name);
        assert!(KINDS[at + 1..].iter().all(|other| other.name != row.name));
        assert!(row.keys.iter().all(|key| !COMMON.contains(key)), "{}", row.name);
        let spec = parse(row.name).unwrap();
        assert_eq!(spec, FaultSpec::new(row.kind));
        assert_eq!(spec.to_string(), row.name);
    }
}

#[test]
fn a_specification_says_what_it_says() {
    let spec = parse("wrong-ack: at=09:30:00, times=3 ,symbol=005930,code=OPSP0008").unwrap();
    assert_eq!(spec.kind(), FaultKind::WrongAck);
    assert_eq!(spec.at, TimeOfDay::from_hms(9, 30, 0));
    assert_eq!((spec.times, spec.code.as_deref()), (Some(3), Some("OPSP0008")));
    assert_eq!(spec.symbol.unwrap().as_str(), "005930");
    let spec = parse("mute:for=1.5s").unwrap();
    assert_eq!((spec.lasts, spec.limit()), (Some(Duration::from_millis(1_500)), None));
    assert_eq!(parse("lose:p=0.001").unwrap().limit(), None);
    assert_eq!(parse("lose:after=5").unwrap().limit(), Some(1));
    assert_eq!(parse("blocked").unwrap().limit(), None);
    let list = FaultSpec::parse_list(" cut:after=5; ;mute ").unwrap();
    assert_eq!(
        list.iter().map(FaultSpec::kind).collect::<Vec<_>>(),
        [FaultKind::Cut, FaultKind::Mute]
    );
    assert_eq!(FaultSpec::parse_list("").unwrap(), []);
}

#[test]
fn refusals_name_kind_key_value_and_what_is_allowed() {
    for (text, expected) in [
        ("", "fault \"\": there is no such kind; expected one of mute, mute-all"),
        ("mutte", "fault \"mutte\": there is no such kind"),
        ("mute:every=3", "fault mute: it takes no key \"every\"; expected one of at, after, times"),
        ("lose:p=1.5", "fault lose: p=\"1.5\" cannot be; expected a number above 0, at most 1"),
        ("lose:p=nan", "p=\"nan\" cannot be"),
        ("lose:every=0", "every=\"0\" cannot be; expected a whole number above 0"),
        ("lose:every=+1", "every=\"+1\" cannot be"),
        ("lose:every", "fault lose: every has no value; expected every=a whole number above 0"),
        ("lose:every=2,p=0.5", "every and p exclude each other"),
        ("lose:after=2,after=3", "fault lose: after is given twice"),
        ("cut:at=25:00:00", "at=\"25:00:00\" cannot be; expected a Korean time of day"),
        ("slow:ms=60001", "ms=\"60001\" cannot be"),
        ("mute:for=0s", "for=\"0s\" cannot be"),
        ("mute:for=inf", "for=\"inf\" cannot be"),
        ("close:code=1006", "code=\"1006\" cannot be; expected a close code"),
        ("http:code=200", "code=\"200\" cannot be; expected an HTTP status from 400"),
        ("refuse-connect:code=EGW00201", "expected an HTTP status"),
        ("wrong-ack:code=7", "expected a KIS code"),
        ("reorder:any=1", "any=\"1\" cannot be; expected no value"),
        ("lose:symbol=삼성전자", "symbol=\"삼성전자\" cannot be; expected an issue"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_help_tells_every_kind_and_key() {
    let help = fault_help();
    assert!(KINDS.iter().all(|row| help.contains(&format!("  {:18} ", row.name))));
    assert!(Key::ALL.iter().all(|key| help.contains(&format!("  {:18} ", key.name()))));
}

/// A value that `key` takes.
fn value(kind: FaultKind, key: Key) -> BoxedStrategy<String> {
    match key {
        Key::At => (0u32..86_400)
            .prop_map(|second| TimeOfDay::from_seconds(second).unwrap().to_string())
            .boxed(),
        Key::After => any::<u64>().prop_map(|n| n.to_string()).boxed(),
        Key::Every | Key::Times | Key::Session | Key::Owner => {
            (1..=u64::MAX).prop_map(|n| n.to_string()).boxed()
        }
        Key::Chance => (1e-9..=1.0).prop_map(|p: f64| p.to_string()).boxed(),
        Key::For => (1u64..=86_400_000_000)
            .prop_map(|micros| format!("{}s", Duration::from_micros(micros).as_secs_f64()))
            .boxed(),
        Key::Symbol => "[0-9A-Z]{1,8}".boxed(),
        Key::Tr => "[0-9A-Z]{1,12}".boxed(),
        Key::Endpoint => "[a-z-]{1,40}".boxed(),
        Key::Ms => (1u64..=60_000).prop_map(|n| n.to_string()).boxed(),
        Key::Code => match kind {
            FaultKind::Close => (3000u64..=4999).prop_map(|n| n.to_string()).boxed(),
            FaultKind::RefuseConnect => (400u64..=599).prop_map(|n| n.to_string()).boxed(),
            _ => "[A-Z]{3}[0-9]{5}".boxed(),
        },
        Key::Reason => "[a-z가-힣]([a-z가-힣 ]{0,30}[a-z가-힣])?".boxed(),
        Key::Frames => (0u64..=10_000).prop_map(|n| n.to_string()).boxed(),
        Key::Form => {
            prop_oneof![Just("text"), Just("binary"), Just("utf8")].prop_map(str::to_owned).boxed()
        }
        Key::On => {
            prop_oneof![Just("ws"), Just("rest"), Just("all")].prop_map(str::to_owned).boxed()
        }
        Key::FromStart | Key::Any => Just(String::new()).boxed(),
    }
}

/// A specification out of everything that its kind takes.
fn specification() -> impl Strategy<Value = String> {
    (0..KINDS.len()).prop_flat_map(|index| {
        let row = &KINDS[index];
        let keys: Vec<Key> = COMMON.iter().chain(row.keys).copied().collect();
        let values: Vec<_> = keys.iter().map(|key| value(row.kind, *key)).collect();
        let wanted = proptest::collection::vec(any::<bool>(), keys.len());
        (values, wanted).prop_map(move |(values, wanted)| {
            let exclusive = |key: Key| match key {
                Key::Chance => keys.iter().position(|key| *key == Key::Every),
                Key::FromStart => keys.iter().position(|key| *key == Key::At),
                _ => None,
            };
            let items: Vec<String> = (0..keys.len())
                .filter(|&at| wanted[at])
                .filter(|&at| exclusive(keys[at]).is_none_or(|other| !wanted[other]))
                .map(|at| match values[at].as_str() {
                    "" => keys[at].name().to_owned(),
                    value => format!("{}={value}", keys[at].name()),
                })
                .collect();
            format!("{}:{}", row.name, items.join(","))
        })
    })
}

proptest! {
    #[test]
    fn what_is_shown_parses_to_the_same(text in specification()) {
        let spec = parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(parse(&spec.to_string()), Ok(spec.clone()), "{}", spec);
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,60}") {
        if let Ok(spec) = parse(&text) {
            prop_assert_eq!(parse(&spec.to_string()), Ok(spec));
        }
    }

    #[test]
    fn no_tail_is_too_odd(index in 0..KINDS.len(), tail in "(at|p|for|code|=|,|:|[0-9.]|\\PC){0,12}") {
        let text = format!("{}:{tail}", KINDS[index].name);
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().contains(KINDS[index].name), "{}", error);
        }
    }
}
