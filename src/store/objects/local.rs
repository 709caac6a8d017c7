//! Objects in a folder of this machine.
//!
//! ```text
//! objects/
//! ├── .tmp/                        half-written files; never looked into
//! └── raw-data/kis/rest/x.json@/   one folder an object, its name marked with @
//!     ├── v0000000001              the bytes of its first version
//!     └── v0000000001.about        content type, metadata and checksum, as JSON
//! ```
//!
//! No key holds an `@`, so the object `a` and the folder of `a/b` lie side by side. A put writes
//! and syncs both files under `.tmp`, links the description into place and then the bytes. The
//! second link is the moment from which the version exists: it fails when somebody else took the
//! number, and then the next one is tried. A bucket without versions removes the older ones
//! afterwards; what a crash leaves of them is behind the newest and is never seen.
//!
//! A put that depends on what lies there is made while `.tmp/conditional.lock` is held, which the
//! system lets go of when its process dies.
//!
//! Everything is readable by its owner alone (0600, 0700): raw answers may tell of an account.
//! Several processes may use one folder at once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{About, Bucket, Key, Object, ObjectError, Tag, Version};

const TEMPORARY: &str = ".tmp";
/// Marks the folder of an object.
const MARK: char = '@';
const ABOUT: &str = "about";
/// Held by whoever puts what depends on what lies there.
const LOCK: &str = "conditional.lock";

/// Objects below one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalObjects {
    root: Arc<Path>,
}

/// The description of a version, beside its bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Described {
    #[serde(flatten)]
    about: About,
    /// SHA-256 of the bytes, hexadecimal.
    sha256: String,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ObjectError {
    let path = path.to_owned();
    move |source| ObjectError::Io { action, path, source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ObjectError::CutOff))
}

impl LocalObjects {
    /// Objects below `root`, which is made when it is first written to.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }

