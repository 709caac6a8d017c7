//! Famous days, and the whole table against the recorded sessions.

use proptest::prelude::*;

use super::*;

fn day(text: &str) -> SessionDay {
    text.parse().unwrap()
}

fn at(text: &str) -> TimeOfDay {
    text.parse().unwrap()
}

fn hours(text: &str) -> Option<(String, String)> {
    let session = Calendar::krx().session(day(text))?;
    Some((session.open.to_string(), session.close.to_string()))
}

fn from_to(open: &str, close: &str) -> Option<(String, String)> {
    Some((format!("{open}:00"), format!("{close}:00")))
}

#[test]
fn famous_closures() {
    let calendar = Calendar::krx();
    for (text, name) in [
        ("2002-07-01", "2002 FIFA World Cup National Team Semi-Finals Celebrations"),
        ("2015-08-14", "Temporary Public Holiday"),
        ("2020-08-17", "Temporary Public Holiday"),
        ("2024-10-01", "Armed Forces Day"),
        ("2025-06-03", "Presidential Election Day"),
        ("2026-06-03", "Local Election Day"),
        ("2026-07-17", "Constitution Day"),
        ("2024-12-31", "End of Year Holiday"),
    ] {
        let day = day(text);
        assert_eq!(calendar.is_session(day), Some(false), "{text}");
        assert_eq!(calendar.session(day), None, "{text}");
        assert_eq!(calendar.holiday_name(day), Some(name));
        assert_eq!(calendar.closure(day).unwrap().basis, Basis::Observed, "{text}");
    }
    // Constitution Day was no day off from 2008 to 2025.
    assert_eq!(calendar.is_session(day("2008-07-17")), Some(true));
    assert_eq!(calendar.holiday_name(day("2008-07-17")), None);
}

#[test]
fn closures_of_the_exchange_alone() {
    let calendar = Calendar::krx();
    let only = |text| calendar.closure(day(text)).unwrap().exchange_only;
    assert!(only("2025-05-01") && only("2025-12-31") && only("2000-01-03"));
    // May Day became a public holiday in 2026.
    assert!(!only("2026-05-01") && !only("2025-12-25"));
}

#[test]
fn how_sure_the_future_is() {
    let basis = |text| Calendar::krx().closure(day(text)).unwrap().basis;
    assert_eq!(basis("2026-08-17"), Basis::Observed);
    assert_eq!(basis("2026-09-24"), Basis::Announced);
    assert_eq!(basis("2027-07-19"), Basis::Expected);
}

#[test]
fn hours_of_the_time() {
    assert_eq!(hours("2016-07-29"), from_to("09:00", "15:00"));
    assert_eq!(hours("2016-08-01"), from_to("09:00", "15:30"));
    assert_eq!(hours("2000-01-04"), from_to("09:00", "15:00"));
    assert_eq!(hours("2001-01-02"), from_to("10:00", "15:00"));
    assert_eq!(hours("2026-01-02"), from_to("10:00", "15:30"));
    assert_eq!(hours("2026-01-05"), from_to("09:00", "15:30"));
    // The earthquake moved the test of 2017-11-16; both days began late.
    assert_eq!(hours("2017-11-16"), from_to("10:00", "16:30"));
    assert_eq!(hours("2017-11-23"), from_to("10:00", "16:30"));
    assert_eq!(hours("2015-11-12"), from_to("10:00", "16:00"));
    let test = Calendar::krx().session(day("2026-11-19")).unwrap();
    assert_eq!(test.hours, Hours::Shifted);
    assert_eq!((test.pre_open, test.closing_auction), (at("09:20"), at("16:20")));
    let pre_open = |text| Calendar::krx().session(day(text)).unwrap().pre_open;
    assert_eq!(pre_open("2019-04-26"), at("08:00"));
    assert_eq!(pre_open("2019-04-29"), at("08:30"));
    assert_eq!(pre_open("2026-09-11"), at("08:30"));
    assert_eq!(pre_open("2026-09-14"), at("08:20"));
}

#[test]
fn neighbours() {
    let calendar = Calendar::krx();
    // Chuseok 2025 with two weekends around it.
    assert_eq!(calendar.next_session(day("2025-10-02")), Some(day("2025-10-10")));
    assert_eq!(calendar.previous_session(day("2025-10-10")), Some(day("2025-10-02")));
    assert_eq!(calendar.next_session(day("2025-10-10")), Some(day("2025-10-13")));
    let week = calendar.sessions_between(day("2025-05-01"), day("2025-05-07")).unwrap();
    assert_eq!(week, [day("2025-05-02"), day("2025-05-07")]);
    assert_eq!(calendar.sessions_between(day("2025-05-07"), day("2025-05-02")), Ok(vec![]));
}

#[test]
fn beyond_the_table_nothing_is_known() {
    let calendar = Calendar::krx();
    assert_eq!(calendar.is_session(day("2028-01-03")), None);
    assert_eq!(calendar.is_session(day("1999-12-30")), None);
    assert_eq!(calendar.is_session(day("2028-01-01")), Some(false), "a Saturday");
    assert_eq!(calendar.session(day("2028-01-03")), None);
    assert_eq!(calendar.next_session(day("2027-12-29")), Some(day("2027-12-30")));
    assert_eq!(calendar.next_session(day("2027-12-30")), None);
    assert_eq!(calendar.previous_session(day("2000-01-04")), None);
    assert_eq!(calendar.next_session(SessionDay::from_epoch_days(i32::MAX)), None);
    let error = calendar.sessions_between(day("2027-12-30"), day("2028-01-04")).unwrap_err();
    assert_eq!(error, CalendarError::NotCovered(day("2028-01-03")));
    assert!(error.to_string().contains("2000-01-01 to 2027-12-31"), "{error}");
}

