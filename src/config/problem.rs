//! Where a setting comes from, and what is wrong with it.
//!
//! Start-up reports everything that is wrong at once: an operator who corrects a `.env` should
//! not have to start the daemon ten times. No text here ever holds a secret: the value of a
//! secret key, and the value of a key that is not known (it may be a mistyped secret), is left out.

use std::fmt;
use std::path::PathBuf;

/// Which layer a value was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// Follows from other settings; the text says from which.
    Derived(String),
    /// A vendor's `kis_devlp.yaml`.
    KisDevlp {
        /// The file.
        path: PathBuf,
        /// The key in it.
        key: &'static str,
    },
    /// The TOML file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 when it is not known.
        line: usize,
    },
    /// The `.env` file.
    DotEnv {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 when it is not known.
        line: usize,
        /// The variable.
        name: String,
    },
    /// The process environment.
    Environment {
        /// The variable.
        name: String,
    },
    /// The command line.
    Flag {
        /// The flag, with its dashes.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived(why) => write!(f, "default, {why}"),
            Self::KisDevlp { path, key } => write!(f, "{} key {key}", path.display()),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::DotEnv { path, line: 0, name } => write!(f, "{} {name}", path.display()),
            Self::DotEnv { path, line, name } => {
                write!(f, "{} line {line} {name}", path.display())
            }
            Self::Environment { name } => write!(f, "environment variable {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value is not of its key's form.
    #[error("{key} = {value} ({origin}): expected {expected}")]
    BadValue {
        /// Dotted key.
        key: String,
        /// The value as it may be shown.
        value: String,
        /// What would be right.
        expected: String,
        /// Who said so.
        origin: Origin,
    },
    /// A key or variable that does not exist.
    #[error("unknown {what} {name} ({origin}): {hint}")]
    Unknown {
        /// `key`, `section` or `variable`.
        what: &'static str,
        /// As written.
        name: String,
        /// The nearest that exists, or where to look.
        hint: String,
        /// Who said so.
        origin: Origin,
    },
    /// Values that are right each by itself, but not together.
    #[error("{key} ({origin}): {message}")]
    Conflict {
        /// The key to look at.
        key: String,
        /// What is wrong and what to do.
        message: String,
        /// Who said so.
        origin: Origin,
    },
    /// A file of settings that cannot be read or understood.
    #[error("{}: {message}", file_and_line(path, *line))]
    Source {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 when it is not known.
        line: usize,
        /// What is wrong and what to do.
        message: String,
    },
}

fn file_and_line(path: &std::path::Path, line: usize) -> String {
    if line == 0 { path.display().to_string() } else { format!("{} line {line}", path.display()) }
}

/// Everything that is wrong with the settings; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors(Vec<Problem>);

impl SettingsErrors {
    /// `problems` as an error; `None` when there are none.
    #[must_use]
    pub fn of(problems: Vec<Problem>) -> Option<Self> {
        if problems.is_empty() { None } else { Some(Self(problems)) }
    }

    /// The single problems.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 setting is wrong:")?,
            count => write!(f, "{count} settings are wrong:")?,
        }
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "\n  {}. {problem}", index + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}

/// The candidate nearest to `word` by edit distance, when it is near enough to be a slip.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A key is short; a pasted novel is no slip of one, and must not cost its square.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substitution = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = substitution.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_a_stranger_none() {
        let keys = ["feed.symbols", "feed.source", "http.listen"];
        let find = |word| nearest(word, keys.into_iter());
        assert_eq!(find("feed.simbols"), Some("feed.symbols"));
        assert_eq!(find("feed.sybmols"), Some("feed.symbols"));
        assert_eq!(find("HTTP.LISTEN"), Some("http.listen"));
        assert_eq!(find("weather.today"), None);
        assert_eq!(find(&"x".repeat(10_000)), None);
    }

    #[test]
    fn distance_counts_a_swap_as_one() {
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
