//! The ladder: from facts to a report, by the best step that holds within the deadline.
//!
//! Cache, the model's answer, its repaired answer, the newest report of the model on the same
//! subject, the template. Each call leaves an account and a record; nothing here panics on what an
//! endpoint says, and nothing that did not pass the guard is shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use crate::market::identity::deterministic_id;
use crate::messages::advice::Rung;

use super::cache::{Cache, SharedCache};
use super::conversation::{About, Conversation, Failure, Talk};
use super::document::Document;
use super::endpoint::{Endpoint, OptionsError};
use super::facts::Facts;
use super::guard::{self, Rules};
use super::limits::{Gate, Limits, Spent};
use super::mask::Masker;
use super::prices::Prices;
use super::prompt::{PromptLanguage, Prompts};
use super::stored::{Past, PastReports, Stored, age_in_words};
use super::{Written, cache};

/// Longest deadline; longer ones are cut to it.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// When to try again after a failure that names no time.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// How a model is asked.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Base address of the API, `https://api.openai.com/v1`.
    pub base_url: String,
    /// Key; `None` for an endpoint that wants none.
    pub api_key: Option<SecretString>,
    /// Model.
    pub model: String,
    /// From the request to the finished report, all tries together.
    pub deadline: Duration,
    /// Longest silence of the endpoint.
    pub idle: Duration,
    /// Most tokens of one answer.
    pub max_tokens: u32,
    /// Tokens that prompt and answer may have together.
    pub context_tokens: u32,
    /// Sampling temperature; `None` for the model's own (some accept no other).
    pub temperature: Option<f32>,
    /// How often a call that failed in passing is made again.
    pub retries: u32,
    /// Limits of calls, tokens and money.
    pub limits: Limits,
    /// What tokens cost.
    pub prices: Prices,
    /// A folder of prompts instead of the built-in ones.
    pub prompts: Option<PathBuf>,
    /// Language of the instructions.
    pub language: PromptLanguage,
    /// What the guard goes by besides the facts.
    pub rules: Rules,
    /// What must not leave the process.
    pub masker: Masker,
    /// How long an accepted answer is kept; zero for not at all.
    pub cache_ttl: Duration,
    /// A cache that processes share.
    pub shared_cache: Option<Arc<dyn SharedCache>>,
    /// How old a report may be that stands in for a newer one; zero for none.
    pub stored_max_age: Duration,
    /// Where reports of earlier processes are found.
    pub past: Option<Arc<dyn PastReports>>,
}

impl ModelOptions {
    /// The usual options for `model` at `base_url`.
    #[must_use]
    pub fn new(base_url: &str, api_key: Option<SecretString>, model: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            api_key,
            model: model.to_owned(),
            deadline: Duration::from_secs(20),
            idle: Duration::from_secs(10),
            max_tokens: 1_500,
            context_tokens: 16_000,
            temperature: None,
            retries: 2,
            limits: Limits::default(),
            prices: Prices::default(),
            prompts: None,
            language: PromptLanguage::default(),
            rules: Rules::default(),
            masker: Masker::default(),
            cache_ttl: Duration::from_secs(600),
            shared_cache: None,
            stored_max_age: Duration::from_secs(3_600),
            past: None,
        }
    }
}

/// A language model as a writer.
#[derive(Debug)]
pub struct ModelWriter {
    options: ModelOptions,
    prompts: Prompts,
    conversation: Conversation,
    cache: Cache,
    stored: Stored,
    rules: RwLock<Arc<Rules>>,
}

impl ModelWriter {
    /// A writer with these options. Makes the HTTP client, so the process's TLS provider must be
    /// installed before.
    ///
    /// # Errors
    /// An address, model name, key or prompt that cannot work.
    pub fn new(mut options: ModelOptions) -> Result<Self, OptionsError> {
        options.deadline = options.deadline.min(LONGEST_WAIT);
        if options.model.trim().is_empty() {
            return Err(OptionsError::Model);
        }
        let connect_within = options.deadline.min(Duration::from_secs(5));
        let endpoint = Endpoint::new(
            &options.base_url,
            options.api_key.clone(),
            connect_within,
            options.masker.clone(),
        )?;
        let prompts = match &options.prompts {
            Some(folder) => Prompts::load(folder, options.language)?,
            None => Prompts::built_in(options.language)?,
        };
        let cache = Cache::new(options.cache_ttl, options.shared_cache.clone());
        let conversation = Conversation::new(endpoint, Gate::new(options.limits));
        let rules = RwLock::new(Arc::new(options.rules.clone()));
        let stored = Stored::new(options.stored_max_age, options.past.clone());
        Ok(Self { options, prompts, conversation, cache, stored, rules })
    }

