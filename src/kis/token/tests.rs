use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn cache(path: Option<&Path>, key: &str) -> TokenCache {
    TokenCache::new(
        path.map(Path::to_path_buf),
        &key.into(),
        "http://localhost",
        Duration::from_millis(20),
    )
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
        Ok(AccessToken::issued(format!("token-{number}").into(), now(), None, Some(86_400)))
    }
}

#[test]
fn the_expiry_carries_its_zone() {
    let issued_at = parse_kst("2026-09-15 08:40:12").unwrap();
    let token = |expired, seconds| AccessToken::issued("t".into(), issued_at, expired, seconds);
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
    let old =
        AccessToken::issued("old".into(), now().plus_micros(-90_000_000_000), None, Some(86_400));
    cache.store(old).await;
    let first = cache.get(|| issuer.issue()).await.unwrap();
    assert_eq!(first.expose_secret(), "token-1");
    let before = std::time::Instant::now();
    cache.reject(&first).await;
    assert_eq!(cache.get(|| issuer.issue()).await.unwrap().expose_secret(), "token-2");
    assert!(before.elapsed() >= Duration::from_millis(10), "the cooldown was not kept");
    assert_eq!(issuer.count(), 2);
}

#[tokio::test]
async fn too_soon_is_waited_out_and_other_refusals_are_not() {
    let refuse = |code: &str| KisError::Refused {
        endpoint: "token",
        code: code.into(),
        message: String::new(),
        status: 403,
    };
    let asked = AtomicUsize::new(0);
    let cache = cache(None, "key");
    let token = cache
        .get(|| async {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(refuse("EGW00133"));
            }
            Ok(AccessToken::issued("late".into(), now(), None, None))
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
    let token = AccessToken::issued("very-secret".into(), now(), None, None);
    let entry = CacheEntry::of(&token);
    assert!(!format!("{token:?} {entry:?}").contains("very-secret"));
}
