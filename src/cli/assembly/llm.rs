//! The advisers and who writes their reports, by the settings.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Runtime;

use super::{holdings, schedule};
use crate::actors::reports::drafter::DraftOptions;
use crate::actors::reports::past::StoredReports;
use crate::actors::reports::shared_cache::RedisCache;
use crate::actors::tree::AdviceParts;
use crate::advice::{PlanSettings, ScenarioLimits};
use crate::cli::CliError;
use crate::config::{PromptLanguage, Settings};
use crate::llm::guard::Rules;
use crate::llm::limits::Limits;
use crate::llm::mask::Masker;
use crate::llm::prices::Prices;
use crate::llm::{ModelOptions, ModelWriter, SharedCache, Writer, prompt};
use crate::store::{Database, Objects};

/// The advisers. `stores`: what charts are read from, and where pages and prompts are kept.
///
/// # Errors
/// When the schedule or the settings of the language model cannot be used.
pub fn advice(
    runtime: &Arc<Runtime>,
    settings: &Settings,
    stores: (Option<Database>, Option<Objects>),
) -> Result<AdviceParts, CliError> {
    let jobs = schedule()?;
    let holdings = holdings(settings)?;
    let limits = ScenarioLimits {
        max_picks: settings.advice.picks,
        capital: Some(settings.advice.capital),
        ..ScenarioLimits::default()
    };
    // A shared cache connects on the runtime.
    let _entered = runtime.enter();
    let set = &settings.llm;
    let drafting = DraftOptions {
        alerts_per_minute: set.alerts_per_minute,
        digest_after: Duration::from_secs(set.digest_seconds),
        refresh: Duration::from_secs(set.refresh_seconds),
        ..DraftOptions::default()
    };
    let (database, objects) = stores;
    Ok(AdviceParts {
        every: jobs.event_interval(),
        limits,
        plans: holdings.budgeted(PlanSettings::default()),
        holdings,
        writer: writer(settings, database.as_ref())?,
        drafting,
        objects,
        database,
    })
}

/// Who writes the reports; in `database` stand those of earlier processes. Must be called on the
/// runtime of the process's I/O.
///
/// # Errors
/// When the settings of the language model cannot be used.
pub fn writer(settings: &Settings, database: Option<&Database>) -> Result<Writer, CliError> {
    let llm = &settings.llm;
    let base_url = match (&llm.base_url, &llm.api_key) {
        (Some(url), _) => url.expose().to_owned(),
        (None, Some(_)) => "https://api.openai.com/v1".to_owned(),
        (None, None) => return Ok(Writer::Template),
    };
    let refused = |error: &dyn std::fmt::Display| CliError::Usage(format!("llm: {error}"));
    let shared_cache: Option<Arc<dyn SharedCache>> = match &settings.redis.url {
        Some(url) if llm.cache_seconds > 0 => {
            let cache = RedisCache::start(url.expose())
                .map_err(|error| CliError::Usage(format!("redis.url: {error}")))?;
            Some(Arc::new(cache))
        }
        _ => None,
    };
    let options = ModelOptions {
        deadline: Duration::from_secs(llm.timeout_seconds),
        idle: Duration::from_secs(llm.idle_seconds),
        max_tokens: llm.max_tokens,
        context_tokens: llm.context_tokens,
        retries: llm.retries,
        limits: Limits {
            concurrency: llm.concurrency,
            requests_per_minute: llm.requests_per_minute,
            tokens_per_minute: llm.tokens_per_minute,
            tokens_per_day: llm.tokens_per_day,
            cost_per_day_micros: llm.cents_per_day.saturating_mul(10_000),
            cool_down: Duration::from_secs(llm.cool_down_seconds),
        },
        prices: Prices::parse(&llm.prices)
            .map_err(|error| CliError::Usage(format!("llm.prices: {error}")))?,
        prompts: llm.prompts.clone(),
        language: match llm.prompt_language {
            PromptLanguage::Korean => prompt::PromptLanguage::Korean,
            PromptLanguage::English => prompt::PromptLanguage::English,
        },
        rules: Rules { forbidden: llm.forbidden_words.clone(), names: Vec::new() },
        masker: masker(settings),
        cache_ttl: Duration::from_secs(llm.cache_seconds),
        shared_cache,
        stored_max_age: Duration::from_secs(llm.stored_max_age_seconds),
        past: database.map(|database| Arc::new(StoredReports(database.clone())) as Arc<_>),
        ..ModelOptions::new(&base_url, llm.api_key.clone(), &llm.model)
    };
    let writer = ModelWriter::new(options).map_err(|error| refused(&error))?;
    Ok(Writer::Model(Arc::new(writer)))
}

/// Everything secret that the settings hold, to be masked wherever it turns up.
fn masker(settings: &Settings) -> Masker {
    let secret = |secret: &Option<SecretString>| {
        secret.as_ref().map(|secret| secret.expose_secret().to_owned())
    };
    let kis = &settings.kis;
    let reserved = &settings.reserved;
    let single = [
        secret(&settings.llm.api_key),
        secret(&kis.account),
        secret(&kis.app_key),
        secret(&kis.app_secret),
        secret(&kis.hts_id),
        secret(&settings.objects.access_key),
        secret(&settings.objects.secret_key),
        secret(&settings.channels.encryption_key),
        secret(&reserved.slack_webhook_url),
        secret(&reserved.smtp_url),
        secret(&reserved.vault_token),
        reserved.email_to.clone(),
        reserved.email_from.clone(),
        settings.redis.url.as_ref().and_then(|url| password(url.expose())),
        password(settings.database.url.expose()),
    ];
    let items = |list: Option<String>| -> Vec<String> {
        let list = list.unwrap_or_default();
        list.split(',').map(|item| item.trim().to_owned()).collect()
    };
    // `operate:SECRET`: the secret may turn up without its scope.
    let tokens =
        items(secret(&settings.api.tokens)).into_iter().map(|token| match token.split_once(':') {
            Some((_, secret)) => secret.to_owned(),
            None => token,
        });
    let listed = items(secret(&settings.llm.private_names)).into_iter().chain(tokens);
    let hosts = settings.channels.hosts.iter().filter_map(|url| password(url.expose()));
    Masker::new(single.into_iter().flatten().chain(listed).chain(hosts))
}

/// The password of a URL.
fn password(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.password().map(str::to_owned)
}
