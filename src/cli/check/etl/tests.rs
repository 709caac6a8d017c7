//! What is arithmetic or local.

use super::*;
use crate::config::Sources;

fn settings(folder: &std::path::Path, environment: &[(&str, &str)]) -> Settings {
    let mut variables = vec![("BONGSU_DATA_DIR".into(), folder.join("data").into())];
    variables.extend(environment.iter().map(|(n, v)| ((*n).into(), (*v).into())));
    let sources =
        Sources { directory: folder.to_owned(), environment: variables, ..Sources::default() };
    Settings::load(&sources).unwrap()
}

#[test]
fn a_run_that_takes_longer_than_its_interval_is_told() {
    let hour = Some(Duration::from_secs(3_600));
    let few = budget(8.0, 1, 30, hour);
    assert_eq!(few.state, State::Ok);
    assert!(few.found.contains("510 calls, 64 s"), "{few:?}");
    let many = budget(0.9, 1, 200, hour);
    assert_eq!(many.state, State::Warn);
    assert!(many.found.contains("3778 s, longer than the 3600 s"), "{many:?}");
    assert_eq!(budget(0.9, 1, 200, None).state, State::Ok);
}

#[tokio::test]
async fn a_database_says_which_tables_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &[]);
    let fresh = database(&settings).await;
    assert!(fresh.found.contains("will be made"), "{fresh:?}");
    assert!(!settings.data_dir.exists());

    let url = settings.database.url.expose().to_owned();
    let made = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    made.close().await.unwrap();
    let empty = database(&settings).await;
    assert_eq!(empty.state, State::Warn);
    assert!(empty.found.contains("without the tables market_prices, trade_logs"), "{empty:?}");

    let made = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    made.migrate().await.unwrap();
    made.close().await.unwrap();
    assert_eq!(database(&settings).await.state, State::Ok);
}

#[tokio::test]
async fn a_dry_run_needs_neither_database_nor_objects() {
    let folder = tempfile::tempdir().unwrap();
    let dry = settings(
        folder.path(),
        &[("BONGSU_WRITES", "off"), ("DATABASE_URL", "mysql://u:canary@127.0.0.1:1/b")],
    );
    assert_eq!((database(&dry).await.state, objects(&dry).await[0].state), (State::Ok, State::Ok));
}

#[tokio::test]
async fn a_database_that_is_away_and_a_folder_that_is_a_file_fail() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "").unwrap();
    let away = [("DATABASE_URL", "mysql://u:canary@127.0.0.1:1/b")];
    let settings = settings(folder.path(), &away);
    let found = database(&settings).await;
    assert_eq!((found.state, objects(&settings).await[0].state), (State::Fail, State::Fail));
    assert!(!format!("{found:?}").contains("canary"), "{found:?}");
}
