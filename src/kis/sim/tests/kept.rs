//! What a client knows of its key without asking: token, refusal, block, clock.

use std::path::Path;

use super::client::{options, start};
use crate::kis::sim::{FaultSpec, RunningSim, SimOptions};
use crate::kis::{Environment, KeptToken, KisClient, KisError, KisOptions};

const TOKEN: &str = "/oauth2/tokenP";

fn client(sim: &RunningSim, folder: &Path, secret: &str, issue_tokens: bool) -> KisClient {
    let options = KisOptions {
        token_cache: Some(folder.join("kis-token.json")),
        calls_per_second: None,
        issue_tokens,
        ..KisOptions::new(Environment::Real, sim.rest_url(), "KEY".into(), secret.into())
    };
    KisClient::new(options).unwrap()
}

fn tokens(sim: &RunningSim) -> usize {
    sim.requests().iter().filter(|request| request.endpoint == TOKEN).count()
}

#[tokio::test]
async fn without_leave_only_a_kept_token_is_used() {
    let (sim, folder) = (start(options()).await, tempfile::tempdir().unwrap());
    let symbol = "005930".parse().unwrap();
    let shy = client(&sim, folder.path(), "SECRET", false);
    assert!(matches!(shy.kept_token().await, KeptToken::None));
    let error = shy.inquire_price(symbol).await.unwrap_err();
    assert!(matches!(error, KisError::NoToken { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    assert!(sim.requests().is_empty());

    client(&sim, folder.path(), "SECRET", true).token().await.unwrap();
    assert!(matches!(shy.kept_token().await, KeptToken::Usable { .. }));
    shy.inquire_price(symbol).await.unwrap();
    // A token that the server does not take is told as that; no other one is asked for.
    sim.inject("token-invalid:times=1".parse::<FaultSpec>().unwrap());
    let error = shy.inquire_price(symbol).await.unwrap_err();
    assert!(error.to_string().contains("EGW00121"), "{error}");
    assert_eq!(tokens(&sim), 1);
    sim.stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_keys_is_kept_until_the_secret_changes() {
    let (sim, folder) = (start(options()).await, tempfile::tempdir().unwrap());
    client(&sim, folder.path(), "wrong", true).token().await.unwrap_err();
    let KeptToken::Refused { error, .. } =
        client(&sim, folder.path(), "wrong", false).kept_token().await
    else {
        panic!("the refusal is not kept")
    };
    assert!(error.to_string().contains("EGW00105"), "{error}");
    let corrected = client(&sim, folder.path(), "SECRET", false);
    assert!(matches!(corrected.kept_token().await, KeptToken::None));
    sim.stop().await;
}

#[tokio::test]
async fn the_clock_is_told_without_a_key_and_not_while_blocked() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(SimOptions { clock_offset: -90, ..options() }).await;
    let shy = client(&sim, folder.path(), "SECRET", false);
    let ahead = shy.ask_clock().await.unwrap().unwrap().num_seconds();
    assert!((-92..=-88).contains(&ahead), "{ahead}");
    assert!(shy.block().await.is_none());

    sim.inject("blocked".parse::<FaultSpec>().unwrap());
    client(&sim, folder.path(), "SECRET", true).token().await.unwrap_err();
    let (block, struck) = (shy.block().await.unwrap(), sim.faults().len());
    assert!(block.until > block.since);
    let error = shy.ask_clock().await.unwrap_err();
    assert!(matches!(error, KisError::Blocked { .. }), "{error}");
    assert_eq!(sim.faults().len(), struck);
    sim.stop().await;
}
