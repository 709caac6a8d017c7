//! Connections to Redis, and scripts run over them.
//!
//! A [`Link`] is one connection that reconnects for ever. Each call has a time-out of its own, and none
//! is repeated by itself: whoever calls knows whether that is safe.

use std::sync::OnceLock;
use std::time::Duration;

use fred::prelude::*;
use fred::types::config::Options;
use fred::types::{ClusterHash, ConnectHandle, CustomCommand};

use super::script::Script;

/// Why Redis did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be used at all.
    #[error("redis url cannot be used: {0}; expected redis://[user:password@]host:port/db")]
    Url(String),
    /// It did not answer, or refused.
    #[error("{what}: {cause}")]
    Call {
        /// What was asked.
        what: &'static str,
        /// What it said, or that it said nothing.
        cause: String,
    },
    /// A part of the worker has ended although nobody told it to.
    #[error("the worker's part {0} has ended by itself")]
    Part(&'static str),
    /// It answered in a form that this program does not know.
    #[error("{0}: an answer of an unexpected form")]
    Form(&'static str),
}

impl BrokerError {
    fn call(what: &'static str, error: &fred::error::Error) -> Self {
        let cause = match error.details() {
            "" => "no answer".to_owned(),
            details => details.to_owned(),
        };
        Self::Call { what, cause }
    }
}

/// How to reach Redis.
#[derive(Clone)]
pub struct Address {
    config: Config,
    connect_timeout: Duration,
    command_timeout: Duration,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}:{}/{})", self.host(), self.port(), self.database())
    }
}

impl Address {
    /// The address `url`.
    ///
    /// # Errors
    /// When it is none; the text holds no password.
    pub fn of(
        url: &str,
        connect_timeout: Duration,
        command_timeout: Duration,
    ) -> Result<Self, BrokerError> {
        let mut config =
            Config::from_url(url).map_err(|error| BrokerError::Url(error.details().to_owned()))?;
        // A server that is away at the start is waited for like one that goes away later.
        config.fail_fast = false;
        Ok(Self { config, connect_timeout, command_timeout })
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> String {
        let hosts = self.config.server.hosts();
        hosts.first().map(|server| server.host.to_string()).unwrap_or_default()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.config.server.hosts().first().map_or(6379, |server| server.port)
    }

    /// Number of the database.
    #[must_use]
    pub fn database(&self) -> u8 {
        self.config.database.unwrap_or(0)
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.config.tls.is_some()
    }
}

/// A connection. Dropping the last copy ends it.
#[derive(Clone)]
pub struct Link {
    client: Client,
    timeout: Duration,
    _driver: std::sync::Arc<Driver>,
}

struct Driver(ConnectHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.client.id())
    }
}

impl Link {
    /// Starts to connect and returns at once. Must be called on the runtime that does the I/O.
    ///
    /// # Errors
    /// When the client cannot be made of the address.
    pub fn open(address: &Address) -> Result<Self, BrokerError> {
        let connect = address.connect_timeout;
        let client = Builder::from_config(address.config.clone())
            .with_connection_config(|connection| {
                connection.connection_timeout = connect;
                connection.internal_command_timeout = connect;
                connection.max_command_attempts = 1;
                // A password that is set right later must heal by itself.
                connection.reconnect_on_auth_error = true;
                connection.tcp.nodelay = Some(true);
                connection.unresponsive.max_timeout = Some(Duration::from_secs(10));
            })
            .with_performance_config(|performance| {
                performance.broadcast_channel_capacity = 1_024;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 100, 3_000, 2))
            .build()
            .map_err(|error| BrokerError::Url(error.details().to_owned()))?;
        let driver = Driver(client.connect());
        Ok(Self { client, timeout: address.command_timeout, _driver: std::sync::Arc::new(driver) })
    }

    /// The client, for what is no plain call.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When Redis refuses it, or does not answer within the time-out.
    pub async fn call(
        &self,
        command: &'static str,
        arguments: Vec<Value>,
    ) -> Result<Value, BrokerError> {
        self.call_within(command, arguments, self.timeout).await
    }

    /// As [`Link::call`], with a time-out of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn call_within(
        &self,
        command: &'static str,
        arguments: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, BrokerError> {
        self.ask(command, arguments, timeout)
            .await
            .map_err(|error| BrokerError::call(command, &error))
    }

    async fn ask(
        &self,
        command: &'static str,
        arguments: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, fred::error::Error> {
        let options = Options {
            timeout: Some(timeout),
            max_attempts: Some(1),
            fail_fast: true,
            ..Options::default()
        };
        // No cluster: kombu's own keys are of different slots.
        let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
        self.client.with_options(&options).custom(command, arguments).await
    }
}

/// A script that knows by which name Redis has it.
#[derive(Debug)]
pub(super) struct Prepared {
    script: Script,
    sha: OnceLock<String>,
}

impl Prepared {
    pub(super) const fn new(script: Script) -> Self {
        Self { script, sha: OnceLock::new() }
    }

    /// Runs it. Redis keeps scripts by their hash; one that it has forgotten is told anew.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub(super) async fn run(
        &self,
        link: &Link,
        keys: &[&str],
        arguments: Vec<Value>,
    ) -> Result<Value, BrokerError> {
        let failed = |error: &fred::error::Error| BrokerError::call(self.script.name, error);
        let mut words: Vec<Value> = Vec::with_capacity(2 + keys.len() + arguments.len());
        words.push(self.sha(link).await?.into());
        words.push(i64::try_from(keys.len()).unwrap_or(i64::MAX).into());
        words.extend(keys.iter().map(|&key| Value::from(key)));
        words.extend(arguments);
        let again = words.clone();
        match link.ask("EVALSHA", words, link.timeout).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let mut words = again;
                words[0] = self.script.text.into();
                link.ask("EVAL", words, link.timeout).await.map_err(|error| failed(&error))
            }
            other => other.map_err(|error| failed(&error)),
        }
    }

    async fn sha(&self, link: &Link) -> Result<&str, BrokerError> {
        if let Some(sha) = self.sha.get() {
            return Ok(sha);
        }
        let words = vec!["LOAD".into(), self.script.text.into()];
        let sha = link.call("SCRIPT", words).await?;
        let sha = sha.into_string().ok_or(BrokerError::Form("SCRIPT LOAD"))?;
        Ok(self.sha.get_or_init(|| sha))
    }
}
