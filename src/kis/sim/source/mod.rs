//! From what the user names to a loaded [`Day`].
//!
//! - [`ticks`]: single trades of a recording, played as they were;
//! - [`daily`]: daily bars, turned into a day of trades that meets them;
//! - [`script`] and [`market`]: an invented market from a YAML script;
//! - [`interruptions`]: makes what was rebuilt or invented obey the market rules.

pub(crate) mod columns;
mod daily;
mod indices;
mod interruptions;
mod market;
mod script;
mod ticks;

use super::day::Day;
use super::options::{SimError, SimSource};

pub use script::builtin_markets;

/// Loads `source`. Everything invented follows from `seed`.
pub(crate) fn load(
    source: &SimSource,
    seed: u64,
    trades_per_symbol: Option<usize>,
) -> Result<Day, SimError> {
    match source {
        SimSource::Market { market, day } => {
            let script = script::MarketScript::load(market)?;
            Ok(market::build(&script, *day, seed))
        }
        SimSource::Data { path, day, indices, symbols } => {
            let table = columns::Table::open(path)?;
            let mut loaded = if table.has("seq") && table.has("qty") {
                ticks::load(table, *day, *symbols, seed)?
            } else {
                return daily::load(
                    table,
                    *day,
                    indices.as_deref(),
                    *symbols,
                    trades_per_symbol,
                    seed,
                );
            };
            if let Some(indices) = indices {
                indices::load(indices, loaded.day, seed)?.add_to(&mut loaded);
                interruptions::announce(&mut loaded);
            }
            Ok(loaded)
        }
    }
}
