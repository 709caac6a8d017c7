//! The settings as the rest of the program reads them: one struct a section, each value of the
//! right form and within its limits. Field names are key names; units are in the names.

mod llm;

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

pub use self::llm::{LlmSettings, PromptLanguage};
use super::service_url::ServiceUrl;
use super::value::Speed;
use crate::market::{SessionDay, Symbol};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The word that stands for it in settings.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What `word` stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

choice! {
    /// Where the feed comes from.
    FeedSource {
        /// The built-in simulator.
        Sim = "sim",
        /// The KIS Open API.
        Kis = "kis",
    }
}

choice! {
    /// The two environments of KIS.
    KisEnv {
        /// 실전투자.
        Real = "real",
        /// 모의투자.
        Mock = "mock",
    }
}

choice! {
    /// What a journaled frame survives.
    Durability {
        /// The death of the process.
        Process = "process",
        /// A power cut too, but for the last [`JournalSettings::group_ms`].
        Group = "group",
        /// A power cut too.
        Power = "power",
    }
}

choice! {
    /// Whether a start goes on where the last run ended.
    Recover {
        /// With a feed that goes on by itself: not with the built-in simulator.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never: each start begins from nothing.
        Off = "off",
    }
}

choice! {
    /// The channel layer of the Django back end.
    ChannelLayer {
        /// None.
        Off = "off",
        /// `channels_redis.core`.
        Core = "core",
        /// `channels_redis.pubsub`.
        PubSub = "pubsub",
    }
}

choice! {
    /// The form of the log.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// `feed`: what is watched, and from where.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// Where the feed comes from.
    pub source: FeedSource,
    /// Issues to watch; empty: all the simulator plays.
    pub symbols: Vec<Symbol>,
    /// A connection without any frame for so long is dead.
    pub silence_seconds: u32,
    /// A busy issue that is silent for so long is looked after.
    pub mute_seconds: u32,
    /// Whether the times in the feed, and not the calendar, say when the market trades.
    pub hours_of_frames: bool,
    /// Order books too, where registrations are left.
    pub books: bool,
    /// Volatility interruptions of the issues too, where registrations are left.
    pub interruptions: bool,
    /// Registrations in one WebSocket session.
    pub max_registrations: u32,
}

/// Which issues are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectUniverse {
    /// Those of `collect.symbols`, or else of the feed.
    Symbols,
    /// So many with the largest market value.
    MarketCap(usize),
    /// So many with the largest average volume.
    Volume(usize),
}

impl CollectUniverse {
    /// What `word` stands for: `symbols`, `market_cap:N` or `volume:N`, N from 1 to 30.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let count = |text: &str| text.parse().ok().filter(|count| (1..=30).contains(count));
        match word.split_once(':') {
            None if word == "symbols" => Some(Self::Symbols),
            Some(("market_cap", text)) => count(text).map(Self::MarketCap),
            Some(("volume", text)) => count(text).map(Self::Volume),
            _ => None,
        }
    }
}

/// `collect`: what is asked of KIS besides the live feed.
#[derive(Debug, Clone)]
pub struct CollectSettings {
    /// Which issues.
    pub universe: CollectUniverse,
    /// Issues; empty: those of the feed.
    pub symbols: Vec<Symbol>,
}

/// `kis`: the KIS Open API account.
#[derive(Debug, Clone)]
pub struct KisSettings {
    /// App key; set together with the secret, or not at all.
    pub app_key: Option<SecretString>,
    /// App secret.
    pub app_secret: Option<SecretString>,
    /// Further app keys and their secrets: a session each.
    pub extra_keys: Vec<(SecretString, SecretString)>,
    /// Folder of symbol master files.
    pub masters: Option<PathBuf>,
    /// Account as `12345678-01`.
    pub account: Option<SecretString>,
    /// HTS login id.
    pub hts_id: Option<SecretString>,
    /// Environment.
    pub env: KisEnv,
    /// REST address.
    pub base_url: ServiceUrl,
    /// WebSocket address.
    pub ws_url: ServiceUrl,
    /// `User-Agent` of REST requests; `None`: Bongsu's own.
    pub user_agent: Option<String>,
    /// REST calls a second to start with.
    pub calls_per_second: f64,
}

