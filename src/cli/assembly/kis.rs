//! The clients of KIS and what the feed watches, by the settings.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use crate::cli::CliError;
use crate::config::{KisEnv, Settings};
use crate::kis::sim::RunningSim;
use crate::kis::subscriptions::{FeedKey, Watch};
use crate::kis::{Environment, KisClient, KisOptions};
use crate::market::Symbol;
use crate::market::symbol::{KOSDAQ_CODE, KOSPI_CODE};

/// Which of KIS's environments the settings mean.
#[must_use]
pub fn environment(settings: &Settings) -> Environment {
    match settings.kis.env {
        KisEnv::Real => Environment::Real,
        KisEnv::Mock => Environment::Mock,
    }
}

/// Clients of KIS, one an app key and at least one, or one of the simulator that plays it.
/// `data_dir` keeps the access tokens.
///
/// # Errors
/// When KIS is the source and its keys are not set, or a client cannot be built from the settings.
pub fn kis_clients(
    settings: &Settings,
    sim: Option<&RunningSim>,
    data_dir: &Path,
) -> Result<Vec<KisClient>, CliError> {
    let options = kis_options(settings, sim, data_dir)?;
    let client = |options| KisClient::new(options).context("kis").map_err(CliError::Runtime);
    options.into_iter().map(client).collect()
}

/// The options of those clients.
///
/// # Errors
/// When KIS is the source and its keys are not set.
pub fn kis_options(
    settings: &Settings,
    sim: Option<&RunningSim>,
    data_dir: &Path,
) -> Result<Vec<KisOptions>, CliError> {
    let environment = environment(settings);
    Ok(match sim {
        Some(sim) => {
            let key = || SecretString::from("simulator".to_owned());
            vec![KisOptions {
                calls_per_second: None,
                token_cooldown: Duration::ZERO,
                ..KisOptions::new(environment, sim.rest_url(), key(), key())
            }]
        }
        None => {
            let base_url = settings.kis.base_url.expose();
            let options = app_keys(settings)?.into_iter().map(|(key, secret)| KisOptions {
                calls_per_second: Some(settings.kis.calls_per_second),
                user_agent: settings.kis.user_agent.clone(),
                token_cache: Some(data_dir.join("kis-token.json")),
                ..KisOptions::new(environment, base_url, key, secret)
            });
            options.collect()
        }
    })
}

/// What a feed over `symbols` watches: their trades, both indices, the market's state, the
/// account's notices, order books, and interruptions.
///
/// # Errors
/// When the HTS id cannot be one.
pub fn watch(settings: &Settings, symbols: &[Symbol]) -> Result<Watch, CliError> {
    let indices = [KOSPI_CODE, KOSDAQ_CODE].map(|code| {
        // Both constants are codes.
        Symbol::from_bytes(code.as_bytes()).unwrap_or_else(|| unreachable!("{code} is a code"))
    });
    let hts_id = match &settings.kis.hts_id {
        None => None,
        Some(id) => match FeedKey::from_bytes(id.expose_secret().as_bytes()) {
            Some(key) => Some(key),
            None => {
                return Err(CliError::Usage(
                    "kis.hts_id is not an HTS id: expected 1 to 16 ASCII characters without \
                     blanks; correct KIS_HTS_ID, or leave it unset"
                        .to_owned(),
                ));
            }
        },
    };
    Ok(Watch {
        operation_key: symbols.first().copied(),
        symbols: symbols.to_vec(),
        indices: indices.to_vec(),
        books: settings.feed.books,
        interruptions: settings.feed.interruptions,
        hts_id,
    })
}

/// The app keys of the settings, the first one first.
fn app_keys(settings: &Settings) -> Result<Vec<(SecretString, SecretString)>, CliError> {
    let missing = || {
        CliError::Usage(
            "feed.source is kis, but kis.app_key and kis.app_secret are not set: set KIS_APP_KEY \
             and KIS_APP_SECRET, or a kis_devlp.yaml, or use --source sim"
                .to_owned(),
        )
    };
    let key = settings.kis.app_key.clone().ok_or_else(missing)?;
    let secret = settings.kis.app_secret.clone().ok_or_else(missing)?;
    if key.expose_secret().is_empty() {
        return Err(CliError::Usage("kis.app_key is empty: set KIS_APP_KEY".to_owned()));
    }
    let extra = &settings.kis.extra_keys;
    if extra.iter().any(|(other, _)| other.expose_secret() == key.expose_secret()) {
        return Err(CliError::Usage(
            "kis.extra_keys holds kis.app_key once more: KIS gives an app key one session, so two \
             of them would push each other out; leave each key in one place only"
                .to_owned(),
        ));
    }
    Ok(std::iter::once((key, secret)).chain(extra.iter().cloned()).collect())
}