    /// Stores `bytes`. See [`super::Objects::put`].
    pub(super) async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: Bytes,
        about: About,
    ) -> Result<Version, ObjectError> {
        let (own, key) = (self.clone(), key.clone());
        blocking(move || own.put_now(bucket, &key, &bytes, about)).await
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
        let (own, key, expected) = (self.clone(), key.clone(), expected.cloned());
        blocking(move || {
            let temporary = own.root.join(TEMPORARY);
            make_folders(&temporary)?;
            let path = temporary.join(LOCK);
            let mut open = OpenOptions::new();
            let lock = open.create(true).write(true).truncate(false).mode(0o600).open(&path);
            let lock = lock.and_then(|lock| lock.lock().map(|()| lock));
            let _held = lock.map_err(io("lock", &path))?;
            let now = own.versions_now(bucket, &key)?.into_iter().next();
            if now.map(|version| Tag(version.0)) != expected {
                let (bucket, key) = (bucket.as_str(), key.to_string());
                return Err(ObjectError::Changed { bucket, key });
            }
            own.put_now(bucket, &key, &bytes, about)
        })
        .await
    }

    /// Reads an object. See [`super::Objects::get`].
    pub(super) async fn get(
        &self,
        bucket: Bucket,
        key: &Key,
        version: Option<&Version>,
    ) -> Result<Object, ObjectError> {
        let (own, key, version) = (self.clone(), key.clone(), version.cloned());
        blocking(move || own.get_now(bucket, &key, version)).await
    }

    /// Lists keys. See [`super::Objects::list`].
    pub(super) async fn list(
        &self,
        bucket: Bucket,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, ObjectError> {
        let (own, prefix, after) = (self.clone(), prefix.to_owned(), after.cloned());
        blocking(move || {
            let mut keys = Vec::new();
            own.walk(&own.root.join(bucket.as_str()), "", &prefix, &mut keys)?;
            keys.sort();
            Ok(keys.into_iter().filter(|key| Some(key) > after.as_ref()).take(limit).collect())
        })
        .await
    }

    /// Lists versions. See [`super::Objects::versions`].
    pub(super) async fn versions(
        &self,
        bucket: Bucket,
        key: &Key,
    ) -> Result<Vec<Version>, ObjectError> {
        let (own, key) = (self.clone(), key.clone());
        blocking(move || own.versions_now(bucket, &key)).await
    }

    /// The folder of all buckets.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes of all versions of all objects; what cannot be looked at counts as nothing.
    pub(super) fn bytes(&self) -> u64 {
        fn of(folder: &Path) -> u64 {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let size = |entry: fs::DirEntry| match entry.metadata() {
                Ok(about) if about.is_dir() => of(&entry.path()),
                Ok(about) if entry.path().extension().is_none() => about.len(),
                _ => 0,
            };
            entries.map(size).sum()
        }
        Bucket::ALL.iter().map(|bucket| of(&self.root.join(bucket.as_str()))).sum()
    }

    /// Removes one version of an object, and nothing when it is gone already.
    pub(super) async fn remove(
        &self,
        bucket: Bucket,
        key: &Key,
        version: &Version,
    ) -> Result<(), ObjectError> {
        let folder = self.folder(bucket, key);
        let path = folder.join(version.as_str());
        blocking(move || {
            for path in [path.clone(), path.with_extension(ABOUT)] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
            // Other versions stay, and their folder with them.
            match fs::remove_dir(&folder) {
                Err(error)
                    if !matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
                    ) =>
                {
                    Err(io("remove", &folder)(error))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Whether files can be written. See [`super::Objects::probe`].
    pub(super) async fn probe(&self) -> Result<(), ObjectError> {
        let own = self.clone();
        blocking(move || {
            let temporary = own.root.join(TEMPORARY);
            make_folders(&temporary)?;
            Temporary::write(&temporary, b"").map(drop)
        })
        .await
    }

    /// The folder of an object.
    fn folder(&self, bucket: Bucket, key: &Key) -> PathBuf {
        let mut path = self.root.join(bucket.as_str());
        path.push(format!("{key}{MARK}"));
        path
    }

    fn put_now(
        &self,
        bucket: Bucket,
        key: &Key,
        bytes: &[u8],
        about: About,
    ) -> Result<Version, ObjectError> {
        let temporary = self.root.join(TEMPORARY);
        let folder = self.folder(bucket, key);
        make_folders(&temporary)?;
        make_folders(&folder)?;
        let sha256 = hex::encode(Sha256::digest(bytes));
        let described = serde_json::to_vec(&Described { about, sha256 })
            .map_err(|error| io("describe", &folder)(error.into()))?;
        let description = Temporary::write(&temporary, &described)?;
        let content = Temporary::write(&temporary, bytes)?;
        let number = self.take_number(&folder, &description, &content)?;
        sync(&folder)?;
        if !bucket.is_versioned() {
            remove_before(&folder, number);
        }
        Ok(version_of(number))
    }

    /// Links both files under the next free number; the second link is the put.
    fn take_number(
        &self,
        folder: &Path,
        description: &Temporary,
        content: &Temporary,
    ) -> Result<u64, ObjectError> {
        let mut number = numbers(folder)?.first().map_or(1, |newest| newest + 1);
        loop {
            let name = version_of(number).0;
            let described = folder.join(format!("{name}.{ABOUT}"));
            match fs::hard_link(&description.0, &described) {
                Ok(()) => {}
                // Another put is at it, or a crash left its first half: the number is gone.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    number += 1;
                    continue;
                }
                Err(error) => return Err(io("write", &described)(error)),
            }
            let target = folder.join(name);
            return match fs::hard_link(&content.0, &target) {
                Ok(()) => Ok(number),
                Err(error) => Err(io("write", &target)(error)),
            };
        }
    }

    fn get_now(
        &self,
        bucket: Bucket,
        key: &Key,
        version: Option<Version>,
    ) -> Result<Object, ObjectError> {
        let missing = |version: Option<&Version>| ObjectError::Missing {
            bucket: bucket.as_str(),
            key: key.to_string(),
            version: version.map(|version| version.0.clone()),
        };
        let known = self.versions_now(bucket, key)?;
        let chosen = match &version {
            Some(version) => known.into_iter().find(|known| known == version),
            None => known.into_iter().next(),
        };
        let Some(chosen) = chosen else { return Err(missing(version.as_ref())) };
        let path = self.folder(bucket, key).join(&chosen.0);
        let read = |path: &Path| match fs::read(path) {
            Ok(bytes) => Ok(bytes),
            // A newer put has just replaced it.
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(Some(&chosen))),
            Err(error) => Err(io("read", path)(error)),
        };
        let bytes = read(&path)?;
        let damaged = |what: String| ObjectError::Damaged {
            bucket: bucket.as_str(),
            key: key.to_string(),
            what,
        };
        let described = read(&path.with_extension(ABOUT))?;
        let described: Described = serde_json::from_slice(&described)
            .map_err(|error| damaged(format!("its description is unreadable ({error})")))?;
        if hex::encode(Sha256::digest(&bytes)) != described.sha256 {
            return Err(damaged("its checksum does not fit its bytes".to_owned()));
        }
        let tag = Tag(chosen.0.clone());
        Ok(Object { version: chosen, about: described.about, tag, bytes: bytes.into() })
    }

    fn versions_now(&self, bucket: Bucket, key: &Key) -> Result<Vec<Version>, ObjectError> {
        let mut numbers = numbers(&self.folder(bucket, key))?;
        if !bucket.is_versioned() {
            numbers.truncate(1);
        }
        Ok(numbers.into_iter().map(version_of).collect())
    }

    /// Adds the keys below `folder`, whose own key is `path`, that begin with `prefix`.
    fn walk(
        &self,
        folder: &Path,
        path: &str,
        prefix: &str,
        keys: &mut Vec<Key>,
    ) -> Result<(), ObjectError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io("read", folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(io("read", folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let own = |name: &str| match path {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            if let Some(name) = name.strip_suffix(MARK) {
                let Ok(key) = own(name).parse::<Key>() else { continue };
                // An empty folder is what a crash before the put leaves.
                if key.as_str().starts_with(prefix) && !numbers(&entry.path())?.is_empty() {
                    keys.push(key);
                }
            } else {
                let path = own(name);
                let inside = format!("{path}/");
                if inside.starts_with(prefix) || prefix.starts_with(&inside) {
                    self.walk(&entry.path(), &path, prefix, keys)?;
                }
            }
        }
        Ok(())
    }
}

fn version_of(number: u64) -> Version {
    Version(format!("v{number:010}"))
}

/// The numbers of the versions in an object's folder, newest first.
fn numbers(folder: &Path) -> Result<Vec<u64>, ObjectError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("read", folder)(error)),
    };
    let mut numbers: Vec<u64> = Vec::new();
    for entry in entries {
        let name = entry.map_err(io("read", folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix('v')?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// Removes what a newer version replaced. What cannot be removed is behind it and not seen.
fn remove_before(folder: &Path, newest: u64) {
    for number in numbers(folder).unwrap_or_default() {
        if number < newest {
            let path = folder.join(version_of(number).0);
            for path in [path.clone(), path.with_extension(ABOUT)] {
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "a replaced object stays on the disk");
                }
            }
        }
    }
}

/// Makes a folder and those above it, for the owner alone, and syncs each parent that changed.
fn make_folders(folder: &Path) -> Result<(), ObjectError> {
    // The last ancestor of a relative path is empty: the working directory, which is there.
    let absent = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
    let missing: Vec<&Path> = folder.ancestors().take_while(absent).collect();
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("make the folder", path)(error)),
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
    }
    Ok(())
}

fn sync(folder: &Path) -> Result<(), ObjectError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))
}

/// A synced file under `.tmp` that goes when it is let go of.
struct Temporary(PathBuf);

impl Temporary {
    fn write(folder: &Path, bytes: &[u8]) -> Result<Self, ObjectError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            match open {
                Ok(mut file) => {
                    let own = Self(path);
                    let written = file.write_all(bytes).and_then(|()| file.sync_all());
                    written.map_err(io("write", &own.0))?;
                    return Ok(own);
                }
                // Left by a process that had this id before.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io("write", &path)(error)),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary file stays on the disk");
        }
    }
}

#[cfg(test)]
mod tests;
