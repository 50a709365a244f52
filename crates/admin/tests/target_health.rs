//! The health of targets over the Admin API and the status API.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use keelgate_admin::{
    AddressHealth, Admin, BalancerHealth, Balancers, Mode, SetHealthError, Status, TargetHealth,
};
use keelgate_store::SqliteStore;
use serde_json::{Value, json};
use support::{admin, plugin_schemas, request, start};
use uuid::Uuid;

const UPSTREAM: &str = "a0000000-0000-4000-8000-000000000001";
const TARGETS: [&str; 3] = [
    "a0000000-0000-4000-8000-000000000011",
    "a0000000-0000-4000-8000-000000000012",
    "a0000000-0000-4000-8000-000000000013",
];

/// One healthy address, one that an operator may change, and a name without any.
#[derive(Default)]
struct Served {
    healthy: Mutex<bool>,
    told: Mutex<Vec<(Uuid, Option<SocketAddr>)>>,
}

impl Balancers for Served {
    fn health(&self, upstream: Uuid) -> Option<BalancerHealth> {
        assert_eq!(upstream.to_string(), UPSTREAM);
        let target = |n: usize, host: &str, dns: &str, available: &[bool]| TargetHealth {
            id: TARGETS[n].parse().unwrap(),
            host: host.to_owned(),
            port: 80,
            dns: dns.to_owned(),
            weight: 100,
            addresses: available
                .iter()
                .map(|available| AddressHealth {
                    ip: [10, 0, 0, n as u8 + 1].into(),
                    port: 80,
                    weight: 100,
                    available: *available,
                })
                .collect(),
        };
        Some(BalancerHealth {
            checked: true,
            healthy: true,
            targets: vec![
                target(0, "10.0.0.1", "A", &[true]),
                target(1, "b.test", "A", &[*self.healthy.lock().unwrap()]),
                target(2, "c.test", "dns server error: 3 name error", &[]),
            ],
        })
    }

    fn set_health(
        &self,
        _upstream: Uuid,
        target: Uuid,
        address: Option<SocketAddr>,
        healthy: bool,
    ) -> Result<(), SetHealthError> {
        if target.to_string() == TARGETS[2] {
            return Err(SetHealthError::UnknownTarget);
        }
        *self.healthy.lock().unwrap() = healthy;
        self.told.lock().unwrap().push((target, address));
        Ok(())
    }
}

async fn node(served: &Arc<Served>) -> (Admin, SocketAddr, tempfile::TempDir) {
    let directory = tempfile::TempDir::new().unwrap();
    let schemas = Arc::new(keelgate_entities::Schemas::new(plugin_schemas()));
    let store = SqliteStore::open(&directory.path().join("keelgate.db"), schemas).unwrap();
    let mut admin = admin(Arc::new(store), Mode::Database);
    admin.balancers = Some(Arc::clone(served) as Arc<dyn Balancers>);
    let api = start(admin.clone().router()).await;
    let send = |method, path: String, body: Value| async move {
        let headers = [("content-type", "application/json")];
        request(api, method, &path, &headers, body.to_string()).await
    };
    send(
        "PUT",
        format!("/upstreams/{UPSTREAM}"),
        json!({"name": "pool"}),
    )
    .await
    .expect(200);
    for (id, target) in TARGETS
        .iter()
        .zip(["10.0.0.1:80", "b.test:80", "c.test:80"])
    {
        let body = json!({"id": id, "target": target});
        send("POST", "/upstreams/pool/targets".to_owned(), body)
            .await
            .expect(201);
    }
    (admin, api, directory)
}

fn by_target(body: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| (word(&target["target"]), word(&target["health"])))
        .collect();
    all.sort();
    all
}

fn expected(second: &str) -> Vec<(String, String)> {
    [
        ("10.0.0.1:80", "HEALTHY"),
        ("b.test:80", second),
        ("c.test:80", "DNS_ERROR"),
    ]
    .map(|(target, health)| (target.to_owned(), health.to_owned()))
    .to_vec()
}

