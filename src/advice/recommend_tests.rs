use proptest::prelude::*;

use super::*;
use crate::market::Symbol;

fn as_of() -> EventTime {
    EventTime::from_micros(1_722_816_021_000_000)
}

/// Closes that wander with a period of their own, so that two issues are not alike.
fn closes(start: i64, period: usize, drift: f64) -> Vec<Won> {
    (0..66)
        .map(|day| {
            let wave = ((day % period) as f64 - period as f64 / 2.0) * 0.004;
            (start as f64 * (1.0 + drift * day as f64 + wave)) as Won
        })
        .collect()
}

fn candidate(code: &str, period: usize, drift: f64) -> Candidate {
    let symbol: Symbol = code.parse().unwrap();
    let closes = closes(50_000, period, drift);
    Candidate {
        price: *closes.last().unwrap(),
        reference: Arc::new(Reference {
            name: format!("종목{code}"),
            market: Market::Kospi,
            volumes: vec![1_000_000; closes.len()],
            closes,
            ..Reference::bare(symbol)
        }),
        score: 20.0,
        parts: DownsideParts { volatility: 2.5, ..DownsideParts::default() },
        daily_volatility_pct: 1.5,
        spread_pct: 0.1,
        change_pct: 0.5,
        cum_value: 50_000_000_000,
        over_gap: false,
    }
}

fn limits() -> ScenarioLimits {
    ScenarioLimits { max_market_share: 1.0, ..ScenarioLimits::default() }
}

#[test]
fn picks_explain_themselves() {
    let candidates = [candidate("000001", 7, 0.002), candidate("000002", 5, 0.001)];
    let set = recommend(&candidates, &limits(), as_of());
    assert_eq!((set.universe, set.eligible, set.picks.len()), (2, 2, 2));
    let best = &set.picks[0];
    assert_eq!((best.rank, best.symbol.as_str()), (1, "000001"));
    assert!(
        (best.factors.iter().map(|(_, amount)| amount).sum::<f64>() - best.value).abs() < 1e-12
    );
    assert!(best.reasons.iter().any(|reason| reason.contains("위험 점수 20.0점")), "{best:?}");
    assert!(
        best.reasons.iter().any(|reason| reason.contains("왕복 거래비용 0.31% 차감")),
        "{best:?}"
    );
    assert!(set.note.contains("약속하지 않습니다"));
    assert!(set.picks.iter().all(|pick| pick.weight <= 0.2));
}

#[test]
fn each_limit_excludes() {
    let good = candidate("000001", 7, 0.002);
    let limits = limits();
    assert!(limits.check(&good).is_ok());
    let short = Reference { closes: vec![50_000; 10], ..(*good.reference).clone() };
    let thin = Reference { volumes: vec![10; 66], ..(*good.reference).clone() };
    for (candidate, exclusion) in [
        (Candidate { price: 0, ..good.clone() }, Exclusion::NoData),
        (Candidate { daily_volatility_pct: f64::NAN, ..good.clone() }, Exclusion::NoData),
        (Candidate { reference: Arc::new(short), ..good.clone() }, Exclusion::History),
        (Candidate { reference: Arc::new(thin), ..good.clone() }, Exclusion::Liquidity),
        (Candidate { spread_pct: 0.0, ..good.clone() }, Exclusion::Spread),
        (Candidate { score: 85.0, ..good.clone() }, Exclusion::FreeFall),
        (Candidate { score: f64::NAN, ..good.clone() }, Exclusion::NoData),
        (Candidate { change_pct: -12.0, ..good.clone() }, Exclusion::FreeFall),
    ] {
        assert_eq!(limits.check(&candidate).unwrap_err(), exclusion);
    }
    let poor = ScenarioLimits { capital: Some(100_000), ..limits.clone() };
    assert_eq!(poor.check(&good).unwrap_err(), Exclusion::Unaffordable);
    let other = ScenarioLimits { markets: vec![Market::Kosdaq], ..limits };
    assert_eq!(other.check(&good).unwrap_err(), Exclusion::Scenario);
}

#[test]
fn no_data_and_no_edge_say_so() {
    let nothing = recommend(&[], &limits(), as_of());
    assert!(nothing.picks.is_empty() && nothing.note.starts_with("추천 없음: 조건을"));
    // A fall of a quarter and a wide spread eat the premium.
    let falling = Candidate { spread_pct: 0.5, ..candidate("000001", 7, -0.004) };
    let set = recommend(&[falling], &limits(), as_of());
    assert_eq!((set.eligible, set.picks.len()), (1, 0));
    assert!(set.note.contains("기대 우위가 부족"), "{}", set.note);
}

