//! The access log: one line per request, written away from the request path.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// What is told about a request after its end.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The client, after trusted proxies were resolved.
    pub client: IpAddr,
    /// When the request's head had been read.
    pub received_at: SystemTime,
    /// Method as received.
    pub method: &'a str,
    /// Target as received.
    pub target: &'a str,
    /// `HTTP/1.1` and the like.
    pub version: &'a str,
    /// Status answered; 499 when the client went away before.
    pub status: u16,
    /// Bytes of the response body that were sent.
    pub body_bytes: u64,
    /// `Referer`, if sent.
    pub referer: Option<&'a str>,
    /// `User-Agent`, if sent.
    pub user_agent: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
}

/// Told about every request, on the core that served it. Must not block.
pub trait AccessLog: Send + Sync {
    /// One request has ended.
    fn record(&self, record: &Record<'_>);
}

/// Lines in Kong's format, written by a thread of its own. When that thread cannot keep up, lines
/// are dropped and counted, since requests never wait for their log.
pub struct LineLog {
    lines: SyncSender<String>,
    dropped: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LineLog {
    /// Lines that may wait to be written.
    const QUEUE: usize = 8192;

    /// Writes to `out` until the log is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut out: impl Write + Send + 'static) -> std::io::Result<Arc<Self>> {
        let (lines, queue) = sync_channel::<String>(Self::QUEUE);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                while let Ok(line) = queue.recv() {
                    // A full disk must not end the proxy; the next line tries again.
                    let _ = out.write_all(line.as_bytes());
                    while let Ok(line) = queue.try_recv() {
                        let _ = out.write_all(line.as_bytes());
                    }
                    let _ = out.flush();
                }
            })?;
        Ok(Arc::new(Self {
            lines,
            dropped: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Lines that were dropped because the writer could not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl AccessLog for LineLog {
    fn record(&self, record: &Record<'_>) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Line(record).to_string()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for LineLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineLog")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

impl Drop for LineLog {
    /// Waits until the lines that are queued have been written.
    fn drop(&mut self) {
        let (closed, _) = sync_channel(1);
        drop(std::mem::replace(&mut self.lines, closed));
        let thread = self.thread.get_mut().map(Option::take);
        if let Ok(Some(thread)) = thread {
            let _ = thread.join();
        }
    }
}

/// A record as one line.
struct Line<'a, 'b>(&'a Record<'b>);

impl fmt::Display for Line<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(r) = self;
        writeln!(
            f,
            "{} - - [{}] \"{} {} {}\" {} {} \"{}\" \"{}\" kong_request_id: \"{}\"",
            r.client,
            Stamp(r.received_at),
            Escaped(r.method),
            Escaped(r.target),
            r.version,
            r.status,
            r.body_bytes,
            Escaped(r.referer.unwrap_or("-")),
            Escaped(r.user_agent.unwrap_or("-")),
            r.request_id,
        )
    }
}

/// `23/Nov/2026:05:39:28 +0000`; always UTC, so that nodes agree.
struct Stamp(SystemTime);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "Mon, 23 Nov 2026 05:39:28 GMT"
        let date = httpdate::fmt_http_date(self.0);
        let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or("");
        write!(
            f,
            "{}/{}/{}:{} +0000",
            part(5..7),
            part(8..11),
            part(12..16),
            part(17..25)
        )
    }
}

/// Text from clients, with quotes, backslashes and control characters written as `\xHH`, so that
/// no client can forge lines.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || matches!(c, '"' | '\\') {
                write!(f, "\\x{:02X}", u32::from(c))?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_request_becomes_one_line_that_clients_cannot_forge() {
        let kept = Kept::default();
        let log = LineLog::start(kept.clone()).unwrap();
        log.record(&Record {
            client: IpAddr::from([127, 0, 0, 1]),
            received_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            method: "GET",
            target: "/a?b",
            version: "HTTP/1.1",
            status: 200,
            body_bytes: 12,
            referer: None,
            user_agent: Some("x\" \n"),
            request_id: "abc",
        });
        drop(log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "127.0.0.1 - - [01/Jan/1970:00:00:01 +0000] \"GET /a?b HTTP/1.1\" 200 12 \"-\" \
             \"x\\x22 \\x0A\" kong_request_id: \"abc\"\n"
        );
    }
}
