//! Parameters of query and path, read strictly: an unknown name or a bad value is an error that names it.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::problem::Problem;

/// The query's pairs, decoded, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default().as_bytes();
        let pairs = url::form_urlencoded::parse(text);
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

/// The one parameter of a path.
#[derive(Debug, Clone)]
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => {
                Err(Problem::bad_parameter("path", parts.uri.path(), "UTF-8 after %-decoding"))
            }
        }
    }
}

impl Query {
    /// Refuses parameters that are not in `names`, or that stand twice.
    pub(super) fn allow(&self, names: &[&'static str]) -> Result<(), Problem> {
        for (index, (name, value)) in self.0.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                let expected = if names.is_empty() {
                    "no parameters".to_owned()
                } else {
                    format!("a parameter among {}", names.join(", "))
                };
                return Err(Problem::bad_parameter("query", name, expected));
            }
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_parameter("query", value, format!("{name} only once")));
            }
        }
        Ok(())
    }

    /// A parameter; an empty one counts as not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// A count from 1 to `max`.
    pub(super) fn count(
        &self,
        name: &'static str,
        default: usize,
        max: usize,
    ) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(Problem::bad_parameter(name, text, format!("a whole number from 1 to {max}"))),
        }
    }
}
