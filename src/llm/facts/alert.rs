//! Facts of one crash or threat.

use serde_json::Value;

use crate::advice::korean::{grouped, name_and_code, signed_percent, won};
use crate::messages::OutwardEvent;
use crate::messages::advice::MitigationPlan;

use super::advice::{horizon_fact, option_facts};
use super::{Fact, Facts, Issue, Section, fact, moment, name, plain, points, score, terms};

/// Defences shown with an alert.
const PLAN_OPTIONS: usize = 3;
/// Evidence shown.
const EVIDENCE: usize = 12;

/// What an event's `data` says, read leniently: an unknown or missing field is left out.
pub(super) struct EventData<'a> {
    data: &'a Value,
    subject: &'a str,
}

impl<'a> EventData<'a> {
    pub(super) fn of(event: &'a OutwardEvent) -> Self {
        Self { data: event.data(), subject: &event.subject }
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.data.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.data.get(key).and_then(Value::as_f64)
    }

    fn whole(&self, key: &str) -> i64 {
        self.data.get(key).and_then(Value::as_i64).unwrap_or_default()
    }

    /// The issue it is about, when it is about one.
    pub(super) fn issue(&self) -> Option<Issue> {
        let code = plain(self.text("symbol"));
        (!code.is_empty()).then(|| Issue { code, name: name(self.text("name")) })
    }

    /// Name and code, or what the event is about.
    pub(super) fn call(&self) -> String {
        if let Some(issue) = self.issue() {
            return name_and_code(&issue.name, &issue.code);
        }
        let shown = name(self.text("name"));
        match (self.subject, shown.is_empty()) {
            (_, false) => shown,
            ("feed", _) => "시세 수신".to_owned(),
            ("market", _) => "시장 전체".to_owned(),
            ("model", _) => "예측 모형".to_owned(),
            (other, _) => plain(other),
        }
    }

    pub(super) fn rule(&self) -> String {
        plain(rule_name(self.text("rule")))
    }

    pub(super) fn level(&self) -> String {
        plain(level_name(self.text("level")))
    }

    /// Change, per cent; `None` when there is none.
    pub(super) fn change(&self) -> Option<f64> {
        self.number("change_pct").filter(|change| *change != 0.0)
    }

    /// A price in won, or an index level for an event that is about no issue.
    pub(super) fn price(&self, key: &str) -> Option<String> {
        match (self.whole(key), self.text("symbol").is_empty()) {
            (0, _) => None,
            (level, true) => Some(points(level)),
            (price, false) => Some(won(price)),
        }
    }
}

