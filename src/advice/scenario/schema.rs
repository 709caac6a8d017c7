//! The JSON Schema of a scenario, made of the ranges that are checked.

use serde_json::{Map, Value, json};

use super::rules::{
    CAPITAL, CORRELATION, DAILY_VALUE, DAY, FALL, HISTORY, HORIZON, IMPACT, LOSS, MOVE, PATHS,
    PICKS, RANKING, RATE, Range, SCORE, SESSION, SPREAD, TAX_YEAR, VALUE, VOLATILITY,
    VOLATILITY_FACTOR, WEIGHT,
};
use super::{MOST_HOLDINGS, MOST_LISTED, MOST_SHOCKS, PickRules, Scenario, Simulation, Universe};
use crate::advice::simulate::outcome::LEVELS;

/// Whole bounds without a point.
fn bound(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

fn ranged(kind: &str, range: Range, about: &str) -> Value {
    json!({
        "type": kind,
        "minimum": bound(range.low),
        "maximum": bound(range.high),
        "description": about,
    })
}

fn number(range: Range, about: &str) -> Value {
    ranged("number", range, about)
}

fn whole(range: Range, about: &str) -> Value {
    ranged("integer", range, about)
}

fn or_null(schema: Value, about: &str) -> Value {
    json!({"anyOf": [{"type": "null"}, schema], "description": about})
}

fn symbol(about: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9A-Za-z]{1,8}$", "description": about})
}

fn day(about: &str) -> Value {
    json!({"type": "string", "format": "date", "description": about})
}

fn list(items: Value, most: usize, about: &str) -> Value {
    json!({"type": "array", "items": items, "maxItems": most, "description": about})
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// One of some objects with a single member each.
fn one_of(variants: &[(&str, Value)]) -> Value {
    let of = |(name, schema): &(&str, Value)| {
        let properties: Map<String, Value> =
            std::iter::once(((*name).to_owned(), schema.clone())).collect();
        object(&Value::Object(properties), &[name])
    };
    json!({"oneOf": variants.iter().map(of).collect::<Vec<_>>()})
}

/// An object's schema with the defaults that leaving a field out means.
fn with_defaults(mut schema: Value, defaults: &Value) -> Value {
    let known = schema["properties"].as_object_mut().into_iter().flatten();
    for (name, property) in known {
        if let (Some(default), Some(property)) = (defaults.get(name), property.as_object_mut()) {
            property.insert("default".to_owned(), default.clone());
        }
    }
    schema
}

/// The schema of [`Scenario`].
///
/// # Errors
/// Never: its defaults are plain numbers and texts.
pub fn schema() -> Result<Value, serde_json::Error> {
    let markets = || {
        let one = json!({"enum": ["KOSPI", "KOSDAQ", "OTHER", "UNKNOWN"]});
        list(one, MOST_LISTED, "Markets; an empty list stands for all.")
    };
    let sectors = |about| {
        list(json!({"type": "string", "minLength": 1, "maxLength": 40}), MOST_LISTED, about)
    };
    let universe = object(
        &json!({
            "markets": markets(),
            "markets_out": list(json!({"enum": ["KOSPI", "KOSDAQ", "OTHER", "UNKNOWN"]}), MOST_LISTED, "Markets left out."),
            "sectors": sectors("Sectors allowed; an empty list stands for all. An issue whose sector is not known is in none."),
            "sectors_out": sectors("Sectors left out."),
            "excluded": list(symbol("Code."), MOST_LISTED, "Issues never picked."),
            "min_daily_value": whole(DAILY_VALUE, "Least average value traded a day, won."),
        }),
        &[],
    );
    let picks = object(
        &json!({
            "max_picks": whole(PICKS, "Most picks."),
            "max_weight": number(WEIGHT, "Largest weight of one pick."),
            "max_market_share": number(WEIGHT, "Largest share of the picks that may be of one market."),
            "max_correlation": number(CORRELATION, "Largest correlation of daily returns between two picks."),
            "max_score": number(SCORE, "Highest risk score."),
            "max_fall_pct": number(FALL, "Largest fall today, per cent."),
            "max_volatility_pct": number(VOLATILITY, "Highest forecast standard deviation of one day's return, per cent."),
            "max_spread_pct": number(SPREAD, "Widest spread, per cent of the price."),
            "min_history": whole(HISTORY, "Fewest daily returns known."),
            "min_value": number(RANKING, "Ranking value that must be exceeded."),
        }),
        &[],
    );
    let simulation = object(
        &json!({
            "paths": whole(PATHS, "Paths."),
            "seed": {"type": "integer", "minimum": 0, "description": "Seed of the draws: equal seeds give equal answers."},
            "as_of": or_null(day("Session."), "Day whose close is the start; null: the last session that is known."),
        }),
        &[],
    );
    let usual = Scenario::default();
    let properties = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 40, "description": "Letters, digits, - and _."},
        "capital": or_null(whole(CAPITAL, "Won."), "Capital; what is not in holdings is cash. null: the holdings are all there is."),
        "horizon_sessions": whole(HORIZON, "Sessions looked ahead."),
        "holdings": list(holding(), MOST_HOLDINGS, "What is held, each code once; weights add up to at most 1 and need capital."),
        "budget": or_null(budget(), "The loss that is bearable."),
        "universe": with_defaults(universe, &serde_json::to_value(Universe::default())?),
        "picks": with_defaults(picks, &serde_json::to_value(PickRules::default())?),
        "shocks": list(shock(), MOST_SHOCKS, "What is supposed to happen; a session has one condition at most."),
        "costs": or_null(costs(), "Costs of trading; null: those of the year."),
        "simulation": with_defaults(simulation, &serde_json::to_value(Simulation::default())?),
    });
    let mut schema = with_defaults(object(&properties, &[]), &serde_json::to_value(&usual)?);
    // What is an object of its own tells its defaults itself.
    for part in ["universe", "picks", "simulation"] {
        if let Some(part) = schema["properties"][part].as_object_mut() {
            part.remove("default");
        }
    }
    let mut whole = Map::new();
    whole.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("$id".into(), json!("https://bongsu.io/schemas/scenario.schema.json"));
    whole.insert("title".into(), json!("A user's scenario: bongsu simulate, POST /v1/scenarios"));
    whole.extend(schema.as_object().cloned().unwrap_or_default());
    Ok(Value::Object(whole))
}

