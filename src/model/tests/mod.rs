//! Tests across the module, over made-up markets.

pub(crate) mod support;

use ndarray::{Array1, Array2};

use self::support::panel;
use super::design::{Design, Reader, SCORED_FROM};
use super::document::Forecast;
use super::features::own::{LONGEST, MINIMUM_DAYS};
use super::features::{MARKET, MarketTerms, OWN, Origin, TermSet, Variant, own_terms};
use super::fit::solve;
use super::forecasts::{SessionResiduals, Tails, forecasts};
use super::gram::{DailySums, Gram, target};
use super::panel::Panel;
use super::slopes::ShapeSchedule;
use super::tails::{Mixing, TailPoints};
use super::tracking::{Correction, Tracking};
use super::train::{Method, TrainError, TrainOptions, train};
use super::validation::validate;
use super::walk::Walk;
use crate::market::SessionDay;

fn quiet(_: usize, _: usize) {}

fn walk(panel: &Panel, variants: &[Variant]) -> (Design, Walk) {
    let design = Design::new(panel, None);
    let sums = DailySums::new(&design);
    let walk =
        Walk::new(&design, &sums, Method::Adaptive, variants, 0..usize::MAX, &quiet).unwrap();
    (design, walk)
}

/// The rows themselves against the sums: normal equations by a plain solver.
#[test]
fn sums_give_the_same_fit_as_rows() {
    let design = Design::new(&panel(1, 6, 260), None);
    let sums = DailySums::new(&design);
    let mut gram = Gram::new(TermSet::full(Variant::Open));
    for session in 0..design.sessions.len() {
        gram.add(&sums, session, &design.market[session]);
    }
    let mut rows: Vec<[f64; OWN + MARKET + 1]> = Vec::new();
    let mut y = Vec::new();
    for issue in &design.issues {
        for at in (0..issue.len()).filter(|&at| issue.may_fit(at)) {
            let market = design.market[issue.session(at)].0;
            let own = issue.terms[at].0;
            rows.push(std::array::from_fn(|term| match term {
                0 => 1.0,
                _ if term <= OWN => own[term - 1],
                _ => market[term - 1 - OWN],
            }));
            y.push(target(issue.day(at).range));
        }
    }
    assert_eq!(rows.len() as f64, gram.rows);
    assert_eq!(rows.len(), design.fitted_rows());
    let (_, fitted) = solve(&gram).unwrap();
    // At the least-squares solution the residuals are orthogonal to every term.
    let x = Array2::from_shape_fn((rows.len(), OWN + MARKET + 1), |(row, term)| rows[row][term]);
    let kept = |term: usize| {
        term == 0 || !fitted.dropped.iter().any(|name| name == super::fit::term_name(term - 1))
    };
    let beta = Array1::from_shape_fn(OWN + MARKET + 1, |term| match term {
        0 => fitted.intercept,
        _ if term <= OWN => fitted.own[term - 1],
        _ => fitted.market[term - 1 - OWN],
    });
    let residual = Array1::from_vec(y) - x.dot(&beta);
    let scale = residual.dot(&residual).sqrt();
    for term in (0..OWN + MARKET + 1).filter(|&term| kept(term)) {
        let column = x.column(term);
        let cosine = column.dot(&residual) / (column.dot(&column).sqrt() * scale);
        assert!(cosine.abs() < 1e-8, "term {term}: {cosine}");
    }
    // Too few issues: the breadth does not move.
    assert_eq!(fitted.dropped, ["bz", "bp"]);
}

#[test]
fn a_live_reader_with_few_days_has_the_terms_of_the_batch() {
    let design = Design::new(&panel(2, 2, 420), None);
    for issue in &design.issues {
        for at in [0, 50, 200, issue.len() - 1] {
            let day = at + MINIMUM_DAYS;
            let all = own_terms(&issue.clean.rows[..day]).unwrap().0;
            let last = own_terms(&issue.clean.rows[day.saturating_sub(LONGEST)..day]).unwrap().0;
            let few = own_terms(&issue.clean.rows[day - MINIMUM_DAYS..day]).unwrap().0;
            for term in 0..OWN {
                let batch = issue.terms[at].0[term];
                assert!((all[term] - batch).abs() < 1e-10 && (last[term] - batch).abs() < 1e-10);
                // lp250, lrat250 and ltv look further back.
                if ![4, 6, 14].contains(&term) {
                    assert!((few[term] - batch).abs() < 1e-10, "term {term}");
                }
            }
        }
    }
}

