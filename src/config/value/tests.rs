use super::*;

fn shown(kind: Kind, text: &str) -> Option<String> {
    kind.parse(text, Form::Text, false).map(|value| value.to_string())
}

#[test]
fn lists_of_codes() {
    let codes = |text| shown(Kind::Symbols, text);
    assert_eq!(codes("005930, 000660,005930,").as_deref(), Some("005930,000660"));
    assert_eq!(codes("").as_deref(), Some(""));
    assert_eq!(codes("005930,삼성전자"), None);
    assert_eq!(codes("123456789"), None);
    assert!(Kind::Symbols.parse("5930", Form::Number, false).is_none());
}

#[test]
fn lists_of_texts() {
    let list = Kind::Texts.parse("mute:at=10:00:00,for=9s;cut", Form::List, false);
    assert_eq!(list.unwrap().to_string(), "mute:at=10:00:00,for=9s;cut");
    assert!(Kind::Texts.parse("a\u{7}", Form::Text, false).is_none());
    assert!(Kind::Texts.parse("1", Form::Number, false).is_none());
}

#[test]
fn numbers_keep_their_limits() {
    let whole = Kind::Integer(1, 100_000);
    assert_eq!(shown(whole, "100_000").as_deref(), Some("100000"));
    for wrong in ["0", "100001", "-1", "+5", "1.0", "", "_1", "१", "99999999999999999999999"] {
        assert_eq!(shown(whole, wrong), None, "{wrong}");
    }
    let number = Kind::Number(0.1, 50.0);
    assert_eq!(shown(number, "5").as_deref(), Some("5"));
    for wrong in ["NaN", "inf", "0", "50.1", "five"] {
        assert_eq!(shown(number, wrong), None, "{wrong}");
    }
}

#[test]
fn accounts_are_normalised() {
    let account = |text| shown(Kind::Account, text);
    assert_eq!(account("12345678").as_deref(), Some("12345678-01"));
    assert_eq!(account("1234567822").as_deref(), Some("12345678-22"));
    assert_eq!(account("12345678-22").as_deref(), Some("12345678-22"));
    for wrong in ["1234567", "12345678-", "1234-567822", "12345678-2", "abcdefgh", ""] {
        assert_eq!(account(wrong), None, "{wrong}");
    }
}

#[test]
fn lists_of_urls() {
    let kind = Kind::Urls(&["redis", "rediss"]);
    let list = "redis://h:1/0, rediss://u:canary@h2";
    assert_eq!(shown(kind, list).as_deref(), Some("redis://h:1/0,rediss://u:***@h2"));
    for wrong in ["", ",", "redis://h,http://h", "redis://h,:canary@h", "h:6379"] {
        assert_eq!(shown(kind, wrong), None, "{wrong}");
        assert!(!kind.shown(wrong, false).contains("canary"), "{wrong}");
    }
}

#[test]
fn names_of_groups() {
    for right in ["alerts", "risk.alerts-2_a", "a"] {
        assert_eq!(shown(Kind::Name, right).as_deref(), Some(right));
    }
    for wrong in ["", "a b", "경보", "a:b", "a!", &"a".repeat(100)] {
        assert_eq!(shown(Kind::Name, wrong), None, "{wrong}");
    }
}

#[test]
fn addresses_to_listen_on() {
    let listen = |text| shown(Kind::Listen, text);
    assert_eq!(listen("localhost:8700").as_deref(), Some("127.0.0.1:8700"));
    assert_eq!(listen("[::1]:0").as_deref(), Some("[::1]:0"));
    for wrong in ["8700", ":8700", "example.com:80", "127.0.0.1:65536"] {
        assert_eq!(listen(wrong), None, "{wrong}");
    }
}

#[test]
fn wrong_values_show_no_credentials() {
    let url = Kind::Url(&["redis"]);
    for text in ["http://u:canary@h", "redis//:canary@h", "no url?password=canary"] {
        assert!(!url.shown(text, false).contains("canary"), "{text}");
    }
    assert_eq!(url.shown("http://h", false), "\"http://h/\"");
    assert_eq!(Kind::Text.shown("canary", true), HIDDEN);
    assert!(Kind::Text.shown(&"x".repeat(1_000), false).len() < 100);
}
