use proptest::prelude::*;

use super::*;

fn as_of() -> EventTime {
    EventTime::from_micros(1_722_816_021_000_000)
}

fn wave(days: i64, factor: f64) -> Vec<Won> {
    (0..days)
        .map(|day| (100_000.0 * (1.0 + factor * ((day * 7 % 11) as f64 - 5.0) / 500.0)) as Won)
        .collect()
}

fn threat() -> ThreatContext {
    let closes = wave(60, 1.0);
    ThreatContext {
        event_id: "e1".into(),
        severity: Severity::Critical,
        reference: Arc::new(Reference {
            name: "삼성전자".into(),
            market: Market::Kospi,
            base_price: Some(75_000),
            volumes: vec![10_000_000; closes.len()],
            closes,
            ..Reference::bare("005930".parse().unwrap())
        }),
        price: 71_000,
        daily_volatility_pct: 3.0,
        spread_pct: 0.14,
        change_pct: -5.33,
        score: 88.0,
        halted: false,
        market_closes: Vec::new(),
    }
}

fn position() -> Position {
    Position { value: 10_000_000, assumed: true }
}

fn option<'a>(plan: &'a MitigationPlan, action: &str) -> &'a PlanOption {
    plan.options.iter().find(|option| option.action == action).unwrap()
}

#[test]
fn the_numbers_of_a_plan_can_be_checked_by_hand() {
    let plan = plan(&threat(), position(), &PlanSettings::default(), as_of());
    // 140 whole shares of 71,000.
    let value = 9_940_000.0;
    let before = (1.645 * 0.03 * value) as Won;
    assert!((option(&plan, "wait").risk_before - before).abs() <= 1);
    assert_eq!(option(&plan, "wait").risk_after, option(&plan, "wait").risk_before);
    let cash = option(&plan, "raise_cash");
    assert_eq!(cash.risk_after, 0);
    // Fee, tax of 2024, half spread, square-root slippage of a share of a day of 10^12 won.
    let slippage = 0.7 * 3.0 * (value / average_value(&threat().reference).unwrap()).sqrt();
    let cost = value * (0.015 + 0.18 + 0.07 + slippage) / 100.0;
    assert!((cash.cost as f64 - cost).abs() <= 1.0, "{} {cost}", cash.cost);
    let trim = option(&plan, "trim");
    assert!(trim.risk_after <= (value * 0.03) as Won + 1, "within the budget");
    assert!(trim.description.contains("55주"), "{}", trim.description);
    // The stop: 3 % below 71,000 is 68,870, cut to the tick of 100.
    let stop = option(&plan, "stop");
    assert!(stop.description.contains("68,800원"), "{}", stop.description);
    assert!(stop.risk_after < stop.risk_before);
    let hedge = option(&plan, "hedge_inverse_etf");
    assert!(hedge.description.contains("114800") && hedge.description.contains("가정"));
    // √(1 − (1.2 / 3)²)
    let residual = hedge.risk_after as f64 / hedge.risk_before as f64;
    assert!((residual - 0.84f64.sqrt()).abs() < 1e-3, "{residual}");
}

#[test]
fn a_grave_threat_is_met_a_calm_one_watched() {
    let settings = PlanSettings::default();
    let critical = plan(&threat(), position(), &settings, as_of());
    assert_eq!(critical.options[0].action, "raise_cash", "{critical:#?}");
    let calm = ThreatContext { severity: Severity::Watch, daily_volatility_pct: 1.0, ..threat() };
    let watch = plan(&calm, position(), &settings, as_of());
    assert_eq!(watch.options[0].action, "wait", "{watch:#?}");
    for plan in [critical, watch] {
        let wait = option(&plan, "wait").rank;
        // Costs more and leaves more risk than raising cash.
        assert!(option(&plan, "rotate_low_risk").rank > wait);
    }
}

#[test]
fn beta_is_measured_where_the_market_is_known() {
    let with_market = ThreatContext { market_closes: wave(60, 0.5), ..threat() };
    let plan = plan(&with_market, position(), &PlanSettings::default(), as_of());
    let hedge = option(&plan, "hedge_inverse_etf");
    assert!(hedge.description.contains("일봉 추정"), "{}", hedge.description);
    assert!(hedge.description.contains("베타 2.0"), "{}", hedge.description);
    assert!(hedge.risk_after < hedge.risk_before / 10, "it moves as the market does");
}