#[test]
fn nothing_later_reaches_a_forecast() {
    let whole = panel(3, 5, 330);
    let (design, walked) = walk(&whole, &Variant::ALL);
    for cut in [200, 287, 301] {
        let day = SessionDay::from_epoch_days(design.sessions.dates()[cut]);
        let (part, again) = walk(&whole.before(day), &Variant::ALL);
        for (number, issue) in part.issues.iter().enumerate() {
            assert_eq!(issue.terms[..], design.issues[number].terms[..issue.len()]);
            for (a, b) in again.variance[number].iter().zip(&walked.variance[number]) {
                assert_eq!(a.to_bits(), b.to_bits());
            }
        }
    }
}

#[test]
fn a_forecast_knows_the_issues_own_past_and_not_its_own_day() {
    let market = panel(6, 4, SCORED_FROM + 20);
    let of_last = |market: &Panel| {
        let (design, walk) = walk(market, &[Variant::Close]);
        let tails = Tails::new(&design, &walk, &ShapeSchedule::adaptive(), Origin::Close);
        let window = (design.sessions.len() - 1, design.sessions.len());
        let mixing = Mixing::default();
        let tracking = Tracking::new(&design, &walk, &tails, &mixing, window.1);
        let rows = forecasts(&design, &walk, &tails, (&mixing, &tracking), window, &|_| true);
        (design, walk, tails, (rows, tracking))
    };
    let (design, walk, tails, (rows, tracking)) = of_last(&market);
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let u = |at| walk.residual(&design, row.issue, at) / tails.scale[row.issue][at];
        let mut own: Vec<f64> = (0..row.at).map(u).filter(|u| u.is_finite()).collect();
        own.sort_unstable_by(f64::total_cmp);
        assert!(own.len() > Mixing::default().own_minimum);
        let pooled = tails.residuals.tail_before(row.session, 500).unwrap();
        let tail = TailPoints::of_sorted(&own).unwrap().mixed(0.25, pooled);
        let taught = tracking.before(row.issue, row.at);
        assert_ne!(taught, Correction::default(), "its exceedances say nothing");
        let tail = taught.of(tail);
        let of = |tail: TailPoints| {
            let scaled = tail.scaled(tails.scale[row.issue][row.at]);
            Forecast::of(walk.variance[row.issue][row.at], scaled)
        };
        assert_eq!(row.forecast, Some(of(tail)));
        assert_ne!(row.forecast, Some(of(taught.of(pooled))), "its own tail says nothing");
    }
    let mut moved = market.clone();
    for issue in &mut moved.issues {
        let bars = &mut issue.bars;
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
            *column.last_mut().unwrap() *= 0.9;
        }
    }
    assert_eq!(of_last(&moved).3.0, rows, "the day itself reached its forecast");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let market = panel(4, 6, 260);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| walk(&market, &Variant::ALL).1.variance)
    };
    let bits = |variance: Vec<Vec<f64>>| -> Vec<u64> {
        variance.into_iter().flatten().map(f64::to_bits).collect()
    };
    assert_eq!(bits(with(1)), bits(with(3)));
}

/// Volatility that doubles is forecast to be higher than volatility that does not.
#[test]
fn forecasts_follow_the_volatility() {
    let (design, walk) = walk(&panel(5, 8, 420), &Variant::ALL);
    let (mut hits, mut all) = (0, 0);
    for (number, issue) in design.issues.iter().enumerate() {
        for at in (0..issue.len()).filter(|&at| walk.variance[number][at].is_finite()) {
            let calm = issue.terms[at].0[2] < -7.6;
            all += 1;
            hits += usize::from((walk.variance[number][at] < 5e-4) == calm);
        }
    }
    assert!(all > 1_000 && hits * 10 > all * 7, "{hits} of {all}");
}

#[test]
fn splits_halts_and_reopenings_are_not_scored() {
    let mut market = panel(6, 4, SCORED_FROM + 120);
    let scored = |market: &Panel| {
        let (design, walk) = walk(market, &Variant::ALL[1..]);
        let tails = Tails::new(&design, &walk, &ShapeSchedule::adaptive(), Origin::Close);
        let window = (0, design.sessions.len());
        let mixing = Mixing::default();
        let tracking = Tracking::new(&design, &walk, &tails, &mixing, window.1);
        let rows = forecasts(&design, &walk, &tails, (&mixing, &tracking), window, &|_| true);
        let worst = rows
            .iter()
            .map(|row| design.issues[row.issue].day(row.at).r)
            .fold(f64::INFINITY, f64::min);
        (rows.len(), worst)
    };
    let (before, worst_before) = scored(&market);
    let bars = &mut market.issues[1].bars;
    let split = SCORED_FROM + 60;
    for at in split..bars.len() {
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
            column[at] /= 5.0;
        }
        bars.volume[at] *= 5.0;
    }
    let halted = SCORED_FROM + 80;
    for at in halted..halted + 3 {
        (bars.halted[at], bars.volume[at], bars.open[at]) = (true, 0.0, f64::NAN);
        bars.close[at] = bars.close[halted - 1];
    }
    for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
        // It re-opens a fifth lower, within the limit.
        column[halted + 3] = bars_level(column[halted + 4], 0.8);
    }
    let (after, worst_after) = scored(&market);
    // The split day, three halted days, the re-opening and the day it jumps back to its path.
    assert!((5..=6).contains(&(before - after)), "{before} {after}");
    assert!(worst_after >= worst_before - 0.2, "{worst_before} {worst_after}");
    assert!(worst_after > -0.3, "neither −80 % nor the re-opening is a loss");
}

