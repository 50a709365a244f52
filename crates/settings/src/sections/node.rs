//! The node itself.

use std::path::PathBuf;

use uuid::Uuid;

use crate::section::section;
use crate::values::{NginxTime, OnOff, Role, Secret, Workers};

section! {
    /// The node itself: its role, where it keeps its files, what it loads.
    pub struct Node in "NODE" {
        /// What this node is. `traditional` administers and proxies by itself.
        /// A `control_plane` keeps the entities and hands snapshots to data planes;
        /// a `data_plane` proxies with the snapshots that it is given.
        role: Role = "traditional" for Every;
        /// The directory under which the node keeps everything: process id, logs,
        /// database, certificates that it makes, the last good configuration. Each
        /// node needs one of its own. When unset: /var/lib/keelgate for root, else
        /// keelgate in the state directory of the user ($XDG_STATE_HOME or
        /// ~/.local/state).
        prefix: PathBuf = "" for Every;
        /// The identity of this node in its cluster, a UUID. When unset, the node
        /// makes one at its first start and keeps it in node.id under the prefix.
        node_id: Option<Uuid> = "" for Every;
        /// How many workers proxy, each on a core, with listeners and connections
        /// of its own. `auto`: one for each core.
        nginx_worker_processes: Workers = "auto" for Proxying;
        /// Whether `keelgate start` returns when the node is ready and leaves it
        /// running in the background. Turn it off under a service manager or in a
        /// container.
        nginx_daemon: OnOff = "on" for Every;
        /// How long requests in flight may still take when the node is told to quit
        /// and names no time of its own. When unset they may take as long as they need.
        nginx_main_worker_shutdown_timeout: Option<NginxTime> = "" for Every;
        /// The plugins that may be configured: `bundled` for all that come with the
        /// gateway, `off` for none, or names, separated by commas.
        plugins: Vec<String> = "bundled" for Every;
        /// The kinds of vault that may be referred to: `bundled`, `off`, or names.
        vaults: Vec<String> = "bundled" for Every;
        /// Put before the name of a variable in every `{vault://env/...}` reference.
        vault_env_prefix: Option<String> = "" for Every;
        /// An HTTP proxy through which to reach servers outside, for the parts that
        /// are told to use one. May hold credentials.
        proxy_server: Option<Secret> = "" for Every,
            missing "connections go the direct way; an HTTP proxy on it is not in this build yet";
        /// Whether the certificate of an https:// proxy server is verified.
        proxy_server_ssl_verify: bool = "on" for Every,
            missing "connections go the direct way; an HTTP proxy on it is not in this build yet";
        /// Seconds of wait after which a change made by one node's administration is
        /// looked for by the other nodes on the same database.
        db_update_frequency: crate::values::Seconds = "5" for Administering;
    }
}

impl Node {
    /// Whether a plugin may be configured on this node.
    #[must_use]
    pub fn loads_plugin(&self, name: &str, is_bundled: bool) -> bool {
        self.plugins.first().is_none_or(|first| first != "off")
            && self
                .plugins
                .iter()
                .any(|entry| entry == name || (is_bundled && entry == "bundled"))
    }
}
