//! One request to the service, and what came back.

use std::collections::BTreeMap;

use bytes::Bytes;
use minio::s3::client::Method;
use sha2::{Digest as _, Sha256};

use super::headers::encoded;
use super::{META, SHA256, UNVERSIONED};
use crate::store::objects::{About, Bucket, Key, Tag, Version};

/// One request.
pub(super) struct Ask<'a> {
    pub action: &'static str,
    pub method: Method,
    pub bucket: Bucket,
    pub key: Option<&'a str>,
    pub query: Vec<(&'static str, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
}

impl<'a> Ask<'a> {
    /// The request that stores `bytes`.
    pub fn put(bucket: Bucket, key: &'a Key, bytes: Bytes, about: About) -> Self {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let mut ask = Self::of("write", Method::PUT, bucket)
            .key(key.as_str())
            .header(format!("{META}{SHA256}"), sha256)
            .body(bytes);
        if !about.content_type.is_empty() {
            ask = ask.header("Content-Type", about.content_type);
        }
        for (name, value) in about.metadata.iter().filter(|(name, _)| *name != SHA256) {
            ask = ask.header(format!("{META}{name}"), encoded(value));
        }
        ask
    }

    pub fn of(action: &'static str, method: Method, bucket: Bucket) -> Self {
        let (query, headers) = (Vec::new(), Vec::new());
        Self { action, method, bucket, key: None, query, headers, body: None }
    }

    pub fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// What came back.
pub(super) struct Answer {
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Answer {
    pub fn version(&self) -> Version {
        let version = self.headers.get("x-amz-version-id").map(String::as_str);
        Version(version.unwrap_or(UNVERSIONED).to_owned())
    }

    pub fn tag(&self) -> Tag {
        Tag(self.headers.get("etag").cloned().unwrap_or_default())
    }
}
