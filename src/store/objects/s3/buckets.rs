//! Buckets of an S3 service: made when absent, with versions, encryption, lifecycle and policy where
//! the service has them, each read back.
//!
//! Default encryption is set only after an encrypted object went through: a service without a key
//! of its own takes the setting and then refuses every put.

use std::fmt::Write as _;

use minio::s3::client::Method;
use minio::s3::utils::md5sum_hash;
use serde_json::{Value, json};

use super::{Ask, S3Objects};
use crate::store::objects::buckets::{Feature, Finding, Standing, Wishes};
use crate::store::objects::{Bucket, ObjectError, Version};

/// The archive's keys, which age.
const AGING: [&str; 3] = ["kis/ws/", "kis/ticks/", "kis/segments/"];
/// Rules that are ours.
const RULE: &str = "bongsu-";
/// Days for which a replaced or removed object can still be had back.
const GRACE_DAYS: u32 = 30;
/// Key of the object that tries encryption; removed at once.
const PROBE: &str = "bongsu-encryption-probe";

/// What a `GET` of a setting says when there is none.
fn is_absent(code: &str) -> bool {
    code.starts_with("nosuch") && code != "nosuchbucket" || code.ends_with("notfounderror")
}

impl S3Objects {
    /// Looks at all buckets; with `change`, sets what is absent.
    pub(in crate::store::objects) async fn buckets(
        &self,
        wishes: &Wishes,
        change: bool,
    ) -> Result<Vec<Finding>, ObjectError> {
        let mut found = Vec::new();
        for bucket in Bucket::ALL {
            let existence = self.existence(bucket, change).await?;
            let absent = existence == Standing::Absent;
            found.push(self.finding(bucket, Feature::Existence, existence));
            if absent {
                continue;
            }
            if bucket.is_versioned() {
                let standing = self.versioning(bucket, change).await?;
                found.push(self.finding(bucket, Feature::Versioning, standing));
            }
            let standing = self.encryption(bucket, change).await?;
            found.push(self.finding(bucket, Feature::Encryption, standing));
            if bucket == Bucket::RawData {
                let standing = self.lifecycle(bucket, wishes, change).await?;
                found.push(self.finding(bucket, Feature::Lifecycle, standing));
            }
            let standing = self.policy(bucket, change).await?;
            found.push(self.finding(bucket, Feature::Policy, standing));
        }
        Ok(found)
    }

    fn finding(&self, bucket: Bucket, feature: Feature, standing: Standing) -> Finding {
        Finding { bucket: self.bucket_name(bucket), feature, standing }
    }

    async fn existence(&self, bucket: Bucket, change: bool) -> Result<Standing, ObjectError> {
        let look = || self.setting(bucket, "versioning");
        match look().await? {
            Err(code) if code == "nosuchbucket" => {}
            _ => return Ok(Standing::Good),
        }
        if !change {
            return Ok(Standing::Absent);
        }
        let mut ask = Ask::of("make", Method::PUT, bucket);
        if self.0.region != "us-east-1" {
            ask = ask.body(format!(
                "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint>\
                 </CreateBucketConfiguration>",
                self.0.region
            ));
        }
        match self.send(ask).await {
            Ok(_) => Ok(Standing::Made),
            // Somebody else has just made it.
            Err(ObjectError::Refused { code, .. }) if code == "bucketalreadyownedbyyou" => {
                Ok(Standing::Good)
            }
            Err(error) => Err(error),
        }
    }

    async fn versioning(&self, bucket: Bucket, change: bool) -> Result<Standing, ObjectError> {
        const ENABLED: &str = "<Status>Enabled</Status>";
        match self.setting(bucket, "versioning").await? {
            Ok(text) if text.contains(ENABLED) => return Ok(Standing::Good),
            Ok(text) if text.contains("Suspended") => {
                return Ok(Standing::Kept(
                    "suspended: what is replaced there cannot be had back".to_owned(),
                ));
            }
            Ok(_) if !change => return Ok(Standing::Absent),
            Ok(_) => {}
            Err(code) => return Ok(Standing::Unsupported(code)),
        }
        let wanted = format!("<VersioningConfiguration>{ENABLED}</VersioningConfiguration>");
        let read_back = |text: &str| text.contains(ENABLED);
        self.set(bucket, "versioning", wanted, read_back).await
    }

