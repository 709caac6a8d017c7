//! What can be found out about KIS, for `doctor` and `check`: environment, keys, block, clock,
//! calendar, registrations.
//!
//! Each finding is a function of settings, an answer and the time, so that it can be tested without
//! KIS. What asks KIS is [`KeyState`], which sends nothing while KIS shuts the key out and, unless it
//! may, asks for no token: KIS tells the customer of each.

use std::borrow::Cow;
use std::time::Duration;

use chrono::TimeDelta;

use super::assembly;
use super::finding::Check;
use crate::config::{ServiceUrl, Settings};
use crate::kis::error::Refusal;
use crate::kis::subscriptions::{Allocation, Watch};
use crate::kis::{
    Block, CalendarDay, Environment, KeptToken, KisClient, KisError, KisOptions, Plan, Tr,
};
use crate::market::calendar::{Validity, WARN_DAYS};
use crate::market::{Calendar, EventTime, SessionDay, Symbol};

/// A clock that is off by more is worth a warning, seconds.
const SKEW_WARN: i64 = 5;
/// A clock that is off by more makes times and tokens wrong, seconds.
const SKEW_FAIL: i64 = 60;
/// Sessions to come that the calendar must know.
const SESSIONS: usize = 5;
/// An issue is polled no more often, seconds.
const LEAST_POLL: f64 = 5.0;
/// The issue that everybody knows, when the settings name none.
const WELL_KNOWN: &[u8] = b"005930";

const OFFICIAL_WAY: &str = "wait until then: retries and restarts prolong a block; read the notices \
     of the KIS Developers portal, check there that the service of this app key is active and that \
     this machine's address is allowed, or ask KIS's support";

const fn word(environment: Environment) -> &'static str {
    match environment {
        Environment::Real => "real",
        Environment::Mock => "mock",
    }
}

const fn other(environment: Environment) -> &'static str {
    match environment {
        Environment::Real => "mock",
        Environment::Mock => "real",
    }
}

/// Whose address this is, when it is one of KIS's.
fn owner(url: &ServiceUrl) -> Option<Environment> {
    let (host, port) = url.host_and_port()?;
    match (host.as_str(), port) {
        ("openapi.koreainvestment.com", _) | ("ops.koreainvestment.com", 21_000) => {
            Some(Environment::Real)
        }
        ("openapivts.koreainvestment.com", _) | ("ops.koreainvestment.com", 31_000) => {
            Some(Environment::Mock)
        }
        _ => None,
    }
}

/// Whether addresses and `kis.env` are of one environment.
pub(super) fn environment(settings: &Settings) -> Check {
    let (name, set) = ("kis environment", assembly::environment(settings));
    for url in [&settings.kis.base_url, &settings.kis.ws_url] {
        if owner(url).is_some_and(|owner| owner != set) {
            return Check::fail(
                name,
                format!("KIS_ENV is {}, but {url} is KIS's address of {}", word(set), other(set)),
                format!(
                    "set KIS_ENV={}, or leave KIS_BASE_URL and KIS_WS_URL unset; the keys must be \
                     of the same environment",
                    other(set)
                ),
            );
        }
    }
    Check::ok(name, format!("{}, {}", word(set), settings.kis.base_url))
}

