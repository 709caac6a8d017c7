use proptest::prelude::*;

use super::*;
use crate::advice::weights::RiskBudget;
use crate::market::{SessionBar, SessionDay, Symbol};
use crate::model::ranker::fitted::tests::example;

fn as_of() -> EventTime {
    EventTime::from_micros(1_722_816_021_000_000)
}

/// Sessions that wander with a period of their own, so that two issues are not alike.
fn bars(start: i64, period: usize, drift: f64) -> impl Iterator<Item = SessionBar> {
    (0..80).map(move |day| {
        let wave = ((day % period) as f64 - period as f64 / 2.0) * 0.004;
        let close = (start as f64 * (1.0 + drift * day as f64 + wave)) as Won;
        SessionBar { open: close, high: close + 100, low: close - 100, close, volume: 1_000_000 }
    })
}

pub(in crate::advice) fn candidate(code: &str, period: usize, drift: f64) -> Candidate {
    let symbol: Symbol = code.parse().unwrap();
    let mut reference = Reference {
        name: format!("종목{code}"),
        market: Market::Kospi,
        day: Some("2024-08-05".parse().unwrap()),
        ..Reference::bare(symbol)
    };
    for (bar, date) in bars(50_000, period, drift).zip(19_000..) {
        reference.push_session(SessionDay::from_epoch_days(date), bar);
    }
    Candidate {
        price: *reference.closes.last().unwrap(),
        reference: Arc::new(reference),
        sector: None,
        score: 20.0,
        parts: DownsideParts { volatility: 3.5, ..DownsideParts::default() },
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

/// Two dozen issues whose trends differ.
fn crowd() -> Vec<Candidate> {
    (0..24).map(|at| candidate(&format!("{at:06}"), 3 + at % 7, 0.0001 * at as f64)).collect()
}

const NO_MODEL: RankingModel<'_> = RankingModel { id: None, ranker: None };

#[test]
fn with_an_edge_the_trend_leads_and_explains() {
    let ranker = example(true);
    let model = RankingModel { id: "20260105T090000Z".parse().ok(), ranker: Some(&ranker) };
    let free = ScenarioLimits { max_correlation: 1.0, ..limits() };
    let set = recommend(&crowd(), &free, model, as_of());
    assert_eq!((set.basis, set.universe, set.eligible), (Basis::Ranked, 24, 24));
    assert_eq!(set.model, model.id);
    assert_eq!(set.data_cut.map(|day| day.to_string()).as_deref(), Some("2024-08-05"));
    assert_eq!(set.evidence.as_ref().map(|evidence| evidence.horizon), Some(20));
    let best = &set.picks[0];
    let trend = best.factors.iter().find(|(name, _)| name == "momentum_3_1").unwrap().1;
    assert!(trend > 0.0, "{best:?}");
    assert!(best.reasons[0].contains("가점"), "{best:?}");
    assert!(best.reasons.iter().any(|reason| reason.contains("적중률 0.550")), "{best:?}");
    for pick in &set.picks {
        let sum: f64 = pick.factors.iter().map(|(_, amount)| amount).sum();
        assert!((sum - pick.value).abs() < 1e-12);
        assert!((pick.value * pick.downside_pct - pick.expected_return_pct).abs() < 1e-9);
    }
    assert!(!set.note.contains("판단 근거 부족") && set.note.contains("약속하지 않습니다"));
    // Trends of those picked lie above those left out.
    let worst = set.picks.iter().map(|pick| pick.symbol.as_str().parse::<u32>().unwrap()).min();
    assert!(worst > Some(8), "{:?}", set.picks);
}

#[test]
fn without_an_edge_picks_are_a_basket_of_low_risk_and_say_so() {
    let mut candidates = vec![candidate("000001", 7, 0.002), candidate("000002", 5, 0.001)];
    candidates[0].parts.volatility = 2.5;
    let set = recommend(&candidates, &limits(), NO_MODEL, as_of());
    assert_eq!((set.universe, set.eligible, set.picks.len()), (2, 2, 2));
    assert_eq!((set.basis, set.model, set.evidence.as_ref()), (Basis::LowRisk, None, None));
    assert!(set.note.starts_with("판단 근거 부족: 사용 중인 모델에"), "{}", set.note);
    let best = &set.picks[0];
    assert_eq!((best.rank, best.symbol.as_str()), (1, "000001"), "the calmer one");
    let names: Vec<&str> = best.factors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["market_premium", "cost"], "no trait speaks for it");
    assert!((best.downside_pct - 2.5 * 20f64.sqrt()).abs() < 1e-12);
    assert!(best.reasons.iter().any(|reason| reason.contains("위험 점수 20.0점")), "{best:?}");
    let cost = best.reasons.iter().find(|reason| reason.contains("왕복 거래비용 0.31% 차감"));
    assert!(cost.is_some(), "{best:?}");
    assert!(set.picks.iter().all(|pick| pick.weight <= 0.2) && (set.cash - 0.6).abs() < 1e-9);

    let ranker = example(false);
    let model = RankingModel { id: None, ranker: Some(&ranker) };
    let set = recommend(&crowd(), &limits(), model, as_of());
    assert!(set.note.contains("100주 전진 검증"), "{}", set.note);
    assert_eq!(set.basis, Basis::LowRisk);
    assert_eq!(set.evidence, ranker.low_risk_for(20).cloned());
}

#[test]
fn over_few_sessions_the_cost_is_above_the_premium() {
    let short = ScenarioLimits { horizon_sessions: 5, ..limits() };
    let set = recommend(&[candidate("000001", 7, 0.002)], &short, NO_MODEL, as_of());
    assert_eq!((set.basis, set.picks.len(), set.cash), (Basis::None, 0, 1.0));
    assert!(set.note.contains("기대 우위가 부족"), "{}", set.note);
}

#[test]
fn the_fall_under_way_adds_to_the_first_day() {
    let calm = candidate("000001", 7, 0.002);
    assert!((downside_pct(&calm, 1) - 3.5).abs() < 1e-12);
    let parts = DownsideParts { drawdown: 1.0, liquidity: f64::NAN, ..calm.parts };
    let falling = Candidate { parts, ..calm.clone() };
    assert!((downside_pct(&falling, 2) - (4.5f64.powi(2) + 3.5f64.powi(2)).sqrt()).abs() < 1e-12);
    let unknown = Candidate { parts: DownsideParts::default(), ..calm };
    assert!((downside_pct(&unknown, 1) - 2.338 * 1.5).abs() < 1e-12);
}

#[test]
fn a_risk_budget_and_sectors_hold_weights_down() {
    let mut candidates = crowd();
    let sector: Arc<str> = "반도체".into();
    candidates.iter_mut().for_each(|one| one.sector = Some(Arc::clone(&sector)));
    let free = ScenarioLimits { max_correlation: 1.0, max_picks: 6, ..limits() };
    let set = recommend(&candidates, &free, NO_MODEL, as_of());
    let invested: f64 = set.picks.iter().map(|pick| pick.weight).sum();
    assert!(invested <= free.max_sector_share + 1e-9 && invested > 0.39, "{invested}");
    assert!((invested + set.cash - 1.0).abs() < 1e-9);
    let tight = ScenarioLimits { risk_budget: Some(RiskBudget::ValueAtRisk(2.0)), ..free };
    let scaled = recommend(&candidates, &tight, NO_MODEL, as_of());
    assert!(set.var_pct > 2.0 && scaled.var_pct <= 2.0 && scaled.var_pct > 1.9);
    assert!(scaled.cash > set.cash);
}

#[test]
fn each_limit_excludes() {
    let good = candidate("000001", 7, 0.002);
    let limits = limits();
    assert!(limits.check(&good).is_ok());
    let short = Reference { closes: vec![50_000; 10], ..(*good.reference).clone() };
    let thin = Reference { volumes: vec![10; 80], ..(*good.reference).clone() };
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
    let nothing = recommend(&[], &limits(), NO_MODEL, as_of());
    assert!(nothing.picks.is_empty() && nothing.note.contains("추천 없음: 조건을"));
    // A wide spread eats the premium.
    let dear = Candidate { spread_pct: 0.5, ..candidate("000001", 7, -0.001) };
    let set = recommend(&[dear], &limits(), NO_MODEL, as_of());
    assert_eq!((set.eligible, set.picks.len()), (1, 0));
    assert!(set.note.contains("기대 우위가 부족"), "{}", set.note);
}

#[test]
fn twins_and_crowds_are_left_out() {
    let twins = [candidate("000001", 7, 0.002), candidate("000002", 7, 0.002)];
    let set = recommend(&twins, &limits(), NO_MODEL, as_of());
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
    assert_eq!(recommend(&crowd, &free, NO_MODEL, as_of()).picks.len(), 4);
    let capped = ScenarioLimits { max_market_share: 0.5, ..free };
    assert_eq!(recommend(&crowd, &capped, NO_MODEL, as_of()).picks.len(), 2);
}

#[test]
fn the_id_rests_on_scenario_minute_and_picks() {
    let mut candidates = vec![candidate("000001", 7, 0.002), candidate("000002", 5, 0.001)];
    let first = recommend(&candidates, &limits(), NO_MODEL, as_of());
    candidates.reverse();
    assert_eq!(
        recommend(&candidates, &limits(), NO_MODEL, as_of()),
        first,
        "order does not matter"
    );
    let later = recommend(&candidates, &limits(), NO_MODEL, as_of().plus_micros(60_000_000));
    assert_ne!(later.id, first.id);
    let named = ScenarioLimits { name: "공격형".into(), ..limits() };
    assert_ne!(recommend(&candidates, &named, NO_MODEL, as_of()).id, first.id);
}

#[test]
fn a_gap_is_told() {
    let gap = Candidate { over_gap: true, ..candidate("000001", 7, 0.002) };
    let set = recommend(&[gap], &limits(), NO_MODEL, as_of());
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
            sector: (rest.2 > 0).then(|| Arc::from(format!("업종{}", rest.2))),
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
        budget in prop::option::of(prop_oneof![4 => 0.1..30.0f64, 1 => any::<f64>()]),
    ) {
        let limits = ScenarioLimits {
            risk_budget: budget.map(RiskBudget::ValueAtRisk),
            max_weight: cap,
            min_history,
            min_value: -1e9,
            horizon_sessions: horizon,
            ..ScenarioLimits::default()
        };
        let set = recommend(&candidates, &limits, NO_MODEL, as_of());
        prop_assert_eq!(&recommend(&candidates, &limits, NO_MODEL, as_of()), &set);
        let invested: f64 = set.picks.iter().map(|pick| pick.weight).sum();
        prop_assert!((invested + set.cash - 1.0).abs() < 1e-3 && (0.0..=1.0).contains(&set.cash));
        let within = |same: &dyn Fn(&Candidate) -> bool, most: f64| {
            let of = |pick: &&Pick| {
                candidates.iter().any(|one| one.reference.symbol == pick.symbol && same(one))
            };
            let codes = set.picks.iter().filter(of).map(|pick| pick.symbol);
            // Two candidates of one code may differ in market: then it is not known which was picked.
            let unique = codes.clone().all(|code| {
                candidates.iter().filter(|one| one.reference.symbol == code).count() == 1
            });
            !unique || set.picks.iter().filter(of).map(|pick| pick.weight).sum::<f64>() <= most + 1e-9
        };
        for market in [Market::Kospi, Market::Kosdaq, Market::Other] {
            let same = |one: &Candidate| one.reference.market == market;
            prop_assert!(within(&same, limits.max_market_share));
        }
        for sector in ["업종1", "업종2", "업종3"] {
            let same = |one: &Candidate| one.sector.as_deref() == Some(sector);
            prop_assert!(within(&same, limits.max_sector_share));
        }
        if let Some(budget) = budget.filter(|budget| *budget > 0.0) {
            prop_assert!(set.var_pct <= budget + 1e-9);
        }
        for pick in &set.picks {
            prop_assert!(pick.value.is_finite() && (0.0..=1.0).contains(&pick.weight));
            let sum: f64 = pick.factors.iter().map(|(_, amount)| amount).sum();
            prop_assert!((sum - pick.value).abs() <= 1e-9 * pick.value.abs().max(1.0));
            prop_assert!(pick.reasons.iter().all(|reason| !reason.contains("NaN")));
        }
    }
}
