//! `bongsu enqueue`: asks for a task.
//!
//! Three ways, by the settings: the queue on Redis; else the running daemon's `/v1/tasks`, with a token
//! of `api.tokens`; else this process does it by itself, over the same database and object store, to its
//! end. Arguments are checked here, whichever way it goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::args::EnqueueArgs;
use super::run::wait_for_the_end;
use super::{CliError, assembly};
use crate::actors::collection::wall_clock;
use crate::actors::jobs::empty_registry;
use crate::actors::modelling::Effort;
use crate::actors::supervision::Inbox;
use crate::actors::task_log;
use crate::bus::Publisher;
use crate::config::{FeedSource, Settings};
use crate::market::Directory;
use crate::messages::health::HealthRegistry;
use crate::messages::{AdviceBoard, BusLimits, EventBus, ModelBoard, RiskBoard, StoreBatch};
use crate::store::{Database, StoreWriter, WriterOptions};
use crate::tasks::celery::WorkerOptions;
use crate::tasks::{Runner, RunnerOptions, Submit, SubmitOptions, TaskCall, TaskState, TaskStatus};

/// A daemon answers within this, or is not there.
const CONNECT: Duration = Duration::from_secs(2);

/// Asks for the task.
///
/// # Errors
/// When there is no such task, its arguments are wrong, it cannot be asked for, or it failed.
pub fn execute(args: EnqueueArgs, settings: Settings) -> Result<(), CliError> {
    let call = call(&args)?;
    assembly::start_telemetry(&settings)?;
    let runtime = assembly::runtime()?;
    let outcome = runtime.block_on(async {
        if let Some(options) = assembly::task_worker_options(&settings) {
            return over_redis(&args, call, &options).await;
        }
        match operate_token(&settings) {
            Some(token) => match over_http(&args, &call, &settings, &token).await? {
                Some(answer) => Ok(answer),
                None => here(&runtime, call, &settings).await,
            },
            None => here(&runtime, call, &settings).await,
        }
    });
    if let Ok(runtime) = Arc::try_unwrap(runtime) {
        runtime.shutdown_timeout(Duration::from_millis(500));
    }
    let answer = outcome?;
    super::print(&format!("{answer}\n"))?;
    match answer["state"].as_str() {
        Some("FAILURE" | "REVOKED") => {
            let why = &answer["error"];
            Err(CliError::runtime(format!("{}: {why}", args.task)))
        }
        _ => Ok(()),
    }
}

/// The call that is typed, checked.
fn call(args: &EnqueueArgs) -> Result<TaskCall, CliError> {
    let kwargs: Map<String, Value> = serde_json::from_str(&args.kwargs).map_err(|error| {
        CliError::Usage(format!(
            "--kwargs {:?} is not a JSON object: {error}; expected for example '{{\"symbol\": \"005930\"}}'",
            args.kwargs
        ))
    })?;
    let registry = empty_registry();
    let task = registry.get(&args.task).ok_or_else(|| {
        let known: Vec<&str> = registry.specs().map(|spec| spec.name).collect();
        CliError::Usage(format!(
            "there is no task \"{}\"; there are: {}",
            args.task,
            known.join(", ")
        ))
    })?;
    let call = TaskCall::new(&args.task).kwargs(kwargs).origin("cli");
    task.check(&call).map_err(|failure| CliError::Usage(failure.message()))?;
    Ok(call)
}

/// A token of the scope `operate` that the settings hold in the clear.
fn operate_token(settings: &Settings) -> Option<String> {
    let tokens = settings.api.tokens.as_ref()?.expose_secret();
    let mut pairs = tokens.split([',', ' ']).filter_map(|pair| pair.trim().split_once(':'));
    pairs
        .find(|(scope, token)| *scope == "operate" && !token.starts_with("sha256:"))
        .map(|(_, token)| token.to_owned())
}

/// Puts the call into the queue on Redis, where any worker may take it.
async fn over_redis(
    args: &EnqueueArgs,
    call: TaskCall,
    options: &WorkerOptions,
) -> Result<Value, CliError> {
    let queue = assembly::celery_queue(options)?;
    let (id, name) = (call.id.clone(), call.name.clone());
    let how = SubmitOptions { priority: args.priority, ..SubmitOptions::default() };
    queue.submit(call, how).await.context("the call was not sent")?;
    let status = match args.wait {
        true => queue.finished(&id).await.context("the call's end is not known")?,
        false => TaskStatus::pending(&id),
    };
    let status = TaskStatus { name: Some(name), ..status };
    Ok(serde_json::to_value(status).context("the call's state as JSON")?)
}

