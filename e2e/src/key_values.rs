//! Stores of keys and values of a test's own: Consul and Vault.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{ports, variable, wait};

/// A Consul of one node that keeps all in memory. Killed when dropped.
pub struct Consul {
    /// Of its HTTP interface.
    pub port: u16,
    server: Server,
}

/// A Vault that keeps all in memory, with the second version of the key-value store at `secret`. Killed when dropped.
pub struct Vault {
    /// Of its HTTP interface.
    pub port: u16,
    /// Whoever has it may do anything.
    pub token: String,
    _server: Server,
}

struct Server {
    directory: TempDir,
    child: Child,
}

impl Server {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("keelgate-store-")
            .tempdir()
            .expect("make a directory");
        let log = |name: &str| File::create(directory.path().join(name)).expect("make a log");
        let child = Command::new(variable(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log("output"))
            .stderr(log("errors"))
            .spawn();
        Self {
            child: child.expect("start the program"),
            directory,
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Consul {
    /// Starts one.
    pub async fn start() -> Self {
        let port = ports::free();
        let text = |port: u16| port.to_string();
        let server = Server::start(
            "KEELGATE_TEST_CONSUL",
            &[
                "agent",
                "-dev",
                "-bind=127.0.0.1",
                "-http-port",
                &text(port),
                "-dns-port=-1",
                "-grpc-port=-1",
                "-server-port",
                &text(ports::free()),
                "-serf-lan-port",
                &text(ports::free()),
                "-serf-wan-port",
                &text(ports::free()),
            ],
        );
        let consul = Self { port, server };
        wait::until("Consul", || async {
            let kept = consul.keys("").await;
            kept.ok_or_else(|| consul.server.output())
        })
        .await;
        consul
    }

    /// The keys that begin so.
    pub async fn keys(&self, prefix: &str) -> Option<Vec<String>> {
        let url = format!("http://127.0.0.1:{}/v1/kv/{prefix}?keys", self.port);
        let answer = reqwest::get(url).await.ok()?;
        match answer.status().as_u16() {
            404 => Some(Vec::new()),
            _ => answer.json().await.ok(),
        }
    }
}

impl Vault {
    /// Starts one.
    pub async fn start() -> Self {
        let port = ports::free();
        let address = format!("{}:{port}", Ipv4Addr::LOCALHOST);
        let server = Server::start("KEELGATE_TEST_VAULT", &[&address]);
        let token = wait::until("Vault", || async {
            let output = server.output();
            let token = output.strip_suffix('\n').map(str::to_owned);
            token.ok_or("no token yet")
        })
        .await;
        let vault = Self {
            port,
            token,
            _server: server,
        };
        let engine = json!({"type": "kv", "options": {"version": "2"}});
        vault.ask("POST", "sys/mounts/secret", engine).await;
        // An engine that was just mounted is not ready at once.
        wait::until("Vault's engine", || async {
            let (status, answer) = vault.ask("GET", "secret/config", Value::Null).await;
            (status == 200).then_some(()).ok_or(answer)
        })
        .await;
        vault
    }

    /// What it answers with the token.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}/v1/{path}", self.port);
        let method = method.parse().expect("a method");
        let mut asked = reqwest::Client::new()
            .request(method, url)
            .header("x-vault-token", &self.token);
        if !body.is_null() {
            asked = asked.json(&body);
        }
        match asked.send().await {
            Ok(answer) => (
                answer.status().as_u16(),
                answer.text().await.unwrap_or_default(),
            ),
            Err(problem) => (0, problem.to_string()),
        }
    }
}
