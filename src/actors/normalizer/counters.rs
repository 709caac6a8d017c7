//! What a batch held, counted.

use crate::kis::frame::Tr;
use crate::telemetry::hot;

/// Counts of one batch, told to the metrics once a flush: nothing is looked up per tick.
#[derive(Debug, Default)]
pub(super) struct FeedCounters {
    pub frames: [usize; Tr::ALL.len()],
    pub trades: usize,
    pub quotes: usize,
    pub indices: usize,
    pub duplicates: usize,
    pub bars: usize,
    pub samples: usize,
    pub notices: usize,
    /// Undated frames left out because too many wait already.
    pub unheld: usize,
}

impl FeedCounters {
    pub fn publish(&mut self) {
        let metrics = hot();
        for (tr, count) in Tr::ALL.iter().zip(self.frames) {
            if count > 0 {
                metrics.frames(tr.as_str(), count);
            }
        }
        for (kind, count) in [
            ("trade", self.trades),
            ("quote", self.quotes),
            ("index", self.indices),
            ("duplicate", self.duplicates),
            ("fetched_bar", self.bars),
            ("sample", self.samples),
            ("notice", self.notices),
        ] {
            if count > 0 {
                metrics.ticks(kind, count);
            }
        }
        (0..self.unheld).for_each(|_| metrics.reject("no_session_day"));
        *self = Self::default();
    }
}
