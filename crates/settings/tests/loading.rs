//! From sources to settings, through the public interface.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use keelgate_settings::{
    DatabaseKind, LoadError, Loaded, Loader, MaxAgePolicy, Origin, Problem, Role, Settings,
    Severity, Workers, reference, registry,
};
use tempfile::TempDir;

struct Node {
    directory: TempDir,
    loader: Loader,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path().display().to_string();
        Self {
            directory,
            loader: Loader::new()
                .environment([("XDG_STATE_HOME".to_owned(), prefix.clone())])
                .option("prefix", prefix, "--prefix"),
        }
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.conf();
        fs::write(&path, text).unwrap();
        self.loader = self.loader.file(path);
        self
    }

    fn conf(&self) -> PathBuf {
        self.directory.path().join("node.conf")
    }

    fn env(mut self, pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        self.loader = self.loader.environment(pairs);
        self
    }

    fn cluster_pair(&self) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["kong_clustering".to_owned()]).unwrap();
        let (cert, key) = (
            self.directory.path().join("c.crt"),
            self.directory.path().join("c.key"),
        );
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert.display().to_string(), key.display().to_string())
    }

    fn load(&self) -> Loaded {
        self.loader.load().unwrap()
    }

    fn settings(&self) -> Settings {
        self.load().settings
    }

    fn problems(&self) -> Vec<Problem> {
        match self.loader.load().unwrap_err() {
            LoadError::Invalid { problems } => problems,
            other => panic!("{other}"),
        }
    }
}

fn find<'a>(problems: &'a [Problem], key: &str) -> &'a Problem {
    problems
        .iter()
        .find(|problem| problem.key == key)
        .unwrap_or_else(|| panic!("no problem with {key}: {problems:#?}"))
}

#[test]
fn defaults_are_those_of_kong() {
    let settings = Node::new().settings();
    assert_eq!(settings.node.role, Role::Traditional);
    assert_eq!(settings.node.nginx_worker_processes, Workers::Auto);
    assert_eq!(settings.database.database, DatabaseKind::Sqlite);
    assert_eq!(settings.proxy.upstream_keepalive_pool_size, 512);
    let proxy: Vec<String> = settings
        .listen
        .proxy_listen
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxy, ["0.0.0.0:8000", "0.0.0.0:8443"]);
    assert!(!settings.listen.proxy_listen[0].ssl);
    assert!(settings.listen.proxy_listen[1].ssl && settings.listen.proxy_listen[1].http2);
    let headers = settings.proxy.response_headers();
    assert!(
        headers.via && headers.upstream_latency && headers.request_id && !headers.upstream_status
    );
}

#[test]
fn a_higher_source_counts_more() {
    let node = Node::new()
        .file(
            "log_level = debug\nplugins = cors\nnginx_worker_processes = 3\nadmin_gui_path = /x\n",
        )
        .env(&[
            ("KONG_LOG_LEVEL", "warn"),
            ("KONG_PLUGINS", "key-auth"),
            ("KEELGATE_PLUGINS", "jwt,acl"),
            ("KONG_NGINX_MAIN_WORKER_PROCESSES", "5"),
        ]);
    let settings = node.settings();
    assert_eq!(settings.log.log_level.as_str(), "warn");
    assert_eq!(settings.node.plugins, ["jwt", "acl"]);
    assert_eq!(settings.node.nginx_worker_processes.on(2), 5);
    assert_eq!(settings.node.prefix, node.directory.path());
    assert_eq!(
        settings.origin("log_level"),
        &Origin::Variable("KONG_LOG_LEVEL".to_owned())
    );
    let line = Origin::File {
        path: node.conf(),
        line: 4,
    };
    assert_eq!(settings.origin("admin_gui_path"), &line);
}

#[test]
fn an_empty_variable_unsets() {
    let node = Node::new()
        .file("log_level = debug")
        .env(&[("KONG_LOG_LEVEL", "")]);
    assert_eq!(node.settings().log.log_level.as_str(), "notice");
}

