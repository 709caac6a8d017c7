//! `bongsu check etl`: what collection and feed need, from the keys to the object folder.
//!
//! KIS is asked only as far as it answers: after a refusal of the keys, a block or no answer the rest
//! is left out and said so. With the built-in simulator as the source it is what is checked, its day
//! played to the end, so that the chain can be tried without keys.

use std::fs;
use std::time::Duration;

use super::socket;
use crate::actors::collection::probe::{ProbeError, Probed, probe};
use crate::actors::collection::{Clock, CollectionParts, wall_clock};
use crate::cli::doctor::objects::objects;
use crate::cli::doctor::probe as place;
use crate::cli::finding::{Check, State};
use crate::cli::kis_state::{self, KeyState};
use crate::cli::{CliError, assembly, jobs};
use crate::config::{FeedSource, Settings};
use crate::kis::KisClient;
use crate::kis::sim::RunningSim;
use crate::kis::subscriptions::Watch;
use crate::market::{SessionDay, Symbol};
use crate::messages::health::HealthRegistry;
use crate::store::{Database, DatabaseOptions, StoreError, read};

/// Calls of a run for an issue: daily bars, half hours of a session, price, trades, price.
const CALLS_AN_ISSUE: usize = 1 + 13 + 3;
/// Calendar days that one answer of KIS tells of.
const CALENDAR_DAYS: i32 = 14;
/// Longest wait for the database.
const DATABASE_WITHIN: Duration = Duration::from_secs(5);

/// Every check.
///
/// # Errors
/// When the simulator cannot be started, or the data folder cannot be made.
pub(super) async fn checks(settings: &Settings) -> Result<Vec<Check>, CliError> {
    let sim = match settings.feed.source {
        FeedSource::Sim => Some(jobs::played_day(settings).await?),
        FeedSource::Kis => None,
    };
    let mut checks = vec![source(sim.as_ref())];
    match &sim {
        Some(sim) => {
            let symbols = jobs::simulated(settings, sim);
            let etl = Etl { settings, sim: Some(sim), symbols, clock: jobs::after_close(sim) };
            etl.kis(&mut checks).await?;
            sim.stop().await;
        }
        None => {
            // The token is kept there, so that the next check and the daemon ask for none.
            fs::create_dir_all(&settings.data_dir).map_err(|error| {
                let shown = settings.data_dir.display();
                CliError::runtime(format!(
                    "data_dir {shown}: {error}; set BONGSU_DATA_DIR to a folder that can be made"
                ))
            })?;
            let symbols = settings.feed.symbols.clone();
            Etl { settings, sim: None, symbols, clock: wall_clock() }.kis(&mut checks).await?;
        }
    }
    checks.push(kis_state::calendar(kis_state::now().session_day()));
    checks.push(database(settings).await);
    checks.extend(objects(settings).await);
    Ok(checks)
}

fn source(sim: Option<&RunningSim>) -> Check {
    match sim {
        None => Check::ok("source", "KIS"),
        Some(_) => Check::warn(
            "source",
            "no KIS keys are in use: the built-in simulator is checked",
            "for KIS set KIS_APP_KEY and KIS_APP_SECRET, or a kis_devlp.yaml",
        ),
    }
}

struct Etl<'a> {
    settings: &'a Settings,
    sim: Option<&'a RunningSim>,
    symbols: Vec<Symbol>,
    clock: Clock,
}