/// What `error` means for whoever set the keys.
pub(super) fn trouble(name: Cow<'static, str>, error: &KisError, settings: &Settings) -> Check {
    let (set, url) = (assembly::environment(settings), &settings.kis.base_url);
    let (env, other) = (word(set), other(set));
    let found = match error {
        KisError::Refused { endpoint, code, message, .. }
        | KisError::TokenRefusedAgain { endpoint, code, message } => {
            format!("{endpoint} is refused by {url}: {code} \"{}\"", message.trim())
        }
        KisError::Blocked { endpoint, since, until, cause } => {
            let block = Block { since: *since, until: *until, cause: cause.clone(), count: 1 };
            return Check {
                found: format!("{endpoint}: {}", shut_out(&block)),
                ..blocked(name, &block)
            };
        }
        other => other.to_string(),
    };
    let advice = match (error.refusal(), error) {
        (Some(Refusal::Credentials), _) => format!(
            "check KIS_APP_KEY and KIS_APP_SECRET against the KIS Developers portal; keys of paper \
             trading (모의투자) need KIS_ENV=mock, those of a real account KIS_ENV=real (in force: \
             {env})"
        ),
        (Some(Refusal::WrongEnvironment), _) => format!(
            "KIS_ENV={env} is not what plays at that address: set KIS_ENV={other} with keys of \
             that environment, or correct KIS_BASE_URL and KIS_WS_URL"
        ),
        (Some(Refusal::Token), _) => format!(
            "the token was revoked or is of the other environment: check that the keys belong to \
             KIS_ENV={env}; `bongsu check etl` asks for another one"
        ),
        (Some(refusal), _) => refusal.remedy().to_owned(),
        (None, KisError::Transport { .. }) => "check the network, and KIS_BASE_URL".to_owned(),
        (None, KisError::Malformed { .. }) => {
            "what answers there is not KIS's API: check KIS_BASE_URL and any proxy".to_owned()
        }
        (None, KisError::NoToken { .. }) => UNPROVEN_ADVICE.to_owned(),
        (None, _) => "see the text".to_owned(),
    };
    Check::fail(name, found, advice)
}

fn shut_out(block: &Block) -> String {
    let Block { since, until, cause, .. } = block;
    format!(
        "KIS has shut this key or address out since {} by {cause}; nothing is sent before {}",
        since.rfc3339(),
        until.rfc3339()
    )
}

/// A block that is in force.
pub(super) fn blocked(name: Cow<'static, str>, block: &Block) -> Check {
    Check::fail(name, shut_out(block), OFFICIAL_WAY)
}

const UNPROVEN_ADVICE: &str = "`bongsu check etl` or `bongsu doctor --online` asks KIS for a token \
     (KIS then sends the customer a message)";

/// Whether this machine's clock is KIS's. `ahead`: how far KIS's is ahead.
pub(super) fn clock(ahead: TimeDelta) -> Check {
    let seconds = ahead.num_seconds();
    let found = match seconds {
        0 => "the same as KIS's, to a second".to_owned(),
        1.. => format!("{seconds} s behind KIS's"),
        _ => format!("{} s ahead of KIS's", -seconds),
    };
    let advice = "synchronise this machine's time (for example timedatectl set-ntp true): sessions, \
                  bars and the life of tokens go by it";
    match seconds.abs() {
        off if off > SKEW_FAIL => Check::fail("clock", found, advice),
        off if off > SKEW_WARN => Check::warn("clock", found, advice),
        _ => Check::ok("clock", found),
    }
}

/// Whether the built-in calendar knows `today` and the next sessions.
pub(super) fn calendar(today: SessionDay) -> Check {
    let (name, validity) = ("calendar", Validity::of(today, WARN_DAYS));
    let krx = Calendar::krx();
    let next: Vec<SessionDay> =
        std::iter::successors(krx.next_session(today), |day| krx.next_session(*day))
            .take(SESSIONS)
            .collect();
    let release = "install a release with a later calendar; until then sessions are guessed from \
                   the weekday";
    match validity {
        Validity::Ended { .. } => {
            return Check::fail(name, format!("no holiday data: {validity}"), release);
        }
        Validity::NotBegun { .. } => {
            return Check::fail(
                name,
                format!("no holiday data: {validity}"),
                "set this machine's clock",
            );
        }
        Validity::EndsSoon { .. } if next.len() < SESSIONS => {
            let known = next.len();
            return Check::warn(
                name,
                format!("{validity}: only {known} of the next {SESSIONS} sessions are known"),
                release,
            );
        }
        Validity::EndsSoon { .. } => return Check::warn(name, validity.to_string(), release),
        Validity::Good { .. } => {}
    }
    let today_is = match (krx.is_session(today), krx.holiday_name(today)) {
        (Some(true), _) => "a session".to_owned(),
        (_, Some(holiday)) => format!("no session ({holiday})"),
        (_, None) => "no session".to_owned(),
    };
    let next: Vec<String> = next.iter().map(ToString::to_string).collect();
    Check::ok(name, format!("{today} is {today_is}, next {}; {validity}", next.join(", ")))
}