#[test]
fn all_problems_are_told_together_with_their_source() {
    let node = Node::new()
        .file("role = data_plane\nproxy_listen = 8000\nlog_level = loud\ndatabase = postgres\n")
        .env(&[("KONG_UPSTREAM_KEEPALIVE_POOL_SIZE", "many")]);
    let problems = node.problems();
    assert_eq!(
        find(&problems, "proxy_listen").origin,
        Origin::File {
            path: node.conf(),
            line: 2
        }
    );
    assert!(
        find(&problems, "log_level")
            .message
            .starts_with("has an invalid value: 'loud' (debug, info,")
    );
    let pool = find(&problems, "upstream_keepalive_pool_size");
    assert_eq!(
        pool.origin,
        Origin::Variable("KONG_UPSTREAM_KEEPALIVE_POOL_SIZE".to_owned())
    );
    assert_eq!(pool.value.as_deref(), Some("many"));
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_name() {
    let node = Node::new().file("proxy_lisen = 0.0.0.0:9000\n").env(&[
        ("KONG_CLUSTER_CONTROL_PLAIN", "secret-looking"),
        ("KONG_SERVICE_HOST", "10.0.0.1"),
        ("KONG_PORT_8000_TCP_ADDR", "10.0.0.1"),
    ]);
    let loaded = node.load();
    let warnings: Vec<&Problem> = loaded.warnings().collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(
        warnings
            .iter()
            .any(|w| w.mend == "did you mean proxy_listen?")
    );
    assert!(
        warnings
            .iter()
            .any(|w| w.mend == "did you mean cluster_control_plane?")
    );
    assert!(
        warnings
            .iter()
            .all(|w| !w.to_string().contains("secret-looking"))
    );
}

#[test]
fn hybrid_nodes_need_their_certificate_and_the_right_storage() {
    let problems = Node::new()
        .file("role = data_plane\ndatabase = sqlite")
        .problems();
    assert_eq!(
        find(&problems, "cluster_cert").message,
        "cluster certificate and key must be provided to use Hybrid mode"
    );
    assert_eq!(
        find(&problems, "database").message,
        "only in-memory storage can be used when role = \"data_plane\""
    );

    let problems = Node::new()
        .file("role = control_plane\ndatabase = off\nadmin_listen = off")
        .problems();
    assert!(
        find(&problems, "database")
            .message
            .contains("in-memory storage")
    );
    assert!(
        find(&problems, "admin_listen")
            .message
            .contains("control_plane")
    );
}

#[test]
fn a_data_plane_is_complete_with_a_certificate_and_an_address() {
    let node = Node::new();
    let (cert, key) = node.cluster_pair();
    let node = node.file(&format!(
        "role = data_plane\ncluster_cert = {cert}\ncluster_cert_key = {key}\ncluster_control_plane = cp1:8005, [::1]:9005\ncluster_fallback_config_import = on\ncluster_fallback_config_storage = s3://b/p, file:///srv/backup\n"
    ));
    let settings = node.settings();
    assert_eq!(settings.database.database, DatabaseKind::Off);
    let control: Vec<String> = settings
        .cluster
        .cluster_control_plane
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(control, ["cp1:8005", "[::1]:9005"]);
    assert_eq!(settings.fallback.cluster_fallback_config_storage.len(), 2);
    assert!(
        settings
            .cluster
            .cluster_cert
            .unwrap()
            .pem
            .contains("BEGIN CERTIFICATE")
    );
}

#[test]
fn a_fallback_without_a_storage_is_an_error() {
    let node = Node::new();
    let (cert, key) = node.cluster_pair();
    let conf = format!(
        "role = data_plane\ncluster_cert = {cert}\ncluster_cert_key = {key}\ncluster_fallback_config_import = on\n"
    );
    let problems = node.file(&conf).problems();
    assert!(
        find(&problems, "cluster_fallback_config_storage")
            .message
            .contains("import = on")
    );
}

#[test]
fn a_data_plane_may_trust_other_authorities_than_that_of_the_cluster() {
    let pki = "cluster_mtls = pki\ncluster_server_name = cp.example.com\n";
    data_plane(pki).load();
    let problems = data_plane(&format!("{pki}lua_ssl_trusted_certificate = ,\n")).problems();
    assert!(
        find(&problems, "cluster_ca_cert")
            .message
            .contains("must be specified")
    );
}

/// The file of a data plane that is complete, with these lines added.
fn data_plane(lines: &str) -> Node {
    let node = Node::new();
    let (cert, key) = node.cluster_pair();
    node.file(&format!(
        "role = data_plane\ncluster_cert = {cert}\ncluster_cert_key = {key}\n{lines}"
    ))
}

const KEY_1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_2: &str = "HxAREhMUFRYXGBkaGxwdHh8AAQIDBAUGBwgJCgsMDQ4=";

#[test]
fn the_settings_of_the_fallback_storage_have_types_and_defaults() {
    let fallback = data_plane("").settings().fallback;
    assert!(
        fallback
            .cluster_fallback_config_encryption_keys
            .keys()
            .is_empty()
    );
    assert_eq!(fallback.cluster_fallback_config_lease.0.as_secs(), 10);
    assert!(fallback.cluster_fallback_config_max_age.0.is_zero());
    let policy = fallback.cluster_fallback_config_max_age_policy;
    assert_eq!(policy, MaxAgePolicy::Serve);

    let node = data_plane(
        "cluster_fallback_config_import = on\n\
         cluster_fallback_config_storage = file:///srv/a\n\
         cluster_fallback_config_lease = 20\n\
         cluster_fallback_config_max_age = 86400\n\
         cluster_fallback_config_max_age_policy = refuse\n\
         cluster_fallback_config_signers = backup-1.example.com, ops.example.com\n",
    );
    let fallback = node.settings().fallback;
    assert_eq!(fallback.cluster_fallback_config_lease.0.as_secs(), 20);
    let policy = fallback.cluster_fallback_config_max_age_policy;
    assert_eq!(policy, MaxAgePolicy::Refuse);
    assert_eq!(fallback.cluster_fallback_config_signers.len(), 2);
}

#[test]
fn encryption_keys_may_be_references_and_are_shown_nowhere() {
    let node = data_plane(&format!(
        "cluster_fallback_config_encryption_keys = {{vault://env/new-key}}, old:{KEY_2}\n\
         cluster_fallback_config_https_header = {{vault://env/cdn-header}}\n"
    ))
    .env(&[
        ("NEW_KEY", &format!("new:{KEY_1}")),
        ("CDN_HEADER", "Authorization: Bearer s3cret"),
    ]);
    let settings = node.settings();
    let keys = settings
        .fallback
        .cluster_fallback_config_encryption_keys
        .keys();
    assert_eq!((keys[0].id(), keys[1].id()), ("new", "old"));
    let header = settings
        .fallback
        .cluster_fallback_config_https_header
        .as_ref()
        .unwrap();
    assert_eq!(header.value().expose(), "Bearer s3cret");
    let shown = settings.to_json_masked();
    assert_eq!(
        shown["cluster_fallback_config_encryption_keys"],
        "{vault://env/new-key}, ******"
    );
    let told = format!("{settings:?} {}", serde_json::to_string(&shown).unwrap());
    for secret in [KEY_1, KEY_2, "s3cret"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn a_wrong_encryption_key_is_told_without_the_key() {
    let short = &KEY_1[..20];
    let node = data_plane(&format!(
        "cluster_fallback_config_encryption_keys = {{vault://env/new-key}}, old:{short}\n"
    ))
    .env(&[("NEW_KEY", &format!("new:{KEY_1}"))]);
    let told = node.loader.load().unwrap_err().to_string();
    assert!(
        told.contains("'old' has 15 bytes; it must have 32"),
        "{told}"
    );
    assert!(!told.contains(short) && !told.contains(KEY_1), "{told}");
}

#[test]
fn a_reference_to_an_empty_key_does_not_turn_sealing_off() {
    let problems = data_plane("cluster_fallback_config_encryption_keys = {vault://env/new-key}\n")
        .env(&[("NEW_KEY", "")])
        .problems();
    let problem = find(&problems, "cluster_fallback_config_encryption_keys");
    assert!(problem.message.ends_with("it stands for nothing"));
}

#[test]
fn settings_of_the_fallback_storage_that_contradict_one_another_are_told() {
    let told = |lines: &str, key: &str| {
        let problems = match data_plane(lines).loader.load() {
            Ok(loaded) => loaded.remarks,
            Err(LoadError::Invalid { problems }) => problems,
            Err(other) => panic!("{other}"),
        };
        let problem = find(&problems, key);
        (problem.severity, problem.message.clone())
    };
    let storage =
        "cluster_fallback_config_import = on\ncluster_fallback_config_storage = file:///srv/a";
    for (lines, key, severity, message) in [
        (
            "cluster_fallback_config_max_age_policy = refuse",
            "cluster_fallback_config_max_age_policy",
            Severity::Error,
            "nothing is ever refused",
        ),
        (
            "cluster_fallback_config_storage = file:///srv/a/, file:///srv/a\ncluster_fallback_config_export = on",
            "cluster_fallback_config_storage",
            Severity::Warning,
            "twice",
        ),
        (
            "cluster_fallback_config_storage = file:///srv/a\ncluster_fallback_config_export = on\ncluster_fallback_config_lease = 0",
            "cluster_fallback_config_lease",
            Severity::Error,
            "from 3 to 300",
        ),
        (
            &format!("{storage}\ncluster_fallback_export_s3_config = {{\"ACL\":\"private\"}}"),
            "cluster_fallback_export_s3_config",
            Severity::Warning,
            "no storage is an s3:// one",
        ),
        (
            &format!("{storage}\ncluster_fallback_config_https_header = A: b"),
            "cluster_fallback_config_https_header",
            Severity::Warning,
            "no storage is an https:// one",
        ),
        (
            "cluster_fallback_config_signers = ops.example.com",
            "cluster_fallback_config_signers",
            Severity::Warning,
            "cluster_mtls = shared",
        ),
    ] {
        let (found, text) = told(lines, key);
        assert_eq!(found, severity, "{key}: {text}");
        assert!(text.contains(message), "{key}: {text}");
    }
}

#[test]
fn a_pg_setting_chooses_postgres_as_in_kong() {
    let problems = Node::new().env(&[("KONG_PG_HOST", "db")]).problems();
    let problem = find(&problems, "database");
    assert_eq!(problem.value.as_deref(), Some("postgres"));
    assert!(problem.message.contains("not in this build yet"));
}

#[test]
fn secrets_are_shown_nowhere() {
    let node = Node::new()
        .file("pg_user = {vault://env/db-user}\ndatabase = sqlite\ncluster_cert_key = nonsense-key-material\n")
        .env(&[("KONG_PG_PASSWORD", "hunter2"), ("DB_USER", "admin-user")]);
    let settings = node
        .loader
        .clone()
        .option("cluster_cert_key", "", "--test")
        .load()
        .unwrap()
        .settings;
    assert_eq!(settings.postgres.pg_user, "admin-user");
    assert_eq!(
        settings.postgres.pg_password.as_ref().unwrap().expose(),
        "hunter2"
    );
    let shown = serde_json::to_string(&settings.to_json_masked()).unwrap();
    let debug = format!("{settings:?}");
    for text in [&shown, &debug] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(shown.contains("{vault://env/db-user}") && !shown.contains("admin-user"));
    let told = node.loader.load().unwrap_err().to_string();
    assert!(
        told.contains("cluster_cert_key") && !told.contains("nonsense"),
        "{told}"
    );
}

#[test]
fn a_reference_to_nothing_is_an_error() {
    let problems = Node::new()
        .file("pg_password = {vault://env/nowhere}\ndatabase = sqlite")
        .problems();
    let problem = find(&problems, "pg_password");
    assert!(
        problem
            .message
            .starts_with("failed to dereference '{vault://env/nowhere}'")
    );
    assert_eq!(problem.value.as_deref(), Some("{vault://env/nowhere}"));
}

#[test]
fn what_has_no_effect_is_a_note_and_what_is_missed_a_warning() {
    let node = Node::new().file("mem_cache_size = 64m\nenforce_rbac = on\nuntrusted_lua = off\nnginx_http_gzip = on\ncluster_control_plane = cp:8005\n");
    let loaded = node.load();
    let severity = |key| find(&loaded.remarks, key).severity;
    assert_eq!(severity("mem_cache_size"), Severity::Note);
    assert_eq!(severity("enforce_rbac"), Severity::Warning);
    assert_eq!(severity("untrusted_lua"), Severity::Note);
    assert_eq!(severity("nginx_http_gzip"), Severity::Note);
    assert_eq!(severity("cluster_control_plane"), Severity::Note);
}

#[test]
fn values_are_shown_with_their_json_types() {
    let shown = Node::new()
        .env(&[("KONG_REAL_IP_RECURSIVE", "true")])
        .settings()
        .to_json_masked();
    assert_eq!(shown["allow_debug_header"], false);
    assert_eq!(shown["db_update_frequency"], 5);
    assert_eq!(shown["real_ip_recursive"], "on");
    assert_eq!(shown["plugins"], serde_json::json!(["bundled"]));
    assert_eq!(shown["database"], "sqlite");
    assert!(!shown.contains_key("pg_password"));
}

#[test]
fn listeners_may_not_share_a_port_but_ipv6_lives_beside_ipv4() {
    let problems = Node::new()
        .file("status_listen = 127.0.0.1:8000")
        .problems();
    assert!(
        find(&problems, "status_listen")
            .message
            .contains("taken by proxy_listen")
    );
    Node::new()
        .file("proxy_listen = 0.0.0.0:8000, [::]:8000")
        .load();
}

#[test]
fn a_listener_of_streams_has_options_of_its_own() {
    for (listen, option) in [
        ("0.0.0.0:9000 http2", "http2"),
        ("0.0.0.0:9000 deferred", "deferred"),
        ("0.0.0.0:9000 udp ssl", "ssl"),
        ("0.0.0.0:9000 udp proxy_protocol", "proxy_protocol"),
    ] {
        let node = Node::new().file(&format!("stream_listen = {listen}"));
        let problems = node.problems();
        let told = find(&problems, "stream_listen");
        assert_eq!(told.mend, format!("remove the option {option}"));
    }
    let node = Node::new()
        .file("stream_listen = 0.0.0.0:9000, 0.0.0.0:9000 udp, 0.0.0.0:9443 ssl proxy_protocol");
    assert_eq!(node.settings().listen.stream_listen.len(), 3);
}

#[test]
fn an_open_admin_api_is_warned_about() {
    let loaded = Node::new().file("admin_listen = 0.0.0.0:8001").load();
    assert!(
        find(&loaded.remarks, "admin_listen")
            .message
            .contains("no log-in")
    );
}

#[test]
fn the_node_keeps_its_identity() {
    let node = Node::new();
    let first = node.settings().node_id().unwrap();
    assert_eq!(node.settings().node_id().unwrap(), first);
    let chosen = "5f6c5a26-6d3f-4f0a-9d8f-5b1b0f6f9a10";
    let node = node.env(&[("KONG_NODE_ID", chosen)]);
    assert_eq!(node.settings().node_id().unwrap().to_string(), chosen);
    fs::write(node.directory.path().join("node.id"), "nonsense").unwrap();
    assert!(
        node.loader
            .clone()
            .option("node_id", "", "--test")
            .load()
            .unwrap()
            .settings
            .node_id()
            .is_err()
    );
}

#[test]
fn a_file_that_is_named_must_exist() {
    let error = Loader::new()
        .file("/nonexistent/node.conf")
        .load()
        .unwrap_err();
    assert!(error.to_string().contains("/nonexistent/node.conf"));
}

#[test]
fn the_prefix_is_found_even_when_other_settings_are_wrong() {
    let node = Node::new().file("log_level = loud");
    assert_eq!(node.loader.prefix().unwrap(), node.directory.path());
}

#[test]
fn the_documented_default_file_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../keelgate.conf.default");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == reference(),
        "run `cargo xtask reference` to write keelgate.conf.default anew"
    );
}

#[test]
fn the_documented_default_file_sets_nothing_and_uncommented_means_the_same() {
    Node::new().file(&reference()).load();
    let uncommented: String = registry()
        .filter(|key| !["prefix", "database"].contains(&key.name))
        .map(|key| format!("{} = {}\n", key.name, key.default))
        .collect();
    let node = Node::new().file(&uncommented);
    let mut by_file = node.settings().to_json_masked();
    let mut by_default = Node::new().settings().to_json_masked();
    for json in [&mut by_file, &mut by_default] {
        json.remove("prefix");
    }
    by_file.insert("database".to_owned(), by_default["database"].clone());
    assert_eq!(by_file, by_default);
}

#[test]
fn a_changed_file_is_read_anew_from_the_same_sources() {
    let node = Node::new()
        .file("log_level = debug")
        .env(&[("KONG_PLUGINS", "cors")]);
    let settings = node.settings();
    fs::write(node.conf(), "log_level = warn").unwrap();
    let anew = settings.reload().unwrap().settings;
    assert_eq!(anew.log.log_level.as_str(), "warn");
    assert_eq!(anew.node.plugins, ["cors"]);
    fs::write(node.conf(), "log_level = loud").unwrap();
    assert!(settings.reload().is_err());
}
