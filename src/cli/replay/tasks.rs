//! `bongsu replay --tasks`: recorded calls again, over the same rows, as a regression test.
//!
//! In: the runs of `task_runs` in the settings' database that succeeded and whose tasks only compute. A
//! sandbox gets a copy of the rows that tasks read; there each call is made again in the world of the
//! moment that its row names. Nothing else is touched, and nothing is sent. Out: `results.jsonl` in the
//! sandbox, a line a call; with `--against`, each line is compared with that of an earlier replay. The last
//! line on standard output is one JSON object with counts and a digest of all results: equal rows and
//! an equal program give an equal digest. Exit code 1 when a result differs from the earlier one.
//!
//! The recorded results are compared too, for information: a call that was answered from a live pipeline
//! knew more than rows tell.
//!
//! **Limits.** At most [`MAX_CALLS`] calls, the oldest; rows are copied [`PAGE`] at a time.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use futures::TryStreamExt;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::actors::jobs::{TaskWorld, registry};
use crate::advice::ScenarioLimits;
use crate::cli::{CliError, assembly};
use crate::config::Settings;
use crate::market::EventTime;
use crate::store::entity::task_run;
use crate::store::{Database, DatabaseOptions};
use crate::tasks::{Outcome, Runner, RunnerOptions, TaskCall};

/// Tasks that only compute: a call of theirs can be made again, and gives what it gave.
const REPLAYED: &[&str] =
    &["debug_ping", "compute_risk", "generate_recommendations", "plan_mitigation"];
/// Most calls of one replay; of more, the oldest.
const MAX_CALLS: u64 = 100_000;
/// Rows copied at a time.
const PAGE: usize = 500;
/// Differences that are told.
const TOLD: usize = 20;
/// The file of results in the sandbox.
const RESULTS: &str = "results.jsonl";

/// The last line of standard output.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Summary {
    /// SHA-256 over calls and results.
    digest: String,
    /// Calls that were made again.
    calls: u64,
    /// Of these, how many came to the recorded result.
    as_recorded: u64,
    /// How many results were compared with those of `--against`.
    compared: u64,
    /// How many of these differ.
    different: u64,
    /// Recorded calls of tasks that do more than compute, by task.
    left_out: BTreeMap<String, u64>,
    /// The first differences.
    differences: Vec<Difference>,
}

/// Where a result differs from that of an earlier replay.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    id: String,
    task: String,
    /// Path in the result: `$.picks[0].weight`.
    at: String,
    before: Value,
    now: Value,
}

/// Replays recorded calls.
///
/// # Errors
/// When a database, the sandbox or the earlier results cannot be used, there is no recorded call, or a
/// result differs.
pub async fn execute(
    settings: &Settings,
    sandbox: &Database,
    folder: &Path,
    against: Option<&Path>,
    within: impl Fn(EventTime) -> bool,
) -> Result<(), CliError> {
    let url = settings.database.url.expose();
    let source = Database::connect(url, &DatabaseOptions::default()).await;
    let source = source.map_err(|error| CliError::Runtime(error.into()))?;
    let capital = settings.advice.capital;
    let world = TaskWorld {
        database: Some(sandbox.clone()),
        limits: ScenarioLimits {
            max_picks: settings.advice.picks,
            capital: Some(capital),
            ..ScenarioLimits::default()
        },
        holdings: assembly::holdings(settings)?,
        scratch: folder.to_owned(),
        ..TaskWorld::nothing()
    };
    let before = against.map(earlier).transpose()?;
    copy_all(&source, sandbox).await?;
    let summary = replay(&source, &world, folder, before.as_ref(), within).await?;
    if summary.calls == 0 {
        return Err(CliError::runtime(
            "no recorded call was made again: task_runs of the settings' database has none within --from and \
             --to that succeeded and only computes",
        ));
    }
    let line = serde_json::to_string(&summary).context("summary as JSON")?;
    crate::cli::print(&format!("{line}\n"))?;
    match summary.different {
        0 => Ok(()),
        some => {
            let all = summary.compared;
            Err(CliError::runtime(format!("{some} of {all} results differ from the earlier ones")))
        }
    }
}

/// Results of an earlier replay, by call.
fn earlier(path: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--against {}: cannot be read", path.display()))?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        let line: Value = serde_json::from_str(line).with_context(|| {
            format!("--against {} line {}: not a line of results.jsonl", path.display(), index + 1)
        })?;
        let id = line["id"].as_str().unwrap_or_default().to_owned();
        Ok((id, line["result"].clone()))
    });
    lines.collect()
}

