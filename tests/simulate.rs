//! A user's scenario as a user meets it: the command, the route, their answers and their refusals.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::support::http::{Response, request};
use crate::support::parquet::{each_batch, integers, texts};
use crate::support::{self, Daemon, skip};

fn simulate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.arg("simulate").args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Bars of thirty invented issues over 320 weekdays; the last one is halted at the end, and the one
/// before it was listed thirty days ago.
fn bars(folder: &Path) {
    let day = |at: i32| bongsu::market::SessionDay::from_epoch_days(19_000 + at);
    let days: Vec<String> = (0..)
        .map(day)
        .filter(|day| !day.is_weekend())
        .take(320)
        .map(|day| day.to_string())
        .collect();
    let mut text = String::from("date,symbol,name,market,open,high,low,close,volume,halted,jump\n");
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let market: Vec<f64> = days.iter().map(|_| 0.02 * (rng.random::<f64>() - 0.5)).collect();
    for issue in 1..31 {
        let mut close = 30_000.0_f64;
        for (at, day) in days.iter().enumerate() {
            if issue == 29 && at < 290 {
                continue;
            }
            if issue == 30 && at >= 310 {
                writeln!(text, "{day},{issue:06},이름{issue},KOSPI,,,,{close},0,true,false")
                    .unwrap();
                continue;
            }
            let open = close;
            let own = 0.02 * (rng.random::<f64>() - 0.5);
            close = (close * (1.0 + market[at] + own)).round();
            let (high, low) = (open.max(close) * 1.002, open.min(close) * 0.998);
            let volume = (1e5 * (0.5 + rng.random::<f64>())).round();
            writeln!(
                text,
                "{day},{issue:06},이름{issue},KOSPI,{open},{high:.0},{low:.0},{close},{volume},false,false"
            )
            .unwrap();
        }
    }
    std::fs::write(folder.join("bars.csv"), text).unwrap();
}

