//! The ledger against random markets: whatever is ordered, the sums hold.

use proptest::prelude::*;

use super::ledger::{NewOrder, Order, OrderRefusal, OrderSide, SimAccount, Standing};
use super::{Change, OrderEvent};
use crate::kis::sim::day::Print;
use crate::market::Side;

const CASH: i64 = 1_000_000;

fn standing(ask: i64, bid: i64) -> Standing {
    Standing { at_ms: 36_000_000, ask, bid, upper: 1_300, tradable: true }
}

fn order(number: u32, side: OrderSide, price: i64, quantity: i64) -> NewOrder {
    NewOrder { number, issue: 0, side, price, quantity }
}

fn print(price: i32, quantity: i64, side: Side) -> Print {
    Print { at_ms: 36_000_500, issue: 0, quantity, price, ask: 0, bid: 0, side }
}

fn changes(account: &mut SimAccount) -> Vec<Change> {
    account.take_events().into_iter().map(|event| event.change).collect()
}

#[test]
fn a_resting_order_fills_at_its_price_by_the_size_of_the_prints() {
    let mut account = SimAccount::new(CASH, []);
    account.place(order(1, OrderSide::Buy, 990, 10), &standing(1_000, 995)).unwrap();
    assert_eq!(account.available(), CASH - 9_900);
    account.see(&print(991, 50, Side::Sell));
    account.see(&print(990, 4, Side::Sell));
    account.see(&Print { issue: 1, ..print(990, 4, Side::Sell) });
    account.see(&print(900, 50, Side::Sell));
    account.see(&print(900, 50, Side::Sell));
    assert_eq!(
        changes(&mut account),
        [
            Change::Received,
            Change::Filled { quantity: 4, price: 990 },
            Change::Filled { quantity: 6, price: 990 },
        ]
    );
    assert_eq!((account.holdings[&0].quantity, account.holdings[&0].cost), (10, 9_900));
    assert_eq!((account.settled(), account.available()), (CASH - 9_900, CASH - 9_900));
    assert!(!account.has_open_orders());
}

#[test]
fn an_auction_fills_at_its_own_price() {
    let mut account = SimAccount::new(CASH, [(0, 5, 800)]);
    account.place(order(1, OrderSide::Sell, 900, 5), &standing(0, 0)).unwrap();
    account.see(&print(950, 100, Side::Auction));
    assert_eq!(account.sold, 4_750);
    assert_eq!((account.holdings[&0].quantity, account.holdings[&0].cost), (0, 0));
}

#[test]
fn what_crosses_the_quote_fills_at_once_at_the_quote() {
    let mut account = SimAccount::new(CASH, []);
    let bought = account.place(order(1, OrderSide::Buy, 1_100, 3), &standing(1_000, 995)).unwrap();
    assert_eq!((bought.filled, bought.filled_value), (3, 3_000));
    let sold = account.place(order(2, OrderSide::Sell, 0, 3), &standing(1_000, 995)).unwrap();
    assert_eq!((sold.filled, sold.filled_value, sold.kind()), (3, 2_985, "01"));
    assert_eq!(account.settled(), CASH - 15);
}

#[test]
fn a_market_order_without_a_quote_waits_for_prints() {
    let mut account = SimAccount::new(CASH, []);
    account.place(order(1, OrderSide::Buy, 0, 3), &standing(0, 990)).unwrap();
    assert_eq!(account.available(), CASH - 3 * 1_300, "reserved at the upper limit");
    account.see(&print(1_200, 2, Side::Buy));
    assert_eq!((account.bought, account.available()), (2_400, CASH - 2_400 - 1_300));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut account = SimAccount::new(CASH, [(0, 5, 800)]);
    let now = standing(1_000, 995);
    let refused = account.place(order(1, OrderSide::Buy, 1_000, 1_001), &now);
    assert_eq!(refused, Err(OrderRefusal::Cash));
    // 769 × 1,300 is 999,700; a market order needs the upper limit price.
    assert_eq!(account.place(order(2, OrderSide::Buy, 0, 770), &now), Err(OrderRefusal::Cash));
    assert_eq!(account.place(order(3, OrderSide::Sell, 0, 6), &now), Err(OrderRefusal::Quantity));
    account.place(order(4, OrderSide::Sell, 1_200, 4), &now).unwrap();
    assert_eq!(account.sellable(0), 1, "what is on offer cannot be sold twice");
    assert_eq!(account.place(order(5, OrderSide::Sell, 0, 2), &now), Err(OrderRefusal::Quantity));
    assert_eq!(account.cancel(6, 4, Some(5), 0), Err(OrderRefusal::Quantity));
    assert_eq!(account.cancel(7, 99, None, 0), Err(OrderRefusal::NotOpen));
    account.cancel(8, 4, None, 0).unwrap();
    assert_eq!(account.cancel(9, 4, None, 0), Err(OrderRefusal::NotOpen));
    assert_eq!(account.sellable(0), 5);
    let off =
        account.place(order(10, OrderSide::Sell, 1_200, 4), &Standing { tradable: false, ..now });
    assert_eq!(off.unwrap().refused, 4);
    assert_eq!(account.sellable(0), 5, "a refused order holds nothing");
}

#[test]
fn an_amendment_is_a_new_order_for_the_rest() {
    let mut account = SimAccount::new(CASH, []);
    let now = standing(1_000, 995);
    account.place(order(1, OrderSide::Buy, 990, 10), &now).unwrap();
    account.see(&print(990, 4, Side::Sell));
    let dear = account.amend(2, 1, (500_000, None), &now);
    assert_eq!(dear, Err(OrderRefusal::Cash));
    assert_eq!(account.orders[0].open(), 6, "a refused amendment changes nothing");
    let amended = account.amend(3, 1, (1_000, None), &now).unwrap();
    assert_eq!((amended.original, amended.quantity, amended.filled), (Some(1), 6, 6));
    assert_eq!((account.orders[0].cancelled, account.orders[0].open()), (6, 0));
    let events: Vec<OrderEvent> = account.take_events();
    assert_eq!(events[2].change, Change::Amended);
    assert_eq!(account.holdings[&0].cost, 4 * 990 + 6 * 1_000);
}

