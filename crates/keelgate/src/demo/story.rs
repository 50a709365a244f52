//! What the demo plays, from the first start to the control plane's return.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::json;

use super::timeline::{Timeline, milliseconds};
use super::traffic::Traffic;
use super::troupe::Node;
use super::upstream;
use crate::command::hybrid;
use crate::free_port;

/// Plays the whole story. An error says which step failed.
pub(crate) async fn tell(directory: &Path, storage: &str) -> anyhow::Result<()> {
    let time =
        Timeline::begin("keelgate demo: a data plane is born while the control plane is dead");
    let echo = upstream::start().await?;
    let (cert, key) = (directory.join("cluster.crt"), directory.join("cluster.key"));
    hybrid::write_certificate(&cert, &key, hybrid::DEFAULT_DAYS)?;
    let cluster_port = free_port::number()?;

    let shared = [
        ("KONG_CLUSTER_CERT", cert.display().to_string()),
        ("KONG_CLUSTER_CERT_KEY", key.display().to_string()),
        ("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", storage.to_owned()),
    ];
    let data_plane = |name: &'static str, role: &[(&'static str, &str)]| -> anyhow::Result<Node> {
        let node = Node::new(name, directory, &shared)?
            .with("KONG_ROLE", "data_plane".into())
            .with("KONG_DATABASE", "off".into())
            .with(
                "KONG_CLUSTER_CONTROL_PLANE",
                format!("127.0.0.1:{cluster_port}"),
            );
        let listen = format!("127.0.0.1:{}", node.port);
        let node = node.with("KONG_PROXY_LISTEN", listen);
        Ok(role
            .iter()
            .fold(node, |node, (name, value)| node.with(name, (*value).into())))
    };

    let control_plane = Node::new("control plane", directory, &shared)?;
    let admin = format!("127.0.0.1:{}", control_plane.port);
    let mut control_plane = control_plane
        .with("KONG_ROLE", "control_plane".into())
        .with("KONG_ADMIN_LISTEN", admin.clone())
        .with("KONG_CLUSTER_LISTEN", format!("127.0.0.1:{cluster_port}"));
    let mut backup = data_plane(
        "backup node",
        &[
            ("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT", "on"),
            // The demo need not gather changes: the route shall be stored at once.
            ("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY", "0.2"),
        ],
    )?;
    let mut first = data_plane("data plane", &[])?;

    control_plane.start()?;
    control_plane.serves("/status").await?;
    time.event(
        "control plane",
        &format!("up, Admin API on {admin}, SQLite"),
    );
    backup.start()?;
    first.start()?;
    backup.reports(|_| true).await?;
    time.event("backup node", &format!("up, exports to {storage}"));
    first.reports(|_| true).await?;
    time.event(
        "data plane",
        &format!("up, proxy on 127.0.0.1:{}", first.port),
    );

    let service = json!({"name": "echo", "url": format!("http://{echo}")});
    control_plane
        .change(Method::POST, "/services", service)
        .await?;
    let route = json!({"name": "hello", "paths": ["/hello"]});
    control_plane
        .change(Method::POST, "/services/echo/routes", route)
        .await?;
    time.event(
        "you",
        "POST /services, POST /services/echo/routes  (/hello -> echo)",
    );
    let live = first.serves("/hello").await?;
    time.event(
        "data plane",
        &format!("serves /hello, {} after the change", milliseconds(live)),
    );
    let traffic = Traffic::start(&first.url("/hello"));
    wait_for_backup(&backup).await?;
    time.event(
        "backup node",
        "the snapshot is stored, read back and verified",
    );

    time.part("The outage");
    control_plane.kill()?;
    time.blow("control plane", "killed with SIGKILL");
    let mut newborn = data_plane(
        "new data plane",
        &[("KONG_CLUSTER_FALLBACK_CONFIG_IMPORT", "on")],
    )?;
    newborn.start()?;
    time.event("new data plane", "started on an empty disk");
    newborn
        .serves("/hello")
        .await
        .context("the newborn data plane")?;
    let birth = newborn.age();
    // What is told of a configuration follows on its activation.
    let report = newborn
        .reports(|report| serving(report) != "nothing")
        .await?;
    let source = serving(&report);
    if source != "storage" {
        bail!("the newborn data plane serves from \"{source}\", not from the storage: {report}");
    }
    time.success(
        "new data plane",
        &format!(
            "first 200 from the storage's snapshot, {} after exec",
            milliseconds(birth)
        ),
    );
    let more = Traffic::start(&newborn.url("/hello"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    time.event("traffic", "a second of requests through both data planes");

    time.part("The return");
    control_plane.start()?;
    control_plane.serves("/status").await?;
    time.event(
        "control plane",
        &format!("back, {} after exec", milliseconds(control_plane.age())),
    );
    for (node, name) in [(&first, "data plane"), (&newborn, "new data plane")] {
        node.reports(|report| report["source"]["state"] == "current")
            .await?;
        let after = milliseconds(control_plane.age());
        time.event(name, &format!("follows it again, {after} after its exec"));
    }
    let both = json!({"paths": ["/hello", "/again"]});
    let changed = Instant::now();
    control_plane
        .change(Method::PATCH, "/routes/hello", both)
        .await?;
    time.event("you", "PATCH /routes/hello  (and /again -> echo)");
    for (node, name) in [(&first, "data plane"), (&newborn, "new data plane")] {
        node.serves("/again").await?;
        let after = milliseconds(changed.elapsed());
        time.success(name, &format!("serves /again, {after} after the change"));
    }

    let (sent, failed) = traffic.stop().await;
    let (sent_more, failed_more) = more.stop().await;
    let (sent, failed) = (sent + sent_more, failed + failed_more);
    anstream::println!();
    if failed > 0 {
        time.blow("traffic", &format!("{failed} of {sent} requests failed"));
        bail!("{failed} of {sent} requests failed");
    }
    time.success("traffic", &format!("{sent} requests, none failed"));
    Ok(())
}

fn serving(report: &serde_json::Value) -> &str {
    report["source"]["serving"]["source"]
        .as_str()
        .unwrap_or("nothing")
}

/// Waits until the backup node has published the snapshot that it serves.
async fn wait_for_backup(backup: &Node) -> anyhow::Result<()> {
    let stored = |report: &serde_json::Value| {
        let serving = &report["source"]["serving"]["identity"];
        let published = &report["fallback"][0]["last_success"]["identity"];
        !serving.is_null() && serving == published && serving["revision"].as_u64() >= Some(2)
    };
    backup.reports(stored).await.map(drop)
}