const SCENARIO: &str = "
name: mine
capital: 50000000
horizon_sessions: 10
holdings:
  - {symbol: \"000001\", quantity: 300}
  - {symbol: \"000002\", weight: 0.2}
  - {symbol: \"000030\", value: 1000000}
budget: {value_at_risk: {loss_pct: 4}}
shocks:
  - market: {change_pct: -6, sessions: 2}
simulation: {paths: 2000, seed: 11}
";

fn post(daemon: &Daemon, body: &str) -> Response {
    request(daemon.address(), "POST", "/v1/scenarios", &[], body).unwrap()
}

/// A daemon that answers scenarios from `bars.csv` of its folder.
fn daemon(folder: &Path, indices: Option<&str>) -> Daemon {
    let mut setup = Daemon::setup()
        .args(["run", "--source", "sim", "--market", "calm"])
        .dir(folder)
        .env("BONGSU_API__TOKENS", "operate:operator")
        .env("BONGSU_ADVICE__HISTORY", "bars.csv");
    if let Some(indices) = indices {
        setup = setup.env("BONGSU_ADVICE__INDICES", indices);
    }
    let mut daemon = setup.start();
    daemon.wait_ready(Duration::from_secs(60));
    daemon
}

fn answers_agree(folder: &Path, indices: Option<&str>, text: &str) -> Value {
    std::fs::write(folder.join("mine.yaml"), text).unwrap();
    let mut arguments = vec!["mine.yaml", "--json", "--data", "bars.csv"];
    if let Some(indices) = indices {
        arguments.extend(["--indices", indices]);
    }
    let output = simulate(folder, &arguments);
    assert!(output.status.success(), "{}", errors(&output));
    let command = String::from_utf8(output.stdout).unwrap();
    let mut daemon = daemon(folder, indices);
    let route = post(&daemon, text);
    assert_eq!((route.status, route.header("content-type")), (200, Some("application/json")));
    assert_eq!(command.trim_end(), route.body, "the command and the route say the same");
    // As JSON, and again: the same bytes.
    let scenario: Value = serde_json::from_str(&command).unwrap();
    let again = post(&daemon, &scenario["scenario"].to_string());
    assert_eq!((again.status, &again.body), (200, &route.body));
    // As a task, from the text and from the object: an answer is bytes in the order of its names there.
    let task = |scenario: &Value| {
        let path = "/v1/tasks/simulate_scenario?wait=60";
        let body = json!({"scenario": scenario}).to_string();
        let bearer = [("authorization", "Bearer operator")];
        let answer = request(daemon.address(), "POST", path, &bearer, &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer["state"], "SUCCESS", "{answer}");
        answer["result"].to_string()
    };
    let of_route: Value = serde_json::from_str(&route.body).unwrap();
    let of_route = of_route.to_string();
    assert_eq!(task(&text.into()), of_route, "the task says the same");
    assert_eq!(task(&scenario["scenario"]), of_route);
    daemon.stop();
    scenario
}

#[test]
fn the_command_the_route_and_the_task_give_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let answer = answers_agree(folder.path(), None, SCENARIO);
    let outcome = &answer["outcome"];
    let holdings = answer["portfolio"]["holdings"].as_array().unwrap();
    assert_eq!(holdings.len(), 3);
    assert_eq!((&holdings[2]["halted"], &holdings[0]["name"]), (&true.into(), &"이름1".into()));
    let notes: Vec<&str> =
        answer["notes"].as_array().unwrap().iter().map(|n| n["code"].as_str().unwrap()).collect();
    assert!(notes.contains(&"halted") && notes.contains(&"model_saw_later_days"), "{notes:?}");
    for (at, risk) in outcome["risk"].as_array().unwrap().iter().enumerate() {
        let part = |held: &Value| held["component"]["value_at_risk"][at].as_f64().unwrap();
        let sum: f64 = holdings.iter().map(part).sum();
        assert!((sum - risk["value_at_risk"].as_f64().unwrap()).abs() < 1e-6, "parts add up");
    }
    let plan = &answer["plan"];
    assert_eq!((&plan["subject"], &plan["assumed_position"]), (&"portfolio".into(), &false.into()));
    assert!(plan["options"].as_array().unwrap().len() >= 6, "{plan}");
    assert_eq!(answer["picks"]["as_of"], plan["as_of"]);
    assert!(outcome["returns"]["mean"].as_f64().unwrap() < -0.005, "the market fell");
    // For people.
    let output = simulate(folder.path(), &["mine.yaml", "--data", "bars.csv"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for wanted in ["이름1(000001)", "VaR", "거래정지", "예산"] {
        assert!(text.contains(wanted), "{wanted} not in {text}");
    }
}

#[test]
fn bad_scenarios_are_told_what_is_wrong_by_both() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let mut daemon = daemon(folder.path(), None);
    let many: String = (0..10_000)
        .map(|at| format!("{{symbol: \"{at:06}\", value: 10000}},"))
        .collect::<Vec<_>>()
        .join("\n");
    let cases = [
        ("", "the scenario is empty"),
        ("capital: -1", "capital is -1, expected 10000 to"),
        ("holdings: [{symbol: \"999999\", quantity: 1}]", "holdings[0].symbol is 999999"),
        ("holdings: [{symbol: \"000029\", quantity: 1}]", "000029, which has too few trading days"),
        (&format!("holdings: [{many}]"), "holdings has 10000 entries, expected at most 500"),
        ("capital: 1000000\nhorizon_sessions: 0", "horizon_sessions is 0, expected 1 to 250"),
        ("capital: 1000000\nhorizon_sessions: 2500", "horizon_sessions is 2500"),
        (
            "capital: 1000000\nholdings: [{symbol: \"000001\", weight: 0.8}, {symbol: \"000002\", weight: 0.4}]",
            "holdings has weights that add up to 1.2000",
        ),
        ("capital: 1000000\nholdings: [{symbol: \"000001\", weight: .nan}]", "weight is NaN"),
        ("capital: 10000\nholdings: [{symbol: \"000001\", quantity: 10}]", "capital is 10,000"),
        ("capital: 1000000\nsimulation: {as_of: 1990-01-03}", "simulation.as_of is 1990-01-03"),
        (
            "holdings: [{symbol: \"000001\", quantity: 10}]\nshocks: [{repeat: {from: 2019-03-02, to: 2019-03-19}}]",
            "cannot be repeated",
        ),
        ("capital: 1000000\nsimulation: {as_of: 2199-01-04}", "simulation.as_of is 2199-01-04"),
        ("capital: 1000000\nsimulation: {as_of: 2022-02-01}", "expected a later day"),
        (
            "holdings: [{symbol: \"000001\", quantity: 10}]\nshocks: [{stock: {symbol: \"000001\", change_pct: 5}}, {stock: {symbol: \"000001\", change_pct: -5}}]",
            "shocks[1].stock moves 000001 in session 1",
        ),
        ("holdings: [{symbol: \"000001\", quantity: 999999999999}]", "holdings are worth"),
        (
            "capital: 1000000000000000\nholdings: [{symbol: \"000001\", quantity: 1}]",
            "capital is 1,000,000,000,000,000, expected at most 10000 times",
        ),
        ("capital: 1000000\nhorizon: 5", "horizon"),
    ];
    for (scenario, expected) in cases {
        std::fs::write(folder.path().join("bad.yaml"), scenario).unwrap();
        let output = simulate(folder.path(), &["bad.yaml", "--data", "bars.csv"]);
        assert_eq!(output.status.code(), Some(2), "{expected}: {}", errors(&output));
        assert!(errors(&output).contains(expected), "{expected} not in {}", errors(&output));
        let route = post(&daemon, scenario);
        assert_eq!(route.status, 422, "{expected}: {}", route.body);
        let problem: Value = serde_json::from_str(&route.body).unwrap();
        assert!(
            problem["detail"].as_str().unwrap().contains(expected),
            "{expected} not in {problem}"
        );
    }
    let long = "#".repeat((1 << 20) + 1);
    assert_eq!(post(&daemon, &long).status, 413);
    let get = request(daemon.address(), "GET", "/v1/scenarios", &[], "").unwrap();
    assert_eq!(get.status, 405);
    daemon.stop();
}

/// Bars of some large issues since 2020 out of the shared file, and the two series the market needs.
fn real_bars(folder: &Path) -> Option<()> {
    let data = support::shared_dir()?.join("data");
    let (bars, indices) =
        (data.join("krx-daily-kospi-2020-2025.parquet"), data.join("indices-1995-2025.parquet"));
    if !(bars.is_file() && indices.is_file()) {
        return None;
    }
    let wanted = [
        "005930", "000660", "034020", "035420", "035720", "267260", "006800", "028260", "000270",
        "009540", "000020", "000070", "000100", "000120", "000150", "000210", "000240", "000320",
    ];
    let columns = [
        "date", "symbol", "name", "market", "open", "high", "low", "close", "volume", "halted",
        "jump",
    ];
    let day = |at: i64| {
        bongsu::market::SessionDay::from_epoch_days(i32::try_from(at).unwrap()).to_string()
    };
    let mut lines: BTreeMap<(String, i64), String> = BTreeMap::new();
    each_batch(&bars, &columns, |batch| {
        let (symbols, names, markets) =
            (texts(&batch, "symbol"), texts(&batch, "name"), texts(&batch, "market"));
        let numbers = ["open", "high", "low", "close", "volume"].map(|name| integers(&batch, name));
        let dates = integers(&batch, "date");
        for (at, symbol) in symbols.iter().enumerate() {
            if wanted.contains(&symbol.as_str()) {
                let [open, high, low, close, volume] = numbers.each_ref().map(|column| column[at]);
                let line = format!(
                    "{},{symbol},{},{},{open},{high},{low},{close},{volume},{},false\n",
                    day(dates[at]),
                    names[at],
                    markets[at],
                    volume == 0
                );
                lines.insert((symbol.clone(), dates[at]), line);
            }
        }
    });
    let mut text = format!("{}\n", columns.join(","));
    text.extend(lines.into_values());
    std::fs::write(folder.join("bars.csv"), text).unwrap();
    std::os::unix::fs::symlink(indices, folder.join("indices.parquet")).unwrap();
    Some(())
}

#[test]
fn a_shipped_scenario_on_real_data() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = real_bars(folder.path()) else { skip!("no daily bars") };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios/default.yaml");
    let scenario = std::fs::read_to_string(path).unwrap();
    let scenario = format!("{scenario}\nsimulation: {{paths: 2000, as_of: 2024-08-02}}\n");
    let answer = answers_agree(folder.path(), Some("indices.parquet"), &scenario);
    assert_eq!(answer["as_of"], "2024-08-02");
    assert_eq!(answer["source"]["data_to"], "2024-08-02");
    assert_eq!(answer["outcome"]["method"]["factors"][0], "KOSPI");
    assert_eq!(answer["portfolio"]["holdings"][0]["name"], "삼성전자");
    let risk = &answer["outcome"]["risk"][0];
    let var =
        risk["value_at_risk"].as_f64().unwrap() / answer["portfolio"]["value"].as_f64().unwrap();
    assert!((0.02..0.25).contains(&var), "a month of large shares, two thirds invested: {var}");
}
