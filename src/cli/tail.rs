//! `bongsu tail [PATTERN]`: follows outward events.
//!
//! With a Redis URL it subscribes to the channel pattern there; otherwise it reads the event
//! stream of a running daemon over HTTP and, after a broken connection, goes on after the last
//! event it saw. On a terminal an event is one coloured line for people, in a pipe one line of
//! JSON. Redis Pub/Sub keeps nothing for those who are away, so after a reconnection there a line
//! on standard error says that events may be missing.
//!
//! A subscription is not taken for granted: it is repeated every few seconds, which the server
//! acknowledges, so one that was lost without a word comes back.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use fred::prelude::*;
use futures::StreamExt;
use serde_json::Value as Json;
use tokio::sync::broadcast::error::RecvError;

use super::CliError;
use super::args::TailArgs;
use crate::bus::redact_url;
use crate::bus::redis_connection;
use crate::config::Settings;

mod line;
mod sse;

use line::{channel_of, human_line};
use sse::SseParser;

/// What to follow.
#[derive(Clone)]
pub struct TailOptions {
    /// Channel pattern; `bongsu.*` for all.
    pub pattern: String,
    /// Redis to subscribe to; without it the daemon's HTTP address is used.
    pub redis_url: Option<String>,
    /// The daemon's HTTP address, `127.0.0.1:8700` or `http://…`.
    pub http: String,
    /// Stop after this many events; `None` to go on until Ctrl-C.
    pub count: Option<u64>,
    /// JSON lines even on a terminal.
    pub json: bool,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            pattern: "bongsu.*".to_owned(),
            redis_url: None,
            http: "127.0.0.1:8700".to_owned(),
            count: None,
            json: false,
        }
    }
}

impl std::fmt::Debug for TailOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TailOptions")
            .field("pattern", &self.pattern)
            .field("redis_url", &self.redis_url.as_deref().map(redact_url))
            .field("http", &self.http)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// How long the first connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the subscription is repeated, and how long its acknowledgement may take.
const PROVE: Duration = Duration::from_secs(10);
/// Longest pause between attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs the command.
///
/// # Errors
/// When nobody can be reached, or the output cannot be written.
pub fn execute(args: TailArgs, settings: Settings) -> Result<(), CliError> {
    let options = TailOptions {
        pattern: args.pattern,
        redis_url: settings.redis.url.as_ref().map(|url| url.expose().to_owned()),
        http: settings.http.listen.to_string(),
        count: args.count,
        json: args.json,
    };
    let runtime = super::assembly::runtime()?;
    Ok(runtime.block_on(run(options))?)
}

/// Follows events until Ctrl-C, or until `count` were shown, writing to standard output.
///
/// # Errors
/// When the source cannot be reached at the start, or the output cannot be written (a closed pipe
/// is a normal end).
pub async fn run(options: TailOptions) -> anyhow::Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let style = match (options.json || !terminal, std::env::var_os("NO_COLOR").is_some()) {
        (true, _) => Style::Json,
        (false, no_color) => Style::Lines { color: !no_color },
    };
    let output = Output { sink: std::io::stdout(), style, left: options.count };
    let ctrl_c = async {
        // Without a handler the signal ends the process, which is as good.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    follow(options, output, ctrl_c).await
}

async fn follow<W: Write>(
    options: TailOptions,
    mut output: Output<W>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let source = async {
        match &options.redis_url {
            Some(url) => from_redis(url, &options.pattern, &mut output).await,
            None => from_http(&options.http, &options.pattern, &mut output).await,
        }
    };
    tokio::select! {
        biased;
        () = stop => Ok(()),
        result = source => result,
    }
}