#[tokio::test]
async fn the_health_of_targets_is_told_with_what_is_known_of_them() {
    let (_admin, api, _directory) = node(&Arc::default()).await;
    let body = request(api, "GET", "/upstreams/pool/health", &[], "").await;
    let body = body.expect(200);
    assert_eq!(by_target(&body), expected("UNHEALTHY"));
    assert_eq!(body["node_id"], json!(Uuid::nil()));
    assert_eq!(body["next"], Value::Null);
    let targets = body["data"].as_array().unwrap();
    let second = targets
        .iter()
        .find(|target| target["id"] == TARGETS[1])
        .unwrap();
    assert_eq!(
        second["data"],
        json!({
            "host": "b.test", "port": 80, "dns": "A", "nodeWeight": 100,
            "weight": {"total": 100, "available": 0, "unavailable": 100},
            "addresses": [
                {"ip": "10.0.0.2", "port": 80, "weight": 100, "health": "UNHEALTHY"},
            ],
        })
    );
}

#[tokio::test]
async fn the_upstream_as_a_whole_is_told_on_demand() {
    let (_admin, api, _directory) = node(&Arc::default()).await;
    let path = "/upstreams/pool/health?balancer_health=1";
    let body = request(api, "GET", path, &[], "").await.expect(200);
    assert_eq!(body["data"]["id"], UPSTREAM);
    assert_eq!(body["data"]["health"], "HEALTHY");
    assert_eq!(body["data"]["balancer_health"], "HEALTHY");
    assert_eq!(body["data"]["details"]["weight"]["available"], 100);
    assert_eq!(
        body["data"]["details"]["hosts"][1]["addresses"][0]["healthy"],
        false
    );
}

#[tokio::test]
async fn an_operator_sets_the_health_of_a_target_or_of_one_address() {
    let served = Arc::new(Served::default());
    let (_admin, api, _directory) = node(&served).await;
    let base = "/upstreams/pool/targets/b.test:80";
    let by_id = format!("/upstreams/{UPSTREAM}/targets/{}", TARGETS[1]);
    let put = async |path: &str| request(api, "PUT", path, &[], "").await;
    put(&format!("{base}/healthy")).await.expect(204);
    let body = request(api, "GET", "/upstreams/pool/health", &[], "").await;
    assert_eq!(by_target(&body.expect(200)), expected("HEALTHY"));
    put(&format!("{base}/10.0.0.2:80/unhealthy"))
        .await
        .expect(204);
    put(&format!("{by_id}/unhealthy")).await.expect(204);
    let id: Uuid = TARGETS[1].parse().unwrap();
    let address = Some(SocketAddr::from(([10, 0, 0, 2], 80)));
    let told = served.told.lock().unwrap().clone();
    assert_eq!(told, [(id, None), (id, address), (id, None)]);

    let refused = put("/upstreams/pool/targets/c.test:80/healthy").await;
    assert_eq!(refused.expect(400)["message"], "target not found");
    for missing in [
        "/upstreams/pool/targets/x.test:80",
        "/upstreams/nope/targets/b.test:80",
    ] {
        put(&format!("{missing}/healthy")).await.expect(404);
    }
    let read = request(api, "GET", &format!("{base}/healthy"), &[], "").await;
    read.expect(405);
}

#[tokio::test]
async fn a_control_plane_has_no_health_to_set() {
    let served = Arc::new(Served::default());
    let (mut admin, _api, _directory) = node(&served).await;
    admin.node.is_control_plane = true;
    admin.balancers = None;
    let api = start(admin.router()).await;
    let path = "/upstreams/pool/targets/b.test:80/healthy";
    request(api, "PUT", path, &[], "").await.expect(404);
    let body = request(api, "GET", "/upstreams/pool/health", &[], "").await;
    assert_eq!(body.expect(200)["data"][0].get("health"), None);
}

#[tokio::test]
async fn the_status_api_tells_and_changes_nothing() {
    let (admin, _api, _directory) = node(&Arc::default()).await;
    for (upstreams, status) in [(true, 200), (false, 404)] {
        let admin = admin.clone();
        let ready = Arc::new(|| Ok(()));
        let api = start(
            Status {
                admin,
                ready,
                upstreams,
            }
            .router(),
        )
        .await;
        let answer = request(api, "GET", "/upstreams/pool/health", &[], "").await;
        assert_eq!(answer.status, status);
        request(api, "GET", "/status/ready", &[], "")
            .await
            .expect(200);
        let path = "/upstreams/pool/targets/b.test:80";
        assert_eq!(request(api, "GET", path, &[], "").await.status, status);
        let refused = request(api, "DELETE", path, &[], "").await.status;
        assert!([404, 405].contains(&refused), "{refused}");
        let set = request(api, "PUT", &format!("{path}/healthy"), &[], "").await;
        assert_eq!(set.status, 404);
    }
}
