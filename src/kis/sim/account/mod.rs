//! The simulated securities account: cash, holdings and orders against the day being played.
//!
//! Every app key has one account. It begins with [`SimOptions::cash`] and
//! [`SimOptions::holdings`]; nothing is kept when the simulator ends. How orders trade is said in
//! [`ledger`]; [`answers`] writes the inquiries, [`orders`] reads orders.
//!
//! One truth: an account is looked at and changed while the player is locked, after the trades
//! played so far have been matched, so prices, fills and sums agree with the quotations.
//!
//! Limits: no fees and taxes, no credit, no foreign currency, no settlement of earlier days; an
//! account's orders do not move the market, and two accounts do not trade with each other.
//!
//! [`SimOptions::cash`]: super::SimOptions::cash
//! [`SimOptions::holdings`]: super::SimOptions::holdings

pub(crate) mod answers;
pub(crate) mod ledger;
pub(crate) mod orders;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::market::Won;

use super::notices::{Notice, Outbox};
use super::options::SimHolding;
use super::playback::Playback;

pub(crate) use ledger::{Change, OrderEvent, SimAccount};

/// An account with its number.
struct Owned {
    /// Ten digits.
    number: String,
    account: SimAccount,
}

#[derive(Default)]
struct Inner {
    /// By app key.
    owned: BTreeMap<String, Owned>,
    /// Prints of the day that have been matched.
    seen: usize,
    last_order: u32,
}

/// All accounts.
pub(crate) struct Accounts {
    /// The only account number there is, ten digits; `None` takes the first that an app key names.
    number: Option<String>,
    cash: Won,
    holdings: Vec<SimHolding>,
    inner: Mutex<Inner>,
}

/// The account number is not this app key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongAccount;

/// What a caller may do with an account while everything stands still.
pub(crate) struct Desk<'a> {
    pub account: &'a mut SimAccount,
    pub playback: &'a Playback,
    last_order: &'a mut u32,
}

impl Desk<'_> {
    /// A number for the next order, amendment or cancellation.
    pub fn next_number(&mut self) -> u32 {
        *self.last_order += 1;
        *self.last_order
    }
}

impl Accounts {
    pub fn new(number: Option<String>, cash: Won, holdings: Vec<SimHolding>) -> Self {
        Self { number, cash, holdings, inner: Mutex::default() }
    }

    /// Matches what has been played since the last time. Cheap while no order is open.
    pub fn follow(&self, playback: &Mutex<Playback>, outbox: &Outbox) {
        let playback = playback.lock();
        self.inner.lock().follow(&playback, outbox);
    }

    /// Lets `work` use the account of `app_key`, which must be `number` (ten digits). What happens
    /// to its orders goes to `outbox`.
    pub fn at_desk<R>(
        &self,
        playback: &Mutex<Playback>,
        outbox: &Outbox,
        (app_key, number): (&str, &str),
        work: impl FnOnce(&mut Desk) -> R,
    ) -> Result<R, WrongAccount> {
        let playback = playback.lock();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.follow(&playback, outbox);
        let whole = number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit());
        if !whole || self.number.as_ref().is_some_and(|only| only != number) {
            return Err(WrongAccount);
        }
        let owned = inner
            .owned
            .entry(app_key.to_owned())
            .or_insert_with(|| Owned { number: number.to_owned(), account: self.open(&playback) });
        if owned.number != number {
            return Err(WrongAccount);
        }
        let last_order = &mut inner.last_order;
        let mut desk = Desk { account: &mut owned.account, playback: &playback, last_order };
        let result = work(&mut desk);
        outbox.push(owned.notices(app_key, &playback));
        Ok(result)
    }

    /// A new account. Holdings of issues that are not played are left out.
    fn open(&self, playback: &Playback) -> SimAccount {
        let number_of = |symbol| {
            let issues = &playback.day.issues;
            issues.iter().position(|issue| issue.symbol == symbol).map(|at| at as u32)
        };
        let holdings = self.holdings.iter().filter_map(|holding| {
            Some((number_of(holding.symbol)?, holding.quantity, holding.average_price))
        });
        SimAccount::new(self.cash, holdings)
    }
}

impl Inner {
    fn follow(&mut self, playback: &Playback, outbox: &Outbox) {
        let news = self.seen..playback.next_print;
        self.seen = playback.next_print;
        for (app_key, owned) in &mut self.owned {
            if !owned.account.has_open_orders() {
                continue;
            }
            for print in &playback.day.prints[news.clone()] {
                owned.account.see(print);
            }
            outbox.push(owned.notices(app_key, playback));
        }
    }
}

impl Owned {
    fn notices(&mut self, app_key: &str, playback: &Playback) -> Vec<Notice> {
        let events = self.account.take_events();
        let issues = &playback.day.issues;
        let notice = |event: OrderEvent| {
            let issue = &issues[event.order.issue as usize];
            Notice {
                app_key: app_key.to_owned(),
                account: self.number.clone(),
                symbol: issue.symbol.to_string(),
                name: issue.name.clone(),
                event,
            }
        };
        events.into_iter().map(notice).collect()
    }
}