/// Whether KIS's calendar tells of `today` and agrees with the built-in one.
pub(super) fn kis_calendar(
    answer: Result<Vec<CalendarDay>, KisError>,
    today: SessionDay,
    settings: &Settings,
) -> Check {
    let name = "kis calendar";
    let fall_back = "the built-in calendar is used alone; ask again later";
    let days = match answer {
        Ok(days) => days,
        Err(KisError::NotInPaperTrading { .. }) => {
            let found = "paper trading has none: the built-in calendar is used alone";
            return Check::ok(name, found);
        }
        Err(error) => {
            let check = trouble(name.into(), &error, settings);
            let advice = format!("{}; {fall_back}", check.advice);
            return Check { found: format!("no holiday data: {}", check.found), advice, ..check };
        }
    };
    if !days.iter().any(|row| row.day == today) {
        let found =
            format!("no holiday data: KIS's answer has {} days and not {today}", days.len());
        return Check::fail(name, found, fall_back);
    }
    let krx = Calendar::krx();
    let differ = |row: &&CalendarDay| krx.is_session(row.day).is_some_and(|open| open != row.open);
    let told: Vec<String> = days
        .iter()
        .filter(differ)
        .map(|row| format!("{} {}", row.day, if row.open { "open" } else { "closed" }))
        .collect();
    if told.is_empty() {
        return Check::ok(
            name,
            format!("agrees with the built-in one, {} days from {today}", days.len()),
        );
    }
    Check::warn(
        name,
        format!("KIS tells otherwise than the built-in one: {}", told.join(", ")),
        "KIS is probably right: install a release with a newer calendar",
    )
}

/// Slots that `watch` takes in the sessions of `keys` app keys, and what is polled for want of one.
pub(super) fn registrations(settings: &Settings, watch: &Watch, keys: usize) -> Check {
    let name = "registrations";
    if watch.symbols.is_empty() {
        return Check::warn(
            name,
            "feed.symbols is empty",
            "name the issues to watch (BONGSU_FEED__SYMBOLS=005930,000660)",
        );
    }
    let each = settings.feed.max_registrations as usize;
    let plan = Plan::new(watch, assembly::environment(settings));
    let allocation = Allocation::new(plan.wanted, keys, Some(each));
    let used: Vec<usize> = (0..keys).map(|key| allocation.target(key).len()).collect();
    let (all, slots) = (used.iter().sum::<usize>(), each * keys);
    let mut found = format!("{all} of {slots} slots in use, {} free", slots - all);
    if keys > 1 {
        let by_key = used.iter().map(|used| format!("{used} of {each}"));
        found.push_str(&format!(" ({keys} app keys: {})", by_key.collect::<Vec<_>>().join(", ")));
    }
    let unplaced = allocation.unplaced();
    let polled = unplaced.iter().filter(|wanted| wanted.tr == Tr::Trade).count();
    let waiting = unplaced.len() - polled;
    if waiting > 0 {
        found.push_str(&format!("; {waiting} order books and other feeds wait for a slot"));
    }
    if polled == 0 {
        return Check::ok(name, found);
    }
    let turn = (polled as f64 / (settings.kis.calls_per_second * keys as f64)).max(LEAST_POLL);
    let found =
        format!("{found}; {polled} issues are polled by REST, each every {turn:.0} s at best");
    Check::warn(
        name,
        found,
        "their single trades are not to be had: add app keys (kis.extra_keys, \
         BONGSU_KIS__EXTRA_KEYS), or name fewer issues",
    )
}

/// App keys that are set.
pub(super) fn key_count(settings: &Settings) -> usize {
    1 + settings.kis.extra_keys.len()
}

/// One app key: its client, and what was found about it.
pub(super) struct KeyState {
    /// What the line is called.
    pub name: Cow<'static, str>,
    /// Its client.
    pub client: KisClient,
}

