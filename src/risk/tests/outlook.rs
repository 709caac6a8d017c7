//! The daily model in the engine: forecasts, days that join the history, the watch over the model.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};

use super::support::{Stream, directory, of_rule, run, time};
use crate::market::{
    EventTime, Mark, ModelId, ModelOrigin, RecordRef, Reference, SessionBar, SessionDay, Symbol,
    SymbolId, Trade,
};
use crate::model::features::{Breadth, Origin};
use crate::model::live::{history, known_terms, watched_breadth};
use crate::model::{Document, FittedModel, MarketTerms};
use crate::risk::{RiskEngine, RiskParams, Rule, ScoreBatch};

/// Monday to Friday.
const DAYS: [u32; 5] = [20_240_805, 20_240_806, 20_240_807, 20_240_808, 20_240_809];

fn shipped() -> FittedModel {
    let text = include_str!("../../../config/models/default.json");
    let shipped: serde_json::Value = serde_json::from_str(text).unwrap();
    let document = serde_json::to_vec(&shipped["document"]).unwrap();
    FittedModel {
        id: "20260105T090000Z".parse().unwrap(),
        origin: ModelOrigin::BuiltIn,
        sha256: String::new(),
        document: Document::from_json(&document).unwrap(),
    }
}

fn engine(model: &FittedModel) -> RiskEngine {
    let mut engine = RiskEngine::new(RiskParams::default());
    engine.take_model(Arc::new(model.clone()));
    engine
}

/// 85 sessions of an issue that moves some 2 % a day.
fn reference(issue: u32) -> Reference {
    let code: Symbol = format!("{issue:06}").parse().unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(u64::from(issue));
    let mut reference = Reference { name: format!("종목{issue}"), ..Reference::bare(code) };
    let mut close = 50_000_i64;
    let first = SessionDay::from_yyyymmdd(DAYS[0]).unwrap().epoch_days() - 85;
    for date in first..first + 85 {
        let open = close + rng.random_range(-300..=300);
        let last = open + rng.random_range(-1_000..=1_000);
        let (high, low) = (open.max(last) + 200, open.min(last) - 200);
        let bar = SessionBar { open, high, low, close: last, volume: 100_000 };
        reference.push_session(SessionDay::from_epoch_days(date), bar);
        close = last;
    }
    reference.base_price = Some(close);
    reference
}

/// Tells the references of so many issues.
fn told(stream: &mut Stream, issues: u32) -> Vec<Reference> {
    let references: Vec<Reference> = (0..issues).map(reference).collect();
    for (issue, reference) in references.iter().enumerate() {
        stream.mark(Mark::Reference(SymbolId(issue as u32), Arc::new(reference.clone())));
    }
    references
}

/// A trade as it is: no base price, and its own cumulative volume.
fn trade(stream: &mut Stream, issue: u32, at: EventTime, price: i64, cum_volume: i64) {
    let (symbol, quantity) = (SymbolId(issue), 1_000);
    let trade = Trade { symbol, time: at, price, quantity, cum_volume, ..Trade::default() };
    stream.batch.push_trade(trade, RecordRef::default());
}

/// A day of an issue in a few trades, from the close before.
fn play(stream: &mut Stream, issue: u32, day: u32, before: i64, change: f64) -> SessionBar {
    let close = (before as f64 * (1.0 + change)) as i64;
    let prices = [before, before + 400, before.min(close) - 300, close];
    for (at, price) in prices.into_iter().enumerate() {
        let moment = time(day, 90_000 + 10_000 * at as u32 + issue % 60);
        trade(stream, issue, moment, price, 1_000 * (at as i64 + 1));
    }
    let (high, low) = (before + 400, before.min(close) - 300);
    SessionBar { open: before, high, low, close, volume: 4_000 }
}

#[test]
fn the_first_score_is_the_models_forecast() {
    let mut stream = Stream::default();
    let references = told(&mut stream, 12);
    let close = *references[3].closes.last().unwrap();
    trade(&mut stream, 3, time(DAYS[0], 90_000), close, 1);
    let model = shipped();
    let mut engine = engine(&model);
    let out = run(&mut engine, &stream.batch, &directory(12));
    let point = out.points[0];

    let histories: Vec<_> = references.iter().map(history).collect();
    let breadth = watched_breadth(&histories);
    assert_ne!(breadth, Breadth::default(), "twelve issues are enough");
    // Friday to Monday.
    let terms = MarketTerms::watched(0, 3, breadth);
    let own = known_terms(&histories[3]).unwrap();
    let symbol = Some(references[3].symbol);
    let forecast = model.document.forecast(Origin::Close, symbol, &own, &terms).unwrap();
    assert!((point.parts.volatility + 100.0 * forecast.e025).abs() < 1e-9, "{point:?}");
    assert_eq!(point.model, Some(model.id));
    // Some 2 % a day.
    assert!((3.0..8.0).contains(&point.parts.volatility), "{point:?}");

    // Without a model the closes alone speak, and the normal law.
    let mut bare = RiskEngine::new(RiskParams::default());
    let stated = run(&mut bare, &stream.batch, &directory(12)).points[0];
    assert!(stated.model.is_none() && stated.parts.volatility != point.parts.volatility);
}

