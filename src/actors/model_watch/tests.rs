use std::future::Future;
use std::path::{Path, PathBuf};

use super::*;
use crate::actors::supervision::{Inbox, Policy};
use crate::market::EventTime;
use crate::model::document::tests::example;
use crate::store::objects::{About, Bucket};
use crate::store::{LocalObjects, Objects};

struct World {
    _folder: tempfile::TempDir,
    objects: Objects,
    registry: ModelRegistry,
    inbox: Inbox<Arc<FrameBatch>>,
    parts: Arc<ModelWatchParts>,
}

fn world(built_in: Option<ModelSwitch>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::Local(LocalObjects::new(folder.path()));
    let registry = ModelRegistry::new(objects.clone());
    let health = HealthRegistry::new();
    health.declare(Component::Model, false);
    let parts = Arc::new(ModelWatchParts {
        registry: registry.clone(),
        built_in,
        database: None,
        board: ModelBoard::default(),
        health,
        every: Duration::from_millis(5),
        first_answer: FIRST_ANSWER,
        looked: Flag::pending(),
    });
    World {
        _folder: folder,
        objects,
        registry,
        inbox: Inbox::new("ingest", 4, Policy::Block),
        parts,
    }
}

fn version(id: &str) -> ModelVersion {
    let id: ModelId = id.parse().unwrap();
    ModelVersion {
        id,
        kind: "daily_risk".to_owned(),
        created_at: id.time(),
        trained_until: Default::default(),
        data: Default::default(),
        features: Vec::new(),
        metrics: Default::default(),
        code_version: String::new(),
        active: false,
        activated_at: None,
        model_sha256: String::new(),
        note: String::new(),
    }
}

impl World {
    async fn register(&self, id: &str, seed: f64) -> ModelId {
        let text = example(seed).to_json().unwrap();
        self.registry.register(version(id), text.into()).await.unwrap().id
    }

    async fn activate(&self, id: ModelId) {
        self.registry.activate(id, EventTime::from_micros(id.time().micros()), None).await.unwrap();
    }

    /// The next switch that is sent to Ingest, which journals it.
    async fn next(&self) -> ModelSwitch {
        let batch = self.inbox.recv().await.unwrap();
        batch.is_journaled();
        let frame = batch.frame(0);
        assert_eq!((batch.len(), frame.kind), (1, FrameKind::Model));
        ModelRecord::parse(frame.payload).unwrap()
    }

    /// Does `what` while the watch runs.
    async fn during<T>(&self, what: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        let watch = run_model_watch(Arc::clone(&self.parts), self.inbox.edge("test"), stop.clone());
        let what = async {
            let outcome = what.await;
            stop.cancel();
            outcome
        };
        let (ended, outcome) = tokio::join!(watch, what);
        ended.unwrap();
        outcome
    }

