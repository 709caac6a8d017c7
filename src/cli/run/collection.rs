//! What the daemon asks KIS besides the feed, and whose clock is the market's.

use std::sync::Arc;

use crate::actors::collection::{Clock, CollectionParts, wall_clock};
use crate::actors::feed::FeedParts;
use crate::cli::{CliError, assembly};
use crate::config::{FeedSource, Settings};
use crate::market::EventTime;
use crate::messages::health::HealthRegistry;
use crate::messages::{Repairs, RiskBoard};
use crate::store::{Database, Objects};

/// What planned collection works with. The simulator's day is left alone: what is played there has no
/// calls in it but those of the feed.
pub(super) fn collection_of(
    settings: &Settings,
    feed: &FeedParts,
    stores: (Option<Database>, Option<Objects>),
    health: &HealthRegistry,
    repairs: &Repairs,
) -> Result<Option<Arc<CollectionParts>>, CliError> {
    let jobs = assembly::schedule()?;
    let wanted = jobs.scheduled().any(|job| job.task == "collect_market_prices");
    if !wanted || settings.feed.source != FeedSource::Kis {
        return Ok(None);
    }
    let parts = assembly::collection(
        settings,
        feed.clients[0].clone(),
        &feed.symbols,
        stores,
        health,
        market_clock(settings, repairs),
    )?;
    Ok(Some(Arc::new(parts)))
}

/// What asks KIS, or the simulator that plays it, when somebody wants it; why there is none, otherwise.
pub(super) fn collection_on_demand(
    settings: &Settings,
    feed: &FeedParts,
    stores: &(Option<Database>, Option<Objects>),
    health: &HealthRegistry,
    repairs: &Repairs,
) -> Result<Arc<CollectionParts>, String> {
    let clock: Clock = match settings.feed.source {
        FeedSource::Kis => market_clock(settings, repairs),
        // The day that is played is over there when it is over here.
        FeedSource::Sim => {
            let (wall, repairs) = (wall_clock(), repairs.clone());
            Arc::new(move || match repairs.market_time() {
                time if time == EventTime::default() => wall(),
                time => time,
            })
        }
    };
    let client = feed.clients[0].clone();
    let (symbols, stores) = (&feed.symbols, stores.clone());
    assembly::collection(settings, client, symbols, stores, health, clock)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// The present moment of the market for tasks: of a day that is played that of its newest score, else the
/// wall clock's.
pub(super) fn present(board: &RiskBoard, settings: &Settings) -> Clock {
    let (wall, board) = (wall_clock(), board.clone());
    match settings.feed.source {
        FeedSource::Kis => wall,
        FeedSource::Sim => Arc::new(move || board.latest().unwrap_or_else(|| wall())),
    }
}

/// The wall clock; with `feed.market_hours=frames`, the time of the newest tick, and the wall clock
/// until there is one.
fn market_clock(settings: &Settings, repairs: &Repairs) -> Clock {
    let wall = wall_clock();
    if !settings.feed.hours_of_frames {
        return wall;
    }
    let repairs = repairs.clone();
    Arc::new(move || match repairs.market_time() {
        time if time == EventTime::default() => wall(),
        time => time,
    })
}
