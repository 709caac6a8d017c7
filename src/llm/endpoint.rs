//! An OpenAI-compatible endpoint: its address, its key, the HTTP client.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::{Host, Url};

use super::mask::Masker;
use super::prompt::PromptError;

/// Most characters of an endpoint's own words in an error.
const MAX_DETAIL_CHARS: usize = 200;

/// Why a writer cannot be made from its options.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Not an address.
    #[error(
        "llm base url \"{url}\" is not usable: {cause}; expected http(s)://host[:port]/v1 without user, query or fragment"
    )]
    BaseUrl {
        /// What was given, without anything that may be secret.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No model is named.
    #[error("llm model is empty: expected the name of a model the endpoint serves")]
    Model,
    /// The key cannot stand in a header.
    #[error(
        "llm api key holds characters that an HTTP header cannot: expected visible ASCII, check for line breaks"
    )]
    ApiKey,
    /// The client could not be made.
    #[error("llm http client could not be made: {0}")]
    Client(String),
    /// The prompts cannot be used.
    #[error(transparent)]
    Prompts(#[from] PromptError),
}

/// Where requests go. The key stands only in a header that is marked sensitive, made once, so that
/// a bad one is found at start-up.
#[derive(Clone)]
pub(super) struct Endpoint {
    base: String,
    key: SecretString,
    headers: HeaderMap,
    official: bool,
    http: Client,
    masker: Masker,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Checks address and key, and makes the client. It follows no redirect (the key would travel
    /// along) and, for a loopback address, no proxy.
    pub(super) fn new(
        base: &str,
        key: Option<SecretString>,
        connect_within: Duration,
        masker: Masker,
    ) -> Result<Self, OptionsError> {
        let refuse =
            |url: &str, cause: String| OptionsError::BaseUrl { url: url.to_owned(), cause };
        let url = Url::parse(base.trim())
            // The text may hold a password even when it does not parse.
            .map_err(|error| refuse("(unparsable)", error.to_string()))?;
        let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse(&shown, format!("scheme {} is not http or https", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(&shown, "it holds a user or password".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse(&shown, "it holds a query or fragment".to_owned()));
        }
        let mut headers = HeaderMap::new();
        let key = key.unwrap_or_default();
        if !key.expose_secret().is_empty() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_| OptionsError::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect_within);
        if loopback {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| OptionsError::Client(error.without_url().to_string()))?;
        let official = url.host_str() == Some("api.openai.com");
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, key, headers, official, http, masker })
    }

    /// Whether it is OpenAI's own, which wants `max_completion_tokens`; others know `max_tokens`.
    pub(super) const fn is_official(&self) -> bool {
        self.official
    }

    /// A request with `body` to `path`.
    pub(super) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).headers(self.headers.clone()).json(body)
    }

    /// What went wrong, without key, address or more than a few words.
    pub(super) fn describe(&self, error: reqwest::Error) -> String {
        self.redact(&error.without_url().to_string())
    }

    /// `text` without the key, without anything that looks like one, on one line, not too long.
    pub(super) fn redact(&self, text: &str) -> String {
        let key = self.key.expose_secret();
        let text = if key.is_empty() { text.to_owned() } else { text.replace(key, "***") };
        let text = self.masker.mask(&text);
        let words: Vec<&str> = text
            .split_whitespace()
            .map(
                |word| if word.contains("sk-") || word.chars().count() > 80 { "***" } else { word },
            )
            .collect();
        words.join(" ").chars().take(MAX_DETAIL_CHARS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base: &str, key: &str) -> Result<Endpoint, OptionsError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = Some(SecretString::from(key.to_owned()));
        Endpoint::new(base, key, Duration::from_secs(1), Masker::default())
    }

    #[test]
    fn addresses() {
        let good = endpoint("http://127.0.0.1:8080/v1/", "").unwrap();
        let request = good.post("/chat/completions", &Value::Null).build().unwrap();
        assert_eq!(request.url().as_str(), "http://127.0.0.1:8080/v1/chat/completions");
        assert!(good.headers.is_empty() && !good.is_official());
        assert!(endpoint("https://api.openai.com/v1", "k").unwrap().is_official());
        for bad in ["", "v1", "ftp://host/v1", "http://u:geheim@host/v1", "http://host/v1?k=geheim"]
        {
            let error = endpoint(bad, "k").unwrap_err().to_string();
            assert!(error.contains("not usable") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn keys_never_show() {
        assert!(matches!(endpoint("http://h/v1", "a\nb"), Err(OptionsError::ApiKey)));
        let endpoint = endpoint("http://h/v1", "geheim-123").unwrap();
        assert!(!format!("{endpoint:?} {:?}", endpoint.headers).contains("geheim"));
        let text = endpoint.redact("bad key: geheim-123 or sk-abcdef,\nsorry");
        assert_eq!(text, "bad key: *** or [가림], sorry");
    }
}
