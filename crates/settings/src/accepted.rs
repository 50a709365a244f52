//! Keys of Kong that are understood and change nothing here.

use crate::registry::{Effect, Key, Scope};
use crate::values::Kind;

const NGINX: &str = "there is no nginx here";
const LUA: &str = "there is no Lua here";
const CACHE: &str = "the running configuration is held whole; there is no entity cache";
const INCREMENTAL: &str = "nodes agree on the best transport by themselves";
const NOTHING_SENT: &str = "nothing is ever reported to anybody";
const IN_NODE_LOG: &str = "errors go to the node's own log, proxy_error_log";
const ALWAYS: &str = "configuration is always compiled off the request path";
const NO_TRACING: &str = "the plugin opentelemetry tells of requests and attempts by itself";
const NO_PLUGIN_SERVERS: &str = "external plugin servers are not in this build yet";
const NO_WASM: &str = "WebAssembly filters are not in this build yet";
const NO_SANDBOX: &str = "serverless Lua plugins are not in this build yet";
const NO_DEBUG: &str = "a setting for developers of Kong";
const NO_KIC: &str = "the ingress controller's mode makes no difference here";
const NO_DHE: &str = "finite-field key exchange is not spoken, only that of elliptic curves";
const RBAC: &str = "role-based access control of Kong Enterprise does not exist here: the Admin API is NOT protected by it; keep admin_listen private, or set admin_credentials";
const ENTERPRISE: &str = "a setting of Kong Enterprise that does not exist here";

const fn accepted(name: &'static str, kind: Kind, default: &'static str, effect: Effect) -> Key {
    Key {
        name,
        section: "ACCEPTED WITHOUT EFFECT",
        kind,
        default,
        secret: false,
        scope: Scope::Every,
        effect,
        doc: "",
    }
}

const fn none(name: &'static str, kind: Kind, default: &'static str, why: &'static str) -> Key {
    accepted(name, kind, default, Effect::None(why))
}

const fn missing(name: &'static str, kind: Kind, default: &'static str, why: &'static str) -> Key {
    accepted(name, kind, default, Effect::Missing(why))
}

const fn secret(key: Key) -> Key {
    Key {
        secret: true,
        ..key
    }
}

const WORDS: Kind = Kind::List(&Kind::Text);

