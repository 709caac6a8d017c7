use proptest::prelude::*;

use super::*;

fn trade(number: usize) -> Registration {
    Registration::of(Tr::Trade, format!("{number:06}").parse().unwrap())
}

fn trades(count: usize) -> Vec<Registration> {
    (1..=count).map(trade).collect()
}

fn ack(registration: Registration, code: &str) -> Ack {
    Ack {
        tr_id: registration.tr.as_str().into(),
        tr_key: registration.key.as_str().into(),
        code: AckCode::from_msg_cd(code),
        msg_cd: code.into(),
        message: "text".into(),
        key: None,
        iv: None,
    }
}

/// Asks for everything and has it granted.
fn settled(count: usize) -> Ledger {
    let now = Instant::now();
    let mut ledger = Ledger::new(&trades(count), now);
    while let Some((registration, _)) = ledger.next_request() {
        ledger.acknowledge(&ack(registration, "OPSP0000"), now);
    }
    ledger
}

fn request(ledger: &mut Ledger) -> Registration {
    ledger.next_request().unwrap().0
}

#[tokio::test(start_paused = true)]
async fn one_by_one_until_settled() {
    let now = Instant::now();
    let mut ledger = Ledger::new(&trades(3), now);
    let first = request(&mut ledger);
    assert_eq!(ledger.next_request(), None);
    assert_eq!(ledger.acknowledge(&ack(first, "OPSP0000"), now), Verdict::Noted);
    let second = request(&mut ledger);
    ledger.no_answer(now);
    let third = request(&mut ledger);
    assert_eq!(ledger.acknowledge(&ack(third, "OPSP8992"), now), Verdict::Noted);
    assert_eq!(ledger.next_request(), Some((second, Action::Subscribe)));
    ledger.no_answer(now);
    assert!(ledger.is_settled());
    assert_eq!(ledger.confirmed(), 1);
    let refused: Vec<String> = ledger.refused().into_iter().map(|one| one.code).collect();
    assert_eq!(refused, ["no_answer", "OPSP8992"]);
    // Late, but the registration stands.
    ledger.acknowledge(&ack(second, "OPSP0002"), now);
    assert_eq!(ledger.confirmed(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_trouble_refused_is_asked_for_again_and_data_stands_for_an_answer() {
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let mut ledger = Ledger::new(&trades(2), start);
    for _ in 0..2 {
        let first = request(&mut ledger);
        ledger.acknowledge(&ack(first, "OPSP0007"), start);
        request(&mut ledger);
        ledger.no_answer(start);
    }
    assert_eq!((ledger.refused().len(), ledger.next_retry()), (2, Some(later(30))));
    assert!(ledger.beat(&trade(2), later(5)), "its acknowledgement was lost");
    assert_eq!(ledger.confirmed(), 1);
    ledger.retry_given_up(later(29));
    assert!(ledger.is_settled());
    ledger.retry_given_up(later(30));
    for _ in 0..2 {
        assert_eq!(ledger.next_request(), Some((trade(1), Action::Subscribe)));
        ledger.acknowledge(&ack(trade(1), "OPSP0007"), later(30));
    }
    assert_eq!(ledger.next_retry(), Some(later(90)), "twice as long");
    ledger.retry_given_up(later(90));
    request(&mut ledger);
    ledger.acknowledge(&ack(trade(1), "OPSP0000"), later(90));
    assert_eq!((ledger.confirmed(), ledger.next_retry()), (2, None));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_the_rest_is_refused_by_name() {
    let now = Instant::now();
    let mut ledger = Ledger::new(&trades(5), now);
    let first = request(&mut ledger);
    ledger.acknowledge(&ack(first, "OPSP0000"), now);
    let second = request(&mut ledger);
    ledger.acknowledge(&ack(second, "OPSP0008"), now);
    assert!(ledger.is_settled());
    assert_eq!((ledger.confirmed(), ledger.refused().len()), (1, 4));
    assert_eq!(ledger.limit(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn answers_about_the_session_end_it() {
    let now = Instant::now();
    let mut ledger = Ledger::new(&trades(1), now);
    let first = request(&mut ledger);
    for (code, over) in [("OPSP8996", AckCode::AppKeyInUse), ("OPSP0011", AckCode::InvalidApproval)]
    {
        assert_eq!(ledger.acknowledge(&ack(first, code), now), Verdict::Over(over));
    }
    assert_eq!(ledger.acknowledge(&ack(trade(99), "OPSP0000"), now), Verdict::Unrelated);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_hts_id_is_answered_without_a_name() {
    let now = Instant::now();
    let key = super::super::FeedKey::from_bytes(b"@nobody").unwrap();
    let mut ledger = Ledger::new(&[Registration { tr: Tr::Notice, key }], now);
    request(&mut ledger);
    let mut unnamed = ack(trade(1), "OPSP0017");
    (unnamed.tr_id, unnamed.tr_key) = (String::new(), String::new());
    assert_eq!(ledger.acknowledge(&unnamed, now), Verdict::Noted);
    assert_eq!(ledger.refused()[0].code, "OPSP0017");
}

#[tokio::test(start_paused = true)]
async fn a_new_target_leaves_first_and_asks_for_the_rest() {
    let now = Instant::now();
    let mut ledger = settled(3);
    ledger.retarget(&[trade(2), trade(3), trade(4)], now);
    assert_eq!(ledger.next_request(), Some((trade(1), Action::Unsubscribe)));
    ledger.acknowledge(&ack(trade(1), "OPSP0001"), now);
    assert_eq!(ledger.next_request(), Some((trade(4), Action::Subscribe)));
    ledger.acknowledge(&ack(trade(4), "OPSP0000"), now);
    assert!(ledger.is_settled());
    assert_eq!(ledger.standing().collect::<Vec<_>>(), [trade(2), trade(3), trade(4)]);
    // Changed back before the request to leave went out.
    ledger.retarget(&[trade(3), trade(4)], now);
    ledger.retarget(&[trade(2), trade(3), trade(4)], now);
    while let Some((registration, action)) = ledger.next_request() {
        let code = if action == Action::Subscribe { "OPSP0002" } else { "OPSP0001" };
        ledger.acknowledge(&ack(registration, code), now);
    }
    assert_eq!(ledger.confirmed(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_mute_one_is_suspected_left_and_asked_for_anew() {
    let limits = MuteLimits::around(Duration::from_secs(20));
    let start = Instant::now();
    let mut ledger = settled(2);
    let later = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(ledger.next_suspicion(start, &limits), Some(later(60)));
    ledger.beat(&trade(1), later(59));
    ledger.beat(&trade(1), later(60));
    assert_eq!(ledger.suspects(later(61), start, &limits), [trade(2)]);
    assert!(ledger.suspects(later(62), start, &limits).is_empty(), "told once");
    assert_eq!(ledger.live(), (1, 1));
    assert_eq!(ledger.mute(&trade(2)), 1);
    assert_eq!(ledger.next_request(), Some((trade(2), Action::Unsubscribe)));
    ledger.acknowledge(&ack(trade(2), "OPSP0001"), later(63));
    assert_eq!(ledger.next_request(), Some((trade(2), Action::Subscribe)));
    ledger.acknowledge(&ack(trade(2), "OPSP0000"), later(63));
    assert_eq!(ledger.confirmed(), 2);
    assert_eq!(ledger.mute(&trade(2)), 2);
    assert_eq!(ledger.mute(&trade(9)), 0);
}

proptest! {
    /// Whatever is wanted in turn and whatever the server answers, the ledger settles, and what
    /// a friendly server has granted is what is wanted.
    #[test]
    fn it_settles(
        targets in prop::collection::vec(prop::collection::btree_set(1usize..12, 0..8), 1..6),
        answers in prop::collection::vec((0usize..6, any::<bool>()), 0..60),
    ) {
        let codes = ["OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003", "OPSP0007", "OPSP8992"];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let now = Instant::now();
            let mut ledger = Ledger::default();
            let mut answers = answers.into_iter();
            for target in &targets {
                let wanted: Vec<_> = target.iter().map(|number| trade(*number)).collect();
                ledger.retarget(&wanted, now);
                for _ in 0..4 {
                    let Some((registration, _)) = ledger.next_request() else { break };
                    match answers.next() {
                        Some((code, true)) => {
                            ledger.acknowledge(&ack(registration, codes[code]), now);
                        }
                        Some((_, false)) => ledger.no_answer(now),
                        None => break,
                    }
                }
            }
            let last: Vec<_> = targets[targets.len() - 1].iter().map(|n| trade(*n)).collect();
            ledger.retarget(&last, now);
            for _ in 0..200 {
                if ledger.is_waiting() {
                    ledger.no_answer(now);
                }
                let Some((registration, action)) = ledger.next_request() else { break };
                let code = if action == Action::Subscribe { "OPSP0000" } else { "OPSP0001" };
                ledger.acknowledge(&ack(registration, code), now);
            }
            assert!(ledger.is_settled());
            let mut known: Vec<_> = ledger.standing().collect();
            known.extend(ledger.refused().into_iter().map(|refused| refused.registration));
            known.sort();
            assert_eq!(known, last);
        });
    }
}
