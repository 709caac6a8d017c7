//! Facts of alerts and of the market as a whole.

use serde_json::Value;

use crate::advice::korean::{name_and_code, signed_percent, won};
use crate::messages::OutwardEvent;
use crate::messages::advice::MitigationPlan;

use super::facts::{Fact, Facts, Section, fact, moment, option_fact, plain, points};
use super::request::MarketSummary;

/// Defences shown with an alert.
const PLAN_OPTIONS: usize = 3;

/// What an event's `data` says, read leniently: an unknown or missing field is left out.
struct EventData<'a>(&'a Value);

impl EventData<'_> {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(Value::as_f64)
    }

    fn whole(&self, key: &str) -> i64 {
        self.0.get(key).and_then(Value::as_i64).unwrap_or_default()
    }

    /// Name and code, or what the event is about.
    fn subject(&self, event: &OutwardEvent) -> String {
        let (name, code) = (self.text("name"), self.text("symbol"));
        let subject = match (code.is_empty(), event.subject.as_str()) {
            (false, _) => name_and_code(name, code),
            (true, "feed") if name.is_empty() => "시세 수신".to_owned(),
            (true, "market") if name.is_empty() => "시장 전체".to_owned(),
            (true, "model") if name.is_empty() => "예측 모형".to_owned(),
            (true, other) if name.is_empty() => other.to_owned(),
            (true, _) => name.to_owned(),
        };
        plain(&subject)
    }

    /// A price in won, or an index level for an event that is about no issue.
    fn price(&self, key: &str) -> Option<String> {
        match (self.whole(key), self.text("symbol").is_empty()) {
            (0, _) => None,
            (level, true) => Some(points(level)),
            (price, false) => Some(won(price)),
        }
    }
}

fn rule_name(rule: &str) -> &str {
    match rule {
        "symbol_crash" => "종목 급락",
        "market_crash" => "시장 급락",
        "volatility" => "변동성 급등",
        "volume_surge" => "거래량 급증",
        "liquidity" => "유동성 고갈",
        "vi" => "변동성완화장치",
        "price_limit" => "가격제한폭 근접",
        "halt" => "거래 정지",
        "feed_stale" => "시세 끊김",
        "feed_gap" => "체결 누락",
        "model_drift" => "모형 이탈",
        other => other,
    }
}

fn level_name(level: &str) -> &str {
    match level {
        "watch" => "관심",
        "warning" => "경고",
        "critical" => "심각",
        other => other,
    }
}

fn window_text(seconds: i64) -> String {
    match seconds {
        ..=0 => "전일 종가 대비".to_owned(),
        1..=59 => format!("최근 {seconds}초"),
        _ if seconds % 60 == 0 => format!("최근 {}분", seconds / 60),
        _ => format!("최근 {}분 {}초", seconds / 60, seconds % 60),
    }
}

