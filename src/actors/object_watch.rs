//! Looks after the object store: makes its buckets, asks now and then whether it is there, and sends
//! what waited for it.
//!
//! **In:** the store and what its buckets should be like. **Out:** the health of `objects`, a warning
//! for each bucket and feature that is not as it should be. **State:** none. **The store is away or
//! refuses:** asked again after 1 s, doubling up to 15 s; when it is back, its buckets are looked after
//! once more, because it may have come back empty.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::supervision::StageError;
use crate::messages::{Component, HealthRegistry, HealthState};
use crate::store::objects::buckets::{Finding, Standing, Wishes};
use crate::store::{ObjectError, Objects};

const EVERY: Duration = Duration::from_secs(15);
const FIRST: Duration = Duration::from_secs(1);

/// Looks after the store until it is told to stop.
///
/// # Errors
/// None: a store that is away is told and tried again.
pub async fn run_object_watch(
    objects: Objects,
    wishes: Wishes,
    health: HealthRegistry,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let (mut prepared, mut pause) = (false, FIRST);
    loop {
        let look = look(&objects, &wishes, prepared);
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            outcome = look => outcome,
        };
        let wait = match outcome {
            Ok(findings) => {
                findings.iter().for_each(|finding| tell(&objects, finding));
                if health.set(Component::Objects, HealthState::Up) {
                    tracing::info!(place = objects.place(), "the object store is there");
                }
                (prepared, pause) = (true, FIRST);
                EVERY
            }
            Err(error) => {
                prepared = false;
                let was_told = health
                    .get(Component::Objects)
                    .is_some_and(|line| line.state.reason() == Some(error.to_string().as_str()));
                health.set(Component::Objects, HealthState::down(error.to_string()));
                if !was_told || pause == FIRST {
                    tracing::warn!(%error, "the object store cannot be used; it is tried again");
                }
                let longer = (pause * 2).min(EVERY);
                std::mem::replace(&mut pause, longer)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn look(
    objects: &Objects,
    wishes: &Wishes,
    prepared: bool,
) -> Result<Vec<Finding>, ObjectError> {
    let findings = if prepared { Vec::new() } else { objects.prepare(wishes).await? };
    objects.probe().await?;
    loop {
        metrics::gauge!("bongsu_objects_waiting_bytes").set(objects.waiting_bytes() as f64);
        match objects.forward().await? {
            0 => break,
            sent => tracing::info!(sent, "objects that waited are in the object store"),
        }
    }
    Ok(findings)
}

fn tell(objects: &Objects, finding: &Finding) {
    let place = objects.place();
    match &finding.standing {
        Standing::Made => tracing::info!(place, "{finding}"),
        Standing::Kept(_) | Standing::Unsupported(_) => tracing::warn!(place, "{finding}"),
        Standing::Good | Standing::Absent => tracing::debug!(place, "{finding}"),
    }
}
