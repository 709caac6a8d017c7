//! The issues as they stand at a moment.
//!
//! Of the present, this process's own board where it has a pipeline; else, and of the past, the scores of
//! the database, and where an issue has none in the session, what its daily bars say
//! ([`crate::risk::from_bars`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::{TaskWorld, of_store};
use crate::actors::model_watch::built_in;
use crate::market::rules::Product;
use crate::market::{Directory, EventTime, Market, ModelId, ModelOrigin, Symbol};
use crate::messages::{RiskBoard, RiskPoint, RiskRow, ScoreParts};
use crate::model::{Document, FittedModel};
use crate::risk::from_bars::{DayRisk, day_risks};
use crate::store::entity::risk_score;
use crate::store::models::RegistryError;
use crate::store::past;
use crate::tasks::{TaskContext, TaskFailure};

/// A score that is older than this is no score of the present: a week, so that a holiday does not
/// empty the world.
const OLDEST_US: i64 = 7 * 86_400_000_000;

/// Where an issue's row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// This process's pipeline.
    Live,
    /// Stored scores.
    Stored,
    /// Daily bars.
    Bars,
}

/// The issues at a moment.
pub(super) struct Scene {
    /// Their rows, and what is known of them.
    pub(super) board: RiskBoard,
    /// Where each row comes from, by issue; live where it is not named.
    origins: BTreeMap<Symbol, Origin>,
    /// The moment: that of the newest row of a live board, else the one asked for.
    pub(super) as_of: EventTime,
    /// The model that the scores, or the forecasts, are made with.
    pub(super) model: Option<Arc<FittedModel>>,
}

impl Scene {
    /// The row and where it comes from.
    pub(super) fn row(&self, symbol: Symbol) -> Option<(RiskRow, Origin)> {
        let row = self.board.get(self.board.directory.find(symbol)?)?;
        Some((row, self.origins.get(&symbol).copied().unwrap_or(Origin::Live)))
    }

    /// Adds the rows of `symbols` as they stand on a live board.
    fn add_live(&mut self, live: &RiskBoard, symbols: &[Symbol]) {
        for symbol in symbols {
            let Some(row) = live.directory.find(*symbol).and_then(|id| live.get(id)) else {
                continue;
            };
            let reference = live.directory.reference(row.point.symbol);
            let id = self.board.directory.update((*reference).clone());
            self.board.update([RiskRow { point: RiskPoint { symbol: id, ..row.point }, ..row }]);
            self.origins.insert(*symbol, Origin::Live);
        }
    }

    /// The row, or the failure that says what is missing.
    pub(super) fn known(&self, symbol: Symbol) -> Result<(RiskRow, Origin), TaskFailure> {
        self.row(symbol).ok_or_else(|| {
            TaskFailure::missing(format!(
                "nothing is known of {symbol} as of {}: no score and fewer than 21 daily bars; is it among the watched issues, and has collect_market_prices run?",
                self.as_of
            ))
        })
    }
}

/// The scene of `symbols`, or of all issues when there are none.
pub(super) async fn scene(
    world: &TaskWorld,
    context: &TaskContext,
    as_of: Option<EventTime>,
    symbols: &[Symbol],
) -> Result<Scene, TaskFailure> {
    let past = as_of.is_some() || context.is_past();
    if let (false, Some(latest)) = (past, world.board.latest()) {
        let is_live = |symbol: &Symbol| {
            let id = world.board.directory.find(*symbol);
            id.is_some_and(|id| world.board.get(id).is_some())
        };
        let (live, rest): (Vec<Symbol>, Vec<Symbol>) = symbols.iter().partition(|s| is_live(s));
        if rest.is_empty() || world.database.is_none() {
            let (board, origins) = (world.board.clone(), BTreeMap::new());
            let model = board.model();
            return Ok(Scene { board, origins, as_of: latest, model });
        }
        let mut scene = stored(world, context.as_of(), &rest).await?;
        scene.add_live(&world.board, &live);
        scene.as_of = scene.as_of.max(latest);
        return Ok(scene);
    }
    stored(world, as_of.unwrap_or_else(|| context.as_of()), symbols).await
}

