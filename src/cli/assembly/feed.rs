//! Where the feed comes from and what it brings, by the settings.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;

use super::{DataDir, kis_clients, watch};
use crate::actors::feed::{ExchangeDay, FeedParts};
use crate::actors::poll::PolledIssues;
use crate::cli::CliError;
use crate::config::Settings;
use crate::kis::master::Master;
use crate::kis::sim::RunningSim;
use crate::kis::subscriptions::MuteLimits;
use crate::kis::{FeedConfig, MarketHours};
use crate::market::{Reference, Symbol};
use crate::messages::health::HealthRegistry;

/// What the feed is made of: its source, the issues, and what is known of them beforehand.
///
/// # Errors
/// When no issues are named, keys are missing or wrong in form, or a master file cannot be read.
pub fn feed_parts(
    settings: &Settings,
    sim: Option<&RunningSim>,
    data_dir: &DataDir,
    health: &HealthRegistry,
) -> Result<FeedParts, CliError> {
    let clients = kis_clients(settings, sim, &data_dir.path)?;
    let environment = clients[0].environment();
    let ws_url = match sim {
        Some(sim) => sim.ws_url(),
        None => settings.kis.ws_url.expose().to_owned(),
    };
    let symbols: Vec<Symbol> = match (&settings.feed.symbols, sim) {
        (chosen, _) if !chosen.is_empty() => chosen.clone(),
        (_, Some(sim)) => sim.references.iter().map(|reference| reference.symbol).collect(),
        (_, None) => {
            return Err(CliError::Usage(
                "feed.symbols is empty: with KIS, say which issues to watch, for example \
                 BONGSU_FEED__SYMBOLS=005930,000660"
                    .to_owned(),
            ));
        }
    };
    let watch = watch(settings, &symbols)?;
    let mut config = FeedConfig::new(ws_url, environment, watch);
    if sim.is_some() {
        config.max_registrations = None;
        config.subscribe_gap = Duration::ZERO;
    } else {
        config.max_registrations = usize::try_from(settings.feed.max_registrations).ok();
    }
    config.idle_timeout = Duration::from_secs(settings.feed.silence_seconds.into());
    if sim.is_some() || settings.feed.hours_of_frames {
        config.hours = MarketHours::Feed;
    }
    config.mute = MuteLimits::around(Duration::from_secs(settings.feed.mute_seconds.into()));
    config.batch_frames = settings.pipeline.batch_frames;
    let day = match sim {
        Some(sim) => ExchangeDay::Played(sim.session_day()),
        None if settings.feed.hours_of_frames => ExchangeDay::OfItsOwn,
        None => ExchangeDay::Today,
    };
    let polled = PolledIssues::default();
    let masters = masters(settings)?;
    Ok(FeedParts { clients, config, symbols, masters, day, health: health.clone(), polled })
}

/// The issues of the symbol master files, when a folder of them is set.
fn masters(settings: &Settings) -> Result<BTreeMap<Symbol, Reference>, CliError> {
    let Some(folder) = &settings.kis.masters else { return Ok(BTreeMap::new()) };
    let files = Master::load(folder)
        .map_err(|error| CliError::Runtime(anyhow!("kis.masters {}: {error}", folder.display())))?;
    let mut issues = BTreeMap::new();
    for file in &files {
        for fault in file.faults.iter().take(3) {
            tracing::warn!(%fault, "a line of a symbol master file is left out");
        }
        issues.extend(file.records.iter().filter_map(|record| {
            let reference = record.reference()?;
            Some((reference.symbol, reference))
        }));
    }
    tracing::info!(issues = issues.len(), folder = %folder.display(), "symbol master files are read");
    Ok(issues)
}
