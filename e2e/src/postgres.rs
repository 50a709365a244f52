//! A PostgreSQL server of a test's own, which can be killed and started again.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

use crate::{Node, ports, variable, wait};

/// Whom it runs as where the test runs as root, which PostgreSQL refuses to.
const NOBODY: u32 = 65534;

const USER: &str = "keelgate";
const PASSWORD: &str = "a secret of tests";

/// A server with an empty database. Killed when dropped.
pub struct Postgres {
    port: u16,
    directory: TempDir,
    speaks_tls: bool,
    child: Option<Child>,
}

impl Postgres {
    /// Starts one.
    pub async fn start() -> Self {
        let server = Self::prepare();
        server.begin().await
    }

    /// Starts one that speaks TLS with a certificate of its own, see [`Postgres::certificate`].
    pub async fn with_tls() -> Self {
        let mut server = Self::prepare();
        server.speaks_tls = true;
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])
            .expect("make a certificate");
        let key = server.path("server.key");
        std::fs::write(server.certificate(), made.cert.pem()).expect("write the certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("write the key");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&key, mode).expect("protect the key");
        give_away(&key);
        server.begin().await
    }

    fn prepare() -> Self {
        let server = Self {
            port: ports::free(),
            directory: directory(),
            speaks_tls: false,
            child: None,
        };
        let password = server.path("password");
        std::fs::write(&password, PASSWORD).expect("write the password");
        give_away(server.directory.path());
        give_away(&password);
        let made = program("initdb")
            .args([
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
            ])
            .arg(format!("--username={USER}"))
            .arg(format!("--pwfile={}", password.display()))
            .arg(server.path("data"))
            .output()
            .expect("run initdb");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb: {said}");
        server
    }

    async fn begin(mut self) -> Self {
        self.start_again().await;
        self
    }

    /// Starts it again, with what it held.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        // What the one before has left behind may take a moment to go.
        let mut child = self.spawn();
        wait::until("PostgreSQL", || {
            if child.try_wait().expect("ask for the exit status").is_some() {
                child = self.spawn();
            }
            let ready = program("pg_isready")
                .args(["--host=127.0.0.1", &format!("--port={}", self.port)])
                .stdout(Stdio::null())
                .status();
            let is_ready = ready.is_ok_and(|status| status.success());
            async move { is_ready.then_some(()).ok_or("it does not answer") }
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
        let mut command = program("postgres");
        command
            .arg("-D")
            .arg(self.path("data"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
        if self.speaks_tls {
            for (name, path) in [
                ("ssl_cert_file", self.certificate()),
                ("ssl_key_file", self.path("server.key")),
            ] {
                command.arg("-c").arg(format!("{name}={}", path.display()));
            }
            // Nobody without it.
            let entry = "hostssl all all all scram-sha-256\n";
            std::fs::write(self.path("data/pg_hba.conf"), entry).expect("write pg_hba.conf");
            command.args(["-c", "ssl=on"]);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .spawn()
            .expect("start PostgreSQL")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill the server");
            child.wait().expect("reap the server");
        }
    }

    /// Starts a replica of it that only reads. The server is stopped meanwhile.
    pub async fn replica(&mut self) -> Self {
        let mut child = self.child.take().expect("the server runs");
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, rustix::process::Signal::INT)
            .expect("stop the server");
        child.wait().expect("reap the server");
        let mut replica = Self {
            port: ports::free(),
            directory: directory(),
            speaks_tls: false,
            child: None,
        };
        give_away(replica.directory.path());
        let copied = Command::new("cp")
            .arg("-a")
            .args([self.path("data"), replica.path("data")])
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "copy the data");
        let signal = replica.path("data/standby.signal");
        std::fs::write(&signal, "").expect("make it a replica");
        give_away(&signal);
        let source = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user={USER} password=''{PASSWORD}'''\n",
            self.port
        );
        std::fs::write(replica.path("data/postgresql.auto.conf"), source)
            .expect("say what it follows");
        self.start_again().await;
        replica.start_again().await;
        replica
    }

    /// A client that knows nothing of nodes.
    pub async fn client(&self) -> Client {
        let (client, connection) = Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(USER)
            .password(PASSWORD)
            .dbname("postgres")
            .connect(NoTls)
            .await
            .expect("connect to the server");
        tokio::spawn(connection);
        client
    }

    /// The password of the user that nodes log in as.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The certificate that it shows.
    pub fn certificate(&self) -> PathBuf {
        self.path("server.crt")
    }

    /// The environment of a node whose database it is.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("DATABASE", "postgres"),
            ("PG_PORT", &self.port.to_string()),
            ("PG_USER", USER),
            ("PG_PASSWORD", PASSWORD),
            ("PG_DATABASE", "postgres"),
        ]
        .map(|(name, value)| (format!("KONG_{name}"), value.to_owned()))
        .into()
    }

    /// Makes the tables, as an operator does, with the settings of a node.
    pub async fn bootstrap(&self) {
        let operator = Node::idle(&self.environment());
        let (done, said) = operator.operate(&["migrations", "bootstrap"]).await;
        assert!(done, "{said}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("keelgate-postgres-")
        .tempdir()
        .expect("make a directory")
}

fn program(name: &str) -> Command {
    let path = Path::new(&variable("KEELGATE_TEST_POSTGRES_BIN")).join(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let nobody = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
        .arg(path);
    command
}

fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}
