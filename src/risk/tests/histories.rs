//! The sessions that the daily model looks back on, and what is left of a model that goes.

use std::sync::Arc;

use super::support::{Stream, directory, run, time};
use crate::market::{
    Mark, ModelOrigin, ModelSwitch, Reference, SessionBar, SessionDay, SymbolId, Trade,
};
use crate::model::Document;
use crate::model::document::tests::example;
use crate::risk::{RiskEngine, RiskParams, RiskPoint, ScoreBatch};

/// A Friday, and the days after.
const FRIDAY: u32 = 20_240_802;
const SATURDAY: u32 = 20_240_803;
const MONDAY: u32 = 20_240_805;
const TUESDAY: u32 = 20_240_806;

fn day(yyyymmdd: u32) -> SessionDay {
    SessionDay::from_yyyymmdd(yyyymmdd).unwrap()
}

/// Eighty sessions before `about`, and more closes behind them; the last is of the day before.
fn reference(about: u32, base: i64, more: &[i64]) -> Reference {
    let mut reference = Reference {
        day: Some(day(about)),
        base_price: Some(base),
        ..Reference::bare("000000".parse().unwrap())
    };
    let closes = (0..80).map(|at| 10_000 + 100 * (at % 3)).chain(more.iter().copied());
    let first = day(about).epoch_days() - closes.clone().count() as i32;
    for (close, date) in closes.zip(first..) {
        let (open, high, low) = (close - 20, close + 60, close - 80);
        let bar = SessionBar { open, high, low, close, volume: 100_000 };
        reference.push_session(SessionDay::from_epoch_days(date), bar);
    }
    reference
}

/// The same as an exchange tells it that plays a day of its own: it is not said which.
fn played(about: u32, base: i64, more: &[i64]) -> Reference {
    Reference { day: None, ..reference(about, base, more) }
}

fn tell(stream: &mut Stream, reference: Reference) {
    stream.mark(Mark::Reference(SymbolId(0), Arc::new(reference)));
}

fn switch(stream: &mut Stream, id: &str, document: &Document) {
    stream.mark(Mark::Model(Arc::new(ModelSwitch {
        id: id.parse().unwrap(),
        origin: ModelOrigin::Registry,
        sha256: "ab".repeat(32),
        document: document.to_json().unwrap().into(),
    })));
}

fn after(stream: &Stream) -> (RiskEngine, ScoreBatch) {
    let mut engine = RiskEngine::new(RiskParams::default());
    let out = run(&mut engine, &stream.batch, &directory(2));
    (engine, out)
}

/// The last closes of the first issue's history, with the volumes.
fn history(engine: &RiskEngine, last: usize) -> Vec<(i64, i64)> {
    let state = serde_json::to_value(engine).unwrap();
    let known: Reference = serde_json::from_value(state["references"][0].clone()).unwrap();
    let bars: Vec<_> = known.sessions().map(|bar| (bar.close, bar.volume)).collect();
    bars[bars.len() - last..].to_vec()
}

#[test]
fn a_session_joins_once_whoever_tells_of_it() {
    // The base price of Friday stands until Monday, and is Monday's too when nothing moved: a
    // reference asked for in between has Friday in it.
    let told =
        [(10_000, None), (10_000, Some((SATURDAY, 10_000))), (10_000, Some((MONDAY, 10_000)))];
    for (close, again) in told {
        let mut stream = Stream::default();
        tell(&mut stream, reference(FRIDAY, 10_000, &[]));
        stream.price(0, time(FRIDAY, 90_000), close);
        if let Some((about, base)) = again {
            tell(&mut stream, reference(about, base, &[close]));
        }
        stream.price(0, time(MONDAY, 90_000), 10_100);
        stream.price(0, time(TUESDAY, 90_000), 10_200);
        let (engine, _) = after(&stream);
        let closes: Vec<i64> = history(&engine, 3).iter().map(|bar| bar.0).collect();
        assert_eq!(closes, [10_100, close, 10_100], "{again:?}");
    }
}

