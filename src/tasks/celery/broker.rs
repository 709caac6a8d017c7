//! The queue in Redis: taking, finishing, putting back.
//!
//! kombu's own keys in kombu's own form, so that genuine workers stand at the same queue, and a few of
//! our own ([`super::script`] lists them all). Each operation is one script: it happens whole or not
//! at all, whatever dies meanwhile.
//!
//! **A message's way.** [`Broker::take`] moves it from its list into `unacked` under a claim of this
//! worker. While it is in hand, [`Broker::beat`] keeps its place in kombu's index young, so that no
//! other worker takes it for lost. [`Broker::finish`] stores the result, sends what follows, and
//! acknowledges, in one step. A worker that is silent for [`BrokerOptions::lost_after`] is dead to the
//! others: whoever finds its messages ([`Broker::restore`]) puts them back.
//!
//! **What is guaranteed.** A message that was taken is run at least once, and its result, followers and
//! acknowledgement happen once: a copy that was put back while its worker only seemed dead becomes
//! that worker's again when it is taken, or is dropped when the worker has finished by then. Twice
//! runs only what a worker began, seemed dead over, and another one began meanwhile; the first to finish
//! counts.

mod outcome;
mod values;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fred::prelude::Value;

pub use self::outcome::{Beat, Finish, Finished, Taken};
use self::values::{entry_of, number, pairs, push_chords, push_messages, rows, seconds, taken};
use super::canvas::{Part, Plan, chord_key};
use super::connection::{Address, BrokerError, Link, Prepared};
use super::envelope::{Envelope, lists};
use super::request::LOSSES;
use super::results::Stored;
use super::{script, time};

/// Life of the mark of a message that was finished while it lay elsewhere.
const DONE_LIFE: &str = "3600";
/// Life of a chord's keys, as Celery has it.
const CHORD_LIFE: &str = "86400";
/// Life of a claim on a chord's body, and how long its end is remembered, as Celery has them.
const CHORD_CLAIM: &str = "6";
const CHORD_END: &str = "300";
/// Life of kombu's mutex, milliseconds.
const MUTEX_LIFE: &str = "300000";
/// Messages put back in a round.
const RESTORED_AT_ONCE: usize = 500;

/// The queue and who stands at it.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// The queue.
    pub queue: String,
    /// This worker: unique to the start of this process.
    pub identity: String,
    /// A worker that is silent for so long is dead.
    pub lost_after: Duration,
    /// kombu's visibility time-out: the same for every worker at this Redis.
    pub visibility: Duration,
    /// Life of a result; zero: for ever.
    pub result_life: Duration,
    /// Bytes of a message, at most.
    pub max_message: usize,
}

/// The queue.
#[derive(Debug)]
pub struct Broker {
    options: BrokerOptions,
    lists: [String; 4],
    suffix: String,
    link: Link,
    take: Prepared,
    finish: Prepared,
    beat: Prepared,
    adopt: Prepared,
    find: Prepared,
    restore: Prepared,
    park: Prepared,
    parked: Prepared,
    strays: Prepared,
    count: Prepared,
    close: Prepared,
    unlock: Prepared,
}

