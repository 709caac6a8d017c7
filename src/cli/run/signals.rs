//! What tells a process to end: SIGTERM, SIGINT, or a set time.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Listens to signals from now on: one that comes while the parts are still being put together
/// stops them in order once they are.
pub(super) fn listen(runtime: &Runtime) -> watch::Receiver<Option<&'static str>> {
    let (tell, told) = watch::channel(None);
    runtime.spawn(async move { tell.send_replace(Some(wait_for_the_end(None).await)) });
    told
}

/// Waits for SIGTERM, SIGINT or the end of the set time; says which it was.
pub(in crate::cli) async fn wait_for_the_end(after: Option<Duration>) -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let limit = async {
        match after {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = limit => "the set duration is over",
        },
        (terminate, interrupt) => {
            tracing::error!(?terminate, ?interrupt, "signals cannot be watched");
            limit.await;
            "the set duration is over"
        }
    }
}
