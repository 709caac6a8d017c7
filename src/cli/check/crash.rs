//! `bongsu check crash`: the detectors on recorded crash days and calm days.

use crate::cli::args::CheckCrashArgs;
use crate::cli::evaluate::crash::{self, CrashOptions};
use crate::cli::{CliError, assembly, print};
use crate::config::Settings;

/// Plays the days and prints what they gave.
///
/// # Errors
/// [`CliError::Usage`] without both files; [`CliError::Runtime`] when one cannot be used.
pub(super) fn execute(
    args: &CheckCrashArgs,
    json: bool,
    settings: &Settings,
) -> Result<(), CliError> {
    let missing = |flag: &str| {
        CliError::Usage(format!(
            "check crash: {flag} is missing: expected a Parquet file of daily bars (--data: date, \
             symbol, open, high, low, close, volume; --indices: date, series, open, high, low, close)"
        ))
    };
    let data = match args.data.as_slice() {
        [] => return Err(missing("--data")),
        [data] => data.as_path(),
        more => {
            let count = more.len();
            return Err(CliError::Usage(format!(
                "check crash: --data names {count} files, expected one"
            )));
        }
    };
    let indices = args.indices.as_deref().ok_or_else(|| missing("--indices"))?;
    let count = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
    let options = CrashOptions {
        params: assembly::risk_params(settings),
        symbols: count(args.symbols),
        trades_per_symbol: count(args.trades),
        seed: settings.sim.seed,
    };
    let report = crash::run(data, indices, &args.days.0, &options)?;
    if json {
        let line =
            serde_json::to_string(&report).map_err(|error| CliError::Runtime(error.into()))?;
        return print(&format!("{line}\n"));
    }
    print(&report.table())
}
