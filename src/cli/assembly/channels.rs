//! The channel layer of a Django back end, as the settings say.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::bus::{ChannelsOptions, ChannelsSink, Layer, Serializer};
use crate::cli::CliError;
use crate::config::{ChannelLayer, Settings};
use crate::messages::health::HealthRegistry;

/// The way into the layer; `None` when it is off.
///
/// # Errors
/// When the settings cannot be used. A host that is away is no error.
pub fn channels(
    runtime: &Arc<Runtime>,
    settings: &Settings,
    health: &HealthRegistry,
) -> Result<Option<ChannelsSink>, CliError> {
    let set = &settings.channels;
    let layer = match set.layer {
        ChannelLayer::Off => return Ok(None),
        ChannelLayer::Core => Layer::Core,
        ChannelLayer::PubSub => Layer::PubSub,
    };
    let hosts = set.hosts.iter().map(|url| url.expose().to_owned()).collect();
    let options = ChannelsOptions {
        group: set.group.clone(),
        prefix: set.prefix.clone(),
        expiry: Duration::from_secs(set.expiry_seconds),
        group_expiry: Duration::from_secs(set.group_expiry_seconds),
        capacity: set.capacity,
        serializer: if set.json { Serializer::Json } else { Serializer::Msgpack },
        encryption_key: set.encryption_key.clone(),
        max_event_bytes: set.max_event_kib << 10,
        health: Some(health.clone()),
        ..ChannelsOptions::new(layer, hosts)
    };
    // The drivers of the connections live on the shared runtime.
    let _entered = runtime.enter();
    ChannelsSink::start(options)
        .map(Some)
        .map_err(|error| CliError::Usage(format!("channels.hosts: {error}")))
}
