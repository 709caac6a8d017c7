use proptest::prelude::*;

use super::*;
use crate::model::features::{MARKET, OWN};
use crate::model::slopes::ShapeSchedule;

const OWN_TAIL: TailPoints =
    TailPoints { v01: -9.0, v025: -8.0, v05: -7.0, e025: -10.0, e05: -9.0 };

const TAUGHT: Correction = Correction { v01: 0.1, v025: 0.0, v05: -0.1 };

fn model(variant: Variant, seed: f64) -> VariantModel {
    VariantModel {
        variant,
        intercept: -8.0 + seed,
        own: (0..OWN).map(|at| seed / (at as f64 + 3.0)).collect(),
        market: (0..MARKET)
            .map(|at| if variant.market_mask()[at] { seed / 7.0 } else { 0.0 })
            .collect(),
        dropped: Vec::new(),
        scale: 1.0 + seed.abs(),
        level: 1.0,
        pooled: TailPoints { v01: -2.7, v025: -2.1, v05: -1.6, e025: -2.9, e05: -2.4 },
        probabilities: vec![0.01, 0.5, 0.99],
        quantiles: vec![-2.7, 0.0, 2.9],
    }
}

/// A document whose numbers follow from `seed`.
pub(crate) fn example(seed: f64) -> Document {
    Document {
        format: FORMAT,
        method: Method::Adaptive,
        code_version: "0.1.0".into(),
        trained_from: "2020-04-13".parse().unwrap(),
        trained_until: "2025-06-30".parse().unwrap(),
        fitted_rows: 693_976,
        data: DataInfo {
            sha256: "00".repeat(32),
            rows: 958_067,
            symbols: 740,
            ..DataInfo::default()
        },
        own_terms: OWN_NAMES.map(str::to_owned).to_vec(),
        market_terms: MARKET_NAMES.map(str::to_owned).to_vec(),
        variants: Variant::ALL.iter().map(|&variant| model(variant, seed)).collect(),
        mixing: Mixing::default(),
        shape: TailShape::default(),
        breadth: Breadth::default(),
        own_tails: BTreeMap::from([("005930".parse().unwrap(), OWN_TAIL)]),
        own_corrections: BTreeMap::from([("035420".parse().unwrap(), TAUGHT)]),
        reference: (0..REFERENCE_POINTS).map(|at| at as f64 * (0.1 + seed.abs())).collect(),
        own_moments: vec![Moments { mean: seed, deviation: 1.0 }; OWN],
        validation: None,
        ranker: Some(crate::model::ranker::fitted::tests::example(true)),
    }
}

fn part(document: &Document) -> String {
    match document.check() {
        Err(DocumentError::Part { part, .. }) => part,
        other => panic!("expected a wrong part, got {other:?}"),
    }
}

#[test]
fn what_is_wrong_is_named() {
    let broken = |change: fn(&mut Document)| {
        let mut document = example(0.1);
        change(&mut document);
        part(&document)
    };
    assert_eq!(broken(|d| d.reference.truncate(100)), "reference");
    assert_eq!(broken(|d| d.reference[3] = 99.0), "reference");
    assert_eq!(broken(|d| d.own_terms[2] = "lp21".into()), "own_terms");
    assert_eq!(broken(|d| d.variants[0].own[4] = f64::NAN), "variants[Open].own");
    assert_eq!(broken(|d| d.variants[1].scale = 0.0), "variants[Close].scale");
    assert_eq!(broken(|d| d.variants[2].pooled.e025 = -1.0), "variants[NoUs].pooled");
    assert_eq!(broken(|d| d.variants[4].level = -1.0), "variants[OwnOnly].level");
    assert_eq!(broken(|d| d.breadth.bp = f64::NAN), "breadth");
    assert_eq!(
        broken(|d| {
            d.shape = ShapeSchedule::adaptive().on(0).clone();
            d.shape.open[1].deviation = 0.0;
        }),
        "shape"
    );
    let own = |d: &mut Document| d.own_tails.values_mut().for_each(|tail| tail.v01 = 0.0);
    assert_eq!(broken(own), "own_tails.005930");
    assert_eq!(broken(|d| d.variants[1].variant = Variant::Open), "variants");
    assert_eq!(broken(|d| d.variants.truncate(4)), "variants");
    assert_eq!(broken(|d| d.mixing.own_weight = 1.5), "mixing.own_weight");
    assert_eq!(broken(|d| d.mixing.coverage_step = f64::NAN), "mixing.coverage_step");
    let taught = |d: &mut Document| d.own_corrections.values_mut().for_each(|c| c.v025 = 0.6);
    assert_eq!(broken(taught), "own_corrections.035420");
    assert_eq!(broken(|d| d.ranker.as_mut().unwrap().slopes[0] = f64::NAN), "ranker.slopes");
    let mut other = example(0.1);
    other.format = 2;
    assert_eq!(other.check(), Err(DocumentError::Format { found: 2 }));
    assert!(matches!(Document::from_json(b"{"), Err(DocumentError::Shape(_))));
    let text = serde_json::to_string(&other).unwrap();
    assert_eq!(Document::from_json(text.as_bytes()), Err(DocumentError::Format { found: 2 }));
}

