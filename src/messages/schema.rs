//! Checks JSON against `docs/schemas/`: the part of JSON Schema that those files use, no more. An
//! unknown keyword is an error, so that no rule is silently left out.

use std::path::PathBuf;

use serde_json::Value;

use crate::market::SessionDay;

pub(crate) fn load(name: &str) -> Value {
    // A reference of a folder below is relative to it.
    let name = name.trim_start_matches("../");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/schemas").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Panics, saying where, unless `value` fits `docs/schemas/<name>.schema.json`.
pub(crate) fn assert_fits(name: &str, value: &Value) {
    if let Err(error) = fits(name, value) {
        panic!("{name}: {error}\n{value:#}");
    }
}

pub(crate) fn fits(name: &str, value: &Value) -> Result<(), String> {
    check(&load(&format!("{name}.schema.json")), value, "$")
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => panic!("unknown type {name}"),
    }
}

fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let rules = schema.as_object().expect("a schema is an object");
    for (rule, wanted) in rules {
        let ok = match rule.as_str() {
            "$schema" | "$id" | "title" | "description" | "format" | "default" => true,
            "$ref" => {
                check(&load(wanted.as_str().unwrap()), value, at)?;
                true
            }
            "type" => match wanted {
                Value::String(name) => is_type(name, value),
                names => {
                    names.as_array().unwrap().iter().any(|n| is_type(n.as_str().unwrap(), value))
                }
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|v| v >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= wanted.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|v| v > wanted.as_f64().unwrap()),
            "minLength" => value
                .as_str()
                .is_none_or(|v| v.chars().count() >= wanted.as_u64().unwrap() as usize),
            "maxLength" => value
                .as_str()
                .is_none_or(|v| v.chars().count() <= wanted.as_u64().unwrap() as usize),
            "minItems" => {
                value.as_array().is_none_or(|v| v.len() >= wanted.as_u64().unwrap() as usize)
            }
            "maxItems" => {
                value.as_array().is_none_or(|v| v.len() <= wanted.as_u64().unwrap() as usize)
            }
            "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
            "required" => {
                let missing = wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|n| value.get(n.as_str().unwrap()).is_none());
                if let Some(name) = missing {
                    return Err(format!("{at}: {name} is missing"));
                }
                true
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        check(schema, inner, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    match wanted {
                        Value::Bool(false) => return Err(format!("{at}: {name} is not described")),
                        schema => check(schema, inner, &format!("{at}.{name}"))?,
                    }
                }
                true
            }
            "items" => {
                for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(wanted, inner, &format!("{at}[{index}]"))?;
                }
                true
            }
            "prefixItems" => {
                let schemas = wanted.as_array().unwrap();
                for (schema, inner) in schemas.iter().zip(value.as_array().into_iter().flatten()) {
                    check(schema, inner, at)?;
                }
                true
            }
            "anyOf" => wanted.as_array().unwrap().iter().any(|s| check(s, value, at).is_ok()),
            "oneOf" => {
                wanted.as_array().unwrap().iter().filter(|s| check(s, value, at).is_ok()).count()
                    == 1
            }
            other => panic!("{at}: keyword {other} is not understood"),
        };
        if !ok {
            return Err(format!("{at}: {value} against {rule} {wanted}"));
        }
    }
    Ok(())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The patterns the schemas use, without a regular-expression engine.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9a-f]{32}$" => is_hex(text, 32),
        "^[0-9a-f]{64}$" => is_hex(text, 64),
        "^[0-9A-Za-z]{1,8}$" => {
            (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
        }
        r"^bongsu\." => text.starts_with("bongsu."),
        r"^\d{4}-\d{2}-\d{2}$" => text.len() == 10 && text.parse::<SessionDay>().is_ok(),
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?\+09:00$" => {
            chrono::DateTime::parse_from_rfc3339(text).is_ok()
                && text.ends_with("+09:00")
                && matches!(text.len(), 25 | 32)
        }
        other => panic!("pattern {other} is not understood"),
    }
}

mod tests {
    use super::*;
    use crate::market::{EventTime, RecordRef, SymbolId};
    use crate::messages::advice::{
        MitigationPlan, Pick, PlanOption, RecommendationSet, Report, ReportOrigin, Rung,
    };
    use crate::messages::{
        Cause, Component, Detection, EventKind, HealthRegistry, HealthState, Level, OutwardEvent,
        RiskPoint, Rule, ScoreParts,
    };
    use crate::model::design::SCORED_FROM;
    use crate::model::tests::support::panel;

    const TIME: EventTime = EventTime::from_micros(1_722_816_021_000_005);

    fn detection(rule: Rule, symbol: Option<&str>) -> OutwardEvent {
        let detection = Detection {
            rule,
            level: Level::Warning,
            symbol: symbol.map(|s| s.parse().unwrap()),
            name: "삼성전자".into(),
            price: 71_000,
            reference_price: 75_000,
            change_pct: -5.333_333,
            window_s: 300,
            score: 88.123,
            time: TIME,
            cause: Cause::Trade { cum_volume: 12_345 },
            at: RecordRef { segment: 1, offset: 64, record: 0 },
            evidence: vec![("z", -7.25), ("none", f64::NAN)],
        };
        OutwardEvent::from_detection(&detection, 1)
    }

    fn risk() -> OutwardEvent {
        let point = RiskPoint {
            symbol: SymbolId(0),
            code: "005930".parse().unwrap(),
            time: TIME,
            price: 71_000,
            score: 12.0,
            parts: ScoreParts::default(),
            change_pct: -1.0,
            over_gap: false,
            cum_volume: 5,
            model: None,
            at: RecordRef::default(),
        };
        OutwardEvent::from_risk(&point, "삼성전자", 1)
    }

