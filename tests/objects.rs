//! The object store: the same suite over a folder and a real S3 service, and what only a service has:
//! buckets with features, credentials, outages, TLS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bongsu::messages::{Component, HealthRegistry};
use bongsu::store::objects::buckets::{Feature, Finding, Standing, Wishes};
use bongsu::store::objects::{About, Kept, Key};
use bongsu::store::{Bucket, LocalObjects, ObjectError, Objects};
use bytes::Bytes;
use minio::s3::MinioClient;
use minio::s3::creds::StaticProvider;
use minio::s3::http::BaseUrl;
use minio::s3::multimap_ext::{Multimap, MultimapExt as _};

use crate::support::seaweed::{ADMIN, READER, SeaweedOptions};
use crate::support::{Seaweed, await_until, skip, temp_dir};

const SOON: Duration = Duration::from_secs(60);
const NO_SERVICE: &str = "no weed (SeaweedFS): scripts/test installs it";
const WISHES: Wishes = Wishes { archive_days: Some(400) };

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

/// What every store must do.
async fn suite(objects: &Objects) {
    // A fresh service answers before it can store.
    await_until(SOON, || async { objects.prepare(&WISHES).await.is_ok() }, "the buckets").await;
    let puts = || async {
        objects.put(Bucket::Reports, &key("ready"), "x".into(), About::default()).await.is_ok()
    };
    await_until(SOON, puts, "the first put").await;
    objects.probe().await.expect("it is there");

    bytes_and_words_come_back(objects).await;
    versions_stay_where_the_bucket_has_them(objects).await;
    keys_are_listed_in_order(objects).await;

    let error = objects.get(Bucket::Models, &key("none"), None).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no object models/none");
    assert!(objects.versions(Bucket::RawData, &key("none")).await.unwrap().is_empty());
    assert!(objects.list(Bucket::Backups, "", None, 9).await.unwrap().is_empty());
}

async fn bytes_and_words_come_back(objects: &Objects) {
    let large: Bytes =
        (0..20_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes) in [("empty", Bytes::new()), ("small", "가나다".into()), ("large", large)]
    {
        let name = key(name);
        let about =
            About::of("application/zstd").with("run", "a b").with("subject", "005930 삼성 50%");
        objects.put(Bucket::Reports, &name, bytes.clone(), about.clone()).await.unwrap();
        let found = objects.get(Bucket::Reports, &name, None).await.unwrap();
        assert_eq!(found.about, about);
        assert!(found.bytes == bytes, "{name}: {} bytes came back", found.bytes.len());
    }
}

async fn versions_stay_where_the_bucket_has_them(objects: &Objects) {
    for bucket in [Bucket::RawData, Bucket::Reports] {
        let name = key("a/b.json");
        let first = objects.put(bucket, &name, "one".into(), About::default()).await.unwrap();
        let second = objects.put(bucket, &name, "two".into(), About::default()).await.unwrap();
        // A longer key is another object.
        objects.put(bucket, &key("a/b.json.old"), "other".into(), About::default()).await.unwrap();
        let newest = objects.get(bucket, &name, None).await.unwrap();
        assert_eq!((&newest.bytes[..], &newest.version), (&b"two"[..], &second));
        let versions = objects.versions(bucket, &name).await.unwrap();
        if bucket.is_versioned() {
            assert_eq!(versions, [second, first.clone()]);
            let older = objects.get(bucket, &name, Some(&first)).await.unwrap();
            assert_eq!(&older.bytes[..], b"one");
        } else {
            assert_eq!(versions, [second]);
        }
    }
}

async fn keys_are_listed_in_order(objects: &Objects) {
    let names = ["l/b", "l/a", "l/c/d", "l/c/e", "dt=2024-08-05/a+b,c.d_e-f", "other"];
    for name in names {
        objects.put(Bucket::Prompts, &key(name), "x".into(), About::default()).await.unwrap();
    }
    let list = |prefix: &'static str, after: Option<Key>, limit| async move {
        let keys = objects.list(Bucket::Prompts, prefix, after.as_ref(), limit).await.unwrap();
        keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list("l/", None, 9).await, ["l/a", "l/b", "l/c/d", "l/c/e"]);
    assert_eq!(list("l/c", None, 9).await, ["l/c/d", "l/c/e"]);
    assert_eq!(list("l/", Some(key("l/b")), 1).await, ["l/c/d"]);
    assert_eq!(list("d", None, 9).await, ["dt=2024-08-05/a+b,c.d_e-f"]);
    assert_eq!(list("l", None, 2).await, ["l/a", "l/b"]);
}

#[tokio::test]
async fn a_folder_holds_objects() {
    let folder = temp_dir();
    suite(&Objects::Local(LocalObjects::new(folder.path()))).await;
}

#[tokio::test]
async fn a_service_holds_objects() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    suite(&Objects::S3(server.client(ADMIN, |_| {}))).await;
}