#[test]
fn a_document_without_a_ranker_is_one_of_an_earlier_version() {
    let document = Document { ranker: None, ..example(0.1) };
    let text = document.to_json().unwrap();
    assert!(!text.contains("ranker"));
    assert_eq!(Document::from_json(text.as_bytes()).unwrap(), document);
}

#[test]
fn a_document_without_corrections_is_one_of_an_earlier_version() {
    let mut document = Document { own_corrections: BTreeMap::new(), ..example(0.1) };
    document.mixing.coverage_step = 0.0;
    let text = document.to_json().unwrap();
    assert!(!text.contains("own_corrections"));
    let earlier: Vec<&str> = text.lines().filter(|line| !line.contains("coverage_step")).collect();
    // The line before it is the last of its object then.
    let earlier =
        earlier.join("\n").replace("\"pooled_sessions\": 500,", "\"pooled_sessions\": 500");
    assert!(earlier.len() < text.len());
    assert_eq!(Document::from_json(earlier.as_bytes()).unwrap(), document);
}

#[test]
fn what_is_unknown_chooses_the_coefficients() {
    let document = example(0.1);
    let chosen = |origin, known: usize| {
        let market = MarketTerms(std::array::from_fn(|at| if at < known { 0.5 } else { f64::NAN }));
        document.choose(origin, &market).unwrap().variant
    };
    assert_eq!(chosen(Origin::Open, 16), Variant::Open);
    assert_eq!(chosen(Origin::Close, 16), Variant::Close);
    assert_eq!(chosen(Origin::Open, 14), Variant::Close);
    assert_eq!(chosen(Origin::Open, 11), Variant::NoUs);
    assert_eq!(chosen(Origin::Open, 9), Variant::Watched);
    assert_eq!(chosen(Origin::Open, 2), Variant::OwnOnly);
}

#[test]
fn own_residuals_scale_and_level_move_the_tail() {
    let mut document = example(0.01);
    let own = OwnTerms([0.0; OWN]);
    let with = |document: &Document, symbol: Option<&str>| {
        let symbol = symbol.map(|code| code.parse().unwrap());
        let found = document.forecast(Origin::Close, symbol, &own, &MarketTerms::UNKNOWN).unwrap();
        found.v01 / found.variance.sqrt()
    };
    assert!((with(&document, None) + 2.7).abs() < 1e-12);
    assert!((with(&document, Some("000660")) + 2.7).abs() < 1e-12);
    // A quarter of its own, three of the pooled.
    assert!((with(&document, Some("005930")) + 0.25 * 9.0 + 0.75 * 2.7).abs() < 1e-12);
    // Without a tail of its own, but with what its exceedances taught.
    assert!((with(&document, Some("035420")) + 2.7 * 0.1_f64.exp()).abs() < 1e-12);
    document.variants.iter_mut().for_each(|model| model.level = 1.5);
    document.shape = ShapeSchedule::adaptive().on(0).clone();
    let scale = document.shape.downside(Variant::OwnOnly, &own, &MarketTerms::UNKNOWN);
    assert!((with(&document, None) + 2.7 * 1.5 * scale).abs() < 1e-12);
    let broken = OwnTerms([f64::NAN; OWN]);
    assert_eq!(document.forecast(Origin::Close, None, &broken, &MarketTerms::UNKNOWN), None);
}

#[test]
fn percentiles() {
    let document = example(0.0);
    assert!((document.percentile(-1.0) - 0.0).abs() < 1e-12);
    assert!((document.percentile(0.25) - 2.5).abs() < 1e-9);
    assert!((document.percentile(50.0) - 100.0).abs() < 1e-12);
}

proptest! {
    #[test]
    fn written_and_read_it_is_the_same(seed in -1.0..1.0_f64) {
        let document = example(seed);
        let text = document.to_json().unwrap();
        prop_assert_eq!(Document::from_json(text.as_bytes()).unwrap(), document);
    }

    #[test]
    fn percentiles_rise(a in -1.0..20.0_f64, b in -1.0..20.0_f64) {
        let document = example(0.02);
        let (low, high) = (document.percentile(a.min(b)), document.percentile(a.max(b)));
        prop_assert!((0.0..=100.0).contains(&low) && low <= high && high <= 100.0);
    }
}
