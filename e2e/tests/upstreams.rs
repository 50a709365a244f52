//! Upstreams of whole nodes: names of targets, probes, and health as the APIs tell and set it.

use e2e::{Cluster, Node, Role, Upstream, wait};
use serde_json::{Value, json};

/// The port of nobody: reserved, and never listened on.
const DEAD: &str = "localhost:1";

fn upstream() -> Value {
    json!({"name": "pool", "healthchecks": {"active": {
        "type": "tcp",
        "healthy": {"interval": 0.1, "successes": 1},
        "unhealthy": {"interval": 0.1, "tcp_failures": 1, "timeouts": 1},
    }}})
}

/// The target of a local upstream, by name.
fn target(upstream: &Upstream) -> String {
    format!("localhost:{}", upstream.address.port())
}

/// Health by target, as an API tells it.
async fn told(node: &Node, url: &str) -> Result<Vec<(String, String)>, String> {
    let text = node.answers(url, 200).await;
    let body: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let targets = body["data"].as_array().ok_or("no list")?;
    let mut told: Vec<_> = targets
        .iter()
        .map(|target| (text(&target["target"]), text(&target["health"])))
        .collect();
    told.sort();
    Ok(told)
}

async fn becomes(node: &Node, url: &str, expected: &[(&str, &str)]) {
    let mut expected: Vec<(String, String)> = expected
        .iter()
        .map(|(target, health)| ((*target).to_owned(), (*health).to_owned()))
        .collect();
    expected.sort();
    wait::until("the health of the targets", || async {
        let told = told(node, url).await?;
        if told == expected {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_database_probes_tells_and_is_told() {
    let alive = Upstream::start().await;
    let alive_target = target(&alive);
    let node = Node::start(Role::Dbless, &[], &[]);
    node.up().await;
    let mut pool = upstream();
    pool["targets"] = json!([
        {"target": alive_target}, {"target": DEAD}, {"target": "nowhere.invalid:80"},
    ]);
    let config = json!({
        "_format_version": "3.0",
        "upstreams": [pool],
        "services": [{"name": "s", "host": "pool", "routes": [{"name": "r", "paths": ["/"]}]}],
    });
    node.change("POST", "/config", config).await;
    node.serves("/", 200).await;
    let expected = [
        (alive_target.as_str(), "HEALTHY"),
        (DEAD, "UNHEALTHY"),
        ("nowhere.invalid:80", "DNS_ERROR"),
    ];
    for url in [
        node.admin("/upstreams/pool/health"),
        node.status("/upstreams/pool/health"),
    ] {
        becomes(&node, &url, &expected).await;
    }
    let metrics = node.answers(&node.status("/metrics"), 200).await;
    let line = format!("target=\"{DEAD}\",address=\"127.0.0.1:1\",state=\"unhealthy\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    // An operator takes it out; the next probe lets it in again.
    let path = format!("/upstreams/pool/targets/{alive_target}/unhealthy");
    node.change("PUT", &path, Value::Null).await;
    becomes(&node, &node.admin("/upstreams/pool/health"), &expected).await;
    node.serves("/", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_tells_of_the_targets_that_its_control_plane_knows() {
    let cluster = Cluster::new().await;
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let data_plane = cluster.data_plane_of(&control_plane, &[]);
    let alive = Upstream::start().await;
    let alive_target = target(&alive);
    control_plane.change("POST", "/upstreams", upstream()).await;
    for target in [alive_target.as_str(), DEAD] {
        let body = json!({"target": target});
        control_plane
            .change("POST", "/upstreams/pool/targets", body)
            .await;
    }
    let service = json!({"name": "s", "host": "pool"});
    control_plane.change("POST", "/services", service).await;
    let route = json!({"name": "r", "paths": ["/"]});
    control_plane
        .change("POST", "/services/s/routes", route)
        .await;
    data_plane.serves("/", 200).await;
    let expected = [(alive_target.as_str(), "HEALTHY"), (DEAD, "UNHEALTHY")];
    let url = data_plane.status("/upstreams/pool/health");
    becomes(&data_plane, &url, &expected).await;
    // The control plane serves no traffic, so it knows no health.
    let unknown = [(alive_target.as_str(), "?"), (DEAD, "?")];
    let url = control_plane.admin("/upstreams/pool/health");
    becomes(&control_plane, &url, &unknown).await;
}
