//! The latest score of every issue: a read model beside the pipeline.
//!
//! The RiskScorer writes it once a batch; advice and the HTTP interface read it. Nothing on the
//! hot path waits for a reader longer than one copy of the rows.

use std::sync::Arc;

use parking_lot::RwLock;

pub use super::risk::RiskRow;
use crate::market::{Directory, EventTime, SymbolId};

/// Shared, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RiskBoard {
    rows: Arc<RwLock<Vec<Option<RiskRow>>>>,
    /// Names and reference data of the issues on the board.
    pub directory: Directory,
}

impl RiskBoard {
    /// An empty board over `directory`.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { rows: Arc::default(), directory }
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
