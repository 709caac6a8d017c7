//! From layers to [`Settings`]: merge, check each value, derive what follows, check together, type.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::keys::{KEYS, Key, find};
use super::kis_devlp;
use super::layers::{self, Layer, Raw};
use super::problem::{Origin, Problem, SettingsErrors};
use super::settings::*;
use super::value::{Form, ServiceUrl, Speed, Value};
use crate::market::{SessionDay, Symbol};

/// Where settings are read from. Everything is passed in, so that a test needs no process of its
/// own.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folder of `config/bongsu.toml` and `.env`.
    pub directory: PathBuf,
    /// The file of `--config`, which must exist.
    pub config: Option<PathBuf>,
    /// The environment; `HOME` in it leads to `KIS/config/kis_devlp.yaml`.
    pub environment: Vec<(OsString, OsString)>,
    /// Dotted keys and texts of the command line.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Those of this process: its working directory and environment.
    #[must_use]
    pub fn of_process(config: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        Self {
            directory: PathBuf::new(),
            config,
            environment: std::env::vars_os().collect(),
            flags,
        }
    }
}

/// A setting as it is in force, for `config show`.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Its row of the table.
    pub key: &'static Key,
    /// The value; `None`: not set. It prints without secrets.
    pub value: Option<Value>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Every setting, valid.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of everything kept on this machine.
    pub data_dir: PathBuf,
    /// Whether database, objects and notifications are written to.
    pub writes: bool,
    /// What is watched.
    pub feed: FeedSettings,
    /// The KIS account.
    pub kis: KisSettings,
    /// The simulator.
    pub sim: SimSettings,
    /// The journal.
    pub journal: JournalSettings,
    /// Restarts.
    pub supervision: SupervisionSettings,
    /// Batches and inboxes.
    pub pipeline: PipelineSettings,
    /// Detectors.
    pub risk: RiskSettings,
    /// Outward events.
    pub redis: RedisSettings,
    /// Rows.
    pub database: DatabaseSettings,
    /// Object store.
    pub objects: ObjectsSettings,
    /// Language model.
    pub llm: LlmSettings,
    /// Advice.
    pub advice: AdviceSettings,
    /// HTTP server.
    pub http: HttpSettings,
    /// Log.
    pub log: LogSettings,
    /// Accepted, not used yet.
    pub reserved: ReservedSettings,
    effective: Vec<Effective>,
}

impl Settings {
    /// Reads and checks the settings of `sources`.
    ///
    /// # Errors
    /// [`SettingsErrors`] with everything that is wrong: files that cannot be read, unknown keys
    /// and variables, values of the wrong form, values that do not go together.
    pub fn load(sources: &Sources) -> Result<Self, SettingsErrors> {
        let mut problems = Vec::new();
        let raw = merge(sources, &mut problems);
        let mut values = check(raw, &mut problems);
        derive(&mut values);
        check_together(&values, &mut problems);
        match SettingsErrors::of(problems) {
            Some(errors) => Err(errors),
            None => Ok(build(&values)),
        }
    }

    /// Every setting with its value in force and its origin, in the order of the table.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Settings that somebody set although nothing uses them yet.
    pub fn unused(&self) -> impl Iterator<Item = &Effective> {
        self.effective
            .iter()
            .filter(|row| row.key.reserved && row.value.is_some() && row.origin != Origin::Default)
    }
}

/// The winning text of every key that anybody set.
fn merge(sources: &Sources, problems: &mut Vec<Problem>) -> Layer {
    let default_file = || sources.directory.join("config").join("bongsu.toml");
    let file = match &sources.config {
        Some(path) => layers::file(path, true, problems),
        None => layers::file(&default_file(), false, problems),
    };
    let mut merged = file;
    merged.extend(layers::dotenv(&sources.directory.join(".env"), problems));
    merged.extend(layers::environment(sources.environment.iter().cloned(), problems));
    for (path, text) in &sources.flags {
        let key = find(path);
        let name = key.and_then(|key| key.flag).unwrap_or(path).to_owned();
        let origin = Origin::Flag { name };
        match key {
            Some(key) => {
                let raw = Raw { text: text.clone(), form: Form::Text, origin };
                merged.insert(key.path, raw);
            }
            None => problems.push(layers::unknown_key(path, origin)),
        }
    }
    merge_devlp(sources, &mut merged, problems);
    merged
}

