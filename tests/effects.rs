//! What the daemon does to the world: events in a real Redis, rows in a real MariaDB, and neither
//! lost nor doubled when one of them goes away in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{
    self, Daemon, MariaDb, Process, RedisServer, Reply, TempDir, parquet, skip, temp_dir,
    wait_until,
};

/// For what takes as long as a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Trades in the recorded session.
const TRADES: u64 = 50_345;

fn ticks() -> Option<PathBuf> {
    let file = support::shared_dir()?.join("data/krx-ticks-2020-06-04.parquet");
    file.is_file().then_some(file)
}

/// An entry of the stream.
#[derive(Debug)]
pub(crate) struct Entry {
    /// When Redis took it in, milliseconds since 1970.
    millis: u128,
    pub(crate) event: Value,
}

impl Entry {
    fn id(&self) -> &str {
        self.event["id"].as_str().expect("an event has an id")
    }
}

/// The stream, oldest first.
pub(crate) fn stream(redis: &RedisServer) -> Vec<Entry> {
    let Reply::List(entries) = redis.command(&["XRANGE", "bongsu:events", "-", "+"]) else {
        panic!("XRANGE answers with a list")
    };
    let entry = |entry: Reply| {
        let Reply::List(parts) = entry else { panic!("an entry is a list") };
        let [Reply::Text(id), Reply::List(fields)] = &parts[..] else { panic!("{parts:?}") };
        let [Reply::Text(name), Reply::Text(json)] = &fields[..] else { panic!("{fields:?}") };
        assert_eq!(name, "event");
        let millis = id.split('-').next().and_then(|millis| millis.parse().ok());
        let event = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        Entry { millis: millis.expect("an entry's id begins with a time"), event }
    };
    entries.into_iter().map(entry).collect()
}

pub(crate) fn is_alarm(event: &Value) -> bool {
    matches!(event["type"].as_str(), Some("io.bongsu.crash.v1" | "io.bongsu.threat.v1"))
}

/// Ids of crash and threat events in the order of the stream.
pub fn alarms_of_stream(redis: &RedisServer) -> Vec<String> {
    let entries = stream(redis);
    entries.iter().filter(|e| is_alarm(&e.event)).map(|e| e.id().to_owned()).collect()
}

/// Ids of crash and threat events the daemon has raised, in order.
pub fn alarms_of(daemon: &Daemon) -> Vec<String> {
    let (status, body) = daemon.get("/v1/events?type=crash,threat&limit=10000");
    assert_eq!(status, 200, "{body}");
    let list: Value = serde_json::from_str(&body).expect("JSON");
    let events = list["events"].as_array().expect("a list");
    let id = |event: &Value| event["event"]["id"].as_str().expect("an id").to_owned();
    events.iter().map(id).collect()
}

#[track_caller]
pub fn assert_distinct(ids: &[String]) {
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "an event is there twice");
}

/// A plain subscriber: `redis-cli PSUBSCRIBE bongsu.*`.
struct Subscriber {
    process: Process,
    _dir: TempDir,
}

impl Subscriber {
    fn start(redis: &RedisServer) -> Option<Self> {
        let program = support::find_program("redis-cli")?;
        let dir = temp_dir();
        let mut command = Command::new(program);
        command.args(["-p", &redis.port().to_string(), "PSUBSCRIBE", "bongsu.*"]);
        let process = Process::spawn("redis-cli", &mut command, &dir.path().join("log"));
        wait_until(PATIENCE, || process.log().contains("psubscribe"), "the subscription");
        Some(Self { process, _dir: dir })
    }

    /// Channels and events it has printed.
    fn heard(&self) -> Vec<(String, Value)> {
        let log = self.process.log();
        let lines: Vec<&str> = log.lines().collect();
        let mut heard = Vec::new();
        // `psubscribe`, the pattern, the number of patterns; then four lines a message, of which
        // the last may not be written to its end.
        for message in lines.get(3..).unwrap_or_default().chunks_exact(4) {
            let [kind, pattern, channel, json] = message else { unreachable!("chunks of four") };
            assert_eq!((*kind, *pattern), ("pmessage", "bongsu.*"), "{message:?}");
            if let Ok(event) = serde_json::from_str(json) {
                heard.push(((*channel).to_owned(), event));
            }
        }
        heard
    }
}

