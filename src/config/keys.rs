//! Every setting there is, in one table.
//!
//! The table drives everything that speaks of settings: which keys and variables are known, how a
//! value is checked, `config show`, and the shipped `config/bongsu.toml`. A new setting is a row
//! here and a field in [`super::settings`].

use std::fmt;

use super::task_keys::TASK_KEYS;
use super::value::Kind;

/// One setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// Dotted key: `section.key`, or `key` at the top level.
    pub path: &'static str,
    /// Its form.
    pub kind: Kind,
    /// What it is for, with its unit.
    pub help: &'static str,
    /// Built-in value as text; `None`: not set unless somebody sets it, or derived.
    pub default: Option<&'static str>,
    /// A value to show where there is no default.
    pub example: &'static str,
    /// The well-known variable besides `BONGSU_<SECTION>__<KEY>`.
    pub variable: Option<&'static str>,
    /// The command-line flag that sets it.
    pub flag: Option<&'static str>,
    /// Never shown.
    pub secret: bool,
    /// Accepted and checked, but nothing uses it yet.
    pub reserved: bool,
}

impl Key {
    pub(super) const fn new(path: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            path,
            kind,
            help,
            default: None,
            example: "",
            variable: None,
            flag: None,
            secret: false,
            reserved: false,
        }
    }

    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    pub(super) const fn example(mut self, value: &'static str) -> Self {
        self.example = value;
        self
    }

    const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    const fn flag(mut self, name: &'static str) -> Self {
        self.flag = Some(name);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn reserved(mut self) -> Self {
        self.reserved = true;
        self
    }

    /// The section, empty at the top level, and the key within it.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    /// `BONGSU_<SECTION>__<KEY>`.
    #[must_use]
    pub fn bongsu_variable(&self) -> String {
        format!("BONGSU_{}", self.path.replace('.', "__").to_ascii_uppercase())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.path)
    }
}

/// The setting with this dotted key.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The sections in the order in which people read them, with what they are about.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "Settings of the whole process"),
    ("feed", "What is watched, and from where"),
    ("collect", "What is asked of KIS besides the live feed: prices, trades, orders"),
    ("kis", "The KIS Open API account; a kis_devlp.yaml can hold these instead"),
    ("sim", "The built-in KIS simulator, played when the feed's source is sim"),
    ("journal", "The append-only record of every raw frame"),
    ("supervision", "When a failing part is restarted, and when the process gives up"),
    ("pipeline", "Batches and inboxes between the stages"),
    ("risk", "When a fall is a crash, and what else is a threat"),
    ("redis", "Redis: outward events and the task queue; without a URL both stay in the process"),
    ("database", "Where rows go"),
    ("objects", "Object store: raw answers, the archive of the journal"),
    ("archive", "Sealed journal segments as Parquet in the object store"),
    ("models", "Fitted models, in the object store"),
    ("schedule", "The scheduler of jobs.yaml"),
    ("llm", "An OpenAI-compatible service that writes reports; without one, templates do"),
    ("advice", "Recommendations and defence plans"),
    ("http", "API, metrics, events and dashboard"),
    ("api", "Access to the API"),
    ("channels", "Django Channels: crashes, threats and reports for the consumers of a group"),
    ("notify", "Notifications to people"),
    ("vault", "HashiCorp Vault"),
    ("telemetry", "Traces"),
    ("log", "What the process says about itself on stderr"),
    (
        "tasks",
        "The task queue and its worker; limits and retries of each task, [tasks.NAME] is as good as NAME.key",
    ),
];

use Kind::{
    Account, Choice, Day, Integer, IntegerOf, KeyPairs, Listen, Mail, Name, Number, Path, Speed,
    Switch, Symbols, Text, Texts, Tokens, Universe, Url, Urls,
};

const HTTP: Kind = Url(&["http", "https"]);

/// Every setting, grouped as in [`SECTIONS`].
pub const KEYS: &[Key] = &{
    let mut all = [BASE[0]; BASE.len() + TASK_KEYS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < BASE.len() { BASE[at] } else { TASK_KEYS[at - BASE.len()] };
        at += 1;
    }
    all
};