/// Fills what nobody else set from a `kis_devlp.yaml`. Key, secret and account belong together:
/// when one of the two first is set elsewhere, the file gives none of the three.
fn merge_devlp(sources: &Sources, merged: &mut Layer, problems: &mut Vec<Problem>) {
    let home = sources.environment.iter().find(|(name, _)| name == "HOME");
    let home = home.map(|(_, home)| Path::new(home)).filter(|home| home.is_absolute());
    let path = match (merged.get("kis.devlp"), home) {
        (Some(raw), home) => match (raw.text.trim().strip_prefix("~/"), home) {
            // No shell has replaced the ~ of a file's or a .env's value.
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(raw.text.trim()),
        },
        (None, Some(home)) => {
            let path = home.join("KIS").join("config").join("kis_devlp.yaml");
            if !path.is_file() {
                return;
            }
            path
        }
        (None, None) => return,
    };
    let env = merged.get("kis.env").map(|raw| raw.text.trim().to_owned());
    let rows = match kis_devlp::read(&path, env.as_deref()) {
        Ok(rows) => rows,
        Err(problem) => return problems.push(problem),
    };
    let keys_elsewhere =
        merged.contains_key("kis.app_key") || merged.contains_key("kis.app_secret");
    for (setting, key, text) in rows {
        let of_the_account = matches!(setting, "kis.app_key" | "kis.app_secret" | "kis.account");
        if !(of_the_account && keys_elsewhere) {
            let origin = Origin::KisDevlp { path: path.clone(), key };
            merged.entry(setting).or_insert(Raw { text, form: Form::Text, origin });
        }
    }
}

/// Valid values by dotted key. A key that is not here is not set, or wrong.
type Values = BTreeMap<&'static str, (Value, Origin)>;

fn check(mut raw: Layer, problems: &mut Vec<Problem>) -> Values {
    let mut values = Values::new();
    for key in KEYS {
        let raw = match (raw.remove(key.path), key.default) {
            (Some(raw), _) => raw,
            (None, Some(text)) => {
                Raw { text: text.into(), form: Form::Text, origin: Origin::Default }
            }
            (None, None) => continue,
        };
        match key.kind.parse(&raw.text, raw.form, key.secret) {
            Some(value) => {
                values.insert(key.path, (value, raw.origin));
            }
            None => problems.push(Problem::BadValue {
                key: key.path.into(),
                value: key.kind.shown(&raw.text, key.secret),
                expected: key.kind.expected(),
                origin: raw.origin,
            }),
        }
    }
    values
}

/// Fills what follows from other settings. Nothing is derived from a value that is wrong.
fn derive(values: &mut Values) {
    if !values.contains_key("feed.source") {
        let keys = values.contains_key("kis.app_key") && values.contains_key("kis.app_secret");
        let (source, why) = if keys {
            ("kis", "because KIS keys are set")
        } else {
            ("sim", "because no KIS keys are set")
        };
        set_derived(values, "feed.source", source, why);
    }
    // KIS has hosts and a pace of its own for each environment.
    let (rest, socket, calls, why) = if text(values, "kis.env") == Some("mock") {
        (
            "https://openapivts.koreainvestment.com:29443",
            "ws://ops.koreainvestment.com:31000",
            "1",
            "because kis.env is mock",
        )
    } else {
        (
            "https://openapi.koreainvestment.com:9443",
            "ws://ops.koreainvestment.com:21000",
            "8",
            "because kis.env is real",
        )
    };
    set_derived(values, "kis.base_url", rest, why);
    set_derived(values, "kis.ws_url", socket, why);
    set_derived(values, "kis.calls_per_second", calls, why);
    if let Some(url) = text(values, "data_dir").map(sqlite_url) {
        set_derived(values, "database.url", &url, "in data_dir");
    }
}

