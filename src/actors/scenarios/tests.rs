//! The service over files of an invented market.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::model::tests::support::panel;
use crate::store::{LocalObjects, Objects};

/// The bars of an invented panel as CSV.
fn bars(folder: &Path, days: usize) -> std::path::PathBuf {
    let mut text = String::from("date,symbol,open,high,low,close,volume\n");
    for issue in panel(5, 12, days).issues {
        for at in 0..issue.bars.len() {
            let bar = issue.bars.get(at);
            let day = SessionDay::from_epoch_days(bar.date);
            writeln!(
                text,
                "{day},{},{},{},{},{},{}",
                issue.symbol, bar.open, bar.high, bar.low, bar.close, bar.volume
            )
            .unwrap();
        }
    }
    let path = folder.join("bars.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn service(source: Source, folder: &Path) -> Scenarios {
    Scenarios::new(ScenarioParts {
        source,
        known: BTreeMap::new(),
        registry: ModelRegistry::new(Objects::Local(LocalObjects::new(folder.join("objects")))),
        at_once: 1,
        within: Duration::from_secs(120),
        effort: Effort::Full,
    })
}

fn scenario(extra: &str) -> Scenario {
    let text = format!(
        "holdings: [{{symbol: \"000100\", quantity: 10}}, {{symbol: \"000104\", quantity: 20}}]\n\
         simulation: {{paths: 1000}}\n{extra}"
    );
    Scenario::parse(&text).unwrap()
}

fn quiet() -> TellStep {
    Arc::new(|_| ())
}

#[tokio::test]
async fn equal_questions_get_equal_answers_until_the_bars_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = bars(folder.path(), 320);
    let service = service(Source::Files(vec![path], Vec::new()), folder.path());
    let first = service.answer(scenario(""), quiet()).await.unwrap();
    let again = service.answer(scenario(""), quiet()).await.unwrap();
    assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&again).unwrap());
    assert_eq!(first.source.model_sha256, built_in().unwrap().unwrap().sha256);
    let text = serde_json::to_value(&first).unwrap();
    crate::messages::schema::assert_fits("scenario-answer", &text);

    let earlier = scenario("horizon_sessions: 5\n");
    let mut asked = earlier.clone();
    asked.simulation.as_of = Some(first.source.data_from.next());
    let refusal = service.answer(asked, quiet()).await.unwrap_err();
    assert!(matches!(&refusal, ScenarioRefusal::Fields(_)), "the day is the asker's choice");
    assert!(refusal.to_string().contains("expected a later day"), "{refusal}");
    let mut asked = earlier.clone();
    asked.simulation.as_of = Some("2199-01-04".parse().unwrap());
    let refusal = service.answer(asked, quiet()).await.unwrap_err();
    assert!(refusal.to_string().contains("simulation.as_of is 2199-01-04"), "{refusal}");
    let mut asked = earlier;
    asked.simulation.as_of = Some("2019-01-02".parse().unwrap());
    let refusal = service.answer(asked, quiet()).await.unwrap_err();
    assert!(refusal.to_string().contains("simulation.as_of is 2019-01-02"), "{refusal}");

    bars(folder.path(), 330);
    let later = service.answer(scenario(""), quiet()).await.unwrap();
    assert!(later.as_of > first.as_of && later.id != first.id);
}

#[tokio::test]
async fn too_many_and_too_long_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = bars(folder.path(), 320);
    let service = service(Source::Files(vec![path], Vec::new()), folder.path());
    let permit = service.0.permits.try_acquire().unwrap();
    let refusal = service.answer(scenario(""), quiet()).await.unwrap_err();
    assert_eq!(refusal, ScenarioRefusal::Busy { at_once: 1 });
    drop(permit);
    let mut parts = service.0.parts.clone();
    parts.within = Duration::ZERO;
    let refusal = Scenarios::new(parts).answer(scenario(""), quiet()).await.unwrap_err();
    assert_eq!(refusal, ScenarioRefusal::TooLong { seconds: 0 });
}

#[tokio::test]
async fn without_bars_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("a.db").display());
    let database = crate::store::Database::connect(&url, &crate::store::DatabaseOptions::default())
        .await
        .unwrap();
    database.migrate().await.unwrap();
    let service = service(Source::Database(database), folder.path());
    let refusal = service.answer(scenario(""), quiet()).await.unwrap_err();
    assert!(matches!(&refusal, ScenarioRefusal::NoData(why) if why.contains("advice.history")));

    let gone = Source::Files(vec![folder.path().join("gone.csv")], Vec::new());
    let refusal = self::service(gone, folder.path()).answer(scenario(""), quiet()).await;
    assert!(refusal.unwrap_err().to_string().contains("gone.csv"));
}

#[tokio::test]
async fn an_asker_that_goes_away_cancels() {
    let cancelled = Arc::new(AtomicBool::new(false));
    drop(CancelOnDrop(Arc::clone(&cancelled)));
    assert!(cancelled.load(Ordering::Relaxed));
}