#[test]
fn a_day_that_was_watched_counts_like_one_that_was_told() {
    let model = shipped();
    let mut stream = Stream::default();
    let references = told(&mut stream, 12);
    let mut closes: Vec<i64> = references.iter().map(|r| *r.closes.last().unwrap()).collect();
    let mut after = references.clone();
    // Issue 11 does not trade on the second day.
    for (number, day) in DAYS[..2].iter().enumerate() {
        for issue in (0..12_u32).filter(|issue| *issue != 11 || number == 0) {
            let at = issue as usize;
            let change = 0.01 * f64::from(issue % 3) - 0.012;
            let bar = play(&mut stream, issue, *day, closes[at], change);
            after[at].push_session(SessionDay::from_yyyymmdd(*day).unwrap(), bar);
            closes[at] = bar.close;
        }
    }
    let close = closes[11];
    let second = SessionDay::from_yyyymmdd(DAYS[1]).unwrap();
    after[11].push_session(second, SessionBar::without_trade(close));
    let (watched, mut told) = (&mut engine(&model), Stream::default());
    for (issue, reference) in after.iter_mut().enumerate() {
        reference.base_price = Some(closes[issue]);
        told.mark(Mark::Reference(SymbolId(issue as u32), Arc::new(reference.clone())));
    }
    for stream in [&mut stream, &mut told] {
        for issue in 0..12 {
            trade(stream, issue, time(DAYS[2], 90_000), closes[issue as usize], 1);
        }
    }
    let of_day = |out: ScoreBatch| -> Vec<f64> {
        let points = out.points.iter();
        let last =
            points.filter(|point| point.time.session_day() == time(DAYS[2], 0).session_day());
        last.map(|point| point.parts.volatility).collect()
    };
    let watched = of_day(run(watched, &stream.batch, &directory(12)));
    let told = of_day(run(&mut engine(&model), &told.batch, &directory(12)));
    assert_eq!(watched.len(), 12);
    assert_eq!(watched, told);
}

#[test]
fn a_switch_changes_every_score_behind_it_and_none_before() {
    let mut stream = Stream::default();
    let references = told(&mut stream, 12);
    let close = *references[0].closes.last().unwrap();
    trade(&mut stream, 0, time(DAYS[0], 90_000), close, 1);
    let mut engine = engine(&shipped());
    let before = run(&mut engine, &stream.batch, &directory(12)).points[0];
    let mut wider = shipped();
    wider.id = "20260105T090001Z".parse().unwrap();
    wider.document.variants.iter_mut().for_each(|variant| variant.scale *= 4.0);
    engine.take_model(Arc::new(wider.clone()));
    let mut next = Stream::default();
    trade(&mut next, 0, time(DAYS[0], 90_001), close, 2);
    let after = run(&mut engine, &next.batch, &directory(12)).points[0];
    assert_eq!((before.model, after.model), (Some(shipped().id), Some(wider.id)));
    assert!((after.parts.volatility / before.parts.volatility - 2.0).abs() < 0.01, "{after:?}");
}

#[test]
fn the_rest_of_the_day_shrinks_and_a_gap_widens_it() {
    let rest = |open: f64, at: u32| {
        let mut stream = Stream::default();
        let references = told(&mut stream, 12);
        let price = (*references[0].closes.last().unwrap() as f64 * open) as i64;
        for (volume, at) in [90_000, at].into_iter().enumerate() {
            trade(&mut stream, 0, time(DAYS[0], at), price, 1 + volume as i64);
        }
        let mut engine = engine(&shipped());
        run(&mut engine, &stream.batch, &directory(12));
        engine.rows().next().unwrap().rest_of_day_var_pct
    };
    let (morning, noon, close) = (rest(1.0, 90_001), rest(1.0, 120_000), rest(1.0, 153_000));
    assert!(morning > noon && noon > close && close == 0.0, "{morning} {noon} {close}");
    assert!(rest(0.94, 90_001) > 1.3 * morning, "{} {morning}", rest(0.94, 90_001));
}

/// A model that expects a tenth of what happens is told within days, once, with its name.
#[test]
fn a_model_that_is_far_too_mild_drifts() {
    let mut mild = shipped();
    mild.document.variants.iter_mut().for_each(|variant| variant.scale *= 0.01);
    let drifts = |model: &FittedModel| {
        let mut stream = Stream::default();
        let references = told(&mut stream, 12);
        let mut closes: Vec<i64> = references.iter().map(|r| *r.closes.last().unwrap()).collect();
        for day in DAYS {
            for issue in 0..12 {
                let change = if (issue + day) % 2 == 0 { -0.012 } else { 0.012 };
                let bar = play(&mut stream, issue, day, closes[issue as usize], change);
                closes[issue as usize] = bar.close;
            }
        }
        let out = run(&mut engine(model), &stream.batch, &directory(12));
        of_rule(&out, Rule::ModelDrift).into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(drifts(&shipped()), []);
    let found = drifts(&mild);
    assert!(!found.is_empty());
    assert!(found[0].symbol.is_none() && found[0].name == mild.id.to_string());
    let id: Result<ModelId, _> = found[0].name.parse();
    assert!(id.is_ok());
}
