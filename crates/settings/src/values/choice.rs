//! Settings that are one word out of a few.

use super::{Context, Invalid, Kind, Setting};

macro_rules! choice {
    ($( $(#[doc = $about:literal])* enum $Name:ident { $( $(#[doc = $doc:literal])* $Variant:ident = $word:literal, )* } )*) => { $(
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Name { $( $(#[doc = $doc])* $Variant, )* }

        impl $Name {
            const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word as it is written in settings.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$Variant => $word, )* }
            }

            /// The value with this name, in any case of letters.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                $( if word.eq_ignore_ascii_case($word) { return Some(Self::$Variant); } )*
                None
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Setting for $Name {
            const KIND: Kind = Kind::Choice(Self::WORDS);

            fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
                Self::from_word(text).ok_or_else(|| Invalid::new(
                    format!("has an invalid value: '{text}' ({})", Self::WORDS.join(", ")),
                    nearest(text, Self::WORDS),
                ))
            }
        }
    )* };
}

fn nearest(text: &str, words: &[&str]) -> String {
    words
        .iter()
        .map(|word| (strsim::jaro_winkler(text, word), word))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75)
        .map_or_else(
            || format!("use one of {}", words.join(", ")),
            |(_, word)| format!("did you mean {word}?"),
        )
}

choice! {
    /// What a node is in a cluster.
    enum Role {
        /// Administration and proxying in one node, no cluster.
        Traditional = "traditional",
        /// Keeps the entities and hands snapshots to data planes; does not proxy.
        ControlPlane = "control_plane",
        /// Proxies with the snapshots it is given; keeps no entities.
        DataPlane = "data_plane",
    }

    /// Where a node keeps its entities.
    enum DatabaseKind {
        /// An embedded database, one file under the prefix.
        Sqlite = "sqlite",
        /// A PostgreSQL server.
        Postgres = "postgres",
        /// Nowhere: configuration is given whole and held in memory.
        Off = "off",
    }

    /// How the nodes of a cluster know one another.
    enum ClusterMtls {
        /// One certificate and key, the same on all nodes.
        Shared = "shared",
        /// Certificates of their own, all issued by one authority.
        Pki = "pki",
    }

    /// Whether data planes' certificates are checked with their issuer.
    enum Ocsp {
        /// Refuse certificates that are revoked or cannot be checked.
        On = "on",
        /// Do not ask.
        Off = "off",
        /// Refuse revoked certificates, accept those that cannot be checked.
        Optional = "optional",
    }

    /// What becomes of a configuration that is older than it may be.
    enum MaxAgePolicy {
        /// Serve it and raise the alarm.
        Serve = "serve",
        /// Do not use it.
        Refuse = "refuse",
    }

    /// How connections are read and written.
    enum IoEngine {
        /// By io_uring where the kernel lets it be used, else by epoll.
        Auto = "auto",
        /// Each connection by its own system calls.
        Epoll = "epoll",
        /// All connections of a worker together.
        IoUring = "io_uring",
    }

    /// The language of routes.
    enum RouterFlavor {
        /// Kong's first router.
        Traditional = "traditional",
        /// The same fields, matched by the expression engine.
        TraditionalCompatible = "traditional_compatible",
        /// Routes written as expressions.
        Expressions = "expressions",
    }

    /// How much is logged, from everything to almost nothing.
    enum LogLevel {
        /// Every step; for developers.
        Debug = "debug",
        /// Normal events in detail.
        Info = "info",
        /// Normal but noteworthy events.
        Notice = "notice",
        /// Something is not as it should be.
        Warn = "warn",
        /// Something failed.
        Error = "error",
        /// A part of the node does not work.
        Crit = "crit",
        /// Somebody must act now.
        Alert = "alert",
        /// The node cannot be used.
        Emerg = "emerg",
    }

    /// The form of the node's own log lines.
    enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }

    /// The media type of error bodies when the client names none.
    enum ErrorType {
        /// JSON.
        Json = "application/json",
        /// XML.
        Xml = "application/xml",
        /// HTML.
        Html = "text/html",
        /// Plain text.
        Plain = "text/plain",
    }

    /// A header, or a group of headers, that the gateway adds.
    enum HeaderToken {
        /// None at all.
        Off = "off",
        /// `Server` and `Via`.
        ServerTokens = "server_tokens",
        /// The latency headers.
        LatencyTokens = "latency_tokens",
        /// `Server`.
        Server = "Server",
        /// `Via`.
        Via = "Via",
        /// Time spent in the gateway.
        ProxyLatency = "X-Kong-Proxy-Latency",
        /// Time that an answer made by the gateway itself took.
        ResponseLatency = "X-Kong-Response-Latency",
        /// Time that an answer of the Admin API took.
        AdminLatency = "X-Kong-Admin-Latency",
        /// Time that the upstream took.
        UpstreamLatency = "X-Kong-Upstream-Latency",
        /// The status that the upstream answered.
        UpstreamStatus = "X-Kong-Upstream-Status",
        /// The request's id.
        RequestId = "X-Kong-Request-Id",
    }

    /// A named choice of TLS versions and ciphers, after Mozilla's lists.
    enum CipherSuite {
        /// TLS 1.3 only.
        Modern = "modern",
        /// TLS 1.2 and 1.3.
        Intermediate = "intermediate",
        /// Asks for TLS 1.0 and 1.1 too, which are not spoken here.
        Old = "old",
        /// Asks for the FIPS list.
        Fips = "fips",
        /// What the `ssl_*` settings say.
        Custom = "custom",
    }

    /// Whether clients are asked for a certificate.
    enum VerifyClient {
        /// They are not asked.
        Off = "off",
        /// They must have one that a trusted authority has signed.
        On = "on",
        /// They may have none; one that they have must be signed by a trusted authority.
        Optional = "optional",
    }

    /// A TLS version.
    enum TlsVersion {
        /// TLS 1.0, not spoken.
        V1_0 = "TLSv1",
        /// TLS 1.1, not spoken.
        V1_1 = "TLSv1.1",
        /// TLS 1.2.
        V1_2 = "TLSv1.2",
        /// TLS 1.3.
        V1_3 = "TLSv1.3",
    }

    /// A kind of DNS record, in the order in which they are asked for.
    enum DnsRecord {
        /// The kind that answered last time.
        Last = "LAST",
        /// Service records: host, port, weight.
        Srv = "SRV",
        /// IPv4 addresses.
        A = "A",
        /// IPv6 addresses.
        Aaaa = "AAAA",
        /// Another name.
        Cname = "CNAME",
    }
}
