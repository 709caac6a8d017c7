//! `snapshot_backup`: what is small and local, as one compressed file in the bucket `backups`.
//!
//! The SQLite database as a consistent copy (`VACUUM INTO`), compressed with zstd, and beside it the index
//! of the models, as it is now. Journal, archive and models' documents are not in it: they lie in the
//! object store, or on their own way there. A MySQL server is backed up with its own tools.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::{Value, json};

use super::{TaskWorld, of_objects, of_store};
use crate::store::models::sha256;
use crate::store::objects::About;
use crate::store::{Bucket, StoreError};
use crate::tasks::{RetryPolicy, Task, TaskContext, TaskFailure};

crate::task_arguments! {
    /// A copy of the local database and of the index of models, into the bucket backups.
    pub struct Snapshot("snapshot_backup") {}
}

/// zstd's default: half a gigabyte a second on one core.
const LEVEL: i32 = 3;
/// A copy that is larger than this is no matter for one object.
const MOST_BYTES: u64 = 4 << 30;

pub(super) fn task(world: &TaskWorld) -> Task {
    let world = world.clone();
    let task = Task::io(move |_: Snapshot, context| {
        let world = world.clone();
        async move { snapshot(&world, &context).await }
    });
    task.limits(Duration::from_secs(900), Duration::from_secs(1_200)).retry(RetryPolicy {
        max_retries: 2,
        backoff: Duration::from_secs(30),
        backoff_max: Duration::from_secs(300),
    })
}

async fn snapshot(world: &TaskWorld, context: &TaskContext) -> Result<Value, TaskFailure> {
    let database = world.database()?;
    if database.backend() != DbBackend::Sqlite {
        return Err(TaskFailure::runtime(
            "snapshot_backup copies the local SQLite database; this one is a MySQL server: use its own tools, for example mysqldump --single-transaction or a replica's snapshot",
        ));
    }
    let objects = world.objects.as_ref().ok_or_else(|| {
        TaskFailure::runtime("there is no object store: this is a dry run (BONGSU_WRITES=off)")
    })?;
    let folder = world.scratch.join("snapshot");
    tokio::fs::create_dir_all(&folder).await.map_err(|error| no_room(&folder, &error))?;
    let file = folder.join(format!("{}.db", uuid::Uuid::new_v4()));
    let _gone = Gone(file.clone());
    // The name is ours: hexadecimal digits and dashes; the folder's quotes are doubled.
    let path = file.display().to_string().replace('\'', "''");
    database
        .connection()
        .execute_unprepared(&format!("VACUUM INTO '{path}'"))
        .await
        .map_err(|error| of_store(StoreError::statement("copy the database")(error)))?;
    let size = tokio::fs::metadata(&file).await.map_err(|error| no_room(&file, &error))?.len();
    if size > MOST_BYTES {
        return Err(TaskFailure::runtime(format!(
            "the database has {size} bytes, more than the {MOST_BYTES} of one object: move to MySQL, or copy the file yourself"
        )));
    }
    context.check()?;
    let read = file.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(read)?;
        zstd::stream::encode_all(std::io::BufReader::new(file), LEVEL)
    })
    .await
    .map_err(|error| TaskFailure::runtime(format!("compressing was cut off: {error}")))?
    .map_err(|error| no_room(&file, &error))?;
    context.check()?;
    let stamp = context.as_of().rfc3339().replace([':', '+'], "-");
    let about = || About::of("application/zstd").with("made-by", "snapshot_backup");
    let digest = sha256(&packed);
    let (bytes, name) = (packed.len(), format!("snapshots/{stamp}/bongsu.db.zst"));
    put(objects, &name, packed.into(), about().with("sha256", digest.clone())).await?;
    let models = match &world.models {
        Some(parts) => {
            parts.registry.index().await.map_err(TaskFailure::transient)?.versions().to_vec()
        }
        None => Vec::new(),
    };
    let index = serde_json::to_vec(&models).map_err(TaskFailure::runtime)?;
    let models_name = format!("snapshots/{stamp}/models.json");
    put(objects, &models_name, index.into(), About::of("application/json")).await?;
    Ok(json!({
        "bucket": Bucket::Backups.as_str(),
        "place": objects.place(),
        "objects": [name, models_name],
        "database_bytes": size,
        "stored_bytes": bytes,
        "sha256": digest,
        "models": models.len(),
        "as_of": context.as_of().rfc3339(),
    }))
}

async fn put(
    objects: &crate::store::Objects,
    name: &str,
    bytes: Bytes,
    about: About,
) -> Result<(), TaskFailure> {
    let key = name.parse().map_err(TaskFailure::runtime)?;
    objects.put(Bucket::Backups, &key, bytes, about).await.map(drop).map_err(of_objects)
}

fn no_room(path: &Path, error: &std::io::Error) -> TaskFailure {
    TaskFailure::runtime(format!("the copy at {} cannot be made: {error}", path.display()))
}

/// Removes the copy however the task ends.
struct Gone(std::path::PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "a temporary copy stays");
        }
    }
}
