//! What is held, in the numbers that defences need.

use super::costs::TradingCosts;
use super::korean::won;
use super::simulate::{Exposure, Instrument, World};
use super::statistics::bounded;
use crate::market::{Market, SessionDay, Symbol, Won, rules};

/// Something held.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// What it moves with, in the world that is simulated.
    pub instrument: Instrument,
    /// Code; `None` for a portfolio that moves like a market.
    pub symbol: Option<Symbol>,
    /// Korean name.
    pub name: String,
    /// Board.
    pub market: Market,
    /// Latest price, won; 0 for a portfolio that can be divided at will.
    pub price: Won,
    /// Shares held; 0 for a portfolio.
    pub shares: i64,
    /// Value, won; positive.
    pub value: f64,
    /// Relative spread, per cent; 0 when not known.
    pub spread_pct: f64,
    /// Average value traded a day, won.
    pub average_value: Option<f64>,
    /// Why it cannot be sold, Korean.
    pub blocked: Option<String>,
}

impl Held {
    /// A position in whole shares of the issue at `place` of the world.
    ///
    /// `base_price`: base of the day's price limits; `None` when it is not known.
    #[must_use]
    pub fn issue(
        world: &World,
        place: usize,
        (price, value): (Won, Won),
        base_price: Option<Won>,
        halted: bool,
        day: SessionDay,
    ) -> Self {
        let issue = &world.issues[place];
        let (price, value) = (price.max(0), position_value(value));
        let shares = if price > 0 { value / price } else { 0 };
        // Whole shares are what can be sold; the rest of the value is not there.
        let held = if shares > 0 { (shares * price) as f64 } else { value as f64 };
        Self {
            instrument: Instrument::Issue(place),
            symbol: Some(issue.symbol),
            name: issue.known.name.clone(),
            market: issue.known.market,
            price,
            shares,
            value: held,
            spread_pct: bounded(issue.spread_pct, 0.0, 30.0, 0.0),
            average_value: issue.average_value,
            blocked: blocked(issue.known.market, (price, shares), base_price, halted, day),
        }
    }

    /// A portfolio that moves like the factor at `factor` of the world.
    #[must_use]
    pub fn like_market(world: &World, factor: usize, value: Won, halted: bool) -> Self {
        let value = position_value(value);
        let why = if halted {
            Some("서킷브레이커로 시장 거래가 정지되어 있습니다".to_owned())
        } else {
            (value == 0).then(|| "보유금액이 없습니다".to_owned())
        };
        Self {
            instrument: Instrument::Tracker { factor, multiple: 1.0, daily_fee: 0.0 },
            symbol: None,
            name: world.factors[factor].name.clone(),
            market: world.factors[factor].market,
            price: 0,
            shares: 0,
            value: value as f64,
            spread_pct: 0.0,
            average_value: None,
            blocked: why,
        }
    }

    /// As it stands.
    #[must_use]
    pub fn exposure(&self, value: f64) -> Exposure {
        Exposure { instrument: self.instrument, value, exit: None }
    }

    /// The part of it closest to `wanted` that can be sold, won: whole shares, not fewer.
    #[must_use]
    pub fn sellable(&self, wanted: f64) -> f64 {
        if self.blocked.is_some() {
            return 0.0;
        }
        if self.price == 0 {
            return wanted.clamp(0.0, self.value);
        }
        let shares = (wanted / self.price as f64).ceil() as i64;
        (shares.clamp(0, self.shares) * self.price) as f64
    }

    /// Standard deviation of the next session's return, fraction.
    #[must_use]
    pub fn deviation(&self, world: &World) -> f64 {
        match self.instrument {
            Instrument::Issue(place) => world.issues[place].variance.sqrt(),
            Instrument::Tracker { factor, multiple, .. } => {
                multiple.abs() * world.factors[factor].variance.sqrt()
            }
            Instrument::Steady { .. } => 0.0,
        }
    }

    /// Place of its market among the world's factors, and its slope on that market's returns.
    #[must_use]
    pub fn link(&self, world: &World) -> (usize, f64) {
        match self.instrument {
            Instrument::Issue(place) => (world.issues[place].factor, world.issues[place].beta),
            Instrument::Tracker { factor, multiple, .. } => (factor, multiple),
            Instrument::Steady { .. } => (0, 0.0),
        }
    }

    /// Share of its value that a sale of `value` won costs: fee, tax, half spread, slippage by size.
    #[must_use]
    pub fn sale_cost(&self, value: f64, costs: &TradingCosts, world: &World) -> f64 {
        let daily = 100.0 * self.deviation(world);
        let slippage = costs.slippage_pct(value, self.average_value, daily);
        bounded(costs.sale_pct(self.spread_pct, slippage) / 100.0, 0.0, 0.99, 0.99)
    }
}

/// Largest position value computed with, won: a thousand trillion.
const LARGEST_POSITION: i64 = 1_000_000_000_000_000;

fn position_value(value: Won) -> Won {
    value.clamp(0, LARGEST_POSITION)
}

/// Why a position of whole shares cannot be sold.
fn blocked(
    market: Market,
    (price, shares): (Won, i64),
    base_price: Option<Won>,
    halted: bool,
    day: SessionDay,
) -> Option<String> {
    if halted {
        return Some("거래가 정지되어 있어 매도할 수 없습니다".to_owned());
    }
    if price <= 0 {
        return Some("현재가를 알 수 없어 매도 수량을 정할 수 없습니다".to_owned());
    }
    if shares < 1 {
        return Some(format!("보유금액이 1주 가격 {}보다 작습니다", won(price)));
    }
    let base = base_price.filter(|base| (1..1_000_000_000).contains(base))?;
    let (lower, _) = rules::price_limits(day, market, base);
    (price <= lower)
        .then(|| format!("하한가 {}에 있어 매도 주문이 체결되지 않을 수 있습니다", won(lower)))
}
