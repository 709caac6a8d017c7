//! From layers to [`Settings`]: merge, check each value, derive what follows, check together; then
//! [`super::build`] types them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::build;
use super::keys::{KEYS, Key, find};
use super::kis_devlp;
use super::layers::{self, Layer, Raw};
use super::problem::{Origin, Problem, SettingsErrors};
use super::settings::*;
use super::task_keys::TASKS;
use super::value::{Form, Value};

/// Where settings are read from. Everything is passed in, so that a test needs no process of its
/// own. There is no `Debug`: the environment holds secrets.
#[derive(Clone, Default)]
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
    /// What is asked of KIS besides.
    pub collect: CollectSettings,
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
    /// The journal as Parquet.
    pub archive: ArchiveSettings,
    /// Fitted models.
    pub models: ModelsSettings,
    /// The scheduler.
    pub schedule: ScheduleSettings,
    /// Language model.
    pub llm: LlmSettings,
    /// Advice.
    pub advice: AdviceSettings,
    /// HTTP server.
    pub http: HttpSettings,
    /// Access to the API.
    pub api: ApiSettings,
    /// Django Channels.
    pub channels: ChannelsSettings,
    /// Limits and retries of each task.
    pub task_limits: Vec<TaskSettings>,
    /// The task queue, and the worker at it.
    pub tasks: TaskQueueSettings,
    /// Log.
    pub log: LogSettings,
    /// Accepted, not used yet.
    pub reserved: ReservedSettings,
    pub(super) effective: Vec<Effective>,
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
            None => Ok(build::settings(&values, effective(&values))),
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
    let typed = |path: &str| sources.flags.iter().any(|(key, _)| key == path);
    if typed("sim.market") && !typed("sim.data") {
        // Who types a script's name wants to see that script, not the file of a lower layer.
        merged.remove("sim.data");
        merged.remove("sim.indices");
    }
    merge_devlp(sources, &mut merged, problems);
    merged
}

/// Fills what nobody else set from a `kis_devlp.yaml`. Key, secret, account and HTS id belong
/// together: when one of the two first is set elsewhere, the file gives none of the four.
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
        Err(problem) => return problems.push(*problem),
    };
    let keys_elsewhere =
        merged.contains_key("kis.app_key") || merged.contains_key("kis.app_secret");
    for (setting, key, text) in rows {
        let of_the_account =
            matches!(setting, "kis.app_key" | "kis.app_secret" | "kis.account" | "kis.hts_id");
        if !(of_the_account && keys_elsewhere) {
            let origin = Origin::KisDevlp { path: path.clone(), key };
            merged.entry(setting).or_insert(Raw { text, form: Form::Text, origin });
        }
    }
}

/// Valid values by dotted key. A key that is not here is not set, or wrong.
pub(super) type Values = BTreeMap<&'static str, (Value, Origin)>;

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
            "0.9",
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
    let has_layer = text(values, "channels.layer").is_some_and(|layer| layer != "off");
    if let (true, Some((Value::Url(url), _))) = (has_layer, values.get("redis.url")) {
        let hosts = Value::Urls(vec![url.clone()]);
        let origin = Origin::Derived("as redis.url".into());
        values.entry("channels.hosts").or_insert((hosts, origin));
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
    if set("objects.endpoint") && !(set("objects.access_key") && set("objects.secret_key")) {
        conflict(
            "objects.endpoint",
            "set without both keys: set MINIO_ACCESS_KEY and MINIO_SECRET_KEY too, or leave it out \
             to use a folder"
                .into(),
        );
    }
    let has_layer = text(values, "channels.layer").is_some_and(|layer| layer != "off");
    if has_layer && !set("channels.hosts") && !set("redis.url") {
        conflict(
            "channels.layer",
            "a channel layer is on Redis: set channels.hosts, or REDIS_URL; or choose off".into(),
        );
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
    for task in TASKS {
        if let (Some(soft), Some(hard)) = (number(task.soft_limit), number(task.hard_limit))
            && soft > hard
        {
            conflict(
                task.soft_limit,
                format!(
                    "{soft} is more than {} = {hard}: expected at most as much",
                    task.hard_limit
                ),
            );
        }
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