    async fn encryption(&self, bucket: Bucket, change: bool) -> Result<Standing, ObjectError> {
        const ALGORITHM: &str = "<SSEAlgorithm>";
        match self.setting(bucket, "encryption").await? {
            Ok(text) if text.contains(ALGORITHM) => return Ok(Standing::Good),
            Err(code) if !is_absent(&code) => return Ok(Standing::Unsupported(code)),
            _ if !change => return Ok(Standing::Absent),
            _ => {}
        }
        if let Some(why) = self.cannot_encrypt(bucket).await? {
            return Ok(Standing::Unsupported(why));
        }
        let wanted = format!(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
             {ALGORITHM}AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
             </ServerSideEncryptionConfiguration>"
        );
        let read_back = |text: &str| text.contains(ALGORITHM);
        self.set(bucket, "encryption", wanted, read_back).await
    }

    /// Why an encrypted object cannot be stored; `None` when it can.
    async fn cannot_encrypt(&self, bucket: Bucket) -> Result<Option<String>, ObjectError> {
        let put = Ask::of("write encrypted into", Method::PUT, bucket)
            .key(PROBE)
            .header("x-amz-server-side-encryption", "AES256")
            .body("probe");
        let version = match self.send(put).await {
            Ok(answer) => answer.version(),
            // Without a key of its own, a service refuses, or fails what is encrypted and that alone.
            Err(ObjectError::Refused { code, credentials: false, .. }) => return Ok(Some(code)),
            Err(error) => {
                let plain = Ask::of("write into", Method::PUT, bucket).key(PROBE).body("probe");
                let version = self.send(plain).await?.version();
                self.remove_probe(bucket, &version).await?;
                return Ok(Some(error.to_string()));
            }
        };
        self.remove_probe(bucket, &version).await?;
        Ok(None)
    }