#[test]
fn a_session_under_way_is_no_history_until_it_is_over() {
    // Asked for in the middle of Friday, by a daemon that was told before, and by one that was not.
    let partial = played(SATURDAY, 9_000, &[7_777]);
    let mut whole = Stream::default();
    tell(&mut whole, played(FRIDAY, 10_100, &[]));
    let mut again = whole.clone();
    let mut late = Stream::default();
    tell(&mut late, partial.clone());
    for (stream, is_again) in [(&mut whole, false), (&mut again, true), (&mut late, false)] {
        switch(stream, "20260105T090000Z", &example(0.0));
        stream.price(0, time(FRIDAY, 90_000), 10_000);
        if is_again {
            tell(stream, partial.clone());
        }
        stream.price(0, time(FRIDAY, 100_000), 9_900);
        stream.price(0, time(MONDAY, 90_000), 9_950);
    }
    let (expected, said) = after(&whole);
    let (told_again, said_again) = after(&again);
    assert_eq!(history(&told_again, 80), history(&expected, 80));
    let without_places = |out: ScoreBatch| {
        let points = out.points.into_iter();
        points.map(|point| RiskPoint { at: Default::default(), ..point }).collect::<Vec<_>>()
    };
    let (said_again, said) = (without_places(said_again), without_places(said));
    assert_eq!(said_again, said, "told again, it changes nothing");
    let (told_late, _) = after(&late);
    assert_eq!(history(&told_late, 3), history(&expected, 3));
    assert_eq!(history(&expected, 2).iter().map(|bar| bar.0).collect::<Vec<_>>(), [10_100, 9_900]);
}

#[test]
fn of_a_session_that_was_not_seen_from_its_opening_only_the_close_joins() {
    let mut stream = Stream::default();
    tell(&mut stream, reference(FRIDAY, 10_100, &[]));
    let late = |day, at, cum_volume| Trade {
        symbol: SymbolId(0),
        time: time(day, at),
        price: 9_900,
        quantity: 10,
        cum_volume,
        ..Trade::default()
    };
    stream.batch.push_trade(late(FRIDAY, 110_000, 5_000), Default::default());
    stream.batch.push_trade(late(MONDAY, 90_000, 10), Default::default());
    stream.batch.push_trade(late(TUESDAY, 90_000, 10), Default::default());
    let (engine, _) = after(&stream);
    assert_eq!(history(&engine, 2), [(9_900, 0), (9_900, 10)]);
}

#[test]
fn what_is_told_again_of_a_day_that_has_begun_is_left() {
    let mut stream = Stream::default();
    tell(&mut stream, reference(FRIDAY, 10_100, &[]));
    // Before the day begins it replaces what was told; then not any more.
    tell(&mut stream, reference(FRIDAY, 10_100, &[10_300]));
    stream.price(0, time(FRIDAY, 90_000), 9_900);
    tell(&mut stream, reference(FRIDAY, 10_100, &[10_500]));
    let (engine, _) = after(&stream);
    assert_eq!(history(&engine, 2), [(10_100, 100_000), (10_300, 100_000)]);
}

#[test]
fn what_is_told_before_the_open_is_adjusted_and_has_the_day_before_in_it() {
    // Ex rights on Monday, a fifth: all earlier prices are told anew, Friday's too.
    let mut stream = Stream::default();
    tell(&mut stream, reference(FRIDAY, 10_100, &[]));
    stream.price(0, time(FRIDAY, 90_000), 10_000);
    let mut adjusted = reference(MONDAY, 8_000, &[10_000, 10_000, 10_000]);
    adjusted.closes.iter_mut().for_each(|close| *close = *close * 8 / 10);
    adjusted.previous_volume = Some(77_000);
    tell(&mut stream, adjusted);
    let trade = |at| Trade {
        symbol: SymbolId(0),
        time: time(MONDAY, at),
        price: 8_000,
        ..Trade::default()
    };
    stream.trade(trade(90_000));
    let (engine, out) = after(&stream);
    assert_eq!(history(&engine, 2).iter().map(|bar| bar.0).collect::<Vec<_>>(), [8_000, 8_000]);
    // No fall of a fifth, neither of the day nor in the estimates.
    let last = out.points.last().unwrap();
    assert_eq!(last.change_pct, 0.0, "{last:?}");
    let mut plain = Stream::default();
    tell(&mut plain, reference(FRIDAY, 10_100, &[]));
    plain.price(0, time(FRIDAY, 90_000), 10_100);
    let usual = after(&plain).1.points[0].parts.volatility;
    assert!((last.parts.volatility - usual).abs() < 0.3, "{last:?} {usual}");
}

#[test]
fn a_switch_in_the_evening_forecasts_the_day_that_is_over() {
    let said = |told_next: bool| {
        let mut stream = Stream::default();
        tell(&mut stream, reference(FRIDAY, 10_100, &[]));
        switch(&mut stream, "20260105T090000Z", &example(0.0));
        stream.price(0, time(FRIDAY, 90_000), 10_000);
        if told_next {
            // Friday was wild: a forecast that has seen it would be another.
            tell(&mut stream, reference(SATURDAY, 12_500, &[12_500]));
        }
        switch(&mut stream, "20260106T090000Z", &example(0.1));
        stream.price(0, time(FRIDAY, 153_500), 10_000);
        after(&stream).1.points
    };
    let (without, with) = (said(false), said(true));
    let change = |points: &[RiskPoint]| points[1].parts.volatility;
    assert!((change(&with) - change(&without)).abs() < 1e-9, "{with:?} {without:?}");
}

