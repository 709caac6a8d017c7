//! Addresses of services, which may hold a user and a password.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::value::HIDDEN;

/// The address of a service. It may hold a user and a password, so it prints without them;
/// [`ServiceUrl::expose`] gives the whole text to the client that connects.
#[derive(Clone)]
pub struct ServiceUrl(pub(super) SecretString);

impl ServiceUrl {
    /// `text` when it is a URL with one of `schemes` and names something to connect to.
    #[must_use]
    pub fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        if !schemes.contains(&url.scheme()) || text.chars().any(char::is_control) {
            return None;
        }
        let names_something = if url.scheme() == "sqlite" {
            text.len() > "sqlite:".len() && text != "sqlite://"
        } else {
            url.host_str().is_some_and(|host| !host.is_empty())
        };
        names_something.then(|| Self(SecretString::from(text.to_owned())))
    }

    /// The text as it was set, credentials included.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The scheme, `redis` of `redis://…`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.expose().split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// Host and port to connect to; `None` for a URL without a host, and for SQLite.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(String, u16)> {
        let url = Url::parse(self.expose()).ok()?;
        let default = match url.scheme() {
            "redis" | "rediss" => 6379,
            "mysql" => 3306,
            "smtp" => 25,
            "smtps" => 465,
            "sqlite" => return None,
            _ => url.port_or_known_default()?,
        };
        // A bracketed IPv6 address is given without its brackets, as name resolution takes it.
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some((host, url.port().unwrap_or(default)))
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Url::parse(self.expose()) {
            // The text as written when there is nothing to hide: the parser would add a slash.
            Ok(url) if !has_credentials(&url) => f.write_str(self.expose()),
            Ok(url) => f.write_str(&without_credentials(&url)),
            Err(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceUrl({self})")
    }
}

fn secret_parameter(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "token", "secret", "key", "sig", "auth", "cred"]
        .iter()
        .any(|part| name.contains(part))
}

fn has_credentials(url: &Url) -> bool {
    // Some schemes have an opaque rest in which the parser finds no user: an @ is enough there.
    !url.username().is_empty()
        || url.password().is_some()
        || url.path().contains('@')
        || url.query_pairs().any(|(name, _)| secret_parameter(&name))
}

/// `url` with its user kept, its password and secret parameters replaced.
pub(super) fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    if url.cannot_be_a_base() && url.path().contains('@') {
        return format!("{}:{HIDDEN}", url.scheme());
    }
    if url.path().contains('@') {
        url.set_path("/***");
    }
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return format!("{}:{HIDDEN}", url.scheme());
    }
    if url.query_pairs().any(|(name, _)| secret_parameter(&name)) {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if secret_parameter(&name) { "***".into() } else { value };
                (name.into_owned(), value.into_owned())
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_without_credentials() {
        let show = |text: &str, schemes: &[&str]| {
            ServiceUrl::parse(text, schemes).map(|url| (url.to_string(), format!("{url:?}")))
        };
        for (text, schemes) in [
            ("redis://:canary@h:1/0", ["redis"]),
            ("redis://canary2:canary@h", ["redis"]),
            ("mysql://u:canary@h/db?password=canary", ["mysql"]),
            ("mysql://u@h/db?ssl-key=canary", ["mysql"]),
            ("sqlite:canary@x", ["sqlite"]),
            ("http://h/a@canary", ["http"]),
        ] {
            let (display, debug) = show(text, &schemes).unwrap();
            let text = format!("{display} {debug}").replace("canary2", "user");
            assert!(!text.contains("canary"), "{text}");
        }
        let (display, _) = show("redis://127.0.0.1:6379", &["redis"]).unwrap();
        assert_eq!(display, "redis://127.0.0.1:6379");
    }

    #[test]
    fn urls_need_a_scheme_and_a_place() {
        let parse = |text| ServiceUrl::parse(text, &["mysql", "sqlite", "http"]).is_some();
        assert!(parse("mysql://root@127.0.0.1:3306/bongsu"));
        assert!(parse("sqlite::memory:"));
        assert!(parse("sqlite://var/bongsu.db?mode=rwc"));
        for wrong in ["redis://h", "mysql:", "mysql:///db", "sqlite://", "http://", "var/x.db", ""]
        {
            assert!(!parse(wrong), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        let host = |text| ServiceUrl::parse(text, &["redis", "ws", "sqlite"])?.host_and_port();
        assert_eq!(host("redis://h"), Some(("h".into(), 6379)));
        assert_eq!(host("redis://[::1]:7"), Some(("::1".into(), 7)));
        assert_eq!(host("ws://h/tryitout"), Some(("h".into(), 80)));
        assert_eq!(host("sqlite://h/x.db"), None);
    }
}