    async fn remove_probe(&self, bucket: Bucket, version: &Version) -> Result<(), ObjectError> {
        let mut remove = Ask::of("remove the probe from", Method::DELETE, bucket).key(PROBE);
        if bucket.is_versioned() {
            remove = remove.query("versionId", version.as_str());
        }
        match self.send(remove).await {
            Err(error @ ObjectError::Away { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(%error, key = PROBE, "the object that tried encryption stays");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn lifecycle(
        &self,
        bucket: Bucket,
        wishes: &Wishes,
        change: bool,
    ) -> Result<Standing, ObjectError> {
        let found = match self.setting(bucket, "lifecycle").await? {
            Ok(text) => text,
            Err(code) if is_absent(&code) => String::new(),
            Err(code) if wishes.archive_days.is_some() => return Ok(Standing::Unsupported(code)),
            Err(_) => return Ok(Standing::Good),
        };
        let rules = found.matches("<Rule>").count();
        let ours = found.matches(&format!("<ID>{RULE}")).count();
        let Some(days) = wishes.archive_days else {
            return Ok(match rules {
                0 => Standing::Good,
                _ => Standing::Kept(format!(
                    "{rules} rules are there, archive.retention_days asks for none"
                )),
            });
        };
        let is_wanted = |text: &str| {
            let ids = AGING.iter().all(|prefix| text.contains(&format!("<ID>{}</ID>", id(prefix))));
            ids && text.matches(&format!("<Days>{days}</Days>")).count() == AGING.len()
        };
        if is_wanted(&found) {
            return Ok(Standing::Good);
        }
        if rules > ours {
            return Ok(Standing::Kept(format!(
                "{} rules of somebody else's are there; add one that removes {} after {days} days \
                 if you want that",
                rules - ours,
                AGING.join(", ")
            )));
        }
        if !change {
            return Ok(if rules == 0 {
                Standing::Absent
            } else {
                Standing::Kept("other days".into())
            });
        }
        self.set(bucket, "lifecycle", rules_of(days), is_wanted).await
    }

    async fn policy(&self, bucket: Bucket, change: bool) -> Result<Standing, ObjectError> {
        let wanted = self.wanted_policy(bucket);
        let sids = |policy: &Value| -> Vec<String> {
            let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
            statements.iter().map(|one| one["Sid"].as_str().unwrap_or("?").to_owned()).collect()
        };
        let is_wanted = |text: &str| {
            serde_json::from_str::<Value>(text).is_ok_and(|found| sids(&found) == sids(&wanted))
        };
        match self.setting(bucket, "policy").await? {
            Ok(text) if is_wanted(&text) => return Ok(Standing::Good),
            Ok(text) if !text.trim().is_empty() => {
                return Ok(Standing::Kept("it has one of its own".to_owned()));
            }
            Err(code) if !is_absent(&code) => return Ok(Standing::Unsupported(code)),
            _ if !change => return Ok(Standing::Absent),
            _ => {}
        }
        self.set(bucket, "policy", wanted.to_string(), is_wanted).await
    }

    /// Nobody removes the bucket, or versions of raw data; over TLS, nobody comes without it. It only
    /// denies: what a key may do is the operator's to say.
    fn wanted_policy(&self, bucket: Bucket) -> Value {
        let name = self.bucket_name(bucket);
        let (whole, inside) = (format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*"));
        let deny = |sid: &str, action: &str, resource: &[&str]| {
            json!({
                "Sid": sid, "Effect": "Deny", "Principal": "*",
                "Action": [action], "Resource": resource,
            })
        };
        let mut statements = vec![deny("BongsuKeepBucket", "s3:DeleteBucket", &[&whole])];
        if bucket.is_versioned() {
            statements.push(deny("BongsuKeepVersions", "s3:DeleteObjectVersion", &[&inside]));
        }
        if self.0.secure {
            let mut tls = deny("BongsuTlsOnly", "s3:*", &[&whole, &inside]);
            tls["Condition"] = json!({ "Bool": { "aws:SecureTransport": "false" } });
            statements.push(tls);
        }
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    /// A setting's text, or the code with which the service says that there is none.
    async fn setting(
        &self,
        bucket: Bucket,
        name: &'static str,
    ) -> Result<Result<String, String>, ObjectError> {
        let ask = Ask::of("read settings of", Method::GET, bucket).query(name, "");
        match self.send(ask).await {
            Ok(answer) => Ok(Ok(String::from_utf8_lossy(&answer.body).into_owned())),
            Err(ObjectError::Refused { code, credentials: false, .. }) => Ok(Err(code)),
            Err(error) => Err(error),
        }
    }

    /// Sets it, and reads it back.
    async fn set(
        &self,
        bucket: Bucket,
        name: &'static str,
        body: String,
        is_set: impl Fn(&str) -> bool,
    ) -> Result<Standing, ObjectError> {
        let ask = Ask::of("change settings of", Method::PUT, bucket)
            .query(name, "")
            .header("Content-MD5", md5sum_hash(body.as_bytes()))
            .body(body);
        match self.send(ask).await {
            Ok(_) => {}
            Err(ObjectError::Refused { code, credentials: false, .. }) => {
                return Ok(Standing::Unsupported(code));
            }
            Err(error) => return Err(error),
        }
        Ok(match self.setting(bucket, name).await? {
            Ok(text) if is_set(&text) => Standing::Made,
            Ok(_) => Standing::Unsupported("it was set, but reads back otherwise".to_owned()),
            Err(code) => Standing::Unsupported(format!("it was set, but reads back as {code}")),
        })
    }
}

/// Name of the rule over a prefix.
fn id(prefix: &str) -> String {
    format!("{RULE}{}", prefix.trim_end_matches('/').replace('/', "-"))
}

fn rules_of(days: u32) -> String {
    let mut text = String::from("<LifecycleConfiguration>");
    for prefix in AGING {
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "<Rule><ID>{}</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>\
             <Expiration><Days>{days}</Days></Expiration><NoncurrentVersionExpiration>\
             <NoncurrentDays>{GRACE_DAYS}</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
            id(prefix)
        );
    }
    text.push_str("</LifecycleConfiguration>");
    text
}
