//! Requests for the tests of this module.

use std::sync::Arc;

use crate::advice::PlanSettings;
use crate::advice::alarm::{Alarm, LivePosition, respond};
use crate::advice::live_world::LiveIssue;
use crate::advice::recommend::{Candidate, DownsideParts, RankingModel, ScenarioLimits, recommend};
use crate::advice::simulate::Control;
use crate::advice::types::{MitigationPlan, Pick, PlanOption, RecommendationSet};
use crate::market::{EventTime, Market, RecordRef, Reference, Symbol};
use crate::messages::{Cause, Detection, Level, OutwardEvent, Rule};

use super::request::{
    IndexWeek, MarketSummary, PicksWeek, ReportRequest, SummaryRow, WeekSummary, WritingWeek,
};

/// 2024-08-05 09:00:21 in Korea.
pub fn as_of() -> EventTime {
    EventTime::from_micros(1_722_816_021_000_000)
}

fn samsung() -> Symbol {
    "005930".parse().unwrap()
}

fn detection() -> Detection {
    Detection {
        rule: Rule::SymbolCrash,
        level: Level::Warning,
        symbol: Some(samsung()),
        name: "삼성전자".into(),
        price: 71_000,
        reference_price: 75_000,
        change_pct: -5.333_333,
        window_s: 300,
        score: 88.123,
        time: as_of(),
        cause: Cause::Trade { cum_volume: 12_345 },
        at: RecordRef::default(),
        evidence: vec![("z", -7.25)],
    }
}

pub fn plan() -> MitigationPlan {
    let option = |rank, action: &str, after, cost, infeasible: Option<&str>| PlanOption {
        rank,
        action: action.into(),
        description: "140주 전량을 71,000원에 매도하여 현금화합니다.".into(),
        risk_before: 490_539,
        risk_after: after,
        cost,
        infeasible: infeasible.map(str::to_owned),
        ..PlanOption::default()
    };
    MitigationPlan {
        id: "plan-1".into(),
        subject: "005930".into(),
        name: "삼성전자".into(),
        event_id: "event-1".into(),
        as_of: as_of(),
        position_value: 10_000_000,
        assumed_position: true,
        options: vec![
            option(1, "raise_cash", 0, 27_100, None),
            option(2, "wait", 490_539, 0, None),
            option(3, "trim", 490_539, 0, Some("하한가에 있습니다")),
        ],
        horizon_sessions: 1,
        paths: 4_000,
        ..MitigationPlan::default()
    }
}

pub fn set() -> RecommendationSet {
    RecommendationSet {
        id: "set-1".into(),
        scenario: "default".into(),
        as_of: as_of(),
        universe: 40,
        eligible: 12,
        picks: vec![Pick {
            rank: 1,
            symbol: samsung(),
            name: "삼성전자".into(),
            weight: 0.2,
            value: 0.0421,
            score: 20.0,
            price: 71_000,
            daily_volatility_pct: 1.5,
            reasons: vec!["위험 점수 20.0점".into()],
            factors: vec![("cost".into(), 0.0421)],
            expected_return_pct: 0.12,
            downside_pct: 11.5,
        }],
        note: "순위값은 수익을 약속하지 않습니다.".into(),
        ..RecommendationSet::default()
    }
}

pub fn alert() -> ReportRequest {
    let event = Arc::new(OutwardEvent::from_detection(&detection(), 1));
    ReportRequest::Alert { event, plan: Some(Arc::new(plan())) }
}

/// A request of every kind.
pub fn all() -> Vec<ReportRequest> {
    let market = Detection {
        rule: Rule::MarketCrash,
        symbol: None,
        name: "코스피".into(),
        price: 244_155,
        reference_price: 267_619,
        change_pct: -8.767_7,
        window_s: 0,
        cause: Cause::Moment { micros: 1 },
        ..detection()
    };
    let stale = Detection {
        rule: Rule::FeedStale,
        symbol: None,
        name: String::new(),
        price: 0,
        reference_price: 0,
        change_pct: 0.0,
        score: 0.0,
        evidence: Vec::new(),
        ..detection()
    };
    let [crash, market, stale] = [detection(), market, stale]
        .map(|detection| Arc::new(OutwardEvent::from_detection(&detection, 1)));
    let digested = vec![crash.clone(), market.clone()];
    let summary = MarketSummary {
        as_of: as_of(),
        issues: 40,
        mean_score: 43.21,
        indices: Vec::new(),
        rising: 7,
        falling: 31,
        riskiest: vec![
            SummaryRow {
                symbol: samsung(),
                name: "삼성전자".into(),
                score: 88.12,
                price: 71_000,
                change_pct: -5.33,
                daily_volatility_pct: 3.1,
            },
            SummaryRow {
                symbol: "035720".parse().unwrap(),
                name: "카카오".into(),
                score: 71.46,
                price: 38_450,
                change_pct: -4.12,
                daily_volatility_pct: 3.4,
            },
        ],
        events: vec![crash.clone(), market.clone()],
        alerts: Some([3, 2, 1]),
    };
    vec![
        alert(),
        ReportRequest::Alert { event: market, plan: None },
        ReportRequest::Alert { event: stale, plan: None },
        ReportRequest::Recommendation(Arc::new(set())),
        ReportRequest::Recommendation(Arc::new(RecommendationSet {
            picks: Vec::new(),
            note: "추천 없음: 조건을 충족하는 종목이 없습니다.".into(),
            ..set()
        })),
        ReportRequest::Mitigation(Arc::new(plan())),
        ReportRequest::Mitigation(Arc::new(MitigationPlan {
            subject: "portfolio".into(),
            name: "코스피".into(),
            ..plan()
        })),
        ReportRequest::MarketRisk(summary),
        ReportRequest::Digest(digested),
        ReportRequest::WeeklyReview(week()),
    ]
}

