//! The simulator as an exchange in the test's own process, and what it knows for sure: what was
//! traded, what reached nobody, which calls were made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bongsu::kis::sim::{
    FaultSpec, PlayedTrade, RunningSim, SimOptions, SimSource, SimSpeed, Simulator,
};
use bongsu::market::bars::{Bar, BarKey, Interval};
use bongsu::market::{Symbol, TradeFlags};
use bongsu::store::{Database, DatabaseOptions, read};

use super::daemon::Setup;
use super::{Daemon, TempDir, temp_dir};

/// Identity of a trade: issue and cumulative volume; the test plays one day.
pub type TradeId = (Symbol, i64);

/// A minute as it was, without its value.
pub type Minute = (i64, i64, i64, i64, i64);

/// A simulator at work and the runtime it works on.
pub struct Exchange {
    runtime: tokio::runtime::Runtime,
    sim: RunningSim,
    symbols: Vec<Symbol>,
    keys: usize,
    trades: usize,
    // Holds the market's script.
    _dir: TempDir,
}

/// What is to be played.
pub struct Plan<'a> {
    /// Issues of the market.
    pub issues: usize,
    /// Event seconds a second; infinity for as fast as the daemon takes it.
    pub speed: f64,
    /// When the day ends, `HH:MM`.
    pub until: &'a str,
    /// App keys it knows.
    pub keys: usize,
    /// Faults, as on the command line.
    pub faults: &'a str,
    /// The market slides by six per cent from 09:10 to 09:20, and alarms go off.
    pub slide: bool,
    /// The clock stands still while nobody has a subscription.
    pub hold: bool,
    /// What a session has not confirmed is sent again to the next one; no limit on calls and
    /// registrations.
    pub confirm: bool,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            issues: 8,
            speed: 600.0,
            until: "10:30",
            keys: 1,
            faults: "",
            slide: false,
            hold: true,
            confirm: false,
        }
    }
}

fn app_key(number: usize) -> String {
    format!("PSkey{number}")
}

/// A flat market of `issues` invented issues.
fn script(plan: &Plan<'_>) -> String {
    let mut text = format!(
        "about: \"for a test\"\nday: \"2026-09-15\"\nspeed: 60\n\
         session: {{start: \"09:00\", end: \"{0}\"}}\nmarket_volatility: 0.5\n\
         trades_per_minute: 12\nindices:\n  - {{code: \"0001\", market: KOSPI, previous_close: 3398.12}}\n  \
         - {{code: \"1001\", market: KOSDAQ, previous_close: 912.40}}\nissues:\n",
        plan.until
    );
    for number in 1..=plan.issues {
        let market = if number == plan.issues { "KOSDAQ" } else { "KOSPI" };
        // Writing into a text cannot fail.
        let _ = writeln!(
            text,
            "  - {{code: \"{:06}\", name: \"종목{number}\", market: {market}, price: {}, volatility: 1.2, \
             beta: 1.0, volume: 500000, shares: 100000000}}",
            number * 10,
            20_000 + 1_000 * number,
        );
    }
    text.push_str("phases:\n");
    let from = if plan.slide { "09:20" } else { "09:00" };
    if plan.slide {
        text.push_str("  - {from: \"09:00\", to: \"09:10\", note: flat}\n");
        text.push_str(
            "  - {from: \"09:10\", to: \"09:20\", note: slide, drift_pct: -6, volatility: 2}\n",
        );
    }
    let _ = writeln!(text, "  - {{from: \"{from}\", to: \"{}\", note: flat}}", plan.until);
    text
}

