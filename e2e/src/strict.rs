//! Clients that forgive nothing: HTTP libraries send a request again when its connection ends early,
//! these count it as lost.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::progress::Progress;

/// Requests sent one after another by several clients, some on connections that they keep for as
/// long as the node lets them, some on a new connection each.
pub struct Strict {
    progress: Arc<Progress>,
    clients: Vec<JoinHandle<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    failures: Vec<String>,
    slowest: Duration,
}

impl Strict {
    /// Begins to send `GET path`. Anything but a whole 200 is a failure.
    pub fn start(address: SocketAddr, path: &str) -> Self {
        let progress = Arc::new(Progress::default());
        let client = |index: u64| {
            let progress = Arc::clone(&progress);
            let keep = !index.is_multiple_of(4);
            let connection = if keep { "keep-alive" } else { "close" };
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: strict\r\nConnection: {connection}\r\n\r\n");
            // From hardly any to longer than a drain lasts elsewhere.
            let pause = Duration::from_millis([1, 3, 20, 300][index as usize % 4]);
            tokio::spawn(async move {
                let mut outcome = Outcome::default();
                let mut kept = None;
                while progress.goes_on() {
                    let started = Instant::now();
                    match exchange(address, kept.take(), request.as_bytes()).await {
                        Ok(connection) => kept = connection,
                        Err(error) => outcome.failures.push(error.to_string()),
                    }
                    progress.count();
                    outcome.slowest = outcome.slowest.max(started.elapsed());
                    tokio::time::sleep(pause).await;
                }
                outcome
            })
        };
        let clients = (0..16).map(client).collect();
        Self { progress, clients }
    }

    /// Waits until this many more requests were answered.
    pub async fn more(&self, count: u64) {
        self.progress.more(count).await;
    }

    /// Stops, and panics if any request failed. Returns how many were sent, and how long the slowest
    /// took.
    pub async fn stop_without_failures(self) -> (u64, Duration) {
        self.progress.stop();
        let mut all = Outcome::default();
        for client in self.clients {
            let outcome = client.await.expect("a client does not panic");
            all.failures.extend(outcome.failures);
            all.slowest = all.slowest.max(outcome.slowest);
        }
        (self.progress.without(&all.failures), all.slowest)
    }
}

/// One request; answers the connection when it may be used again.
async fn exchange(
    address: SocketAddr,
    kept: Option<TcpStream>,
    request: &[u8],
) -> io::Result<Option<TcpStream>> {
    let told = |what: &str, error: io::Error| io::Error::other(format!("{what}: {error}"));
    let what = if kept.is_some() { "kept" } else { "new" };
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(address)
            .await
            .map_err(|error| told("connect", error))?,
    };
    stream
        .write_all(request)
        .await
        .map_err(|error| told(&format!("write on a {what} connection"), error))?;
    let mut answer = Vec::new();
    let (length, keep) = loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(io::Error::other(head));
            }
            let field = |name: &str| {
                let line = head.lines().find(|line| line.starts_with(name))?;
                Some(line[name.len()..].trim().to_owned())
            };
            let length: usize = field("content-length:")
                .and_then(|length| length.parse().ok())
                .ok_or_else(|| io::Error::other(format!("no length: {head}")))?;
            let keep = field("connection:").is_none_or(|connection| connection != "close");
            break (end + 4 + length, keep);
        }
        more(&mut stream, &mut answer, what).await?;
    };
    while answer.len() < length {
        more(&mut stream, &mut answer, what).await?;
    }
    Ok(keep.then_some(stream))
}

async fn more(stream: &mut TcpStream, answer: &mut Vec<u8>, what: &str) -> io::Result<()> {
    match stream.read_buf(answer).await {
        Ok(0) => Err(io::Error::other(format!(
            "a {what} connection ended after {} bytes of an answer",
            answer.len()
        ))),
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(format!(
            "read on a {what} connection: {error}"
        ))),
    }
}
