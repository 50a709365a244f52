//! Functions of AWS and Azure that answer in place of the upstream.

use e2e::cloud::{self, Cloud};
use e2e::{Node, Role, Upstream, ports};
use serde_json::{Value, json};

const WRONG: &str = "wr0ng-secret";

fn lambda(cloud: &Cloud, more: Value) -> Value {
    let mut config = json!({
        "aws_key": cloud::KEY.0, "aws_secret": cloud::KEY.1, "aws_region": cloud::REGION,
        "function_name": "arn:aws:lambda:eu-central-1:123456789012:function:f",
        "qualifier": "$LATEST", "host": "127.0.0.1", "port": cloud.address.port(),
        "disable_https": true, "forward_request_body": true, "forward_request_method": true,
    });
    let more = more.as_object().expect("an object").clone();
    config.as_object_mut().expect("an object").extend(more);
    json!({"name": "aws-lambda", "config": config})
}

fn azure(cloud: &Cloud, key: &str) -> Value {
    json!({
        "name": "azure-functions",
        "config": {
            "appname": "127.0.0", "hostdomain": format!("1:{}", cloud.address.port()),
            "https": false, "functionname": "f", "routeprefix": "api",
            "apikey": key, "clientid": "client-1",
        },
    })
}

/// A node with each plugin on a route of its name.
async fn node(upstream: &Upstream, plugins: &[(&str, Value)]) -> Node {
    node_with(upstream, plugins, &[]).await
}

async fn node_with(
    upstream: &Upstream,
    plugins: &[(&str, Value)],
    settings: &[(&str, &str)],
) -> Node {
    let routes: Vec<Value> = plugins
        .iter()
        .map(|(name, plugin)| {
            json!({"name": name, "paths": [format!("/{name}")], "plugins": [plugin]})
        })
        .collect();
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "url": upstream.url(), "routes": routes}],
    });
    let settings = [&[("log_level", "debug")], settings].concat();
    let node = Node::start(Role::Dbless, &settings, &[]);
    node.up().await;
    node.change("POST", "/config", config).await;
    node
}

async fn call(node: &Node, path: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(node.proxy(path));
    let answer = request.body("hello").send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_aws_answer_whoever_signs() {
    let (upstream, cloud) = (Upstream::start().await, Cloud::start().await);
    let role = json!({
        "aws_assume_role_arn": cloud::ROLE,
        "aws_sts_endpoint_url": format!("http://{}/", cloud.address),
    });
    let plugins = [
        ("own", lambda(&cloud, json!({}))),
        ("role", lambda(&cloud, role)),
        ("wrong", lambda(&cloud, json!({"aws_secret": WRONG}))),
        ("away", lambda(&cloud, json!({"port": ports::free()}))),
    ];
    let node = node(&upstream, &plugins).await;
    node.serves("/own", 200).await;

    let (status, told) = call(&node, "/own").await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        told["path"],
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Af\
         /invocations"
    );
    assert_eq!(told["query"], "Qualifier=%24LATEST");
    assert_eq!(told["invocation"], "RequestResponse");
    assert_eq!(told["key"], cloud::KEY.0);
    assert_eq!(told["event"]["request_method"], "POST");
    assert_eq!(told["event"]["request_body"], "aGVsbG8=");
    assert_eq!(told["event"]["request_body_base64"], true);

    let (status, told) = call(&node, "/role").await;
    assert_eq!(
        (status, &told["key"]),
        (200, &json!("ASIAEXAMPLE")),
        "{told}"
    );
    assert_eq!(call(&node, "/wrong").await.0, 500);
    assert_eq!(call(&node, "/away").await.0, 500);
    assert_eq!(upstream.hits(), 0);
    let log = node.log();
    for secret in [cloud::KEY.1, WRONG, "session-secret", "session-token"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_azure_answer_whoever_has_their_key() {
    let (upstream, cloud) = (Upstream::start().await, Cloud::start().await);
    let plugins = [
        ("own", azure(&cloud, cloud::FUNCTION_KEY)),
        ("wrong", azure(&cloud, WRONG)),
    ];
    let node = node(&upstream, &plugins).await;
    node.serves("/own", 202).await;
    let (status, told) = call(&node, "/own?a=b%20c").await;
    let expected = json!({
        "method": "POST", "path": "/api/f", "query": "a=b%20c", "client": "client-1",
        "body": "hello",
    });
    assert_eq!((status, told), (202, expected));
    assert_eq!(call(&node, "/wrong").await.0, 401);
    assert_eq!(upstream.hits(), 0);
    let log = node.log();
    assert!(
        !log.contains(cloud::FUNCTION_KEY) && !log.contains(WRONG),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_functions_are_found_as_the_gateway_is_set() {
    let (upstream, cloud) = (Upstream::start().await, Cloud::start().await);
    let hosts = tempfile::NamedTempFile::new().expect("make a file");
    std::fs::write(hosts.path(), "127.0.0.1 lambda.example.test\n").expect("write a file");
    let path = hosts.path().display().to_string();
    let plugins = [(
        "own",
        lambda(&cloud, json!({"host": "lambda.example.test"})),
    )];
    let node = node_with(&upstream, &plugins, &[("dns_hostsfile", &path)]).await;
    node.serves("/own", 200).await;
}