impl Exchange {
    /// Starts one that stands still until somebody subscribes, with KIS's own limits.
    pub fn start(plan: &Plan<'_>) -> Self {
        let dir = temp_dir();
        let market = dir.path().join("market.yaml");
        std::fs::write(&market, script(plan)).expect("a script");
        let key = |number| (app_key(number).into(), "secret".into());
        let options = SimOptions {
            source: SimSource::Market { market: market.display().to_string(), day: None },
            speed: Some(match plan.speed.is_finite() {
                true => SimSpeed::Times(plan.speed),
                false => SimSpeed::Max,
            }),
            hold: plan.hold,
            confirm: plan.confirm,
            enforce_rate_limits: !plan.confirm,
            max_registrations: (!plan.confirm).then_some(41),
            app_key: Some(app_key(0).into()),
            app_secret: Some("secret".into()),
            extra_keys: (1..plan.keys).map(key).collect(),
            // PINGPONG often enough for a day that is played in seconds.
            ping_every: Duration::from_millis(500),
            faults: FaultSpec::parse_list(plan.faults).expect("faults"),
            audit: true,
            ..SimOptions::default()
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let simulator = Simulator::load(options).expect("a market");
        let trades = simulator.playback().trade_count();
        let references = simulator.playback().references();
        let symbols = references.iter().map(|reference| reference.symbol).collect();
        let sim = runtime.block_on(simulator.start()).expect("a simulator");
        Self { runtime, sim, symbols, keys: plan.keys, trades, _dir: dir }
    }

    /// The simulator.
    pub fn sim(&self) -> &RunningSim {
        &self.sim
    }

    /// Trades of the whole day.
    pub fn trade_count(&self) -> usize {
        self.trades
    }

    /// Its issues.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// A daemon that takes this for KIS, told of all keys and issues.
    pub fn daemon(&self) -> Setup {
        let symbols: Vec<&str> = self.symbols.iter().map(Symbol::as_str).collect();
        let extra: Vec<String> =
            (1..self.keys).map(|number| format!("{}:secret", app_key(number))).collect();
        // Not the collection: it comes by the wall clock, with daily bars that no trade gave.
        let jobs =
            "jobs:\n  - {name: recommendations, task: generate_recommendations, every: 30s}\n";
        let setup = Daemon::setup()
            .file("jobs.yaml", jobs)
            .args(["run", "--source", "kis"])
            .env("KIS_APP_KEY", app_key(0))
            .env("KIS_APP_SECRET", "secret")
            .env("KIS_BASE_URL", self.sim.rest_url())
            .env("KIS_WS_URL", self.sim.ws_url())
            .env("BONGSU_KIS__CALLS_PER_SECOND", "15")
            .env("BONGSU_FEED__SYMBOLS", symbols.join(","))
            .env("BONGSU_FEED__MARKET_HOURS", "frames")
            .env("BONGSU_FEED__MUTE_SECONDS", "1")
            .env("BONGSU_FEED__SILENCE_SECONDS", "3");
        if extra.is_empty() { setup } else { setup.env("BONGSU_KIS__EXTRA_KEYS", extra.join(",")) }
    }

    /// Waits until the day has been played.
    ///
    /// # Panics
    /// When it has not within `deadline`.
    pub fn wait_played(&self, deadline: Duration) {
        let finished = async { tokio::time::timeout(deadline, self.sim.finished()).await };
        assert!(self.runtime.block_on(finished).is_ok(), "the day is not over within {deadline:?}");
    }

    /// Every trade so far.
    pub fn trades(&self) -> Vec<PlayedTrade> {
        self.sim.trades_played().collect()
    }

    /// Trades that reached no session whole.
    pub fn lost(&self) -> BTreeSet<TradeId> {
        self.sim.undelivered().into_iter().map(|(symbol, _, volume)| (symbol, volume)).collect()
    }

    /// The minutes as they were.
    pub fn minutes(&self) -> BTreeMap<BarKey, Minute> {
        let mut minutes: BTreeMap<BarKey, Minute> = BTreeMap::new();
        for trade in self.trades() {
            let key = BarKey::of(trade.symbol, Interval::Minute, trade.at);
            let fresh = (trade.price, trade.price, trade.price, trade.price, 0);
            let minute = minutes.entry(key).or_insert(fresh);
            minute.1 = minute.1.max(trade.price);
            minute.2 = minute.2.min(trade.price);
            minute.3 = trade.price;
            minute.4 += trade.quantity;
        }
        minutes
    }
}

/// What the daemon in `dir` has stored.
pub struct Rows {
    /// Trades.
    pub trades: BTreeSet<TradeId>,
    /// Shares of trades that came late and filled a gap, by issue.
    pub late: BTreeMap<String, i64>,
    /// Minutes.
    pub minutes: BTreeMap<BarKey, Minute>,
    /// Volume of each day's bar.
    pub days: BTreeMap<Symbol, i64>,
    /// Rows of `etl_failures`.
    pub failures: Vec<String>,
    /// Rule, issue and evidence of the events.
    pub events: Vec<(String, Option<String>, String)>,
}

impl Rows {
    /// Reads the database of the daemon in `dir`.
    pub fn of(dir: &Path, symbols: &[Symbol]) -> Self {
        use bongsu::store::entity::{etl_failure, threat_event, trade_log};
        use sea_orm::EntityTrait;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let url = format!("sqlite://{}", dir.join("var/bongsu.db").display());
            let db = Database::connect(&url, &DatabaseOptions::default()).await.expect("database");
            let trades = trade_log::Entity::find().all(db.connection()).await.expect("trades");
            let mut late = BTreeMap::new();
            for row in trades.iter().filter(|row| row.flags & i16::from(TradeFlags::LATE) != 0) {
                *late.entry(row.symbol.clone()).or_insert(0) += row.quantity;
            }
            let trades = trades
                .into_iter()
                .map(|row| (row.symbol.parse().expect("a code"), row.cum_volume))
                .collect();
            let (mut minutes, mut days) = (BTreeMap::new(), BTreeMap::new());
            for symbol in symbols {
                let of = |interval| read::bars(&db, *symbol, interval, None, None, 10_000);
                let shape = |bar: &Bar| (bar.open, bar.high, bar.low, bar.close, bar.volume);
                for bar in of(Interval::Minute).await.expect("minutes") {
                    minutes.insert(bar.key, shape(&bar));
                }
                for bar in of(Interval::Day).await.expect("days") {
                    days.insert(*symbol, bar.volume);
                }
            }
            let failures = etl_failure::Entity::find().all(db.connection()).await.expect("rows");
            let events = threat_event::Entity::find().all(db.connection()).await.expect("rows");
            Self {
                trades,
                late,
                minutes,
                days,
                failures: failures.into_iter().map(|row| row.reason).collect(),
                events: events
                    .into_iter()
                    .map(|row| (row.rule, row.symbol, row.evidence))
                    .collect(),
            }
        })
    }
}
