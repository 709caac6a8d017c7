//! The charts of a report, read from the database: the issue's price and score over the day, the
//! market's index and mean score, an index over the week.

use std::time::Duration;

use crate::llm::ReportRequest;
use crate::llm::chart::{Chart, Level, Line};
use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};
use crate::market::{EventTime, Symbol};
use crate::messages::{IndexPath, OutwardEvent};
use crate::store::{Database, StoreError, report_data};

/// How far back an intraday chart looks.
const DAY: Duration = Duration::from_secs(8 * 3_600);
/// How far a chart looks beyond the event.
const BEYOND: Duration = Duration::from_secs(60);
/// Falls at which KRX halts the market, per cent of the previous close.
const BREAKERS: [u32; 3] = [8, 15, 20];
/// Issues charted in a report about several.
const ISSUES: usize = 2;

fn before(time: EventTime, by: Duration) -> EventTime {
    time.plus_micros(-i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

fn after(time: EventTime, by: Duration) -> EventTime {
    time.plus_micros(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// The charts for a request; empty ones are left out.
///
/// # Errors
/// When the database fails.
pub async fn of(
    database: &Database,
    indices: &IndexPath,
    request: &ReportRequest,
) -> Result<Vec<Chart>, StoreError> {
    let mut charts = match request {
        ReportRequest::Alert { event, .. } => {
            let marks = vec![(event.time, event.subject.clone())];
            match symbol_of(event) {
                Some((symbol, name)) => {
                    vec![issue(database, symbol, &name, event.time, marks).await?]
                }
                None => vec![market((database, indices), event.time, marks).await?],
            }
        }
        ReportRequest::Mitigation(plan) => match plan.subject.parse() {
            Ok(symbol) => vec![issue(database, symbol, &plan.name, plan.as_of, Vec::new()).await?],
            Err(_) => vec![market((database, indices), plan.as_of, Vec::new()).await?],
        },
        ReportRequest::Recommendation(set) => {
            let mut charts = Vec::new();
            for pick in set.picks.iter().take(ISSUES) {
                charts.push(issue(database, pick.symbol, &pick.name, set.as_of, Vec::new()).await?);
            }
            charts
        }
        ReportRequest::MarketRisk(summary) => {
            let marks = marks_of(&summary.events);
            let mut charts = vec![market((database, indices), summary.as_of, marks).await?];
            for row in summary.riskiest.iter().take(ISSUES) {
                let chart = issue(database, row.symbol, &row.name, summary.as_of, Vec::new());
                charts.push(chart.await?);
            }
            charts
        }
        ReportRequest::Digest(events) => {
            let last = events.iter().map(|event| event.time).max().unwrap_or_default();
            vec![market((database, indices), last, marks_of(events)).await?]
        }
        ReportRequest::WeeklyReview(week) => {
            let from = before(week.as_of, Duration::from_secs(9 * 86_400));
            vec![market_over((database, indices), from, week.as_of, Vec::new(), "주간 시장").await?]
        }
    };
    charts.retain(|chart| !chart.is_empty());
    Ok(charts)
}

fn marks_of(events: &[std::sync::Arc<OutwardEvent>]) -> Vec<(EventTime, String)> {
    events.iter().map(|event| (event.time, event.subject.clone())).collect()
}

fn symbol_of(event: &OutwardEvent) -> Option<(Symbol, String)> {
    let text = |key: &str| event.data().get(key).and_then(serde_json::Value::as_str);
    Some((text("symbol")?.parse().ok()?, text("name").unwrap_or_default().to_owned()))
}

/// An issue's price and score over the day.
async fn issue(
    database: &Database,
    symbol: Symbol,
    name: &str,
    until: EventTime,
    marks: Vec<(EventTime, String)>,
) -> Result<Chart, StoreError> {
    let path =
        report_data::issue_path(database, symbol, before(until, DAY), after(until, BEYOND)).await?;
    let name = crate::llm::facts::name(name);
    let called = crate::advice::korean::name_and_code(&name, symbol.as_str());
    let price = Line {
        name: "가격 (원)".to_owned(),
        points: path.iter().map(|point| (point.time, point.price as f64)).collect(),
        is_risk: false,
        decimals: 0,
        range: None,
        levels: Vec::new(),
    };
    let score = Line {
        name: "위험 점수 (100점 만점)".to_owned(),
        points: path.iter().map(|point| (point.time, point.score)).collect(),
        is_risk: true,
        decimals: 0,
        range: Some((0.0, 100.0)),
        levels: Vec::new(),
    };
    Ok(Chart { title: format!("{called} 가격과 위험"), lines: vec![price, score], marks })
}

/// The levels that an index is looked at against: the previous close, and where KRX halts the market.
fn market_levels(previous_close: f64) -> Vec<Level> {
    let mut levels =
        vec![Level { value: previous_close, name: "전일 종가".to_owned(), always: true }];
    levels.extend(BREAKERS.iter().enumerate().map(|(index, fall)| Level {
        value: previous_close * (1.0 - f64::from(*fall) / 100.0),
        name: format!("서킷브레이커 {}단계 (-{fall}%)", index + 1),
        always: false,
    }));
    levels
}

/// The index and the mean score over the day.
async fn market(
    from: (&Database, &IndexPath),
    until: EventTime,
    marks: Vec<(EventTime, String)>,
) -> Result<Chart, StoreError> {
    market_over(from, before(until, DAY), after(until, BEYOND), marks, "시장").await
}

async fn market_over(
    (database, indices): (&Database, &IndexPath),
    from: EventTime,
    to: EventTime,
    marks: Vec<(EventTime, String)>,
    title: &str,
) -> Result<Chart, StoreError> {
    let mut lines = Vec::new();
    for (code, name) in [(KOSPI_CODE, "코스피 (포인트)"), (KOSDAQ_CODE, "코스닥 (포인트)")]
    {
        let seen = indices.within(code, from, to);
        let stored = report_data::closes(database, code, "1m", from, to).await?;
        let closes = if stored.len() > seen.closes.len() { stored } else { seen.closes };
        // Levels are hundredths of a point.
        let points = |level: i64| level as f64 / 100.0;
        lines.push(Line {
            name: name.to_owned(),
            points: closes.into_iter().map(|(time, level)| (time, points(level))).collect(),
            is_risk: false,
            decimals: 2,
            range: None,
            levels: seen.previous_close.map(points).map(market_levels).unwrap_or_default(),
        });
    }
    lines.push(Line {
        name: "감시 종목의 평균 위험 점수".to_owned(),
        points: report_data::market_path(database, from, to).await?,
        is_risk: true,
        decimals: 0,
        range: Some((0.0, 100.0)),
        levels: Vec::new(),
    });
    Ok(Chart { title: format!("{title}: 지수와 위험"), lines, marks })
}
