//! From messages to rows.
//!
//! A row must never be one that the database refuses, or it would hold up all rows behind it: texts
//! are cut to their column, ASCII columns get ASCII, numbers are finite.

use sea_orm::ActiveValue::{NotSet, Set};
use serde::Serialize;
use serde_json::Value;

use super::super::entity::{
    etl_failure, llm_usage, market_price, mitigation_plan, recommendation, recommendation_item,
    report, risk_score, threat_event, trade_log,
};
use super::super::time::wall_clock;
use super::MAX_PAYLOAD;
use super::trades::PendingTrade;
use crate::market::bar_source::StoredBar;
use crate::market::{SessionDay, Symbol};
use crate::messages::advice::{LlmUsage, MitigationPlan, Pick, RecommendationSet, Report};
use crate::messages::event::deterministic_id;
use crate::messages::{OutwardEvent, Reject, RiskMinute};

/// Longest text of a `Text` column, bytes, with room to the 65,535 of MySQL.
pub(in crate::store) const MAX_TEXT: usize = 60_000;
/// Longest text of a report's body or a plan's options, bytes: what the estimates in
/// [`super::super::upsert`] allow for.
const MAX_LONG_TEXT: usize = 1_000_000;

/// The longest beginning of `text` with at most `bytes` bytes that ends between characters.
pub(in crate::store) fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Cuts a payload that is too long, and says so at its end.
pub(in crate::store) fn cut_payload(payload: &mut String) {
    if payload.len() > MAX_PAYLOAD {
        let mark = format!("…[cut: {} bytes in all]", payload.len());
        payload.truncate(payload.floor_char_boundary(MAX_PAYLOAD - mark.len()));
        payload.push_str(&mark);
        payload.shrink_to_fit();
    }
}

/// `text` for a column of `limit` characters.
pub(in crate::store) fn name(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

/// `text` for an ASCII column of `limit` bytes.
pub(in crate::store) fn ascii(text: &str, limit: usize) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).take(limit).collect()
}

/// A number that both databases hold: NaN and infinities become 0, and so does -0.
fn finite(value: f64) -> f64 {
    if value.is_finite() && value != 0.0 { value } else { 0.0 }
}

/// JSON text of `items`, of which the last ones are left out when it would not fit.
fn json_list<T: Serialize>(items: &[T], bytes: usize) -> String {
    for count in (0..=items.len()).rev() {
        // Lists of plain data with text keys always serialise.
        let text = serde_json::to_string(&items[..count]).unwrap_or_default();
        if text.len() <= bytes {
            return text;
        }
    }
    "[]".to_owned()
}

/// Identity of a trade on the market, as text.
pub(super) fn source_key(pending: &PendingTrade) -> String {
    let PendingTrade { symbol, trade, .. } = pending;
    market_key(*symbol, trade.time.session_day(), trade.cum_volume)
}

/// The same, of a trade that may not have come from the feed.
pub(in crate::store) fn market_key(symbol: Symbol, day: SessionDay, cum_volume: i64) -> String {
    format!("KRX:{symbol}:{}:{cum_volume}", day.yyyymmdd())
}

pub(super) fn trade(pending: &PendingTrade) -> trade_log::ActiveModel {
    let PendingTrade { symbol, trade, at } = pending;
    trade_log::ActiveModel {
        id: NotSet,
        source_key: Set(source_key(pending)),
        kind: Set("market".to_owned()),
        symbol: Set(symbol.as_str().to_owned()),
        ts: Set(trade.time),
        price: Set(trade.price),
        quantity: Set(trade.quantity),
        side: Set(trade.side.letter().to_owned()),
        cum_volume: Set(trade.cum_volume),
        flags: Set(trade.flags.0.into()),
        journal_segment: Set(at.segment.into()),
        journal_offset: Set(at.offset.into()),
        journal_record: Set(at.record.into()),
    }
}

pub(in crate::store) fn bar(stored: &StoredBar) -> market_price::ActiveModel {
    let StoredBar { bar, source } = stored;
    market_price::ActiveModel {
        id: NotSet,
        symbol: Set(bar.key.symbol.as_str().to_owned()),
        interval: Set(bar.key.interval.as_str().to_owned()),
        ts: Set(bar.key.start),
        open: Set(bar.open),
        high: Set(bar.high),
        low: Set(bar.low),
        close: Set(bar.close),
        volume: Set(bar.volume),
        amount: Set(bar.amount),
        source: Set(source.as_str().to_owned()),
        is_final: Set(bar.is_final),
    }
}

