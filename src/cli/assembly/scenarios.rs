//! Who answers scenarios.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::actors::modelling::{Effort, Source};
use crate::actors::scenarios::{ScenarioParts, Scenarios};
use crate::advice::holdings::Holdings;
use crate::advice::scenario::Scenario;
use crate::advice::simulate::Known;
use crate::cli::CliError;
use crate::config::Settings;
use crate::kis::master::{Master, Sectors};
use crate::market::Symbol;
use crate::messages::AskScenario;
use crate::messages::health::HealthRegistry;
use crate::store::Database;

/// What is held: the holdings of `advice.portfolio`, else an assumed position of `advice.capital`.
///
/// # Errors
/// When the file cannot be read or is no scenario.
pub fn holdings(settings: &Settings) -> Result<Holdings, CliError> {
    let assumed = settings.advice.capital;
    let Some(path) = &settings.advice.portfolio else { return Ok(Holdings::assumed(assumed)) };
    let refused = |why: &dyn std::fmt::Display| {
        CliError::Usage(format!(
            "advice.portfolio: {} {why}; expected a scenario file with holdings, as config/scenarios/default.yaml",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(&error))?;
    let scenario = Scenario::parse(&text).map_err(|error| refused(&error))?;
    if scenario.holdings.is_empty() {
        return Err(refused(&"has no holdings"));
    }
    Ok(Holdings::of(&scenario, assumed))
}

/// File of the sectors' names, beside the symbol master files.
const SECTORS: &str = "idxcode.mst";

/// The service over files of a command line, those of the settings, or the database.
///
/// # Errors
/// When the database cannot be opened, or a symbol master file cannot be read.
pub async fn scenarios(
    settings: &Settings,
    (data, indices): (&[PathBuf], &[PathBuf]),
    effort: Effort,
) -> Result<ScenarioParts, CliError> {
    let source = if !data.is_empty() {
        Source::Files(data.to_vec(), indices.to_vec())
    } else if let Some(files) = files_of(settings) {
        files
    } else {
        let database = super::database(settings, &HealthRegistry::new()).await?;
        Source::Database(database.ok_or_else(|| {
            CliError::Usage(
                "in a dry run (BONGSU_WRITES=off) no database is opened: give the bars with --data \
                 or advice.history"
                    .to_owned(),
            )
        })?)
    };
    parts(settings, source, effort)
}

/// The service of a daemon; `None` where it has neither files nor a database.
///
/// # Errors
/// When a symbol master file cannot be read.
pub fn daemon_scenarios(
    settings: &Settings,
    database: Option<Database>,
) -> Result<Option<AskScenario>, CliError> {
    let Some(source) = files_of(settings).or_else(|| database.map(Source::Database)) else {
        return Ok(None);
    };
    let parts = parts(settings, source, Effort::Background)?;
    Ok(Some(Scenarios::new(parts).ask()))
}

fn files_of(settings: &Settings) -> Option<Source> {
    let (history, indices) = (&settings.advice.history, &settings.advice.indices);
    (!history.is_empty()).then(|| Source::Files(history.clone(), indices.clone()))
}

fn parts(settings: &Settings, source: Source, effort: Effort) -> Result<ScenarioParts, CliError> {
    Ok(ScenarioParts {
        source,
        known: known(settings)?,
        registry: super::model_registry(settings)?,
        at_once: settings.advice.scenarios_at_once,
        within: Duration::from_secs(settings.advice.scenario_seconds),
        effort,
    })
}

/// Names, boards and sectors of the symbol master files, when a folder of them is set.
fn known(settings: &Settings) -> Result<BTreeMap<Symbol, Known>, CliError> {
    let Some(folder) = &settings.kis.masters else { return Ok(BTreeMap::new()) };
    let files = Master::load(folder)
        .map_err(|error| CliError::Runtime(anyhow!("kis.masters {}: {error}", folder.display())))?;
    let path = folder.join(SECTORS);
    let sectors: BTreeMap<Symbol, String> = match std::fs::read(&path) {
        Ok(bytes) => {
            let sectors = Sectors::parse(&bytes)
                .with_context(|| format!("kis.masters {}", path.display()))?;
            sectors.records.into_iter().map(|sector| (sector.code, sector.name)).collect()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            return Err(CliError::Runtime(anyhow!("kis.masters {}: {error}", path.display())));
        }
    };
    let named = |code: Symbol| sectors.get(&code).cloned().unwrap_or_else(|| code.to_string());
    let records = files.iter().flat_map(|file| &file.records);
    Ok(records
        .filter_map(|record| {
            let symbol = record.symbol()?;
            // The middle sector tells most: the large ones are three, the small ones are often missing.
            let sector = record.sectors[1].or(record.sectors[0]).map(named);
            let (name, market) = (record.name.clone(), record.market());
            Some((symbol, Known { name, market, sector }))
        })
        .collect())
}
