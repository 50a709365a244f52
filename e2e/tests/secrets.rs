//! Secrets of plugins that stand in the environment of the node.

use e2e::{Node, Role, Upstream, wait};
use serde_json::{Value, json};

const SECRET: &str = "s3cret-of-the-function";
const NEXT: &str = "n3xt-of-the-function";

/// A function that tells the key it was called with, and two plugins without their secrets.
fn config(upstream: &Upstream, prefix: &str) -> Value {
    let port = upstream.address.port();
    let function = json!({
        "name": "azure-functions",
        "config": {
            "appname": "127.0.0", "hostdomain": format!("1:{port}"), "https": false,
            "functionname": "f", "apikey": "{vault://keys/function-key}",
        },
    });
    let webhooks = json!({
        "name": "standard-webhooks", "config": {"secret_v1": "{vault://env/nowhere}"},
    });
    let log = json!({
        "name": "http-log", "config": {"http_endpoint": "{vault://env/nowhere-either}"},
    });
    let route = |name: &str, plugins: Value| json!({"name": name, "paths": [format!("/{name}")], "plugins": plugins});
    json!({
        "_format_version": "3.0",
        "vaults": [{"name": "env", "prefix": "keys", "config": {"prefix": prefix}}],
        "services": [{"name": "s", "url": upstream.url(), "routes": [
            route("function", json!([function])),
            route("webhooks", json!([webhooks])),
            route("logged", json!([log])),
        ]}],
    })
}

/// Waits until the function is called with this key.
async fn called_with(node: &Node, key: &str) {
    wait::until("the function to be called with the key", || async {
        let answer = reqwest::get(node.proxy("/function")).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let told: Value = answer.json().await.map_err(|error| error.to_string())?;
        match &told["headers"]["x-functions-key"] {
            Value::String(seen) if seen == key => Ok(()),
            _ => Err(told.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn references_become_secrets_on_the_node_alone() {
    let upstream = Upstream::start().await;
    let environment = [
        ("NOW_FUNCTION_KEY".to_owned(), SECRET.to_owned()),
        ("LATER_FUNCTION_KEY".to_owned(), NEXT.to_owned()),
    ];
    let node = Node::start(Role::Dbless, &[("log_level", "debug")], &environment);
    node.up().await;
    node.change("POST", "/config", config(&upstream, "now-"))
        .await;
    called_with(&node, SECRET).await;

    // What cannot do without its secret refuses, and what only tells others is left out.
    node.serves("/webhooks", 500).await;
    node.serves("/logged", 200).await;
    let report = node.report().await;
    let flaws = report["flaws"].to_string();
    for (field, reference, variable) in [
        ("standard-webhooks: config.secret_v1", "nowhere", "NOWHERE"),
        (
            "http-log: config.http_endpoint",
            "nowhere-either",
            "NOWHERE_EITHER",
        ),
    ] {
        let expected = format!(
            "plugins {field}: unable to resolve reference {{vault://env/{reference}}} \
             (the environment variable {variable} is not set)"
        );
        assert!(flaws.contains(&expected), "{flaws}");
        assert!(node.log().contains(&expected), "{}", node.log());
    }

    let (_, plugins) = node.ask("GET", "/plugins", Value::Null).await;
    let plugins = plugins.to_string();
    assert!(plugins.contains("{vault://keys/function-key}"), "{plugins}");
    let (_, whole) = node.ask("GET", "/config", Value::Null).await;
    assert!(!whole.to_string().contains(SECRET));

    node.change("POST", "/config", config(&upstream, "later-"))
        .await;
    called_with(&node, NEXT).await;
    let log = node.log();
    assert!(!log.contains(SECRET) && !log.contains(NEXT), "{log}");
}
