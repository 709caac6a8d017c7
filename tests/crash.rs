//! Killed at any instant, the daemon ends with the rows and events of a run that never was.
//!
//! The exchange stands still while nobody listens and sends again what was not confirmed, so
//! nothing is missed while the process is dead: whatever differs at the end, the daemon lost or
//! doubled. Where and how often it is killed follows from a seed:
//!
//! - `BONGSU_TEST_KILLS` (5): how often; the long form of the test kills 50 times.
//! - `BONGSU_TEST_SEED` (1): where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::effects::{Entry, is_alarm, is_idle, stream};
use crate::feed::played_out;
use crate::support::daemon::Setup;
use crate::support::exchange::{Exchange, Plan};
use crate::support::{Daemon, MariaDb, RedisServer, skip, temp_dir, wait_until};

/// For what takes as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tables and the columns that say what is so; not when it was written, or where it is journaled.
const TABLES: [(&str, &str); 4] = [
    ("trade_logs", "source_key, symbol, ts, price, quantity, side, cum_volume, flags"),
    (
        "market_prices",
        "symbol, `interval`, ts, open, high, low, close, volume, amount, source, final",
    ),
    (
        "risk_scores",
        "symbol, ts, event_time, score, part_volatility, part_drawdown, part_liquidity, \
         part_volume, price, change_pct, over_gap",
    ),
    (
        "threat_events",
        "id, kind, rule, level, symbol, name, price, reference_price, change_pct, window_s, \
         score, event_time, evidence",
    ),
];

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or(otherwise)
}

fn market() -> Plan<'static> {
    Plan {
        issues: 24,
        speed: f64::INFINITY,
        until: "09:40",
        slide: true,
        confirm: true,
        ..Plan::default()
    }
}

/// What a run has left.
#[derive(Debug, PartialEq)]
struct Left {
    rows: BTreeMap<&'static str, Vec<String>>,
    /// Crash and threat events of the stream, by id, without their place in the journal.
    events: BTreeMap<String, Value>,
    digest: String,
}

/// A world of its own: exchange, Redis, MariaDB and a folder.
struct World {
    exchange: Exchange,
    redis: RedisServer,
    database: MariaDb,
    dir: crate::support::TempDir,
}

impl World {
    fn new(plan: &Plan<'_>) -> Option<Self> {
        let (redis, database) = (RedisServer::start()?, MariaDb::start()?);
        Some(Self { exchange: Exchange::start(plan), redis, database, dir: temp_dir() })
    }

    fn daemon(&self) -> Daemon {
        self.setup().start()
    }

    fn setup(&self) -> Setup {
        self.exchange
            .daemon()
            .dir(self.dir.path())
            .env("REDIS_URL", self.redis.url())
            .env("DATABASE_URL", self.database.url())
            .env("BONGSU_FEED__MAX_REGISTRATIONS", "200")
            .env("BONGSU_FEED__MUTE_SECONDS", "3600")
            .env("BONGSU_FEED__SILENCE_SECONDS", "60")
            .env("BONGSU_RISK__STALE_SECONDS", "600")
            .env("BONGSU_JOURNAL__CHECKPOINT_SECONDS", "1")
    }

    fn played(&self) -> usize {
        self.exchange.sim().trades_played().count()
    }

    /// Waits until the day is over and everything of it is handled; ends the daemon.
    fn finish(&self, daemon: &mut Daemon) {
        daemon.wait_ready(PATIENCE);
        self.exchange.wait_played(PATIENCE);
        let stored = || self.database.sql("select count(*) from trade_logs").parse::<usize>();
        let mut before = None;
        let is_done = || {
            let now = stored().ok();
            let all = now == Some(self.played());
            is_idle(daemon) && (all || std::mem::replace(&mut before, now) == now)
        };
        wait_until(PATIENCE, is_done, "the actors to have nothing left");
        daemon.stop();
        let stored = self.database.sql("select concat(symbol, ' ', cum_volume) from trade_logs");
        let stored: BTreeSet<&str> = stored.lines().collect();
        let played = self.exchange.trades();
        let missing: Vec<_> = played
            .iter()
            .filter(|trade| !stored.contains(&*format!("{} {}", trade.symbol, trade.cum_volume)))
            .map(|trade| format!("{} {} {}", trade.at, trade.symbol, trade.cum_volume))
            .collect();
        assert!(missing.is_empty(), "{} trades are missing: {:#?}", missing.len(), &missing);
    }

