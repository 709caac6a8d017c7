use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Vec<Kind> {
    let chars: Vec<char> = text.chars().collect();
    tokens(&chars).into_iter().map(|token| token.kind).collect()
}

fn figure(text: &str, unit: Unit) -> Kind {
    let value = Decimal::parse(text).unwrap();
    Kind::Quantity(Quantity::Figure(Figure { value, unit, rising: None }))
}

fn amount(text: &str) -> u128 {
    match read(text).as_slice() {
        [Kind::Quantity(Quantity::Figure(figure))] => {
            figure.value.digits * 10u128.pow(figure.value.exponent.max(0) as u32)
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn figures_as_koreans_write_them() {
    assert_eq!(
        read("71,000원에서 5.33% 하락"),
        [figure("71000", Unit::Won), figure("5.33", Unit::Percent)]
    );
    for (text, expected) in [
        ("7만 1,000원", 71_000),
        ("7만1천원", 71_000),
        ("1억 2,345만 원", 123_450_000),
        ("1.2억원", 120_000_000),
        ("3천만원", 30_000_000),
        ("114800원", 114_800),
    ] {
        assert_eq!(amount(text), expected, "{text}");
    }
    assert_eq!(
        read("88.1점, 40종목, 2순위, 1.5배 3건"),
        [
            figure("88.1", Unit::Score),
            figure("40", Unit::Issues),
            figure("2", Unit::Rank),
            figure("1.5", Unit::Times),
            figure("3", Unit::Cases),
        ]
    );
    assert_eq!(read("2,441.55포인트 +0.35%p").len(), 2);
    assert_eq!(read("수치 없음"), []);
    let huge = "9".repeat(60);
    assert_eq!(read(&huge), [Kind::Odd]);
}

#[test]
fn moments_and_lengths() {
    let whole = Kind::Quantity(Quantity::Moment(Moment([2024, 8, 5, 9, 0, 21].map(Some))));
    for text in [
        "2024-08-05 09:00:21",
        "2024.08.05 09:00:21",
        "2024년 8월 5일 9시 0분 21초",
        "2024년 8월 5일 09:00:21",
        "2024-08-05T09:00:21",
    ] {
        assert_eq!(read(text), std::slice::from_ref(&whole), "{text}");
    }
    let three = Kind::Quantity(Quantity::Moment(Moment([None, None, None, Some(15), None, None])));
    assert_eq!(read("오후 3시에"), [three]);
    assert_eq!(read("최근 5분"), [figure("300", Unit::Duration)]);
    assert_eq!(read("5분 30초 동안"), [figure("330", Unit::Duration)]);
    assert_eq!(read("2시간 5분"), [figure("7500", Unit::Duration)]);
    assert_eq!(read("60일 수익률"), [figure("60", Unit::Days)]);
}

#[test]
fn codes() {
    for text in ["삼성전자(005930)", "00088K", "A005930", "(114800)", "005930원"] {
        assert!(matches!(read(text).as_slice(), [Kind::Code(_)]), "{text}: {:?}", read(text));
    }
}

#[test]
fn signs() {
    for (text, rising) in [
        ("+5.33%", Some(true)),
        ("(-5.33%)", Some(false)),
        ("▼5.33%", Some(false)),
        ("5.33%", None),
        ("A-5.33%", None),
    ] {
        let kinds = read(text);
        let found = kinds.iter().find_map(|kind| match kind {
            Kind::Quantity(Quantity::Figure(figure)) => Some(figure.rising),
            _ => None,
        });
        assert_eq!(found, Some(rising), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in ".{0,80}", digits in "[0-9,.만억천조원%년월일시분초:T/ +-]{0,40}") {
        for text in [text, digits] {
            let chars: Vec<char> = text.chars().collect();
            let mut end = 0;
            for token in tokens(&chars) {
                prop_assert!(token.start < token.end && token.end <= chars.len());
                prop_assert!(token.end > end);
                end = token.end;
            }
        }
    }

    #[test]
    fn a_formatted_amount_is_read(won in 0i64..1_000_000_000_000) {
        prop_assert_eq!(amount(&crate::advice::korean::won(won)), won as u128);
    }
}
