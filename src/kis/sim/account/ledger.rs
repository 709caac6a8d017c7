//! Cash, holdings and orders of one account. Pure: no clock, no I/O.
//!
//! How orders trade:
//!
//! - an order that crosses the best opposite quote when it arrives, and every market order when
//!   there is such a quote, is filled whole and at once at that quote;
//! - a resting limit order is filled by later prints at or through its price, at its own price
//!   (in an auction at the auction's), each print filling at most its own size;
//! - a market order that met no quote (before the first trade, or locked at a limit) rests and is
//!   filled by the prints to come at their prices, up to their sizes;
//! - a price off the tick or beyond the day's limits, or an order for a halted issue, is taken
//!   and then refused, as the exchange would.
//!
//! What is open is reserved: a buying order's money at its price (a market order's at the upper
//! limit price), a selling order's shares. So neither cash nor a holding becomes negative.

use std::collections::BTreeMap;

use crate::market::{Side, Won};

use crate::kis::sim::day::Print;
use crate::kis::sim::state::ratio;

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderSide {
    Sell,
    Buy,
}

impl OrderSide {
    /// 매도매수구분: 01 sell, 02 buy.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sell => "01",
            Self::Buy => "02",
        }
    }
}

/// An order and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub number: u32,
    /// The order that this one amends or, in a notice, cancels.
    pub original: Option<u32>,
    /// Index into the day's issues.
    pub issue: u32,
    pub side: OrderSide,
    /// Limit price; 0 for a market order.
    pub price: Won,
    /// What a share is taken to cost until it is bought: `price`, or the upper limit price.
    pub reserve: Won,
    pub quantity: i64,
    pub filled: i64,
    /// Sum of price × quantity of the fills.
    pub filled_value: Won,
    /// Cancelled, or moved to an amended order.
    pub cancelled: i64,
    pub refused: i64,
    pub at_ms: u32,
}

impl Order {
    /// Shares that can still trade.
    pub const fn open(&self) -> i64 {
        self.quantity - self.filled - self.cancelled - self.refused
    }

    /// 주문구분: 00 limit, 01 market.
    pub const fn kind(&self) -> &'static str {
        if self.is_market() { "01" } else { "00" }
    }

    const fn is_market(&self) -> bool {
        self.price == 0
    }

    /// Won per share at which `print` fills this order; `None` if it does not reach it.
    fn meets(&self, print: &Print) -> Option<Won> {
        let price = Won::from(print.price);
        if self.is_market() {
            // A recording may leave the day's limits: no dearer than what is reserved.
            return (self.side == OrderSide::Sell || price <= self.reserve).then_some(price);
        }
        let reached = match self.side {
            OrderSide::Buy => price <= self.price,
            OrderSide::Sell => price >= self.price,
        };
        let at = if print.side == Side::Auction { price } else { self.price };
        reached.then_some(at)
    }
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Received,
    /// It took the place of its original.
    Amended,
    Cancelled {
        quantity: i64,
    },
    Refused {
        quantity: i64,
    },
    Filled {
        quantity: i64,
        price: Won,
    },
}

/// A change with the order as it stood after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderEvent {
    pub order: Order,
    pub change: Change,
    pub at_ms: u32,
}

/// The market that an order meets on arrival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub at_ms: u32,
    /// Best quotes; 0 when that side is empty or nothing has traded.
    pub ask: Won,
    pub bid: Won,
    /// Upper limit price.
    pub upper: Won,
    /// Whether the exchange takes an order at the asked price now.
    pub tradable: bool,
}

/// What is ordered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewOrder {
    pub number: u32,
    pub issue: u32,
    pub side: OrderSide,
    /// 0 for a market order.
    pub price: Won,
    pub quantity: i64,
}

/// Why the broker does not take an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderRefusal {
    /// More than the cash buys.
    Cash,
    /// More shares than can be sold, or than are still open.
    Quantity,
    /// No such order, or nothing of it is open.
    NotOpen,
}

