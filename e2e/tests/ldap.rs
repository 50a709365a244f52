//! Names and passwords that an LDAP server knows.

use e2e::ldap::BASE;
use e2e::{Ldap, Node, Role, Upstream, wait};
use serde_json::{Value, json};

/// A node that asks as these settings say, each on a route of its own: `/0`, `/1`, …
async fn node(upstream: &Upstream, settings: &[(&str, &str)], configs: &[Value]) -> Node {
    let routes: Vec<_> = configs
        .iter()
        .enumerate()
        .map(|(at, more)| {
            let mut config = json!({
                "ldap_host": "localhost", "base_dn": BASE, "attribute": "cn",
                "header_type": "basic", "timeout": 30_000,
            });
            let fields = config.as_object_mut().expect("an object");
            fields.extend(more.as_object().expect("an object").clone());
            json!({"name": format!("r{at}"), "paths": [format!("/{at}")],
                "plugins": [{"name": "ldap-auth", "config": config}]})
        })
        .collect();
    let config = json!({
        "_format_version": "3.0",
        "consumers": [{"username": "nobody"}],
        "services": [{"name": "s", "url": upstream.url(), "routes": routes}],
    });
    let node = Node::start(Role::Dbless, settings, &[]);
    node.up().await;
    node.change("POST", "/config", config).await;
    // Nobody is asked about who brings no password.
    wait::until("the routes", || async {
        let answer = reqwest::get(node.proxy("/0")).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status().as_u16() {
            401 | 200 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    node
}

/// The status, and what the upstream was told.
async fn ask(node: &Node, path: &str, username: &str, password: &str) -> (u16, Value) {
    let client = reqwest::Client::new();
    let request = client
        .get(node.proxy(path))
        .basic_auth(username, Some(password));
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

async fn status(node: &Node, path: &str, username: &str, password: &str) -> u16 {
    ask(node, path, username, password).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_server_knows_is_let_through() {
    let (ldap, upstream) = (Ldap::start().await, Upstream::start().await);
    let port = ldap.port;
    let configs = [
        json!({"ldap_port": port, "hide_credentials": true}),
        json!({"ldap_port": port, "anonymous": "nobody"}),
        json!({"ldap_port": port, "realm": "people", "cache_ttl": 0}),
        json!({"ldap_port": port, "ldap_host": "directory.example.test"}),
    ];
    let hosts = tempfile::NamedTempFile::new().expect("make a file");
    std::fs::write(hosts.path(), "127.0.0.1 localhost directory.example.test\n")
        .expect("write a file");
    let path = hosts.path().display().to_string();
    let node = node(&upstream, &[("dns_hostsfile", &path)], &configs).await;
    assert_eq!(status(&node, "/3", "alice", "wonder:land").await, 200);
    for path in ["/0", "/1", "/2"] {
        // Asked, and known.
        for _ in 0..2 {
            let (status, told) = ask(&node, path, "alice", "wonder:land").await;
            assert_eq!(status, 200);
            let headers = &told["headers"];
            assert_eq!(headers["x-credential-identifier"], "alice", "{headers}");
            assert!(headers["x-consumer-username"].is_null());
            assert!(headers["x-anonymous-consumer"].is_null());
            assert_eq!(headers["authorization"].is_null(), path == "/0");
        }
        assert_eq!(status(&node, path, "bob, jr", "builder").await, 200);
    }
    for (username, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("", "wonder:land"),
        ("nobody", "wonder:land"),
        // Not a name in another place of the directory.
        ("alice,ou=people,dc=example,dc=test", "wonder:land"),
        ("*", "wonder:land"),
    ] {
        for path in ["/0", "/2"] {
            assert_eq!(
                status(&node, path, username, password).await,
                401,
                "{username}"
            );
        }
        let (status, told) = ask(&node, "/1", username, password).await;
        assert_eq!(status, 200);
        assert_eq!(told["headers"]["x-consumer-username"], "nobody");
        assert_eq!(told["headers"]["x-anonymous-consumer"], "true");
    }
    let refused = reqwest::get(node.proxy("/2")).await.expect("an answer");
    assert_eq!(
        refused.headers()["www-authenticate"],
        "basic realm=\"people\""
    );
    assert!(!node.log().contains("wonder:land"));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_go_over_tls_to_a_server_that_is_verified() {
    let (ldap, upstream) = (Ldap::start().await, Upstream::start().await);
    let (port, tls_port) = (ldap.port, ldap.tls_port);
    let configs = [
        json!({"ldap_port": tls_port, "ldaps": true, "verify_ldap_host": true}),
        json!({"ldap_port": port, "start_tls": true, "verify_ldap_host": true}),
        json!({"ldap_port": tls_port, "ldaps": true, "verify_ldap_host": true,
            "ldap_host": "127.0.0.1"}),
        json!({"ldap_port": port, "start_tls": true, "ldap_host": "127.0.0.1"}),
    ];
    let certificate = ldap.certificate().display().to_string();
    let trusting = [("lua_ssl_trusted_certificate", certificate.as_str())];
    let trusting = node(&upstream, &trusting, &configs).await;
    // The certificate names localhost, and no address.
    for (path, expected) in [("/0", 200), ("/1", 200), ("/2", 500), ("/3", 200)] {
        let got = status(&trusting, path, "alice", "wonder:land").await;
        assert_eq!(got, expected, "{path}");
    }
    let doubtful = node(&upstream, &[], &configs).await;
    for (path, expected) in [("/0", 500), ("/1", 500), ("/3", 200)] {
        let got = status(&doubtful, path, "alice", "wonder:land").await;
        assert_eq!(got, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_what_it_said_counts_and_nothing_else() {
    let (mut ldap, upstream) = (Ldap::start().await, Upstream::start().await);
    let port = ldap.port;
    let configs = [
        json!({"ldap_port": port, "cache_ttl": 3600}),
        json!({"ldap_port": port, "cache_ttl": 0}),
        json!({"ldap_port": port, "cache_ttl": 0, "timeout": 300}),
    ];
    let node = node(&upstream, &[], &configs).await;
    for path in ["/0", "/1", "/2"] {
        assert_eq!(status(&node, path, "alice", "wonder:land").await, 200);
    }
    assert_eq!(status(&node, "/0", "alice", "wrong").await, 401);
    ldap.pause();
    assert_eq!(status(&node, "/2", "alice", "wonder:land").await, 500);
    assert_eq!(status(&node, "/0", "alice", "wonder:land").await, 200);
    ldap.kill();
    assert_eq!(status(&node, "/0", "alice", "wonder:land").await, 200);
    assert_eq!(status(&node, "/0", "alice", "wrong").await, 401);
    for path in ["/1", "/2"] {
        assert_eq!(status(&node, path, "alice", "wonder:land").await, 500);
    }
    ldap.start_again().await;
    for path in ["/1", "/2"] {
        assert_eq!(status(&node, path, "alice", "wonder:land").await, 200);
    }
}