async fn from_redis<W: Write>(
    url: &str,
    pattern: &str,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let shown = redact_url(url);
    let client = redis_connection(url, CONNECT)?;
    let mut messages = client.message_rx();
    let mut reconnected = client.reconnect_rx();
    let mut errors = client.error_rx();
    let connection = client.connect();
    let refused = tokio::select! {
        biased;
        Ok((error, _)) = errors.recv() => Some(error.details().to_owned()),
        result = client.wait_for_connect() => result.err().map(|error| error.details().to_owned()),
        () = tokio::time::sleep(CONNECT) => Some(format!("no answer within {} s", CONNECT.as_secs())),
    };
    if let Some(cause) = refused {
        connection.abort();
        bail!(
            "redis {shown} cannot be reached: {cause}; check REDIS_URL, or unset it to follow the daemon over http"
        );
    }
    client
        .psubscribe(pattern)
        .await
        .with_context(|| format!("redis {shown} refused to subscribe to \"{pattern}\""))?;
    let mut prove = tokio::time::interval(PROVE);
    let mut lost = false;
    loop {
        tokio::select! {
            biased;
            message = messages.recv() => match message {
                Ok(message) => {
                    let Some(text) = message.value.as_string() else { continue };
                    if !output.event(&message.channel, &text)? {
                        break;
                    }
                }
                Err(RecvError::Lagged(count)) => {
                    eprintln!("{count} events were skipped: the output is too slow");
                }
                Err(RecvError::Closed) => bail!("the connection to redis {shown} was closed"),
            },
            Ok((error, _)) = errors.recv() => {
                if !std::mem::replace(&mut lost, true) {
                    eprintln!("redis {shown} is away: {}; connecting again", error.details());
                }
            }
            // Also told of the first connection.
            Ok(_) = reconnected.recv() => {
                if std::mem::take(&mut lost) {
                    eprintln!(
                        "redis {shown} is connected again; events in between are in the stream bongsu:events"
                    );
                    subscribe_again(&client, pattern, &shown).await;
                }
            }
            _ = prove.tick(), if client.is_connected() => {
                subscribe_again(&client, pattern, &shown).await;
            }
        }
    }
    // The process ends; the connection does with it.
    let _ = tokio::time::timeout(Duration::from_secs(1), client.quit()).await;
    Ok(())
}

/// Repeats the subscription, which changes nothing when it is there. On a failure the connection
/// is given up, so that a new one is made.
async fn subscribe_again(client: &Client, pattern: &str, shown: &str) {
    let done = tokio::time::timeout(PROVE, client.psubscribe(pattern)).await;
    if !matches!(done, Ok(Ok(()))) {
        eprintln!("redis {shown} does not acknowledge the subscription; connecting again");
        // Fails when a reconnection is under way already.
        let _ = client.force_reconnection().await;
    }
}

fn stream_url(http: &str, pattern: &str) -> anyhow::Result<url::Url> {
    let base = if http.contains("://") { http.to_owned() } else { format!("http://{http}") };
    let expected =
        || format!("http address \"{http}\" cannot be used; expected for example 127.0.0.1:8700");
    let mut url = url::Url::parse(&base).with_context(expected)?.join("/v1/events/stream")?;
    url.query_pairs_mut().append_pair("pattern", pattern);
    Ok(url)
}

/// How long the stream may be silent: several of the server's keep-alive pauses.
const SILENCE: Duration = Duration::from_secs(60);

