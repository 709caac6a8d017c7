//! `llm`: the language model.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::config::service_url::ServiceUrl;

/// `llm`: the language model.
#[derive(Debug, Clone)]
pub struct LlmSettings {
    /// Address; `None`: OpenAI's when there is a key, templates when there is none.
    pub base_url: Option<ServiceUrl>,
    /// API key.
    pub api_key: Option<SecretString>,
    /// Model.
    pub model: String,
    /// A report is ready within this time.
    pub timeout_seconds: u64,
    /// Longest silence of the service.
    pub idle_seconds: u64,
    /// Length of an answer.
    pub max_tokens: u32,
    /// Length of prompt and answer together.
    pub context_tokens: u32,
    /// Further tries of a call that failed in passing.
    pub retries: u32,
    /// Calls at once.
    pub concurrency: u32,
    /// Requests a minute; 0: no limit.
    pub requests_per_minute: u32,
    /// Tokens a minute; 0: no limit.
    pub tokens_per_minute: u32,
    /// Tokens a day; 0: no limit.
    pub tokens_per_day: u64,
    /// US cents a day; 0: no limit.
    pub cents_per_day: u64,
    /// Price table.
    pub prices: String,
    /// First pause after several failures in a row.
    pub cool_down_seconds: u64,
    /// How long an accepted answer is used again; 0: never.
    pub cache_seconds: u64,
    /// How old a report may be that stands in for a newer one; 0: none does.
    pub stored_max_age_seconds: u64,
    /// Folder of prompts; `None`: the built-in ones.
    pub prompts: Option<PathBuf>,
    /// Language of the instructions.
    pub prompt_language: PromptLanguage,
    /// Phrases that no report may hold.
    pub forbidden_words: Vec<String>,
    /// Names of people that go nowhere, separated by commas.
    pub private_names: Option<SecretString>,
    /// Alerts drafted one by one a minute.
    pub alerts_per_minute: u32,
    /// How long alerts are gathered for a digest.
    pub digest_seconds: u64,
    /// How often the model writes on the same subject.
    pub refresh_seconds: u64,
}

/// Language of what is said to the language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptLanguage {
    /// Korean.
    Korean,
    /// English.
    English,
}

impl PromptLanguage {
    pub(in crate::config) fn from_word(word: &str) -> Option<Self> {
        match word {
            "ko" => Some(Self::Korean),
            "en" => Some(Self::English),
            _ => None,
        }
    }
}
