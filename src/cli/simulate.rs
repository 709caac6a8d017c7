//! `bongsu simulate`: a user's scenario, answered.
//!
//! Reads the scenario (YAML or JSON), the bars (`--data`, else `advice.history`, else the database) and
//! the model in use, and prints the answer as a table or as one JSON object, the same object as
//! `POST /v1/scenarios` gives. Nothing is written.

mod text;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::args::SimulateArgs;
use super::{CliError, assembly};
use crate::actors::modelling::Effort;
use crate::actors::scenarios::{ScenarioStep, Scenarios, TellStep};
use crate::advice::scenario::{MOST_BYTES, Scenario, ScenarioAnswer, ScenarioError};
use crate::config::Settings;
use crate::messages::ScenarioRefusal;

/// Runs the command.
///
/// # Errors
/// [`CliError::Usage`] for a scenario with a mistake, naming every field; [`CliError::Runtime`] when
/// the file or the bars cannot be read.
pub fn execute(args: &SimulateArgs, settings: &Settings) -> Result<(), CliError> {
    if args.data.is_empty() && !args.indices.is_empty() {
        return Err(CliError::Usage(
            "--indices needs --data: there are no bars to join them to".to_owned(),
        ));
    }
    let text = read(&args.scenario)?;
    let name = args.scenario.display();
    let scenario = Scenario::parse(&text).map_err(|error| mistakes(&name, &error))?;
    assembly::start_telemetry(settings)?;
    let runtime = assembly::runtime()?;
    let files = (args.data.as_slice(), args.indices.as_slice());
    let answer = runtime.block_on(async {
        let parts = assembly::scenarios(settings, files, Effort::Full).await?;
        let answer = Scenarios::new(parts).answer(scenario, teller()).await;
        answer.map_err(|refusal| match refusal {
            ScenarioRefusal::Fields(problems) => mistakes(&name, &ScenarioError::Fields(problems)),
            other => CliError::Runtime(other.into()),
        })
    })?;
    print(&answer, args.json)
}

fn print(answer: &ScenarioAnswer, json: bool) -> Result<(), CliError> {
    if json {
        let text = serde_json::to_string(answer).context("the answer as JSON")?;
        return super::print(&format!("{text}\n"));
    }
    super::print(&text::table(answer))
}

fn mistakes(name: &dyn std::fmt::Display, error: &ScenarioError) -> CliError {
    let lines = match error {
        ScenarioError::Fields(problems) => {
            problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>()
        }
        other => format!(" {other}"),
    };
    CliError::Usage(format!("{name}:{lines}"))
}

/// The text of a file, or of standard input for `-`.
fn read(path: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    // One byte more tells a text that is too long.
    let most = MOST_BYTES as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin()
            .take(most)
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(path)
            .with_context(|| format!("cannot read the scenario {}", path.display()))?;
        file.take(most)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read the scenario {}", path.display()))?;
    }
    String::from_utf8(bytes).map_err(|_| {
        CliError::Usage(format!("{} is no text in UTF-8, expected YAML or JSON", path.display()))
    })
}

/// One line of progress on a terminal's stderr; nothing in a pipe.
fn teller() -> TellStep {
    let terminal = std::io::stderr().is_terminal();
    let shown = Mutex::new(0_usize);
    Arc::new(move |step| {
        if !terminal {
            return;
        }
        let text = match step {
            ScenarioStep::Reading => "reading …".to_owned(),
            ScenarioStep::Forecasts => "forecasts …".to_owned(),
            ScenarioStep::Paths { done, of } => {
                let percent = 100 * done / of.max(1);
                let mut shown = shown.lock();
                if percent <= *shown {
                    return;
                }
                *shown = percent;
                if done == of { String::new() } else { format!("{percent} % of {of} paths …") }
            }
        };
        // A terminal that is gone is no reason to stop.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    })
}