/// The channel an event belongs on.
fn channel_of(event: &Value) -> String {
    let kind = event["type"].as_str().and_then(|kind| kind.strip_prefix("io.bongsu."));
    let kind = kind.and_then(|kind| kind.strip_suffix(".v1")).expect("a type of ours");
    let kinds = ["crash", "threat", "risk", "recommendation", "mitigation", "report", "health"];
    assert!(kinds.contains(&kind), "{event}");
    let data = &event["data"];
    let topic = match kind {
        "threat" => data["rule"].as_str(),
        "crash" if data["symbol"].is_null() => Some("market"),
        "report" => data["kind"].as_str(),
        _ => event["subject"].as_str(),
    };
    format!("bongsu.{kind}.{}", topic.unwrap_or_else(|| panic!("no topic: {event}")))
}

/// What the recorded session holds of an issue: shares, last price.
type Totals = BTreeMap<String, (i64, i64)>;

fn totals_of(file: &std::path::Path) -> Totals {
    let mut totals: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    parquet::each_batch(file, &["seq", "symbol", "price", "qty"], |batch| {
        let [seqs, prices, sizes] =
            ["seq", "price", "qty"].map(|column| parquet::integers(&batch, column));
        for (row, symbol) in parquet::texts(&batch, "symbol").into_iter().enumerate() {
            let (shares, last, price) = totals.entry(symbol).or_insert((0, -1, 0));
            *shares += sizes[row];
            if seqs[row] > *last {
                (*last, *price) = (seqs[row], prices[row]);
            }
        }
    });
    totals.into_iter().map(|(symbol, (shares, _, price))| (symbol, (shares, price))).collect()
}

fn totals_in(database: &MariaDb) -> Totals {
    let rows = database.sql(
        "select symbol, sum(quantity), \
         substring_index(group_concat(price order by cum_volume desc), ',', 1) \
         from trade_logs group by symbol",
    );
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |field: &str| field.parse().unwrap_or_else(|_| panic!("{field}: {line}"));
        (fields[0].to_owned(), (number(fields[1]), number(fields[2])))
    };
    rows.lines().map(row).collect()
}

fn trades_in(database: &MariaDb) -> u64 {
    database.sql("select count(*) from trade_logs").parse().expect("a number")
}

/// Whether no actor has anything waiting.
pub(crate) fn is_idle(daemon: &Daemon) -> bool {
    let (_, exposition) = daemon.get("/metrics");
    exposition
        .lines()
        .filter(|line| line.starts_with("bongsu_mailbox_depth{"))
        .all(|line| line.ends_with(" 0"))
}