fn set_derived(values: &mut Values, path: &'static str, text: &str, why: &str) {
    let Some(key) = find(path) else { return };
    if let Some(value) = key.kind.parse(text, Form::Text, key.secret) {
        values.entry(path).or_insert((value, Origin::Derived(why.into())));
    }
}

fn text<'a>(values: &'a Values, path: &str) -> Option<&'a str> {
    match values.get(path) {
        Some((Value::Text(text), _)) => Some(text),
        _ => None,
    }
}

/// The database file in `data_dir`, with everything escaped that means something in a URL.
fn sqlite_url(data_dir: &str) -> String {
    let mut url = String::from("sqlite://");
    for byte in format!("{}/bongsu.db", data_dir.trim_end_matches('/')).bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url.push_str("?mode=rwc");
    url
}

/// Values that are right each by itself, but not together.
fn check_together(values: &Values, problems: &mut Vec<Problem>) {
    // A value that is there but wrong has been reported already: it is not missing.
    let wrong: BTreeSet<String> = problems
        .iter()
        .filter_map(|problem| match problem {
            Problem::BadValue { key, .. } => Some(key.clone()),
            _ => None,
        })
        .collect();
    let set = |key: &str| values.contains_key(key) || wrong.contains(key);
    let mut conflict = |key: &str, message: String| {
        let origin = values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        problems.push(Problem::Conflict { key: key.into(), message, origin });
    };
    match (set("kis.app_key"), set("kis.app_secret")) {
        (true, false) => conflict(
            "kis.app_key",
            "set without kis.app_secret: set both (KIS_APP_KEY and KIS_APP_SECRET) or neither"
                .into(),
        ),
        (false, true) => conflict(
            "kis.app_secret",
            "set without kis.app_key: set both (KIS_APP_KEY and KIS_APP_SECRET) or neither".into(),
        ),
        (false, false) if text(values, "feed.source") == Some("kis") => conflict(
            "feed.source",
            "kis needs keys: set KIS_APP_KEY and KIS_APP_SECRET, or name a kis_devlp.yaml in \
             kis.devlp; or choose sim"
                .into(),
        ),
        _ => {}
    }
    if set("sim.indices") && !set("sim.data") {
        conflict(
            "sim.indices",
            "used only beside sim.data: set that too (--data F.parquet)".into(),
        );
    }
    let number = |key: &str| match values.get(key) {
        Some((Value::Integer(number), _)) => Some(*number),
        _ => None,
    };
    let initial = number("supervision.backoff_initial_ms");
    if let (Some(initial), Some(longest)) = (initial, number("supervision.backoff_max_ms"))
        && initial > longest
    {
        conflict(
            "supervision.backoff_max_ms",
            format!(
                "{longest} is less than supervision.backoff_initial_ms = {initial}: expected at \
                 least as much"
            ),
        );
    }
    let heartbeat = number("supervision.heartbeat_ms");
    if let (Some(beat), Some(hang)) = (heartbeat, number("supervision.hang_seconds"))
        && beat.saturating_mul(2) > hang.saturating_mul(1_000)
    {
        conflict(
            "supervision.heartbeat_ms",
            format!(
                "{beat} ms is more than half of supervision.hang_seconds = {hang}: a part would be \
                 judged by a single look"
            ),
        );
    }
}

/// Reads typed values out of [`Values`]. That a key is there, and of which form it is, follows
/// from its row of the table: a mismatch is a bug of this file, which the tests find because they
/// build every field.
struct Typed<'a>(&'a Values);

