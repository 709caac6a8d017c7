//! How a trade follows the one before it: across a pause, a halt, an auction, or simply on.

use super::{SymbolState, spread};
use crate::market::{Side, Trade, TradeFlags, Won};
use crate::risk::decays::Decays;
use crate::risk::estimators::Window;

/// Seconds without a trade after which an auction's price does not continue what was before.
const AUCTION_PAUSE_S: i64 = 100;
/// Seconds for which a halt explains what follows.
const AFTER_HALT_S: i64 = 1_800;

/// What the trade just taken in was to the one before.
#[derive(Debug, Clone, Copy)]
pub(in crate::risk) struct Since {
    /// Seconds since the trade before; 0 for the first of the day.
    pub pause_s: i64,
    /// Its price, won; 0 for the first of the day.
    pub price: Won,
    /// The record says that the issue is halted, and it was not known.
    pub newly_halted: bool,
    /// The issue was halted not long ago.
    pub after_halt: bool,
}

impl SymbolState {
    /// How the trade at `second` follows the one before; forgets what a halt or an auction ended.
    pub(super) fn since(&mut self, trade: &Trade, second: i64) -> Since {
        let first = self.last_second == i64::MIN;
        let pause_s = if first { 0 } else { (second - self.last_second).max(0) };
        let price = if first { 0 } else { self.last_price };
        let says_halted = trade.flags.has(TradeFlags::HALTED);
        let newly_halted = says_halted && !self.halted;
        if says_halted {
            self.halt(second);
        } else if std::mem::take(&mut self.halted) {
            // Orders were collected for longer than any window looks back.
            (self.window, self.broken) = (Window::default(), true);
        }
        let single = trade.side == Side::Auction && !trade.flags.has(TradeFlags::SAMPLED);
        let rereferenced = trade.vi_reference > 0 && self.vi.reference() != trade.vi_reference;
        self.broken |= (single || rereferenced) && pause_s >= AUCTION_PAUSE_S;
        self.last_second = self.last_second.max(second);
        let after = second.saturating_sub(self.halted_second);
        let after_halt = (0..=AFTER_HALT_S).contains(&after);
        Since { pause_s, price, newly_halted, after_halt }
    }

    /// The issue is halted at `second`; false when that was known.
    pub fn halt(&mut self, second: i64) -> bool {
        self.halted_second = second;
        !std::mem::replace(&mut self.halted, true)
    }

    /// Takes in the best quotes and the bid depth, for the norms.
    pub fn note_liquidity(
        &mut self,
        second: i64,
        (ask, bid): (Won, Won),
        bid_depth: i64,
        decays: &Decays,
    ) {
        if let Some(mid) = spread::mid(ask, bid) {
            let sample = ((ask - bid) as f64 / mid, bid_depth.max(0) as f64);
            self.norm.push(second, sample, self.density, &decays.spread, &decays.norm);
        }
    }
}