pub(super) fn score(minute: &RiskMinute, model: &str) -> risk_score::ActiveModel {
    let point = &minute.point;
    risk_score::ActiveModel {
        id: NotSet,
        symbol: Set(point.code.as_str().to_owned()),
        ts: Set(minute.minute),
        event_time: Set(point.time),
        score: Set(finite(point.score)),
        part_volatility: Set(finite(point.parts.volatility)),
        part_drawdown: Set(finite(point.parts.drawdown)),
        part_liquidity: Set(finite(point.parts.liquidity)),
        part_volume: Set(finite(point.parts.volume)),
        price: Set(point.price),
        change_pct: Set(finite(point.change_pct)),
        over_gap: Set(point.over_gap),
        model: Set(name(model, 128)),
    }
}

pub(super) fn threat(event: &OutwardEvent) -> threat_event::Model {
    let text = |key: &str| event.data()[key].as_str().unwrap_or_default();
    let integer = |key: &str| event.data()[key].as_i64().unwrap_or_default();
    let real = |key: &str| finite(event.data()[key].as_f64().unwrap_or_default());
    let evidence = match &event.data()["evidence"] {
        Value::Null => "{}".to_owned(),
        evidence => evidence.to_string(),
    };
    threat_event::Model {
        id: ascii(&event.id, 64),
        kind: event.kind.as_str().to_owned(),
        rule: ascii(text("rule"), 32),
        level: ascii(text("level"), 16),
        symbol: event.data()["symbol"].as_str().map(|symbol| ascii(symbol, 16)),
        name: name(text("name"), 128),
        price: integer("price"),
        reference_price: integer("reference_price"),
        change_pct: real("change_pct"),
        window_s: integer("window_s"),
        score: real("score"),
        event_time: event.time,
        journal_segment: event.data()["journal"]["segment"].as_i64().unwrap_or_default(),
        journal_offset: event.data()["journal"]["offset"].as_i64().unwrap_or_default(),
        evidence: if evidence.len() <= MAX_TEXT { evidence } else { "{}".to_owned() },
        published_at: None,
    }
}

pub(super) fn reject(reject: &Reject) -> etl_failure::Model {
    let position =
        reject.at.map(|at| format!("journal:{}:{}:{}", at.segment, at.offset, at.record));
    let position = position.unwrap_or_default();
    let key = deterministic_id(&[
        reject.stage,
        &position,
        &reject.source,
        reject.reason,
        &reject.detail,
        &reject.payload,
    ]);
    etl_failure::Model {
        id: 0,
        failure_key: key,
        stage: ascii(reject.stage, 32),
        source: name(&reject.source, 128),
        reason: ascii(reject.reason, 64),
        detail: head(&reject.detail, MAX_PAYLOAD).to_owned(),
        payload: reject.payload.clone(),
        payload_ref: position,
        journal_segment: reject.at.map(|at| at.segment.into()),
        journal_offset: reject.at.map(|at| at.offset.into()),
        journal_record: reject.at.map(|at| at.record.into()),
        created_at: wall_clock(),
    }
}

/// A refused row as it is inserted: its number is the database's to give.
pub(super) fn failure(row: &etl_failure::Model) -> etl_failure::ActiveModel {
    etl_failure::ActiveModel { id: NotSet, ..row.clone().into() }
}

/// A row of `table` that the database refuses, with what it said.
pub(super) fn refused(table: &str, key: &str, row: &str, why: &str) -> etl_failure::Model {
    let mut payload = row.to_owned();
    cut_payload(&mut payload);
    etl_failure::Model {
        id: 0,
        failure_key: deterministic_id(&["store", table, key]),
        stage: "store".to_owned(),
        source: name(table, 128),
        reason: "refused_by_database".to_owned(),
        detail: head(why, MAX_PAYLOAD).to_owned(),
        payload,
        payload_ref: String::new(),
        journal_segment: None,
        journal_offset: None,
        journal_record: None,
        created_at: wall_clock(),
    }
}

pub(super) fn recommendation(set: &RecommendationSet) -> recommendation::ActiveModel {
    recommendation::ActiveModel {
        id: Set(ascii(&set.id, 64)),
        scenario: Set(name(&set.scenario, 128)),
        as_of: Set(set.as_of),
        universe: Set(set.universe.into()),
        eligible: Set(set.eligible.into()),
        picks: Set(set.picks.len() as i64),
        note: Set(head(&set.note, MAX_TEXT).to_owned()),
        basis: Set(Some(set.basis.as_str().to_owned())),
        horizon_sessions: Set(Some(set.horizon_sessions.into())),
        cash: Set(Some(finite(set.cash))),
        var_pct: Set(Some(finite(set.var_pct))),
        model: Set(set.model.map(|model| model.to_string())),
        data_cut: Set(set.data_cut.map(|day| day.to_string())),
        // Plain numbers and days always serialise.
        evidence: Set(set.evidence.as_ref().and_then(|one| serde_json::to_string(one).ok())),
        created_at: Set(wall_clock()),
    }
}

