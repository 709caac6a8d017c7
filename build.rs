//! Gives the build a name: the hash of its sources and of its dependencies' versions.
//!
//! A checkpoint holds states whose layout and meaning are those of the build that wrote it. By this
//! name another build recognises that they are not its own, whatever its version says.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() {
    let mut files = vec![PathBuf::from("Cargo.lock")];
    collect(Path::new("src"), &mut files);
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        file.hash(&mut hash);
        // A file that cannot be read is the compiler's to complain about.
        fs::read(&file).unwrap_or_default().hash(&mut hash);
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rustc-env=BONGSU_BUILD={:016x}", hash.finish());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
