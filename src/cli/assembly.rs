//! What `run`, `replay` and `bench` have in common: runtime, folder lock, and running a tree.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;

use crate::actors::tree::Tree;

/// The shared runtime: everything that waits for the outside runs on it, and all arbiters of the
/// tree are made on it. Two workers: the hot path has threads of its own.
///
/// # Errors
/// When threads cannot be started.
pub fn runtime() -> anyhow::Result<Arc<Runtime>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("io")
        .enable_all()
        .build()
        .context("start the runtime")?;
    Ok(Arc::new(runtime))
}

/// The data folder, locked for this process: one daemon at a time owns a journal.
#[derive(Debug)]
pub struct DataDir {
    /// The folder.
    pub path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes and locks the folder.
    ///
    /// # Errors
    /// When it cannot be made, or another process owns it.
    pub fn lock(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| {
            format!("data_dir {}: cannot make the folder; set BONGSU_DATA_DIR to one that can be written", path.display())
        })?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("cannot open {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(anyhow!(
                "data_dir {} is in use by another bongsu process; stop it, or set BONGSU_DATA_DIR to another folder",
                path.display()
            )),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", lock_path.display()))
            }
        }
    }
}

/// Runs a tree on this thread until it ends. `beside` is started with it and may stop it through
/// its handles.
///
/// # Errors
/// Why the root gave up.
pub fn run_tree<F, B>(
    runtime: &Arc<Runtime>,
    build: impl FnOnce() -> Tree,
    beside: F,
) -> anyhow::Result<()>
where
    F: FnOnce(&Tree) -> B,
    B: Future<Output = ()> + Send + 'static,
{
    let shared = Arc::clone(runtime);
    let system = actix_rt::System::with_tokio_rt(move || shared);
    system.block_on(async {
        let tree = build();
        let task = runtime.spawn(beside(&tree));
        let outcome = tree.run().await;
        task.abort();
        outcome.map_err(|why| anyhow!("the supervisor tree gave up: {why}"))
    })
}
