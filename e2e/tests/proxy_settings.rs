//! What operators set for the proxy: access logs and pages for errors.

use std::path::Path;

use e2e::{Node, Role, Upstream, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn started(upstream: &Upstream, settings: &[(&str, &str)]) -> Node {
    let node = Node::start(Role::Dbless, settings, &[]);
    node.up().await;
    let route = json!({"name": "echo", "paths": ["/"], "strip_path": false});
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "echo", "url": upstream.url(), "routes": [route]}],
    });
    node.change("POST", "/config", config).await;
    node.serves("/", 200).await;
    node
}

/// Waits for a line with this text in a file of the node; the line.
async fn logged(node: &Node, file: &str, wanted: &str) -> String {
    let path = node.prefix().join(file);
    wait::until(&format!("{wanted} in {file}"), || async {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        let line = log.lines().find(|line| line.contains(wanted));
        line.map(str::to_owned).ok_or(log)
    })
    .await
}

/// Sends bytes to the proxy, and reads until it closes; what came until then.
async fn raw(node: &Node, bytes: &str) -> String {
    let address = ("127.0.0.1", node.ports.proxy);
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("connect");
    stream.write_all(bytes.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    // The end may be an error, for who sends too late.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_refusals_are_logged_in_kongs_form() {
    let upstream = Upstream::start().await;
    let node = started(&upstream, &[]).await;
    // ada:secret
    let asked = "GET /logged?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                 User-Agent: me/1\r\nAuthorization: Basic YWRhOnNlY3JldA==\r\n\r\n";
    let answer = raw(&node, asked).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("X-Kong-Request-Id: "))
        .expect("an id");
    let line = logged(&node, "logs/access.log", "/logged").await;
    assert!(line.starts_with("127.0.0.1 - ada ["), "{line}");
    assert!(
        line.contains("] \"GET /logged?x=1 HTTP/1.1\" 200 "),
        "{line}"
    );
    let end = format!(" \"-\" \"me/1\" kong_request_id: \"{id}\"");
    assert!(line.ends_with(&end), "{line}");

    let refused = raw(&node, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    logged(&node, "logs/access.log", " 400 ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_a_request_is_logged() {
    let upstream = Upstream::start().await;
    let settings = [("nginx_http_client_header_timeout", "1s")];
    let node = Node::start(Role::Dbless, &settings, &[]);
    node.up().await;
    drop(upstream);
    // Who has not begun by then is not answered at all.
    wait::until("408", || async {
        let late = raw(&node, "GET / HTTP/1.1\r\nHost: ").await;
        late.starts_with("HTTP/1.1 408").then_some(()).ok_or(late)
    })
    .await;
    logged(&node, "logs/access.log", " 408 ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_moved_away_is_opened_anew() {
    let upstream = Upstream::start().await;
    let node = started(&upstream, &[("proxy_access_log", "logs/mine.log")]).await;
    node.serves("/before", 200).await;
    logged(&node, "logs/mine.log", "/before").await;
    let logs = node.prefix().join("logs");
    std::fs::rename(logs.join("mine.log"), logs.join("moved.log")).expect("move");
    node.signal(Signal::USR1);
    wait::until("another file", || async {
        node.serves("/after", 200).await;
        logs.join("mine.log").exists().then_some(()).ok_or("none")
    })
    .await;
    logged(&node, "logs/mine.log", "/after").await;
    logged(&node, "logs/moved.log", "/before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_have_the_form_and_the_place_that_are_asked_for() {
    let upstream = Upstream::start().await;
    let node = started(&upstream, &[("proxy_access_log", "/dev/stdout json")]).await;
    node.serves("/as-json", 200).await;
    let line = logged(&node, "e2e.log", "\"target\":\"/as-json\"").await;
    let told: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&told["status"], &told["route"]),
        (&json!(200), &json!("echo"))
    );

    let own = [
        ("proxy_access_log", "logs/own.log mine"),
        (
            "nginx_http_log_format",
            "mine '$status $request_uri by $kong_route to $kong_service'",
        ),
    ];
    let node = started(&upstream, &own).await;
    node.serves("/own", 200).await;
    let line = logged(&node, "logs/own.log", "/own").await;
    assert_eq!(line, "200 /own by echo to echo");

    let node = started(&upstream, &[("proxy_access_log", "off")]).await;
    node.serves("/unseen", 200).await;
    assert!(!node.prefix().join("logs/access.log").exists());
}

const FORMS: [(&str, &str); 4] = [
    ("html", "text/html"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("plain", "text/plain"),
];

/// Settings that name a template for each form, with this text.
fn templates(place: &Path, text: &str) -> String {
    let mut settings = String::new();
    for (form, _) in FORMS {
        let file = place.join(format!("{text}-{form}"));
        std::fs::write(&file, format!("{text} {form}: %s (%s)")).expect("write a template");
        settings += &format!("error_template_{form} = {}\n", file.display());
    }
    settings
}

/// Waits until every form has its page.
async fn told(node: &Node, text: &str) {
    let client = reqwest::Client::new();
    for (form, accept) in FORMS {
        let start = format!("{text} {form}: no Route matched with those values (");
        wait::until(&start, || async {
            let request = client.get(node.proxy("/nowhere")).header("accept", accept);
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let page = answer.text().await.map_err(|error| error.to_string())?;
            page.starts_with(&start).then_some(()).ok_or(page)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_for_errors_are_read_from_files_and_read_again() {
    let place = tempfile::tempdir().expect("make a directory");
    let conf = place.path().join("kong.conf");
    let write = |text: &str| std::fs::write(&conf, templates(place.path(), text)).expect("write");
    write("first");
    let variable = ("KEELGATE_CONF".into(), conf.display().to_string());
    let node = Node::start(Role::Dbless, &[], &[variable]);
    node.up().await;
    told(&node, "first").await;
    write("second");
    let (succeeded, said) = node.operate(&["reload"]).await;
    assert!(succeeded, "{said}");
    told(&node, "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_cannot_be_used_ends_the_start() {
    let place = tempfile::tempdir().expect("make a directory");
    let crowded = place.path().join("crowded");
    std::fs::write(&crowded, "%s %s %s").expect("write a template");
    let missing = place.path().join("missing");
    for (form, file) in [("xml", &crowded), ("html", &missing)] {
        let key = format!("error_template_{form}");
        let file = file.display().to_string();
        let mut node = Node::start(Role::Dbless, &[(&key, &file)], &[]);
        assert!(!node.exit().await.success());
        let log = node.log();
        assert!(log.contains(&key) && log.contains(&file), "{log}");
    }
}
