//! Logs: `tracing` to standard error, as text or as one JSON object a line.
//!
//! Secrets do not reach a log because types that hold them print nothing of them; libraries that
//! print wire traffic at `trace` are held at `warn` unless they are named in the filter.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line looks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error(
        "log filter \"{filter}\" cannot be used: {cause}; expected for example info or bongsu=debug,fred=warn"
    )]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong.
        cause: String,
    },
}

/// Libraries that print requests, headers or commands, hence secrets, below `info`.
const QUIET: [&str; 10] = [
    "fred",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "sqlx",
    "tokio_tungstenite",
    "tungstenite",
    "async_openai",
];

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    let error = |cause: String| LogError::Filter { filter: text.to_owned(), cause };
    let mut filter = EnvFilter::builder().parse(text).map_err(|e| error(e.to_string()))?;
    for library in QUIET {
        // Named by the user: the user decides.
        if !text.split(',').any(|part| part.trim().starts_with(library)) {
            let directive = format!("{library}=warn").parse();
            filter = filter.add_directive(directive.expect("invariant: a crate name and a level"));
        }
    }
    Ok(filter)
}

/// Starts logging with `filter` (`tracing` directives; `info` is a good one). Returns whether
/// this call did it: with a subscriber in place nothing changes.
///
/// # Errors
/// When `filter` cannot be parsed.
pub fn init(filter_text: &str, format: LogFormat) -> Result<bool, LogError> {
    let filter = filter(filter_text)?;
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => base.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => base.json().flatten_event(true).finish().try_init(),
    };
    Ok(done.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named() {
        let text = filter("bongsu=loud").unwrap_err().to_string();
        assert!(text.contains("bongsu=loud") && text.contains("expected"), "{text}");
    }

    #[test]
    fn libraries_stay_quiet_unless_named() {
        let shown = filter("trace").unwrap().to_string();
        assert!(shown.contains("fred=warn"), "{shown}");
        let shown = filter("info,fred=trace").unwrap().to_string();
        assert!(shown.contains("fred=trace") && !shown.contains("fred=warn"), "{shown}");
    }
}