#[test]
fn a_recorded_session_arrives_whole_in_redis_and_mariadb() {
    let Some(ticks) = ticks() else { skip!("no recorded session") };
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let Some(subscriber) = Subscriber::start(&redis) else { skip!("redis-cli is not installed") };
    let Some(database) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    let mut daemon = Daemon::setup()
        .args(["run", "--speed", "max", "--data"])
        .args([ticks.clone()])
        .env("REDIS_URL", redis.url())
        .env("DATABASE_URL", database.url())
        .start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || trades_in(&database) >= TRADES, "all trades in the database");
    wait_until(PATIENCE, || is_idle(&daemon), "the actors to have nothing left");
    daemon.stop();
    let log = daemon.process().log();
    assert!(!log.contains("fenced"), "something was cut off\n{}", daemon.process().tail());

    assert_eq!(trades_in(&database), TRADES);
    assert_eq!(totals_in(&database), totals_of(&ticks));
    // The last bars are not over, and are there.
    let days = database
        .sql("select p.symbol, p.volume from market_prices p where p.interval = '1d' order by 1");
    let volumes: Vec<String> =
        totals_of(&ticks).iter().map(|(s, (shares, _))| format!("{s}\t{shares}")).collect();
    assert_eq!(days.lines().collect::<Vec<_>>(), volumes);

    let entries = stream(&redis);
    let ids: Vec<String> = entries.iter().map(|entry| entry.id().to_owned()).collect();
    assert_distinct(&ids);
    assert!(!ids.is_empty(), "a session brings recommendations and reports at least");
    // The subscriber hears what is in the stream and the scores besides.
    let risk = |event: &Value| event["type"] == "io.bongsu.risk.v1";
    let kept = |heard: &[(String, Value)]| heard.iter().filter(|(_, e)| !risk(e)).count();
    wait_until(PATIENCE, || kept(&subscriber.heard()) >= ids.len(), "every event to be heard");
    let heard = subscriber.heard();
    for (channel, event) in &heard {
        assert_eq!(*channel, channel_of(event), "{event}");
        assert_eq!(event["specversion"], "1.0");
    }
    let heard_ids: Vec<String> = heard
        .iter()
        .filter(|(_, event)| !risk(event))
        .map(|(_, event)| event["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(heard_ids, ids);
    assert!(heard.len() - heard_ids.len() > 100, "only {} scores", heard.len() - heard_ids.len());
}

#[test]
fn events_of_a_redis_outage_come_late_in_order_and_once() {
    let Some(mut redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let mut daemon = Daemon::setup()
        .args(["run", "--market", "crash", "--speed", "100"])
        .env("REDIS_URL", redis.url())
        .start();
    daemon.wait_ready(PATIENCE);
    assert!(daemon.get("/readyz").1.contains("redis: up"), "{}", daemon.get("/readyz").1);
    wait_until(PATIENCE, || !alarms_of_stream(&redis).is_empty(), "a first alarm in the stream");

    redis.kill9();
    let readyz = || daemon.get("/readyz");
    wait_until(PATIENCE, || readyz().1.contains("redis: degraded"), "Redis to be missed");
    let before = alarms_of(&daemon).len();
    wait_until(PATIENCE, || alarms_of(&daemon).len() >= before + 3, "alarms during the outage");
    let (status, text) = readyz();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("redis: degraded"), "{text}");
    let raised = alarms_of(&daemon);
    let restarted = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");

    redis.restart();
    let last = raised.last().expect("some were raised");
    let arrived = || alarms_of_stream(&redis).contains(last);
    wait_until(PATIENCE, arrived, "the alarms of the outage in the stream");
    wait_until(PATIENCE, || readyz().1.contains("redis: up"), "Redis to be back");
    daemon.stop();

    let told = alarms_of_stream(&redis);
    assert_distinct(&told);
    assert_eq!(told[..raised.len()], raised[..]);
    let late = &raised[before..];
    let entries = stream(&redis);
    for entry in entries.iter().filter(|entry| late.iter().any(|id| id == entry.id())) {
        assert!(entry.millis >= restarted.as_millis(), "{entry:?} came before the restart");
    }
    let ids: Vec<String> = entries.iter().map(|entry| entry.id().to_owned()).collect();
    assert_distinct(&ids);
}

#[test]
fn rows_of_a_database_outage_come_late_and_once() {
    let Some(ticks) = ticks() else { skip!("no recorded session") };
    let Some(mut database) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    let mut daemon = Daemon::setup()
        .args(["run", "--speed", "max", "--data"])
        .args([ticks.clone()])
        .env("DATABASE_URL", database.url())
        .start();
    daemon.wait_ready(PATIENCE);
    wait_until(PATIENCE, || trades_in(&database) > 0, "the first trades in the database");

    database.kill9();
    let down = || daemon.get("/readyz").0 == 503;
    wait_until(PATIENCE, down, "the database to be missed");
    let (_, text) = daemon.get("/readyz");
    assert!(text.contains("database: down"), "{text}");
    assert_eq!(daemon.get("/healthz").0, 200);

    database.restart();
    let stored = trades_in(&database);
    assert!(stored < TRADES, "the outage came when everything was stored");
    wait_until(PATIENCE, || daemon.get("/readyz").0 == 200, "the database to be back");
    wait_until(PATIENCE, || trades_in(&database) >= TRADES, "all trades in the database");
    daemon.stop();
    assert_eq!(trades_in(&database), TRADES);
    assert_eq!(totals_in(&database), totals_of(&ticks));
    let days = database.sql("select sum(volume) from market_prices where `interval` = '1m'");
    let shares: i64 = totals_of(&ticks).values().map(|(shares, _)| shares).sum();
    assert_eq!(days, shares.to_string(), "a trade is in no minute, or in two");
}

#[test]
fn the_same_input_again_adds_nothing_to_the_stream() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let run = |enough: &dyn Fn(&[String]) -> bool| {
        let setup = Daemon::setup().args(["run", "--market", "crash", "--speed", "150"]);
        let mut daemon = setup.env("REDIS_URL", redis.url()).start();
        daemon.wait_ready(PATIENCE);
        let mut alarms = Vec::new();
        let raised = || {
            alarms = alarms_of(&daemon);
            enough(&alarms)
        };
        wait_until(PATIENCE, raised, "alarms of the crash");
        daemon.stop();
        alarms
    };
    let first = run(&|alarms| alarms.len() >= 10);
    let told = alarms_of_stream(&redis);
    assert!(told.len() >= first.len());
    let last = told.last().expect("some were told").clone();
    // Fresh folders, another process, the same causes.
    let second = run(&|alarms| alarms.contains(&last));
    assert_eq!(second[..told.len()], told[..]);
    let ids: Vec<String> = stream(&redis).iter().map(|entry| entry.id().to_owned()).collect();
    assert_distinct(&ids);
    assert_eq!(alarms_of_stream(&redis)[..told.len()], told[..]);
}