impl Broker {
    /// The queue of `options` at `address`; connects in the background.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn open(address: &Address, options: BrokerOptions) -> Result<Self, BrokerError> {
        let queue = serde_json::Value::from(options.queue.as_str());
        Ok(Self {
            lists: lists(&options.queue),
            // An entry in unacked is [message, exchange, routing key].
            suffix: format!(",\"\",{queue}]"),
            link: Link::open(address)?,
            options,
            take: Prepared::new(script::TAKE),
            finish: Prepared::new(script::FINISH),
            beat: Prepared::new(script::BEAT),
            adopt: Prepared::new(script::ADOPT),
            find: Prepared::new(script::FIND),
            restore: Prepared::new(script::RESTORE),
            park: Prepared::new(script::PARK),
            parked: Prepared::new(script::PARKED),
            strays: Prepared::new(script::STRAYS),
            count: Prepared::new(script::COUNT),
            close: Prepared::new(script::CLOSE),
            unlock: Prepared::new(script::UNLOCK),
        })
    }

    /// The connection.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// The lists of the queue.
    #[must_use]
    pub const fn lists(&self) -> &[String; 4] {
        &self.lists
    }

    /// Takes up to `want` messages, the most urgent ones first.
    ///
    /// # Errors
    /// When Redis does not do it. If only its answer was lost, the messages are this worker's without
    /// its knowing: [`Broker::strays`] finds them.
    pub async fn take(&self, want: usize) -> Result<Vec<Taken>, BrokerError> {
        let [a, b, c, d] = &self.lists;
        let keys = [
            a.as_str(),
            b,
            c,
            d,
            script::UNACKED,
            script::UNACKED_INDEX,
            script::CLAIMS,
            script::WORKERS,
            script::REJECTED,
        ];
        let arguments = vec![
            number(want),
            self.options.identity.as_str().into(),
            self.suffix.as_str().into(),
            seconds(self.options.lost_after),
            number(self.options.max_message),
            script::DONE.into(),
        ];
        let answer = self.take.run(&self.link, &keys, arguments).await?;
        rows(answer).map(|row| taken(row).ok_or(BrokerError::Form("take"))).collect()
    }

    /// Finishes tasks, in one step that has the name `step`.
    ///
    /// # Errors
    /// When Redis does not do it. To be repeated under the same name, and the same tasks: what was
    /// done, and only its answer was lost, is not done again.
    pub async fn finish(&self, step: &str, tasks: &[Finish]) -> Result<Vec<Finished>, BrokerError> {
        let mut arguments: Vec<Value> =
            vec![self.options.identity.as_str().into(), script::DONE.into(), DONE_LIFE.into()];
        for task in tasks {
            let results = task.plan.stored.len() + usize::from(task.result.is_some());
            arguments.push(task.tag.as_str().into());
            arguments.push(number(task.plan.chords.len()));
            arguments.push(number(task.plan.messages.len()));
            arguments.push(number(results));
            arguments.push(if task.acknowledge { "1" } else { "0" }.into());
            push_chords(&mut arguments, &task.plan);
            push_messages(&mut arguments, &task.plan);
            self.push_results(&mut arguments, task.result.iter().chain(&task.plan.stored));
        }
        let step = format!("{}{step}", script::STEP);
        let keys = [script::UNACKED, script::UNACKED_INDEX, script::CLAIMS, &step];
        let answer = self.finish.run(&self.link, &keys, arguments).await?;
        let ended = answer.into_array().into_iter().zip(tasks).map(|(code, task)| {
            match (code.as_i64(), task.acknowledge) {
                (Some(2), _) => Finished::Before,
                (Some(1), _) | (_, false) => Finished::Here,
                _ => Finished::Elsewhere,
            }
        });
        Ok(ended.collect())
    }

    fn push_results<'a>(
        &self,
        arguments: &mut Vec<Value>,
        results: impl Iterator<Item = &'a Stored>,
    ) {
        for Stored { key, json } in results {
            arguments.extend([key.as_str().into(), seconds(self.options.result_life)]);
            arguments.push(json.as_str().into());
        }
    }

    /// Says that this worker lives and has the messages `tags` in hand.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn beat(&self, tags: Vec<String>) -> Result<Beat, BrokerError> {
        let [a, b, c, d] = &self.lists;
        let keys = [
            script::WORKERS,
            script::UNACKED,
            script::UNACKED_INDEX,
            script::CLAIMS,
            script::EPOCH,
            a,
            b,
            c,
            d,
        ];
        let epoch = uuid::Uuid::new_v4().to_string();
        let mut arguments = vec![self.options.identity.as_str().into(), epoch.into()];
        arguments.extend(tags.into_iter().map(Value::from));
        let answer = self.beat.run(&self.link, &keys, arguments).await?;
        let mut answer = answer.into_array().into_iter();
        let mut number = || answer.next().and_then(|value| value.as_u64());
        let (Some(fresh), Some(waiting)) = (number(), number()) else {
            return Err(BrokerError::Form("beat"));
        };
        let gone = answer.filter_map(Value::into_string).collect();
        Ok(Beat { fresh: fresh == 1, waiting, gone })
    }

    /// Puts messages (tag, task id, text) back into this worker's hand after Redis has lost them.
    ///
    /// # Errors
    /// When Redis does not do it.
    pub async fn adopt(
        &self,
        messages: impl Iterator<Item = (String, String, Bytes)>,
    ) -> Result<(), BrokerError> {
        let mut arguments = vec![
            self.options.identity.as_str().into(),
            self.suffix.as_str().into(),
            script::SENT_LIFE.into(),
        ];
        for (tag, id, raw) in messages {
            let mark = format!("{}{id}", script::SENT);
            arguments.extend([Value::from(tag), Value::Bytes(raw), Value::from(mark)]);
        }
        let keys = [script::UNACKED, script::UNACKED_INDEX, script::CLAIMS];
        self.adopt.run(&self.link, &keys, arguments).await.map(drop)
    }

    /// Puts messages of this worker back into the queue: `back` in the order in which they were taken.
    ///
    /// # Errors
    /// When Redis does not do it.
    pub async fn give_back(&self, back: Vec<(String, Envelope)>) -> Result<u64, BrokerError> {
        let mut arguments = Vec::new();
        // The last one pushed is served first.
        for (tag, mut envelope) in back.into_iter().rev() {
            envelope.mark_redelivered();
            let list = self.home(&envelope, None);
            arguments.extend([tag, self.options.identity.clone(), list, envelope.to_json()]);
        }
        self.put_back(arguments).await
    }

    async fn put_back(&self, arguments: Vec<String>) -> Result<u64, BrokerError> {
        if arguments.is_empty() {
            return Ok(0);
        }
        let keys = [script::UNACKED, script::UNACKED_INDEX, script::CLAIMS];
        let arguments = arguments.into_iter().map(Value::from).collect();
        let answer = self.restore.run(&self.link, &keys, arguments).await?;
        answer.as_u64().ok_or(BrokerError::Form("restore"))
    }

    /// The list of a message that goes back.
    fn home(&self, envelope: &Envelope, routing_key: Option<&str>) -> String {
        let queue = routing_key.or(envelope.routing_key()).unwrap_or(&self.options.queue);
        super::envelope::list(queue, envelope.priority())
    }

    /// Puts back what dead workers had in hand, what has been in any worker's hand for longer than the
    /// visibility time-out, and what comes to its ETA within `ahead`. Skipped when another worker is
    /// at it. Returns how many were lost, and how many come to their ETA.
    ///
    /// # Errors
    /// When Redis does not do it.
    pub async fn restore(&self, ahead: Duration) -> Result<(u64, u64), BrokerError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let lock = [script::UNACKED_MUTEX, &token, "NX", "PX", MUTEX_LIFE];
        let locked = self.link.call("SET", lock.map(Value::from).to_vec()).await?;
        if locked.is_null() {
            return Ok((0, 0));
        }
        let done = self.restore_locked(ahead).await;
        let unlocked =
            self.unlock.run(&self.link, &[script::UNACKED_MUTEX], vec![token.into()]).await;
        if let Err(error) = unlocked {
            // It runs out by itself.
            tracing::debug!(%error, "the mutex of restored messages was not given back");
        }
        done
    }

    async fn restore_locked(&self, ahead: Duration) -> Result<(u64, u64), BrokerError> {
        let keys = [script::UNACKED, script::UNACKED_INDEX, script::CLAIMS, script::WORKERS];
        let arguments = vec![
            seconds(self.options.lost_after),
            seconds(self.options.visibility),
            seconds(ahead),
            number(RESTORED_AT_ONCE),
        ];
        let answer = self.find.run(&self.link, &keys, arguments).await?;
        let (mut lost, mut due) = (Vec::new(), Vec::new());
        for row in rows(answer) {
            let [why, tag, claim, entry] = <[Value; 4]>::try_from(row)
                .map_err(|_| BrokerError::Form("find"))?
                .map(|value| value.into_bytes().unwrap_or_default());
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let Some((mut envelope, routing_key)) = entry_of(&entry) else {
                tracing::warn!(tag = text(&tag), "an entry in unacked cannot be read; it stays");
                continue;
            };
            let list = self.home(&envelope, routing_key.as_deref());
            if &why[..] == b"due" {
                due.extend([text(&tag), text(&claim), list, envelope.to_json()]);
                continue;
            }
            envelope.mark_redelivered();
            if &why[..] == b"lost" {
                let losses = envelope.headers.get(LOSSES).and_then(|n| n.as_u64()).unwrap_or(0);
                envelope.headers.insert(LOSSES.to_owned(), (losses + 1).into());
            }
            lost.extend([text(&tag), text(&claim), list, envelope.to_json()]);
        }
        Ok((self.put_back(lost).await?, self.put_back(due).await?))
    }

    /// Lets a message of this worker wait in Redis for its ETA. Returns whether it was this worker's.
    ///
    /// # Errors
    /// When Redis does not do it.
    pub async fn park(&self, tag: &str, id: &str, eta: DateTime<Utc>) -> Result<bool, BrokerError> {
        let arguments = vec![
            self.options.identity.as_str().into(),
            tag.into(),
            format!("{:.6}", time::unix(eta)).into(),
            format!("@{id}").into(),
        ];
        let keys = [script::UNACKED_INDEX, script::CLAIMS];
        let answer = self.park.run(&self.link, &keys, arguments).await?;
        Ok(answer.as_u64() == Some(1))
    }

    /// Says that this worker has left, with nothing in hand.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn leave(&self) -> Result<(), BrokerError> {
        let words = [script::WORKERS, &self.options.identity].map(Value::from).to_vec();
        self.link.call("ZREM", words).await.map(drop)
    }

    /// Whether another worker of the same node name has been heard of lately.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn has_namesake(&self) -> Result<bool, BrokerError> {
        let lately = time::unix(time::now()) - self.options.lost_after.as_secs_f64();
        let words = vec![script::WORKERS.into(), lately.to_string().into(), "+inf".into()];
        let workers = self.link.call("ZRANGEBYSCORE", words).await?.into_array();
        let node = |identity: &str| identity.rsplit_once('/').map(|(node, _)| node.to_owned());
        let own = node(&self.options.identity);
        let others = workers.iter().filter_map(Value::as_string);
        let mut others = others.filter(|identity| *identity != self.options.identity);
        Ok(others.any(|identity| node(&identity) == own))
    }

    /// Messages that wait in Redis for their ETA, at most `most`: all of them, only to look at.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn parked(&self, most: usize) -> Result<Vec<(String, Envelope)>, BrokerError> {
        self.ask_parked("", most, &[]).await
    }

    /// Takes the messages of `ids` that wait in Redis for their ETA into this worker's hand.
    ///
    /// # Errors
    /// When Redis does not do it.
    pub async fn unpark(&self, ids: &[String]) -> Result<Vec<(String, Envelope)>, BrokerError> {
        self.ask_parked(&self.options.identity, RESTORED_AT_ONCE, ids).await
    }

    async fn ask_parked(
        &self,
        who: &str,
        most: usize,
        ids: &[String],
    ) -> Result<Vec<(String, Envelope)>, BrokerError> {
        let mut arguments = vec![who.into(), number(most)];
        arguments.extend(ids.iter().map(|id| format!("@{id}").into()));
        let keys = [script::UNACKED, script::CLAIMS];
        let answer = self.parked.run(&self.link, &keys, arguments).await?;
        Ok(pairs(answer))
    }

    /// Messages that are this worker's although it does not know of them: all but `known`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn strays(&self, known: Vec<String>) -> Result<Vec<(String, Envelope)>, BrokerError> {
        let mut arguments = vec![Value::from(self.options.identity.as_str())];
        arguments.extend(known.into_iter().map(Value::from));
        let keys = [script::UNACKED, script::CLAIMS];
        let answer = self.strays.run(&self.link, &keys, arguments).await?;
        Ok(pairs(answer))
    }

    /// Counts a finished part of a chord. Returns all parts, in order, to whoever is to send the body,
    /// under the claim `token`.
    ///
    /// # Errors
    /// When Redis does not do it; to be repeated with the same token, a part counts once.
    pub async fn count(
        &self,
        part: &Part,
        token: &str,
    ) -> Result<Option<Vec<String>>, BrokerError> {
        let keys = [".j", ".t", ".s", ".d", "", ".c"].map(|key| chord_key(&part.group, key));
        let keys = keys.each_ref().map(String::as_str);
        let place = part.index.map_or_else(|| "+inf".to_owned(), |index| index.to_string());
        let arguments: Vec<Value> = vec![
            part.member().into(),
            format!("{}:{place}", part.id).into(),
            place.into(),
            CHORD_LIFE.into(),
            CHORD_CLAIM.into(),
            token.into(),
        ];
        let answer = self.count.run(&self.link, &keys, arguments).await?;
        let members: Vec<String> =
            answer.into_array().into_iter().filter_map(Value::into_string).collect();
        Ok((!members.is_empty()).then_some(members))
    }

    /// Carries out what a complete chord comes to. Returns whether the claim `token` still held.
    ///
    /// # Errors
    /// When Redis does not do it.
    pub async fn close(&self, group: &str, token: &str, plan: &Plan) -> Result<bool, BrokerError> {
        let keys = [".j", ".t", ".s", ".d", ".c"].map(|key| chord_key(group, key));
        let keys = keys.each_ref().map(String::as_str);
        let mut arguments: Vec<Value> = vec![
            token.into(),
            CHORD_END.into(),
            number(plan.messages.len()),
            number(plan.stored.len()),
            number(plan.chords.len()),
        ];
        push_chords(&mut arguments, plan);
        push_messages(&mut arguments, plan);
        self.push_results(&mut arguments, plan.stored.iter());
        let answer = self.close.run(&self.link, &keys, arguments).await?;
        Ok(answer.as_u64() == Some(1))
    }
}
