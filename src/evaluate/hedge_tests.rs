use super::*;
use crate::model::panel::{DailyBar, DailyBars, DataInfo};
use crate::model::tests::support::panel;

/// Every issue and the index fall by 15 % on session `at` and stay there.
fn fallen(mut market: Panel, at: usize) -> Panel {
    let day = market.sessions()[at];
    for issue in &mut market.issues {
        let bars = &mut issue.bars;
        let from = bars.date.partition_point(|date| *date < day);
        for at in from..bars.len() {
            for prices in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
                prices[at] *= 0.85;
            }
        }
    }
    if let Some(index) = market.indices.get_mut("KOSPI") {
        let from = index.date.partition_point(|date| *date < day);
        for at in from..index.date.len() {
            for levels in [&mut index.open, &mut index.high, &mut index.low, &mut index.close] {
                levels[at] *= 0.85;
            }
        }
    }
    market
}

fn options(falls: Vec<SessionDay>) -> HedgeOptions {
    // The made-up market is calm: a small budget makes something of a trim.
    let settings = PlanSettings { risk_budget_pct: 1.0, ..PlanSettings::default() };
    HedgeOptions {
        falls,
        leads: vec![1],
        calm: 2,
        issues: 5,
        paths: 1_000,
        settings,
        ..HedgeOptions::default()
    }
}

#[test]
fn a_fall_overnight_spares_those_who_sold_and_not_those_with_a_stop() {
    let market = fallen(panel(3, 14, 420), 400);
    let day = SessionDay::from_epoch_days(market.sessions()[400]);
    let report = try_hedges(&market, &options(vec![day]), &|_, _| ()).unwrap();
    let fall = &report.windows[0];
    assert_eq!((fall.to, fall.sessions, fall.calm), (day, 1, false));
    let pct = |won: Won| 100.0 * won as f64 / fall.value as f64;
    // A fall of 15 % on top of the day's own moves.
    assert!(pct(fall.waiting) < -10.0 && fall.index_pct < -10.0, "{fall:?}");
    let saved = |action: &str| {
        let option = fall.options.iter().find(|option| option.action == action).unwrap();
        pct(option.saved.unwrap())
    };
    assert_eq!(saved("wait"), 0.0);
    assert!((saved("raise_cash") + pct(fall.waiting)).abs() < 1.0, "all but the cost");
    assert!(saved("hedge_inverse_etf") > 3.0);
    assert!(saved("trim") > 0.0 && saved("trim") < saved("raise_cash"));
    assert!((-1.0..=0.0).contains(&saved("stop")), "it sells after the gap: {}", saved("stop"));
    assert_eq!(fall.first.action, fall.options[0].action);
    assert_eq!(report.falls.windows, 1);
    assert!((report.falls.saved_pct - saved(&fall.first.action)).abs() < 1e-9);
}

#[test]
fn what_comes_after_the_plan_does_not_reach_it() {
    let market = panel(3, 14, 420);
    let day = SessionDay::from_epoch_days(market.sessions()[400]);
    let only = HedgeOptions { calm: 0, ..options(vec![day]) };
    let calm = try_hedges(&market, &only, &|_, _| ()).unwrap();
    let fall = try_hedges(&fallen(market, 400), &only, &|_, _| ()).unwrap();
    let (calm, fall) = (&calm.windows[0], &fall.windows[0]);
    assert_eq!(
        (calm.risk_before, calm.risk_after, calm.cost),
        (fall.risk_before, fall.risk_after, fall.cost)
    );
    assert_ne!(calm.waiting, fall.waiting);
}

#[test]
fn calm_windows_are_calm_and_apart() {
    let sessions = Sessions::new((0..400).collect());
    let mut index = vec![0.001; 400];
    index[300] = -0.03;
    let drawn = calm_windows(&sessions, &index, &HedgeOptions::default());
    assert_eq!(drawn.len(), 20);
    for (at, window) in drawn.iter().enumerate() {
        assert!(window.0 >= 200 && window.1 + CALM_SESSIONS < 400);
        assert!(
            !(window.0 - CALM_SESSIONS..=window.1 + CALM_SESSIONS).contains(&300),
            "{window:?}"
        );
        assert!(drawn[..at].iter().all(|other| other.1 <= window.0));
    }
    assert_eq!(drawn, calm_windows(&sessions, &index, &HedgeOptions::default()));
}

#[test]
fn a_seam_is_a_jump_and_no_return() {
    let bars = |first: i32, close: f64| {
        let mut bars = DailyBars::default();
        for date in first..first + 3 {
            let (open, high, low, volume) = (close, close, close, 1.0);
            let (halted, jump) = (false, false);
            bars.push(DailyBar { date, open, high, low, close, volume, halted, jump });
        }
        bars
    };
    let of = |symbol: &str, bars: DailyBars| Panel {
        issues: vec![Issue { symbol: symbol.parse().unwrap(), bars }],
        info: DataInfo { rows: 3, ..DataInfo::default() },
        ..Panel::default()
    };
    let whole = spliced(vec![of("000002", bars(1, 50.0)), of("000002", bars(3, 100.0))]);
    let joined = &whole.issues[0].bars;
    assert_eq!(joined.date, [1, 2, 3, 4, 5]);
    assert_eq!(joined.jump, [false, false, false, true, false]);
    assert_eq!(whole.info.rows, 6);
    let other = spliced(vec![of("000002", bars(1, 50.0)), of("000001", bars(3, 100.0))]);
    let codes: Vec<&str> = other.issues.iter().map(|issue| issue.symbol.as_str()).collect();
    assert_eq!(codes, ["000002"], "an issue that the first lacks is left out");
    assert!(!other.issues[0].bars.jump.contains(&true));
}

#[test]
fn what_is_not_in_the_data_is_named() {
    let market = panel(3, 14, 420);
    let day = "2019-01-02".parse().unwrap();
    let error = try_hedges(&market, &options(vec![day]), &|_, _| ()).unwrap_err().to_string();
    assert!(error.contains("2019-01-02") && error.contains("2020-01-06"), "{error}");
    let blind = Panel { indices: BTreeMap::new(), ..market };
    let error = try_hedges(&blind, &options(Vec::new()), &|_, _| ()).unwrap_err();
    assert!(matches!(error, HedgeError::NoIndex));
}