impl KeyState {
    /// Every key of `options`, the first one first. `issue`: KIS may be asked for a token.
    ///
    /// # Errors
    /// When a client cannot be built.
    pub fn of_all(options: Vec<KisOptions>, issue: bool) -> Result<Vec<Self>, KisError> {
        let named = options.into_iter().enumerate().map(|(number, options)| {
            let name: Cow<'static, str> = match number {
                0 => "kis keys".into(),
                more => format!("kis extra key {more}").into(),
            };
            let options = KisOptions {
                issue_tokens: issue,
                // Whoever waits for a check wants to hear of trouble.
                attempts: 2,
                deadline: Duration::from_secs(15),
                ..options
            };
            Ok(Self { name, client: KisClient::new(options)? })
        });
        named.collect()
    }

    /// Proves the key by one call about an issue. Without leave to ask for a token, a kept one must
    /// do, and without one nothing is sent.
    pub async fn prove(&self, settings: &Settings, issue: bool) -> Check {
        let name = self.name.clone();
        if let Some(block) = self.client.block().await {
            return blocked(name, &block);
        }
        let kept = match self.client.kept_token().await {
            KeptToken::Refused { at, error } if !issue => {
                let check = trouble(name, &error, settings);
                let found = format!("at {}, {}", at.rfc3339(), check.found);
                return Check { found, ..check };
            }
            KeptToken::None if !issue => {
                let found = "set, but unproven: no access token is kept yet";
                return Check::warn(name, found, UNPROVEN_ADVICE);
            }
            KeptToken::Usable { expires_at } => Some(expires_at),
            KeptToken::None | KeptToken::Refused { .. } => None,
        };
        match self.client.inquire_price(an_issue(settings)).await {
            Ok(_) => {
                let token = kept.map_or_else(
                    || "KIS issued an access token".to_owned(),
                    |until| format!("the access token kept until {}", until.rfc3339()),
                );
                Check::ok(name, format!("accepted ({token})"))
            }
            Err(error) => trouble(name, &error, settings),
        }
    }

    /// How this machine's clock is, by the answers so far or else by one that needs no key.
    pub async fn clock(&self, settings: &Settings) -> Option<Check> {
        if self.client.block().await.is_some() {
            return None;
        }
        let asked = match self.client.clock_skew() {
            Some(ahead) => Ok(Some(ahead)),
            None => self.client.ask_clock().await,
        };
        Some(match asked {
            Ok(Some(ahead)) => clock(ahead),
            Ok(None) => {
                Check::warn("clock", "KIS's answer has no date", "compare this machine's time")
            }
            Err(error) => Check {
                state: super::finding::State::Warn,
                ..trouble("clock".into(), &error, settings)
            },
        })
    }
}

/// An issue to ask about.
fn an_issue(settings: &Settings) -> Symbol {
    let named = settings.feed.symbols.first().or(settings.collect.symbols.first());
    named.copied().or_else(|| Symbol::from_bytes(WELL_KNOWN)).unwrap_or_else(|| {
        // The constant is a code.
        unreachable!("{WELL_KNOWN:?} is a code")
    })
}

/// What is to be said about the account's notices without a session.
pub(super) fn notices(settings: &Settings) -> Check {
    let name = "account notices";
    match (&settings.kis.hts_id, assembly::environment(settings)) {
        (None, _) => Check::ok(
            name,
            "no HTS id is set (kis.hts_id, KIS_HTS_ID): own orders are known from REST alone",
        ),
        (Some(_), Environment::Mock) => Check::warn(name, PAPER_NOTICES, PAPER_ADVICE),
        (Some(_), Environment::Real) => Check::ok(
            name,
            "an HTS id is set; whether KIS knows it is found out by `bongsu check etl`",
        ),
    }
}

/// Paper trading and notices.
pub(super) const PAPER_NOTICES: &str =
    "an HTS id is set, but paper trading sends some accounts no notices";
/// What to do about that.
pub(super) const PAPER_ADVICE: &str =
    "nothing: the orders come by REST; with KIS_ENV=real notices are to be expected";

/// The present instant by this machine.
pub(super) fn now() -> EventTime {
    crate::actors::collection::wall_clock()()
}

#[cfg(test)]
mod tests;
