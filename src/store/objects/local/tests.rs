use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::super::Objects;
use super::*;

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn store() -> (tempfile::TempDir, LocalObjects) {
    let folder = tempfile::tempdir().unwrap();
    let objects = LocalObjects::new(folder.path().join("objects"));
    (folder, objects)
}

fn put(objects: &LocalObjects, bucket: Bucket, name: &str, bytes: &[u8]) -> Version {
    objects.put_now(bucket, &key(name), bytes, About::of("text/plain")).unwrap()
}

fn keys(objects: &LocalObjects, bucket: Bucket, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    objects.walk(&objects.root.join(bucket.as_str()), "", prefix, &mut keys).unwrap();
    keys.sort();
    keys.into_iter().map(|key| key.to_string()).collect()
}

#[tokio::test]
async fn older_versions_stay_addressable_where_the_bucket_is_versioned() {
    let (_folder, local) = store();
    let objects = Objects::Local(local);
    let name = key("a/b.json");
    for bucket in [Bucket::RawData, Bucket::Reports] {
        let about = About::of("application/json").with("run", "r1");
        let first = objects.put(bucket, &name, "one".into(), about.clone()).await.unwrap();
        let second = objects.put(bucket, &name, "two".into(), About::default()).await.unwrap();
        assert!(second > first);
        let newest = objects.get(bucket, &name, None).await.unwrap();
        assert_eq!((&newest.bytes[..], &newest.version), (&b"two"[..], &second));
        let older = objects.get(bucket, &name, Some(&first)).await;
        let versions = objects.versions(bucket, &name).await.unwrap();
        if bucket.is_versioned() {
            let older = older.unwrap();
            assert_eq!((&older.bytes[..], older.about), (&b"one"[..], about));
            assert_eq!(versions, [second, first]);
        } else {
            assert!(matches!(older.unwrap_err(), ObjectError::Missing { version: Some(_), .. }));
            assert_eq!(versions, [second]);
        }
    }
    let list = objects.list(Bucket::RawData, "a/", None, 10).await.unwrap();
    assert_eq!(list, std::slice::from_ref(&name));
    assert!(objects.list(Bucket::RawData, "a/", Some(&name), 10).await.unwrap().is_empty());
    let error = objects.get(Bucket::Models, &name, None).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no object models/a/b.json");
}

#[test]
fn an_object_and_a_folder_of_one_name_lie_side_by_side() {
    let (_folder, objects) = store();
    for name in ["a", "a/b", "a/b/c", "ab", "b"] {
        put(&objects, Bucket::RawData, name, name.as_bytes());
    }
    assert_eq!(keys(&objects, Bucket::RawData, "a/"), ["a/b", "a/b/c"]);
    assert_eq!(keys(&objects, Bucket::RawData, "a"), ["a", "a/b", "a/b/c", "ab"]);
    let read = objects.get_now(Bucket::RawData, &key("a/b"), None).unwrap();
    assert_eq!(&read.bytes[..], b"a/b");
}

#[test]
fn what_a_crash_leaves_is_never_seen() {
    let (_folder, objects) = store();
    put(&objects, Bucket::RawData, "a", b"whole");
    // Half a temporary file; a folder without a version; a description without its bytes.
    fs::write(objects.root.join(TEMPORARY).join("77-0"), b"ha").unwrap();
    make_folders(&objects.folder(Bucket::RawData, &key("b"))).unwrap();
    let folder = objects.folder(Bucket::RawData, &key("a"));
    fs::write(folder.join("v0000000002.about"), b"{").unwrap();
    assert_eq!(keys(&objects, Bucket::RawData, ""), ["a"]);
    assert_eq!(&objects.get_now(Bucket::RawData, &key("a"), None).unwrap().bytes[..], b"whole");
    // The number with the orphaned description is passed over.
    let version = put(&objects, Bucket::RawData, "a", b"next");
    assert_eq!(version.as_str(), "v0000000003");
    let left: Vec<_> = fs::read_dir(objects.root.join(TEMPORARY)).unwrap().collect();
    assert_eq!(left.len(), 1, "a put leaves nothing under .tmp");
}

#[test]
fn damaged_bytes_are_refused() {
    let (_folder, objects) = store();
    let version = put(&objects, Bucket::RawData, "a", b"whole");
    let path = objects.folder(Bucket::RawData, &key("a")).join(version.as_str());
    fs::write(&path, b"whale").unwrap();
    let error = objects.get_now(Bucket::RawData, &key("a"), None).unwrap_err();
    assert!(matches!(error, ObjectError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("raw-data/a"), "{error}");
}

#[test]
fn nobody_else_may_read() {
    let (_folder, objects) = store();
    let version = put(&objects, Bucket::RawData, "a/b", b"x");
    let folder = objects.folder(Bucket::RawData, &key("a/b"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
    assert_eq!(mode(&folder.join(version.as_str())), 0o600);
}

#[test]
fn puts_at_once_all_get_a_version_of_their_own() {
    let (_folder, objects) = store();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let objects = &objects;
            scope.spawn(move || {
                (0..8).for_each(|n| {
                    put(objects, Bucket::RawData, "a", &[writer, n]);
                })
            });
        }
    });
    let versions = objects.versions_now(Bucket::RawData, &key("a")).unwrap();
    let mut contents: Vec<Vec<u8>> = versions
        .into_iter()
        .map(|version| {
            objects.get_now(Bucket::RawData, &key("a"), Some(version)).unwrap().bytes.to_vec()
        })
        .collect();
    contents.sort();
    contents.dedup();
    assert_eq!(contents.len(), 32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against a map of lists: whatever is put, in whatever order, every version is read back.
    #[test]
    fn behaves_like_a_map(
        puts in prop::collection::vec(("[ab](/[ab]){0,2}", prop::collection::vec(any::<u8>(), 0..9)), 1..12),
        versioned in any::<bool>(),
    ) {
        let (_folder, objects) = store();
        let bucket = if versioned { Bucket::RawData } else { Bucket::Models };
        let mut model: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, bytes) in &puts {
            put(&objects, bucket, name, bytes);
            let versions = model.entry(name.clone()).or_default();
            if !versioned {
                versions.clear();
            }
            versions.push(bytes.clone());
        }
        prop_assert_eq!(keys(&objects, bucket, ""), model.keys().cloned().collect::<Vec<_>>());
        for (name, contents) in &model {
            let versions = objects.versions_now(bucket, &key(name)).unwrap();
            prop_assert_eq!(versions.len(), contents.len());
            for (version, content) in versions.into_iter().zip(contents.iter().rev()) {
                let object = objects.get_now(bucket, &key(name), Some(version)).unwrap();
                prop_assert_eq!(&object.bytes[..], &content[..]);
            }
        }
    }
}
