//! A short WebSocket session: subscribes to one issue and to the account's notices, and leaves.
//!
//! In: a client, the address, what to watch. Out: how KIS answered. One session, no second attempt:
//! KIS allows one an app key, so nobody else may have one.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::finding::Check;
use crate::cli::kis_state::{PAPER_ADVICE, PAPER_NOTICES};
use crate::kis::subscriptions::{Refused, Watch};
use crate::kis::{
    Environment, Feed, FeedConfig, FeedError, FeedEvent, FrameSink, KisClient, LossCause,
    SinkClosed, Tr,
};
use crate::messages::FrameKind;

/// Longest time the session is waited for.
const WITHIN: Duration = Duration::from_secs(15);
/// Events that wait to be looked at.
const EVENTS: usize = 64;

/// How the session went.
#[derive(Debug)]
pub(super) enum Session {
    /// It stood, and every subscription was answered.
    Answered {
        /// Those that were refused.
        refused: Vec<Refused>,
    },
    /// It could not be had, or broke.
    Lost(LossCause),
    /// KIS does not know the app key.
    GivenUp(String),
    /// Not every subscription was answered in time.
    Silent,
}

/// Hears what happens to the feed; frames are let go.
#[derive(Clone)]
struct Ear(mpsc::Sender<FeedEvent>);

impl FrameSink for Ear {
    async fn push(&mut self, _: FrameKind, _: i64, _: &[u8]) -> Result<(), SinkClosed> {
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkClosed> {
        Ok(())
    }

    async fn report(&mut self, event: FeedEvent) -> Result<(), SinkClosed> {
        self.0.send(event).await.map_err(|_| SinkClosed)
    }
}

/// Has the session.
pub(super) async fn visit(client: &KisClient, ws_url: String, watch: Watch) -> Session {
    let config = FeedConfig::new(ws_url, client.environment(), watch);
    let (ear, mut events) = mpsc::channel(EVENTS);
    let leave = CancellationToken::new();
    let run = Feed::new(config).run(vec![client.clone()], Ear(ear), leave.clone());
    tokio::pin!(run);
    let seen = async {
        while let Some(event) = events.recv().await {
            match event {
                FeedEvent::Subscribed { refused, .. } => return Session::Answered { refused },
                FeedEvent::Lost { cause, .. } => return Session::Lost(cause),
                FeedEvent::GivenUp { why, .. } => return Session::GivenUp(why),
                _ => {}
            }
        }
        Session::Silent
    };
    let session = tokio::select! {
        biased;
        session = tokio::time::timeout(WITHIN, seen) => session.unwrap_or(Session::Silent),
        ended = &mut run => return of_end(ended),
    };
    leave.cancel();
    // Gone: whoever still reports finds nobody.
    drop(events);
    match run.await {
        Ok(()) | Err(_) => session,
    }
}

fn of_end(ended: Result<(), FeedError>) -> Session {
    match ended {
        Ok(()) => Session::Silent,
        Err(error) => Session::GivenUp(error.to_string()),
    }
}

/// The line about the session itself.
pub(super) fn websocket(session: &Session) -> Check {
    let name = "kis websocket";
    match session {
        Session::Answered { refused } => {
            let data = refused.iter().find(|refused| !is_notice(refused.registration.tr));
            match data {
                None => Check::ok(name, "a session subscribed and left"),
                Some(Refused { registration, code, message }) => Check::fail(
                    name,
                    format!("{registration} is refused: {code} \"{message}\""),
                    "check that the issue code exists, and that keys and KIS_ENV belong together",
                ),
            }
        }
        Session::Lost(LossCause::InUse) => Check::fail(
            name,
            LossCause::InUse.to_string(),
            "end the other program with this app key (another daemon, another machine), or use a \
             key of its own",
        ),
        Session::Lost(cause) => {
            Check::fail(name, cause.to_string(), "check the network, and KIS_WS_URL")
        }
        Session::GivenUp(why) => {
            Check::fail(name, why.clone(), "check KIS_APP_KEY, KIS_APP_SECRET and KIS_ENV")
        }
        Session::Silent => Check::fail(
            name,
            format!("not every subscription was answered within {WITHIN:?}"),
            "try again; if it lasts, see the notices of the KIS Developers portal",
        ),
    }
}

/// The line about the account's notices. `orders`: those of the last days, when they are known.
pub(super) fn notices(session: &Session, environment: Environment, orders: Option<usize>) -> Check {
    let name = "account notices";
    let Session::Answered { refused } = session else {
        return Check::warn(
            name,
            "an HTS id is set, but not proven: there was no session",
            "see the line above",
        );
    };
    match refused.iter().find(|refused| is_notice(refused.registration.tr)) {
        Some(Refused { code, message, .. }) if code == "OPSP0017" => Check::fail(
            name,
            format!("KIS does not know the HTS id: {code} \"{message}\""),
            "set KIS_HTS_ID to the login id of the HTS of the customer whose app key this is",
        ),
        Some(Refused { code, message, .. }) => Check::fail(
            name,
            format!("refused: {code} \"{message}\""),
            "check that keys and KIS_ENV belong together",
        ),
        None if environment == Environment::Mock => {
            Check::warn(name, format!("subscribed; {PAPER_NOTICES}"), PAPER_ADVICE)
        }
        None => Check::ok(
            name,
            match orders {
                Some(0) => "subscribed; no orders in the last days, so none have come yet",
                _ => "subscribed; one comes with every order and fill",
            },
        ),
    }
}

const fn is_notice(tr: Tr) -> bool {
    matches!(tr, Tr::Notice | Tr::PaperNotice)
}