/// A week with something of everything.
pub fn week() -> WeekSummary {
    let day = as_of().session_day();
    WeekSummary {
        from: day,
        to: day,
        as_of: as_of(),
        sessions: 1,
        indices: vec![IndexWeek { name: "코스피".into(), last: 244_155, change_pct: -8.77 }],
        crashes: [5, 3, 2],
        threats: vec![("vi".into(), 12), ("volume_surge".into(), 4)],
        riskiest: vec![SummaryRow {
            symbol: samsung(),
            name: "삼성전자".into(),
            score: 93.4,
            price: 71_400,
            change_pct: -10.3,
            daily_volatility_pct: 0.0,
        }],
        picks: Some(PicksWeek { judged: 20, rose: 7, mean_change_pct: -1.25 }),
        writing: Some(WritingWeek { requests: 12, valid: 11 }),
        sources: vec!["event-1".into()],
    }
}

/// An answer to [`alert`] that passes.
pub const GOOD_ALERT: &str = r#"{"statements": [
"2024년 8월 5일 9시 0분 21초[F4]에 삼성전자(005930)[F1]의 종목 급락[F2] 경고 단계[F3]가 감지되었습니다.",
"최근 5분[F8] 사이 5.33%[F7] 하락하여 현재 71,000원[F5]에 거래되고 있으며, 비교 기준은 75,000원[F6]입니다.",
"위험 점수는 88.1점[F9]이고, 움직임은 평소 변동폭의 7.25배[F10]입니다.",
"계산된 선택지 가운데 전량 현금화[F12]는 조치 전 490,539원[F13]이던 95% VaR이 조치 후 0원[F14]이 되고 비용은 27,100원[F16]으로 추정됩니다.",
"보유 여부와 손절 기준을 확인하십시오."
]}"#;

/// An answer to the market's request that passes.
pub const GOOD_MARKET: &str = r#"{"statements": [
"2024년 8월 5일 9시 0분[F1] 기준으로 감시 40종목[F2]의 평균 위험 점수는 43.2점[F3]입니다.",
"상승 종목은 7종목[F4], 하락 종목은 31종목[F5]이며 심각 단계 알림은 1건[F6]입니다.",
"위험이 가장 높은 삼성전자(005930)의 위험 점수는 88.1점[F9]이고 현재가는 71,000원[F10], 등락률은 -5.33%[F11]입니다.",
"카카오(035720)의 위험 점수는 71.5점[F13]이고 현재가 38,450원[F14]으로 4.12%[F15] 하락했으며 일 변동성 예측은 3.40%[F16]입니다."
]}"#;

/// Picks and a plan as the domain computes them, not as written by hand.
pub fn computed() -> [ReportRequest; 2] {
    let closes: Vec<i64> = (0..66).map(|day| 60_000 + day * 150 + day * 7 % 11 * 200).collect();
    let reference = Arc::new(Reference {
        name: "삼성전자".into(),
        market: Market::Kospi,
        base_price: Some(75_000),
        volumes: vec![10_000_000; closes.len()],
        closes,
        ..Reference::bare(samsung())
    });
    let candidate = Candidate {
        reference: Arc::clone(&reference),
        sector: None,
        price: 71_000,
        score: 20.0,
        parts: DownsideParts { drawdown: 1.25, ..DownsideParts::default() },
        daily_volatility_pct: 1.37,
        spread_pct: 0.14,
        change_pct: -1.2,
        cum_value: 0,
        over_gap: true,
    };
    let set = recommend(&[candidate], &ScenarioLimits::default(), RankingModel::default(), as_of());
    assert_eq!(set.picks.len(), 1, "{}", set.note);
    let issue = LiveIssue {
        reference: &reference,
        price: 71_000,
        daily_volatility_pct: 3.21,
        shortfall_pct: 8.4,
        spread_pct: 0.14,
        halted: false,
    };
    let alarm = Alarm {
        event_id: "event-1".into(),
        severity: Level::Warning.into(),
        subject: reference.symbol.to_string(),
        name: reference.name.clone(),
        as_of: as_of(),
        held: vec![LivePosition { issue, value: 10_000_000 }],
        market: Market::Kospi,
        value: 10_000_000,
        assumed: true,
        cash: 0,
        market_halted: false,
    };
    let plan = respond(&alarm, &[], None, &PlanSettings::default(), &Control::none()).unwrap();
    [ReportRequest::Recommendation(Arc::new(set)), ReportRequest::Mitigation(Arc::new(plan))]
}
