//! The tree of dependencies holds what `deny.toml` allows: licences, bans, one source.
//!
//! `cargo deny` checks the same and more where it is installed; building it costs more than the
//! rest of a check, so this stands in for it on every machine.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toml::Table;

const REGISTRY: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn policy() -> Table {
    read("deny.toml").parse().expect("deny.toml is TOML")
}

/// The licences that may stand in an expression, `WITH` exceptions as one.
fn allowed(policy: &Table) -> Vec<String> {
    let list = policy["licenses"]["allow"].as_array().expect("licenses.allow is a list");
    list.iter().map(|name| name.as_str().expect("of texts").to_owned()).collect()
}

/// Whether an SPDX expression can be met by `allowed` alone. A slash is the old spelling of OR.
///
/// # Errors
/// The word at which it is no expression.
fn met(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let text = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = &words[..];
    let value = any_of(&mut rest, allowed)?;
    match rest.first() {
        None => Ok(value),
        Some(word) => Err((*word).to_owned()),
    }
}

fn any_of(words: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let mut value = all_of(words, allowed)?;
    while let ["OR", rest @ ..] = words {
        *words = rest;
        value |= all_of(words, allowed)?;
    }
    Ok(value)
}

fn all_of(words: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let mut value = one(words, allowed)?;
    while let ["AND", rest @ ..] = words {
        *words = rest;
        value &= one(words, allowed)?;
    }
    Ok(value)
}

fn one(words: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let name = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let value = any_of(words, allowed)?;
            let [")", rest @ ..] = words else { return Err("missing )".to_owned()) };
            *words = rest;
            return Ok(value);
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            format!("{name} WITH {exception}")
        }
        [name, rest @ ..] if !["OR", "AND", "WITH", ")"].contains(name) => {
            *words = rest;
            (*name).to_owned()
        }
        [word, ..] => return Err((*word).to_owned()),
        [] => return Err("end".to_owned()),
    };
    Ok(allowed.contains(&name))
}

/// Findings over `cargo metadata`'s packages.
fn refused_licences(packages: &[Value], allowed: &[String]) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str().unwrap_or("?");
            let Some(expression) = package["license"].as_str() else {
                return Some(format!("{name}: names no licence"));
            };
            match met(expression, allowed) {
                Ok(true) => None,
                Ok(false) => Some(format!("{name}: {expression} is not in deny.toml's list")),
                Err(word) => Some(format!("{name}: {expression} is no licence expression: {word}")),
            }
        })
        .collect()
}

/// Findings over the text of a lock file.
fn refused_packages(lock: &Table, policy: &Table) -> Vec<String> {
    let empty = Vec::new();
    let packages = lock["package"].as_array().unwrap_or(&empty);
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or("?");
        // A package of this repository has no source.
        match package.get("source").and_then(|source| source.as_str()) {
            None | Some(REGISTRY) => {}
            Some(source) => findings.push(format!("{name}: comes from {source}")),
        }
    }
    for ban in policy["bans"]["deny"].as_array().unwrap_or(&empty) {
        let name = ban["crate"].as_str().expect("a ban names a crate");
        let allowed = usize::from(ban.get("deny-multiple-versions").is_some());
        let count =
            packages.iter().filter(|package| package["name"].as_str() == Some(name)).count();
        if count > allowed {
            findings.push(format!(
                "{name}: {count} in the lock, {allowed} allowed: {}",
                ban["reason"].as_str().unwrap_or_default()
            ));
        }
    }
    findings
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", &target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata are JSON");
    let packages = metadata["packages"].as_array().expect("packages are listed");
    assert!(packages.len() > 100, "only {} packages: is that the whole tree?", packages.len());
    let findings = refused_licences(packages, &allowed(&policy()));
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn the_lock_holds_no_banned_crate_and_one_source() {
    let lock: Table = read("Cargo.lock").parse().expect("the lock is TOML");
    let findings = refused_packages(&lock, &policy());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn licence_expressions_are_read_as_spdx_does() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "(GPL-3.0 OR MIT) AND ISC",
        "GPL-3.0 AND X OR MIT",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
    ] {
        assert_eq!(met(good, &allowed), Ok(true), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT OR ISC) AND GPL-3.0"] {
        assert_eq!(met(bad, &allowed), Ok(false), "{bad}");
    }
    for broken in ["", "MIT OR", "(MIT", "MIT ISC", "AND MIT", "MIT)"] {
        assert!(met(broken, &allowed).is_err(), "{broken}");
    }
}

#[test]
fn a_bad_tree_is_refused() {
    let policy = policy();
    let lock: Table = r#"
        [[package]]
        name = "openssl-sys"
        [[package]]
        name = "ndarray"
        version = "0.15.0"
        [[package]]
        name = "ndarray"
        version = "0.16.0"
        [[package]]
        name = "stray"
        source = "git+https://example.org/stray"
    "#
    .parse()
    .expect("TOML");
    let findings = refused_packages(&lock, &policy).join("\n");
    for expected in
        ["stray: comes from git", "openssl-sys: 1 in the lock", "ndarray: 2 in the lock"]
    {
        assert!(findings.contains(expected), "{expected} not in:\n{findings}");
    }
    let packages = [
        serde_json::json!({"name": "a", "license": "GPL-3.0"}),
        serde_json::json!({"name": "b", "license": null}),
        serde_json::json!({"name": "c", "license": "MIT"}),
    ];
    let findings = refused_licences(&packages, &allowed(&policy));
    assert_eq!(findings.len(), 2, "{findings:?}");
}