#[test]
fn what_cannot_be_done_is_kept_with_its_reason() {
    let settings = PlanSettings::default();
    let halted = plan(&ThreatContext { halted: true, ..threat() }, position(), &settings, as_of());
    let limit = plan(&ThreatContext { price: 52_500, ..threat() }, position(), &settings, as_of());
    let small = plan(&threat(), Position { value: 5_000, assumed: false }, &settings, as_of());
    for (plan, word) in [(&halted, "정지"), (&limit, "하한가 52,500원"), (&small, "1주 가격")]
    {
        for action in ["trim", "stop", "raise_cash", "rotate_low_risk"] {
            let why = option(plan, action).infeasible.as_deref().unwrap();
            assert!(why.contains(word), "{action}: {why}");
        }
        assert_eq!(plan.options.len(), 6);
    }
    assert!(option(&halted, "hedge_inverse_etf").infeasible.is_none());
    let nowhere = Reference { market: Market::Unknown, ..(*threat().reference).clone() };
    let nowhere = ThreatContext { reference: Arc::new(nowhere), ..threat() };
    let plan = plan(&nowhere, position(), &settings, as_of());
    assert!(option(&plan, "hedge_inverse_etf").infeasible.as_deref().unwrap().contains("시장"));
}

#[test]
fn a_portfolio_is_planned_as_a_whole() {
    let holding = |code: &str| Holding {
        reference: Arc::new(Reference {
            market: Market::Kospi,
            ..Reference::bare(code.parse().unwrap())
        }),
        value: 5_000_000,
        daily_volatility_pct: 2.0,
        spread_pct: 0.1,
    };
    let mut market = PortfolioThreat {
        event_id: "m1".into(),
        severity: Severity::Critical,
        market: Market::Kospi,
        name: "코스피".into(),
        halted: false,
        market_volatility_pct: Some(2.0),
        market_closes: Vec::new(),
        holdings: vec![holding("005930"), holding("000660")],
    };
    let settings = PlanSettings::default();
    let nothing = Position { value: 0, assumed: false };
    let held = plan_portfolio(&market, nothing, &settings, as_of());
    assert_eq!((held.subject.as_str(), held.position_value), ("portfolio", 10_000_000));
    // 2 % each at the assumed correlation of one half: 1.732 %.
    let expected = (1.645 * 3f64.sqrt() / 100.0 * 1e7) as Won;
    assert!((held.options[0].risk_before - expected).abs() <= 1);
    market.holdings.clear();
    let assumed = plan_portfolio(&market, position(), &settings, as_of());
    assert!(assumed.assumed_position && assumed.options[0].risk_before > expected);
    market.halted = true;
    let halted = plan_portfolio(&market, position(), &settings, as_of());
    assert!(option(&halted, "raise_cash").infeasible.as_deref().unwrap().contains("서킷"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_threat_gives_a_sound_plan(
        price in prop_oneof![4 => 100i64..1_000_000, 1 => any::<i64>()],
        value in prop_oneof![4 => 0i64..1_000_000_000, 1 => any::<i64>()],
        volatility in prop_oneof![4 => 0.1..8.0f64, 1 => any::<f64>()],
        spread in prop_oneof![4 => 0.0..1.0f64, 1 => any::<f64>()],
        base_price in prop::option::of(any::<i64>()),
        closes in prop::collection::vec(any::<i64>(), 0..40),
        volumes in prop::collection::vec(any::<i64>(), 0..40),
        market in 0usize..4,
        severity in 0usize..3,
        halted in any::<bool>(),
    ) {
        let threat = ThreatContext {
            severity: [Severity::Watch, Severity::Warning, Severity::Critical][severity],
            reference: Arc::new(Reference {
                market: [Market::Unknown, Market::Kospi, Market::Kosdaq, Market::Other][market],
                base_price,
                closes,
                volumes,
                ..Reference::bare("005930".parse().unwrap())
            }),
            price,
            daily_volatility_pct: volatility,
            spread_pct: spread,
            halted,
            ..threat()
        };
        let position = Position { value, assumed: true };
        let settings = PlanSettings::default();
        let plan = plan(&threat, position, &settings, as_of());
        prop_assert_eq!(&super::plan(&threat, position, &settings, as_of()), &plan);
        let mut seen_infeasible = false;
        for (index, option) in plan.options.iter().enumerate() {
            prop_assert_eq!(option.rank as usize, index + 1);
            prop_assert!(option.risk_after <= option.risk_before && option.risk_after >= 0);
            prop_assert!((0..=plan.position_value.max(1)).contains(&option.cost) || option.action == "hedge_inverse_etf");
            prop_assert!(!option.description.contains("NaN") && !option.description.contains("inf"));
            prop_assert!(option.infeasible.is_some() || !seen_infeasible, "feasible ones first");
            seen_infeasible |= option.infeasible.is_some();
        }
        prop_assert!(plan.options.iter().any(|option| option.infeasible.is_none()));
    }
}