pub(super) fn rule_name(rule: &str) -> &str {
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

pub(super) fn level_name(level: &str) -> &str {
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

/// A detector's own figure in Korean: what it is and how it is written; a fall is told as a negative
/// change. Those whose meaning needs
/// the detector's code are left out.
fn evidence_fact(key: &str, value: f64) -> Option<Fact> {
    let percent = |label: &str| Some(fact(label, format!("{value:.2}%")));
    let signed = |label: &str, change: f64| Some(fact(label, signed_percent(change)));
    let times = |label: &str| Some(fact(label, format!("{value:.2}배")));
    let whole = |label: &str, unit: &str| {
        Some(fact(label, format!("{}{unit}", grouped(value.round() as i64))))
    };
    match key {
        "sigmas" | "z" => Some(fact("평소 변동폭 대비 배수", format!("{:.2}배", value.abs()))),
        "daily_sigmas" => Some(fact("하루 변동폭 대비 배수", format!("{:.2}배", value.abs()))),
        "realised_daily_pct" => percent("실현 변동성 (하루 환산)"),
        "normal_daily_pct" => percent("평소 변동성 (하루)"),
        "local_session_volatility_pct" => percent("장중 변동성 (하루 환산)"),
        "window_sigma_pct" => percent("관찰 구간의 평소 변동폭"),
        "fall_from_base_pct" => signed("전일 종가 대비 등락률", -value),
        "fall_from_close_pct" => signed("전일 종가 대비 등락률", -value),
        "market_fall_pct" => signed("같은 시각 시장 등락률", -value),
        // Zero stands for a median of too few issues.
        "median_change_pct" if value == 0.0 => None,
        "median_change_pct" => signed("감시 종목 등락률 중앙값", value),
        "change_of_auction_pct" => signed("동시호가 대비 등락률", value),
        "beta" => Some(fact("베타", format!("{value:.2}"))),
        "spread_pct" => percent("스프레드"),
        "normal_spread_pct" => percent("평소 스프레드"),
        "spread_ratio" => times("스프레드의 평소 대비 배수"),
        "volume_ratio" => times("거래량의 평소 대비 배수"),
        "ratio" => times("평소 대비 배수"),
        "distance_pct" => percent("제한가까지의 거리"),
        "rung_pct" => percent("거래소 단계"),
        "issues" => whole("대상 종목 수", "종목"),
        "falling" => whole("하락 종목 수", "종목"),
        "rising" => whole("상승 종목 수", "종목"),
        "bid_depth" => whole("매수 호가 잔량", "주"),
        "normal_bid_depth" => whole("평소 매수 호가 잔량", "주"),
        "limit_price" => whole("제한가", "원"),
        "trigger_price" => whole("발동 가격", "원"),
        "trades" => whole("체결 수", "건"),
        "slide_minutes" => whole("하락이 이어진 시간", "분"),
        "silence_s" => whole("시세가 없던 시간", "초"),
        _ => None,
    }
}

/// `5.33% 하락하여`.
fn moved_by(change: f64, end: &str) -> String {
    let (size, way) = (format!("{:.2}%", change.abs()), if change < 0.0 { "하락" } else { "상승" });
    format!("{size} {way}{end}")
}

/// Facts of a crash or threat.
pub(super) fn of_alert(
    kind: &'static str,
    event: &OutwardEvent,
    plan: Option<&MitigationPlan>,
) -> Facts {
    let data = EventData::of(event);
    let (subject, rule, level) = (data.call(), data.rule(), data.level());
    let window = window_text(data.whole("window_s"));
    let change = data.change();

    let mut rows = vec![
        fact("대상", &subject),
        fact("유형", &rule),
        fact("단계", &level),
        fact("발생 시각", moment(event.time)),
    ];
    rows.extend(data.price("price").map(|price| fact("현재 값", price).named(terms::PRICE)));
    rows.extend(
        data.price("reference_price").map(|price| fact("비교 값", price).named(terms::BASE)),
    );
    let not_over = if data.whole("window_s") > 0 { terms::NOT_MINUTES } else { &[] };
    rows.extend(
        change.map(|change| {
            fact("변동률", signed_percent(change)).named(terms::CHANGE).never(not_over)
        }),
    );
    rows.extend(change.map(|_| fact("비교 구간", &window).named(terms::WINDOW)));
    rows.extend(
        data.number("score")
            .filter(|value| *value > 0.0)
            .map(|value| fact("위험 점수", score(value)).named(terms::SCORE)),
    );
    let mut evidence = Vec::new();
    if let Some(Value::Object(numbers)) = event.data().get("evidence") {
        let facts = numbers.iter().filter_map(|(key, value)| evidence_fact(key, value.as_f64()?));
        evidence.extend(facts.take(EVIDENCE));
    }
    let defence: Vec<Fact> = plan
        .map(|plan| {
            let options = plan.options.iter().take(PLAN_OPTIONS).flat_map(option_facts);
            options.chain([horizon_fact(plan)]).collect()
        })
        .unwrap_or_default();

    let moved = match (change, data.price("price")) {
        (Some(change), Some(price)) => {
            format!(" {window} {} {price}입니다.", moved_by(change, "하여"))
        }
        (Some(change), None) => format!(" {window} {}", moved_by(change, "했습니다.")),
        _ => String::new(),
    };
    let evidence_of = |key: &str| event.data().pointer(&format!("/evidence/{key}"))?.as_f64();
    let since_close =
        evidence_of("fall_from_close_pct").or_else(|| evidence_of("fall_from_base_pct"));
    let moved = match since_close.filter(|fall| *fall != 0.0 && data.whole("window_s") > 0) {
        Some(fall) => format!("{moved} 전일 종가 대비로는 {}입니다.", signed_percent(-fall)),
        None => moved,
    };
    let lead = format!(
        "{}에 {subject}의 {rule} {level} 단계가 감지되었습니다.{moved}",
        moment(event.time)
    );
    let mut sources = vec![event.id.clone()];
    sources.extend(plan.map(|plan| plan.id.clone()));
    let issues: Vec<Issue> = data.issue().into_iter().collect();
    if let Some(issue) = issues.first() {
        rows = rows.into_iter().map(|row| row.about(&issue.code)).collect();
    }
    let names = issues.iter().flat_map(|issue| [issue.name.clone(), issue.code.clone()]);
    Facts {
        kind,
        subject: event.id.clone(),
        title: format!("[{level}] {subject} {rule}"),
        lead,
        subjects: names.chain([subject]).filter(|text| !text.is_empty()).collect(),
        sections: vec![
            Section::list("무슨 일인가", rows),
            Section::list("판단 근거", evidence),
            Section::by_option("대응 방안", defence),
        ],
        issues,
        as_of: event.time,
        sources,
    }
}