/// Asks the running daemon; `None` when none is there.
async fn over_http(
    args: &EnqueueArgs,
    call: &TaskCall,
    settings: &Settings,
    token: &str,
) -> Result<Option<Value>, CliError> {
    let mut address = settings.http.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    // A client is built with TLS in it, whatever is asked.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .no_proxy()
        .build()
        .context("an HTTP client")?;
    let body = json!({"kwargs": call.kwargs, "id": call.id, "priority": args.priority});
    let url = format!("http://{address}/v1/tasks/{}", call.name);
    let sent = client.post(url).bearer_auth(token).json(&body).send().await;
    let answer = match sent {
        Err(error) if error.is_connect() || error.is_timeout() => {
            tracing::info!(%address, "no daemon is there; the task is done by this process");
            return Ok(None);
        }
        sent => read(sent).await?,
    };
    if !args.wait {
        return Ok(Some(answer));
    }
    let url = format!("http://{address}/v1/tasks/{}?wait=60", call.id);
    loop {
        let status = read(client.get(&url).bearer_auth(token).send().await).await?;
        let state: Option<TaskState> = serde_json::from_value(status["state"].clone()).ok();
        if state.is_none_or(TaskState::is_final) {
            return Ok(Some(status));
        }
    }
}

async fn read(sent: reqwest::Result<reqwest::Response>) -> Result<Value, CliError> {
    let response = sent.context("the daemon")?;
    let status = response.status();
    let body: Value = response.json().await.context("the daemon's answer")?;
    if status.is_success() {
        return Ok(body);
    }
    let detail = body["detail"].as_str().unwrap_or("without a reason").to_owned();
    Err(CliError::Runtime(anyhow!("the daemon refuses the task: {detail}")))
}

/// Does the task within this process.
async fn here(
    runtime: &Arc<tokio::runtime::Runtime>,
    call: TaskCall,
    settings: &Settings,
) -> Result<Value, CliError> {
    let health = HealthRegistry::new();
    let database = assembly::database(settings, &health).await?;
    let objects = match settings.writes {
        true => Some(assembly::object_store(settings, None, false)?),
        false => None,
    };
    let bus = EventBus::new(BusLimits::default());
    let clock = wall_clock();
    let collection = match settings.feed.source {
        FeedSource::Sim => Err("the source is the simulator, which plays within `bongsu run` only; set KIS_APP_KEY and KIS_APP_SECRET, or ask the running daemon".to_owned()),
        FeedSource::Kis => {
            let client = assembly::kis_clients(settings, None, &settings.data_dir)?.swap_remove(0);
            let stores = (database.clone(), objects.clone());
            let parts = assembly::collection(settings, client, &settings.feed.symbols, stores, &health, Arc::clone(&clock));
            parts.map(Arc::new).map_err(|error| error.to_string())
        }
    };
    let means = assembly::TaskMeans {
        board: RiskBoard::new(Directory::new()),
        bus: bus.clone(),
        advice: AdviceBoard::default(),
        models: ModelBoard::default(),
        publisher: Publisher::new(bus, None),
        database: database.clone(),
        objects,
        collection,
        scenarios: assembly::daemon_scenarios(settings, database.clone())?,
    };
    let rows = crate::actors::recorder::inbox();
    let recorder = database.is_some().then(|| rows.edge("cli"));
    let advisers = assembly::advice(runtime, settings, (database.clone(), means.objects.clone()))?;
    let how = (Effort::Full, &health);
    let world = assembly::task_world(settings, means, &advisers, recorder.clone(), how);
    let (log, runs) = task_log::channel();
    let options = RunnerOptions {
        clock,
        log: recorder.is_some().then(|| Arc::new(log) as _),
        ..RunnerOptions::new(assembly::worker_name())
    };
    let stop = CancellationToken::new();
    let (id, name) = (call.id.clone(), call.name.clone());
    let run = async {
        // The runner ends here, and with it the log.
        let runner = Runner::new(assembly::task_registry(settings, &world)?, options);
        let run = runner.run(call, stop.clone());
        tokio::pin!(run);
        let outcome = tokio::select! {
            outcome = &mut run => outcome,
            why = wait_for_the_end(None) => {
                tracing::info!(why, "stopping");
                stop.cancel();
                run.await
            }
        };
        let status = TaskStatus { name: Some(name), ..TaskStatus::pending(&id) };
        let status = status.after(&outcome, wall_clock()());
        Ok::<_, CliError>(serde_json::to_value(status).context("the outcome as JSON")?)
    };
    let work = async {
        let answer = run.await;
        if let Some(recorder) = recorder {
            let sent = task_log::run_task_log(runs, recorder, CancellationToken::new()).await;
            sent.map_err(|error| anyhow!("the run is not in task_runs: {error}"))?;
        }
        rows.close();
        answer
    };
    let writing = async {
        match database {
            Some(database) => record(&rows, database).await,
            None => Ok(()),
        }
    };
    let (answer, written) = tokio::join!(work, writing);
    written?;
    answer
}

/// Writes what comes, until nothing more can.
async fn record(rows: &Inbox<Arc<StoreBatch>>, database: Database) -> anyhow::Result<()> {
    let mut writer = StoreWriter::new(Directory::new(), WriterOptions::default());
    while let Some(batch) = rows.recv().await {
        if writer.push(StoreBatch::clone(&batch)).is_err() {
            return Err(anyhow!("too many rows wait for the database"));
        }
        writer.flush(&database).await?;
    }
    Ok(())
}
