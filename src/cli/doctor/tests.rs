//! Each check, on things that are well and things that are not.

use std::net::TcpListener;

use super::super::finding::as_text;
use super::probe::percent_decoded;
use super::*;
use crate::config::Sources;

fn settings(folder: &Path, environment: &[(&str, &str)]) -> Settings {
    let data = folder.join("data");
    let mut variables = vec![
        ("BONGSU_DATA_DIR".into(), data.into()),
        ("BONGSU_HTTP__LISTEN".into(), "127.0.0.1:0".into()),
    ];
    variables.extend(environment.iter().map(|(n, v)| ((*n).into(), (*v).into())));
    let sources =
        Sources { directory: folder.to_owned(), environment: variables, ..Sources::default() };
    Settings::load(&sources).unwrap()
}

fn check(settings: &Settings, name: &str) -> Check {
    checks(settings, false).unwrap().into_iter().find(|check| check.name == name).unwrap()
}

#[test]
fn a_fresh_machine_is_well_and_stays_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let all = checks(&settings(folder.path(), &[]), false).unwrap();
    assert!(all.iter().all(|check| check.state == State::Ok), "{all:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_data_folder_that_is_a_file_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), "").unwrap();
    let settings = settings(folder.path(), &[]);
    assert_eq!(check(&settings, "data folder").state, State::Fail);
    assert_eq!(check(&settings, "database").state, State::Fail);
}

#[test]
fn files_of_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("a.parquet"), folder.path().join("b.parquet"));
    fs::write(&good, "PAR1 and more").unwrap();
    fs::write(&bad, "a,b\n").unwrap();
    let state = |path: &Path| {
        let path = path.to_str().unwrap();
        check(&settings(folder.path(), &[("BONGSU_SIM__DATA", path)]), "simulator data").state
    };
    assert_eq!(state(&good), State::Ok);
    assert_eq!(state(&bad), State::Fail);
    assert_eq!(state(&folder.path().join("none")), State::Fail);
    assert_eq!(state(folder.path()), State::Fail);
    let script = [("BONGSU_SIM__MARKET", "/nonexistent/x.yaml")];
    assert_eq!(check(&settings(folder.path(), &script), "simulator").state, State::Fail);
}

#[test]
fn services_are_asked_for_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let redis = format!("redis://:canary@127.0.0.1:{port}");
    let mysql = format!("mysql://u:canary@127.0.0.1:{port}/b");
    let environment = [
        ("REDIS_URL", redis.as_str()),
        ("DATABASE_URL", mysql.as_str()),
        ("VAULT_TOKEN", "canary"),
    ];
    let settings = settings(folder.path(), &environment);
    assert_eq!(check(&settings, "redis").state, State::Ok);
    assert_eq!(check(&settings, "database").state, State::Ok);
    drop(listener);
    assert_eq!(check(&settings, "redis").state, State::Fail);
    let all = checks(&settings, false).unwrap();
    let text = as_text(&all);
    assert!(text.contains("FAIL  redis://:***@127.0.0.1"), "{text}");
    assert!(text.contains("vault.token"), "{text}");
    assert!(!text.contains("canary") && !format!("{all:?}").contains("canary"));
}

#[test]
fn a_port_in_use_fails() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let settings = settings(folder.path(), &[("BONGSU_HTTP__LISTEN", &address)]);
    assert_eq!(check(&settings, "http port").state, State::Fail);
}

#[test]
fn too_many_symbols_for_kis_are_told() {
    // What other tests have installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let codes: Vec<String> = (0..42).map(|n| format!("{n:06}")).collect();
    let codes = codes.join(",");
    let environment = [
        ("KIS_APP_KEY", "k"),
        ("KIS_APP_SECRET", "s"),
        ("KIS_BASE_URL", "http://127.0.0.1:1"),
        ("KIS_WS_URL", "ws://127.0.0.1:1"),
        ("BONGSU_FEED__SYMBOLS", codes.as_str()),
    ];
    let settings = settings(folder.path(), &environment);
    let registrations = check(&settings, "registrations");
    assert_eq!(registrations.state, State::Warn);
    assert!(registrations.found.starts_with("41 of 41 slots in use, 0 free;"));
    assert!(registrations.found.contains("1 issues are polled by REST"), "{registrations:?}");
    assert_eq!(check(&settings, "kis rest").state, State::Fail);
}

#[test]
fn paths_of_sqlite_urls() {
    let path = |url| sqlite_path(url).map(|path| path.display().to_string());
    assert_eq!(path("sqlite://var/b.db?mode=rwc").as_deref(), Some("var/b.db"));
    assert_eq!(path("sqlite:///tmp/%EB%B4%89%20x.db").as_deref(), Some("/tmp/봉 x.db"));
    assert_eq!(path("sqlite:x.db").as_deref(), Some("x.db"));
    assert_eq!(path("sqlite::memory:"), None);
    assert_eq!(path("sqlite://x?mode=memory"), None);
    assert_eq!(percent_decoded("100%"), "100%");
    assert_eq!(percent_decoded("%zz%4"), "%zz%4");
}
