//! What the node listens on.

use crate::section::section;
use crate::values::{Listener, PortMap};

section! {
    /// Addresses to listen on, each with options after it: `ssl`, `http2`,
    /// `proxy_protocol`, `reuseport`, `deferred`, `backlog=N`, `ipv6only=on|off`,
    /// `so_keepalive=on|off`, and for streams `udp`. `off` turns a listener off.
    pub struct Listen in "LISTENERS" {
        /// Where clients send the requests that are proxied.
        proxy_listen: Vec<Listener> = "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384" for Proxying;
        /// Where clients come for TCP, TLS (`ssl`) and UDP (`udp`) streams that are
        /// proxied.
        stream_listen: Vec<Listener> = "off" for Proxying;
        /// Where the Admin API answers. Without `admin_credentials` whoever reaches it
        /// can change everything, so it listens to this machine only.
        admin_listen: Vec<Listener> = "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384" for Administering;
        /// Where the manager's pages are served.
        admin_gui_listen: Vec<Listener> = "0.0.0.0:8002, 0.0.0.0:8445 ssl" for Administering,
            without_effect "there is no Kong Manager here";
        /// Where the status API answers: health, readiness, metrics, and which
        /// configuration is served from which source.
        status_listen: Vec<Listener> = "127.0.0.1:8007 reuseport backlog=16384" for Every;
        /// Where a control plane waits for its data planes. Always mutual TLS.
        cluster_listen: Vec<Listener> = "0.0.0.0:8005" for ControlPlane;
        /// The ports that clients see, when something before this node maps them:
        /// `80:8000, 443:8443`. They appear in X-Forwarded-Port, and routes see them.
        port_maps: Vec<PortMap> = "" for Proxying;
    }
}
