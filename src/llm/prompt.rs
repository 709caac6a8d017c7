//! Prompts: versioned text files with places for the facts.
//!
//! The built-in ones are those of `config/prompts`, Korean and English; a folder of the same layout
//! can stand in for them. Each file begins with `version: N` and a line `---`; the version that is
//! stored with a prompt also holds a digest of the text, so that an edit without a new number shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::facts::Facts;
use super::guard::max_chars;

/// The language of the instructions. Answers are Korean in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PromptLanguage {
    /// Korean.
    #[default]
    Korean,
    /// English, for models that follow it better.
    English,
}

impl PromptLanguage {
    const fn folder(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, [
            include_str!(concat!("../../config/prompts/ko/", $name, ".md")),
            include_str!(concat!("../../config/prompts/en/", $name, ".md")),
        ])),+]
    };
}

/// Name and text of each prompt, Korean and English.
const FILES: [(&str, [&str; 2]); 8] = files![
    "system",
    "alert",
    "alert_digest",
    "market_risk",
    "mitigation",
    "recommendation",
    "weekly_review",
    "repair",
];

/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 10;

/// Why prompts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file is not there or cannot be read.
    #[error("llm prompt {} cannot be read: {cause}; expected a text file of at most 64 KiB", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// A file without its version.
    #[error("llm prompt {path} does not begin with \"version: N\" and a line \"---\"")]
    NoVersion {
        /// The file.
        path: String,
    },
    /// A place for the facts is missing.
    #[error("llm prompt {path} has no place {place}")]
    NoPlace {
        /// The file.
        path: String,
        /// The place.
        place: &'static str,
    },
}

/// A prompt file.
#[derive(Debug, Clone)]
struct Prompt {
    version: u32,
    text: String,
}

/// All prompts of one language.
#[derive(Debug, Clone)]
pub struct Prompts {
    files: BTreeMap<&'static str, Prompt>,
    digest: String,
}

impl Prompts {
    /// The built-in ones.
    ///
    /// # Errors
    /// Never for the files of the repository; a test reads them.
    pub fn built_in(language: PromptLanguage) -> Result<Self, PromptError> {
        Self::of(FILES.iter().map(|(name, texts)| (*name, texts[language as usize].to_owned())))
    }

