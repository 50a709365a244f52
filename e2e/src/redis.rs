//! A Redis server of a test's own, which can be killed, paused and started again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{ports, variable, wait};

const USER: &str = "gateway";
const PASSWORD: &str = "a secret of tests";

/// A server that keeps nothing. Killed when dropped.
pub struct Redis {
    /// In clear, or over TLS.
    pub port: u16,
    directory: TempDir,
    speaks_tls: bool,
    child: Option<Child>,
}

impl Redis {
    /// Starts one.
    pub async fn start() -> Self {
        let mut server = Self::prepare(false);
        server.start_again().await;
        server
    }

    /// Starts one that speaks TLS with a certificate of its own for `localhost`, see
    /// [`Redis::certificate`], and knows [`Redis::user`].
    pub async fn with_tls() -> Self {
        let mut server = Self::prepare(true);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("make a certificate");
        std::fs::write(server.certificate(), made.cert.pem()).expect("write the certificate");
        let key = made.signing_key.serialize_pem();
        std::fs::write(server.path("server.key"), key).expect("write the key");
        server.start_again().await;
        server
    }

    fn prepare(speaks_tls: bool) -> Self {
        Self {
            port: ports::free(),
            directory: tempfile::Builder::new()
                .prefix("keelgate-redis-")
                .tempdir()
                .expect("make a directory"),
            speaks_tls,
            child: None,
        }
    }

    /// Starts it again, empty.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        // What the one before has left behind may take a moment to go.
        let mut child = self.spawn();
        let port = self.port;
        wait::until("Redis", || {
            if child.try_wait().expect("ask for the exit status").is_some() {
                child = self.spawn();
            }
            tokio::net::TcpStream::connect(("127.0.0.1", port))
        })
        .await;
        self.child = Some(child);
    }

    fn spawn(&self) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("open the log");
        let mut command = Command::new(variable("KEELGATE_TEST_REDIS_SERVER"));
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.directory.path());
        if self.speaks_tls {
            command
                .args(["--port", "0", "--tls-port", &self.port.to_string()])
                .arg("--tls-cert-file")
                .arg(self.certificate())
                .arg("--tls-key-file")
                .arg(self.path("server.key"))
                .args(["--tls-auth-clients", "no"])
                .args(["--user", USER, "on", &format!(">{PASSWORD}"), "~*", "+@all"])
                .args(["--user", "default", "off"]);
        } else {
            command.args(["--port", &self.port.to_string()]);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .spawn()
            .expect("start Redis")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill the server");
            child.wait().expect("reap the server");
        }
    }

    /// SIGSTOP: connections are still accepted by the kernel, and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("signal the server");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The certificate that it shows.
    pub fn certificate(&self) -> PathBuf {
        self.path("server.crt")
    }

    /// Who may log in, and with which password.
    pub fn user() -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// A connection in clear.
    pub async fn connection(&self) -> MultiplexedConnection {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let client = redis::Client::open(url).expect("an address of Redis");
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(30)))
            .set_response_timeout(Some(Duration::from_secs(30)));
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        connection.await.expect("connect to Redis")
    }

    /// All keys, each with its value and the seconds that it has left, in order.
    pub async fn keys(&self) -> Vec<(String, i64, i64)> {
        let mut connection = self.connection().await;
        let mut keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection)
            .await
            .expect("ask for the keys");
        keys.sort();
        let mut all = Vec::new();
        for key in keys {
            let (value, left): (Option<i64>, i64) = redis::pipe()
                .cmd("GET")
                .arg(&key)
                .cmd("TTL")
                .arg(&key)
                .query_async(&mut connection)
                .await
                .expect("ask for a key");
            all.push((key, value.unwrap_or_default(), left));
        }
        all
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
