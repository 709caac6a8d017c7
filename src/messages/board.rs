//! The latest score of every issue, and the newest advice: read models beside the pipeline.
//!
//! The RiskScorer writes it once a batch; advice and the HTTP interface read it. Nothing on the
//! hot path waits for a reader longer than one copy of the rows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::IndexPath;
use super::advice::{MitigationPlan, RecommendationSet, Report};
pub use super::risk::RiskRow;
use crate::market::{Directory, EventTime, Market, SymbolId};
use crate::model::FittedModel;

/// Shared, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RiskBoard {
    rows: Arc<RwLock<Vec<Option<RiskRow>>>>,
    model: Arc<RwLock<Option<Arc<FittedModel>>>>,
    /// KOSPI and KOSDAQ stand still.
    still: Arc<[AtomicBool; 2]>,
    /// Names and reference data of the issues on the board.
    pub directory: Directory,
    /// The minutes of the indices.
    pub indices: IndexPath,
}

impl RiskBoard {
    /// An empty board over `directory`.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Takes in new rows.
    pub fn update(&self, rows: impl IntoIterator<Item = RiskRow>) {
        let mut board = self.rows.write();
        for row in rows {
            let index = row.point.symbol.index();
            if board.len() <= index {
                board.resize(index + 1, None);
            }
            board[index] = Some(row);
        }
    }

    /// From now on scores are made with this model; `None`: with the stated formula alone.
    pub fn set_model(&self, model: Option<Arc<FittedModel>>) {
        *self.model.write() = model;
    }

    /// The model that scores are made with.
    #[must_use]
    pub fn model(&self) -> Option<Arc<FittedModel>> {
        self.model.read().clone()
    }

    /// KOSPI and KOSDAQ stand still (circuit breaker), as far as is known.
    pub fn set_standing_still(&self, still: [bool; 2]) {
        for (known, now) in self.still.iter().zip(still) {
            known.store(now, Ordering::Relaxed);
        }
    }

    /// Whether `market` stands still, as far as is known.
    #[must_use]
    pub fn stands_still(&self, market: Market) -> bool {
        let [kospi, kosdaq] = &*self.still;
        match market {
            Market::Kospi => kospi.load(Ordering::Relaxed),
            Market::Kosdaq => kosdaq.load(Ordering::Relaxed),
            Market::Other | Market::Unknown => false,
        }
    }

    /// The row of one issue.
    #[must_use]
    pub fn get(&self, symbol: SymbolId) -> Option<RiskRow> {
        self.rows.read().get(symbol.index()).copied().flatten()
    }

    /// All rows, in id order.
    #[must_use]
    pub fn rows(&self) -> Vec<RiskRow> {
        self.rows.read().iter().copied().flatten().collect()
    }

    /// The latest event time on the board.
    #[must_use]
    pub fn latest(&self) -> Option<EventTime> {
        self.rows.read().iter().flatten().map(|row| row.point.time).max()
    }
}

/// The newest advice of each kind that [`AdviceBoard`] holds.
const ADVICE_KEPT: usize = 200;

#[derive(Debug)]
struct Shelf<T>(RwLock<VecDeque<Arc<T>>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Shelf<T> {
    fn push(&self, item: Arc<T>, id: impl Fn(&T) -> &str) {
        let mut items = self.0.write();
        // The same advice computed again replaces itself.
        items.retain(|kept| id(kept) != id(&item));
        items.push_front(item);
        items.truncate(ADVICE_KEPT);
    }

    fn newest(&self, limit: usize) -> Vec<Arc<T>> {
        self.0.read().iter().take(limit).cloned().collect()
    }

    fn find(&self, wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.0.read().iter().find(|item| wanted(item)).cloned()
    }
}

#[derive(Debug, Default)]
struct Shelves {
    recommendations: Shelf<RecommendationSet>,
    mitigations: Shelf<MitigationPlan>,
    reports: Shelf<Report>,
}

/// The newest picks, defence plans and reports (200 of each), newest first. Shared, cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub struct AdviceBoard {
    shelves: Arc<Shelves>,
}

impl AdviceBoard {
    /// Takes in picks.
    pub fn add_recommendation(&self, set: Arc<RecommendationSet>) {
        self.shelves.recommendations.push(set, |set| &set.id);
    }

    /// Takes in a defence plan.
    pub fn add_mitigation(&self, plan: Arc<MitigationPlan>) {
        self.shelves.mitigations.push(plan, |plan| &plan.id);
    }

    /// Takes in a report.
    pub fn add_report(&self, report: Arc<Report>) {
        self.shelves.reports.push(report, |report| &report.id);
    }

    /// The newest picks.
    #[must_use]
    pub fn recommendations(&self, limit: usize) -> Vec<Arc<RecommendationSet>> {
        self.shelves.recommendations.newest(limit)
    }

    /// The picks with this id.
    #[must_use]
    pub fn recommendation(&self, id: &str) -> Option<Arc<RecommendationSet>> {
        self.shelves.recommendations.find(|set| set.id == id)
    }

    /// The newest defence plans.
    #[must_use]
    pub fn mitigations(&self, limit: usize) -> Vec<Arc<MitigationPlan>> {
        self.shelves.mitigations.newest(limit)
    }

    /// The defence plan with this id.
    #[must_use]
    pub fn mitigation(&self, id: &str) -> Option<Arc<MitigationPlan>> {
        self.shelves.mitigations.find(|plan| plan.id == id)
    }

    /// The newest report, of `kind` if one is given.
    #[must_use]
    pub fn latest_report(&self, kind: Option<&str>) -> Option<Arc<Report>> {
        self.shelves.reports.find(|report| kind.is_none_or(|kind| report.kind == kind))
    }

    /// The report with this id.
    #[must_use]
    pub fn report(&self, id: &str) -> Option<Arc<Report>> {
        self.shelves.reports.find(|report| report.id == id)
    }
}