/// `sim`: the built-in simulator.
#[derive(Debug, Clone)]
pub struct SimSettings {
    /// Parquet file to play instead of a script.
    pub data: Option<PathBuf>,
    /// Day to play.
    pub day: Option<SessionDay>,
    /// Parquet file of index bars.
    pub indices: Option<PathBuf>,
    /// Script to play.
    pub market: String,
    /// Speed; `None`: what the script or file calls for.
    pub speed: Option<Speed>,
    /// Seed of everything invented.
    pub seed: u64,
    /// Only the so many most traded issues.
    pub symbols: Option<u32>,
    /// Trades of one issue that share a frame, at most.
    pub records_per_frame: u32,
    /// Fields of a trade: 46 or 47.
    pub trade_fields: u32,
    /// Fields of an order book: 59, 62 or 63.
    pub book_fields: u32,
    /// Registrations in one session; `None` is without limit.
    pub max_registrations: Option<u32>,
    /// Calls beyond KIS's limits are refused.
    pub enforce_limits: bool,
    /// What goes wrong, separated by `;`; empty: nothing.
    pub fault: String,
}

/// `journal`: the record of raw frames.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// Size at which a segment is sealed, MiB.
    pub segment_mib: u64,
    /// What a stored frame survives.
    pub durability: Durability,
    /// Time between two syncs, ms.
    pub group_ms: u64,
    /// Whether a start goes on where the last run ended.
    pub recover: Recover,
    /// Time between two checkpoints, s; 0 for none.
    pub checkpoint_seconds: u64,
    /// Above this, segments go that nobody needs, GiB.
    pub max_gib: f64,
    /// What has to stay free on the disk, MiB.
    pub min_free_mib: u64,
    /// Segments go that are older and nobody needs, hours.
    pub keep_hours: Option<u64>,
}

/// `supervision`: restarts.
#[derive(Debug, Clone)]
pub struct SupervisionSettings {
    /// So many failures …
    pub max_restarts: u32,
    /// … within so many seconds make a supervisor give up.
    pub within_seconds: u64,
    /// First wait before a restart, ms.
    pub backoff_initial_ms: u64,
    /// Longest wait, ms.
    pub backoff_max_ms: u64,
    /// A busy part without progress for so long hangs.
    pub hang_seconds: u64,
    /// Time between two looks, ms.
    pub heartbeat_ms: u64,
    /// Threads lost to hung parts before the process gives up.
    pub max_leaked_threads: u32,
}

/// `pipeline`: batches and inboxes.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    /// Frames in one batch, at most.
    pub batch_frames: usize,
}

/// `risk`: thresholds of the detectors.
#[derive(Debug, Clone)]
pub struct RiskSettings {
    /// Fall of an issue that is a crash, %.
    pub symbol_crash_pct: f64,
    /// Fall of an index that is a market crash, %.
    pub market_crash_index_pct: f64,
    /// Share of issues in free fall that is a market crash, %.
    pub market_breadth_pct: f64,
    /// Volatility against its norm.
    pub volatility_ratio: f64,
    /// Volume against its norm.
    pub volume_surge_ratio: f64,
    /// False alarms of one issue a day of the jump test.
    pub jump_false_alarms: f64,
    /// Days to a false alarm of the slide test.
    pub slide_days: f64,
    /// Spread against its norm.
    pub liquidity_ratio: f64,
    /// Silence of a traded issue.
    pub stale_seconds: u32,
    /// A rule rests so long after it fired.
    pub cooldown_seconds: u32,
}

/// `redis`: outward events.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Address; `None`: events stay in the process.
    pub url: Option<ServiceUrl>,
    /// Events it keeps.
    pub stream_maxlen: u64,
}

/// `tasks`: the queue, and the worker at it.
#[derive(Debug, Clone)]
pub struct TaskQueueSettings {
    /// The queue.
    pub queue: String,
    /// The worker's name; without a host this machine's is added.
    pub node: String,
    /// Tasks that run at a time.
    pub concurrency: usize,
    /// Messages taken ahead, at most.
    pub prefetch: usize,
    /// Celery's visibility time-out, s.
    pub visibility_timeout_seconds: u64,
    /// Silence after which a worker is dead, s.
    pub lost_after_seconds: u64,
    /// Life of a result, s; 0: for ever.
    pub result_expires_seconds: u64,
    /// Whether STARTED is stored.
    pub track_started: bool,
    /// Whether task events are sent unasked.
    pub events: bool,
    /// A larger message is refused, MiB.
    pub max_message_mib: usize,
}

/// `database`: rows.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Address, `mysql:` or `sqlite:`.
    pub url: ServiceUrl,
    /// Connections, at most.
    pub pool: u32,
    /// Rows in one transaction, at most.
    pub batch_rows: usize,
    /// Rows wait so long for more, ms.
    pub flush_ms: u64,
    /// A transaction may take so long, ms.
    pub timeout_ms: u64,
    /// Rows on disk while the database is away, at most, MiB.
    pub spill_mib: u64,
}

