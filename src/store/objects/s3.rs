//! Objects in MinIO or another S3 service.
//!
//! In and out as [`super::Objects`] says. Requests are signed and addressed by the crate `minio`; the
//! region is a setting, so that no request asks for it. Each object carries the SHA-256 of its bytes
//! as metadata (`sha256`, a name that is taken), which is compared when it is read; the request itself is signed over them, so a
//! server refuses what arrives changed.
//!
//! **Failures:** away (no connection, no answer in time, the server's own failure), refused
//! (credentials, rights, what the server does not know), missing, damaged. A call has a deadline. After
//! three failures in a row the service is left alone for a growing while, at most 15 s, and calls
//! fail at once; repeating is the caller's. Keys and secrets appear in no text.
//!
//! **Limits:** an object is sent in one request, so at most 5 GiB; what is said about it must fit
//! S3's 2 KiB.

mod ask;
mod buckets;
mod failure;
mod headers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use minio::s3::client::{Method, MinioClient, MinioClientBuilder};
use minio::s3::creds::StaticProvider;
use minio::s3::http::BaseUrl;
use minio::s3::multimap_ext::{Multimap, MultimapExt as _};
use minio::s3::segmented_bytes::SegmentedBytes;
use minio::s3::types::{BucketName, ListEntry, ObjectKey, Region, S3Request, ToStream as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use self::ask::{Answer, Ask};
use self::headers::{decoded, text_header};
use super::breaker::{Breaker, BreakerLimits};
use super::waiting::Waiting;
use super::{About, Bucket, Key, Object, ObjectError, Tag, Version};
use crate::messages::{Component, HealthRegistry, HealthState};

/// Metadata name of an object's checksum.
const SHA256: &str = "sha256";
const META: &str = "x-amz-meta-";
/// What a bucket without versions says.
const UNVERSIONED: &str = "null";
/// Entries a list answer has at most.
const PAGE: usize = 1_000;

/// How to reach the service. Prints nothing: the address may hold a password.
#[derive(Clone)]
pub struct S3Options {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: String,
    /// Access key.
    pub access_key: SecretString,
    /// Secret key.
    pub secret_key: SecretString,
    /// Region.
    pub region: String,
    /// Bucket in the path (MinIO and most others), not in the host name.
    pub path_style: bool,
    /// A PEM file with the certificate authority of the service, besides the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// Put before every bucket's name; empty for nothing.
    pub bucket_prefix: String,
    /// A call may take so long.
    pub deadline: Duration,
    /// When it is left alone.
    pub breaker: BreakerLimits,
    /// Where to report [`Component::Objects`].
    pub health: Option<HealthRegistry>,
    /// A folder for what the service does not take, until it does; `None`: nothing waits.
    pub waiting: Option<PathBuf>,
}

/// Objects of an S3 service. Cheap to clone.
#[derive(Clone)]
pub struct S3Objects(Arc<Inner>);

struct Inner {
    client: MinioClient,
    /// Without credentials, for texts.
    endpoint: String,
    secure: bool,
    region: String,
    prefix: String,
    deadline: Duration,
    breaker: Breaker,
    health: Option<HealthRegistry>,
    waiting: Option<Waiting>,
}

impl std::fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Objects({})", self.0.endpoint)
    }
}

