//! What a scenario may say, and how it is told what it may not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::advice::simulate::tests::{STILL, world};
use crate::messages::schema::load;

fn problems(text: &str) -> Vec<String> {
    match Scenario::parse(text) {
        Err(ScenarioError::Fields(problems)) => {
            problems.iter().map(FieldProblem::to_string).collect()
        }
        other => panic!("{text}: {other:?}"),
    }
}

const WHOLE: &str = r#"
name: hedge-2
capital: 100000000
horizon_sessions: 40
holdings:
  - {symbol: "005930", quantity: 100}
  - {symbol: 000660, value: 5000000}
  - {symbol: "035420", weight: 0.25}
budget: {value_at_risk: {loss_pct: 5, level: 0.99}}
universe: {markets: [KOSPI], sectors_out: [은행], excluded: ["000020"]}
picks: {max_picks: 5}
shocks:
  - market: {change_pct: -10, sessions: 2}
  - stock: {symbol: "005930", change_pct: -15, at_session: 4}
  - volatility: {factor: 1.5}
  - repeat: {from: 2020-03-02, to: 2020-03-19, at_session: 10, as: residuals}
costs: {fee_pct: 0.02}
simulation: {paths: 5000, seed: 7, as_of: 2024-08-02}
"#;

#[test]
fn yaml_and_json_say_the_same() {
    let scenario = Scenario::parse(WHOLE).unwrap();
    assert_eq!(scenario.holdings.len(), 3);
    assert_eq!(scenario.holdings[1].symbol.as_str(), "000660");
    assert_eq!(
        scenario.budget,
        Some(Budget::ValueAtRisk(LossBudget { loss_pct: 5.0, level: 0.99 }))
    );
    assert_eq!(scenario.picks, PickRules { max_picks: 5, ..PickRules::default() });
    let json = serde_json::to_string(&scenario).unwrap();
    assert_eq!(Scenario::parse(&json).unwrap(), scenario);
    crate::messages::schema::assert_fits("scenario", &serde_json::to_value(&scenario).unwrap());
    let limits = scenario.limits();
    assert_eq!(
        (limits.name.as_str(), limits.max_picks, limits.horizon_sessions),
        ("hedge-2", 5, 40)
    );
    assert_eq!(limits.capital, Some(100_000_000));
}

#[test]
fn the_written_schema_is_that_of_the_code() {
    let made = schema::schema().unwrap();
    if std::env::var_os("BONGSU_TEST_WRITE").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemas/scenario.schema.json");
        std::fs::write(path, text + "\n").unwrap();
    }
    let told = "BONGSU_TEST_WRITE=1 cargo test --lib scenario:: writes it anew";
    assert_eq!(load("scenario.schema.json"), made, "{told}");
}