    fn picks() -> RecommendationSet {
        let pick = Pick {
            rank: 1,
            symbol: "005930".parse().unwrap(),
            name: "삼성전자".into(),
            weight: 0.5,
            value: 1.25,
            score: 10.0,
            price: 71_000,
            daily_volatility_pct: 1.5,
            reasons: vec!["변동성 1.5%".into()],
            factors: vec![("momentum".into(), 0.5)],
            expected_return_pct: 0.12,
            downside_pct: 11.5,
        };
        RecommendationSet {
            id: "r1".into(),
            scenario: "default".into(),
            as_of: TIME,
            universe: 200,
            eligible: 20,
            picks: vec![pick],
            note: String::new(),
            ..RecommendationSet::default()
        }
    }

    fn plan() -> MitigationPlan {
        let option = |infeasible| PlanOption {
            rank: 1,
            action: "trim".into(),
            description: "절반을 줄입니다".into(),
            risk_before: 100,
            risk_after: 50,
            cost: 1,
            infeasible,
            ..PlanOption::default()
        };
        MitigationPlan {
            id: "m1".into(),
            subject: "005930".into(),
            name: "삼성전자".into(),
            event_id: "e1".into(),
            as_of: TIME,
            position_value: 1_000_000,
            assumed_position: true,
            options: vec![option(None), option(Some("수량이 없습니다".into()))],
            horizon_sessions: 5,
            paths: 4_000,
            seed: 7,
            risk_error: 12,
            model: "20260105T090000Z".parse().ok(),
            data_cut: "2024-09-02".parse().ok(),
        }
    }

    fn report() -> Report {
        Report {
            id: "p1".into(),
            kind: "market_risk".into(),
            title: "제목".into(),
            body: "본문".into(),
            as_of: TIME,
            origin: ReportOrigin::Template,
            fallback_reason: String::new(),
            model: String::new(),
            sources: vec!["e1".into()],
            subject: "market".into(),
            rung: Rung::Template,
            retry_in_s: None,
        }
    }

    /// At least one real event of every kind.
    fn events() -> Vec<OutwardEvent> {
        let health = HealthRegistry::new();
        health.set(Component::Redis, HealthState::down("refused"));
        let rules = Rule::ALL;
        let mut events: Vec<_> = rules.map(|rule| detection(rule, Some("005930"))).into();
        events.extend(rules.map(|rule| detection(rule, None)));
        events.extend([risk(), picks().event(), plan().event(), report().event()]);
        events.push(health.get(Component::Redis).unwrap().event());
        health.set(Component::Redis, HealthState::Up);
        events.push(health.get(Component::Redis).unwrap().event());
        events
    }

    #[test]
    fn every_kind_of_event_fits_its_schema() {
        let events = events();
        for kind in EventKind::ALL {
            assert!(events.iter().any(|event| event.kind == kind), "no {kind:?}");
        }
        for event in events {
            let json: Value = serde_json::from_str(&event.json).unwrap();
            assert_fits(event.kind.as_str(), &json);
        }
    }

    #[test]
    fn the_check_can_fail() {
        let json: Value = serde_json::from_str(&risk().json).unwrap();
        for (path, bad) in
            [("score", Value::from(101)), ("price", "1".into()), ("event_time", "2024".into())]
        {
            let mut broken = json.clone();
            broken["data"][path] = bad;
            assert!(fits("risk", &broken).unwrap_err().contains(path));
        }
        let mut broken = json.clone();
        broken["data"]["more"] = 1.into();
        assert!(fits("risk", &broken).unwrap_err().contains("more"));
        broken = json;
        broken.as_object_mut().unwrap().remove("id");
        assert!(fits("risk", &broken).unwrap_err().contains("id"));
    }

    #[test]
    fn advice_fits_its_bodies() {
        use crate::messages::advice::outward_json;
        assert_fits("recommendation-body", &outward_json(&picks(), TIME));
        assert_fits("mitigation-body", &outward_json(&plan(), TIME));
        assert_fits("report-body", &outward_json(&report(), TIME));
        assert_eq!(report().event().data()["href"], "/v1/reports/p1");
    }

    #[test]
    fn evaluations_fit_with_and_without_crash_days() {
        use crate::evaluate::report::CrashReport;
        use crate::evaluate::{Evaluation, RunOptions, run};
        let market = panel(11, 8, SCORED_FROM + 170);
        let found = run(&market, &RunOptions::default(), &|_| ()).unwrap();
        let metrics = found.metrics.as_ref().unwrap();
        let mut report = Evaluation::new(metrics, &found, Default::default(), Default::default());
        assert_fits("evaluate", &serde_json::to_value(&report).unwrap());
        report.crash = Some(CrashReport { days: 3, detected: 2, missed: 1, ..Default::default() });
        let mut json = serde_json::to_value(&report).unwrap();
        assert_fits("evaluate", &json);
        json["var_99"]["exceed_ratio"] = 1.5.into();
        assert!(fits("evaluate", &json).unwrap_err().contains("$.var_99.exceed_ratio"));
    }

    #[test]
    fn the_channels_are_described() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/asyncapi.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(document["asyncapi"], "3.0.0");
        for kind in EventKind::ALL {
            let name = kind.as_str();
            let address = document["channels"][name]["address"].as_str().unwrap();
            assert!(address.starts_with(&format!("bongsu.{name}.{{")), "{address}");
            let message = &document["components"]["messages"][name];
            assert_eq!(message["name"], kind.cloud_type());
            let file = message["payload"]["schema"]["$ref"].as_str().unwrap();
            assert_eq!(load(file.strip_prefix("schemas/").unwrap())["type"], "object");
            assert_eq!(
                document["channels"]["stream"]["messages"].get(name).is_some(),
                kind.is_kept()
            );
        }
    }
}
