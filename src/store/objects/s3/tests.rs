//! What needs no service. The integration tests run over a real one.

use proptest::prelude::*;

use super::headers::encoded;
use super::*;

fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: endpoint.to_owned(),
        access_key: "AKcanary".to_owned().into(),
        secret_key: "canary-secret".to_owned().into(),
        region: "kr-seoul".to_owned(),
        path_style: true,
        ca_file: None,
        bucket_prefix: String::new(),
        deadline: Duration::from_millis(300),
        breaker: BreakerLimits::default(),
        health: Some(HealthRegistry::new()),
        waiting: None,
    }
}

fn key() -> Key {
    "a/b.json".parse().unwrap()
}

proptest! {
    #[test]
    fn metadata_survives_a_header(text in "\\PC{0,40}|[%0-9a-f]{0,12}") {
        let header = encoded(&text);
        prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(decoded(&header), text);
    }
}

#[tokio::test]
async fn nobody_there_is_away_and_soon_left_alone() {
    let options = options("http://127.0.0.1:1");
    let health = options.health.clone().unwrap();
    let objects = S3Objects::new(options).unwrap();
    for _ in 0..3 {
        let error = objects.get(Bucket::RawData, &key(), None).await.unwrap_err();
        assert!(matches!(error, ObjectError::Away { .. }), "{error}");
    }
    let error = objects.get(Bucket::RawData, &key(), None).await.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    assert!(!error.contains("canary"), "{error}");
    let line = health.get(Component::Objects).unwrap();
    assert_eq!(line.state.as_str(), "down");
    assert!(!format!("{objects:?} {line:?}").contains("canary"));
}

#[tokio::test]
async fn a_service_that_never_answers_is_away_after_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let objects = S3Objects::new(options(&format!("http://{address}"))).unwrap();
    let error =
        objects.put(Bucket::Reports, &key(), "x".into(), About::default()).await.unwrap_err();
    assert!(error.to_string().contains("no answer to \"write\" within 300ms"), "{error}");
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let named = |change: &dyn Fn(&mut S3Options)| {
        let mut options = options("http://127.0.0.1:1");
        change(&mut options);
        match S3Objects::new(options) {
            Err(ObjectError::Setting { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(named(&|o| o.endpoint = "http://h/path".to_owned()), "objects.endpoint");
    assert_eq!(named(&|o| o.bucket_prefix = "A_!".to_owned()), "objects.bucket_prefix");
    assert_eq!(named(&|o| o.ca_file = Some("/none.pem".into())), "objects.ca_file");
}