async fn replay(
    source: &Database,
    world: &TaskWorld,
    folder: &Path,
    before: Option<&BTreeMap<String, Value>>,
    within: impl Fn(EventTime) -> bool,
) -> anyhow::Result<Summary> {
    let runner = Runner::new(registry(world)?, RunnerOptions::new("replay"));
    let path = folder.join(RESULTS);
    let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut file = std::io::BufWriter::new(file);
    let (mut summary, mut digest) = (Summary::default(), Sha256::new());
    for run in recorded(source).await? {
        let Some(as_of) = run.as_of.filter(|as_of| within(*as_of)) else { continue };
        if !REPLAYED.contains(&run.name.as_str()) {
            *summary.left_out.entry(run.name).or_default() += 1;
            continue;
        }
        let result = again(&runner, &run, as_of).await?;
        let line =
            json!({ "id": run.id, "task": run.name, "as_of": as_of.rfc3339(), "result": result });
        digest.update(line.to_string());
        writeln!(file, "{line}").with_context(|| path.display().to_string())?;
        summary.calls += 1;
        summary.as_recorded +=
            u64::from(serde_json::from_str::<Value>(&run.result).ok().as_ref() == Some(&result));
        if let Some(was) = before.and_then(|before| before.get(&run.id)) {
            summary.compare(&run, was, &result);
        }
    }
    file.flush().with_context(|| path.display().to_string())?;
    summary.digest = hex::encode(digest.finalize());
    Ok(summary)
}

impl Summary {
    fn compare(&mut self, run: &task_run::Model, was: &Value, is: &Value) {
        self.compared += 1;
        let Some((at, before, now)) = difference("$".to_owned(), was, is) else { return };
        self.different += 1;
        if self.differences.len() < TOLD {
            let (id, task) = (run.id.clone(), run.name.clone());
            self.differences.push(Difference { id, task, at, before, now });
        }
    }
}

/// Makes a recorded call again; its result, or its failure as JSON.
async fn again(runner: &Runner, run: &task_run::Model, as_of: EventTime) -> anyhow::Result<Value> {
    let said: Value = serde_json::from_str(&run.args)
        .with_context(|| format!("task_runs {}: args is no JSON", run.id))?;
    let kwargs: Map<String, Value> = said["kwargs"].as_object().cloned().unwrap_or_default();
    let call = TaskCall::with_id(run.id.clone(), run.name.clone())
        .args(said["args"].as_array().cloned().unwrap_or_default())
        .kwargs(kwargs)
        .origin("replay")
        .as_of(Some(as_of));
    Ok(match runner.run(call, CancellationToken::new()).await {
        Outcome::Success(value) => value,
        Outcome::Failure(failure) | Outcome::Retry { failure, .. } => failure.to_json(),
        Outcome::Revoked { .. } => Value::Null,
    })
}

/// The first place at which two results differ.
fn difference(at: String, left: &Value, right: &Value) -> Option<(String, Value, Value)> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let mut names =
                left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            names.find_map(|name| {
                let of = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                difference(format!("{at}.{name}"), &of(left), &of(right))
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.find_map(|(index, (a, b))| difference(format!("{at}[{index}]"), a, b))
        }
        _ if left == right => None,
        _ => Some((at, left.clone(), right.clone())),
    }
}

/// Calls that succeeded, in the order in which they came.
async fn recorded(source: &Database) -> anyhow::Result<Vec<task_run::Model>> {
    let runs = task_run::Entity::find()
        .filter(task_run::Column::State.eq("SUCCESS"))
        .order_by_asc(task_run::Column::ReceivedAt)
        .order_by_asc(task_run::Column::Id)
        .limit(MAX_CALLS)
        .all(source.connection());
    runs.await.context("read task_runs")
}

/// Copies the rows that tasks read.
async fn copy_all(from: &Database, to: &Database) -> anyhow::Result<()> {
    use crate::store::entity::{
        market_price, mitigation_plan, model_version, recommendation, recommendation_item,
        risk_score, threat_event,
    };
    copy::<market_price::Entity>(from, to).await.context("copy market_prices")?;
    copy::<risk_score::Entity>(from, to).await.context("copy risk_scores")?;
    copy::<threat_event::Entity>(from, to).await.context("copy threat_events")?;
    copy::<recommendation::Entity>(from, to).await.context("copy recommendations")?;
    copy::<recommendation_item::Entity>(from, to).await.context("copy recommendation_items")?;
    copy::<mitigation_plan::Entity>(from, to).await.context("copy mitigation_plans")?;
    copy::<model_version::Entity>(from, to).await.context("copy model_versions")
}