    async fn until(&self, holds: impl Fn(&HealthRegistry) -> bool) {
        while !holds(&self.parts.health) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn reason(health: &HealthRegistry) -> String {
    let line = health.get(Component::Model).unwrap();
    line.state.reason().unwrap_or_default().to_owned()
}

fn own() -> ModelSwitch {
    let document = example(0.3).to_json().unwrap();
    ModelSwitch {
        id: "20250101T000000Z".parse().unwrap(),
        origin: ModelOrigin::BuiltIn,
        sha256: sha256(document.as_bytes()),
        document: document.into(),
    }
}

#[tokio::test]
async fn another_version_comes_without_a_restart_and_back() {
    let world = world(None);
    let (old, new) = (
        world.register("20260105T090000Z", 0.1).await,
        world.register("20260106T090000Z", 0.2).await,
    );
    world.activate(old).await;
    world
        .during(async {
            let first = world.next().await;
            assert_eq!((first.id, first.origin), (old, ModelOrigin::Registry));
            world.parts.looked.wait().await;
            world.activate(new).await;
            let second = world.next().await;
            assert_eq!(FittedModel::read(&second).unwrap().document, example(0.2));
            world.activate(old).await;
            assert_eq!(world.next().await, first);
            world
                .until(|health| {
                    health.get(Component::Model).unwrap().note.starts_with(&old.to_string())
                })
                .await;
            assert_eq!(world.parts.board.versions().len(), 2);
        })
        .await;
    assert!(world.inbox.try_recv().is_none(), "nothing is sent twice");
}

#[tokio::test]
async fn without_any_model_the_feed_begins_all_the_same() {
    let world = world(None);
    world
        .during(async {
            world.parts.looked.wait().await;
            world
                .until(|health| health.get(Component::Model).unwrap().note.starts_with("none"))
                .await;
        })
        .await;
    assert!(world.inbox.try_recv().is_none());
}

#[tokio::test]
async fn the_built_in_one_serves_until_another_is_active() {
    let world = world(Some(own()));
    let id = world.register("20260105T090000Z", 0.1).await;
    world
        .during(async {
            assert_eq!(world.next().await, own());
            world
                .until(|health| health.get(Component::Model).unwrap().note.contains("built-in"))
                .await;
            world.activate(id).await;
            assert_eq!(world.next().await.id, id);
        })
        .await;
}

#[tokio::test]
async fn what_is_damaged_changes_nothing_and_is_told() {
    let world = world(Some(own()));
    let good = world.register("20260105T090000Z", 0.1).await;
    world.activate(good).await;
    let put = async |key: &str, text: &'static str| {
        let (key, about) = (key.parse().unwrap(), About::default());
        world.objects.put(Bucket::Models, &key, text.into(), about).await.unwrap();
    };
    world
        .during(async {
            assert_eq!(world.next().await.id, good);
            let whole = world.registry.index().await.unwrap().text().unwrap();
            put("models.json", "{\"format\":").await;
            world.until(|health| reason(health).contains("models.json is damaged")).await;
            assert!(reason(&world.parts.health).contains(&format!("in use: {good}")));
            let key = "models.json".parse().unwrap();
            world.objects.put(Bucket::Models, &key, whole.into(), About::default()).await.unwrap();
            world.until(|health| reason(health).is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn what_came_back_with_a_checkpoint_goes_on_while_the_registry_is_damaged() {
    let world = world(Some(own()));
    let id: ModelId = "20260105T090000Z".parse().unwrap();
    world.parts.board.set_live(Some(LiveModel { id, origin: ModelOrigin::Registry }));
    let key = "models.json".parse().unwrap();
    world.objects.put(Bucket::Models, &key, "{".into(), About::default()).await.unwrap();
    world
        .during(async {
            let told = format!("in use: {id}");
            world.until(|health| reason(health).contains(&told)).await;
        })
        .await;
    assert!(world.inbox.try_recv().is_none(), "the built-in one does not take its place");
}

/// The file of the list's newest version in a folder of objects.
fn list_file(folder: &Path) -> PathBuf {
    let paths = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let is_list = |path: &&PathBuf| path.to_string_lossy().contains("models.json");
    let versions = paths(&folder.join(Bucket::Models.as_str()));
    let versions = paths(versions.iter().find(is_list).unwrap());
    versions.into_iter().filter(|path| path.extension().is_none()).max().unwrap()
}

#[tokio::test]
async fn a_registry_that_hangs_at_the_start_does_not_leave_the_feed_without_a_model() {
    let mut world = world(Some(own()));
    let parts = Arc::get_mut(&mut world.parts).unwrap();
    parts.first_answer = Duration::from_millis(20);
    let id = world.register("20260105T090000Z", 0.1).await;
    world.activate(id).await;
    // A pipe that nobody writes into: reading it waits.
    let index = list_file(world._folder.path());
    let aside = world._folder.path().join("aside");
    std::fs::rename(&index, &aside).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&index).status().unwrap().success());
    world
        .during(async {
            assert_eq!(world.next().await, own());
            world.parts.looked.wait().await;
            world.until(|health| reason(health).contains("has not answered within 20ms")).await;
            // It answers again: whoever waits reads an end, whoever comes later the whole.
            let answer = tokio::task::spawn_blocking(move || {
                let pipe = std::fs::OpenOptions::new().write(true).open(&index);
                std::fs::rename(&aside, &index).unwrap();
                drop(pipe.unwrap());
            });
            assert_eq!(world.next().await.id, id);
            answer.await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_document_that_is_no_model_is_refused_by_name() {
    let world = world(Some(own()));
    let bad = world
        .registry
        .register(version("20260106T090000Z"), "{\"format\":1}".into())
        .await
        .unwrap();
    world.activate(bad.id).await;
    world
        .during(async {
            assert_eq!(world.next().await, own(), "the built-in one serves meanwhile");
            world
                .until(|health| {
                    reason(health).contains("the model 20260106T090000Z cannot be used")
                })
                .await;
        })
        .await;
}

#[test]
fn the_shipped_file_is_one_or_none() {
    built_in().unwrap();
    assert_eq!(shipped(b"null").unwrap(), None);
    assert!(shipped(b"{}").unwrap_err().contains("default.json"));
    let document: serde_json::Value =
        serde_json::from_str(&example(0.1).to_json().unwrap()).unwrap();
    let text = serde_json::json!({ "id": "20250101T000000Z", "document": document }).to_string();
    let found = shipped(text.as_bytes()).unwrap().unwrap();
    assert_eq!(found.origin, ModelOrigin::BuiltIn);
    assert_eq!(FittedModel::read(&found).unwrap().document, example(0.1));
}
