//! Valid values by dotted key become typed [`Settings`].

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::keys::find;
use super::load::{Effective, Settings, Values};
use super::service_url::ServiceUrl;
use super::settings::*;
use super::task_keys::TASKS;
use super::value::{Speed, Value};
use crate::market::{SessionDay, Symbol};

/// Reads typed values out of [`Values`]. That a key is there, and of which form it is, follows
/// from its row of the table: a mismatch is a bug of this module, which the tests find because they
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

    fn paths(&self, path: &'static str) -> Vec<PathBuf> {
        let text = self.optional_text(path).unwrap_or_default();
        let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        parts.map(PathBuf::from).collect()
    }

    fn secret(&self, path: &'static str) -> Option<SecretString> {
        match self.get(path) {
            None => None,
            Some(Value::Secret(secret)) => Some(secret.clone()),
            Some(_) => self.mismatch(path, "a secret"),
        }
    }

    fn key_pairs(&self, path: &'static str) -> Vec<(SecretString, SecretString)> {
        let Some(pairs) = self.secret(path) else { return Vec::new() };
        let split = pairs.expose_secret().split(',').filter_map(|pair| pair.split_once(':'));
        split.map(|(key, secret)| (key.into(), secret.into())).collect()
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

    fn urls(&self, path: &'static str) -> Vec<ServiceUrl> {
        match self.get(path) {
            None => Vec::new(),
            Some(Value::Urls(urls)) => urls.clone(),
            Some(_) => self.mismatch(path, "a list of URLs"),
        }
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

/// `values`, which are valid and complete, as settings.
pub(super) fn settings(values: &Values, effective: Vec<Effective>) -> Settings {
    let v = Typed(values);
    Settings {
        data_dir: PathBuf::from(v.text("data_dir")),
        writes: v.switch("writes"),
        feed: FeedSettings {
            source: v.choice("feed.source", FeedSource::from_word),
            symbols: v.symbols("feed.symbols"),
            silence_seconds: v.integer("feed.silence_seconds"),
            mute_seconds: v.integer("feed.mute_seconds"),
            hours_of_frames: v.text("feed.market_hours") == "frames",
            books: v.switch("feed.books"),
            interruptions: v.switch("feed.interruptions"),
            max_registrations: v.integer("feed.max_registrations"),
        },
        collect: CollectSettings {
            universe: v.choice("collect.universe", CollectUniverse::from_word),
            symbols: v.symbols("collect.symbols"),
        },
        kis: KisSettings {
            app_key: v.secret("kis.app_key"),
            app_secret: v.secret("kis.app_secret"),
            extra_keys: v.key_pairs("kis.extra_keys"),
            masters: v.path("kis.masters"),
            account: v.secret("kis.account"),
            hts_id: v.secret("kis.hts_id"),
            env: v.choice("kis.env", KisEnv::from_word),
            base_url: v.url("kis.base_url"),
            ws_url: v.url("kis.ws_url"),
            user_agent: v.optional_text("kis.user_agent"),
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
            max_registrations: v.optional_integer("sim.max_registrations"),
            enforce_limits: v.switch("sim.enforce_limits"),
            fault: v.optional_text("sim.fault").unwrap_or_default(),
        },
        journal: JournalSettings {
            segment_mib: v.integer("journal.segment_mib"),
            durability: v.choice("journal.durability", Durability::from_word),
            group_ms: v.integer("journal.group_ms"),
            recover: v.choice("journal.recover", Recover::from_word),
            checkpoint_seconds: v.integer("journal.checkpoint_seconds"),
            max_gib: v.number("journal.max_gib"),
            min_free_mib: v.integer("journal.min_free_mib"),
            keep_hours: v.optional_integer("journal.keep_hours"),
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
            jump_false_alarms: v.number("risk.jump_false_alarms"),
            slide_days: v.number("risk.slide_days"),
            liquidity_ratio: v.number("risk.liquidity_ratio"),
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
            timeout_ms: v.integer("database.timeout_ms"),
            spill_mib: v.integer("database.spill_mib"),
        },
        objects: ObjectsSettings {
            endpoint: v.optional_url("objects.endpoint"),
            access_key: v.secret("objects.access_key"),
            secret_key: v.secret("objects.secret_key"),
            region: v.text("objects.region"),
            path_style: v.switch("objects.path_style"),
            ca_file: v.path("objects.ca_file"),
            bucket_prefix: v.optional_text("objects.bucket_prefix"),
            timeout_seconds: v.integer("objects.timeout_seconds"),
        },
        archive: ArchiveSettings {
            enabled: v.switch("archive.enabled"),
            retention_days: v.optional_integer("archive.retention_days"),
        },
        models: ModelsSettings { watch_seconds: v.integer("models.watch_seconds") },
        schedule: ScheduleSettings { lease_seconds: v.integer("schedule.lease_seconds") },
        llm: LlmSettings {
            base_url: v.optional_url("llm.base_url"),
            api_key: v.secret("llm.api_key"),
            model: v.text("llm.model"),
            timeout_seconds: v.integer("llm.timeout_seconds"),
            idle_seconds: v.integer("llm.idle_seconds"),
            max_tokens: v.integer("llm.max_tokens"),
            context_tokens: v.integer("llm.context_tokens"),
            retries: v.integer("llm.retries"),
            concurrency: v.integer("llm.concurrency"),
            requests_per_minute: v.integer("llm.requests_per_minute"),
            tokens_per_minute: v.integer("llm.tokens_per_minute"),
            tokens_per_day: v.integer("llm.tokens_per_day"),
            cents_per_day: v.integer("llm.cents_per_day"),
            prices: v.text("llm.prices"),
            cool_down_seconds: v.integer("llm.cool_down_seconds"),
            cache_seconds: v.integer("llm.cache_seconds"),
            stored_max_age_seconds: v.integer("llm.stored_max_age_seconds"),
            prompts: v.path("llm.prompts"),
            prompt_language: v.choice("llm.prompt_language", PromptLanguage::from_word),
            forbidden_words: phrases(v.optional_text("llm.forbidden_words")),
            private_names: v.secret("llm.private_names"),
            alerts_per_minute: v.integer("llm.alerts_per_minute"),
            digest_seconds: v.integer("llm.digest_seconds"),
            refresh_seconds: v.integer("llm.refresh_seconds"),
        },
        advice: AdviceSettings {
            picks: v.integer("advice.picks"),
            capital: v.integer("advice.capital"),
            portfolio: v.path("advice.portfolio"),
            history: v.paths("advice.history"),
            indices: v.paths("advice.indices"),
            scenarios_at_once: v.integer("advice.scenarios_at_once"),
            scenario_seconds: v.integer("advice.scenario_seconds"),
        },
        http: HttpSettings {
            listen: v.listen("http.listen"),
            max_streams: v.integer("http.max_streams"),
        },
        api: ApiSettings { tokens: v.secret("api.tokens") },
        channels: ChannelsSettings {
            layer: v.choice("channels.layer", ChannelLayer::from_word),
            hosts: v.urls("channels.hosts"),
            group: v.text("channels.group"),
            prefix: v.text("channels.prefix"),
            expiry_seconds: v.integer("channels.expiry_seconds"),
            group_expiry_seconds: v.integer("channels.group_expiry_seconds"),
            capacity: v.integer("channels.capacity"),
            json: v.text("channels.serializer") == "json",
            encryption_key: v.secret("channels.encryption_key"),
            max_event_kib: v.integer("channels.max_event_kib"),
        },
        tasks: TaskQueueSettings {
            queue: v.text("tasks.queue"),
            node: v.text("tasks.node"),
            concurrency: v.integer("tasks.concurrency"),
            prefetch: v.integer("tasks.prefetch"),
            visibility_timeout_seconds: v.integer("tasks.visibility_timeout_seconds"),
            lost_after_seconds: v.integer("tasks.lost_after_seconds"),
            result_expires_seconds: v.integer("tasks.result_expires_seconds"),
            track_started: v.switch("tasks.track_started"),
            events: v.switch("tasks.events"),
            max_message_mib: v.integer("tasks.max_message_mib"),
        },
        task_limits: TASKS
            .iter()
            .map(|task| TaskSettings {
                name: task.name,
                soft_limit_seconds: v.integer(task.soft_limit),
                hard_limit_seconds: v.integer(task.hard_limit),
                max_retries: v.integer(task.max_retries),
                retry_backoff_seconds: v.integer(task.retry_backoff),
                retry_backoff_max_seconds: v.integer(task.retry_backoff_max),
                rate_limit: v.optional_text(task.rate_limit),
            })
            .collect(),
        log: LogSettings {
            level: v.text("log.level"),
            format: v.choice("log.format", LogFormat::from_word),
        },
        reserved: ReservedSettings {
            slack_webhook_url: v.secret("notify.slack_webhook_url"),
            smtp_url: v.secret("notify.smtp_url"),
            email_to: v.optional_text("notify.email_to"),
            email_from: v.optional_text("notify.email_from"),
            vault_address: v.optional_url("vault.address"),
            vault_token: v.secret("vault.token"),
            otlp_endpoint: v.optional_url("telemetry.otlp_endpoint"),
        },
        effective,
    }
}

/// The phrases of a list with commas.
fn phrases(list: Option<String>) -> Vec<String> {
    let list = list.unwrap_or_default();
    let phrases = list.split(',').map(str::trim).filter(|phrase| !phrase.is_empty());
    phrases.map(str::to_owned).collect()
}
