use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::path::Path;

use super::super::clock::tests::following_tokio;
use super::super::now;
use super::*;

fn key(key: &str) -> KeyId {
    KeyId::of(&key.into(), &"secret".into(), "http://localhost")
}

fn cache(path: Option<&Path>, name: &str) -> TokenCache {
    let cooldown = Duration::from_millis(20);
    TokenCache::new(path.map(Path::to_path_buf), key(name), cooldown, Clock::system())
}

/// KIS's minute between two issues, on a clock that goes with tokio's.
fn real_cache(path: &Path, key: KeyId, clock: &Clock) -> TokenCache {
    TokenCache::new(Some(path.to_path_buf()), key, Duration::from_secs(60), clock.clone())
}

fn refuse(code: &str) -> KisError {
    KisError::Refused { endpoint: "token", code: code.into(), message: String::new(), status: 403 }
}

/// Counts the issues; each gives another token.
#[derive(Default)]
struct Issuer(AtomicUsize);

impl Issuer {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    async fn issue(&self) -> Result<AccessToken, KisError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(AccessToken::issued(format!("token-{number}").into(), now(), None, Some(86_400), 0))
    }

    async fn issue_at(&self, clock: &Clock) -> Result<AccessToken, KisError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let now = clock.now();
        Ok(AccessToken::issued(format!("token-{number}").into(), now, None, Some(86_400), 0))
    }
}

#[test]
fn the_expiry_carries_its_zone() {
    let issued_at = parse_kst("2026-09-15 08:40:12").unwrap();
    let token = |expired, seconds| AccessToken::issued("t".into(), issued_at, expired, seconds, 0);
    let by_text = token(Some("2026-09-16 08:40:12"), None);
    assert_eq!(by_text.expires_at.rfc3339(), "2026-09-16T08:40:12+09:00");
    assert_eq!(token(None, Some(60)).expires_at.micros_since(issued_at), 60_000_000);
    // The earlier of the two.
    assert_eq!(
        token(Some("2026-09-16 08:40:12"), Some(60)).expires_at.second(),
        issued_at.second() + 60
    );
    // A server whose clock stands years back.
    assert_eq!(
        token(Some("2020-06-05 09:00:00"), Some(60)).expires_at.second(),
        issued_at.second() + 60
    );
    assert!(by_text.is_fresh(parse_kst("2026-09-16 08:30:00").unwrap()));
    assert!(!by_text.is_fresh(parse_kst("2026-09-16 08:30:12").unwrap()));
    assert!(by_text.is_usable(parse_kst("2026-09-16 08:39:41").unwrap()));
    assert!(!by_text.is_usable(parse_kst("2026-09-16 08:39:42").unwrap()));
    // KIS's clock is an hour ahead of ours: its 09:40 is our 08:40.
    let hour = 3_600_000_000;
    let skewed =
        AccessToken::issued("t".into(), issued_at, Some("2026-09-16 09:40:12"), None, hour);
    assert_eq!(skewed.expires_at, by_text.expires_at);
}

#[tokio::test]
async fn a_second_client_reuses_the_file_and_nobody_else_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let issuer = Issuer::default();
    let first = cache(Some(&path), "key").get(|| issuer.issue()).await.unwrap();
    let second = cache(Some(&path), "key").get(|| issuer.issue()).await.unwrap();
    assert_eq!(first.expose_secret(), second.expose_secret());
    assert_eq!(issuer.count(), 1);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Another key has a token of its own, in the same file.
    let other = cache(Some(&path), "other").get(|| issuer.issue()).await.unwrap();
    assert_eq!((issuer.count(), other.expose_secret()), (2, "token-2"));
    let again = cache(Some(&path), "key").get(|| issuer.issue()).await.unwrap();
    assert_eq!((issuer.count(), again.expose_secret()), (2, "token-1"));
}

#[tokio::test]
async fn clients_that_start_together_ask_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let issuer = Issuer::default();
    let caches: Vec<TokenCache> = (0..8).map(|_| cache(Some(&path), "key")).collect();
    let asked = caches.iter().map(|cache| cache.get(|| issuer.issue()));
    for token in futures::future::join_all(asked).await {
        assert_eq!(token.unwrap().expose_secret(), "token-1");
    }
    assert_eq!(issuer.count(), 1);
}

#[tokio::test]
async fn an_expired_or_rejected_token_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let issuer = Issuer::default();
    let cache = cache(Some(&path), "key");
    let old = AccessToken::issued(
        "old".into(),
        now().plus_micros(-90_000_000_000),
        None,
        Some(86_400),
        0,
    );
    cache.store(old).await;
    let first = cache.get(|| issuer.issue()).await.unwrap();
    assert_eq!(first.expose_secret(), "token-1");
    let before = std::time::Instant::now();
    cache.reject(&first);
    assert_eq!(cache.get(|| issuer.issue()).await.unwrap().expose_secret(), "token-2");
    assert!(before.elapsed() >= Duration::from_millis(10), "the cooldown was not kept");
    assert_eq!(issuer.count(), 2);
}