/// Shares of one issue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub quantity: i64,
    /// What they cost.
    pub cost: Won,
    /// Held at the previous close.
    pub yesterday: i64,
    /// Bought and sold today.
    pub bought: i64,
    pub sold: i64,
}

/// An account.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimAccount {
    /// Deposit before today's trades.
    pub deposit: Won,
    /// Won paid and received today.
    pub bought: Won,
    pub sold: Won,
    /// By issue. A position sold today stays, with nothing in it.
    pub holdings: BTreeMap<u32, Holding>,
    /// In the order of their numbers.
    pub orders: Vec<Order>,
    /// Positions in `orders` of those that can still trade.
    open: Vec<usize>,
    events: Vec<OrderEvent>,
}

impl SimAccount {
    /// An account with cash and holdings: issue, shares, average price in won.
    pub fn new(deposit: Won, holdings: impl IntoIterator<Item = (u32, i64, Won)>) -> Self {
        let held = |(issue, quantity, average): (u32, i64, Won)| {
            let cost = average.saturating_mul(quantity);
            (issue, Holding { quantity, cost, yesterday: quantity, ..Holding::default() })
        };
        let holdings = holdings.into_iter().map(held).collect();
        Self { deposit, holdings, ..Self::default() }
    }

    /// Cash once all trades so far are settled (D+2).
    pub const fn settled(&self) -> Won {
        self.deposit - self.bought + self.sold
    }

    /// Cash that can be ordered with.
    pub fn available(&self) -> Won {
        let reserved = self.open_orders().filter(|order| order.side == OrderSide::Buy);
        self.settled() - reserved.map(|order| order.open() * order.reserve).sum::<Won>()
    }

    /// Shares of an issue that can be sold.
    pub fn sellable(&self, issue: u32) -> i64 {
        let asked = self
            .open_orders()
            .filter(|order| order.issue == issue && order.side == OrderSide::Sell)
            .map(Order::open);
        self.holdings.get(&issue).map_or(0, |holding| holding.quantity) - asked.sum::<i64>()
    }