/// What a client or the market does.
#[derive(Debug, Clone)]
enum Step {
    Place { buy: bool, price: i64, quantity: i64, issue: u32, tradable: bool },
    Amend { of: usize, price: i64, quantity: Option<i64> },
    Cancel { of: usize, quantity: Option<i64> },
    Trade { price: i32, quantity: i64, issue: u32, auction: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let price = prop_oneof![1 => Just(0i64), 5 => 700i64..=1_300];
    let some = prop::option::of(1i64..300);
    prop_oneof![
        3 => (any::<bool>(), price.clone(), 1i64..600, 0u32..3, prop::bool::weighted(0.9)).prop_map(
            |(buy, price, quantity, issue, tradable)| Step::Place { buy, price, quantity, issue, tradable }
        ),
        1 => (0usize..20, price, some.clone())
            .prop_map(|(of, price, quantity)| Step::Amend { of, price, quantity }),
        1 => (0usize..20, some).prop_map(|(of, quantity)| Step::Cancel { of, quantity }),
        5 => (700i32..=1_300, 1i64..200, 0u32..3, any::<bool>())
            .prop_map(|(price, quantity, issue, auction)| Step::Trade { price, quantity, issue, auction }),
    ]
}

/// What must hold at any moment.
fn audit(account: &SimAccount, start: &SimAccount) {
    assert!(account.settled() >= 0 && account.available() >= 0, "{account:?}");
    let mut bought = 0;
    let mut sold = 0;
    for order in &account.orders {
        assert_eq!(
            order.quantity,
            order.filled + order.open() + order.cancelled + order.refused,
            "{order:?}"
        );
        assert!(order.open() >= 0 && order.filled >= 0 && order.cancelled >= 0);
        match order.side {
            OrderSide::Buy => bought += order.filled_value,
            OrderSide::Sell => sold += order.filled_value,
        }
        if order.price > 0 && order.filled > 0 {
            let limit = order.price * order.filled;
            match order.side {
                OrderSide::Buy => assert!(order.filled_value <= limit, "{order:?}"),
                OrderSide::Sell => assert!(order.filled_value >= limit, "{order:?}"),
            }
        }
    }
    assert_eq!((account.bought, account.sold), (bought, sold));
    assert_eq!(account.settled(), start.deposit - bought + sold);
    for (issue, holding) in &account.holdings {
        let filled = |side| -> i64 {
            let orders =
                account.orders.iter().filter(|o: &&Order| o.issue == *issue && o.side == side);
            orders.map(|order| order.filled).sum()
        };
        assert_eq!(
            (holding.bought, holding.sold),
            (filled(OrderSide::Buy), filled(OrderSide::Sell))
        );
        let before = start.holdings.get(issue).map_or(0, |holding| holding.quantity);
        assert_eq!(holding.quantity, before + holding.bought - holding.sold);
        assert!(holding.quantity >= 0 && holding.cost >= 0, "{holding:?}");
        assert!(holding.quantity > 0 || holding.cost == 0, "{holding:?}");
        assert!(account.sellable(*issue) >= 0);
    }
    let open = account.orders.iter().filter(|order| order.open() > 0).count();
    assert_eq!(account.open_orders().count(), open);
}

proptest! {
    #[test]
    fn the_sums_hold_whatever_is_ordered(
        steps in prop::collection::vec(step(), 0..60),
        spread in 1i64..50,
    ) {
        let start = SimAccount::new(CASH, [(0, 500, 777), (1, 3, 1_001)]);
        let mut account = start.clone();
        let mut number = 0;
        let mut last = [0i64; 3];
        let mut noticed = 0;
        for step in steps {
            number += 1;
            let known = account.orders.len();
            let market = |issue: u32, tradable| {
                let price = last[issue as usize];
                let (ask, bid) = if price == 0 { (0, 0) } else { (price + spread, price) };
                Standing { tradable, ..standing(ask.min(1_300), bid) }
            };
            match step {
                Step::Place { buy, price, quantity, issue, tradable } => {
                    let side = if buy { OrderSide::Buy } else { OrderSide::Sell };
                    let new = NewOrder { issue, ..order(number, side, price, quantity) };
                    // A refusal must leave the sums as they are, which the audit sees.
                    let _ = account.place(new, &market(issue, tradable));
                }
                Step::Amend { of, price, quantity } if of < known => {
                    let Order { number: original, issue, .. } = account.orders[of];
                    let _ = account.amend(number, original, (price, quantity), &market(issue, true));
                }
                Step::Cancel { of, quantity } if of < known => {
                    let _ = account.cancel(number, account.orders[of].number, quantity, 0);
                }
                Step::Amend { .. } | Step::Cancel { .. } => {}
                Step::Trade { price, quantity, issue, auction } => {
                    let side = if auction { Side::Auction } else { Side::Buy };
                    account.see(&Print { issue, ..print(price, quantity, side) });
                    last[issue as usize] = price.into();
                }
            }
            audit(&account, &start);
            for event in account.take_events() {
                if let Change::Filled { quantity, .. } = event.change {
                    noticed += quantity;
                }
            }
            let filled: i64 = account.orders.iter().map(|order| order.filled).sum();
            prop_assert_eq!(noticed, filled, "every fill is told once");
        }
    }
}
