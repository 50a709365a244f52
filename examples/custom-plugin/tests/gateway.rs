//! The gateway of this example as a process.

use e2e::{Node, Role, Upstream};
use serde_json::{Value, json};

fn config(upstream: &Upstream, maintenance: &Value) -> Value {
    json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "url": upstream.url(), "routes": [{
            "name": "r", "paths": ["/r"],
            "plugins": [{"name": "maintenance", "config": maintenance}],
        }]}],
    })
}

fn start(plugins: &str) -> Node {
    let program = env!("CARGO_BIN_EXE_custom-plugin").as_ref();
    Node::start_program(program, Role::Dbless, &[("plugins", plugins)], &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_is_configured_and_answers() {
    let upstream = Upstream::start().await;
    let node = start("bundled,maintenance");
    node.up().await;
    let settings = json!({"retry_after": 5, "pass_header": "x-word", "pass_word": "sesame"});
    node.change("POST", "/config", config(&upstream, &settings))
        .await;
    node.serves("/r", 503).await;
    let answer = reqwest::get(node.proxy("/r")).await.expect("an answer");
    assert_eq!(answer.headers()["retry-after"], "5");
    let told: Value = answer.json().await.expect("JSON");
    assert_eq!(told["message"], "Under maintenance");
    let knowing = reqwest::Client::new().get(node.proxy("/r"));
    let passed = knowing.header("x-word", "sesame").send().await;
    assert_eq!(passed.expect("an answer").status(), 200);
    let schema = reqwest::get(node.admin("/schemas/plugins/maintenance")).await;
    assert_eq!(schema.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_checked_by_the_schema_of_the_plugin() {
    let upstream = Upstream::start().await;
    let node = start("bundled,maintenance");
    node.up().await;
    let document = config(&upstream, &json!({"retry_after": 0}));
    let client = reqwest::Client::new();
    let refused = client
        .post(node.admin("/config"))
        .header("content-type", "application/json")
        .body(document.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(refused.status(), 400);
    let told = refused.text().await.expect("a text");
    assert!(
        told.contains("value should be between 1 and 86400"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_there_unless_the_setting_names_it() {
    let node = start("bundled");
    node.up().await;
    let schema = reqwest::get(node.admin("/schemas/plugins/maintenance")).await;
    assert_eq!(schema.expect("an answer").status(), 404);
}