    fn left(&self) -> Left {
        let select = |(table, columns): (&'static str, &str)| {
            let rows =
                self.database.sql(&format!("select {columns} from {table} order by 1, 2, 3"));
            let mut rows: Vec<String> = rows.lines().map(str::to_owned).collect();
            rows.sort_unstable();
            (table, rows)
        };
        let mut events = BTreeMap::new();
        for Entry { mut event, .. } in stream(&self.redis) {
            if is_alarm(&event) {
                event["data"]["journal"] = Value::Null;
                let id = event["id"].as_str().expect("an id").to_owned();
                assert!(events.insert(id, event).is_none(), "an event is in the stream twice");
            }
        }
        Left {
            rows: TABLES.into_iter().map(select).collect(),
            events,
            digest: digest(&self.dir.path().join("var/journal")),
        }
    }
}

/// The digest of a replay of the journal in `folder`.
fn digest(folder: &Path) -> String {
    let dir = temp_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .args(["replay", "--speed", "max", "--journal"])
        .arg(folder)
        .arg("--sandbox")
        .arg(dir.path().join("sandbox"))
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.path())
        .output()
        .expect("a replay");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let last: Value =
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect(&text);
    last["digest"].as_str().expect("a digest").to_owned()
}

#[track_caller]
fn assert_same(whole: &Left, killed: &Left) {
    for (table, rows) in &whole.rows {
        let other = &killed.rows[table];
        let missing: Vec<_> = rows.iter().filter(|row| other.binary_search(row).is_err()).collect();
        let extra: Vec<_> = other.iter().filter(|row| rows.binary_search(row).is_err()).collect();
        assert!(
            missing.is_empty() && extra.is_empty() && rows.len() == other.len(),
            "{table}: {} rows against {}; missing {:#?}, instead {:#?}",
            rows.len(),
            other.len(),
            &missing[..missing.len().min(5)],
            &extra[..extra.len().min(5)],
        );
    }
    assert_eq!(whole.events, killed.events);
    assert_eq!(whole.digest, killed.digest);
}

/// Kills the daemon `kills` times at places of the day that follow from `seed`.
fn kill_at_random(world: &World, kills: u64, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let total = world.exchange.trade_count();
    let mut daemon = world.daemon();
    for round in 1..=kills {
        let part = total / (kills as usize + 1);
        // The exchange plays a day that is not today: its daily bars count the day itself.
        let at = round as usize * part - random.random_range(0..part);
        let reached = || world.played() >= at;
        wait_until(PATIENCE, reached, &format!("trade {at} of {total} before kill {round}"));
        // A stop in good order now and then: the next start goes on from its last checkpoint.
        if random.random_bool(0.2) {
            daemon.wait_ready(PATIENCE);
            daemon.stop();
        }
        daemon.restart();
    }
    world.finish(&mut daemon);
    let log = daemon.process().log();
    assert!(log.contains("caught up with the journal"), "nothing was recovered\n{log}");
}

