//! The servers around a day being played.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::market::{Reference, SessionDay, Symbol};

use super::account::Accounts;
use super::auth::Auth;
use super::faults::{self, FaultCount, FaultRecord, FaultSpec, Faults, PlayedTrade};
use super::header_case::HeaderCase;
use super::notices::Outbox;
use super::options::{SimError, SimOptions, SimSpeed};
use super::playback::Playback;
use super::request_log::{RequestCounts, RequestLog, RequestRecord};
use super::session::Session;
use super::{clock, notices, rest, session};

/// Connections served at once, on each side; further ones wait.
const MOST_CONNECTIONS: usize = 256;
/// Speed of a recorded day when none is given.
const FILE_SPEED: f64 = 60.0;

/// What the servers and the clock share.
pub(crate) struct Shared {
    pub options: SimOptions,
    pub playback: Mutex<Playback>,
    pub auth: Auth,
    pub faults: Faults,
    pub accounts: Accounts,
    pub outbox: Outbox,
    pub log: RequestLog,
    pub issue_keys: HashMap<String, u32>,
    pub index_keys: HashMap<String, u32>,
    pub sessions: Mutex<Vec<Arc<Session>>>,
    /// The session that holds each app key.
    pub owners: Mutex<HashMap<String, u64>>,
    /// Data subscriptions of all sessions, and when that last changed.
    watching: Mutex<(isize, Instant)>,
    /// Subscriptions have been quiet once since there were none.
    settled: Mutex<bool>,
    pub watched: Notify,
    /// Steps of the clock that clients were asked to confirm.
    pub steps: AtomicU64,
    pub finished: watch::Sender<bool>,
    pub stop: CancellationToken,
}

impl Shared {
    /// Takes note of `by` more data subscriptions.
    pub fn watch_changed(&self, by: isize) {
        let mut watching = self.watching.lock();
        watching.0 += by;
        watching.1 = Instant::now();
        if watching.0 == 0 {
            *self.settled.lock() = false;
        }
        drop(watching);
        self.watched.notify_one();
    }

    /// Whether the clock may move.
    pub fn may_run(&self) -> bool {
        if !self.options.hold {
            return true;
        }
        let watching = self.watching.lock();
        let mut settled = self.settled.lock();
        *settled = watching.0 > 0 && (*settled || watching.1.elapsed() >= self.options.settle);
        *settled
    }

    /// How long the subscriptions must stay as they are before the clock may move; `None` without
    /// any.
    pub fn quiet_in(&self) -> Option<Duration> {
        let watching = self.watching.lock();
        let quiet = watching.1.elapsed();
        (watching.0 > 0).then(|| self.options.settle.saturating_sub(quiet))
    }
}

/// A loaded simulator.
pub struct Simulator {
    options: SimOptions,
    playback: Playback,
}

impl Simulator {
    /// Loads what is to be played. Reads files and computes for up to some seconds, so it blocks.
    ///
    /// # Errors
    /// See [`SimError`].
    pub fn load(options: SimOptions) -> Result<Self, SimError> {
        let playback = Playback::load(
            &options.source,
            options.seed,
            options.trades_per_symbol,
            options.shape,
        )?;
        Ok(Self { options, playback })
    }

    /// The player, before it starts: references, session day, number of trades.
    #[must_use]
    pub fn playback(&self) -> &Playback {
        &self.playback
    }

    /// The speed at which it will play.
    #[must_use]
    pub fn speed(&self) -> SimSpeed {
        let default = SimSpeed::Times(self.playback.default_speed().unwrap_or(FILE_SPEED));
        self.options.speed.unwrap_or(default)
    }