#[test]
fn every_mistake_is_told_at_once_with_field_value_and_range() {
    let found = problems(
        "
capital: -5
horizon_sessions: 0
holdings:
  - {symbol: \"005930\", quantity: -3}
  - {symbol: \"000660\"}
  - {symbol: \"000660\", weight: 0.7}
  - {symbol: \"035420\", weight: 0.7}
budget: {drawdown: {loss_pct: 500, level: 0.9}}
simulation: {paths: 3}
shocks:
  - market: {change_pct: -55}
  - stock: {symbol: \"005930\", change_pct: -31, at_session: 300}
  - volatility: {factor: .nan}
  - repeat: {from: 2020-03-19, to: 2020-03-02}
",
    );
    let expected = [
        "capital is -5, expected 10000 to 1,000,000,000,000,000",
        "horizon_sessions is 0, expected 1 to 250",
        "holdings[0].quantity is -3, expected 1 to",
        "holdings[1] of 000660: expected exactly one of quantity, value and weight",
        "holdings has 000660 twice",
        "holdings has weights that add up to 1.4000, expected at most 1",
        "budget.drawdown.loss_pct is 500, expected 0.1 to 100",
        "level is 0.9, expected 0.95, 0.975 or 0.99",
        "simulation.paths is 3, expected 1000 to 1,000,000",
        "shocks[0].market.change_pct is -55 over 1 session(s), expected -30 to 30 in one session",
        "change_pct is -31 over 1 session(s)",
        "at_session is 300, expected 1 to 250",
        "factor is NaN, expected 0.1 to 10",
        "shocks[3].repeat is from 2020-03-19 to 2020-03-02, expected from at or before to",
    ];
    for wanted in expected {
        assert!(found.iter().any(|one| one.contains(wanted)), "{wanted} not in {found:#?}");
    }
}

#[test]
fn bad_scenarios_get_their_answer() {
    let text = |lines: usize| {
        let line = |at: usize| format!("  - {{symbol: \"{at:06}\", value: 10000}}\n");
        format!("holdings:\n{}", (0..lines).map(line).collect::<String>())
    };
    let cases = [
        ("".to_owned(), "the scenario is empty"),
        ("# nothing\n".to_owned(), "the scenario is empty"),
        ("{}".to_owned(), "the scenario is empty"),
        ("name: a b\ncapital: 1000000".to_owned(), "name is \"a b\""),
        ("capital: 1000000\nhorizon_sessions: 2500".to_owned(), "horizon_sessions is 2500, expected 1 to 250"),
        (text(10_000), "holdings has 10000 entries, expected at most 500"),
        ("holdings: [{symbol: \"005930\", weight: 0.5}]".to_owned(), "expected capital (won) with them"),
        ("holdings: [{symbol: \"005930\", weight: 1.5}]\ncapital: 1000000".to_owned(), "holdings[0].weight is 1.5, expected above 0, at most 1"),
        ("holdings: [{symbol: \"005930\", weight: .nan}]\ncapital: 1000000".to_owned(), "weight is NaN, expected above 0"),
        ("capital: 1000000\nhorizon_sessions: 5\nshocks: [{market: {change_pct: -5, at_session: 4, sessions: 3}}]".to_owned(), "shocks[0] reaches to session 6, expected within horizon_sessions, 5"),
        ("capital: 1000000\ncosts: {fee_pct: -1}".to_owned(), "costs.fee_pct is -1, expected 0 to 10"),
        ("capital: 1000000\nshocks: [{market: {index: OTHER, change_pct: -5}}]".to_owned(), "expected KOSPI or KOSDAQ"),
    ];
    for (text, expected) in cases {
        let found = problems(&text);
        assert!(found.iter().any(|one| one.contains(expected)), "{expected} not in {found:#?}");
    }
    for (text, expected) in [
        ("capital: 1000000\nhorizon: 3", "horizon"),
        ("capital: much", "line 1"),
        ("holdings: [{symbol: \"삼성전자\", quantity: 1}]", "issue code"),
        ("capital: 1000000\nshocks: [{flood: {}}]", "flood"),
        ("capital: 1000000\nshocks:\n  - repeat: {from: 2020-13-02, to: 2020-03-02}", "2020-13-02"),
        ("[1, 2]", "line"),
        ("{\"capital\": null,", "no scenario"),
    ] {
        let error = Scenario::parse(text).unwrap_err();
        assert!(matches!(error, ScenarioError::Shape(_)), "{text}: {error:?}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    let long = format!("name: \"{}\"", "a".repeat(MOST_BYTES));
    assert!(matches!(Scenario::parse(&long), Err(ScenarioError::TooLong { .. })));
}

#[test]
fn holdings_are_valued_at_the_worlds_prices() {
    let world = world(3, 300, 0.5, STILL);
    let text = "capital: 1000000\nholdings:\n  - {symbol: \"000100\", quantity: 20}\n  - {symbol: \"000102\", weight: 0.3}\n  - {symbol: \"000101\", value: 100000}\n";
    let portfolio = Scenario::parse(text).unwrap().portfolio(&world).unwrap();
    let values: Vec<f64> = portfolio.held.iter().map(|held| held.value).collect();
    assert_eq!(values, [200_000.0, 300_000.0, 100_000.0]);
    assert_eq!((portfolio.cash, portfolio.value()), (400_000.0, 1_000_000.0));
    assert_eq!(portfolio.exposures().len(), 4);

    let text = "holdings: [{symbol: \"000100\", quantity: 20}, {symbol: \"999999\", quantity: 1}]\nshocks: [{stock: {symbol: \"888888\", change_pct: -5}}]";
    let found = Scenario::parse(text).unwrap().portfolio(&world).unwrap_err();
    let fields: Vec<&str> = found.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["holdings[1].symbol", "shocks[0].stock.symbol"]);
    assert!(found[0].problem.contains("is 999999, expected one of the 3 issues"), "{found:?}");

    let text = "capital: 150000\nholdings: [{symbol: \"000100\", quantity: 20}]";
    let found = Scenario::parse(text).unwrap().portfolio(&world).unwrap_err();
    assert!(found[0].to_string().contains("capital is 150,000, expected at least"), "{found:?}");
}

#[test]
fn a_market_move_is_spread_over_its_sessions() {
    let world = world(1, 300, 0.5, STILL);
    let text =
        "capital: 1000000\nshocks: [{market: {change_pct: -19, sessions: 2, at_session: 3}}]";
    let shocks = Scenario::parse(text).unwrap().shocks_in(&world);
    let [Shock::Move { each, at: 3, sessions: 2, .. }] = shocks[..] else { panic!("{shocks:?}") };
    assert!((each + 0.1).abs() < 1e-12);
}

#[test]
fn who_is_in_the_universe() {
    let symbol = "000100".parse().unwrap();
    let all = Universe::default();
    assert!(all.admits(symbol, Market::Kosdaq, None));
    let some = Universe {
        markets_out: vec![Market::Kosdaq],
        sectors: vec!["전기전자".to_owned()],
        ..Universe::default()
    };
    assert!(some.admits(symbol, Market::Kospi, Some("전기전자")));
    assert!(!some.admits(symbol, Market::Kospi, Some("은행")));
    assert!(!some.admits(symbol, Market::Kospi, None));
    assert!(!some.admits(symbol, Market::Kosdaq, Some("전기전자")));
    let without = Universe { excluded: vec![symbol], ..Universe::default() };
    assert!(!without.admits(symbol, Market::Kospi, None));
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        (-1e9..1e9_f64).prop_map(|n| json!(n)),
        "[a-z0-9]{0,8}".prop_map(|text| json!(text)),
    ];
    let key = prop_oneof![
        Just("capital"),
        Just("holdings"),
        Just("symbol"),
        Just("weight"),
        Just("value"),
        Just("budget"),
        Just("value_at_risk"),
        Just("loss_pct"),
        Just("shocks"),
        Just("market"),
        Just("change_pct"),
        Just("sessions"),
        Just("simulation"),
        Just("paths"),
        Just("seed"),
        Just("horizon_sessions"),
        Just("universe"),
        Just("excluded"),
        Just("other"),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Scenario::parse(&text);
    }

    /// What is read can be written and read again, and passes its own check.
    #[test]
    fn any_document_is_read_or_refused(value in anything()) {
        if let Ok(scenario) = Scenario::parse(&value.to_string()) {
            prop_assert_eq!(scenario.check(), Ok(()));
            let again = serde_json::to_string(&scenario).unwrap();
            prop_assert_eq!(Scenario::parse(&again).unwrap(), scenario);
        }
    }
}