fn killed_is_as_whole(kills: u64) {
    let plan = market();
    let Some(whole) = World::new(&plan) else {
        skip!("redis-server or mariadb-server is not installed")
    };
    let mut daemon = whole.daemon();
    whole.finish(&mut daemon);
    let expected = whole.left();
    assert!(expected.events.len() > 10, "the slide raises alarms: {:?}", expected.events.len());
    drop(whole);
    let Some(killed) = World::new(&plan) else { unreachable!("both servers were there") };
    let (kills, seed) = (number("BONGSU_TEST_KILLS", kills), number("BONGSU_TEST_SEED", 1));
    kill_at_random(&killed, kills, seed);
    assert_same(&expected, &killed.left());
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_like_one_that_never_was() {
    killed_is_as_whole(5);
}

#[test]
#[ignore = "slow: fifty kills, some minutes"]
fn fifty_kills_change_nothing() {
    killed_is_as_whole(50);
}

#[test]
fn with_a_running_clock_what_was_missed_is_named_and_mended() {
    let plan = Plan { until: "15:30", speed: 900.0, hold: false, ..Plan::default() };
    let exchange = Exchange::start(&plan);
    let mut daemon = exchange.daemon().env("BONGSU_JOURNAL__CHECKPOINT_SECONDS", "1").start();
    let (total, mut random) = (exchange.trade_count(), ChaCha8Rng::seed_from_u64(3));
    for round in 1..=3 {
        let at = round * total / 4 - random.random_range(0..total / 8);
        let reached = || exchange.sim().trades_played().count() >= at;
        wait_until(PATIENCE, reached, &format!("trade {at} of {total} before kill {round}"));
        daemon.restart();
    }
    // What was on its way to a process that was killed is lost as well, and named.
    played_out(&exchange, &mut daemon, 400);
}

/// Identity and time of the crash and threat events in the stream.
fn alarms(redis: &RedisServer) -> BTreeMap<String, String> {
    let text = |event: &Value, part: &str| event[part].as_str().unwrap_or_default().to_owned();
    let all = stream(redis).into_iter().map(|entry| entry.event).filter(is_alarm);
    all.map(|event| (text(&event, "id"), text(&event, "time"))).collect()
}

#[test]
fn under_other_thresholds_the_state_is_rebuilt_and_nothing_is_said_again() {
    let Some(world) = World::new(&market()) else {
        skip!("redis-server or mariadb-server is not installed")
    };
    let mut daemon = world.daemon();
    let total = world.exchange.trade_count();
    wait_until(PATIENCE, || world.played() >= total * 6 / 10, "a good half of the day");
    daemon.stop();
    let said = alarms(&world.redis);
    assert!(said.len() > 10, "the slide raises alarms: {}", said.len());
    let handled = world.database.sql("select count(*) from trade_logs");
    assert!(handled.parse::<usize>().expect("a number") < total, "there is something left to play");

    // A much smaller fall is a crash now: of what was handled before, much more would be said.
    // Killed once before it has a checkpoint of its own: what was said is not forgotten over that.
    let mut other = world.setup().env("BONGSU_RISK__SYMBOL_CRASH_PCT", "2").start();
    let begun = "a checkpoint is not used";
    wait_until(PATIENCE, || other.process().log().contains(begun), "the rebuild");
    other.restart();
    other.wait_ready(PATIENCE);
    let log = other.process().log();
    assert!(log.contains("written by another build or under other thresholds"), "{log}");
    assert!(log.contains("checkpoint=false"), "{log}");
    world.finish(&mut other);
    let again = alarms(&world.redis);
    assert!(said.keys().all(|id| again.contains_key(id)));
    let last = said.values().max().expect("some");
    let new: Vec<_> = again.iter().filter(|(id, _)| !said.contains_key(*id)).collect();
    assert!(new.iter().all(|(_, time)| *time >= last), "said after all: {new:#?}");
}

#[test]
fn events_that_redis_did_not_take_outlive_the_process() {
    let Some(mut world) = World::new(&market()) else {
        skip!("redis-server or mariadb-server is not installed")
    };
    let mut daemon = world.daemon();
    daemon.wait_ready(PATIENCE);
    world.redis.kill9();
    // The last checkpoint is behind all of the day: nothing that is read again raises any of them.
    world.finish(&mut daemon);
    let raised = world.database.sql("select id from threat_events order by 1");
    let raised: BTreeSet<&str> = raised.lines().collect();
    assert!(raised.len() > 10, "the slide raises alarms: {}", raised.len());

    world.redis.restart();
    daemon.restart();
    let arrived = || alarms(&world.redis).len() >= raised.len();
    wait_until(PATIENCE, arrived, "the events of the run before");
    let arrived = alarms(&world.redis);
    assert_eq!(arrived.keys().map(String::as_str).collect::<BTreeSet<_>>(), raised);
    daemon.stop();
}