fn holding() -> Value {
    object(
        &json!({
            "symbol": symbol("Code."),
            "quantity": whole(VALUE, "Shares. One of quantity, value and weight."),
            "value": whole(VALUE, "Value, won."),
            "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "description": "Share of the capital."},
        }),
        &["symbol"],
    )
}

fn budget() -> Value {
    let loss = || {
        object(
            &json!({
                "loss_pct": number(LOSS, "Loss, per cent of the whole."),
                "level": {"enum": LEVELS, "default": LEVELS[0], "description": "How sure: the loss may be exceeded with the probability 1 - level."},
            }),
            &["loss_pct"],
        )
    };
    one_of(&[("value_at_risk", loss()), ("drawdown", loss())])
}

fn shock() -> Value {
    let session = || {
        let mut one = whole(SESSION, "First session of it, from 1.");
        one["default"] = json!(1);
        one
    };
    let mut sessions = session();
    sessions["description"] = json!("Sessions over which it is spread, the same move in each.");
    let market = object(
        &json!({
            "index": {"enum": ["KOSPI", "KOSDAQ"], "default": "KOSPI", "description": "Which market."},
            "change_pct": number(MOVE, "Move over all of its sessions, per cent; within the price limit in each."),
            "at_session": session(),
            "sessions": sessions,
        }),
        &["change_pct"],
    );
    let stock = object(
        &json!({
            "symbol": symbol("Code."),
            "change_pct": number(DAY, "Move of the session, per cent."),
            "at_session": session(),
        }),
        &["symbol", "change_pct"],
    );
    let volatility = object(
        &json!({"factor": number(VOLATILITY_FACTOR, "Every volatility times this.")}),
        &["factor"],
    );
    let repeat = object(
        &json!({
            "from": day("First day."),
            "to": day("Last day."),
            "at_session": session(),
            "as": {"enum": ["returns", "residuals"], "default": "returns", "description": "The returns as they were, or the residuals at the volatilities of now."},
        }),
        &["from", "to"],
    );
    one_of(&[("market", market), ("stock", stock), ("volatility", volatility), ("repeat", repeat)])
}

fn costs() -> Value {
    object(
        &json!({
            "fee_pct": number(RATE, "Broker's fee for each purchase and each sale, per cent."),
            "sell_tax_pct": number(RATE, "Tax on the sale of a share, per cent."),
            "sell_tax_year": whole(TAX_YEAR, "Year whose law that is."),
            "impact": number(IMPACT, "Slippage of an order as large as an average day, in daily standard deviations."),
            "unknown_slippage_pct": number(RATE, "Slippage when the value traded is not known, per cent."),
            "unknown_half_spread_pct": number(RATE, "Half spread when the spread is not known, per cent."),
        }),
        &[],
    )
}
