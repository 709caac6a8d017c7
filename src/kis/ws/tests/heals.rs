//! Sessions and registrations that fail, and what becomes of them.

use super::*;

/// A trade frame of `symbol` at a time of the session.
fn trade(symbol: &str, hhmmss: &str) -> String {
    let mut fields = vec!["0"; 47];
    (fields[0], fields[1], fields[33]) = (symbol, hhmmss, "20240805");
    format!("0|H0STCNT0|001|{}", fields.join("^"))
}

#[tokio::test]
async fn a_close_that_was_announced_is_followed_at_once() {
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    let feed = Running::start(&["005930"], |config| {
        config.reconnect_floor = Duration::from_secs(60);
        config.reconnect_cap = Duration::from_secs(60);
    })
    .await;
    let mut server = feed.accept().await;
    server.grant().await;
    let close = CloseFrame { code: 1001.into(), reason: "deploy".into() };
    server.0.close(Some(close)).await.unwrap();
    let mut server = feed.accept().await;
    server.grant().await;
    feed.stop().await;
}

#[tokio::test]
async fn what_a_dead_session_carried_moves_to_the_others() {
    let change = |config: &mut FeedConfig| {
        config.max_registrations = Some(3);
        config.failover_after = Duration::from_millis(20);
        config.reconnect_floor = Duration::from_secs(60);
        config.reconnect_cap = Duration::from_secs(60);
    };
    let keys = vec![Keys::default(), Keys::default()];
    let mut feed =
        Running::start_many(keys, &["000001", "000002", "000003", "000004"], change).await;
    let mut first = feed.accept().await;
    let mut second = feed.accept().await;
    let mut carried = Vec::new();
    for server in [&mut first, &mut second] {
        carried.push([server.grant().await.1, server.grant().await.1]);
    }
    drop(first);
    // The first three of the list are carried on; the last one has no slot and is named.
    let mut standing: BTreeSet<String> = carried.swap_remove(1).into();
    let three = ["000001", "000002", "000003"].map(str::to_owned).into();
    while standing != three {
        let value: serde_json::Value = serde_json::from_str(&second.text().await).unwrap();
        let key = value["body"]["input"]["tr_key"].as_str().unwrap().to_owned();
        let subscribe = value["header"]["tr_type"] == "1";
        second.ack("H0STCNT0", &key, if subscribe { "OPSP0000" } else { "OPSP0001" }).await;
        let changed = if subscribe { standing.insert(key) } else { standing.remove(&key) };
        assert!(changed && standing.len() <= 3, "{standing:?}");
    }
    let last = Registration::of(Tr::Trade, code("000004"));
    loop {
        match feed.event().await {
            FeedEvent::Unplaced(unplaced) => assert_eq!(unplaced, [last]),
            FeedEvent::Incomplete { missing } => panic!("{missing:?}"),
            FeedEvent::Subscribed { confirmed: 3, .. } => break,
            _ => {}
        }
    }
    feed.stop().await;
}

/// A session in which 005930 trades and the clocks run fast.
async fn trading(symbols: &[&str]) -> (Running, Server) {
    let feed = Running::start(symbols, |config| {
        config.mute = MuteLimits::around(Duration::from_millis(40));
        config.probe_every = Duration::from_millis(20);
    })
    .await;
    let mut server = feed.accept().await;
    for _ in symbols {
        server.grant().await;
    }
    (feed, server)
}

#[tokio::test]
async fn one_mute_registration_is_asked_for_anew_and_then_the_session() {
    let (mut feed, mut server) = trading(&["005930", "000660"]).await;
    feed.keys.trading.store(100, Ordering::SeqCst);
    let mut anew = 0;
    let mut told = Vec::new();
    let mut alive = true;
    let session = 'session: loop {
        if alive {
            server.send(&trade("005930", "100000")).await;
        }
        // Read on, so that the feed is never held back.
        loop {
            match feed.next().await {
                Out::Event(FeedEvent::Lost { .. }) => break 'session "left",
                Out::Frame(FrameKind::Connection, payload) => {
                    told.push(Coverage::parse(&payload).unwrap());
                }
                Out::Frame(FrameKind::Data, _) => break,
                _ => {}
            }
        }
        let wait = tokio::time::timeout(Duration::from_millis(5), server.0.next()).await;
        let Ok(message) = wait else { continue };
        let Some(Ok(Message::Text(text))) = message else {
            alive = false;
            continue;
        };
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let key = value["body"]["input"]["tr_key"].as_str().unwrap().to_owned();
        assert_eq!(key, "000660", "the one that speaks is left alone");
        let subscribe = value["header"]["tr_type"] == "1";
        anew += usize::from(subscribe);
        server.ack("H0STCNT0", &key, if subscribe { "OPSP0000" } else { "OPSP0001" }).await;
        assert!(anew < 2, "asked for anew for ever");
    };
    assert_eq!((session, anew), ("left", 1));
    told.retain(|coverage| coverage.change != Change::Began);
    assert_eq!((told[0].change, told[0].mute), (Change::Uncovered, true));
    assert_eq!(told[0].issues, [code("000660")]);
    assert_eq!((told[1].change, told[1].mute), (Change::Ended, true));
    feed.stop().await;
}

