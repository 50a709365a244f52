//! Waiting for a process to answer as it should.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::process::Process;

/// How long one start may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again every millisecond until the answer is good, or the process has ended.
pub(crate) async fn until(
    process: &Process,
    log: &Path,
    url: &str,
    is_good: impl Fn(u16, &str) -> bool,
) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let start = Instant::now();
    loop {
        let failed = match fetch(&client, url).await {
            Ok((status, body)) if is_good(status, &body) => return Ok(()),
            Ok((status, body)) => anyhow!("{url} answers {status} {body}"),
            Err(error) => error,
        };
        if start.elapsed() > PATIENCE || process.usage().is_err() {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            return Err(failed.context(lines[lines.len().saturating_sub(10)..].join("\n")));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Status and body of an answer.
pub(crate) async fn fetch(client: &reqwest::Client, url: &str) -> anyhow::Result<(u16, String)> {
    let answer = client.get(url).send().await.context("no answer")?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await?))
}