#[tokio::test]
async fn a_prefix_keeps_two_of_us_apart_in_another_region() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let one = Objects::S3(server.client(ADMIN, |options| options.bucket_prefix = "one-".into()));
    let two = Objects::S3(server.client(ADMIN, |options| {
        options.bucket_prefix = "two-".into();
        options.region = "ap-northeast-2".into();
    }));
    for (objects, name) in [(&one, "one-reports"), (&two, "two-reports")] {
        let made = prepared(objects, &WISHES).await;
        assert!(made.iter().any(|finding| finding.bucket == name), "{made:?}");
    }
    let put = || async {
        one.put(Bucket::Reports, &key("k"), "x".into(), About::default()).await.is_ok()
    };
    await_until(SOON, put, "a put").await;
    assert_eq!(one.list(Bucket::Reports, "", None, 9).await.unwrap().len(), 1);
    assert!(two.list(Bucket::Reports, "", None, 9).await.unwrap().is_empty());
}

/// How a feature of a bucket was found.
fn standing(findings: &[Finding], bucket: &str, feature: Feature) -> Standing {
    let found = findings.iter().find(|f| f.bucket == bucket && f.feature == feature);
    found.unwrap_or_else(|| panic!("{bucket} {feature}: {findings:?}")).standing.clone()
}

async fn prepared(objects: &Objects, wishes: &Wishes) -> Vec<Finding> {
    let last = std::sync::Mutex::new(Vec::new());
    let look = || async {
        let Ok(found) = objects.prepare(wishes).await else { return false };
        *last.lock().unwrap() = found;
        true
    };
    await_until(SOON, look, "the buckets").await;
    last.into_inner().unwrap()
}

