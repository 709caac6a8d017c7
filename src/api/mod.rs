//! The HTTP interface: health, metrics, scores, prices, events and advice to read; users' scenarios and tasks
//! to ask for.
//!
//! Input: the read models ([`RiskBoard`], [`EventBus`], [`AdviceBoard`], [`ModelBoard`],
//! [`HealthRegistry`]) that the actors write, and the stored bars ([`ReadBars`]); the interface asks
//! them and never the actors, so a slow client touches nothing. Output: JSON, the Prometheus
//! exposition, and server-sent events.
//!
//! | file | routes |
//! |---|---|
//! | `health` | `/healthz`, `/readyz`, `/metrics` |
//! | `market` | `/v1/symbols`, `/v1/risk[/{symbol}]` |
//! | `prices` | `/v1/prices/{symbol}`, with technical indicators |
//! | `events` | `/v1/events`, `/v1/events/stream` |
//! | `models` | `/v1/models`, `/v1/evaluation` |
//! | `jobs` | `/v1/jobs` |
//! | `scenarios` | `POST /v1/scenarios` |
//! | `advice` | `/v1/recommendations[/{id}]`, `/v1/mitigations[/{id}]`, `/v1/reports/…` |
//! | `tasks` | `/v1/tasks[/{id}]`, `POST /v1/tasks/{name}` |
//! | `access` | who may ask for what; `/v1/session` |
//!
//! Limits: list sizes by parameter, event streams by number, bodies by size.
//! Failure modes: errors are RFC 9457 problem details that name the parameter, its value and what
//! was expected.

pub mod access;
mod advice;
mod events;
mod health;
mod jobs;
mod market;
mod models;
mod prices;
mod problem;
mod query;
mod scenarios;
mod stall;
mod tasks;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::market::EventTime;
use crate::messages::task_desk::TaskDesk;
use crate::messages::{
    AdviceBoard, AskScenario, EventBus, HealthRegistry, JobBoard, ModelBoard, RiskBoard,
};

pub use access::Access;
pub use prices::{BarQuery, ReadBars};
pub use problem::{Details, Problem};

/// Renders the Prometheus exposition.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the routes read. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// Scores.
    pub board: RiskBoard,
    /// Events.
    pub bus: EventBus,
    /// Picks, plans, reports.
    pub advice: AdviceBoard,
    /// Model versions and how good they are.
    pub models: ModelBoard,
    /// The schedule.
    pub jobs: JobBoard,
    /// Components.
    pub health: HealthRegistry,
    /// The exposition.
    pub metrics: RenderMetrics,
    /// Stored bars; `None` without a database.
    pub bars: Option<ReadBars>,
    /// Who answers scenarios; `None` without daily bars to look into.
    pub scenarios: Option<AskScenario>,
    /// Where tasks can be asked for; `None` where there are none.
    pub tasks: Option<Arc<dyn TaskDesk>>,
    /// Who may ask for what.
    pub access: Access,
    /// Whether only health and metrics are served.
    pub health_only: bool,
    /// When the process started, by the wall clock.
    pub started: EventTime,
    /// Open event streams that are still allowed.
    streams: Arc<Semaphore>,
    /// Ends the streams at a stop.
    shutdown: CancellationToken,
    /// Pause after which a stream without events gets a comment.
    keep_alive: Duration,
    /// How long a client may leave what is sent to it unread.
    stall_limit: Duration,
}

impl ApiState {
    /// State over the read models, with at most `max_streams` open event streams (256 is a good
    /// number: each costs one connection and at most the ring's events).
    #[must_use]
    pub fn new(
        board: RiskBoard,
        bus: EventBus,
        advice: AdviceBoard,
        health: HealthRegistry,
        metrics: RenderMetrics,
        max_streams: usize,
    ) -> Self {
        Self {
            board,
            bus,
            advice,
            models: ModelBoard::default(),
            jobs: JobBoard::default(),
            health,
            metrics,
            bars: None,
            scenarios: None,
            tasks: None,
            access: Access::default(),
            health_only: false,
            started: EventTime::from_micros(chrono::Utc::now().timestamp_micros()),
            streams: Arc::new(Semaphore::new(max_streams.min(Semaphore::MAX_PERMITS))),
            shutdown: CancellationToken::new(),
            keep_alive: Duration::from_secs(15),
            stall_limit: Duration::from_secs(60),
        }
    }