#[tokio::test]
async fn too_soon_is_waited_out_and_other_refusals_are_not() {
    let asked = AtomicUsize::new(0);
    let cache = cache(None, "key");
    let token = cache
        .get(|| async {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(refuse("EGW00133"));
            }
            Ok(AccessToken::issued("late".into(), now(), None, None, 0))
        })
        .await
        .unwrap();
    assert_eq!((token.expose_secret(), asked.load(Ordering::SeqCst)), ("late", 2));

    let cache = self::cache(None, "other");
    let asked = AtomicUsize::new(0);
    let error = cache
        .get(|| async {
            asked.fetch_add(1, Ordering::SeqCst);
            Err(refuse("EGW00105"))
        })
        .await
        .unwrap_err();
    assert!(error.is_terminal());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_damaged_file_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    std::fs::write(&path, "{\"tokens\": {\"x\"").unwrap();
    let issuer = Issuer::default();
    cache(Some(&path), "key").get(|| issuer.issue()).await.unwrap();
    cache(Some(&path), "key").get(|| issuer.issue()).await.unwrap();
    assert_eq!(issuer.count(), 1);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn nothing_prints_a_token() {
    let token = AccessToken::issued("very-secret".into(), now(), None, None, 0);
    let entry = CacheEntry::of(&token);
    assert!(!format!("{token:?} {entry:?}").contains("very-secret"));
}

#[tokio::test(start_paused = true)]
async fn two_clients_on_one_file_over_days() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let clock = following_tokio(parse_kst("2026-09-15 23:50:00").unwrap());
    let clients = [(); 2].map(|()| real_cache(&path, key("key"), &clock));
    let issuer = Issuer::default();
    let issue = || issuer.issue_at(&clock);
    // A call every five minutes by each of the two, for three days, across midnights.
    for _ in 0..3 * 24 * 12 {
        for client in &clients {
            let found = client.found();
            if found.as_ref().is_none_or(|found| found.due) {
                client.renew(issue).await.unwrap();
            }
            let token = client.get(issue).await.unwrap();
            assert_eq!(token.expose_secret(), format!("token-{}", issuer.count()));
        }
        tokio::time::advance(Duration::from_secs(300)).await;
    }
    // One at the start, and one each time that ten minutes were left.
    assert_eq!(issuer.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_old_token_serves_while_one_renewal_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let clock = following_tokio(parse_kst("2026-09-15 08:40:00").unwrap());
    let cache = real_cache(&path, key("key"), &clock);
    let issuer = Issuer::default();
    assert!(cache.found().is_none());
    cache.get(|| issuer.issue_at(&clock)).await.unwrap();
    assert!(!cache.found().unwrap().due);
    tokio::time::advance(Duration::from_secs(86_400 - 500)).await;
    let old = cache.found().unwrap();
    assert_eq!((old.due, old.secret.expose_secret()), (true, "token-1"));
    assert!(!cache.found().unwrap().due, "one renewal at a time");
    let error = cache.renew(|| async { Err(refuse("EGW00002")) }).await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(cache.get(|| issuer.issue_at(&clock)).await.unwrap().expose_secret(), "token-1");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(cache.found().unwrap().due, "a renewal that failed is tried again");
    cache.renew(|| issuer.issue_at(&clock)).await.unwrap();
    assert_eq!(cache.found().unwrap().secret.expose_secret(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_restart_loop_asks_for_no_more_than_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let start = parse_kst("2026-09-15 08:40:00").unwrap();
    let clock = following_tokio(start);
    let asked = Mutex::new(Vec::new());
    let fail = || async {
        asked.lock().push(clock.now().micros_since(start) / 1_000_000);
        Err(refuse("EGW00105"))
    };
    // A start every ten seconds, for three hours.
    for _ in 0..3 * 360 {
        let error = real_cache(&path, key("key"), &clock).get(fail).await.unwrap_err();
        assert!(error.is_terminal() && error.to_string().contains("EGW00105"), "{error}");
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert_eq!(*asked.lock(), [0, 60, 660, 4_260, 7_860]);
    // Another secret is another attempt.
    let issuer = Issuer::default();
    let corrected = KeyId::of(&"key".into(), &"corrected".into(), "http://localhost");
    real_cache(&path, corrected, &clock).get(|| issuer.issue_at(&clock)).await.unwrap();
    assert_eq!(issuer.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_of_another_process_counts_for_the_minute() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let clock = following_tokio(parse_kst("2026-09-15 08:40:00").unwrap());
    let trouble = || async { Err(refuse("EGW00002")) };
    real_cache(&path, key("key"), &clock).get(trouble).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(20)).await;
    let before = clock.now();
    let issuer = Issuer::default();
    real_cache(&path, key("key"), &clock).get(|| issuer.issue_at(&clock)).await.unwrap();
    assert!(clock.now().micros_since(before) >= 40_000_000, "the minute was not kept");
    // A connection that never stood was no attempt.
    let refused = || async {
        Err(KisError::Transport {
            endpoint: "token",
            base_url: String::new(),
            fault: TransportFault::Connect,
            detail: String::new(),
        })
    };
    real_cache(&path, key("other"), &clock).get(refused).await.unwrap_err();
    let before = clock.now();
    real_cache(&path, key("other"), &clock).get(|| issuer.issue_at(&clock)).await.unwrap();
    assert!(clock.now().micros_since(before) < 1_000_000);
}

#[tokio::test]
async fn a_forgotten_token_is_gone_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let issuer = Issuer::default();
    let first = cache(Some(&path), "key");
    first.get(|| issuer.issue()).await.unwrap();
    assert!(cache(Some(&path), "key").any().await.is_some());
    first.forget().await.unwrap();
    assert!(first.found().is_none() && cache(Some(&path), "key").any().await.is_none());
}
