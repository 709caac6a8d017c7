//! Each finding by itself, without KIS.

use super::*;
use crate::cli::finding::State;
use crate::config::Sources;
use crate::kis::{BlockCause, TransportFault};

fn settings(environment: &[(&str, &str)]) -> Settings {
    let keys = [("KIS_APP_KEY", "k"), ("KIS_APP_SECRET", "s")];
    let environment = keys.iter().chain(environment).map(|(n, v)| ((*n).into(), (*v).into()));
    Settings::load(&Sources { environment: environment.collect(), ..Sources::default() }).unwrap()
}

fn refused(code: &str) -> KisError {
    KisError::Refused { endpoint: "token", code: code.into(), message: "…".into(), status: 403 }
}

#[test]
fn the_calendar_by_the_day() {
    let on = |day: &str| calendar(day.parse().unwrap());
    let session = on("2026-09-15");
    assert_eq!(session.state, State::Ok);
    assert!(session.found.starts_with("2026-09-15 is a session, next 2026-09-16, "), "{session:?}");
    let saturday = on("2026-09-19");
    assert!(saturday.found.starts_with("2026-09-19 is no session, next "), "{saturday:?}");
    let holiday = on("2026-12-25");
    assert!(holiday.found.starts_with("2026-12-25 is no session ("), "{holiday:?}");
    assert_eq!(on("2027-10-02").state, State::Ok);
    assert_eq!(on("2027-10-03").state, State::Warn);
    let last = on("2027-12-31");
    assert_eq!(last.state, State::Warn);
    assert!(last.found.contains("only 0 of the next 5 sessions"), "{last:?}");
    for (day, advice) in [("2028-01-03", "install a release"), ("1999-12-31", "clock")] {
        let check = on(day);
        assert_eq!(check.state, State::Fail, "{day}");
        assert!(check.found.starts_with("no holiday data: "), "{check:?}");
        assert!(check.advice.contains(advice), "{check:?}");
    }
}

#[test]
fn the_clock_by_its_difference() {
    for (seconds, state, found) in [
        (0, State::Ok, "the same"),
        (5, State::Ok, "5 s behind"),
        (-5, State::Ok, "5 s ahead"),
        (6, State::Warn, "6 s behind"),
        (-60, State::Warn, "60 s ahead"),
        (61, State::Fail, "61 s behind"),
        (-3_600, State::Fail, "3600 s ahead"),
    ] {
        let check = clock(TimeDelta::seconds(seconds));
        assert_eq!(check.state, state, "{check:?}");
        assert!(check.found.starts_with(found), "{check:?}");
        assert_eq!(check.advice.is_empty(), state == State::Ok);
    }
}

#[test]
fn the_calendar_of_kis() {
    let (today, real) = ("2026-09-15".parse::<SessionDay>().unwrap(), settings(&[]));
    let row = |offset: i32, open| {
        let day = SessionDay::from_epoch_days(today.epoch_days() + offset);
        CalendarDay { day, open, business: open, trading: open, settlement: open }
    };
    let check = |answer| kis_calendar(answer, today, &real);
    assert_eq!(check(Ok(vec![row(0, true), row(1, true)])).state, State::Ok);
    let differs = check(Ok(vec![row(0, true), row(1, false)]));
    assert_eq!(differs.state, State::Warn);
    assert!(differs.found.ends_with("2026-09-16 closed"), "{differs:?}");
    for answer in [Ok(vec![]), Ok(vec![row(1, true)]), Err(refused("EGW00316"))] {
        let check = check(answer);
        assert_eq!(check.state, State::Fail);
        assert!(check.found.starts_with("no holiday data: "), "{check:?}");
        assert!(check.advice.contains("built-in calendar"), "{check:?}");
    }
    let paper = KisError::NotInPaperTrading { endpoint: "holidays" };
    assert_eq!(check(Err(paper)).state, State::Ok);
}

#[test]
fn each_refusal_says_what_to_do() {
    let (real, mock) = (settings(&[]), settings(&[("KIS_ENV", "mock")]));
    let transport = KisError::Transport {
        endpoint: "token",
        base_url: "http://x".into(),
        fault: TransportFault::Connect,
        detail: "connection refused".into(),
    };
    let block = KisError::Blocked {
        endpoint: "token",
        since: EventTime::from_micros(0),
        until: EventTime::from_micros(300_000_000),
        cause: BlockCause::Page(403),
    };
    for (settings, error, advice) in [
        (&real, refused("EGW00103"), "in force: real"),
        (&mock, refused("EGW00105"), "in force: mock"),
        (&real, refused("EGW00304"), "KIS_APP_SECRET"),
        (&real, refused("EGW02004"), "set KIS_ENV=mock"),
        (&mock, refused("EGW02004"), "set KIS_ENV=real"),
        (&real, refused("EGW00121"), "KIS_ENV=real"),
        (&real, refused("EGW00206"), "apply for the API"),
        (&real, transport, "KIS_BASE_URL"),
        (&real, block, "portal"),
    ] {
        let check = trouble("kis keys".into(), &error, settings);
        assert_eq!(check.state, State::Fail);
        assert!(check.advice.contains(advice), "{check:?}");
    }
}

