//! `summarize_recommendation`, `generate_report`, `weekly_review`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::scene::scene;
use super::{TaskWorld, of_store};
use crate::actors::reports::summaries;
use crate::actors::supervision::StageError;
use crate::advice::ScenarioLimits;
use crate::advice::recommend::{RankingModel, recommend};
use crate::llm::{MarketSummary, ReportRequest};
use crate::market::{EventTime, SessionDay, Symbol, rules};
use crate::messages::advice::{RecommendationSet, Report, outward_json};
use crate::store::read::{self, Pointer};
use crate::tasks::{Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// The Korean report on picks, by the language model or, without one, by template.
    ///
    /// In a chain, what generate_recommendations answered may come first.
    pub struct Summarize("summarize_recommendation") {
        /// Id of stored picks; or the picks themselves.
        recommendation_id: Option<Value>,
        /// The picks as generate_recommendations answers them, or an object with a symbol: then the report is on that issue.
        recommendation: Option<Value>,
    }
}

crate::task_arguments! {
    /// The newest report of a kind, written now.
    pub struct GenerateReport("generate_report") {
        /// market_risk (or daily), recommendation, mitigation or alert.
        kind: String,
    }
}

crate::task_arguments! {
    /// The last seven days: events by level, picks and reports, the latest evaluation, and a report.
    pub struct WeeklyReview("weekly_review") {}
}

const DAY_US: i64 = 86_400_000_000;
/// A language model has 20 s for each of two answers at most; then the template writes.
pub(super) const LIMITS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(90));

/// A task that writes with `$work` over `$world`.
macro_rules! io_task {
    ($world:ident, $work:path) => {{
        let world = $world.clone();
        Task::io(move |arguments, context| {
            let world = world.clone();
            async move { $work(&world, arguments, &context).await }
        })
        .limits($crate::actors::jobs::report::LIMITS.0, $crate::actors::jobs::report::LIMITS.1)
    }};
}

pub(super) use io_task;

pub(super) fn summarize(world: &TaskWorld) -> Task {
    io_task!(world, write_summary)
}

pub(super) fn generate(world: &TaskWorld) -> Task {
    io_task!(world, write_report)
}

pub(super) fn weekly_review(world: &TaskWorld) -> Task {
    io_task!(world, write_review)
}

/// When a report whose data are not there yet is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// Longest time for writing: the deadline of a language model is below it.
const WITHIN: Duration = Duration::from_secs(50);

/// Writes the report; in the present world it is also stored, with its pages, and published.
pub(super) async fn write(
    world: &TaskWorld,
    context: &TaskContext,
    request: ReportRequest,
) -> Result<Value, TaskFailure> {
    if context.is_past() {
        let written = world.reports.writer.write_within(&request, WITHIN).await;
        return Ok(report_json(&written.report));
    }
    let produced = world.reports.produce(&request, WITHIN, false).await;
    produced.map(|produced| report_json(&produced.report)).map_err(recorder_away)
}

fn recorder_away(error: StageError) -> TaskFailure {
    TaskFailure::transient(format!("the recorder is away: {error}"))
}

fn report_json(report: &Report) -> Value {
    outward_json(report, report.as_of)
}

async fn write_summary(
    world: &TaskWorld,
    arguments: Summarize,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let given = [arguments.recommendation_id, arguments.recommendation];
    let given: Vec<Value> = given.into_iter().flatten().collect();
    let set = match &given[..] {
        [Value::String(id)] => picks(world, Pointer::Id(id)).await?,
        [Value::Object(_)] => of_object(world, context, &given[0]).await?,
        [] => picks(world, Pointer::Latest).await?,
        [other] => {
            return Err(TaskFailure::arguments(format!(
                "summarize_recommendation(): argument recommendation_id is {other}: expected an id, or the picks as an object"
            )));
        }
        _ => {
            return Err(TaskFailure::arguments(
                "summarize_recommendation() takes 'recommendation_id' or 'recommendation', not both",
            ));
        }
    };
    write(world, context, ReportRequest::Recommendation(set)).await
}

/// Stored picks: from the board, else from the database.
async fn picks(
    world: &TaskWorld,
    pointer: Pointer<'_>,
) -> Result<Arc<RecommendationSet>, TaskFailure> {
    let board = &world.outlet.board;
    let kept = match pointer {
        Pointer::Id(id) => board.recommendation(id),
        Pointer::Latest => board.recommendations(1).pop(),
    };
    if let Some(set) = kept {
        return Ok(set);
    }
    let stored = match &world.database {
        Some(database) => read::recommendation(database, pointer).await.map_err(of_store)?,
        None => None,
    };
    stored.map(Arc::new).ok_or_else(|| match pointer {
        Pointer::Id(id) => TaskFailure::missing(format!(
            "there are no picks \"{}\"; generate_recommendations makes some",
            id.chars().take(64).collect::<String>()
        )),
        Pointer::Latest => {
            TaskFailure::missing("there are no picks yet; generate_recommendations makes some")
        }
    })
}

/// Picks as a caller hands them on, or those of one issue.
async fn of_object(
    world: &TaskWorld,
    context: &TaskContext,
    object: &Value,
) -> Result<Arc<RecommendationSet>, TaskFailure> {
    if object.get("picks").is_some() {
        let mut picks = object.clone();
        let told = object["as_of"].as_str().and_then(moment);
        picks["as_of"] = json!(told.unwrap_or_else(|| context.as_of()));
        return serde_json::from_value(picks).map(Arc::new).map_err(|error| {
            TaskFailure::value(format!(
                "summarize_recommendation(): argument recommendation is not what generate_recommendations answers: {error}"
            ))
        });
    }
    let Some(symbol) = object["symbol"].as_str() else {
        return Err(TaskFailure::value(
            "summarize_recommendation(): argument recommendation has neither picks nor a symbol",
        ));
    };
    let symbol: Symbol = symbol.parse().map_err(TaskFailure::value)?;
    let scene = scene(world, context, None, &[symbol]).await?;
    let (row, _) = scene.known(symbol)?;
    let candidate = crate::actors::recommender::candidate(&scene.board.directory, &row);
    let limits = ScenarioLimits { name: format!("issue:{symbol}"), ..world.limits.clone() };
    let model = RankingModel::from(scene.model.as_deref());
    Ok(Arc::new(recommend(&[candidate], &limits, model, scene.as_of)))
}