#[test]
fn twins_and_crowds_are_left_out() {
    let twins = [candidate("000001", 7, 0.002), candidate("000002", 7, 0.002)];
    let set = recommend(&twins, &limits(), as_of());
    assert_eq!(set.eligible, 2);
    assert_eq!(set.picks.len(), 1, "the second moves with the first");
    assert_eq!(set.picks[0].symbol.as_str(), "000001");

    let periods = [3, 4, 5, 7];
    let crowd: Vec<Candidate> = periods
        .iter()
        .enumerate()
        .map(|(index, period)| candidate(&format!("00000{index}"), *period, 0.002))
        .collect();
    let free = ScenarioLimits { max_correlation: 1.0, max_picks: 4, ..limits() };
    assert_eq!(recommend(&crowd, &free, as_of()).picks.len(), 4);
    let capped = ScenarioLimits { max_market_share: 0.5, ..free };
    assert_eq!(recommend(&crowd, &capped, as_of()).picks.len(), 2);
}

#[test]
fn the_id_rests_on_scenario_minute_and_picks() {
    let mut candidates = vec![candidate("000001", 7, 0.002), candidate("000002", 5, 0.001)];
    let first = recommend(&candidates, &limits(), as_of());
    candidates.reverse();
    assert_eq!(recommend(&candidates, &limits(), as_of()), first, "order does not matter");
    let later = recommend(&candidates, &limits(), as_of().plus_micros(60_000_000));
    assert_ne!(later.id, first.id);
    let named = ScenarioLimits { name: "공격형".into(), ..limits() };
    assert_ne!(recommend(&candidates, &named, as_of()).id, first.id);
}

#[test]
fn a_gap_is_told() {
    let gap = Candidate { over_gap: true, ..candidate("000001", 7, 0.002) };
    let set = recommend(&[gap], &limits(), as_of());
    assert!(set.picks[0].reasons.last().unwrap().contains("누락"));
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let closes = prop_oneof![
        prop::collection::vec(any::<i64>(), 0..70),
        prop::collection::vec(45_000i64..55_000, 0..70),
    ];
    let mostly = |range: std::ops::Range<f64>| prop_oneof![4 => range, 1 => any::<f64>()];
    (
        (0u32..30, closes, prop::collection::vec(0i64..10_000_000, 0..70)),
        prop_oneof![4 => 40_000i64..60_000, 1 => any::<i64>()],
        (mostly(0.0..100.0), mostly(0.1..7.0), mostly(0.01..0.7), mostly(-12.0..12.0)),
        (any::<i64>(), any::<bool>(), 0u8..4, any::<f64>()),
    )
        .prop_map(|((code, closes, volumes), price, numbers, rest)| Candidate {
            reference: Arc::new(Reference {
                market: [Market::Unknown, Market::Kospi, Market::Kosdaq, Market::Other]
                    [usize::from(rest.2)],
                closes,
                volumes,
                ..Reference::bare(format!("{code:06}").parse().unwrap())
            }),
            price,
            score: numbers.0,
            parts: DownsideParts { drawdown: rest.3, ..DownsideParts::default() },
            daily_volatility_pct: numbers.1,
            spread_pct: numbers.2,
            change_pct: numbers.3,
            cum_value: rest.0,
            over_gap: rest.1,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_candidates_give_a_sound_set(
        candidates in prop::collection::vec(any_candidate(), 0..12),
        min_history in 0usize..30,
        cap in prop_oneof![4 => 0.0..1.0f64, 1 => any::<f64>()],
        horizon in any::<u32>(),
    ) {
        let limits = ScenarioLimits {
            max_weight: cap,
            min_history,
            min_value: -1e9,
            horizon_sessions: horizon,
            ..ScenarioLimits::default()
        };
        let set = recommend(&candidates, &limits, as_of());
        prop_assert_eq!(&recommend(&candidates, &limits, as_of()), &set);
        prop_assert!(set.picks.iter().map(|pick| pick.weight).sum::<f64>() <= 1.0 + 1e-9);
        for pick in &set.picks {
            prop_assert!(pick.value.is_finite() && (0.0..=1.0).contains(&pick.weight));
            let sum: f64 = pick.factors.iter().map(|(_, amount)| amount).sum();
            prop_assert!((sum - pick.value).abs() <= 1e-9 * pick.value.abs().max(1.0));
            prop_assert!(pick.reasons.iter().all(|reason| !reason.contains("NaN")));
        }
    }

    #[test]
    fn weights_keep_their_bounds(
        volatilities in prop::collection::vec(prop_oneof![4 => 0.1..9.0f64, 1 => any::<f64>()], 0..20),
        cap in 0.0..1.0f64,
    ) {
        let weights = inverse_volatility_weights(&volatilities, cap);
        prop_assert_eq!(weights.len(), volatilities.len());
        prop_assert!(weights.iter().sum::<f64>() <= 1.0 + 1e-9);
        prop_assert!(weights.iter().all(|weight| (0.0..=cap + 1e-9).contains(weight)));
        if !weights.is_empty() && cap * weights.len() as f64 >= 1.0 {
            prop_assert!(weights.iter().sum::<f64>() > 0.99, "the capital is used: {weights:?}");
        }
    }
}