async fn from_http<W: Write>(
    http: &str,
    pattern: &str,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let url = stream_url(http, pattern)?;
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()
        .context("the http client cannot be made")?;
    let mut last_id: Option<String> = None;
    let mut pause = Duration::ZERO;
    let mut first = true;
    loop {
        let mut request = client.get(url.clone()).header("accept", "text/event-stream");
        if let Some(id) = &last_id {
            request = request.header("last-event-id", id);
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => {
                (first, pause) = (false, Duration::ZERO);
                if !read_stream(response, &mut last_id, output).await? {
                    return Ok(());
                }
                eprintln!("the event stream of {http} broke off; connecting again");
            }
            Ok(response) if first || response.status().is_client_error() => {
                let status = response.status();
                let body: Json = response.json().await.unwrap_or_default();
                let detail = body["detail"].as_str().unwrap_or("no reason given");
                bail!("bongsu at {http} answered {status}: {detail}");
            }
            Ok(response) => eprintln!("bongsu at {http} answered {}", response.status()),
            Err(error) if first => {
                return Err(error).with_context(|| {
                    format!(
                        "no bongsu answers at {http}: start one with `bongsu run`, or set REDIS_URL to follow redis"
                    )
                });
            }
            Err(error) => eprintln!("bongsu at {http} cannot be reached: {error}"),
        }
        pause = (pause * 2).clamp(Duration::from_millis(250), LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}

/// Shows what `response` streams; false when enough was shown, true when it broke off.
async fn read_stream<W: Write>(
    response: reqwest::Response,
    last_id: &mut Option<String>,
    output: &mut Output<W>,
) -> anyhow::Result<bool> {
    let mut parser = SseParser::default();
    let mut body = response.bytes_stream();
    while let Some(Ok(bytes)) = body.next().await {
        for message in parser.push(&bytes)? {
            if let Some(id) = message.id {
                *last_id = Some(id);
            }
            if message.event == "gap" {
                eprintln!("events are missing here: {}", message.data);
                continue;
            }
            let channel = channel_of(&message.data);
            if !output.event(&channel, &message.data)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Lines { color: bool },
}

/// Where events are shown.
struct Output<W> {
    sink: W,
    style: Style,
    left: Option<u64>,
}

impl<W: Write> Output<W> {
    /// Shows an event; false when no more are wanted.
    fn event(&mut self, channel: &str, json: &str) -> anyhow::Result<bool> {
        if self.left == Some(0) {
            return Ok(false);
        }
        let line = match self.style {
            Style::Json => json.to_owned(),
            Style::Lines { color } => human_line(channel, json, color),
        };
        match writeln!(self.sink, "{line}").and_then(|()| self.sink.flush()) {
            Ok(()) => {}
            // The reader has enough: `bongsu tail | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(error).context("the output cannot be written"),
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(self.left != Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_ends_it() {
        let mut output = Output { sink: Vec::new(), style: Style::Json, left: Some(2) };
        assert!(output.event("c", "{}").unwrap());
        assert!(!output.event("c", "{}").unwrap());
        assert_eq!(output.sink, b"{}\n{}\n");
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_that_helps() {
        crate_provider();
        for (redis_url, hint) in
            [(None, "bongsu run"), (Some("redis://u:hunter2@127.0.0.1:1"), "REDIS_URL")]
        {
            let options = TailOptions {
                http: "127.0.0.1:1".into(),
                redis_url: redis_url.map(str::to_owned),
                ..TailOptions::default()
            };
            let output = Output { sink: Vec::new(), style: Style::Json, left: None };
            let error = follow(options, output, std::future::pending()).await.unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains(hint) && !text.contains("hunter2"), "{text}");
        }
    }

    #[tokio::test]
    async fn follows_redis_over_a_restart() {
        use crate::bus::redis_tests::Server;
        let Some(mut server) = Server::start() else {
            return eprintln!("skipped follows_redis_over_a_restart: no redis-server");
        };
        let url = server.url();
        let publish = async {
            let client = redis_connection(&url, CONNECT).unwrap();
            client.connect();
            let mut restarted = false;
            loop {
                let sent = client.publish::<i64, _, _>("bongsu.crash.A", "{}").await;
                if sent == Ok(1) && !std::mem::replace(&mut restarted, true) {
                    server.kill();
                    server.restart();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut shown = Vec::new();
        let output = Output { sink: &mut shown, style: Style::Json, left: Some(3) };
        let options = TailOptions {
            redis_url: Some(url.clone()),
            pattern: "bongsu.crash.*".into(),
            ..TailOptions::default()
        };
        let done = tokio::time::timeout(Duration::from_secs(20), follow(options, output, publish));
        done.await.expect("the subscription did not come back").unwrap();
        assert_eq!(shown, b"{}\n{}\n{}\n");
    }

    #[tokio::test]
    async fn follows_a_daemon_over_http() {
        use crate::messages::{
            AdviceBoard, EventBus, EventKind, HealthRegistry, OutwardEvent, RiskBoard,
        };
        crate_provider();
        let bus = EventBus::default();
        let state = crate::api::ApiState::new(
            RiskBoard::default(),
            bus.clone(),
            AdviceBoard::default(),
            HealthRegistry::new(),
            std::sync::Arc::new(String::new),
            4,
        );
        let listener = crate::api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = tokio_util::sync::CancellationToken::new();
        let server = tokio::spawn(crate::api::serve(listener, state, shutdown.clone()));
        let publish = async {
            let mut number = 0;
            loop {
                let time = crate::market::EventTime::from_micros(1);
                let id = format!("c{number}");
                let event = OutwardEvent::new(EventKind::Crash, id, "A", "A", time, &Json::Null);
                bus.publish(&[event.into()]);
                number += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let mut shown = Vec::new();
        let output = Output { sink: &mut shown, style: Style::Json, left: Some(3) };
        let options = TailOptions { http: address.to_string(), ..TailOptions::default() };
        follow(options, output, publish).await.unwrap();
        let text = String::from_utf8(shown).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line.contains("io.bongsu.crash.v1")));
        shutdown.cancel();
        server.await.unwrap().unwrap();
    }

    fn crate_provider() {
        // A second installation is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