impl Etl<'_> {
    /// Everything that is KIS's.
    async fn kis(&self, checks: &mut Vec<Check>) -> Result<(), CliError> {
        let settings = self.settings;
        if self.sim.is_none() {
            checks.push(kis_state::environment(settings));
        }
        let options = assembly::kis_options(settings, self.sim, &settings.data_dir)?;
        let keys = KeyState::of_all(options, true)
            .map_err(|error| CliError::Usage(format!("kis: {error}")))?;
        let mut well = true;
        for (number, key) in keys.iter().enumerate() {
            let check = key.prove(settings, true).await;
            // The other keys serve the feed alone.
            well &= number > 0 || check.state != State::Fail;
            checks.push(check);
        }
        // There is at least one.
        let Some(first) = keys.first() else { return Ok(()) };
        checks.extend(first.clock(settings).await);
        if well {
            let orders = self.endpoints(&first.client, checks).await;
            self.calendar(&first.client, checks).await;
            checks.push(self.budget(keys.len()));
            self.session(&first.client, orders, checks).await;
        } else {
            checks.push(Check::warn(
                "kis endpoints",
                "not asked: see the line about the keys",
                "correct that first",
            ));
        }
        match assembly::watch(settings, &self.symbols) {
            Ok(watch) => checks.push(kis_state::registrations(settings, &watch, keys.len())),
            Err(error) => {
                checks.push(Check::fail(
                    "account notices",
                    error.to_string(),
                    "correct KIS_HTS_ID",
                ));
            }
        }
        Ok(())
    }

    fn parts(&self, client: &KisClient) -> Result<CollectionParts, CliError> {
        let (clock, health) = (self.clock.clone(), HealthRegistry::new());
        assembly::collection(
            self.settings,
            client.clone(),
            &self.symbols,
            (None, None),
            &health,
            clock,
        )
    }

    /// The calls of collection. Returns the orders that the account has.
    async fn endpoints(&self, client: &KisClient, checks: &mut Vec<Check>) -> Option<usize> {
        let parts = match self.parts(client) {
            Ok(parts) => parts,
            Err(error) => {
                checks.push(Check::fail("collection", error.to_string(), "correct the setting"));
                return None;
            }
        };
        let probed = probe(&parts).await;
        if parts.account.is_none() {
            let found = "no account is set (kis.account, KIS_ACCOUNT): orders are left out";
            checks.push(Check::ok("kis order_history", found));
        }
        let orders = probed.iter().find(|probed| probed.endpoint == "order_history");
        let orders = orders.and_then(|probed| probed.outcome.as_ref().ok().copied());
        checks.extend(probed.into_iter().map(|probed| self.endpoint(probed)));
        orders
    }

    fn endpoint(&self, probed: Probed) -> Check {
        let Probed { endpoint, outcome } = probed;
        let name = format!("kis {endpoint}");
        match outcome {
            // An account without orders is nothing special.
            Ok(0) if endpoint != "order_history" => Check::warn(
                name,
                "answers, without a record",
                "check the issue code; before the first trade of a day this is as it should be",
            ),
            Ok(rows) => Check::ok(name, format!("answers, {rows} records that fit")),
            Err(ProbeError::Kis(error)) => kis_state::trouble(name.into(), &error, self.settings),
            Err(error) => Check::fail(
                name,
                error.to_string(),
                "KIS answers in a form that this version does not know: install a newer release",
            ),
        }
    }

    /// Once a day is enough, so only the next days are asked for.
    async fn calendar(&self, client: &KisClient, checks: &mut Vec<Check>) {
        let today = kis_state::now().session_day();
        let until = SessionDay::from_epoch_days(today.epoch_days() + CALENDAR_DAYS);
        let days = client.holidays(today, until).await;
        checks.push(kis_state::kis_calendar(days, today, self.settings));
    }

    /// Calls a second, and how long a run of the collection takes with them.
    fn budget(&self, keys: usize) -> Check {
        let issues = match self.settings.collect.universe {
            crate::config::CollectUniverse::MarketCap(count)
            | crate::config::CollectUniverse::Volume(count) => count,
            crate::config::CollectUniverse::Symbols => match self.settings.collect.symbols.len() {
                0 => self.symbols.len(),
                count => count,
            },
        };
        let interval = assembly::schedule().map(|jobs| jobs.interval_of("collect_market_prices"));
        match interval {
            Ok(interval) => budget(self.settings.kis.calls_per_second, keys, issues, interval),
            Err(error) => Check::fail("kis budget", error.to_string(), "correct jobs.yaml"),
        }
    }

    /// A short session; a running daemon has one already.
    async fn session(&self, client: &KisClient, orders: Option<usize>, checks: &mut Vec<Check>) {
        let settings = self.settings;
        if self.sim.is_none() {
            match place::daemon_runs(&settings.data_dir) {
                Ok(false) => {}
                Ok(true) => {
                    checks.push(running(settings));
                    return;
                }
                Err(error) => {
                    let found = format!("{}: {error}", settings.data_dir.join("lock").display());
                    checks.push(Check::warn("kis websocket", found, "give read and write access"));
                    return;
                }
            }
        }
        // A wrong HTS id is said with the registrations.
        let Ok(watch) = assembly::watch(settings, &self.symbols) else { return };
        let symbols: Vec<Symbol> = watch.symbols.into_iter().take(1).collect();
        let hts_id = watch.hts_id;
        let watch = Watch { symbols, hts_id, ..Watch::default() };
        if watch.symbols.is_empty() && hts_id.is_none() {
            return;
        }
        let ws_url = match self.sim {
            Some(sim) => sim.ws_url(),
            None => settings.kis.ws_url.expose().to_owned(),
        };
        let session = socket::visit(client, ws_url, watch).await;
        checks.push(socket::websocket(&session));
        checks.push(match hts_id {
            Some(_) => socket::notices(&session, assembly::environment(settings), orders),
            None => kis_state::notices(settings),
        });
    }
}

