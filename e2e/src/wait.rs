//! Waiting for a condition of another process, which gives no event to await.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything in a test may take before it counts as broken; generous, since nothing is
/// measured by it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until there is an answer. Panics with `what` and the last refusal after [`PATIENCE`].
pub async fn until<T, E, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    within(PATIENCE, what, ask).await
}

/// As [`until`], for what may take longer.
pub async fn within<T, E, F>(patience: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let start = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(refusal) if start.elapsed() > patience => panic!("waited for {what}: {refusal}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