pub(super) fn pick(set_id: &str, pick: &Pick) -> recommendation_item::ActiveModel {
    recommendation_item::ActiveModel {
        id: NotSet,
        recommendation_id: Set(ascii(set_id, 64)),
        rank: Set(i32::try_from(pick.rank).unwrap_or(i32::MAX)),
        symbol: Set(pick.symbol.as_str().to_owned()),
        name: Set(name(&pick.name, 128)),
        weight: Set(finite(pick.weight)),
        value: Set(finite(pick.value)),
        score: Set(finite(pick.score)),
        price: Set(pick.price),
        daily_volatility_pct: Set(finite(pick.daily_volatility_pct)),
        reasons: Set(json_list(&pick.reasons, MAX_TEXT / 2)),
        factors: Set(json_list(&pick.factors, MAX_TEXT / 2)),
        expected_return_pct: Set(Some(finite(pick.expected_return_pct))),
        downside_pct: Set(Some(finite(pick.downside_pct))),
    }
}

pub(super) fn plan(plan: &MitigationPlan) -> mitigation_plan::ActiveModel {
    mitigation_plan::ActiveModel {
        id: Set(ascii(&plan.id, 64)),
        subject: Set(ascii(&plan.subject, 32)),
        name: Set(name(&plan.name, 128)),
        event_id: Set(ascii(&plan.event_id, 64)),
        as_of: Set(plan.as_of),
        position_value: Set(plan.position_value),
        assumed_position: Set(plan.assumed_position),
        options: Set(json_list(&plan.options, 120_000)),
        model: Set(plan.model.map(|model| model.to_string())),
        data_cut: Set(plan.data_cut.map(|day| day.to_string())),
        horizon_sessions: Set(Some(plan.horizon_sessions.into())),
        paths: Set(i64::try_from(plan.paths).ok()),
        // A seed has 64 bits; both databases keep them, as a number with a sign.
        seed: Set(Some(plan.seed.cast_signed())),
        risk_error: Set(Some(plan.risk_error)),
        created_at: Set(wall_clock()),
    }
}

pub(super) fn report(report: &Report) -> report::ActiveModel {
    report::ActiveModel {
        id: Set(ascii(&report.id, 64)),
        kind: Set(ascii(&report.kind, 64)),
        title: Set(name(&report.title, 255)),
        body: Set(head(&report.body, MAX_LONG_TEXT).to_owned()),
        as_of: Set(report.as_of),
        origin: Set(report.origin.as_str().to_owned()),
        fallback_reason: Set(head(&report.fallback_reason, MAX_TEXT / 2).to_owned()),
        model: Set(name(&report.model, 128)),
        sources: Set(json_list(&report.sources, MAX_TEXT / 2)),
        subject: Set(name(&report.subject, 128)),
        rung: Set(report.rung.as_str().to_owned()),
        created_at: Set(wall_clock()),
    }
}

pub(super) fn llm_usage(usage: &LlmUsage) -> llm_usage::Model {
    llm_usage::Model {
        id: ascii(&usage.id, 64),
        task: ascii(&usage.task, 64),
        model: name(&usage.model, 128),
        prompt_tokens: usage.prompt_tokens.into(),
        completion_tokens: usage.completion_tokens.into(),
        total_tokens: i64::from(usage.prompt_tokens) + i64::from(usage.completion_tokens),
        latency_ms: i64::try_from(usage.latency_ms).unwrap_or(i64::MAX),
        cached: usage.is_cached(),
        outcome: usage.outcome.as_str().to_owned(),
        report_id: ascii(&usage.report_id, 64),
        prompt_version: ascii(&usage.prompt_version, 64),
        detail: ascii(&usage.detail, 64),
        cost_micros: usage.cost_micros,
        created_at: wall_clock(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_fit_their_columns(text in any::<String>(), limit in 0usize..40) {
            prop_assert!(head(&text, limit).len() <= limit);
            prop_assert!(name(&text, limit).chars().count() <= limit);
            let code = ascii(&text, limit);
            prop_assert!(code.is_ascii() && code.len() <= limit);
        }
    }

    #[test]
    fn a_long_payload_is_cut_with_a_mark() {
        let mut payload = "한".repeat(2_000);
        cut_payload(&mut payload);
        assert!(payload.len() <= MAX_PAYLOAD && payload.len() > MAX_PAYLOAD - 8);
        assert!(payload.ends_with("…[cut: 6000 bytes in all]"));
        let mut short = "x".repeat(MAX_PAYLOAD);
        cut_payload(&mut short);
        assert_eq!(short.len(), MAX_PAYLOAD);
    }

    #[test]
    fn lists_and_numbers_are_ones_the_database_takes() {
        assert_eq!(
            json_list(&["가".repeat(10), "b".to_owned()], 36),
            format!("[\"{}\"]", "가".repeat(10))
        );
        assert_eq!(json_list(&["a"], 2), "[]");
        assert_eq!(finite(f64::NAN), 0.0);
        assert!(finite(-0.0).is_sign_positive());
    }
}
