//! What must hold between settings.

mod fallback;

use std::time::Duration;

use crate::problem::{Problem, Severity};
use crate::settings::Settings;
use crate::values::{
    CipherSuite, ClusterMtls, DatabaseKind, Listener, Role, TlsVersion, VerifyClient,
};

/// Finds what is wrong, and adds it to the problems.
pub(crate) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    let mut checks = Checks { settings, problems };
    checks.database();
    checks.hybrid();
    checks.listeners();
    checks.certificates();
    checks.fallback();
    checks.limits();
    checks.manager();
}

struct Checks<'a> {
    settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_> {
    fn tell(&mut self, severity: Severity, key: &str, message: impl Into<String>, mend: &str) {
        self.problems.push(Problem {
            severity,
            key: key.to_owned(),
            value: self.settings.shown(key).map(str::to_owned),
            origin: self.settings.origin(key).clone(),
            message: message.into(),
            mend: mend.to_owned(),
        });
    }

    fn error(&mut self, key: &str, message: impl Into<String>, mend: &str) {
        self.tell(Severity::Error, key, message, mend);
    }

    fn warn(&mut self, key: &str, message: impl Into<String>, mend: &str) {
        self.tell(Severity::Warning, key, message, mend);
    }

    fn database(&mut self) {
        let role = self.settings.node.role;
        let kind = self.settings.database.database;
        match (role, kind) {
            (Role::DataPlane, DatabaseKind::Sqlite | DatabaseKind::Postgres) => self.error(
                "database",
                "only in-memory storage can be used when role = \"data_plane\"",
                "set database = off",
            ),
            (Role::ControlPlane, DatabaseKind::Off) => self.error(
                "database",
                "in-memory storage can not be used when role = \"control_plane\"",
                "set database = sqlite, or postgres with the pg_* settings",
            ),
            _ => {}
        }
        let database = &self.settings.database;
        let declared = [
            ("declarative_config", database.declarative_config.is_some()),
            (
                "declarative_config_string",
                database.declarative_config_string.is_some(),
            ),
        ];
        if declared.iter().all(|(_, set)| *set) {
            self.warn(
                "declarative_config_string",
                "has no effect beside declarative_config",
                "set one of the two",
            );
        }
        for (key, set) in declared {
            if set && (role != Role::Traditional || kind != DatabaseKind::Off) {
                let message = format!("has no effect on a {role} node with database = {kind}");
                self.warn(
                    key,
                    message,
                    "set role = traditional and database = off, or remove it",
                );
            }
        }
        let file = self.settings.database.declarative_config.as_ref();
        if kind == DatabaseKind::Off && file.is_some_and(|path| !path.is_file()) {
            self.error(
                "declarative_config",
                "there is no such file",
                "give the path of a YAML or JSON file",
            );
        }
    }

    fn hybrid(&mut self) {
        let role = self.settings.node.role;
        let cluster = &self.settings.cluster;
        if role == Role::Traditional {
            return;
        }
        if cluster.cluster_cert.is_none() || cluster.cluster_cert_key.is_none() {
            let key = if cluster.cluster_cert.is_none() {
                "cluster_cert"
            } else {
                "cluster_cert_key"
            };
            self.error(
                key,
                "cluster certificate and key must be provided to use Hybrid mode",
                "make a pair with `keelgate hybrid gen_cert` and set cluster_cert and cluster_cert_key on every node",
            );
        }
        // A data plane may trust the authorities of `lua_ssl_trusted_certificate` instead.
        let trusts_others =
            role == Role::DataPlane && !self.settings.tls.lua_ssl_trusted_certificate.is_empty();
        if cluster.cluster_mtls == ClusterMtls::Pki
            && cluster.cluster_ca_cert.is_none()
            && !trusts_others
        {
            self.error(
                "cluster_ca_cert",
                "cluster_ca_cert must be specified when cluster_mtls = \"pki\"",
                "set it to the certificate of the authority that issued the nodes' certificates",
            );
        }
        if role == Role::DataPlane {
            self.data_plane();
        } else {
            self.control_plane();
        }
    }

    fn control_plane(&mut self) {
        let listen = &self.settings.listen;
        let (admin, cluster) = (
            listen.admin_listen.is_empty(),
            listen.cluster_listen.is_empty(),
        );
        if admin {
            self.error(
                "admin_listen",
                "admin_listen must be specified when role = \"control_plane\"",
                "set it to an address and a port, such as 127.0.0.1:8001",
            );
        }
        if cluster {
            self.error(
                "cluster_listen",
                "cluster_listen must be specified when role = \"control_plane\"",
                "set it to an address and a port, such as 0.0.0.0:8005",
            );
        }
        if self.settings.cluster.cluster_data_plane_purge_delay.0 < Duration::from_secs(60) {
            self.error(
                "cluster_data_plane_purge_delay",
                "cluster_data_plane_purge_delay must be 60 or greater",
                "write seconds, from 60",
            );
        }
    }

    fn data_plane(&mut self) {
        let cluster = &self.settings.cluster;
        let pki_without_name =
            cluster.cluster_mtls == ClusterMtls::Pki && cluster.cluster_server_name.is_none();
        if self.settings.listen.proxy_listen.is_empty() {
            self.error(
                "proxy_listen",
                "proxy_listen must be specified when role = \"data_plane\"",
                "set it to an address and a port, such as 0.0.0.0:8000",
            );
        }
        if cluster.cluster_control_plane.is_empty() {
            self.error(
                "cluster_control_plane",
                "a data plane needs at least one control plane",
                "write host:port",
            );
        }
        if pki_without_name {
            self.warn(
                "cluster_server_name",
                "is not set: the control plane's certificate must carry the host name in cluster_control_plane",
                "set it to the name in the certificate",
            );
        }
        if cluster.cluster_use_proxy && self.settings.node.proxy_server.is_none() {
            self.error(
                "cluster_use_proxy",
                "cluster_use_proxy is turned on but no proxy_server is configured",
                "set proxy_server",
            );
        }
        let labels = self.settings.cluster.cluster_dp_labels.len();
        if labels > 10 {
            self.error(
                "cluster_dp_labels",
                format!("has {labels} labels; at most 10 are allowed"),
                "remove some",
            );
        }
    }

    fn listeners(&mut self) {
        let settings = self.settings;
        let role = settings.node.role;
        let mut taken: Vec<(&'static str, &str, u16, bool)> = Vec::new();
        for (key, listeners, runs) in [
            (
                "proxy_listen",
                &settings.listen.proxy_listen,
                role != Role::ControlPlane,
            ),
            (
                "stream_listen",
                &settings.listen.stream_listen,
                role != Role::ControlPlane,
            ),
            (
                "admin_listen",
                &settings.listen.admin_listen,
                role != Role::DataPlane,
            ),
            (
                "admin_gui_listen",
                &settings.listen.admin_gui_listen,
                role != Role::DataPlane,
            ),
            ("status_listen", &settings.listen.status_listen, true),
            (
                "cluster_listen",
                &settings.listen.cluster_listen,
                role == Role::ControlPlane,
            ),
        ] {
            for listener in listeners.iter().filter(|_| runs) {
                let taken_by = taken.iter().find(|(_, host, port, udp)| {
                    *port == listener.port
                        && *port != 0
                        && *udp == listener.udp
                        && clash(host, &listener.host)
                });
                if let Some((other, ..)) = taken_by {
                    let message = format!("{listener} is taken by {other}");
                    self.error(key, message, "give each listener a port of its own");
                }
                taken.push((key, &listener.host, listener.port, listener.udp));
                if key == "stream_listen" {
                    self.stream_listener(listener);
                } else if listener.udp {
                    self.error(
                        key,
                        "udp is for stream_listen only",
                        "remove the option udp",
                    );
                }
            }
        }
        if role != Role::DataPlane {
            self.open_administration();
        }
    }

    /// Warns of listeners of the Admin API that others than this machine can reach unhindered.
    fn open_administration(&mut self) {
        let settings = self.settings;
        let has_credentials = !settings.admin.admin_credentials.0.is_empty();
        let asks_for_certificates = settings.tls.admin_ssl_client_ca.is_some();
        for listener in &settings.listen.admin_listen {
            let host = listener.host.as_str();
            let is_local = host == "localhost" || host == "::1" || host.starts_with("127.");
            if is_local || (listener.ssl && (has_credentials || asks_for_certificates)) {
                continue;
            }
            let (message, mend) = if has_credentials {
                (
                    format!("the secrets of admin_credentials travel in clear to {listener}"),
                    "add the option ssl, or listen to 127.0.0.1",
                )
            } else {
                (
                    format!("the Admin API has no log-in and is reachable at {listener}"),
                    "listen to 127.0.0.1, let only trusted machines reach that port, or set admin_credentials",
                )
            };
            self.warn("admin_listen", message, mend);
            return;
        }
        if asks_for_certificates && !settings.listen.admin_listen.iter().any(|one| one.ssl) {
            self.warn(
                "admin_ssl_client_ca",
                "has no effect: no listener of the Admin API speaks TLS",
                "add a listener with the option ssl to admin_listen",
            );
        }
    }

    fn stream_listener(&mut self, listener: &Listener) {
        let mut refuse = |option: &str, why: &str| {
            let mend = format!("remove the option {option}");
            let message = format!("{listener}: {option} {why}");
            self.error("stream_listen", message, &mend);
        };
        if listener.http2 {
            refuse("http2", "is for proxy_listen only");
        }
        if listener.deferred {
            refuse("deferred", "is for proxy_listen only");
        }
        if listener.udp && listener.ssl {
            refuse("ssl", "does not go with udp");
        }
        if listener.udp && listener.proxy_protocol {
            refuse("proxy_protocol", "does not go with udp");
        }
    }

    fn certificates(&mut self) {
        let tls = &self.settings.tls;
        let pairs = [
            (
                "ssl_cert",
                "ssl_cert_key",
                tls.ssl_cert.len(),
                tls.ssl_cert_key.len(),
            ),
            (
                "admin_ssl_cert",
                "admin_ssl_cert_key",
                tls.admin_ssl_cert.len(),
                tls.admin_ssl_cert_key.len(),
            ),
            (
                "admin_gui_ssl_cert",
                "admin_gui_ssl_cert_key",
                tls.admin_gui_ssl_cert.len(),
                tls.admin_gui_ssl_cert_key.len(),
            ),
            (
                "status_ssl_cert",
                "status_ssl_cert_key",
                tls.status_ssl_cert.len(),
                tls.status_ssl_cert_key.len(),
            ),
            (
                "client_ssl_cert",
                "client_ssl_cert_key",
                tls.client_ssl_cert.iter().len(),
                tls.client_ssl_cert_key.iter().len(),
            ),
        ];
        let lost = tls.ssl_cipher_suite == CipherSuite::Custom
            && tls
                .ssl_protocols
                .0
                .iter()
                .any(|v| matches!(v, TlsVersion::V1_0 | TlsVersion::V1_1));
        let (suite, versions) = (tls.ssl_cipher_suite, tls.versions());
        let ciphers = tls.ciphers().0;
        for (cert, key, certs, keys) in pairs {
            if certs == keys {
                continue;
            }
            let (missing, message) = match (certs, keys) {
                (_, 0) => (key, format!("{key} must be specified")),
                (0, _) => (cert, format!("{cert} must be specified")),
                _ => (
                    key,
                    format!(
                        "{cert} was specified {certs} times while {key} was specified {keys} times"
                    ),
                ),
            };
            self.error(
                missing,
                message,
                "give a key for each certificate, in the same order",
            );
        }
        if suite == CipherSuite::Old {
            self.warn(
                "ssl_cipher_suite",
                "old is read as intermediate: TLS 1.2 and 1.3 with safe ciphers",
                "set intermediate or modern",
            );
        }
        if suite == CipherSuite::Fips {
            self.warn(
                "ssl_cipher_suite",
                "fips chooses the algorithms only: the cryptographic module of this build is not a validated one",
                "set intermediate, unless clients need that list",
            );
        }
        if !ciphers.lost.is_empty() {
            let lost = ciphers.lost.join(", ");
            self.warn(
                "ssl_ciphers",
                format!("has ciphers that are not spoken: {lost}"),
                "name ciphers that begin with ECDHE- and have AES-GCM or CHACHA20, or leave it unset",
            );
        }
        if ciphers.spoken.is_empty() && versions.contains(&TlsVersion::V1_2) {
            self.error(
                "ssl_ciphers",
                "leaves no cipher to speak with TLS 1.2",
                "add ECDHE-RSA-AES128-GCM-SHA256 and ECDHE-ECDSA-AES128-GCM-SHA256, or leave it unset",
            );
        }
        if lost {
            self.warn(
                "ssl_protocols",
                "TLS 1.0 and 1.1 are not spoken",
                "write TLSv1.2 TLSv1.3",
            );
        }
        if tls.nginx_http_ssl_verify_client != VerifyClient::Off
            && tls.nginx_http_ssl_client_certificate.is_none()
        {
            self.error(
                "nginx_http_ssl_client_certificate",
                "must be specified when nginx_http_ssl_verify_client is not off",
                "give the path of a PEM file with the authorities of clients' certificates",
            );
        }
        if versions.is_empty() {
            self.error(
                "ssl_protocols",
                "leaves no TLS version to speak",
                "write TLSv1.2 TLSv1.3",
            );
        }
    }

    fn limits(&mut self) {
        let settings = self.settings;
        if settings.cluster.cluster_max_payload < 4_194_304 {
            self.error(
                "cluster_max_payload",
                "cluster_max_payload must be 4194304 (4MB) or greater",
                "write a number of bytes",
            );
        }
        let deadline = settings.cluster.cluster_connect_deadline.0;
        if deadline < Duration::from_millis(100) || deadline > Duration::from_secs(300) {
            self.error(
                "cluster_connect_deadline",
                "must be from 0.1 to 300 seconds",
                "write seconds, such as 3",
            );
        }
        for (key, value) in [
            ("lua_max_req_headers", settings.proxy.lua_max_req_headers),
            ("lua_max_resp_headers", settings.proxy.lua_max_resp_headers),
            ("lua_max_uri_args", settings.proxy.lua_max_uri_args),
            ("lua_max_post_args", settings.proxy.lua_max_post_args),
        ] {
            if !(1..=1000).contains(&value) {
                let message = format!("{key} must be an integer between 1 and 1000");
                self.error(key, message, "write a number from 1 to 1000");
            }
        }
    }

    fn manager(&mut self) {
        let path = &self.settings.admin.admin_gui_path;
        let fits = path.starts_with('/')
            && (path.len() == 1 || !path.ends_with('/'))
            && !path.contains("//")
            && path
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b));
        if !fits {
            self.error(
                "admin_gui_path",
                "must start with a slash, not end with one, and have only letters, digits, - _ and single slashes",
                "write for example /manager",
            );
        }
    }
}

/// Whether one port cannot be listened on at both hosts. IPv6 listeners take
/// IPv6 only, so that they live beside those of IPv4.
fn clash(a: &str, b: &str) -> bool {
    let is_any = |host| matches!(host, "0.0.0.0" | "::");
    a == b || ((is_any(a) || is_any(b)) && a.contains(':') == b.contains(':'))
}
