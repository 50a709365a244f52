//! TLS.

use crate::section::section;
use crate::values::{
    AuthorityBundle, Certificate, CipherSuite, Ciphers, NginxTime, OnOff, PrivateKey, Size,
    TlsVersion, TlsVersions, VerifyClient,
};

section! {
    /// Certificates of the listeners, TLS versions, and who is trusted.
    pub struct Tls in "TLS" {
        /// Certificates for proxied requests that no SNI entity has one for; more
        /// than one for more than one type of key. When unset, the node makes a
        /// self-signed one and keeps it under the prefix.
        ssl_cert: Vec<Certificate> = "" for Proxying;
        /// The keys, in the order of the certificates.
        ssl_cert_key: Vec<PrivateKey> = "" for Proxying;
        /// The same for the Admin API.
        admin_ssl_cert: Vec<Certificate> = "" for Administering;
        /// The keys of the Admin API's certificates, in their order.
        admin_ssl_cert_key: Vec<PrivateKey> = "" for Administering;
        /// Authorities, one of which must have issued the certificate that a client of the
        /// Admin API shows on a listener with `ssl`. When unset, none is asked for.
        admin_ssl_client_ca: Option<Certificate> = "" for Administering;
        /// The same for the manager's pages.
        admin_gui_ssl_cert: Vec<Certificate> = "" for Administering,
            without_effect "there is no Kong Manager here";
        /// The keys of the manager's certificates, in their order.
        admin_gui_ssl_cert_key: Vec<PrivateKey> = "" for Administering,
            without_effect "there is no Kong Manager here";
        /// The same for the status API.
        status_ssl_cert: Vec<Certificate> = "" for Every;
        /// The keys of the status API's certificates, in their order.
        status_ssl_cert_key: Vec<PrivateKey> = "" for Every;
        /// A named choice of TLS versions and ciphers: `modern` (TLS 1.3 only),
        /// `intermediate` (1.2 and 1.3), `fips` (1.2 with AES), or `custom` for what
        /// `ssl_protocols`, `ssl_ciphers` and `ssl_prefer_server_ciphers` say. `old` is
        /// read as `intermediate`, with a warning.
        ssl_cipher_suite: CipherSuite = "intermediate" for Every;
        /// TLS versions that clients may speak; counts with the `custom` suite.
        ssl_protocols: TlsVersions = "TLSv1.2 TLSv1.3" for Every;
        /// Ciphers of TLS 1.2, as OpenSSL lists them; counts with the `custom` suite.
        /// Spoken are those with forward secrecy and authenticated encryption: ECDHE
        /// with AES-GCM or ChaCha20-Poly1305. Those of TLS 1.3 are always spoken.
        ssl_ciphers: Ciphers = "" for Every;
        /// Whether the order of `ssl_ciphers` counts instead of the client's; with the
        /// `custom` suite.
        ssl_prefer_server_ciphers: OnOff = "on" for Every;
        /// Whether clients may resume a session with a ticket that the node need not
        /// remember. All workers read the tickets; their keys are made by the node,
        /// changed regularly, handed over by a graceful restart, and never written
        /// down. When off, the node remembers sessions in its memory.
        ssl_session_tickets: OnOff = "on" for Every;
        /// How long a session may be resumed; twelve hours at the most.
        ssl_session_timeout: NginxTime = "1d" for Every;
        /// How much memory is used for remembered sessions, at 250 bytes each; counts
        /// when tickets are off.
        ssl_session_cache_size: Size = "10m" for Every;
        /// Whether clients of `proxy_listen` are asked for a certificate in the TLS
        /// handshake: `on` for one that `nginx_http_ssl_client_certificate` has signed,
        /// `optional` for such a one or none. Their sessions are then not resumed.
        nginx_http_ssl_verify_client: VerifyClient = "off" for Proxying;
        /// Authorities of clients' certificates.
        nginx_http_ssl_client_certificate: Option<Certificate> = "" for Proxying;
        /// Whether the gateway shows a certificate of its own to upstreams that ask.
        client_ssl: bool = "off" for Proxying;
        /// That certificate.
        client_ssl_cert: Option<Certificate> = "" for Proxying;
        /// Its key.
        client_ssl_cert_key: Option<PrivateKey> = "" for Proxying;
        /// Authorities that are trusted when the gateway itself connects to a server:
        /// `system` for those of the operating system, and PEM files or text. Files and
        /// text also count for storages, where those of the system always do, and for
        /// the connection to a control plane with `cluster_mtls = pki`.
        lua_ssl_trusted_certificate: Vec<AuthorityBundle> = "system" for Every;
        /// How many authorities may stand between a server's certificate and a
        /// trusted one.
        lua_ssl_verify_depth: u32 = "1" for Every,
            without_effect "chains are verified to their end, however long they are";
    }
}

impl Tls {
    /// The TLS versions that listeners speak, lowest first; only 1.2 and 1.3.
    #[must_use]
    pub fn versions(&self) -> Vec<TlsVersion> {
        let all = [TlsVersion::V1_2, TlsVersion::V1_3];
        match self.ssl_cipher_suite {
            CipherSuite::Modern => vec![TlsVersion::V1_3],
            CipherSuite::Custom => all
                .into_iter()
                .filter(|version| self.ssl_protocols.0.contains(version))
                .collect(),
            CipherSuite::Fips => vec![TlsVersion::V1_2],
            CipherSuite::Intermediate | CipherSuite::Old => all.to_vec(),
        }
    }

    /// The ciphers of TLS 1.2 that listeners speak, and whether their order counts instead of the
    /// client's.
    #[must_use]
    pub fn ciphers(&self) -> (Ciphers, bool) {
        match self.ssl_cipher_suite {
            CipherSuite::Custom => (self.ssl_ciphers.clone(), self.ssl_prefer_server_ciphers.0),
            CipherSuite::Fips => (Ciphers::aes(), true),
            CipherSuite::Modern | CipherSuite::Intermediate | CipherSuite::Old => {
                (Ciphers::default_list(), false)
            }
        }
    }
}