impl Typed<'_> {
    fn get(&self, path: &'static str) -> Option<&Value> {
        debug_assert!(find(path).is_some(), "{path} is not in the table of keys");
        self.0.get(path).map(|(value, _)| value)
    }

    fn mismatch(&self, path: &str, form: &str) -> ! {
        unreachable!("the table of keys does not make {path} {form}")
    }

    fn optional_text(&self, path: &'static str) -> Option<String> {
        match self.get(path) {
            None => None,
            Some(Value::Text(text)) => Some(text.clone()),
            Some(_) => self.mismatch(path, "a text"),
        }
    }

    fn text(&self, path: &'static str) -> String {
        self.optional_text(path).unwrap_or_else(|| self.mismatch(path, "a text with a default"))
    }

    fn choice<T>(&self, path: &'static str, from_word: fn(&str) -> Option<T>) -> T {
        from_word(&self.text(path)).unwrap_or_else(|| self.mismatch(path, "one of these words"))
    }

    fn path(&self, path: &'static str) -> Option<PathBuf> {
        self.optional_text(path).map(PathBuf::from)
    }

    fn secret(&self, path: &'static str) -> Option<SecretString> {
        match self.get(path) {
            None => None,
            Some(Value::Secret(secret)) => Some(secret.clone()),
            Some(_) => self.mismatch(path, "a secret"),
        }
    }

    fn switch(&self, path: &'static str) -> bool {
        match self.get(path) {
            Some(Value::Switch(on)) => *on,
            _ => self.mismatch(path, "a switch"),
        }
    }

    fn optional_integer<T: TryFrom<u64>>(&self, path: &'static str) -> Option<T> {
        match self.get(path) {
            None => None,
            Some(Value::Integer(number)) => Some(
                T::try_from(*number)
                    .unwrap_or_else(|_| self.mismatch(path, "small enough for its field")),
            ),
            Some(_) => self.mismatch(path, "a whole number"),
        }
    }

    fn integer<T: TryFrom<u64>>(&self, path: &'static str) -> T {
        self.optional_integer(path)
            .unwrap_or_else(|| self.mismatch(path, "a whole number with a default"))
    }

    fn number(&self, path: &'static str) -> f64 {
        match self.get(path) {
            Some(Value::Number(number)) => *number,
            _ => self.mismatch(path, "a number"),
        }
    }

    fn optional_url(&self, path: &'static str) -> Option<ServiceUrl> {
        match self.get(path) {
            None => None,
            Some(Value::Url(url)) => Some(url.clone()),
            Some(_) => self.mismatch(path, "a URL"),
        }
    }

    fn url(&self, path: &'static str) -> ServiceUrl {
        self.optional_url(path).unwrap_or_else(|| self.mismatch(path, "a URL with a default"))
    }

    fn listen(&self, path: &'static str) -> SocketAddr {
        match self.get(path) {
            Some(Value::Listen(address)) => *address,
            _ => self.mismatch(path, "an address"),
        }
    }

    fn symbols(&self, path: &'static str) -> Vec<Symbol> {
        match self.get(path) {
            Some(Value::Symbols(symbols)) => symbols.clone(),
            _ => self.mismatch(path, "a list of codes"),
        }
    }

    fn day(&self, path: &'static str) -> Option<SessionDay> {
        match self.get(path) {
            None => None,
            Some(Value::Day(day)) => Some(*day),
            Some(_) => self.mismatch(path, "a day"),
        }
    }

    fn speed(&self, path: &'static str) -> Option<Speed> {
        match self.get(path) {
            None => None,
            Some(Value::Speed(speed)) => Some(*speed),
            Some(_) => self.mismatch(path, "a speed"),
        }
    }
}