#[test]
fn a_session_without_a_trade_joins_and_a_day_of_the_past_ends_nothing() {
    let mut stream = Stream::default();
    tell(&mut stream, reference(FRIDAY, 10_000, &[]));
    // The first issue stands still on Friday and on Monday.
    stream.price(1, time(FRIDAY, 90_000), 10_000);
    stream.price(1, time(MONDAY, 90_000), 10_000);
    stream.price(1, time(FRIDAY, 90_001), 10_000);
    stream.price(1, time(MONDAY, 90_001), 10_000);
    stream.price(0, time(TUESDAY, 90_000), 10_200);
    stream.price(0, time(20_240_807, 90_000), 10_300);
    let (engine, _) = after(&stream);
    assert_eq!(history(&engine, 4), [(10_100, 100_000), (10_100, 0), (10_100, 0), (10_200, 10)]);

    // Nor does it take a session away that is over.
    let mut stream = Stream::default();
    tell(&mut stream, reference(FRIDAY, 10_000, &[]));
    stream.price(0, time(FRIDAY, 90_000), 9_900);
    stream.price(0, time(MONDAY, 90_000), 9_800);
    stream.price(1, time(FRIDAY, 90_001), 10_000);
    stream.price(0, time(MONDAY, 90_001), 9_800);
    stream.price(0, time(TUESDAY, 90_000), 9_700);
    let (engine, _) = after(&stream);
    let closes: Vec<i64> = history(&engine, 2).iter().map(|bar| bar.0).collect();
    assert_eq!(closes, [9_900, 9_800]);
}

#[test]
fn sessions_are_not_lost_to_a_reference_that_has_none_or_older_ones() {
    let mut stream = Stream::default();
    tell(&mut stream, reference(FRIDAY, 10_000, &[]));
    stream.price(0, time(FRIDAY, 90_000), 9_900);
    stream.price(0, time(MONDAY, 90_000), 9_800);
    let master = Reference { name: "종목".into(), ..Reference::bare("000000".parse().unwrap()) };
    tell(&mut stream, master);
    tell(&mut stream, reference(FRIDAY, 9_900, &[]));
    stream.price(0, time(TUESDAY, 90_000), 9_700);
    let (engine, _) = after(&stream);
    let closes: Vec<i64> = history(&engine, 3).iter().map(|bar| bar.0).collect();
    assert_eq!(closes, [10_100, 9_900, 9_800]);
}

#[test]
fn a_model_that_says_nothing_of_an_issue_leaves_nothing_of_the_one_before() {
    let stream_of = |models: &[(&str, &Document)]| {
        let mut stream = Stream::default();
        tell(&mut stream, reference(MONDAY, 10_100, &[]));
        for (at, (id, document)) in (90_000..).zip(models) {
            switch(&mut stream, id, document);
            stream.trade(Trade {
                symbol: SymbolId(0),
                time: time(MONDAY, at),
                price: 10_100,
                ..Trade::default()
            });
        }
        stream
    };
    // A deviation of 6.4 %; and one beyond what can be computed with: no forecast is valid.
    let (mut wild, mut silent) = (example(0.0), example(0.0));
    wild.variants.iter_mut().for_each(|model| model.intercept = -5.5);
    silent.variants.iter_mut().for_each(|model| model.intercept = 1e6);
    let (before, after_it) = ("20260105T090000Z", "20260106T090000Z");
    let (_, switched) = after(&stream_of(&[(before, &wild), (after_it, &silent)]));
    let (_, alone) = after(&stream_of(&[(after_it, &silent), (after_it, &silent)]));
    let last = |out: &ScoreBatch| *out.points.last().unwrap();
    assert_eq!(last(&switched).model, Some(after_it.parse().unwrap()));
    assert!(switched.points[0].parts.volatility > 2.0 * last(&alone).parts.volatility);
    assert!((last(&switched).parts.volatility - last(&alone).parts.volatility).abs() < 0.05);
}

#[test]
fn what_a_document_says_beyond_the_price_limit_is_no_forecast() {
    let mut absurd = example(0.0);
    absurd.variants.iter_mut().for_each(|model| model.intercept = -1.9);
    assert!(absurd.check().is_ok());
    let known = crate::model::live::history(&reference(MONDAY, 10_100, &[]));
    let terms = crate::model::MarketTerms::UNKNOWN;
    let code = "000000".parse().unwrap();
    let own = crate::model::live::known_terms(&known).unwrap();
    assert_eq!(absurd.forecast_watched(code, &own, &terms), None);
    assert!(example(0.0).forecast_watched(code, &own, &terms).is_some());
}