/// `objects`: the object store.
#[derive(Debug, Clone)]
pub struct ObjectsSettings {
    /// Address; `None`: a folder of this machine.
    pub endpoint: Option<ServiceUrl>,
    /// Access key.
    pub access_key: Option<SecretString>,
    /// Secret key.
    pub secret_key: Option<SecretString>,
    /// Region.
    pub region: String,
    /// Buckets in the path.
    pub path_style: bool,
    /// PEM file of the authority behind its certificate.
    pub ca_file: Option<PathBuf>,
    /// Put before the name of every bucket.
    pub bucket_prefix: Option<String>,
    /// A call may take so long.
    pub timeout_seconds: u64,
}

/// `archive`: the journal as Parquet.
#[derive(Debug, Clone)]
pub struct ArchiveSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Days after which the service removes archived files; `None`: never.
    pub retention_days: Option<u32>,
}

/// `schedule`: the scheduler.
#[derive(Debug, Clone)]
pub struct ScheduleSettings {
    /// Seconds the lease of the scheduler is taken for.
    pub lease_seconds: u64,
}

/// `models`: fitted models.
#[derive(Debug, Clone)]
pub struct ModelsSettings {
    /// Seconds between two looks at the registry.
    pub watch_seconds: u64,
}

/// `advice`: recommendations and plans.
#[derive(Debug, Clone)]
pub struct AdviceSettings {
    /// Issues recommended in a round.
    pub picks: usize,
    /// Position that plans assume, won.
    pub capital: i64,
    /// Scenario file whose holdings are defended.
    pub portfolio: Option<PathBuf>,
    /// Files of daily bars for scenarios; empty: the database's.
    pub history: Vec<PathBuf>,
    /// Files of index series that belong to them.
    pub indices: Vec<PathBuf>,
    /// Scenarios computed at once.
    pub scenarios_at_once: usize,
    /// An answer to a scenario may take so long.
    pub scenario_seconds: u64,
}

/// `http`: the server.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Address.
    pub listen: SocketAddr,
    /// Open event streams, at most.
    pub max_streams: usize,
}

/// `api`: access to the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// `scope:token` pairs.
    pub tokens: Option<SecretString>,
}

/// `channels`: events for a group of Django Channels.
#[derive(Debug, Clone)]
pub struct ChannelsSettings {
    /// The layer; off: nothing is sent.
    pub layer: ChannelLayer,
    /// The layer's hosts, in its order; not empty when there is a layer.
    pub hosts: Vec<ServiceUrl>,
    /// The group.
    pub group: String,
    /// The layer's prefix.
    pub prefix: String,
    /// Older events are dropped, s.
    pub expiry_seconds: u64,
    /// Members who joined longer ago leave the group, s.
    pub group_expiry_seconds: u64,
    /// Unread messages of one process.
    pub capacity: u64,
    /// JSON in place of msgpack.
    pub json: bool,
    /// The first of the layer's keys.
    pub encryption_key: Option<SecretString>,
    /// A larger event is not sent, KiB.
    pub max_event_kib: usize,
}

/// `tasks`: limits and retries of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSettings {
    /// The task.
    pub name: &'static str,
    /// Then it is asked to stop.
    pub soft_limit_seconds: u64,
    /// Then its caller has its answer.
    pub hard_limit_seconds: u64,
    /// Retries at most.
    pub max_retries: u32,
    /// Pause before the first.
    pub retry_backoff_seconds: u64,
    /// Longest pause.
    pub retry_backoff_max_seconds: u64,
    /// Calls in a time, as `10/m`.
    pub rate_limit: Option<String>,
}

/// `log`: what is said on stderr.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
}

/// Settings that are accepted and checked, but that nothing uses yet.
#[derive(Debug, Clone)]
pub struct ReservedSettings {
    /// `notify.slack_webhook_url`.
    pub slack_webhook_url: Option<SecretString>,
    /// `notify.smtp_url`.
    pub smtp_url: Option<SecretString>,
    /// `notify.email_to`.
    pub email_to: Option<String>,
    /// `notify.email_from`.
    pub email_from: Option<String>,
    /// `vault.address`.
    pub vault_address: Option<ServiceUrl>,
    /// `vault.token`.
    pub vault_token: Option<SecretString>,
    /// `telemetry.otlp_endpoint`.
    pub otlp_endpoint: Option<ServiceUrl>,
}
