//! `bongsu kis-sim`: the KIS simulator alone.

use std::time::Duration;

use super::args::KisSimArgs;
use super::{CliError, assembly};
use crate::config::Settings;
use crate::kis::sim::{SimOptions, Simulator};

/// Plays until it is told to stop.
///
/// # Errors
/// [`CliError::Runtime`] when there is nothing to play or a port is taken.
pub fn execute(args: KisSimArgs, settings: Settings) -> Result<(), CliError> {
    assembly::start_telemetry(&settings)?;
    let runtime = assembly::runtime()?;
    let options = SimOptions {
        rest_listen: args.listen,
        ws_listen: args.ws_listen,
        hold: args.hold,
        confirm: args.hold,
        max_registrations: args.max_registrations.0,
        app_key: settings.kis.app_key.clone(),
        app_secret: settings.kis.app_secret.clone(),
        enforce_rate_limits: !args.no_rate_limits,
        hts_id: args.hts_id,
        clock_offset: args.clock_offset,
        account: args.account,
        ..assembly::sim_options(&settings)?
    };
    let simulator = Simulator::load(options).map_err(|error| CliError::Runtime(error.into()))?;
    let (day, trades) = (simulator.playback().session_day(), simulator.playback().trade_count());
    let speed = simulator.speed();
    runtime.block_on(async move {
        let running = simulator.start().await.map_err(|error| CliError::Runtime(error.into()))?;
        eprintln!(
            "KIS simulator: {day}, {trades} trades of {} issues, speed {speed}",
            running.references.len()
        );
        super::print(&format!(
            "KIS_BASE_URL={}\nKIS_WS_URL={}\n",
            running.rest_url(),
            running.ws_url()
        ))?;
        let why = super::run::wait_for_the_end(None).await;
        tracing::info!(why, "the simulator stops");
        running.stop().await;
        Ok::<(), CliError>(())
    })?;
    if let Ok(runtime) = std::sync::Arc::try_unwrap(runtime) {
        runtime.shutdown_timeout(Duration::from_millis(500));
    }
    Ok(())
}