    /// The same state with stored bars.
    #[must_use]
    pub fn with_bars(mut self, bars: Option<ReadBars>) -> Self {
        self.bars = bars;
        self
    }

    /// The same state with somebody who answers scenarios.
    #[must_use]
    pub fn with_scenarios(mut self, scenarios: Option<AskScenario>) -> Self {
        self.scenarios = scenarios;
        self
    }

    /// The same state with tasks.
    #[must_use]
    pub fn with_tasks(mut self, desk: Option<Arc<dyn TaskDesk>>) -> Self {
        self.tasks = desk;
        self
    }

    /// The same state under this rule of access.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The same state, of which only health and metrics are served.
    #[must_use]
    pub fn with_health_only(mut self, only: bool) -> Self {
        self.health_only = only;
        self
    }

    /// The same state over this board of models.
    #[must_use]
    pub fn with_models(mut self, models: ModelBoard) -> Self {
        self.models = models;
        self
    }

    /// The same state over this board of the schedule.
    #[must_use]
    pub fn with_jobs(mut self, jobs: JobBoard) -> Self {
        self.jobs = jobs;
        self
    }

    /// The same state with another limit on clients that stop reading.
    #[must_use]
    pub fn with_stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    /// The same state with another pause before a keep-alive comment.
    #[must_use]
    pub fn with_keep_alive(mut self, pause: Duration) -> Self {
        self.keep_alive = pause;
        self
    }
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is taken.
    #[error(
        "http address {0} is in use: stop the program that holds it, or set BONGSU_HTTP__LISTEN to another address"
    )]
    InUse(SocketAddr),
    /// The address cannot be bound for another reason.
    #[error("cannot listen on http address {address}: {cause}")]
    Bind {
        /// Address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Accepting connections failed for good.
    #[error("http server stopped: {0}")]
    Serve(std::io::Error),
}

/// Binds `address`.
///
/// # Errors
/// When the address is in use or cannot be bound.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ApiError> {
    TcpListener::bind(address).await.map_err(|cause| {
        if cause.kind() == std::io::ErrorKind::AddrInUse {
            ApiError::InUse(address)
        } else {
            ApiError::Bind { address, cause }
        }
    })
}

/// All routes.
pub fn router(state: ApiState) -> Router {
    let access = state.access.clone();
    let session = Router::new()
        .route("/v1/session", post(access::begin).delete(access::end))
        .with_state(access.clone());
    let kept = Router::new()
        .route("/v1/symbols", get(market::symbols))
        .route("/v1/risk", get(market::risk))
        .route("/v1/risk/{symbol}", get(market::risk_of))
        .route("/v1/prices/{symbol}", get(prices::prices))
        .route("/v1/models", get(models::models))
        .route("/v1/evaluation", get(models::evaluation))
        .route("/v1/jobs", get(jobs::jobs))
        .route("/v1/events", get(events::list))
        .route("/v1/events/stream", get(events::stream))
        .route("/v1/scenarios", post(scenarios::answer))
        .route("/v1/recommendations", get(advice::recommendations))
        .route("/v1/recommendations/{id}", get(advice::recommendation))
        .route("/v1/mitigations", get(advice::mitigations))
        .route("/v1/mitigations/{id}", get(advice::mitigation))
        .route("/v1/reports/latest", get(advice::latest_report))
        .route("/v1/reports/{id}", get(advice::report))
        .route("/v1/tasks", get(tasks::specs))
        .route("/v1/tasks/{id}", get(tasks::status).post(tasks::submit))
        .route_layer(middleware::from_fn_with_state(access, access::check));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(if state.health_only { Router::new() } else { kept })
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(state)
        .merge(session)
}

/// How long running requests may take to finish at a stop.
const FINISH: Duration = Duration::from_secs(5);

/// Serves until `shutdown`; then open streams end, running requests finish (within five seconds),
/// and it returns.
///
/// # Errors
/// When accepting connections fails for good.
pub async fn serve(
    listener: TcpListener,
    mut state: ApiState,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    state.shutdown = shutdown.clone();
    let listener = stall::Patient { listener, limit: state.stall_limit };
    let service = router(state).into_make_service_with_connect_info::<stall::Peer>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(FINISH).await;
    };
    tokio::select! {
        biased;
        result = server.into_future() => result.map_err(ApiError::Serve),
        () = too_late => {
            tracing::warn!("http requests were still running at the stop and are cut off");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