#[tokio::test]
async fn buckets_get_what_they_lack_and_keep_what_they_have() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    let before = || async { objects.inspect(&WISHES).await.is_ok() };
    await_until(SOON, before, "an answer").await;
    let found = objects.inspect(&WISHES).await.unwrap();
    assert!(found.iter().all(|finding| finding.standing == Standing::Absent), "{found:?}");

    let made = prepared(&objects, &WISHES).await;
    let again = objects.inspect(&WISHES).await.unwrap();
    assert!(again.iter().all(|finding| finding.standing == Standing::Good), "{again:?}");
    assert_eq!(again.len(), 5 * 3 + 2, "encryption, policy; versions and lifecycle of raw data");
    assert!(!made.iter().any(Finding::is_warning), "{made:?}");
    // The object that tried encryption is gone, with all its versions.
    let left = objects.list(Bucket::RawData, "", None, 9).await.unwrap();
    assert!(left.is_empty(), "{left:?}");

    // Another wish: our own rules follow, nobody's are touched.
    let longer = Wishes { archive_days: Some(500) };
    let found = objects.prepare(&longer).await.unwrap();
    assert_eq!(standing(&found, "raw-data", Feature::Lifecycle), Standing::Made);
    let found = objects.prepare(&Wishes { archive_days: None }).await.unwrap();
    let kept = standing(&found, "raw-data", Feature::Lifecycle);
    assert!(matches!(&kept, Standing::Kept(why) if why.contains("3 rules")), "{kept:?}");

    // What a service denies by our policy: versions of raw data stay.
    let bucket = Bucket::RawData;
    objects.put(bucket, &key("k"), "x".into(), About::default()).await.unwrap();
    assert_eq!(objects.versions(bucket, &key("k")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_that_cannot_encrypt_is_told_of_and_used() {
    let options = SeaweedOptions { without_key: true, ..SeaweedOptions::default() };
    let Some(server) = Seaweed::start_with(options) else { skip!("{NO_SERVICE}") };
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    let found = prepared(&objects, &WISHES).await;
    for bucket in Bucket::ALL {
        let standing = standing(&found, bucket.as_str(), Feature::Encryption);
        assert!(matches!(standing, Standing::Unsupported(_)), "{bucket:?}: {standing:?}");
    }
    let warning = found.iter().find(|finding| finding.is_warning()).unwrap().to_string();
    assert!(warning.starts_with("raw-data: no default encryption: "), "{warning}");
    objects.put(Bucket::RawData, &key("k"), "x".into(), About::default()).await.unwrap();
}

#[tokio::test]
async fn refusals_are_named_and_secrets_are_not() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    prepared(&objects, &WISHES).await;
    let cases = [
        ((ADMIN.0, "wrong-canary"), "signaturedoesnotmatch", "MINIO_SECRET_KEY", true),
        (("AKcanary", "wrong-canary"), "invalidaccesskeyid", "MINIO_ACCESS_KEY", true),
        (READER, "accessdenied", "give the key the right", false),
    ];
    for (user, code, advice, down) in cases {
        let health = HealthRegistry::new();
        let told = health.clone();
        let client = Objects::S3(server.client(user, |options| options.health = Some(told)));
        let error = client.put(Bucket::Reports, &key("k"), "x".into(), About::default()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, ObjectError::Refused { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(code) && text.contains(advice), "{text}");
        assert!(!text.contains("canary") && !format!("{error:?}{client:?}").contains("canary"));
        let state = health.get(Component::Objects).map(|line| line.state.as_str());
        assert_eq!(state == Some("down"), down, "{code}: {state:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_not_what_was_put_is_refused() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    prepared(&objects, &WISHES).await;
    // Somebody else's client puts other bytes, but keeps what was said about ours.
    let base: BaseUrl = server.endpoint().parse().unwrap();
    let provider = StaticProvider::new(ADMIN.0, ADMIN.1, None);
    let foreign = MinioClient::new(base, Some(provider), None, None).unwrap();
    let put = |sha256: &'static str| {
        let mut headers = Multimap::new();
        headers.add("x-amz-meta-sha256", sha256);
        let put = foreign.put_object_content("reports", "k", "other").unwrap();
        put.user_metadata(Some(headers)).build().send()
    };
    let stored = || async { put("00").await.is_ok() };
    await_until(SOON, stored, "a put").await;
    let error = objects.get(Bucket::Reports, &key("k"), None).await.unwrap_err();
    assert!(matches!(error, ObjectError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().starts_with("the object reports/k is damaged"), "{error}");
}

#[tokio::test]
async fn an_outage_is_told_and_heals() {
    let Some(mut server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let folder = temp_dir();
    let waiting = folder.path().join("waiting");
    let health = HealthRegistry::new();
    let told = health.clone();
    let objects = Objects::S3(server.client(ADMIN, |options| {
        options.health = Some(told);
        options.breaker.failures = 3;
        options.deadline = Duration::from_secs(5);
        options.waiting = Some(waiting.clone());
    }));
    prepared(&objects, &WISHES).await;
    let put =
        |name: &'static str| objects.put(Bucket::RawData, &PUT[name], "x".into(), About::default());
    let first = || async { put("before").await.is_ok() };
    await_until(SOON, first, "a put").await;

    server.kill9();
    for _ in 0..4 {
        let error = put("during").await.unwrap_err();
        assert!(matches!(error, ObjectError::Away { .. }), "{error}");
    }
    // What may wait, waits on this machine.
    let kept =
        objects.put_or_keep(Bucket::RawData, &key("kept"), "k".into(), About::of("a/b")).await;
    assert_eq!(kept.unwrap(), Kept::Waiting);
    assert_eq!(objects.waiting_bytes(), 1);
    assert!(objects.forward().await.is_err());
    let line = health.get(Component::Objects).unwrap();
    assert_eq!(line.state.as_str(), "down");
    assert!(line.state.reason().unwrap().contains("is away"), "{line:?}");

    server.restart();
    let heals = || async { put("after").await.is_ok() };
    await_until(SOON, heals, "a put after the outage").await;
    assert_eq!(health.get(Component::Objects).unwrap().state.as_str(), "up");
    // It follows once, also when another process finds it.
    let next = Objects::S3(server.client(ADMIN, |options| options.waiting = Some(waiting)));
    assert_eq!((next.waiting_bytes(), next.forward().await.unwrap()), (1, 1));
    assert_eq!((next.waiting_bytes(), next.forward().await.unwrap()), (0, 0));
    let found = objects.get(Bucket::RawData, &key("kept"), None).await.unwrap();
    assert_eq!((&found.bytes[..], found.about), (&b"k"[..], About::of("a/b")));
    assert_eq!(objects.versions(Bucket::RawData, &key("kept")).await.unwrap().len(), 1);
    let found = objects.get(Bucket::RawData, &key("before"), None).await.unwrap();
    assert_eq!(&found.bytes[..], b"x");
}

static PUT: std::sync::LazyLock<std::collections::HashMap<&'static str, Key>> =
    std::sync::LazyLock::new(|| ["before", "during", "after"].map(|name| (name, key(name))).into());

/// An authority, and a certificate of it for 127.0.0.1; `None` without openssl.
fn certificates(dir: &Path) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
        openssl req -newkey rsa:2048 -nodes -keyout srv.key -out srv.csr -subj /CN=localhost
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > ext
        openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out srv.crt -days 2 -extfile ext";
    let made = Command::new("sh").args(["-c", script]).current_dir(dir).output().ok()?;
    made.status.success().then(|| (dir.join("ca.crt"), dir.join("srv.crt"), dir.join("srv.key")))
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let dir = temp_dir();
    let Some((ca, certificate, key_file)) = certificates(dir.path()) else { skip!("no openssl") };
    let options =
        SeaweedOptions { tls: Some((certificate, key_file)), ..SeaweedOptions::default() };
    let Some(server) = Seaweed::start_with(options) else { skip!("{NO_SERVICE}") };
    let strange = Objects::S3(server.client(ADMIN, |_| {}));
    let error = strange.get(Bucket::Reports, &key("k"), None).await.unwrap_err().to_string();
    assert!(error.contains("is away") && error.contains("certificate"), "{error}");

    let objects = Objects::S3(server.client(ADMIN, |options| options.ca_file = Some(ca)));
    prepared(&objects, &WISHES).await;
    let put = || async {
        objects.put(Bucket::Reports, &key("k"), "x".into(), About::default()).await.is_ok()
    };
    await_until(SOON, put, "a put").await;
    assert_eq!(&objects.get(Bucket::Reports, &key("k"), None).await.unwrap().bytes[..], b"x");
}
