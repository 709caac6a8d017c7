//! The model registry: the same suite over a folder and a real S3 service, with writers that come at
//! the same time.

use std::time::Duration;

use bongsu::market::{EventTime, ModelId, SessionDay};
use bongsu::messages::ModelVersion;
use bongsu::model::DataInfo;
use bongsu::store::models::{INDEX, ModelRegistry, RegistryError};
use bongsu::store::objects::buckets::Wishes;
use bongsu::store::objects::{About, Key};
use bongsu::store::{Bucket, LocalObjects, ObjectError, Objects};

use crate::support::seaweed::ADMIN;
use crate::support::{Seaweed, await_until, skip, temp_dir};

const SOON: Duration = Duration::from_secs(60);
const NO_SERVICE: &str = "no weed (SeaweedFS): scripts/test installs it";

fn version(id: &str) -> ModelVersion {
    let id: ModelId = id.parse().expect("a name");
    ModelVersion {
        id,
        kind: "daily_risk".to_owned(),
        created_at: id.time(),
        trained_until: SessionDay::from_yyyymmdd(20_250_630).expect("a day"),
        data: DataInfo { files: vec!["a.parquet".into()], rows: 9, ..DataInfo::default() },
        features: vec!["har_1".to_owned(), "har_5".to_owned()],
        metrics: [("fz0_025".to_owned(), 1.88.into())].into_iter().collect(),
        code_version: "0.1.0".to_owned(),
        active: false,
        activated_at: None,
        model_sha256: String::new(),
        note: "시험".to_owned(),
    }
}

/// A put that depends on what lies there.
async fn conditions_are_kept(objects: &Objects) {
    let key: Key = "conditional".parse().unwrap();
    let put = async |text: &'static str, tag| {
        objects.put_if(Bucket::Models, &key, text.into(), About::default(), tag).await
    };
    let first = || async { put("1", None).await.is_ok() };
    await_until(SOON, first, "the first put").await;
    let refused = |outcome| matches!(outcome, Err(ObjectError::Changed { .. }));
    assert!(refused(put("2", None).await), "it is there already");
    let read = objects.get(Bucket::Models, &key, None).await.unwrap();
    put("2", Some(&read.tag)).await.unwrap();
    assert!(refused(put("3", Some(&read.tag)).await), "it has changed since");
    let now = objects.get(Bucket::Models, &key, None).await.unwrap();
    assert_eq!(&now.bytes[..], b"2");
    let elsewhere: Key = "elsewhere".parse().unwrap();
    let gone =
        objects.put_if(Bucket::Models, &elsewhere, "x".into(), About::default(), Some(&now.tag));
    assert!(refused(gone.await), "there is none");
}

async fn suite(objects: &Objects) {
    conditions_are_kept(objects).await;
    let registry = ModelRegistry::new(objects.clone());
    assert!(registry.index().await.unwrap().versions().is_empty());
    let one = registry.register(version("20260105T090000Z"), "{\"n\":1}".into()).await.unwrap();
    let now = EventTime::from_micros(1_767_603_600_000_000);
    assert_eq!(registry.activate(one.id, now, None).await.unwrap(), None);

    // Six at once, under one name: each gets its own, and none is lost.
    let many = (0..6).map(|n| {
        let registry = registry.clone();
        let document = format!("{{\"many\":{n}}}");
        async move { registry.register(version("20260106T090000Z"), document.into()).await }
    });
    let many = futures::future::join_all(many).await;
    let index = registry.index().await.unwrap();
    assert_eq!(index.versions().len(), 7, "{:?}", index.ids());
    for (n, made) in many.into_iter().enumerate() {
        let made = made.unwrap();
        let found = index.find(made.id).expect("it is listed");
        assert_eq!((&made, found.note.as_str()), (found, "시험"));
        let document = registry.document(found).await.unwrap();
        assert_eq!(&document[..], format!("{{\"many\":{n}}}").as_bytes());
    }
    assert_eq!(index.active().map(|version| version.id), Some(one.id), "it stays in use");

    let new = index.ids()[0];
    let later = now.plus_micros(5);
    assert_eq!(registry.activate(new, later, Some("better")).await.unwrap(), Some(one.id));
    assert_eq!(registry.activate(one.id, later, None).await.unwrap(), Some(new), "rolled back");
    let error = registry.activate("20200101T000000Z".parse().unwrap(), now, None).await;
    assert!(
        matches!(&error, Err(RegistryError::Unknown { known, .. }) if known.len() == 7),
        "{error:?}"
    );

    let index: Key = INDEX.parse().unwrap();
    objects.put(Bucket::Models, &index, "{".into(), About::default()).await.unwrap();
    let error = registry.index().await.unwrap_err().to_string();
    assert!(error.contains("models/models.json is damaged"), "{error}");
}

#[tokio::test]
async fn a_folder_holds_models() {
    let folder = temp_dir();
    suite(&Objects::Local(LocalObjects::new(folder.path()))).await;
}

#[tokio::test]
async fn a_service_holds_models() {
    let Some(server) = Seaweed::start() else { skip!("{NO_SERVICE}") };
    let objects = Objects::S3(server.client(ADMIN, |_| {}));
    let wishes = Wishes { archive_days: None };
    await_until(SOON, || async { objects.prepare(&wishes).await.is_ok() }, "the buckets").await;
    suite(&objects).await;
}

/// Processes that share a folder wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_registries_over_one_folder_lose_nothing() {
    let folder = temp_dir();
    let writers = (0..2).map(|writer| {
        let objects = Objects::Local(LocalObjects::new(folder.path()));
        let registry = ModelRegistry::new(objects);
        tokio::spawn(async move {
            for n in 0..8 {
                let document = format!("[{writer},{n}]");
                registry.register(version("20260105T090000Z"), document.into()).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let registry = ModelRegistry::new(Objects::Local(LocalObjects::new(folder.path())));
    assert_eq!(registry.index().await.unwrap().versions().len(), 16);
}
