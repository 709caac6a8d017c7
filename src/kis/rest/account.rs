//! What an account holds, can buy and has ordered. Nothing here changes an account.

use super::super::answer::{Balance, BuyingPower, OpenOrder, OrderHistory};
use super::super::{Account, KisError};
use super::{KisClient, Request};
use crate::market::{SessionDay, Symbol, Won};

impl KisClient {
    /// Holdings and money of an account. Slow at KIS.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn balance(&self, account: &Account) -> Result<Balance, KisError> {
        Balance::of_pages(&self.fetch_pages(Request::balance(account)).await?)
    }

    /// Orders of an account from `from` to `to` and what became of them, newest first.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn order_history(
        &self,
        account: &Account,
        from: SessionDay,
        to: SessionDay,
    ) -> Result<OrderHistory, KisError> {
        let today = self.inner.options.clock.now().session_day();
        let mut history = OrderHistory::default();
        for request in Request::order_history(self.environment(), account, from, to, today) {
            let part = OrderHistory::of_pages(&self.fetch_pages(request).await?)?;
            history = history.and_earlier(part);
        }
        Ok(history)
    }

    /// Orders of an account that are still open. Paper trading lacks the call: the orders of the day
    /// with an open rest ([`Self::order_history`]) serve there.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn open_orders(&self, account: &Account) -> Result<Vec<OpenOrder>, KisError> {
        OpenOrder::of_pages(&self.fetch_pages(Request::open_orders(account)).await?)
    }

    /// What an account could buy of `symbol`, at `price` won or (`None`) at the market.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn buying_power(
        &self,
        account: &Account,
        symbol: Symbol,
        price: Option<Won>,
    ) -> Result<BuyingPower, KisError> {
        BuyingPower::of(&self.fetch(&Request::buying_power(account, symbol, price)).await?)
    }
}