    /// Orders that can still trade, oldest first.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().map(|at| &self.orders[*at])
    }

    pub fn has_open_orders(&self) -> bool {
        !self.open.is_empty()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<OrderEvent> {
        std::mem::take(&mut self.events)
    }

    /// Takes an order.
    pub fn place(&mut self, new: NewOrder, market: &Standing) -> Result<Order, OrderRefusal> {
        self.enter(new, None, market)
    }

    fn enter(
        &mut self,
        new: NewOrder,
        original: Option<u32>,
        market: &Standing,
    ) -> Result<Order, OrderRefusal> {
        let reserve = if new.price == 0 { market.upper } else { new.price };
        let need = i128::from(reserve) * i128::from(new.quantity);
        match new.side {
            OrderSide::Buy if need > i128::from(self.available()) => {
                return Err(OrderRefusal::Cash);
            }
            OrderSide::Sell if new.quantity > self.sellable(new.issue) => {
                return Err(OrderRefusal::Quantity);
            }
            OrderSide::Buy | OrderSide::Sell => {}
        }
        let at = self.orders.len();
        self.orders.push(Order {
            number: new.number,
            original,
            issue: new.issue,
            side: new.side,
            price: new.price,
            reserve,
            quantity: new.quantity,
            filled: 0,
            filled_value: 0,
            cancelled: 0,
            refused: 0,
            at_ms: market.at_ms,
        });
        if !market.tradable {
            self.orders[at].refused = new.quantity;
            self.note(at, Change::Refused { quantity: new.quantity }, market.at_ms);
            return Ok(self.orders[at]);
        }
        self.open.push(at);
        let change = if original.is_some() { Change::Amended } else { Change::Received };
        self.note(at, change, market.at_ms);
        let crossed = match new.side {
            OrderSide::Buy => market.ask > 0 && (new.price == 0 || new.price >= market.ask),
            OrderSide::Sell => market.bid > 0 && new.price <= market.bid,
        };
        if crossed {
            let quote = if new.side == OrderSide::Buy { market.ask } else { market.bid };
            self.fill(at, new.quantity, quote, market.at_ms);
            self.forget_closed();
        }
        Ok(self.orders[at])
    }

    /// Cancels `quantity`, or all that is open, of an order. `number` is the cancellation's own.
    pub fn cancel(
        &mut self,
        number: u32,
        original: u32,
        quantity: Option<i64>,
        at_ms: u32,
    ) -> Result<(), OrderRefusal> {
        let (at, quantity) = self.openness(original, quantity)?;
        self.orders[at].cancelled += quantity;
        // In its notice a cancellation has its own number and names the order.
        let order = Order { number, original: Some(original), quantity, ..self.orders[at] };
        self.events.push(OrderEvent { order, change: Change::Cancelled { quantity }, at_ms });
        self.forget_closed();
        Ok(())
    }

    /// Moves `quantity`, or all that is open, of an order to a new one at another price.
    pub fn amend(
        &mut self,
        number: u32,
        original: u32,
        (price, quantity): (Won, Option<i64>),
        market: &Standing,
    ) -> Result<Order, OrderRefusal> {
        let (at, quantity) = self.openness(original, quantity)?;
        let Order { issue, side, .. } = self.orders[at];
        self.orders[at].cancelled += quantity;
        let new = NewOrder { number, issue, side, price, quantity };
        let entered = self.enter(new, Some(original), market);
        // Refused by the broker or the exchange, it leaves its original as it was.
        if !matches!(entered, Ok(order) if order.refused == 0) {
            self.orders[at].cancelled -= quantity;
        }
        self.forget_closed();
        entered
    }

    /// Position of an order and how much of it is meant, which must be open.
    fn openness(&self, number: u32, wanted: Option<i64>) -> Result<(usize, i64), OrderRefusal> {
        let at = self.orders.binary_search_by_key(&number, |order| order.number);
        let at = at.map_err(|_| OrderRefusal::NotOpen)?;
        match (self.orders[at].open(), wanted) {
            (0, _) => Err(OrderRefusal::NotOpen),
            (open, Some(wanted)) if wanted > open => Err(OrderRefusal::Quantity),
            (open, wanted) => Ok((at, wanted.unwrap_or(open))),
        }
    }

    /// Matches the open orders with a trade of the market.
    pub fn see(&mut self, print: &Print) {
        let mut filled = false;
        for index in 0..self.open.len() {
            let at = self.open[index];
            if self.orders[at].issue != print.issue {
                continue;
            }
            let Some(price) = self.orders[at].meets(print) else { continue };
            let quantity = self.orders[at].open().min(print.quantity);
            self.fill(at, quantity, price, print.at_ms);
            filled = true;
        }
        if filled {
            self.forget_closed();
        }
    }

    fn fill(&mut self, at: usize, quantity: i64, price: Won, at_ms: u32) {
        let order = &mut self.orders[at];
        let value = quantity * price;
        order.filled += quantity;
        order.filled_value += value;
        let holding = self.holdings.entry(order.issue).or_default();
        match order.side {
            OrderSide::Buy => {
                holding.quantity += quantity;
                holding.cost += value;
                holding.bought += quantity;
                self.bought += value;
            }
            OrderSide::Sell => {
                // What leaves takes its part of the cost along; the last share the rest.
                holding.cost -= ratio(holding.cost, holding.quantity, quantity);
                holding.quantity -= quantity;
                holding.sold += quantity;
                self.sold += value;
            }
        }
        self.note(at, Change::Filled { quantity, price }, at_ms);
    }

    fn note(&mut self, at: usize, change: Change, at_ms: u32) {
        self.events.push(OrderEvent { order: self.orders[at], change, at_ms });
    }

    fn forget_closed(&mut self) {
        let orders = &self.orders;
        self.open.retain(|at| orders[*at].open() > 0);
    }
}