    /// Opens both ports and starts the clock. Must run on a tokio runtime that lives as long as
    /// the simulator.
    ///
    /// # Errors
    /// [`SimError::Listen`] when a port is taken.
    pub async fn start(self) -> Result<RunningSim, SimError> {
        let speed = self.speed();
        let Self { options, playback } = self;
        let rest = listen(options.rest_listen).await?;
        let ws = listen(options.ws_listen).await?;
        let address = |listener: &TcpListener, asked| {
            listener.local_addr().map_err(|source| SimError::Listen { address: asked, source })
        };
        let rest_addr = address(&rest, options.rest_listen)?;
        let ws_addr = address(&ws, options.ws_listen)?;

        let numbered =
            |codes: Vec<String>| -> HashMap<String, u32> { codes.into_iter().zip(0..).collect() };
        let references = playback.references();
        let shared = Arc::new(Shared {
            auth: Auth::new(
                options.app_key.clone(),
                options.app_secret.clone(),
                options.enforce_rate_limits,
                options.env,
            )
            .with_extra(options.extra_keys.clone()),
            accounts: Accounts::new(
                options.account.as_ref().map(|number| number.digits().to_owned()),
                options.cash,
                options.holdings.clone(),
            ),
            faults: Faults::new(options.faults.clone(), options.seed, options.audit),
            outbox: Outbox::default(),
            log: RequestLog::default(),
            issue_keys: numbered(references.iter().map(|r| r.symbol.to_string()).collect()),
            index_keys: numbered(playback.index_codes().iter().map(ToString::to_string).collect()),
            playback: Mutex::new(playback),
            sessions: Mutex::default(),
            owners: Mutex::default(),
            watching: Mutex::new((0, Instant::now())),
            settled: Mutex::new(false),
            watched: Notify::new(),
            steps: AtomicU64::new(0),
            finished: watch::Sender::new(false),
            stop: CancellationToken::new(),
            options,
        });
        let tasks = TaskTracker::new();
        spawn_rest(&shared, &tasks, rest);
        spawn_ws(&shared, &tasks, ws);
        let clock = Arc::clone(&shared);
        tasks.spawn(async move {
            tokio::select! {
                () = clock.stop.cancelled() => {}
                () = clock::run(&clock, speed) => {}
            }
        });
        let courier = Arc::clone(&shared);
        tasks.spawn(async move {
            tokio::select! {
                () = courier.stop.cancelled() => {}
                () = notices::deliver(&courier) => {}
            }
        });
        tasks.close();
        Ok(RunningSim { rest_addr, ws_addr, references, shared, tasks })
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, SimError> {
    TcpListener::bind(address).await.map_err(|source| SimError::Listen { address, source })
}

/// Hands every connection of `listener` to `serve`, until the simulator stops.
fn spawn_listener<F, S>(shared: &Arc<Shared>, tasks: &TaskTracker, listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let (shared, all) = (Arc::clone(shared), tasks.clone());
    tasks.spawn(async move {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let accept = async {
            loop {
                // The semaphore is never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let connection = serve(stream);
                        all.spawn(async move {
                            connection.await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        // Out of descriptors, mostly: others will be closed.
                        tracing::warn!(%error, "simulator cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = accept => {}
        }
    });
}

fn spawn_rest(shared: &Arc<Shared>, tasks: &TaskTracker, listener: TcpListener) {
    let mut router = faults::layer(rest::router(Arc::clone(shared)), Arc::clone(shared));
    let offset = shared.options.clock_offset;
    if offset != 0 {
        router = router.layer(axum::middleware::map_response(move |response| async move {
            rest::dated(response, offset)
        }));
    }
    let stop = shared.stop.clone();
    spawn_listener(shared, tasks, listener, move |stream| {
        let (service, stop) = (TowerToHyperService::new(router.clone()), stop.clone());
        async move {
            let io = TokioIo::new(HeaderCase::new(stream));
            let connection =
                http1::Builder::new().title_case_headers(true).serve_connection(io, service);
            tokio::select! {
                () = stop.cancelled() => {}
                result = connection => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "simulator's HTTP connection ended");
                    }
                }
            }
        }
    });
}

fn spawn_ws(shared: &Arc<Shared>, tasks: &TaskTracker, listener: TcpListener) {
    let numbers = AtomicU64::new(0);
    let owner = Arc::clone(shared);
    spawn_listener(shared, tasks, listener, move |stream| {
        let id = numbers.fetch_add(1, Ordering::Relaxed);
        session::serve(Arc::clone(&owner), id, stream)
    });
}

/// A simulator at work. Dropping it stops it.
pub struct RunningSim {
    /// Where REST is served.
    pub rest_addr: SocketAddr,
    /// Where the WebSocket is served.
    pub ws_addr: SocketAddr,
    /// What a client may know of every issue.
    pub references: Vec<Reference>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl RunningSim {
    /// Base URL of REST, for the client's settings.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.rest_addr)
    }

    /// Base URL of the WebSocket.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.ws_addr)
    }

    /// The player at work, for tests that move it on themselves.
    #[cfg(test)]
    pub(super) fn playback(&self) -> parking_lot::MutexGuard<'_, Playback> {
        self.shared.playback.lock()
    }

    /// The session day that is played.
    #[must_use]
    pub fn session_day(&self) -> SessionDay {
        self.shared.playback.lock().session_day()
    }

    /// The newest requests of all clients, oldest first, at most 100,000.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.records()
    }

    /// All requests since the start, counted by endpoint and outcome.
    #[must_use]
    pub fn request_counts(&self) -> RequestCounts {
        self.shared.log.counts()
    }

    /// Waits until the day has been played and every subscriber has been sent all of it. The
    /// servers stay up.
    pub async fn finished(&self) {
        let mut finished = self.shared.finished.subscribe();
        // The sender lives in `shared`, which this borrows.
        let _ = finished.wait_for(|finished| *finished).await;
    }

    /// One more fault, from now on.
    pub fn inject(&self, fault: FaultSpec) {
        self.shared.faults.inject(fault);
    }

    /// What went wrong so far, oldest first; the first 65,536.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultRecord> {
        self.shared.faults.records()
    }

    /// How often each fault was played, in the order of the list.
    #[must_use]
    pub fn fault_counts(&self) -> Vec<FaultCount> {
        self.shared.faults.counts()
    }

    /// Records, and trades of the audit, that there was no room for.
    #[must_use]
    pub fn left_out(&self) -> (u64, u64) {
        self.shared.faults.left_out()
    }

    /// Every trade played so far, in order; the first two million. Empty without
    /// [`SimOptions::audit`].
    pub fn trades_played(&self) -> impl Iterator<Item = PlayedTrade> + use<> {
        self.shared.faults.played().into_iter()
    }

    /// Issue, day and cumulative volume of every trade played so far that has been written intact
    /// to no session, be it for a fault or because nobody was subscribed. What waits for a socket
    /// right now is among them. Empty without [`SimOptions::audit`].
    #[must_use]
    pub fn undelivered(&self) -> BTreeSet<(Symbol, SessionDay, i64)> {
        self.shared.faults.undelivered()
    }

    /// Closes everything and waits until it is closed.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for RunningSim {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
