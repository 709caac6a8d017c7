//! Heavy arithmetic beside a daemon.

use super::ModellingError;

/// How hard a computation may press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// All cores, as fast as it goes: a command that somebody waits for.
    Full,
    /// Half the cores, at a lower priority: beside a running daemon.
    Background,
}

/// How much lower the priority is: what `nice` gives without being told.
const NICE: i32 = 10;

/// Does `work` on threads of its own, and waits for it without holding up the runtime.
///
/// # Errors
/// [`ModellingError::CutOff`] when the thread cannot be had or the work panics.
pub async fn compute<T: Send + 'static>(
    effort: Effort,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ModellingError> {
    let (done, result) = tokio::sync::oneshot::channel();
    let threads = match effort {
        Effort::Full => 0,
        Effort::Background => {
            std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).max(1))
        }
    };
    let thread = std::thread::Builder::new().name("model".to_owned()).spawn(move || {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("model{number}"))
            .start_handler(move |_| {
                if effort == Effort::Background {
                    step_back();
                }
            })
            .build();
        match pool {
            // Nobody waits any more at a stop.
            Ok(pool) => drop(done.send(pool.install(work))),
            Err(error) => tracing::error!(%error, "no threads for the computation"),
        }
    });
    if let Err(error) = thread {
        tracing::error!(%error, "no thread for the computation");
    }
    result.await.map_err(|_| ModellingError::CutOff)
}

/// Lowers the priority of this thread; on Linux that of the calling thread alone.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a computing thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_is_done_elsewhere_and_a_panic_is_an_error() {
        for effort in [Effort::Full, Effort::Background] {
            let name = compute(effort, || std::thread::current().name().map(str::to_owned)).await;
            assert!(name.unwrap().unwrap().starts_with("model"));
        }
        let priority =
            compute(Effort::Background, || rustix::process::getpriority_process(None).unwrap());
        let own = rustix::process::getpriority_process(None).unwrap();
        assert!(priority.await.unwrap() >= own.max(NICE), "it steps back");
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own, "nobody else does");
        let cut = compute(Effort::Full, || panic!("a test's")).await;
        assert!(matches!(cut, Err::<(), _>(ModellingError::CutOff)));
    }
}