#[tokio::test]
async fn a_quiet_issue_is_not_taken_for_a_mute_one() {
    let (mut feed, mut server) = trading(&["005930", "000660"]).await;
    // The exchange's volume stands still: nobody trades it.
    let until = tokio::time::Instant::now() + Duration::from_millis(600);
    while tokio::time::Instant::now() < until {
        server.send(&trade("005930", "100000")).await;
        feed.data().await;
        let wait = tokio::time::timeout(Duration::from_millis(5), server.0.next()).await;
        assert!(wait.is_err(), "{wait:?}");
    }
    assert!(feed.keys.given.load(Ordering::SeqCst) == 1);
    feed.stop().await;
}

#[tokio::test]
async fn a_session_that_only_answers_pingpong_is_mute() {
    let (mut feed, mut server) = trading(&["005930"]).await;
    server.send(&trade("005930", "100000")).await;
    feed.keys.trading.store(100, Ordering::SeqCst);
    let pings = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while server.0.send(Message::text(PINGPONG)).await.is_ok() {
            ticks.tick().await;
        }
    });
    let cause = loop {
        if let FeedEvent::Lost { cause, .. } = feed.event().await {
            break cause;
        }
    };
    assert!(matches!(cause, LossCause::Mute(_)), "{cause}");
    pings.await.unwrap();
    feed.stop().await;
}

#[tokio::test]
async fn outside_the_session_silence_is_peace() {
    let (feed, mut server) = trading(&["005930"]).await;
    feed.keys.trading.store(100, Ordering::SeqCst);
    server.send(&trade("005930", "153000")).await;
    let quiet = tokio::time::timeout(Duration::from_millis(400), server.0.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    feed.stop().await;
}

#[tokio::test]
async fn what_is_not_confirmed_in_time_is_named() {
    let mut feed = Running::start(&["005930", "000660"], |config| {
        config.confirm_within = Duration::from_millis(60);
    })
    .await;
    let mut server = feed.accept().await;
    server.grant().await;
    server.request().await;
    assert_eq!(feed.event().await, CONNECTED);
    let FeedEvent::Incomplete { missing } = feed.event().await else { panic!("not told") };
    assert!(missing.contains(&Registration::of(Tr::Trade, code("000660"))), "{missing:?}");
    server.ack("H0STCNT0", "000660", "OPSP0000").await;
    assert!(matches!(feed.event().await, FeedEvent::Subscribed { confirmed: 2, .. }));
    feed.stop().await;
}

#[tokio::test]
async fn wrong_keys_end_the_feed_and_a_busy_server_does_not() {
    let wrong = Keys { refuse: Some("EGW00103"), ..Keys::default() };
    let feed = Running::start_with(wrong, &["005930"], |_| {}).await;
    assert!(matches!(feed.task.await.unwrap(), Err(FeedError::Credentials(_))));

    let wrong = || Keys { refuse: Some("EGW00103"), ..Keys::default() };
    let mut feed = Running::start_many(vec![wrong(), Keys::default()], &["005930"], |_| {}).await;
    let FeedEvent::GivenUp { session: 0, why } = feed.event().await else { panic!("kept") };
    assert!(why.contains("EGW00103"), "{why}");
    let mut server = feed.accept().await;
    assert_eq!(server.grant().await.1, "005930", "the good key carries all");
    feed.stop().await;

    let busy = Keys { refuse: Some("EGW00002"), ..Keys::default() };
    let mut feed = Running::start_with(busy, &["005930"], |_| {}).await;
    for _ in 0..3 {
        assert!(matches!(lost(feed.event().await), LossCause::Approval(_)));
    }
    feed.stop().await;

    let feed = Running::start(&["005930"], |_| {}).await;
    let mut server = feed.accept().await;
    server.request().await;
    server.ack("H0STCNT0", "005930", "OPSP0010").await;
    assert!(matches!(feed.task.await.unwrap(), Err(FeedError::AppKey)));
}
