use super::*;
use crate::actors::outlet::AdviceOutlet;
use crate::actors::supervision::Policy;
use crate::bus::Publisher;
use crate::llm::examples::{alert, set};
use crate::market::Directory;
use crate::messages::advice::Rung;
use crate::messages::{AdviceBoard, BusLimits, EventBus, EventKind, IndexPath};
use crate::store::{Bucket, LocalObjects, Objects};

struct Place {
    parts: DrafterParts,
    bus: EventBus,
    board: AdviceBoard,
    folder: tempfile::TempDir,
}

fn place(options: DraftOptions) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (bus, board) = (EventBus::new(BusLimits::default()), AdviceBoard::default());
    let outlet = AdviceOutlet {
        publisher: Publisher::new(bus.clone(), None),
        board: board.clone(),
        recorder: None,
    };
    let desk = ReportDesk {
        writer: Writer::Template,
        outlet,
        objects: Some(Objects::Local(LocalObjects::new(folder.path().to_owned()))),
        database: None,
        indices: IndexPath::default(),
        directory: Directory::new(),
        health: None,
    };
    let inbox = Inbox::new("drafter", 1_024, Policy::Conflate(key));
    Place { parts: DrafterParts { desk, inbox, options }, bus, board, folder }
}

/// An alert on its own event.
fn alert_of(number: usize) -> Arc<Draft> {
    let ReportRequest::Alert { event, plan } = alert() else { unreachable!() };
    let mut data = event.data().clone();
    data["symbol"] = format!("{:06}", 100_000 + number).into();
    let id = format!("event-{number}");
    let event = OutwardEvent::new(EventKind::Crash, id, "s", "s", event.time, &data);
    let request = Arc::new(ReportRequest::Alert { event: Arc::new(event), plan });
    Arc::new(Draft { request, told: true })
}

async fn objects(place: &Place, bucket: Bucket) -> Vec<String> {
    let objects = place.parts.desk.objects.clone().unwrap();
    let keys = objects.list(bucket, "", None, 2_000).await.unwrap();
    keys.iter().map(ToString::to_string).collect()
}

/// Runs until `done`, then stops; what is left is told at the stop.
async fn run_until(place: &Place, done: impl Fn() -> bool) {
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_drafter(place.parts.clone(), stop.clone()));
    while !done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_storm_is_told_in_one_digest() {
    let options = DraftOptions {
        alerts_per_minute: 3,
        digest_after: Duration::from_millis(50),
        ..DraftOptions::default()
    };
    let place = place(options);
    let edge = place.parts.inbox.edge("test");
    for number in 0..500 {
        edge.send(alert_of(number)).await.unwrap();
    }
    let board = place.board.clone();
    run_until(&place, || board.latest_report(Some("alert_digest")).is_some()).await;
    let digest = place.board.latest_report(Some("alert_digest")).unwrap();
    assert_eq!(digest.sources.len(), 497);
    assert!(digest.body.contains("알림 수**: 497건"), "{}", digest.body);
    // Told: the digest. The alerts' own templates were told before they came here.
    assert_eq!(place.bus.last_sequence(), 1);
    let pages = objects(&place, Bucket::Reports).await;
    assert!(pages.iter().filter(|key| key.ends_with(".html")).count() <= 4, "{pages:?}");
    assert!(place.folder.path().exists());
}

#[tokio::test]
async fn what_was_not_told_is_told_at_the_stop() {
    let place = place(DraftOptions { at_once: 1, ..DraftOptions::default() });
    let edge = place.parts.inbox.edge("test");
    let request = Arc::new(ReportRequest::Recommendation(Arc::new(set())));
    edge.send(Arc::new(Draft { request, told: false })).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    run_drafter(place.parts.clone(), stop).await.unwrap();
    let report = place.board.latest_report(Some("recommendation")).unwrap();
    assert_eq!(report.rung, Rung::Template);
}

#[tokio::test]
async fn the_same_subject_is_printed_once_in_a_while() {
    let place = place(DraftOptions::default());
    let edge = place.parts.inbox.edge("test");
    let board = place.board.clone();
    for round in 0..3u32 {
        let mut picks = set();
        picks.id = format!("set-{round}");
        let request = Arc::new(ReportRequest::Recommendation(Arc::new(picks)));
        edge.send(Arc::new(Draft { request, told: false })).await.unwrap();
        let (board, wanted) = (board.clone(), format!("set-{round}"));
        run_until_kept(&place, &board, &wanted).await;
    }
    assert_eq!(place.bus.last_sequence(), 3, "each is told");
}

async fn run_until_kept(place: &Place, board: &AdviceBoard, wanted: &str) {
    run_until(place, || {
        board.latest_report(None).is_some_and(|report| report.sources == [wanted.to_owned()])
    })
    .await;
}
