use super::*;
use crate::market::SessionDay;
use crate::model::DataInfo;
use crate::store::LocalObjects;

fn version(id: &str) -> ModelVersion {
    let id: ModelId = id.parse().unwrap();
    ModelVersion {
        id,
        kind: "daily_risk".to_owned(),
        created_at: id.time(),
        trained_until: SessionDay::from_yyyymmdd(20_250_630).unwrap(),
        data: DataInfo::default(),
        features: vec!["har_1".to_owned()],
        metrics: serde_json::Map::new(),
        code_version: "0.1.0".to_owned(),
        active: false,
        activated_at: None,
        model_sha256: String::new(),
        note: String::new(),
    }
}

fn registry() -> (tempfile::TempDir, ModelRegistry) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::Local(LocalObjects::new(folder.path()));
    (folder, ModelRegistry::new(objects))
}

#[tokio::test]
async fn a_version_is_registered_activated_and_rolled_back() {
    let (_folder, registry) = registry();
    assert!(registry.index().await.unwrap().versions().is_empty());
    let old = registry.register(version("20260105T090000Z"), "{\"v\":1}".into()).await.unwrap();
    let new = registry.register(version("20260106T090000Z"), "{\"v\":2}".into()).await.unwrap();
    let now = EventTime::from_micros(1_722_816_021_000_000);
    assert_eq!(registry.activate(old.id, now, None).await.unwrap(), None);
    assert_eq!(registry.activate(new.id, now, Some("better")).await.unwrap(), Some(old.id));
    let index = registry.index().await.unwrap();
    assert_eq!(index.ids(), [new.id, old.id]);
    let active = index.active().unwrap();
    assert_eq!(
        (active.id, active.note.as_str(), active.activated_at),
        (new.id, "better", Some(now))
    );
    assert_eq!(&registry.document(active).await.unwrap()[..], b"{\"v\":2}");
    assert_eq!(registry.activate(old.id, now, None).await.unwrap(), Some(new.id));
    assert_eq!(registry.index().await.unwrap().active().unwrap().id, old.id);

    let error =
        registry.activate("20200101T000000Z".parse().unwrap(), now, None).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("20200101T000000Z") && text.contains(&old.id.to_string()), "{text}");
}

#[tokio::test]
async fn a_name_that_is_taken_gives_the_next_second() {
    let (_folder, registry) = registry();
    let first = registry.register(version("20260105T090000Z"), "1".into()).await.unwrap();
    let second = registry.register(version("20260105T090000Z"), "2".into()).await.unwrap();
    assert_eq!(second.id.to_string(), "20260105T090001Z");
    assert_eq!(&registry.document(&first).await.unwrap()[..], b"1");
}

#[tokio::test]
async fn what_is_damaged_is_refused_by_name() {
    let (folder, registry) = registry();
    let version = registry.register(version("20260105T090000Z"), "{}".into()).await.unwrap();
    let now = EventTime::default();
    registry.activate(version.id, now, None).await.unwrap();
    let objects = Objects::Local(LocalObjects::new(folder.path()));
    let put = async |key: &str, text: &'static str| {
        let key = key.parse().unwrap();
        objects.put(Bucket::Models, &key, text.into(), About::default()).await.unwrap();
    };
    put(&version.object_key(), "{\"other\":1}").await;
    let error = registry.document(&version).await.unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. }), "{error}");
    assert!(registry.activate(version.id, now, None).await.is_err());

    let index = registry.index().await.unwrap();
    let good = String::from_utf8(index.text().unwrap()).unwrap();
    for bad in ["", "{", "[]", "{\"format\":2,\"models\":[]}", "{\"format\":1}"] {
        put(INDEX, bad).await;
        let error = registry.index().await.unwrap_err().to_string();
        assert!(error.contains("models/models.json is damaged"), "{bad}: {error}");
        // Nothing is written over it.
        let error = registry.register(version.clone(), "3".into()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Index(_)), "{error}");
    }
    let unknown = good.replace("20260105T090000Z", "soon");
    let error = ModelIndex::parse(unknown.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("soon"), "{error}");
    let folder = folder.path().join("models").join(format!("{}@", version.object_key()));
    std::fs::remove_dir_all(folder).unwrap();
    let error = registry.document(&version).await.unwrap_err().to_string();
    assert!(error.contains("it is not there"), "{error}");
}

#[test]
fn a_list_with_two_in_use_or_out_of_order_is_refused() {
    let mut index = ModelIndex::default();
    index.add(version("20260105T090000Z"));
    index.add(version("20260107T090000Z"));
    index.add(version("20260106T090000Z"));
    let mut text: serde_json::Value = serde_json::from_slice(&index.text().unwrap()).unwrap();
    let parse = |value: &serde_json::Value| ModelIndex::parse(value.to_string().as_bytes());
    assert_eq!(parse(&text).unwrap().ids(), index.ids());
    text["models"][0]["active"] = true.into();
    parse(&text).unwrap();
    text["models"][1]["active"] = true.into();
    assert!(parse(&text).unwrap_err().to_string().contains("2 versions are in use"));
    text["models"][1]["active"] = false.into();
    text["models"][1]["id"] = text["models"][0]["id"].clone();
    assert!(parse(&text).unwrap_err().to_string().contains("stands behind"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_list_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
        let _ = ModelIndex::parse(&bytes);
    }
}

#[tokio::test]
async fn rows_follow_the_list_and_the_measures() {
    use crate::messages::Evaluation;
    use crate::store::entity::model_version;
    use crate::store::{Database, DatabaseOptions};
    use sea_orm::EntityTrait as _;

    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("a.db").display());
    let db = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    db.migrate().await.unwrap();
    assert_eq!(newest_evaluation(&db).await.unwrap(), None);
    let (old, mut new) = (version("20260105T090000Z"), version("20260106T090000Z"));
    write_versions(&db, &[new.clone(), old.clone()]).await.unwrap();
    new.active = true;
    new.activated_at = Some(EventTime::from_micros(1_722_816_021_000_000));
    write_versions(&db, &[new.clone(), old]).await.unwrap();
    let rows = model_version::Entity::find().all(db.connection()).await.unwrap();
    let active: Vec<&str> =
        rows.iter().filter(|row| row.active).map(|row| row.id.as_str()).collect();
    assert_eq!((rows.len(), active), (2, vec!["20260106T090000Z"]));
    assert_eq!(rows.iter().find(|row| row.active).unwrap().activated_at, new.activated_at);
    assert!(rows.iter().any(|row| row.object_path == "models/20260105T090000Z/model.json"));

    let report = |ratio: f64| serde_json::json!({ "var_99": { "exceed_ratio": ratio }, "hit_ratio": { "5": 0.5 } });
    let of = |run: &str, micros, ratio| {
        Evaluation::of_report(run, EventTime::from_micros(micros), &report(ratio))
    };
    write_evaluation(&db, &of("one", 1_000_000, 0.01)).await.unwrap();
    let second = of("two", 2_000_000, 0.02);
    write_evaluation(&db, &second).await.unwrap();
    write_evaluation(&db, &second).await.unwrap();
    assert_eq!(newest_evaluation(&db).await.unwrap(), Some(second));
}
