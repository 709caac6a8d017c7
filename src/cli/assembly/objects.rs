//! The object store and the archive, by the settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::archiver::{ArchiverParts, run_archiver};
use crate::actors::object_watch::run_object_watch;
use crate::actors::tree::{Tree, journal_folder};
use crate::cli::CliError;
use crate::config::Settings;
use crate::messages::SegmentUse;
use crate::messages::health::{Component, HealthRegistry};
use crate::store::objects::BreakerLimits;
use crate::store::objects::buckets::Wishes;
use crate::store::{LocalObjects, Objects, S3Objects, S3Options};

/// The object store of the settings: an S3 service when one is set, a folder otherwise. `keeps`: what
/// the service does not take may wait in the data folder.
///
/// # Errors
/// When the settings of the service cannot be used. One that is away is no error.
pub fn object_store(
    settings: &Settings,
    health: Option<&HealthRegistry>,
    keeps: bool,
) -> Result<Objects, CliError> {
    let set = &settings.objects;
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (&set.endpoint, &set.access_key, &set.secret_key)
    else {
        return Ok(Objects::Local(LocalObjects::new(settings.data_dir.join("objects"))));
    };
    let options = S3Options {
        endpoint: endpoint.expose().to_owned(),
        access_key: access_key.clone(),
        secret_key: secret_key.clone(),
        region: set.region.clone(),
        path_style: set.path_style,
        ca_file: set.ca_file.clone(),
        bucket_prefix: set.bucket_prefix.clone().unwrap_or_default(),
        deadline: Duration::from_secs(set.timeout_seconds),
        breaker: BreakerLimits::default(),
        health: health.cloned(),
        waiting: keeps.then(|| settings.data_dir.join("objects-waiting")),
    };
    S3Objects::new(options).map(Objects::S3).map_err(|error| CliError::Usage(error.to_string()))
}

/// What buckets should be like.
#[must_use]
pub fn bucket_wishes(settings: &Settings) -> Wishes {
    Wishes { archive_days: settings.archive.retention_days }
}

/// The object store of a daemon, and what works on it beside the tree's stages.
pub struct ObjectParts {
    /// The store.
    pub objects: Objects,
    /// Who still needs which segments of the journal.
    pub segments: SegmentUse,
    wishes: Wishes,
    health: HealthRegistry,
    archiver: Option<Arc<ArchiverParts>>,
}

/// The object store; `None` in a dry run.
///
/// # Errors
/// When the settings of the service cannot be used.
pub fn object_parts(
    settings: &Settings,
    data_dir: &Path,
    health: &HealthRegistry,
) -> Result<Option<ObjectParts>, CliError> {
    if !settings.writes {
        return Ok(None);
    }
    let objects = object_store(settings, Some(health), true)?;
    health.declare(Component::Objects, false);
    let segments = SegmentUse::new(settings.archive.enabled);
    let archiver = settings.archive.enabled.then(|| {
        health.declare(Component::Archive, false);
        let journal = journal_folder(data_dir);
        let parts = ArchiverParts::new(journal, objects.clone(), segments.clone(), health.clone());
        Arc::new(parts)
    });
    let (wishes, health) = (bucket_wishes(settings), health.clone());
    Ok(Some(ObjectParts { objects, segments, wishes, health, archiver }))
}

/// Adds what works on the object store to the tree.
pub fn add_object_services(tree: &mut Tree, parts: ObjectParts) {
    let ObjectParts { objects, wishes, health, archiver, .. } = parts;
    tree.add_service("object_watch", move |stop| {
        run_object_watch(objects.clone(), wishes, health.clone(), stop)
    });
    if let Some(archiver) = archiver {
        tree.add_service("archiver", move |stop| run_archiver(Arc::clone(&archiver), stop));
    }
}