/// `bongsu tail --count 3` into a pipe.
fn tail(dir: &TempDir, variable: &str, value: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_bongsu"))
        .args(["tail", "--count", "3"])
        .current_dir(dir.path())
        .env_clear()
        .env("HOME", dir.path())
        .env(variable, value)
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{err}", output.status);
    let event = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    out.lines().map(event).collect()
}

#[test]
fn a_dry_run_tells_everybody_and_writes_nothing() {
    let Some(redis) = RedisServer::start() else { skip!("redis-server is not installed") };
    let Some(database) = MariaDb::start() else { skip!("mariadb-server is not installed") };
    let mut daemon = Daemon::setup()
        .args(["run", "--market", "crash", "--speed", "100"])
        .env("REDIS_URL", redis.url())
        .env("DATABASE_URL", database.url())
        .env("BONGSU_WRITES", "off")
        .start();
    daemon.wait_ready(PATIENCE);
    let dir = temp_dir();
    let address = daemon.address().to_string();
    for (variable, value) in
        [("REDIS_URL", redis.url().as_str()), ("BONGSU_HTTP__LISTEN", address.as_str())]
    {
        let events = tail(&dir, variable, value);
        assert_eq!(events.len(), 3, "over {variable}");
        for event in &events {
            assert_eq!(event["specversion"], "1.0", "over {variable}: {event}");
            assert!(channel_of(event).starts_with("bongsu."));
        }
    }
    wait_until(PATIENCE, || !alarms_of_stream(&redis).is_empty(), "an alarm in the stream");
    assert_eq!(alarms_of(&daemon)[0], alarms_of_stream(&redis)[0]);
    daemon.stop();
    assert_eq!(database.sql("show tables"), "", "a dry run wrote to the database");
    let journal = daemon.dir().join("var/journal");
    let bytes: u64 = std::fs::read_dir(&journal)
        .expect("a dry run keeps its journal")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len())
        .sum();
    assert!(bytes > 100_000, "only {bytes} bytes in the journal");
    assert!(!daemon.dir().join("var/bongsu.db").exists(), "a dry run made a database");
}
