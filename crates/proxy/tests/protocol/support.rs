//! A proxy, an upstream that plays a script, and a client that sees bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keelgate_entities::kinds;
use keelgate_plugins::{Directory, Plugin};
use keelgate_proxy::{Handle, IoEngine, Listen, Proxy, Settings};
use keelgate_runtime::{Env, Plugins, Runtime, Shared, certificates};
use serde_json::{Value, json};

pub(crate) type Factory = fn(&kinds::Plugin) -> Option<Arc<dyn Plugin>>;

/// Plugins made by a test.
pub(crate) struct Made(pub Factory);

impl Plugins for Made {
    fn compile(
        &self,
        plugin: &kinds::Plugin,
        _directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, String> {
        (self.0)(plugin).ok_or_else(|| "unknown".to_owned())
    }

    fn priority(&self, _name: &str) -> Option<i32> {
        Some(1)
    }
}

pub(crate) struct Gateway {
    pub(crate) handle: Handle,
    pub(crate) shared: Arc<Shared>,
    pub(crate) env: Env,
}

impl Gateway {
    pub(crate) fn start(config: Value) -> Self {
        Self::with(config, |_| {}, |_| None)
    }

    pub(crate) fn with(
        config: Value,
        change: impl FnOnce(&mut Settings),
        plugins: Factory,
    ) -> Self {
        Self::trusting(config, rustls::RootCertStore::empty(), change, plugins)
    }

    /// With authorities of the node.
    pub(crate) fn trusting(
        config: Value,
        trusted: rustls::RootCertStore,
        change: impl FnOnce(&mut Settings),
        plugins: Factory,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["default.test".to_owned()]).unwrap();
        let key = certificates::certified_key(&made.cert.pem(), &made.signing_key.serialize_pem());
        let env = Env {
            plugins: Arc::new(Made(plugins)),
            flavor: keelgate_entities::RouterFlavor::default(),
            default_certificate: Arc::new(key.unwrap()),
            trusted: Arc::new(trusted),
            verify_upstreams: true,
            client_certificate: None,
            secrets: None,
        };
        let shared = Shared::new(Arc::new(compile(config, &env, None)));
        let mut settings = Settings {
            listen: vec![Listen::http(SocketAddr::from(([127, 0, 0, 1], 0)))],
            workers: 2,
            io_engine: io_engine(),
            ..Settings::default()
        };
        change(&mut settings);
        Self {
            handle: Proxy::start(settings, Arc::clone(&shared)).unwrap(),
            shared,
            env,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.addresses()[0]
    }

    pub(crate) fn connect(&self) -> Client<TcpStream> {
        Client::new(tcp(self.address()))
    }

    pub(crate) fn swap(&self, config: Value) {
        let before = self.shared.load();
        let runtime = compile(config, &self.env, Some(&before));
        self.shared.swap(Arc::new(runtime));
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response(request.starts_with("HEAD"))
    }
}

/// Which engine the tests run on, from the environment.
fn io_engine() -> IoEngine {
    match std::env::var("KEELGATE_TEST_IO_ENGINE").as_deref() {
        Ok("io_uring") => IoEngine::IoUring,
        Ok("auto") => IoEngine::Auto,
        _ => IoEngine::Epoll,
    }
}

fn compile(config: Value, env: &Env, previous: Option<&Runtime>) -> Runtime {
    let config = serde_json::from_value(config).unwrap();
    Runtime::compile(config, "test".to_owned(), env, previous).unwrap()
}

/// How long anything in a test may take before it counts as broken; nothing is measured by it. Less than
/// what either side is given by default, so that its end is not taken for what a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) const SERVICE: &str = "00000000-0000-4000-8000-000000000001";
pub(crate) const ROUTE: &str = "00000000-0000-4000-8000-000000000002";

/// One service at `address` and one route for everything.
pub(crate) fn config(address: SocketAddr) -> Value {
    with_service(json!({
        "id": SERVICE, "name": "s", "protocol": "http",
        "host": address.ip().to_string(), "port": address.port(),
    }))
}

pub(crate) fn with_service(service: Value) -> Value {
    json!({
        "services": [service],
        "routes": [{
            "id": ROUTE, "name": "r", "protocols": ["http", "https"],
            "paths": ["/"], "strip_path": false, "service": {"id": SERVICE},
        }],
    })
}

/// An upstream: `script` plays every connection, told its number, in a thread of its own.
pub(crate) fn upstream(
    script: impl Fn(Client<TcpStream>, usize) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    upstream_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
}

/// [`upstream`] at an address.
pub(crate) fn upstream_at(
    address: SocketAddr,
    script: impl Fn(Client<TcpStream>, usize) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let script = Arc::new(script);
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let script = Arc::clone(&script);
            std::thread::spawn(move || script(Client::new(stream.unwrap()), number));
        }
    });
    (address, count)
}

/// An upstream that answers every request with 200 and the request's head and body.
pub(crate) fn echo() -> SocketAddr {
    upstream(|mut client, _| {
        while let Some(request) = client.request() {
            let text = format!("{}{}", request.head, request.text());
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ));
        }
    })
    .0
}

/// An address that nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// One end of a connection that speaks HTTP/1 by hand.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and header lines as received.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the connection ended before the body did.
    pub(crate) cut: bool,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `mark`; what stands before it. None when the connection ended.
    pub(crate) fn until(&mut self, mark: &str) -> Option<String> {
        loop {
            let found = self
                .buffer
                .windows(mark.len())
                .position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                let part = self.buffer.drain(..at + mark.len()).take(at).collect();
                return Some(String::from_utf8(part).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> bool {
        let mut part = [0; 65536];
        match self.stream.read(&mut part) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&part[..read]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// Whether the peer closes without sending anything more.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(size) = self.until("\r\n") else {
                return (body, true);
            };
            let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
            let Some(piece) = self.exactly(size + 2) else {
                return (body, true);
            };
            if size == 0 {
                return (body, false);
            }
            body.extend_from_slice(&piece[..size]);
        }
    }

    /// One response to the end of its body.
    pub(crate) fn response(&mut self, head_only: bool) -> Response {
        let head = self.until("\r\n\r\n").expect("a response");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (body, cut) = if head_only || matches!(status, 100..=199 | 204 | 304) {
            (Vec::new(), false)
        } else if header(&head, "transfer-encoding") == Some("chunked") {
            self.chunks()
        } else if let Some(length) = header(&head, "content-length") {
            match self.exactly(length.parse().unwrap()) {
                Some(body) => (body, false),
                None => (self.rest(), true),
            }
        } else {
            (self.rest(), false)
        };
        Response {
            status,
            head,
            body,
            cut,
        }
    }

    /// One request to the end of its body; none when the connection ended.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.until("\r\n\r\n")?;
        let body = if header(&head, "transfer-encoding") == Some("chunked") {
            self.chunks().0
        } else if let Some(length) = header(&head, "content-length") {
            self.exactly(length.parse().unwrap())?
        } else {
            Vec::new()
        };
        Some(Request { head, body })
    }
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
