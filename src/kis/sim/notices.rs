//! Notices of the customer's own orders (체결통보, `H0STCNI0` and `H0STCNI9`).
//!
//! An order that is received, amended, cancelled, refused or filled leaves a [`Notice`]. The
//! delivery task writes it as 26 fields, encrypts it for every session that is subscribed to
//! notices under the app key of the account, and queues it there in the order in which things
//! happened. A session that does not read makes the delivery wait, as it does the clock.
//!
//! Limits: with no HTS id set, one app key's notices go to that app key's session alone; with one
//! set, every subscriber has that id and is sent the notices of all accounts. Notices without a
//! subscriber are gone, as with KIS.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::market::Won;

use super::account::{Change, OrderEvent};
use super::day::hhmmss;
use super::options::SimEnv;
use super::server::Shared;
use super::session::Outgoing;

/// Name of the holder of every simulated account.
const HOLDER: &str = "홍길동";
/// Notices that wait for delivery; beyond it the oldest is given up, with a warning.
const MOST_WAITING: usize = 10_000;

/// The TR ID of order notices in an environment.
pub(crate) const fn tr_id(env: SimEnv) -> &'static str {
    match env {
        SimEnv::Real => "H0STCNI0",
        SimEnv::Mock => "H0STCNI9",
    }
}

/// Key and initial vector of one session's notices: ASCII texts, as the acknowledgement gives
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoticeCipher {
    /// 32 characters.
    pub key: String,
    /// 16 characters.
    pub iv: String,
}

impl NoticeCipher {
    /// The cipher that goes with an approval key.
    pub fn of(approval: &str) -> Self {
        let secret = hex::encode(Sha256::digest(approval));
        Self { key: secret[16..48].to_owned(), iv: secret[..16].to_owned() }
    }

    /// AES-256-CBC with PKCS#7 padding, in base64.
    pub fn encrypt(&self, text: &str) -> String {
        let (mut key, mut iv) = ([0u8; 32], [0u8; 16]);
        key.copy_from_slice(self.key.as_bytes());
        iv.copy_from_slice(self.iv.as_bytes());
        let cipher = cbc::Encryptor::<aes::Aes256>::new(&key.into(), &iv.into());
        STANDARD.encode(cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes()))
    }
}

/// A session's subscription to notices.
#[derive(Debug, Clone)]
pub(crate) struct NoticeSubscription {
    pub app_key: String,
    pub hts_id: String,
    pub cipher: NoticeCipher,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub app_key: String,
    /// Ten digits.
    pub account: String,
    pub symbol: String,
    pub name: String,
    pub event: OrderEvent,
}

impl Notice {
    /// The 26 fields.
    pub fn text(&self, hts_id: &str, env: SimEnv) -> String {
        let event = &self.event;
        let order = &event.order;
        let (quantity, price): (i64, Won) = match event.change {
            Change::Filled { quantity, price } => (quantity, price),
            Change::Cancelled { quantity } | Change::Refused { quantity } => {
                (quantity, order.price)
            }
            Change::Received | Change::Amended => (order.quantity, order.price),
        };
        let original = order.original.map(|number| format!("{number:010}")).unwrap_or_default();
        let revision = match event.change {
            Change::Amended => "1",
            Change::Cancelled { .. } => "2",
            Change::Received | Change::Refused { .. } | Change::Filled { .. } => "0",
        };
        let filled = matches!(event.change, Change::Filled { .. });
        let received = matches!(event.change, Change::Received | Change::Refused { .. });
        [
            hts_id, // 0
            &self.account,
            &format!("{:010}", order.number),
            &original,
            order.side.code(),
            revision, // 5
            order.kind(),
            "0",
            &self.symbol,
            &format!("{quantity:010}"),
            &format!("{price:09}"), // 10
            &format!("{:06}", hhmmss(event.at_ms)),
            if matches!(event.change, Change::Refused { .. }) { "1" } else { "0" },
            if filled { "2" } else { "1" },
            if received { "1" } else { "2" },
            branch(env), // 15
            &format!("{:09}", order.quantity),
            HOLDER,
            "0",
            "1",
            "N", // 20
            "",
            "00",
            "",
            &self.name,
            &format!("{:09}", order.price), // 25
        ]
        .join("^")
    }
}

/// The branch that numbers the orders.
pub(crate) const fn branch(env: SimEnv) -> &'static str {
    match env {
        SimEnv::Real => "06010",
        SimEnv::Mock => "00950",
    }
}

/// Notices on their way.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<VecDeque<Notice>>,
    filled: Notify,
}

impl Outbox {
    /// Takes notices over, in order. Never waits: called under the accounts' lock.
    pub fn push(&self, notices: impl IntoIterator<Item = Notice>) {
        let mut waiting = self.waiting.lock();
        waiting.extend(notices);
        if waiting.is_empty() {
            return;
        }
        let surplus = waiting.len().saturating_sub(MOST_WAITING);
        if surplus > 0 {
            waiting.drain(..surplus);
            tracing::warn!(surplus, "the simulator gave up order notices that nobody read");
        }
        drop(waiting);
        self.filled.notify_one();
    }

    async fn next(&self) -> Notice {
        loop {
            let next = self.waiting.lock().pop_front();
            match next {
                Some(notice) => return notice,
                // A notice between the check and the wait is not lost: `notify_one` leaves a
                // permit.
                None => self.filled.notified().await,
            }
        }
    }
}

/// Delivers notices for ever.
pub(crate) async fn deliver(shared: &Shared) {
    let env = shared.options.env;
    let to_all = shared.options.hts_id.is_some();
    loop {
        let notice = shared.outbox.next().await;
        let sessions = shared.sessions.lock().clone();
        for session in sessions {
            let wanted: Vec<Utf8Bytes> = {
                let subscriptions = session.subscriptions.lock();
                subscriptions
                    .notices()
                    .filter(|wanted| to_all || wanted.app_key == notice.app_key)
                    .map(|wanted| {
                        let payload = wanted.cipher.encrypt(&notice.text(&wanted.hts_id, env));
                        format!("1|{}|001|{payload}", tr_id(env)).into()
                    })
                    .collect()
            };
            if !wanted.is_empty() {
                // A session that has ended has no queue; its notices have no reader.
                let _ = session.queue.send(Outgoing::Frames(wanted)).await;
            }
        }
    }
}