fn build(values: &Values) -> Settings {
    let v = Typed(values);
    Settings {
        data_dir: PathBuf::from(v.text("data_dir")),
        writes: v.switch("writes"),
        feed: FeedSettings {
            source: v.choice("feed.source", FeedSource::from_word),
            symbols: v.symbols("feed.symbols"),
            silence_seconds: v.integer("feed.silence_seconds"),
            books: v.switch("feed.books"),
            max_registrations: v.integer("feed.max_registrations"),
        },
        kis: KisSettings {
            app_key: v.secret("kis.app_key"),
            app_secret: v.secret("kis.app_secret"),
            account: v.secret("kis.account"),
            env: v.choice("kis.env", KisEnv::from_word),
            base_url: v.url("kis.base_url"),
            ws_url: v.url("kis.ws_url"),
            calls_per_second: v.number("kis.calls_per_second"),
        },
        sim: SimSettings {
            data: v.path("sim.data"),
            day: v.day("sim.day"),
            indices: v.path("sim.indices"),
            market: v.text("sim.market"),
            speed: v.speed("sim.speed"),
            seed: v.integer("sim.seed"),
            symbols: v.optional_integer("sim.symbols"),
            records_per_frame: v.integer("sim.records_per_frame"),
            trade_fields: v.integer("sim.trade_fields"),
            book_fields: v.integer("sim.book_fields"),
        },
        journal: JournalSettings {
            segment_mib: v.integer("journal.segment_mib"),
            durability: v.choice("journal.durability", Durability::from_word),
            group_ms: v.integer("journal.group_ms"),
        },
        supervision: SupervisionSettings {
            max_restarts: v.integer("supervision.max_restarts"),
            within_seconds: v.integer("supervision.within_seconds"),
            backoff_initial_ms: v.integer("supervision.backoff_initial_ms"),
            backoff_max_ms: v.integer("supervision.backoff_max_ms"),
            hang_seconds: v.integer("supervision.hang_seconds"),
            heartbeat_ms: v.integer("supervision.heartbeat_ms"),
            max_leaked_threads: v.integer("supervision.max_leaked_threads"),
        },
        pipeline: PipelineSettings { batch_frames: v.integer("pipeline.batch_frames") },
        risk: RiskSettings {
            symbol_crash_pct: v.number("risk.symbol_crash_pct"),
            market_crash_index_pct: v.number("risk.market_crash_index_pct"),
            market_breadth_pct: v.number("risk.market_breadth_pct"),
            volatility_ratio: v.number("risk.volatility_ratio"),
            volume_surge_ratio: v.number("risk.volume_surge_ratio"),
            stale_seconds: v.integer("risk.stale_seconds"),
            cooldown_seconds: v.integer("risk.cooldown_seconds"),
        },
        redis: RedisSettings {
            url: v.optional_url("redis.url"),
            stream_maxlen: v.integer("redis.stream_maxlen"),
        },
        database: DatabaseSettings {
            url: v.url("database.url"),
            pool: v.integer("database.pool"),
            batch_rows: v.integer("database.batch_rows"),
            flush_ms: v.integer("database.flush_ms"),
        },
        objects: ObjectsSettings {
            endpoint: v.optional_url("objects.endpoint"),
            access_key: v.secret("objects.access_key"),
            secret_key: v.secret("objects.secret_key"),
            region: v.text("objects.region"),
        },
        llm: LlmSettings {
            base_url: v.optional_url("llm.base_url"),
            api_key: v.secret("llm.api_key"),
            model: v.text("llm.model"),
            timeout_seconds: v.integer("llm.timeout_seconds"),
            max_tokens: v.integer("llm.max_tokens"),
        },
        advice: AdviceSettings {
            every_seconds: v.integer("advice.every_seconds"),
            picks: v.integer("advice.picks"),
            capital: v.integer("advice.capital"),
        },
        http: HttpSettings {
            listen: v.listen("http.listen"),
            max_streams: v.integer("http.max_streams"),
        },
        log: LogSettings {
            level: v.text("log.level"),
            format: v.choice("log.format", LogFormat::from_word),
        },
        reserved: ReservedSettings {
            api_tokens: v.secret("api.tokens"),
            channel_layer: v.choice("channels.layer", ChannelLayer::from_word),
            slack_webhook_url: v.secret("notify.slack_webhook_url"),
            smtp_url: v.secret("notify.smtp_url"),
            email_to: v.optional_text("notify.email_to"),
            email_from: v.optional_text("notify.email_from"),
            vault_address: v.optional_url("vault.address"),
            vault_token: v.secret("vault.token"),
            otlp_endpoint: v.optional_url("telemetry.otlp_endpoint"),
        },
        effective: effective(values),
    }
}

fn effective(values: &Values) -> Vec<Effective> {
    KEYS.iter()
        .map(|key| match values.get(key.path) {
            Some((value, origin)) => {
                Effective { key, value: Some(value.clone()), origin: origin.clone() }
            }
            None => Effective { key, value: None, origin: Origin::Default },
        })
        .collect()
}