/// All of them.
pub(crate) const ACCEPTED: &[Key] = &[
    none("admin_error_log", Kind::Text, "logs/error.log", IN_NODE_LOG),
    none(
        "admin_gui_access_log",
        Kind::Text,
        "logs/admin_gui_access.log",
        IN_NODE_LOG,
    ),
    none(
        "admin_gui_error_log",
        Kind::Text,
        "logs/admin_gui_error.log",
        IN_NODE_LOG,
    ),
    none(
        "proxy_stream_error_log",
        Kind::Text,
        "logs/error.log",
        IN_NODE_LOG,
    ),
    none(
        "status_error_log",
        Kind::Text,
        "logs/status_error.log",
        IN_NODE_LOG,
    ),
    none("anonymous_reports", Kind::Bool, "on", NOTHING_SENT),
    none(
        "client_body_buffer_size",
        Kind::Size,
        "8k",
        "bodies are streamed",
    ),
    none("cluster_cjson", Kind::Bool, "off", INCREMENTAL),
    none("cluster_incremental_sync", Kind::Bool, "off", INCREMENTAL),
    none("cluster_rpc", Kind::Bool, "off", INCREMENTAL),
    none("db_cache_neg_ttl", Kind::Number, "", CACHE),
    none("db_cache_ttl", Kind::Number, "0", CACHE),
    none("db_cache_warmup_entities", WORDS, "services", CACHE),
    none("db_resurrect_ttl", Kind::Number, "30", CACHE),
    none(
        "db_update_propagation",
        Kind::Number,
        "0",
        "writes are seen at once",
    ),
    none("mem_cache_size", Kind::Size, "128m", CACHE),
    none("lmdb_environment_path", Kind::Text, "dbless.lmdb", CACHE),
    none("lmdb_map_size", Kind::Size, "2048m", CACHE),
    none("dedicated_config_processing", Kind::Bool, "on", ALWAYS),
    none(
        "worker_consistency",
        Kind::Choice(&["strict", "eventual"]),
        "eventual",
        ALWAYS,
    ),
    none(
        "worker_state_update_frequency",
        Kind::Number,
        "5",
        "changes are taken over at once",
    ),
    none(
        "worker_events_max_payload",
        Kind::Number,
        "65535",
        "workers share their memory",
    ),
    none(
        "dns_no_sync",
        Kind::Bool,
        "off",
        "equal look-ups are always shared",
    ),
    none(
        "resolver_mem_cache_size",
        Kind::Size,
        "5m",
        "resolver_lru_cache_size counts",
    ),
    none("host_ports", Kind::Text, "", "made from port_maps"),
    none("kic", Kind::Bool, "off", NO_KIC),
    none("lua_package_cpath", Kind::Text, "", LUA),
    none("lua_package_path", Kind::Text, "./?.lua;./?/init.lua;", LUA),
    none("lua_socket_pool_size", Kind::Number, "256", LUA),
    none(
        "lua_ssl_protocols",
        Kind::Text,
        "TLSv1.2 TLSv1.3",
        "TLS 1.2 and 1.3 are spoken",
    ),
    none(
        "nginx_user",
        Kind::Text,
        "kong kong",
        "start the node as the user it shall run as",
    ),
    none("openresty_path", Kind::Path, "", NGINX),
    none("ssl_dhparam", Kind::Text, "", NO_DHE),
    none("tracing_instrumentations", WORDS, "off", NO_TRACING),
    none("tracing_sampling_rate", Kind::Number, "0.01", NO_TRACING),
    none("debug_ssl_cert", Kind::Text, "", NO_DEBUG),
    secret(none("debug_ssl_cert_key", Kind::Text, "", NO_DEBUG)),
    none(
        "_debug_pg_ttl_cleanup_interval",
        Kind::Number,
        "300",
        NO_DEBUG,
    ),
    missing("pluginserver_names", WORDS, "", NO_PLUGIN_SERVERS),
    missing(
        "untrusted_lua",
        Kind::Choice(&["on", "off", "sandbox"]),
        "sandbox",
        NO_SANDBOX,
    ),
    missing("untrusted_lua_sandbox_environment", WORDS, "", NO_SANDBOX),
    missing("untrusted_lua_sandbox_requires", WORDS, "", NO_SANDBOX),
    missing("wasm", Kind::Bool, "off", NO_WASM),
    missing("wasm_filters", WORDS, "bundled,user", NO_WASM),
    missing("wasm_filters_path", Kind::Path, "", NO_WASM),
    missing("wasm_dynamic_module", Kind::Text, "", NO_WASM),
    missing("enforce_rbac", Kind::Text, "", RBAC),
    missing("admin_gui_auth", Kind::Text, "", RBAC),
    secret(missing("admin_gui_auth_conf", Kind::Text, "", RBAC)),
    secret(missing("admin_gui_session_conf", Kind::Text, "", RBAC)),
    missing("rbac_auth_header", Kind::Text, "", RBAC),
    missing("audit_log", Kind::Text, "", ENTERPRISE),
    missing("keyring_enabled", Kind::Text, "", ENTERPRISE),
    missing("cluster_allowed_common_names", WORDS, "", ENTERPRISE),
    none("cluster_telemetry_listen", Kind::Text, "", ENTERPRISE),
    none("cluster_telemetry_endpoint", Kind::Text, "", ENTERPRISE),
    none("cluster_telemetry_server_name", Kind::Text, "", ENTERPRISE),
    none("license_path", Kind::Text, "", "no licence is needed"),
    secret(none("license_data", Kind::Text, "", "no licence is needed")),
    none("portal", Kind::Text, "", ENTERPRISE),
    none("vitals", Kind::Text, "", ENTERPRISE),
    none("konnect_mode", Kind::Text, "", ENTERPRISE),
    secret(none("password", Kind::Text, "", ENTERPRISE)),
];

/// Names that begin like one of these are understood although each is not
/// listed: directives for nginx, settings of plugin servers and of vaults.
const FAMILIES: [(&str, &str); 3] = [
    ("nginx_", "an nginx directive; there is no nginx here"),
    ("pluginserver_", NO_PLUGIN_SERVERS),
    ("vault_", "this vault is not in this build yet"),
];

/// Why setting a key of this family does nothing; `None` for any other name.
pub(crate) fn family(name: &str) -> Option<&'static str> {
    FAMILIES
        .into_iter()
        .find_map(|(start, why)| name.starts_with(start).then_some(why))
}