fn bars_level(price: f64, factor: f64) -> f64 {
    (price * factor).round()
}

#[test]
fn a_trained_document_forecasts_and_is_validated() {
    let market = panel(7, 6, SCORED_FROM + 150);
    let options = TrainOptions { validation_months: 3, ..TrainOptions::default() };
    let document = train(&market, &options, &|_| ()).unwrap().document;
    let variants: Vec<Variant> = document.variants.iter().map(|model| model.variant).collect();
    assert_eq!(variants, Variant::ALL);
    let validation = document.validation.clone().unwrap();
    assert!(validation.rows > 150 && validation.fz0_025.is_finite(), "{validation:?}");
    assert!((0.0..0.2).contains(&validation.exceed_95));
    let (design, walk) = walk(&market, &[Variant::Close]);
    let next = design.session_terms.on(&design.sessions, design.sessions.len(), 19_300);
    assert!(next.suffice(Variant::Open));
    let own = design.issues[0].state.terms().unwrap();
    let model = document.choose(Origin::Close, &next).unwrap();
    let fit = &walk.next.fits[0].coefficients;
    let expected = walk.next.scale * (fit.session_part(&next) + fit.own_part(&own)).exp();
    assert!((model.variance(&own, &next) / expected - 1.0).abs() < 1e-12);
    let forecast = document.forecast(Origin::Open, None, &own, &next).unwrap();
    assert!(forecast.is_valid() && (1e-5..1e-2).contains(&forecast.variance), "{forecast:?}");
    assert!(document.forecast(Origin::Open, None, &own, &MarketTerms::UNKNOWN).is_some());
    assert!(document.reference.iter().all(|loss| *loss > 0.0));
    // What exceedances taught goes with it: of the walk's last row, by issue.
    let (design, walk) = self::walk(&market, &Variant::ALL[1..]);
    let tails = Tails::new(&design, &walk, &ShapeSchedule::adaptive(), Origin::Close);
    let to = design.sessions.len();
    let tracking = Tracking::new(&design, &walk, &tails, &document.mixing, to);
    assert_eq!(document.own_corrections.len(), design.issues.len());
    for (issue, taught) in design.issues.iter().zip(tracking.last()) {
        assert_eq!(document.own_corrections[&issue.symbol], *taught);
    }
    // Frozen over the last months: near to the walk, whose months differ little here.
    let window = (validation.from, validation.to);
    let frozen = validate(&market, &document, (Origin::Close, Reader::Panel), window).unwrap();
    assert_eq!(
        (frozen.rows, frozen.from, frozen.to),
        (validation.rows, validation.from, validation.to)
    );
    assert!((frozen.qlike_range - validation.qlike_range).abs() < 0.1);
    // As a daemon reads it: the same rows by other coefficients.
    let daemon = validate(&market, &document, (Origin::Close, Reader::Daemon), window).unwrap();
    assert_eq!((daemon.rows, daemon.from, daemon.to), (frozen.rows, frozen.from, frozen.to));
    assert_ne!(daemon.qlike_r2, frozen.qlike_r2);
    let design = Reader::Daemon.design(&market, None);
    assert!(design.market.iter().skip(100).all(|m| m.variant(Origin::Close) == Variant::Watched));
}

#[test]
fn too_little_is_said_so() {
    let error = train(&panel(8, 1, 80), &TrainOptions::default(), &|_| ()).unwrap_err();
    assert!(matches!(error, TrainError::TooFew { rows: 13, symbols: 1, needed: 500 }), "{error:?}");
    let until = TrainOptions { until: "2019-12-31".parse().ok(), ..TrainOptions::default() };
    assert!(matches!(
        train(&panel(8, 1, 80), &until, &|_| ()),
        Err(TrainError::TooFew { rows: 0, .. })
    ));
}

#[test]
fn pooled_tails_are_those_of_all_values() {
    let (design, walk) = walk(&panel(9, 5, 300), &[Variant::Close]);
    let z = |issue: usize, at: usize| walk.residual(&design, issue, at);
    let residuals = SessionResiduals::new(&design, &z);
    for session in [200, 250, 300] {
        let from = usize::saturating_sub(session, 60);
        let all = residuals.sorted(from, session);
        assert_eq!(residuals.tail_before(session, 60), TailPoints::of_sorted(&all));
    }
    assert_eq!(residuals.tail_before(0, 60), None);
}