/// How long a run takes, against how often it is to be done.
fn budget(rate: f64, keys: usize, issues: usize, interval: Option<Duration>) -> Check {
    let name = "kis budget";
    let calls = issues * CALLS_AN_ISSUE;
    // Collection asks with the first key.
    let seconds = calls as f64 / rate;
    let found = format!(
        "{rate} calls a second and app key ({keys}); collecting {issues} issues takes up to {calls} \
         calls, {seconds:.0} s"
    );
    match interval {
        Some(interval) if seconds > interval.as_secs_f64() => Check::warn(
            name,
            format!("{found}, longer than the {} s between two runs", interval.as_secs()),
            "collect fewer issues (collect.symbols, collect.universe), or less often (jobs.yaml)",
        ),
        _ => Check::ok(name, found),
    }
}

/// What the daemon on this data folder says of its feed.
fn running(settings: &Settings) -> Check {
    let name = "kis websocket";
    let address = settings.http.listen;
    match place::component(address, "feed") {
        Ok(line) if line.starts_with("feed: up") => Check::ok(
            name,
            format!("a daemon runs on this data folder and has the session: {line}"),
        ),
        Ok(line) => Check::warn(
            name,
            format!("a daemon runs on this data folder and has the session: {line}"),
            format!("see its log, and http://{address}/readyz"),
        ),
        Err(error) => Check::warn(
            name,
            format!("a daemon runs on this data folder, but does not answer at {address}: {error}"),
            "set http.listen (BONGSU_HTTP__LISTEN) to that of the daemon",
        ),
    }
}

/// Whether the database answers and has its tables.
async fn database(settings: &Settings) -> Check {
    let name = "database";
    if !settings.writes {
        return Check::ok(name, "a dry run (BONGSU_WRITES=off): none is used");
    }
    let url = settings.database.url.expose();
    if url.starts_with("sqlite:")
        && let Some(path) = place::sqlite_path(url)
        && !path.exists()
    {
        let shown = path.display();
        return Check::ok(name, format!("sqlite, {shown} will be made at the first start"));
    }
    let options =
        DatabaseOptions { acquire_timeout: DATABASE_WITHIN, ..DatabaseOptions::default() };
    let look = async {
        let database = Database::connect(url, &options).await?;
        let missing = read::missing_tables(&database).await?;
        let shown = database.url().to_owned();
        database.close().await?;
        Ok::<_, StoreError>((shown, missing))
    };
    match look.await {
        Ok((shown, missing)) if missing.is_empty() => {
            Check::ok(name, format!("{shown} answers and has its tables"))
        }
        Ok((shown, missing)) => {
            let missing: Vec<&str> = missing.iter().map(|table| table.as_str()).collect();
            Check::warn(
                name,
                format!("{shown} answers, without the tables {}", missing.join(", ")),
                "nothing: the next start of the daemon makes them, if the user has the right",
            )
        }
        Err(error) => Check::fail(
            name,
            error.to_string(),
            "start the database server, or correct database.url (DATABASE_URL)",
        ),
    }
}

#[cfg(test)]
mod tests;
