//! An LDAP server of a test's own, which can be killed and paused.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{ports, variable, wait};

/// Where the names are.
pub const BASE: &str = "ou=people,dc=example,dc=test";

/// Who is known: `cn=alice` with the password `wonder:land`, and `cn=bob, jr`, a name with a comma,
/// with `builder`.
const PEOPLE: &str = r"dn: dc=example,dc=test
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,dc=example,dc=test
objectClass: organizationalUnit
ou: people

dn: cn=alice,ou=people,dc=example,dc=test
objectClass: person
cn: alice
sn: alice
userPassword: wonder:land

dn: cn=bob\, jr,ou=people,dc=example,dc=test
objectClass: person
cn: bob, jr
sn: bob
userPassword: builder
";

/// A server. Killed when dropped.
pub struct Ldap {
    /// In clear, and after StartTLS.
    pub port: u16,
    /// Over TLS.
    pub tls_port: u16,
    directory: TempDir,
    child: Option<Child>,
}

impl Ldap {
    /// Starts one, with a certificate of its own for `localhost`.
    pub async fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("keelgate-ldap-")
            .tempdir()
            .expect("make a directory");
        let mut server = Self {
            port: ports::free(),
            tls_port: ports::free(),
            directory,
            child: None,
        };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("make a certificate");
        server.write("server.crt", &made.cert.pem());
        server.write("server.key", &made.signing_key.serialize_pem());
        server.write("people.ldif", PEOPLE);
        server.write("slapd.conf", &server.configuration());
        std::fs::create_dir(server.path("data")).expect("make a directory");
        let filled = Command::new(program().with_file_name("slapadd"))
            .arg("-f")
            .arg(server.path("slapd.conf"))
            .arg("-l")
            .arg(server.path("people.ldif"))
            .output()
            .expect("run slapadd");
        let said = String::from_utf8_lossy(&filled.stderr);
        assert!(filled.status.success(), "slapadd: {said}");
        server.start_again().await;
        server
    }

    fn configuration(&self) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        format!(
            "include /etc/ldap/schema/core.schema\n\
             modulepath /usr/lib/ldap\n\
             moduleload back_mdb\n\
             pidfile {}\n\
             TLSCertificateFile {}\n\
             TLSCertificateKeyFile {}\n\
             database mdb\n\
             suffix dc=example,dc=test\n\
             directory {}\n\
             dbnosync\n",
            path("pid"),
            path("server.crt"),
            path("server.key"),
            path("data"),
        )
    }

    /// Starts it again, with what it held.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        let urls = format!(
            "ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/",
            self.port, self.tls_port
        );
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("open the log");
        let spawn = || {
            Command::new(program())
                .arg("-f")
                .arg(self.path("slapd.conf"))
                .args(["-h", &urls, "-d", "0"])
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a file handle can be cloned"))
                .stderr(log.try_clone().expect("a file handle can be cloned"))
                .spawn()
                .expect("start the LDAP server")
        };
        // What the one before has left behind may take a moment to go.
        let mut child = spawn();
        let port = self.port;
        wait::until("the LDAP server", || {
            if child.try_wait().expect("ask for the exit status").is_some() {
                child = spawn();
            }
            tokio::net::TcpStream::connect(("127.0.0.1", port))
        })
        .await;
        self.child = Some(child);
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
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), Signal::STOP).expect("signal the server");
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("write a file of the server");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The certificate that it shows.
    pub fn certificate(&self) -> PathBuf {
        self.path("server.crt")
    }
}

impl Drop for Ldap {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> PathBuf {
    Path::new(&variable("KEELGATE_TEST_SLAPD")).to_owned()
}
