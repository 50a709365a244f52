//! Which source a value comes from, and what is said of values that do not fit.

use std::fs;

use keelgate_settings::{
    DatabaseKind, Loader, Origin, Problem, ResponseHeaders, Role, Severity, Workers,
};

use crate::{Node, find};

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
fn a_setting_that_is_read_and_not_served_yet_says_so() {
    let node = Node::new().file("status_access_log = status.log\nlua_max_req_headers = 50\n");
    let loaded = node.load();
    let log = find(&loaded.remarks, "status_access_log");
    assert_eq!(log.severity, Severity::Warning);
    assert!(log.message.contains("in this build yet"), "{log}");
    let headers = find(&loaded.remarks, "lua_max_req_headers");
    assert_eq!(headers.severity, Severity::Note);
    let problems = Node::new().file("lua_max_req_headers = 0\n").problems();
    find(&problems, "lua_max_req_headers");
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

#[test]
fn each_header_is_asked_for_by_its_token() {
    type Asked = (&'static str, fn(&ResponseHeaders) -> bool);
    const TOKENS: [Asked; 8] = [
        ("Server", |on| on.server),
        ("Via", |on| on.via),
        ("X-Kong-Proxy-Latency", |on| on.proxy_latency),
        ("X-Kong-Response-Latency", |on| on.response_latency),
        ("X-Kong-Admin-Latency", |on| on.admin_latency),
        ("X-Kong-Upstream-Latency", |on| on.upstream_latency),
        ("X-Kong-Upstream-Status", |on| on.upstream_status),
        ("X-Kong-Request-Id", |on| on.request_id),
    ];
    let on = |value: &str| {
        let node = Node::new().file(&format!("headers = {value}\n"));
        let headers = node.settings().proxy.response_headers();
        TOKENS.map(|(_, is_on)| is_on(&headers))
    };
    for (at, (token, _)) in TOKENS.into_iter().enumerate() {
        let mut alone = [false; 8];
        alone[at] = true;
        assert_eq!(on(token), alone, "{token}");
    }
    let some = |names: &[&str]| TOKENS.map(|(token, _)| names.contains(&token));
    assert_eq!(on("off"), [false; 8]);
    assert_eq!(on("server_tokens"), some(&["Server", "Via"]));
    let latencies = [
        "X-Kong-Proxy-Latency",
        "X-Kong-Response-Latency",
        "X-Kong-Admin-Latency",
        "X-Kong-Upstream-Latency",
    ];
    assert_eq!(on("latency_tokens"), some(&latencies));
    assert_eq!(
        on("Via, X-Kong-Request-Id"),
        some(&["Via", "X-Kong-Request-Id"])
    );
    for (value, told) in [("off", false), ("X-Kong-Request-Id", true)] {
        let node = Node::new().file(&format!("headers_upstream = {value}\n"));
        assert_eq!(node.settings().proxy.upstream_request_id(), told);
    }
}