/// Facts of a crash or threat.
pub(super) fn of_alert(
    kind: &'static str,
    event: &OutwardEvent,
    plan: Option<&MitigationPlan>,
) -> Facts {
    let data = EventData(event.data());
    let subject = data.subject(event);
    let rule = plain(rule_name(data.text("rule")));
    let level = plain(level_name(data.text("level")));
    let window = window_text(data.whole("window_s"));
    let change = data.number("change_pct").filter(|change| *change != 0.0);

    let mut rows = vec![
        fact("대상", &subject),
        fact("유형", &rule),
        fact("단계", &level),
        fact("발생 시각", moment(event.time)),
    ];
    rows.extend(data.price("price").map(|price| fact("현재 값", price)));
    rows.extend(data.price("reference_price").map(|price| fact("비교 값", price)));
    rows.extend(
        change.map(|change| fact("변동률", format!("{} ({window})", signed_percent(change)))),
    );
    rows.extend(
        data.number("score")
            .filter(|score| *score > 0.0)
            .map(|score| fact("위험 점수", format!("{score:.1}점 (100점 만점)"))),
    );
    let mut evidence = Vec::new();
    if let Some(Value::Object(numbers)) = event.data().get("evidence") {
        for (name, value) in numbers.iter().take(12) {
            evidence.extend(value.as_f64().map(|value| fact(plain(name), format!("{value:.2}"))));
        }
    }
    let defence: Vec<Fact> = plan
        .map(|plan| {
            let horizon = plan.horizon_sessions;
            let options = plan.options.iter().take(PLAN_OPTIONS);
            options.map(|option| option_fact(option, horizon)).collect()
        })
        .unwrap_or_default();

    let moved = match (change, data.price("price")) {
        (Some(change), Some(price)) => {
            format!(" {window} {} 변동하여 {price}입니다.", signed_percent(change))
        }
        (Some(change), None) => format!(" {window} {} 변동했습니다.", signed_percent(change)),
        _ => String::new(),
    };
    let lead = format!(
        "{}에 {subject}의 {rule} {level} 단계가 감지되었습니다.{moved}",
        moment(event.time)
    );
    let mut sources = vec![event.id.clone()];
    sources.extend(plan.map(|plan| plan.id.clone()));
    let (name, code) = (plain(data.text("name")), plain(data.text("symbol")));
    Facts {
        kind,
        title: format!("[{level}] {subject} {rule}"),
        lead,
        subjects: [name, code, subject].into_iter().filter(|text| !text.is_empty()).collect(),
        sections: vec![
            Section { heading: "무슨 일인가", rows },
            Section { heading: "판단 근거", rows: evidence },
            Section { heading: "대응 방안", rows: defence },
        ],
        as_of: event.time,
        sources,
    }
}

/// Facts of the market as a whole.
pub(super) fn of_market(summary: &MarketSummary) -> Facts {
    let overview = vec![
        fact("기준 시각", moment(summary.as_of)),
        fact("감시 종목 수", format!("{}종목", summary.issues)),
        fact("평균 위험 점수", format!("{:.1}점 (100점 만점)", summary.mean_score)),
        fact("상승 종목 수", format!("{}종목", summary.rising)),
        fact("하락 종목 수", format!("{}종목", summary.falling)),
    ];
    let riskiest = summary
        .riskiest
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let value = format!(
                "{}, 위험 점수 {:.1}점, 현재가 {}, 등락률 {}, 일 변동성 예측 {:.2}%",
                name_and_code(&row.name, row.symbol.as_str()),
                row.score,
                won(row.price),
                signed_percent(row.change_pct),
                row.daily_volatility_pct
            );
            fact(format!("위험 {}위", index + 1), value)
        })
        .collect();
    let events = summary
        .events
        .iter()
        .map(|event| {
            let data = EventData(event.data());
            let mut value = format!(
                "{} {} {} 단계",
                data.subject(event),
                rule_name(data.text("rule")),
                level_name(data.text("level"))
            );
            if let Some(change) = data.number("change_pct").filter(|change| *change != 0.0) {
                value.push_str(&format!(", 변동률 {}", signed_percent(change)));
            }
            fact(moment(event.time), value)
        })
        .collect();
    let lead = format!(
        "{} 기준 감시 {}종목의 평균 위험 점수는 {:.1}점이며, 상승 {}종목, 하락 {}종목입니다.",
        moment(summary.as_of),
        summary.issues,
        summary.mean_score,
        summary.rising,
        summary.falling
    );
    Facts {
        kind: "market_risk",
        title: "시장 위험 보고서".to_owned(),
        lead,
        sections: vec![
            Section { heading: "시장 전반", rows: overview },
            Section { heading: "위험이 높은 종목", rows: riskiest },
            Section { heading: "최근 사건", rows: events },
        ],
        subjects: Vec::new(),
        as_of: summary.as_of,
        sources: summary.events.iter().map(|event| event.id.clone()).collect(),
    }
}