    /// Those of `folder`, laid out as `config/prompts`.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(folder: &Path, language: PromptLanguage) -> Result<Self, PromptError> {
        let mut texts = Vec::new();
        for (name, _) in FILES {
            let path = folder.join(language.folder()).join(format!("{name}.md"));
            let unreadable = |cause: String| PromptError::Unreadable { path: path.clone(), cause };
            let size =
                std::fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.len();
            if size > MAX_BYTES {
                return Err(unreadable(format!("it has {size} bytes")));
            }
            let text =
                std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
            texts.push((name, text));
        }
        Self::of(texts)
    }

    fn of(texts: impl IntoIterator<Item = (&'static str, String)>) -> Result<Self, PromptError> {
        let mut files = BTreeMap::new();
        let mut digest = Sha256::new();
        for (name, text) in texts {
            digest.update(text.as_bytes());
            let path = || format!("{name}.md");
            let parsed = text.split_once("\n---\n").and_then(|(head, body)| {
                Some((head.strip_prefix("version:")?.trim().parse().ok()?, body.trim()))
            });
            let (version, text) = parsed.ok_or_else(|| PromptError::NoVersion { path: path() })?;
            let places: &[&'static str] = match name {
                "system" => &[],
                "repair" => &["{{error}}"],
                _ => &["{{facts}}", "{{key_facts}}", "{{max_chars}}"],
            };
            if let Some(place) = places.iter().find(|place| !text.contains(**place)) {
                return Err(PromptError::NoPlace { path: path(), place });
            }
            files.insert(name, Prompt { version, text: text.to_owned() });
        }
        Ok(Self { files, digest: hex::encode(&digest.finalize()[..4]) })
    }

    fn file(&self, name: &str) -> Option<&Prompt> {
        self.files.get(name)
    }

    fn of_kind(&self, kind: &str) -> Option<&Prompt> {
        self.file(kind).or_else(|| self.file("alert"))
    }

    /// What every conversation starts with.
    #[must_use]
    pub fn system(&self) -> &str {
        self.file("system").map_or("", |prompt| prompt.text.as_str())
    }

    /// What is asked about `facts`. The most important facts stand once more at the end: an
    /// endpoint that silently cuts a long prompt loses its front first.
    #[must_use]
    pub fn user(&self, facts: &Facts) -> String {
        let template = self.of_kind(facts.kind).map_or("", |prompt| prompt.text.as_str());
        // What is asked for stays below what is accepted.
        let asked = (max_chars(facts.kind) / 2).to_string();
        let table = facts.table();
        // One pass: what comes from outside might hold a place itself.
        let mut text = String::with_capacity(template.len() + table.len());
        let mut rest = template;
        while let Some(start) = rest.find("{{") {
            text.push_str(&rest[..start]);
            let place = &rest[start..];
            let known = [
                ("{{facts}}", table.trim_end()),
                ("{{key_facts}}", facts.lead.as_str()),
                ("{{max_chars}}", asked.as_str()),
            ];
            match known.iter().find(|(name, _)| place.starts_with(name)) {
                Some((name, value)) => {
                    text.push_str(value);
                    rest = &place[name.len()..];
                }
                None => {
                    text.push_str("{{");
                    rest = &place[2..];
                }
            }
        }
        text.push_str(rest);
        text
    }

    /// What is said to an answer that was refused for `error`.
    #[must_use]
    pub fn repair(&self, error: &str) -> String {
        self.file("repair")
            .map_or_else(String::new, |prompt| prompt.text.replace("{{error}}", error))
    }

    /// The version of the prompt for reports of this kind: `alert/2-1a2b3c4d`.
    #[must_use]
    pub fn version(&self, kind: &str) -> String {
        let name = if self.file(kind).is_some() { kind } else { "alert" };
        let number = self.of_kind(kind).map_or(0, |prompt| prompt.version);
        format!("{name}/{number}-{}", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::examples::all;

    #[test]
    fn every_kind_is_asked_in_both_languages() {
        let mut versions = std::collections::BTreeSet::new();
        for language in [PromptLanguage::Korean, PromptLanguage::English] {
            let prompts = Prompts::built_in(language).unwrap();
            assert!(prompts.system().contains("statements"));
            assert!(prompts.repair("이유").contains("이유"));
            for request in all() {
                let facts = Facts::of(&request);
                let text = prompts.user(&facts);
                assert!(text.contains("F1 | ") && text.contains(&facts.lead), "{text}");
                assert!(!text.contains("{{"), "{text}");
                versions.insert(prompts.version(facts.kind));
            }
        }
        assert!(versions.iter().all(|version| version.contains("/2-")), "{versions:?}");
        assert!(versions.len() > 8, "languages differ: {versions:?}");
    }

    #[test]
    fn a_folder_can_stand_in_and_its_flaws_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let load =
            || Prompts::load(folder.path(), PromptLanguage::Korean).map_err(|e| e.to_string());
        assert!(load().unwrap_err().contains("system.md cannot be read"));
        std::fs::create_dir(folder.path().join("ko")).unwrap();
        for (name, [korean, _]) in FILES {
            std::fs::write(folder.path().join(format!("ko/{name}.md")), korean).unwrap();
        }
        let built_in = Prompts::built_in(PromptLanguage::Korean).unwrap();
        assert_eq!(load().unwrap().version("alert"), built_in.version("alert"));
        let alert = folder.path().join("ko/alert.md");
        std::fs::write(&alert, "version: 3\n---\n{{facts}}{{max_chars}}").unwrap();
        assert!(load().unwrap_err().contains("{{key_facts}}"));
        std::fs::write(&alert, "no version").unwrap();
        assert!(load().unwrap_err().contains("alert.md does not begin with"));
    }

    #[test]
    fn facts_cannot_open_places() {
        let prompts = Prompts::built_in(PromptLanguage::Korean).unwrap();
        let mut facts = Facts::of(&crate::llm::examples::alert());
        facts.lead = "{{facts}}".to_owned();
        assert_eq!(prompts.user(&facts).matches("F1 | ").count(), 1);
    }
}