#[test]
fn a_block_says_since_when_until_when_and_why() {
    let block = Block {
        since: EventTime::from_micros(0),
        until: EventTime::from_micros(300_000_000),
        cause: BlockCause::Refusal("EGW00207".into()),
        count: 1,
    };
    let check = blocked("kis keys".into(), &block);
    assert_eq!(check.state, State::Fail);
    for part in ["since 1970-01-01T09:00:00+09:00", "EGW00207", "before 1970-01-01T09:05:00+09:00"]
    {
        assert!(check.found.contains(part), "{check:?}");
    }
    assert!(check.advice.contains("KIS's support"), "{check:?}");
}

#[test]
fn addresses_of_the_other_environment() {
    let paper = ("KIS_BASE_URL", "https://openapivts.koreainvestment.com:29443");
    let socket = ("KIS_WS_URL", "ws://ops.koreainvestment.com:21000");
    assert_eq!(environment(&settings(&[])).state, State::Ok);
    assert_eq!(environment(&settings(&[("KIS_ENV", "mock")])).state, State::Ok);
    assert_eq!(environment(&settings(&[("KIS_ENV", "mock"), paper])).state, State::Ok);
    let mixed = environment(&settings(&[paper]));
    assert_eq!(mixed.state, State::Fail);
    assert!(mixed.advice.starts_with("set KIS_ENV=mock"), "{mixed:?}");
    let mixed = environment(&settings(&[("KIS_ENV", "mock"), socket]));
    assert!(mixed.advice.starts_with("set KIS_ENV=real"), "{mixed:?}");
    // An address of one's own, such as the simulator's, may be of either.
    let own = [("KIS_BASE_URL", "http://127.0.0.1:1"), ("KIS_WS_URL", "ws://127.0.0.1:1")];
    assert_eq!(environment(&settings(&own)).state, State::Ok);
}

fn slots(symbols: usize, keys: usize, environment: &[(&str, &str)]) -> Check {
    let trades_and_state = [environment, &[("BONGSU_FEED__INTERRUPTIONS", "off")]].concat();
    let settings = settings(&trades_and_state);
    let codes: Vec<Symbol> = (1..=symbols).map(|n| format!("{n:06}").parse().unwrap()).collect();
    registrations(&settings, &assembly::watch(&settings, &codes).unwrap(), keys)
}

#[test]
fn slots_in_use_free_and_polled() {
    let books_off = [("BONGSU_FEED__BOOKS", "off")];
    // Two trades, two indices, the market's state.
    let few = slots(2, 1, &books_off);
    assert_eq!((few.state, &few.found[..]), (State::Ok, "5 of 41 slots in use, 36 free"));
    let notices = [("BONGSU_FEED__BOOKS", "off"), ("KIS_HTS_ID", "hong123")];
    assert!(slots(2, 1, &notices).found.starts_with("6 of 41"));
    let paper = [("BONGSU_FEED__BOOKS", "off"), ("KIS_ENV", "mock")];
    assert!(slots(2, 1, &paper).found.starts_with("2 of 41"), "no index in paper trading");
    let two = slots(60, 2, &books_off);
    assert_eq!(two.state, State::Ok);
    assert!(two.found.starts_with("63 of 82 slots in use, 19 free (2 app keys: "), "{two:?}");
    let many = slots(121, 1, &books_off);
    assert_eq!(many.state, State::Warn);
    assert!(
        many.found.contains("0 free")
            && many.found.contains("80 issues are polled by REST, each every 10 s"),
        "{many:?}"
    );
    assert!(many.advice.contains("kis.extra_keys"));
    let none = slots(0, 1, &books_off);
    assert!(none.advice.contains("BONGSU_FEED__SYMBOLS"), "{none:?}");
}

#[test]
fn notices_without_a_session() {
    let id = ("KIS_HTS_ID", "canary");
    assert!(notices(&settings(&[])).found.contains("no HTS id is set"));
    assert_eq!(notices(&settings(&[id])).state, State::Ok);
    let paper = notices(&settings(&[id, ("KIS_ENV", "mock")]));
    assert_eq!(paper.state, State::Warn);
    assert!(!format!("{paper:?}").contains("canary"));
    let bad = assembly::watch(&settings(&[("KIS_HTS_ID", "two words")]), &[]).unwrap_err();
    assert!(bad.to_string().contains("kis.hts_id") && !bad.to_string().contains("two words"));
}