impl S3Objects {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ObjectError::Setting`] when the address, region or certificate file cannot be used.
    pub fn new(options: S3Options) -> Result<Self, ObjectError> {
        let setting =
            |setting: &'static str, reason: String| ObjectError::Setting { setting, reason };
        let mut base: BaseUrl =
            options.endpoint.parse().map_err(|error: minio::s3::error::ValidationErr| {
                setting("objects.endpoint", error.to_string())
            })?;
        base.region = Region::new(options.region.as_str())
            .map_err(|error| setting("objects.region", error.to_string()))?;
        base.virtual_style = !options.path_style;
        let endpoint = base.to_url_string();
        let secure = base.https;
        for bucket in Bucket::ALL {
            let name = format!("{}{}", options.bucket_prefix, bucket.as_str());
            BucketName::new(name)
                .map_err(|error| setting("objects.bucket_prefix", error.to_string()))?;
        }
        if let Some(path) = &options.ca_file {
            std::fs::metadata(path).map_err(|error| {
                setting("objects.ca_file", format!("{}: {error}", path.display()))
            })?;
        }
        let provider = StaticProvider::new(
            options.access_key.expose_secret(),
            options.secret_key.expose_secret(),
            None,
        );
        let client = MinioClientBuilder::new(base)
            .provider(Some(provider))
            .ssl_cert_file(options.ca_file.as_deref())
            .app_info(Some(("bongsu".to_owned(), env!("CARGO_PKG_VERSION").to_owned())))
            .build()
            .map_err(|error| setting("objects.ca_file", failure::chain(&error)))?;
        Ok(Self(Arc::new(Inner {
            client,
            endpoint,
            secure,
            region: options.region,
            prefix: options.bucket_prefix,
            deadline: options.deadline,
            breaker: Breaker::new(options.breaker),
            health: options.health,
            waiting: options.waiting.map(Waiting::new),
        })))
    }

    /// Where it is, without credentials.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    pub(super) fn waiting(&self) -> Option<&Waiting> {
        self.0.waiting.as_ref()
    }

    /// The name of a bucket on the server.
    #[must_use]
    pub fn bucket_name(&self, bucket: Bucket) -> String {
        format!("{}{}", self.0.prefix, bucket.as_str())
    }

    fn bucket(&self, bucket: Bucket) -> Result<BucketName, ObjectError> {
        BucketName::new(self.bucket_name(bucket)).map_err(|error| ObjectError::Setting {
            setting: "objects.bucket_prefix",
            reason: error.to_string(),
        })
    }

    /// Stores `bytes`. See [`super::Objects::put`].
    pub(super) async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
    ) -> Result<Version, ObjectError> {
        Ok(self.send(Ask::put(bucket, key, bytes, about)).await?.version())
    }

    /// Stores `bytes` when the object is as expected. See [`super::Objects::put_if`].
    pub(super) async fn put_if(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
        expected: Option<&Tag>,
    ) -> Result<Version, ObjectError> {
        let ask = Ask::put(bucket, key, bytes, about);
        let ask = match expected {
            Some(tag) => ask.header("If-Match", tag.0.clone()),
            None => ask.header("If-None-Match", "*"),
        };
        let sent = self.send(ask).await.map_err(|error| match error {
            // It was there when it was read.
            ObjectError::Missing { bucket, key, .. } => ObjectError::Changed { bucket, key },
            other => other,
        });
        Ok(sent?.version())
    }

    /// Reads an object. See [`super::Objects::get`].
    pub(super) async fn get(
        &self,
        bucket: Bucket,
        key: &Key,
        version: Option<&Version>,
    ) -> Result<Object, ObjectError> {
        let mut ask = Ask::of("read", Method::GET, bucket).key(key.as_str());
        if let Some(version) = version {
            ask = ask.query("versionId", version.as_str());
        }
        let answer = self.send(ask).await.map_err(|error| match error {
            ObjectError::Missing { bucket, key, .. } => {
                let version = version.map(|version| version.as_str().to_owned());
                ObjectError::Missing { bucket, key, version }
            }
            other => other,
        })?;
        let mut about = About::of(answer.headers.get("content-type").map_or("", String::as_str));
        for (name, value) in &answer.headers {
            if let Some(name) = name.strip_prefix(META) {
                about.metadata.insert(name.to_owned(), decoded(value));
            }
        }
        // An object that somebody else put has none: then the transport's word is all there is.
        if let Some(expected) = about.metadata.remove(SHA256)
            && expected != hex::encode(Sha256::digest(&answer.body))
        {
            return Err(ObjectError::Damaged {
                bucket: bucket.as_str(),
                key: key.to_string(),
                what: "its checksum does not fit its bytes".to_owned(),
            });
        }
        let (version, tag) = (answer.version(), answer.tag());
        Ok(Object { version, about, tag, bytes: answer.body })
    }

    /// Lists keys. See [`super::Objects::list`].
    pub(super) async fn list(
        &self,
        bucket: Bucket,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, ObjectError> {
        let mut keys: Vec<Key> = Vec::new();
        let after = after.map(|key| key.as_str().to_owned());
        self.pages(bucket, prefix, after, false, |entry| {
            // What is no key of ours was put by somebody else.
            keys.extend(entry.name.parse::<Key>().ok());
            keys.len() < limit
        })
        .await?;
        keys.truncate(limit);
        Ok(keys)
    }

    /// Lists versions. See [`super::Objects::versions`].
    pub(super) async fn versions(
        &self,
        bucket: Bucket,
        key: &Key,
    ) -> Result<Vec<Version>, ObjectError> {
        let mut found = Vec::new();
        self.pages(bucket, key.as_str(), None, true, |entry| {
            if entry.name == key.as_str() && !entry.is_delete_marker {
                found.push(Version(entry.version_id.unwrap_or_else(|| UNVERSIONED.to_owned())));
            }
            // Keys come in order: a later one is only longer.
            entry.name.as_str() <= key.as_str()
        })
        .await?;
        Ok(found)
    }

    /// Whether the service answers and lets this key in.
    pub(super) async fn probe(&self) -> Result<(), ObjectError> {
        let ask = Ask::of("look at", Method::GET, Bucket::RawData).query("versioning", "");
        self.send(ask).await.map(drop)
    }

    /// Shows every entry of a listing to `take` until it says that it has enough.
    async fn pages(
        &self,
        bucket: Bucket,
        prefix: &str,
        after: Option<String>,
        versions: bool,
        mut take: impl FnMut(ListEntry) -> bool,
    ) -> Result<(), ObjectError> {
        let listing = self.0.client.list_objects(self.bucket(bucket)?);
        let listing = listing.map_err(|error| self.failure("list", bucket, None, error.into()))?;
        let listing = listing
            .prefix(Some(prefix.to_owned()))
            .start_after(after)
            .recursive(true)
            // The client reads an encoded key as a form, which ends at its first `=`.
            .disable_url_encoding(true)
            .include_versions(versions)
            .max_keys(Some(PAGE as u16))
            .build();
        let mut pages = listing.to_stream().await;
        loop {
            let page = self.guarded("list", bucket, None, pages.next());
            let Some(page) = page.await? else { return Ok(()) };
            for entry in page.contents {
                if !entry.is_prefix && !take(entry) {
                    return Ok(());
                }
            }
        }
    }

    /// Sends one request, under the breaker and the deadline.
    async fn send(&self, ask: Ask<'_>) -> Result<Answer, ObjectError> {
        let (action, bucket, key) = (ask.action, ask.bucket, ask.key);
        let invalid = |error: minio::s3::error::ValidationErr| {
            self.failure(action, bucket, key, error.into())
        };
        let (mut query, mut headers) = (Multimap::new(), Multimap::new());
        for (name, value) in ask.query {
            query.add(name, value);
        }
        for (name, value) in ask.headers {
            headers.add(name, value);
        }
        let mut request = S3Request::builder()
            .client(self.0.client.clone())
            .method(ask.method)
            .bucket(self.bucket(bucket)?)
            .object(key.map(ObjectKey::new).transpose().map_err(invalid)?)
            .query_params(query)
            .headers(headers)
            .body(ask.body.map(|body| Arc::new(SegmentedBytes::from(body))))
            .build();
        let work = async move {
            let outcome = async {
                let response = request.execute().await?;
                let named = |(name, value): (&_, &_)| text_header(name, value);
                let headers = response.headers().iter().filter_map(named).collect();
                let body = response.bytes().await.map_err(minio::s3::error::ValidationErr::from)?;
                Ok(Answer { headers, body })
            };
            Some(outcome.await)
        };
        let answer = self.guarded(action, bucket, key, work).await?;
        answer.ok_or(ObjectError::CutOff)
    }

    /// `work`, unless the service is left alone; its outcome told to breaker, health and metrics.
    async fn guarded<T>(
        &self,
        action: &'static str,
        bucket: Bucket,
        key: Option<&str>,
        work: impl Future<Output = Option<Result<T, minio::s3::error::Error>>>,
    ) -> Result<Option<T>, ObjectError> {
        let pass = match self.0.breaker.enter() {
            Ok(pass) => pass,
            Err(open) => {
                count("not_asked");
                let cause = format!(
                    "it is left alone for another {:.1} s after: {}",
                    open.left.as_secs_f64(),
                    open.cause
                );
                return Err(ObjectError::Away { endpoint: self.0.endpoint.clone(), cause });
            }
        };
        let failed = match tokio::time::timeout(self.0.deadline, work).await {
            Ok(None) => {
                pass.answered();
                return Ok(None);
            }
            Ok(Some(Ok(value))) => {
                pass.answered();
                count("ok");
                self.report(HealthState::Up);
                return Ok(Some(value));
            }
            Ok(Some(Err(error))) => self.failure(action, bucket, key, error),
            Err(_) => ObjectError::Away {
                endpoint: self.0.endpoint.clone(),
                cause: format!("no answer to \"{action}\" within {:?}", self.0.deadline),
            },
        };
        match &failed {
            ObjectError::Away { cause, .. } => {
                pass.failed(cause.clone());
                count("away");
                self.report(HealthState::down(failed.to_string()));
            }
            ObjectError::Refused { credentials, .. } => {
                pass.answered();
                count("refused");
                if *credentials {
                    self.report(HealthState::down(failed.to_string()));
                }
            }
            ObjectError::Missing { .. } => {
                pass.answered();
                count("missing");
                self.report(HealthState::Up);
            }
            ObjectError::Changed { .. } => {
                pass.answered();
                count("changed");
                self.report(HealthState::Up);
            }
            _ => {
                pass.answered();
                count("damaged");
            }
        }
        Err(failed)
    }

    fn report(&self, state: HealthState) {
        if let Some(health) = &self.0.health {
            health.set(Component::Objects, state);
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("bongsu_object_requests_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