async fn copy<E>(from: &Database, to: &Database) -> anyhow::Result<()>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Send,
    E::ActiveModel: Send,
{
    let rows = E::find().stream(from.connection()).await?;
    let mut pages = rows.try_chunks(PAGE);
    while let Some(page) = pages.try_next().await.map_err(|error| error.1)? {
        let rows = page.into_iter().map(IntoActiveModel::into_active_model);
        E::insert_many(rows).exec_without_returning(to.connection()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::ActiveModelTrait;
    use sea_orm::ActiveValue::Set;

    use super::*;
    use crate::store::entity::market_price;

    #[test]
    fn the_first_difference_is_named() {
        let was = json!({"picks": [{"symbol": "005930", "weight": 0.5}], "note": null});
        assert_eq!(difference("$".into(), &was, &was.clone()), None);
        let now = json!({"picks": [{"symbol": "005930", "weight": 0.4}], "note": null});
        let (at, before, now) = difference("$".into(), &was, &now).unwrap();
        assert_eq!((at.as_str(), before, now), ("$.picks[0].weight", json!(0.5), json!(0.4)));
        let more = json!({"picks": [], "extra": 1});
        assert_eq!(difference("$".into(), &was, &more).unwrap().0, "$.picks");
    }

    async fn database(folder: &Path, name: &str) -> Database {
        let url = format!("sqlite://{}", folder.join(name).display());
        let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        database.migrate().await.unwrap();
        database
    }

    /// Daily bars of an issue until 2024-08-02, and a call about it as of that evening.
    async fn record(database: &Database) {
        let last = "2024-08-02".parse::<crate::market::SessionDay>().unwrap();
        for back in 0..60 {
            let day = crate::market::SessionDay::from_epoch_days(last.epoch_days() - back);
            if day.is_weekend() {
                continue;
            }
            let close = 70_000 + i64::from(back * back % 17) * 100;
            let bar = market_price::ActiveModel {
                symbol: Set("005930".to_owned()),
                interval: Set("1d".to_owned()),
                ts: Set(EventTime::from_kst(day, crate::market::TimeOfDay::default())),
                open: Set(close),
                high: Set(close + 500),
                low: Set(close - 500),
                close: Set(close),
                volume: Set(1_000_000),
                amount: Set(close * 1_000_000),
                source: Set("kis".to_owned()),
                is_final: Set(true),
                ..Default::default()
            };
            bar.insert(database.connection()).await.unwrap();
        }
        let evening = EventTime::from_kst(last, "18:00".parse().unwrap());
        for (id, name, kwargs) in
            [("1", "compute_risk", json!({"symbol": "005930"})), ("2", "retrain_model", json!({}))]
        {
            let run = task_run::ActiveModel {
                id: Set(id.to_owned()),
                name: Set(name.to_owned()),
                state: Set("SUCCESS".to_owned()),
                args: Set(json!({"args": [], "kwargs": kwargs}).to_string()),
                result: Set("{}".to_owned()),
                error: Set(String::new()),
                retries: Set(0),
                received_at: Set(evening),
                as_of: Set(Some(evening)),
                ..Default::default()
            };
            run.insert(database.connection()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn calls_made_again_over_the_same_rows_come_to_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let source = database(folder.path(), "source.db").await;
        record(&source).await;
        let mut summaries = Vec::new();
        let mut before = None;
        for name in ["a", "b", "c"] {
            let place = folder.path().join(name);
            std::fs::create_dir(&place).unwrap();
            let sandbox = database(&place, "sandbox.db").await;
            copy_all(&source, &sandbox).await.unwrap();
            let world = TaskWorld { database: Some(sandbox), ..TaskWorld::nothing() };
            let summary = replay(&source, &world, &place, before.as_ref(), |_| true).await.unwrap();
            let mut results = earlier(&place.join(RESULTS)).unwrap();
            if name == "b" {
                // As an earlier version would have had it.
                results.get_mut("1").unwrap()["score"] = json!(-1.0);
            }
            before = Some(results);
            summaries.push(summary);
        }
        assert_eq!(
            (summaries[0].calls, summaries[0].as_recorded, summaries[0].compared),
            (1, 0, 0)
        );
        assert_eq!(summaries[0].left_out, BTreeMap::from([("retrain_model".to_owned(), 1)]));
        assert_eq!((summaries[1].compared, summaries[1].different), (1, 0));
        assert_eq!(summaries[2].differences[0].at, "$.score");
        assert_eq!(summaries[2].differences[0].before, json!(-1.0));
        assert!(summaries.iter().all(|summary| summary.digest == summaries[0].digest));
        let score = &before.unwrap()["1"]["score"];
        assert!(score.is_number(), "it was computed from the bars: {score}");
        let none =
            replay(&source, &TaskWorld::nothing(), folder.path(), None, |_| false).await.unwrap();
        assert_eq!(none.calls, 0);
    }
}