    /// What must not leave the process.
    #[must_use]
    pub fn masker(&self) -> &Masker {
        &self.options.masker
    }

    /// Takes in the names of issues that an answer could speak of although its facts do not.
    pub fn know(&self, names: Vec<String>) {
        let forbidden = self.options.rules.forbidden.clone();
        *self.rules.write() = Arc::new(Rules { forbidden, names });
    }

    /// Takes in what was spent today before this process began.
    pub fn resume(&self, spent: Spent) {
        self.conversation.gate.resume(spent);
    }

    /// The report on `facts`, by the model if it can, within the deadline in any case; `within`
    /// shortens it.
    ///
    /// Cancel-safe: dropping the future drops the request.
    pub async fn write(&self, facts: &Facts, task: &'static str, within: Duration) -> Written {
        // The steps behind the model are within the deadline too.
        let whole = self.options.deadline.min(within);
        let deadline = Instant::now() + whole - self.stored.patience().min(whole / 4);
        let version = self.prompts.version(facts.kind);
        let (system, user) = (self.prompts.system(), self.prompts.user(facts));
        let key = cache::key(facts, system, &user, &self.options.model);
        let rules = Arc::clone(&self.rules.read());
        let about = About { facts, rules: Arc::clone(&rules), task, version };
        let mut talk = Talk::new(&self.options, about, self.prompts.clone());
        // Who asks about the same waits for the first one's answer.
        let turn = self.cache.turn(&key, deadline).await;
        if let Some(statements) = self.cache.get(&key).await
            && let Ok(shown) = guard::check(&statements, facts, &rules)
        {
            talk.spared();
            return self.by_model(facts, &shown, Rung::Cached, talk);
        }
        let answer = match turn {
            Some(_) => {
                timeout_at(deadline, self.conversation.talk(&mut talk, user, deadline)).await
            }
            None => Ok(Err(Failure::Deadline)),
        };
        match answer {
            Ok(Ok(accepted)) => {
                self.cache.put(&key, &accepted.statements).await;
                let rung = if accepted.repaired { Rung::Repaired } else { Rung::Model };
                self.by_model(facts, &accepted.shown, rung, talk)
            }
            Ok(Err(failure)) => self.without_model(facts, &failure, talk).await,
            Err(_) => {
                talk.cut_short(&self.conversation.gate);
                self.without_model(facts, &Failure::Deadline, talk).await
            }
        }
    }

    fn by_model(&self, facts: &Facts, shown: &[String], rung: Rung, talk: Talk<'_>) -> Written {
        let document = Document::of_model(facts, shown, &self.options.model);
        let report = document.report(facts, rung, "", &self.options.model);
        self.stored.remember(&report);
        talk.written(report, document, None)
    }

    /// The newest report on the same subject, or the template.
    async fn without_model(&self, facts: &Facts, failure: &Failure, talk: Talk<'_>) -> Written {
        let reason = failure.reason(self.options.deadline);
        let retry = failure.retry_in(TRY_AGAIN);
        let masker = &self.options.masker;
        let detail = masker.mask(&failure.detail());
        tracing::warn!(kind = facts.kind, %reason, detail, "the language model did not write this report");
        let mut document = Document::of_template(facts);
        let mut report = document.report(facts, Rung::Template, &reason, "");
        let past = self.stored.newest(facts.kind, &facts.subject, masker).await;
        if let Some(Past { report: stored, age }) = &past {
            let age = age_in_words(*age);
            let mark = format!("(언어 모델이 응답하지 않아 {age} 전의 보고서를 다시 보임)");
            report.title.clone_from(&stored.title);
            report.body = format!("{mark}\n\n{}", stored.body);
            report.as_of = stored.as_of;
            report.sources.clone_from(&stored.sources);
            report.model.clone_from(&stored.model);
            report.origin = stored.origin;
            report.rung = Rung::Stored;
            // On the very same facts: the row and the page of the earlier one stay as they are.
            if report.id == stored.id {
                report.id = deterministic_id(&["report", "stored", &stored.id]);
            }
            document = Document::of_stored(stored, mark);
        }
        report.retry_in_s = retry.map(|wait| u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX));
        let stands_in = past.map(|past| past.report);
        Written { stands_in, ..talk.written(report, document, retry) }
    }
}