#[test]
fn corrections_win_until_the_table_agrees() {
    let mut calendar = Calendar::krx();
    let decreed = day("2026-12-24");
    assert_eq!(calendar.correct(decreed, true), Ok(false), "as the table has it");
    assert_eq!(calendar.corrections().count(), 0);
    assert_eq!(calendar.correct(decreed, false), Ok(true));
    assert_eq!(calendar.correct(decreed, false), Ok(false), "told twice");
    assert_eq!(calendar.session(decreed), None);
    assert_eq!(calendar.closure(decreed).unwrap().basis, Basis::Corrected);
    assert_eq!(calendar.next_session(day("2026-12-23")), Some(day("2026-12-28")));
    assert_eq!(calendar.corrections().collect::<Vec<_>>(), [(decreed, false)]);
    assert_eq!(calendar.correct(decreed, true), Ok(true), "taken back");
    assert_eq!(calendar, Calendar::krx());

    // A closure that does not come.
    assert_eq!(calendar.correct(day("2027-05-03"), true), Ok(true));
    assert_eq!(calendar.holiday_name(day("2027-05-03")), None);
    assert!(calendar.session(day("2027-05-03")).is_some());
}

#[test]
fn corrections_extend_the_table_and_move_the_first_session() {
    let mut calendar = Calendar::krx();
    assert_eq!(calendar.correct(day("2028-01-03"), true), Ok(true));
    assert_eq!(calendar.next_session(day("2027-12-30")), Some(day("2028-01-03")));
    // 2028-01-01 and 02 are a weekend, so this is the first session of the year.
    assert_eq!(calendar.session(day("2028-01-03")).unwrap().open, at("10:00"));
    calendar.correct(day("2027-01-04"), false).unwrap();
    assert_eq!(calendar.session(day("2027-01-05")).unwrap().hours, Hours::LateOpening);
}

#[test]
fn weekends_cannot_be_opened() {
    let mut calendar = Calendar::krx();
    let saturday = day("2026-09-19");
    let error = calendar.correct(saturday, true).unwrap_err();
    assert_eq!(error, CalendarError::WeekendSession(saturday));
    assert_eq!(calendar.correct(saturday, false), Ok(false));
    assert_eq!(calendar, Calendar::krx());
}

/// A table of the shared market data; `None`, said by name, when it is not at hand.
fn shared(test: &str, file: &str) -> Option<String> {
    let root = std::env::var_os("BONGSU_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        std::path::PathBuf::from,
    );
    let path = root.join("data").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("skipped {test}: {} is not at hand ({error})", path.display());
            None
        }
    }
}

#[test]
fn every_recorded_session_and_no_other() {
    let file = "krx-sessions-2000-2027.csv";
    let Some(text) = shared("every_recorded_session_and_no_other", file) else { return };
    let calendar = Calendar::krx();
    let mut recorded = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let session = calendar.session(day(fields[0])).unwrap_or_else(|| panic!("closed: {line}"));
        assert_eq!((session.open, session.close), (at(fields[1]), at(fields[2])), "{line}");
        recorded.push(session.day);
    }
    assert_eq!(calendar.sessions_between(VALID_FROM, VALID_UNTIL).unwrap(), recorded);
}

#[test]
fn every_recorded_closure_by_name() {
    let file = "krx-holidays-2000-2027.csv";
    let Some(text) = shared("every_recorded_closure_by_name", file) else { return };
    let calendar = Calendar::krx();
    let mut count = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let closure = calendar.closure(day(fields[0])).unwrap_or_else(|| panic!("open: {line}"));
        let basis = match fields[3] {
            "observed" => Basis::Observed,
            "calendar-both" => Basis::Announced,
            "calendar-holidays-only" => Basis::Expected,
            other => panic!("{other}"),
        };
        assert_eq!((closure.name, closure.basis), (fields[2], basis), "{line}");
        count += 1;
    }
    assert_eq!(HOLIDAYS.iter().map(|holiday| holiday.days.len()).sum::<usize>(), count);
}

proptest! {
    #[test]
    fn neighbours_are_inverse(offset in 10..DAYS as i32 - 10) {
        let calendar = Calendar::krx();
        let start = SessionDay::from_epoch_days(VALID_FROM.epoch_days() + offset);
        let next = calendar.next_session(start).unwrap();
        prop_assert!(next > start && calendar.is_session(next) == Some(true));
        let back = calendar.previous_session(next).unwrap();
        prop_assert!(back <= start);
        prop_assert_eq!(back == start, calendar.is_session(start) == Some(true));
        prop_assert_eq!(calendar.sessions_between(back, next).unwrap(), [back, next]);
    }

    #[test]
    fn hours_are_in_order(offset in 0..DAYS as i32) {
        let day = SessionDay::from_epoch_days(VALID_FROM.epoch_days() + offset);
        if let Some(s) = Calendar::krx().session(day) {
            prop_assert!(s.pre_open < s.open && s.open < s.closing_auction);
            prop_assert_eq!(s.close.seconds() - s.closing_auction.seconds(), 600);
        }
    }

    #[test]
    fn the_last_correction_holds(
        told in proptest::collection::vec((0..DAYS as i32 + 400, any::<bool>()), 0..40),
    ) {
        let mut calendar = Calendar::krx();
        let mut last = BTreeMap::new();
        for (offset, open) in told {
            let day = SessionDay::from_epoch_days(VALID_FROM.epoch_days() + offset);
            if calendar.correct(day, open).is_ok() {
                last.insert(day, open);
            }
        }
        for (day, open) in last {
            prop_assert_eq!(calendar.is_session(day), Some(open));
        }
    }
}