async fn stored(
    world: &TaskWorld,
    as_of: EventTime,
    symbols: &[Symbol],
) -> Result<Scene, TaskFailure> {
    let database = world.database()?;
    let since = as_of.plus_micros(-OLDEST_US);
    let scores = past::scores_at(database, since, as_of, symbols).await.map_err(of_store)?;
    let scores: BTreeMap<Symbol, risk_score::Model> =
        scores.into_iter().filter_map(|row| Some((row.symbol.parse().ok()?, row))).collect();
    let day = as_of.session_day();
    let mut references = past::references_at(database, day, symbols).await.map_err(of_store)?;
    let mut wanted: BTreeSet<Symbol> = references.iter().map(|one| one.symbol).collect();
    // One with a score and without a bar is known by its code.
    let bare = scores.keys().filter(|symbol| !wanted.contains(symbol));
    references.extend(bare.map(|symbol| crate::market::Reference::bare(*symbol)));
    wanted.extend(scores.keys());
    let names = past::names(database, &wanted).await.map_err(of_store)?;
    for reference in &mut references {
        if let Some(id) = world.board.directory.find(reference.symbol) {
            let known = world.board.directory.reference(id);
            reference.name.clone_from(&known.name);
            reference.market = known.market;
        }
        if let (true, Some(name)) = (reference.name.is_empty(), names.get(&reference.symbol)) {
            reference.name.clone_from(name);
        }
    }
    let model = model(world).await;
    let document = model.as_deref().map(|model| &model.document);
    let risks = day_risks(document, &references, day);
    let board = RiskBoard::new(Directory::new());
    let mut origins = BTreeMap::new();
    for (reference, risk) in references.into_iter().zip(risks) {
        let symbol = reference.symbol;
        let close = reference.closes.last().copied();
        let id = board.directory.update(reference);
        let row = match (scores.get(&symbol), risk, close) {
            (Some(score), risk, _) => {
                origins.insert(symbol, Origin::Stored);
                of_score(id, symbol, score, risk)
            }
            (None, Some(risk), Some(close)) => {
                origins.insert(symbol, Origin::Bars);
                of_bars(id, symbol, close, as_of, risk)
            }
            _ => continue,
        };
        board.update([row]);
    }
    Ok(Scene { board, origins, as_of, model })
}

fn of_score(
    id: crate::market::SymbolId,
    code: Symbol,
    row: &risk_score::Model,
    risk: Option<DayRisk>,
) -> RiskRow {
    let point = RiskPoint {
        symbol: id,
        code,
        time: row.event_time,
        price: row.price,
        score: row.score,
        parts: ScoreParts {
            volatility: row.part_volatility,
            drawdown: row.part_drawdown,
            liquidity: row.part_liquidity,
            volume: row.part_volume,
        },
        change_pct: row.change_pct,
        over_gap: row.over_gap,
        cum_volume: 0,
        at: Default::default(),
        model: row.model.parse::<ModelId>().ok(),
    };
    row_of(point, risk)
}

fn of_bars(
    id: crate::market::SymbolId,
    code: Symbol,
    close: i64,
    as_of: EventTime,
    risk: DayRisk,
) -> RiskRow {
    let point = RiskPoint {
        symbol: id,
        code,
        time: as_of,
        price: close,
        score: risk.score,
        parts: risk.parts,
        change_pct: 0.0,
        over_gap: false,
        cum_volume: 0,
        at: Default::default(),
        model: None,
    };
    row_of(point, Some(risk))
}

fn row_of(point: RiskPoint, risk: Option<DayRisk>) -> RiskRow {
    // No order book is stored. One tick is the narrowest spread that can be, and what liquid issues have.
    let tick = Product::Share.tick_size(point.time.session_day(), Market::Unknown, point.price);
    let spread_pct = 100.0 * tick as f64 / point.price.max(1) as f64;
    RiskRow {
        point,
        high: point.price,
        low: point.price,
        daily_volatility_pct: risk.map_or(0.0, |risk| risk.daily_volatility_pct),
        rest_of_day_var_pct: risk.map_or(0.0, |risk| risk.var_975_pct),
        spread_pct,
        cum_value: 0,
        halted: false,
    }
}

/// The model in use, else the one built in; a registry that is away or damaged is told and leaves the latter.
pub(super) async fn model(world: &TaskWorld) -> Option<Arc<FittedModel>> {
    if let Some(parts) = &world.models {
        let active = async {
            let index = parts.registry.index().await?;
            match index.active() {
                Some(version) => {
                    let bytes = parts.registry.document(version).await?;
                    Ok::<_, RegistryError>(Some((version.id, version.model_sha256.clone(), bytes)))
                }
                None => Ok(None),
            }
        };
        match active.await {
            Ok(Some((id, sha256, bytes))) => match Document::from_json(&bytes) {
                Ok(document) => {
                    let origin = ModelOrigin::Registry;
                    return Some(Arc::new(FittedModel { id, origin, sha256, document }));
                }
                Err(error) => tracing::warn!(%error, "the model in use cannot be read"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the registry of models cannot be read"),
        }
    }
    FittedModel::read(&built_in().ok().flatten()?).ok().map(Arc::new)
}