fn moment(text: &str) -> Option<EventTime> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(EventTime::from_micros(time.timestamp_micros()))
}

async fn write_report(
    world: &TaskWorld,
    arguments: GenerateReport,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let request = match arguments.kind.as_str() {
        "market_risk" | "daily" => {
            let made = market(world, context, DAY_US).await;
            or_told(world, context, "market_risk", made).await?
        }
        "recommendation" => ReportRequest::Recommendation(picks(world, Pointer::Latest).await?),
        "mitigation" => {
            let stored = match (world.outlet.board.mitigations(1).pop(), &world.database) {
                (Some(plan), _) => Some(plan),
                (None, Some(database)) => {
                    let plan = read::mitigation(database, Pointer::Latest).await;
                    plan.map_err(of_store)?.map(Arc::new)
                }
                (None, None) => None,
            };
            let none = || TaskFailure::missing("there is no plan yet; plan_mitigation makes one");
            ReportRequest::Mitigation(stored.ok_or_else(none)?)
        }
        "alert" | "crash_alert" | "threat_alert" => {
            let since = context.as_of().plus_micros(-7 * DAY_US);
            let mut events = super::events::until(world, since, context.as_of(), None).await?;
            let kind = arguments.kind.trim_end_matches("_alert").to_owned();
            events.retain(|event| kind == "alert" || event.kind.as_str() == kind);
            let none =
                || TaskFailure::missing("there was no such event within the last seven days");
            let event = events.into_iter().next().ok_or_else(none)?;
            ReportRequest::Alert { event, plan: None }
        }
        other => {
            return Err(TaskFailure::value(format!(
                "generate_report(): argument kind is \"{}\": expected market_risk, daily, recommendation, mitigation, alert, crash_alert or threat_alert",
                other.chars().take(40).collect::<String>()
            )));
        }
    };
    write(world, context, request).await
}

/// Where what a report rests on cannot be had for now: the report that says so is told, and the
/// call is made again.
async fn or_told<T>(
    world: &TaskWorld,
    context: &TaskContext,
    kind: &str,
    made: Result<T, TaskFailure>,
) -> Result<T, TaskFailure> {
    let failure = match made {
        Err(failure) if failure.retry.is_some() && !context.is_past() => failure,
        other => return other,
    };
    world
        .reports
        .not_yet(kind, "보고서의 바탕이 되는 자료를 아직 읽을 수 없음", TRY_AGAIN)
        .await
        .map_err(recorder_away)?;
    Err(failure.retry_after(TRY_AGAIN))
}

/// The market as a whole, with the events and alerts of the time before it.
async fn market(
    world: &TaskWorld,
    context: &TaskContext,
    window_us: i64,
) -> Result<ReportRequest, TaskFailure> {
    let scene = scene(world, context, None, &[]).await?;
    let since = scene.as_of.plus_micros(-window_us);
    let events = super::events::until(world, since, scene.as_of, None).await?;
    let mut summary = MarketSummary::of_board(&scene.board, &events).ok_or_else(|| {
        TaskFailure::missing("no issue has a score yet; compute_risk tells what is missing")
            .retry_after(TRY_AGAIN)
    })?;
    if !context.is_past() {
        summary.indices = world.board.indices.at(summary.as_of);
    }
    if let Some(database) = &world.database {
        let counted = summaries::alerts_of_day(database, summary.as_of).await;
        summary.alerts = Some(counted.map_err(of_store)?);
    }
    Ok(ReportRequest::MarketRisk(summary))
}

async fn write_review(
    world: &TaskWorld,
    _: WeeklyReview,
    context: &TaskContext,
) -> Result<Value, TaskFailure> {
    let to = context.as_of();
    let from = to.plus_micros(-7 * DAY_US);
    let events = super::events::until(world, from, to, None).await?;
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for event in &events {
        let level = event.data()["level"].as_str().unwrap_or("none").to_owned();
        *counts.entry(event.kind.as_str().to_owned()).or_default().entry(level).or_default() += 1;
    }
    let evaluation = match &world.database {
        Some(database) => {
            crate::store::models::newest_evaluation(database).await.map_err(of_store)?
        }
        None => None,
    };
    // Of a day that is not over at that moment nothing is looked at.
    let day = to.session_day();
    let is_over = !context.is_past() || to.time_of_day() >= rules::CLOSE;
    let last = if is_over { day } else { SessionDay::from_epoch_days(day.epoch_days() - 1) };
    let week = match &world.database {
        Some(database) => {
            let week = summaries::week(database, &world.board.directory, last).await;
            or_told(world, context, "weekly_review", week.map_err(of_store)).await?
        }
        None => None,
    };
    let report = match week {
        Some(week) => write(world, context, ReportRequest::WeeklyReview(week)).await?,
        // A week without a score is a review all the same.
        None => Value::Null,
    };
    let measures = evaluation
        .map(|one| json!({"run_id": one.run_id, "at": one.at.rfc3339(), "measures": one.measures}));
    Ok(json!({
        "from": from.rfc3339(),
        "to": to.rfc3339(),
        "events": counts,
        "evaluation": measures,
        "report": report,
    }))
}