/// Those that are no task's.
const BASE: &[Key] = &[
    Key::new("data_dir", Path, "Folder of everything the daemon keeps on this machine")
        .default("var")
        .flag("--data-dir"),
    Key::new(
        "writes",
        Switch,
        "off: a dry run. Journal, scores and outward events go on, nothing is written to database \
         or objects and nobody is notified",
    )
    .default("on"),
    // feed
    Key::new(
        "feed.source",
        Choice(&["sim", "kis"]),
        "sim: the built-in simulator; kis: the KIS Open API. Unset: kis when KIS keys are set",
    )
    .example("sim")
    .flag("--source"),
    Key::new("feed.symbols", Symbols, "Issue codes to watch; empty: all the simulator plays")
        .default("")
        .flag("--symbols"),
    Key::new("feed.silence_seconds", Integer(1, 3_600), "A connection without any frame for so many seconds is dead and is opened anew")
    .default("30"),
    Key::new("feed.mute_seconds", Integer(1, 3_600), "A busy issue that is silent for so many seconds while the market trades is looked after; a quiet one later, by its own rhythm")
    .default("20"),
    Key::new(
        "feed.market_hours",
        Choice(&["calendar", "frames"]),
        "Whose clock says whether the market trades. calendar: KRX's, now; frames: the times in the \
         feed itself, for a simulator that plays another day",
    )
    .default("calendar"),
    Key::new("feed.books", Switch, "Order books too, where registrations are left for them")
        .default("on"),
    Key::new(
        "feed.interruptions",
        Switch,
        "The issues' volatility interruptions too, where registrations are left for them",
    )
    .default("on"),
    Key::new(
        "feed.max_registrations",
        Integer(1, 10_000),
        "Registrations in one WebSocket session; KIS allows 41",
    )
    .default("41"),
    // collect
    Key::new(
        "collect.universe",
        Universe,
        "Which issues: symbols (those of collect.symbols), or so many from the top of a ranking, \
         which paper trading does not have",
    )
    .default("symbols"),
    Key::new("collect.symbols", Symbols, "Issue codes to collect; empty: those of the feed")
        .default(""),
    // kis
    Key::new("kis.app_key", Text, "App key (앱키)")
        .example("PS0000000000000000000000000000000000")
        .variable("KIS_APP_KEY")
        .secret(),
    Key::new("kis.app_secret", Text, "App secret (앱 시크릿)")
        .example("secret")
        .variable("KIS_APP_SECRET")
        .secret(),
    Key::new(
        "kis.extra_keys",
        KeyPairs,
        "Further app keys as KEY:SECRET,KEY:SECRET: one more WebSocket session each, so that more \
         issues can be watched",
    )
    .example("PS0000000000000000000000000000000001:secret")
    .secret(),
    Key::new(
        "kis.masters",
        Path,
        "A folder with KIS's symbol master files, kospi_code.mst and kosdaq_code.mst: names and base \
         prices of issues that REST does not answer for at the start",
    )
    .example("masters"),
    Key::new("kis.account", Account, "Account, eight digits and the two of its product")
        .example("12345678-01")
        .variable("KIS_ACCOUNT")
        .secret(),
    Key::new("kis.hts_id", Text, "HTS login id (HTS ID); order notices are found by it")
        .example("hong123")
        .variable("KIS_HTS_ID")
        .secret(),
    Key::new("kis.env", Choice(&["real", "mock"]), "real: 실전투자; mock: 모의투자")
        .default("real")
        .variable("KIS_ENV")
        .flag("--env"),
    Key::new("kis.base_url", HTTP, "REST address. Unset: that of kis.env")
        .example("https://openapi.koreainvestment.com:9443")
        .variable("KIS_BASE_URL"),
    Key::new("kis.ws_url", Url(&["ws", "wss"]), "WebSocket address. Unset: that of kis.env")
        .example("ws://ops.koreainvestment.com:21000")
        .variable("KIS_WS_URL"),
    Key::new(
        "kis.devlp",
        Path,
        "A kis_devlp.yaml with keys, account and addresses. Unset: \
         ~/KIS/config/kis_devlp.yaml if there is one",
    )
    .example("kis_devlp.yaml")
    .flag("--kis-devlp"),
    Key::new("kis.user_agent", Text, "User-Agent of all REST requests. Unset: Bongsu's own")
        .example("Mozilla/5.0"),
    Key::new(
        "kis.calls_per_second",
        Number(0.1, 18.0),
        "REST calls a second to start with; the rate follows what KIS bears, up to twice as many, but \
         never above 15 (real) or 1 (mock). Unset: 8 (real) or 0.9 (mock)",
    )
    .example("8"),
    // sim
    Key::new(
        "sim.data",
        Path,
        "Parquet file of daily bars or single trades to play instead of a script",
    )
    .example("ticks.parquet")
    .flag("--data"),
    Key::new("sim.day", Day, "Day to play. Unset: the script's own, or the last one of the file")
        .example("2024-08-05")
        .flag("--day"),
    Key::new("sim.indices", Path, "Parquet file of daily index bars, beside sim.data")
        .example("indices.parquet")
        .flag("--indices"),
    Key::new("sim.market", Text, "Script to play: crash, calm, or the path of a YAML file")
        .default("crash")
        .flag("--market"),
    Key::new(
        "sim.speed",
        Speed,
        "Event seconds played in a second, or max. Unset: what the script or file calls for",
    )
    .example("60")
    .flag("--speed"),
    Key::new("sim.seed", Integer(0, u64::MAX), "Seed of everything the simulator invents")
        .default("20240805")
        .flag("--seed"),
    Key::new("sim.symbols", Integer(1, 5_000), "Only the so many most traded issues. Unset: all")
        .example("100")
        .flag("--symbols"),
    Key::new(
        "sim.records_per_frame",
        Integer(1, 999),
        "Trades of one issue that share a frame, at most",
    )
    .default("20")
    .flag("--records-per-frame"),
    Key::new(
        "sim.trade_fields",
        IntegerOf(&[46, 47]),
        "Fields of a trade: 46 is the form of before 2026-09-14",
    )
    .default("47")
    .flag("--trade-fields"),
    Key::new("sim.book_fields", IntegerOf(&[59, 62, 63]), "Fields of an order book, old to new")
        .default("63")
        .flag("--book-fields"),
    Key::new(
        "sim.max_registrations",
        Integer(1, 100_000),
        "Registrations in one session of the built-in simulator. Unset: no limit; KIS has 41",
    )
    .example("41"),
    Key::new(
        "sim.enforce_limits",
        Switch,
        "Refuse calls beyond KIS's limits: 18 a second (mock: 1), one token a minute",
    )
    .default("off"),
    Key::new("sim.fault", Texts, "What goes wrong; `bongsu kis-sim --help` tells the form")
        .example("cut:at=09:30:00")
        .flag("--fault"),
    // journal
    Key::new("journal.segment_mib", Integer(1, 4_096), "Size at which a segment is sealed, MiB")
        .default("64"),
    Key::new(
        "journal.durability",
        Choice(&["process", "group", "power"]),
        "What a stored frame survives. process: the death of the process; group: a power cut too, \
         but for the last journal.group_ms; power: a power cut too, and each batch waits for the \
         disk",
    )
    .default("process"),
    Key::new("journal.group_ms", Integer(1, 10_000), "Time between two syncs of group, ms")
        .default("50"),
    Key::new(
        "journal.recover",
        Choice(&["auto", "on", "off"]),
        "Whether a start goes on where the last run ended: loads its last checkpoint and reads the \
         journal behind it. auto: on with the KIS feed, off with the built-in simulator, whose day \
         begins anew",
    )
    .default("auto"),
    Key::new(
        "journal.checkpoint_seconds",
        Integer(0, 86_400),
        "Time between two checkpoints: about so much of the journal is read again after a crash, s; \
         0 for none, then a start reads all of the journal and none of it is ever deleted",
    )
    .default("10"),
    Key::new(
        "journal.max_gib",
        Number(0.001, 1_000_000.0),
        "Above this size the oldest segments are deleted that neither a start after a crash nor \
         the archive needs; others never are, GiB",
    )
    .default("64"),
    Key::new(
        "journal.min_free_mib",
        Integer(0, 1_048_576),
        "When less is free on the journal's disk, no more frames are taken until there is, MiB",
    )
    .default("256"),
    Key::new(
        "journal.keep_hours",
        Integer(1, 87_600),
        "Segments that nobody needs are deleted when they are older. Unset: only for room, h",
    )
    .example("168"),
    // supervision
    Key::new("supervision.max_restarts", Integer(1, 1_000), "So many failures within supervision.within_seconds make a supervisor give up; when the root does, the process ends")
    .default("10"),
    Key::new("supervision.within_seconds", Integer(1, 86_400), "See supervision.max_restarts, s")
        .default("60"),
    Key::new("supervision.backoff_initial_ms", Integer(1, 60_000), "First wait before a restart, ms")
    .default("20"),
    Key::new("supervision.backoff_max_ms", Integer(1, 600_000), "The wait doubles up to this, ms")
        .default("5000"),
    Key::new(
        "supervision.hang_seconds",
        Integer(1, 3_600),
        "A busy part that makes no progress for so long is replaced, s",
    )
    .default("10"),
    Key::new("supervision.heartbeat_ms", Integer(10, 60_000), "Time between two looks at it, ms")
        .default("500"),
    Key::new(
        "supervision.max_leaked_threads",
        Integer(0, 64),
        "Threads lost to hung parts before the process gives up",
    )
    .default("4"),
    // pipeline
    Key::new("pipeline.batch_frames", Integer(1, 65_536), "Frames in one batch, at most")
        .default("512"),
    // risk
    Key::new("risk.symbol_crash_pct", Number(0.1, 30.0), "Fall of an issue within five minutes that is a crash of level warning, %; watch, critical and the fall within one minute keep their ratio to it")
    .default("5"),
    Key::new("risk.market_crash_index_pct", Number(0.1, 30.0), "Fall of KOSPI or KOSDAQ against its previous close that is a market crash of level watch, %")
    .default("3"),
    Key::new("risk.market_breadth_pct", Number(1.0, 100.0), "Share of the watched issues down 5 % that is a market crash of level watch, %")
    .default("25"),
    Key::new("risk.volatility_ratio", Number(1.1, 100.0), "Present volatility against the normal one of the issue that is a threat of level watch")
    .default("2.5"),
    Key::new("risk.volume_surge_ratio", Number(1.1, 1_000.0), "Present volume against the normal one of the issue that is a threat of level watch")
    .default("8"),
    Key::new("risk.jump_false_alarms", Number(0.000_001, 0.5), "False alarms of one issue a day that the jump test of level watch allows under normal returns; warning allows a tenth of it, critical a hundredth")
    .default("0.001"),
    Key::new("risk.slide_days", Number(1.0, 1_000_000.0), "Average time to a false alarm of one issue that the slide test of level watch allows, days; warning allows a hundredth as many, critical a ten-thousandth")
    .default("100"),
    Key::new("risk.liquidity_ratio", Number(1.1, 1_000.0), "Spread against the normal one of the issue at this time of day that is a threat of level watch; a thin bid and a dry market keep their ratio to it")
    .default("4"),
    Key::new("risk.stale_seconds", Integer(1, 600), "Silence of the whole feed during the session that is a threat of level watch, s")
    .default("15"),
    Key::new("risk.cooldown_seconds", Integer(1, 21_600), "A symbol crash of the same level is not told again for so long, s; the other rules rest longer in proportion")
        .default("900"),
    // redis
    Key::new("redis.url", Url(&["redis", "rediss"]), "Address of Redis")
        .example("redis://127.0.0.1:6379/0")
        .variable("REDIS_URL"),
    Key::new("redis.stream_maxlen", Integer(100, 100_000_000), "Events the stream keeps")
        .default("100000"),
    // database
    Key::new(
        "database.url",
        Url(&["mysql", "sqlite"]),
        "Database. Unset: sqlite, the file bongsu.db in data_dir",
    )
    .example("mysql://bongsu@127.0.0.1:3306/bongsu")
    .variable("DATABASE_URL"),
    Key::new("database.pool", Integer(1, 100), "Connections, at most").default("4"),
    Key::new("database.batch_rows", Integer(1, 100_000), "Rows in one transaction, at most")
        .default("5000"),
    Key::new("database.flush_ms", Integer(1, 60_000), "Rows wait so long for more, at most, ms")
        .default("500"),
    Key::new("database.timeout_ms", Integer(100, 600_000), "A transaction may take so long, ms; then it counts as failed and is tried again")
        .default("3000"),
    Key::new("database.spill_mib", Integer(1, 1_048_576), "Rows kept on disk while the database is away, at most, MiB; then the pipeline waits")
        .default("1024"),
    // objects
    Key::new("objects.endpoint", HTTP, "Address of MinIO or another S3 service. Unset: the folder objects in data_dir")
        .example("http://127.0.0.1:9000")
        .variable("MINIO_ENDPOINT"),
    Key::new("objects.access_key", Text, "Its access key")
        .example("bongsu")
        .variable("MINIO_ACCESS_KEY")
        .secret(),
    Key::new("objects.secret_key", Text, "Its secret key")
        .example("secret")
        .variable("MINIO_SECRET_KEY")
        .secret(),
    Key::new("objects.region", Text, "Its region")
        .default("us-east-1")
        .variable("MINIO_REGION"),
    Key::new("objects.path_style", Switch, "on: buckets in the path, as MinIO has it; off: in the host name")
        .default("on"),
    Key::new("objects.ca_file", Path, "A PEM file with the authority behind its certificate, besides the well-known ones")
        .example("ca.pem"),
    Key::new("objects.bucket_prefix", Text, "Put before the name of every bucket")
        .example("bongsu-"),
    Key::new("objects.timeout_seconds", Integer(1, 600), "A call may take so long, s").default("30"),
    // archive
    Key::new("archive.enabled", Switch, "Sealed journal segments go into the object store as Parquet")
        .default("on"),
    Key::new("archive.retention_days", Integer(1, 36_500), "Days after which an S3 service removes archived files. Unset: never")
        .example("1825"),
    // models
    Key::new("models.watch_seconds", Integer(1, 86_400), "The registry is asked so often whether another model is in use, s")
        .default("15"),
    // schedule
    Key::new("schedule.lease_seconds", Integer(1, 300), "Of several processes one starts the planned runs; another takes over when it has been silent for so long, s")
        .default("15"),
    // llm
    Key::new(
        "llm.base_url",
        HTTP,
        "Address of the service. Unset: OpenAI's, when llm.api_key is set",
    )
    .example("https://api.openai.com/v1")
    .variable("OPENAI_BASE_URL"),
    Key::new("llm.api_key", Text, "API key; a service of one's own may need none")
        .example("secret")
        .variable("OPENAI_API_KEY")
        .secret(),
    Key::new("llm.model", Text, "Model").default("gpt-4o-mini").variable("OPENAI_MODEL"),
    Key::new("llm.timeout_seconds", Integer(1, 600), "A report is ready within this time, by the model or without it, s")
        .default("20"),
    Key::new("llm.idle_seconds", Integer(1, 600), "The service may be silent so long, s").default("10"),
    Key::new("llm.max_tokens", Integer(16, 100_000), "Length of an answer, tokens").default("1500"),
    Key::new("llm.context_tokens", Integer(1_000, 10_000_000), "Length of prompt and answer together that the model takes, tokens")
        .default("16000"),
    Key::new("llm.retries", Integer(0, 5), "A call that failed in passing is made again so often").default("2"),
    Key::new("llm.concurrency", Integer(1, 64), "Calls at once").default("2"),
    Key::new("llm.requests_per_minute", Integer(0, 1_000_000), "Requests a minute; 0: no limit").default("60"),
    Key::new("llm.tokens_per_minute", Integer(0, 1_000_000_000), "Tokens a minute, prompts and answers; 0: no limit")
        .default("200000"),
    Key::new("llm.tokens_per_day", Integer(0, 1_000_000_000_000), "Tokens a day; then templates write until midnight; 0: no limit")
        .default("2000000"),
    Key::new("llm.cents_per_day", Integer(0, 100_000_000), "US cents a day, by llm.prices; 0: no limit").default("500"),
    Key::new("llm.prices", Text, "US dollars a million tokens: model=prompt/completion, more behind commas. A model that is missing costs nothing")
        .default("gpt-4o-mini=0.15/0.60, gpt-4o=2.50/10.00"),
    Key::new("llm.cool_down_seconds", Integer(1, 3_600), "A service that failed several times in a row is left alone so long at first, s")
        .default("30"),
    Key::new("llm.cache_seconds", Integer(0, 604_800), "An accepted answer to the same facts is used again so long, s; 0: never")
        .default("600"),
    Key::new("llm.stored_max_age_seconds", Integer(0, 604_800), "Without the model, its newest report on the same subject stands in while it is no older, s; 0: never")
        .default("3600"),
    Key::new("llm.prompts", Path, "Folder of prompts, laid out as config/prompts. Unset: the built-in ones")
        .example("config/prompts"),
    Key::new("llm.prompt_language", Choice(&["ko", "en"]), "Language of the instructions; answers are Korean")
        .default("ko"),
    Key::new("llm.forbidden_words", Text, "Phrases that no report may hold, beside the built-in ones; behind commas")
        .example("내부 정보, 단독"),
    Key::new("llm.private_names", Text, "Names of people that go nowhere: masked in prompts, reports and stored calls; behind commas")
        .example("secret")
        .secret(),
    Key::new("llm.alerts_per_minute", Integer(0, 1_000), "Alerts that the model drafts one by one a minute; the others are told in a digest")
        .default("6"),
    Key::new("llm.digest_seconds", Integer(1, 3_600), "Alerts are gathered so long for a digest, s").default("30"),
    Key::new("llm.refresh_seconds", Integer(0, 86_400), "On the same subject the model writes so often, templates in between, s")
        .default("600"),
    // advice
    Key::new("advice.picks", Integer(1, 100), "Issues recommended in a round").default("5"),
    Key::new(
        "advice.capital",
        Integer(10_000, 1_000_000_000_000_000),
        "Position that plans assume where the user has told none, won",
    )
    .default("100000000"),
    Key::new("advice.portfolio", Path, "Scenario file whose holdings are defended: a crash of one of them, or of the market, is answered with a plan for what is held. Unset: an assumed position")
        .example("config/scenarios/default.yaml"),
    Key::new("advice.history", Texts, "Files of daily bars (Parquet or CSV) that scenarios are simulated from. Unset: the database's bars")
        .example("krx-daily.parquet"),
    Key::new("advice.indices", Texts, "Files of index series that belong to advice.history")
        .example("indices.parquet"),
    Key::new("advice.scenarios_at_once", Integer(1, 64), "Scenarios computed at once; the next is refused")
        .default("2"),
    Key::new("advice.scenario_seconds", Integer(1, 3_600), "An answer to a scenario may take so long, s")
        .default("60"),
    // http
    Key::new("http.listen", Listen, "Address and port").default("127.0.0.1:8700"),
    Key::new("http.max_streams", Integer(1, 10_000), "Open event streams, at most").default("64"),
    // later parts
    Key::new(
        "api.tokens",
        Tokens,
        "Who may use the API: scope:token pairs, or scope:sha256:DIGEST; read reads, operate also asks \
         for tasks. Reading on a loopback address needs none",
    )
        .example("read:secret")
        .secret(),
    // channels
    Key::new("channels.layer", Choice(&["off", "core", "pubsub"]), "Layer of the back end: core for channels_redis.core.RedisChannelLayer, pubsub for channels_redis.pubsub.RedisPubSubChannelLayer")
        .default("off"),
    Key::new("channels.hosts", Urls(&["redis", "rediss"]), "The layer's hosts, in the order of the Django settings. Unset: redis.url")
        .example("redis://127.0.0.1:6379/0"),
    Key::new("channels.group", Name, "The group that gets the events").default("alerts"),
    Key::new("channels.prefix", Text, "The layer's prefix").default("asgi"),
    Key::new("channels.expiry_seconds", Integer(1, 86_400), "The layer's expiry: an event that is older is of no use to anybody and is dropped, s")
        .default("60"),
    Key::new("channels.group_expiry_seconds", Integer(1, 31_536_000), "The layer's group_expiry (core): who joined so long ago is taken out of the group, s")
        .default("86400"),
    Key::new("channels.capacity", Integer(1, 1_000_000), "The layer's capacity (core): unread messages of one Django process; further ones are dropped")
        .default("100"),
    Key::new("channels.serializer", Choice(&["msgpack", "json"]), "The layer's serializer_format")
        .default("msgpack"),
    Key::new("channels.encryption_key", Text, "The first of the layer's symmetric_encryption_keys. Unset: nothing is encrypted")
        .example("secret")
        .secret(),
    Key::new("channels.max_event_kib", Integer(1, 16_384), "A larger event is not sent, KiB")
        .default("256"),
    Key::new("notify.slack_webhook_url", Url(&["https", "http"]), "Slack's incoming webhook")
        .example("https://hooks.slack.com/services/secret")
        .variable("SLACK_WEBHOOK_URL")
        .secret()
        .reserved(),
    Key::new("notify.smtp_url", Url(&["smtp", "smtps"]), "Mail server")
        .example("smtp://127.0.0.1:25")
        .variable("SMTP_URL")
        .secret()
        .reserved(),
    Key::new("notify.email_to", Mail, "Who is told")
        .example("desk@example.com")
        .variable("ALERT_EMAIL_TO")
        .reserved(),
    Key::new("notify.email_from", Mail, "In whose name")
        .example("bongsu@example.com")
        .variable("ALERT_EMAIL_FROM")
        .reserved(),
    Key::new("vault.address", HTTP, "Address of Vault")
        .example("http://127.0.0.1:8200")
        .variable("VAULT_ADDR")
        .reserved(),
    Key::new("vault.token", Text, "Its token")
        .example("secret")
        .variable("VAULT_TOKEN")
        .secret()
        .reserved(),
    Key::new("telemetry.otlp_endpoint", HTTP, "OpenTelemetry collector")
        .example("http://127.0.0.1:4318")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT")
        .reserved(),
    // log
    Key::new(
        "log.level",
        Choice(&["off", "error", "warn", "info", "debug", "trace"]),
        "The least serious that is said",
    )
    .default("info"),
    Key::new("log.format", Choice(&["text", "json"]), "For people or for machines").default("text"),
    // tasks
    Key::new("tasks.queue", Text, "The queue").default("ai_tasks"),
    Key::new("tasks.node", Text, "The worker's name in Celery's tools, name or name@host; two workers at one Redis need two names")
        .default("bongsu"),
    Key::new("tasks.concurrency", Integer(1, 1_000), "Tasks of the queue that run at a time")
        .default("8"),
    Key::new("tasks.prefetch", Integer(1, 10_000), "Messages that the worker takes ahead, at most; the less, the more evenly several workers share them")
        .default("32"),
    Key::new("tasks.visibility_timeout_seconds", Integer(10, 31_536_000), "Celery's visibility_timeout: the same for every worker at this Redis, s")
        .default("3600"),
    Key::new("tasks.lost_after_seconds", Integer(2, 3_600), "A worker that is silent for so long is dead: another one puts its messages back, s")
        .default("75"),
    Key::new("tasks.result_expires_seconds", Integer(0, 31_536_000), "Life of a result; 0: for ever, s")
        .default("86400"),
    Key::new("tasks.track_started", Switch, "Results say STARTED while a task runs").default("off"),
    Key::new("tasks.events", Switch, "Task events are sent before a monitor, such as Flower, asks for them")
        .default("off"),
    Key::new("tasks.max_message_mib", Integer(1, 512), "A larger message is refused, MiB")
        .default("16"),
];

#[cfg(test)]
mod tests;
