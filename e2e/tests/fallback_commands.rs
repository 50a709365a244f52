//! The operator's commands for the fallback storage, run as an operator does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::{Cluster, Node, Storage, node, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The machine of an operator: settings of the cluster, a directory for files, and the binary.
struct Operator<'a> {
    cluster: &'a Cluster,
    directory: TempDir,
}

impl<'a> Operator<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        Self { cluster, directory }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str], more: &[(&str, &str)]) -> Command {
        let storage = self.cluster.storage();
        let mut command = Command::new(node::binary());
        command
            .args(arguments)
            .env_clear()
            .env("KONG_PREFIX", self.directory.path().join("prefix"))
            .env("KONG_CLUSTER_CERT", self.cluster.certificate())
            .env("KONG_CLUSTER_CERT_KEY", self.cluster.key())
            .env("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", &storage.url)
            .env("USER", "operator")
            .envs(storage.environment.iter().cloned())
            .envs(more.iter().copied())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments, &[])
            .output()
            .expect("run the binary under test")
    }

    /// Runs a command that must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command that must fail with 1, and returns what it said.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{arguments:?}: {}",
            said(&output)
        );
        said(&output)
    }

    /// Runs a command that must succeed, and reads its JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&self.done(&arguments)).expect("one JSON document")
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A control plane that exports.
fn exporter(cluster: &Cluster) -> Node {
    cluster.control_plane(&[
        ("cluster_fallback_config_export", "on"),
        ("cluster_fallback_config_export_delay", "1"),
    ])
}

/// `EPOCH-REVISION` of an identity in JSON.
fn position(identity: &Value) -> String {
    format!("{}-{}", identity["epoch"], identity["revision"])
}

/// An outage from its beginning to its end, with the commands that an operator has.
async fn an_outage(cluster: Cluster) {
    let operator = Operator::of(&cluster);
    let mut control_plane = exporter(&cluster);
    control_plane.up().await;
    cluster
        .add_route(&control_plane, "billing", "/billing")
        .await;
    cluster.storage().holds("/billing").await;
    let before = operator.json(&["fallback", "ls"])["chosen"]["identity"].clone();
    cluster.add_route(&control_plane, "legacy", "/legacy").await;
    cluster.storage().holds("/legacy").await;

    // See.
    let listed = operator.json(&["fallback", "ls"]);
    let version = &listed["storages"][0]["versions"][0];
    assert_eq!(version["config"]["verified"], true, "{listed:#}");
    assert_eq!(version["fencing"], "compare", "{listed:#}");
    assert!(version["lease"]["holder"].is_string(), "{listed:#}");
    assert!(version["history"].as_array().expect("a list").len() > 1);
    let table = operator.done(&["fallback", "ls"]);
    assert!(
        table.contains("config.json") && table.contains("chosen"),
        "{table}"
    );
    let shown = operator.json(&["fallback", "show"]);
    assert_eq!(shown["identity"], listed["chosen"]["identity"]);
    assert_eq!(shown["entities"]["routes"], 2, "{shown:#}");
    assert_eq!(shown["signature"]["algorithm"], "ES384", "{shown:#}");
    operator.done(&["fallback", "verify"]);

    // Emergency publish.
    control_plane.kill();
    operator.done(&["fallback", "pull", "-o", "kong.yml"]);
    let mode = std::fs::metadata(operator.file("kong.yml"))
        .expect("the file is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = operator.refused(&["fallback", "pull", "-o", "kong.yml"]);
    assert!(kept.contains("Will not overwrite"), "{kept}");
    change(
        Path::new(&operator.file("kong.yml")),
        "/billing",
        "/invoices",
    );
    let reason = ["--reason", "billing moved"];
    let publish = [&["fallback", "publish", "kong.yml"][..], &reason].concat();
    let asked = operator.refused(&publish);
    assert!(asked.contains("--yes"), "{asked}");
    let published = operator.json(&[&publish[..], &["--yes"]].concat());
    assert_eq!(position(&published["identity"]), "2-1", "{published:#}");
    assert_eq!(published["storages"][0]["stored"], true, "{published:#}");
    assert_eq!(
        published["difference"]["routes"]["changed"][0]["name"], "billing",
        "{published:#}"
    );
    let shown = operator.json(&["fallback", "show"]);
    assert_eq!(shown["publication"]["reason"], "billing moved", "{shown:#}");
    let by = shown["publication"]["by"].as_str().expect("who");
    assert!(by.starts_with("operator@"), "{by}");
    assert_eq!(shown["publication"]["base"], listed["chosen"]["identity"]);

    // A data plane that is born now has it, and a drill shows the same.
    let settings = [("cluster_fallback_config_import", "on")];
    let born = cluster.data_plane_of(&control_plane, &settings);
    born.serves("/invoices", 200).await;
    assert_eq!(born.source().await, "storage");
    let drilled = operator.json(&[
        "fallback",
        "drill",
        "--outage",
        "refused",
        "--request",
        "/invoices",
    ]);
    assert_eq!(drilled["verdict"], "passed", "{drilled:#}");
    assert_eq!(drilled["source"], "storage", "{drilled:#}");

    // Back to what was before, as something new.
    let id = position(&before);
    let rolled = operator.json(&[
        "fallback",
        "rollback",
        &id,
        "--reason",
        "both were wrong",
        "--yes",
    ]);
    assert_eq!(position(&rolled["identity"]), "3-1", "{rolled:#}");
    assert_eq!(rolled["identity"]["sha256"], before["sha256"]);
    assert_eq!(rolled["publication"]["restores"], before);
    let difference = operator.json(&["fallback", "diff", &id, "config"]);
    assert_eq!(difference, json!({}));
    let difference = operator.done(&["fallback", "diff", "2-1", "config"]);
    assert!(difference.contains("- legacy"), "{difference}");

    // The control plane returns; it is behind until its next epoch.
    control_plane.start_again();
    control_plane.up().await;
    let prefix = control_plane.prefix().display().to_string();
    let next = ["config", "next_epoch", "--prefix", &prefix];
    let asked = operator
        .command(&next, &[("KONG_ROLE", "control_plane")])
        .output()
        .expect("run the binary under test");
    assert!(!asked.status.success());
    assert!(said(&asked).contains("legacy"), "{}", said(&asked));
    let begun = operator
        .command(
            &[&next[..], &["--yes"]].concat(),
            &[("KONG_ROLE", "control_plane")],
        )
        .output()
        .expect("run the binary under test");
    assert!(begun.status.success(), "{}", said(&begun));
    wait::until("the control plane's epoch in the storage", || async {
        let chosen = operator.json(&["fallback", "ls"])["chosen"]["identity"].clone();
        match chosen["epoch"] == 4 {
            true => Ok(()),
            false => Err(format!("{chosen}")),
        }
    })
    .await;
    born.serves("/legacy", 200).await;

    // What is old goes.
    let dry = operator.json(&["fallback", "prune", "--keep", "1", "--dry-run"]);
    let count = dry[0]["deleted"].as_array().expect("a list").len();
    assert!(count >= 3, "{dry:#}");
    assert_eq!(
        operator.json(&["fallback", "prune", "--keep", "1"])[0]["kept"],
        1
    );
    let left = cluster.storage().list("0.1.0/history").await;
    assert_eq!(left.len(), 1, "{left:?}");

    // A version whose folder an operator has deleted is forgotten.
    let index = cluster.storage().read("index.json").await;
    let mut index: Value = serde_json::from_slice(&index.expect("an index")).expect("JSON");
    index["versions"]["0.0.9"] = index["versions"]["0.1.0"].clone();
    cluster
        .storage()
        .write("index.json", index.to_string())
        .await;
    for arguments in [&["--dry-run"][..], &[]] {
        let prune = [&["fallback", "prune", "--keep", "1"], arguments].concat();
        let pruned = operator.json(&prune);
        assert_eq!(pruned[0]["forgotten"], json!(["0.0.9"]), "{pruned:#}");
    }
    let index = cluster.storage().read("index.json").await;
    let index: Value = serde_json::from_slice(&index.expect("an index")).expect("JSON");
    let versions = index["versions"].as_object().expect("versions");
    assert!(versions.keys().eq(["0.1.0"]), "{index}");
    operator.done(&["fallback", "verify"]);
}

fn change(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("read the file");
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).expect("write the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_with_a_directory() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    an_outage(Cluster::new().await.and_storage(storage)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_with_s3() {
    an_outage(Cluster::with_s3().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_document_fails_the_verification_and_stops_the_pruning() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    let cluster = Cluster::new().await.and_storage(storage);
    let operator = Operator::of(&cluster);
    let mut control_plane = exporter(&cluster);
    control_plane.up().await;
    cluster
        .add_route(&control_plane, "billing", "/billing")
        .await;
    cluster.storage().holds("/billing").await;
    control_plane.kill();
    let key = Storage::config_key();
    let good = cluster.storage().read(&key).await.expect("it is there");
    let text = String::from_utf8(good.to_vec()).expect("UTF-8");
    let altered = text.replace("/billing", "/attacks");
    cluster.storage().write(&key, altered).await;

    let verdict = operator.refused(&["fallback", "verify"]);
    assert!(verdict.contains("would not be served"), "{verdict}");
    let kept = operator.refused(&["fallback", "prune", "--keep", "1"]);
    assert!(kept.contains("history"), "{kept}");
    // A data plane passes it over, and ls says so.
    let listed = operator.json(&["fallback", "ls"]);
    assert_ne!(listed["chosen"]["key"], key.as_str(), "{listed:#}");
    assert_eq!(listed["refusals"][0]["kind"], "tampered", "{listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_data_planes_could_not_use_is_published() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    let cluster = Cluster::new().await.and_storage(storage);
    let operator = Operator::of(&cluster);
    let write = |name: &str, text: &str| {
        std::fs::write(operator.file(name), text).expect("write the file");
    };
    write(
        "bad.yml",
        "_format_version: \"3.0\"\nservices:\n- name: s\n  host: 7\n",
    );
    write(
        "good.yml",
        "_format_version: \"3.0\"\nservices:\n- name: s\n  host: h.test\n",
    );
    let publish = |file: &str, more: &[&str]| {
        let line = ["fallback", "publish", file, "--reason", "first", "--yes"];
        operator.run(&[&line[..], more].concat())
    };
    let id = "0e3d7a4e-6a3f-4b1c-9a54-8d5f1c2b3a49";
    let bad = publish("bad.yml", &["--cluster-id", id]);
    assert!(!bad.status.success());
    assert!(said(&bad).contains("host"), "{}", said(&bad));
    let nameless = publish("good.yml", &[]);
    assert!(!nameless.status.success());
    assert!(
        said(&nameless).contains("--cluster-id"),
        "{}",
        said(&nameless)
    );
    assert!(
        cluster
            .storage()
            .read(&Storage::config_key())
            .await
            .is_none()
    );

    // A storage that a control plane never wrote to, by the one who knows the cluster.
    let first = publish("good.yml", &["--cluster-id", id]);
    assert!(first.status.success(), "{}", said(&first));
    let shown = operator.json(&["fallback", "show"]);
    assert_eq!(shown["identity"]["cluster_id"], id, "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_fails_when_the_answer_is_another_or_nothing_can_serve() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    let cluster = Cluster::new().await.and_storage(storage);
    let operator = Operator::of(&cluster);
    let empty = operator.refused(&["fallback", "drill", "--within", "2", "--outage", "refused"]);
    assert!(empty.contains("not ready within 2 s"), "{empty}");

    let control_plane = exporter(&cluster);
    control_plane.up().await;
    cluster
        .add_route(&control_plane, "billing", "/billing")
        .await;
    cluster.storage().holds("/billing").await;
    let wrong = operator.refused(&["fallback", "drill", "--request", "/nowhere"]);
    assert!(wrong.contains("404 (no route), expected 200"), "{wrong}");
    let line = [
        "fallback",
        "drill",
        "--request",
        "/billing",
        "--host",
        "h.test",
        "--routes",
        "5",
    ];
    let right = operator.json(&line);
    let sent = right["requests"].as_array().expect("a list");
    assert_eq!(sent.len(), 3, "{right:#}");
    assert_eq!(sent[2]["status"], 200, "{right:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_takes_the_place_of_a_lost_one() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    let cluster = Cluster::new().await.and_storage(storage);
    let operator = Operator::of(&cluster);
    let mut lost = exporter(&cluster);
    lost.up().await;
    cluster.add_route(&lost, "billing", "/billing").await;
    cluster.storage().holds("/billing").await;
    lost.kill();
    let before = operator.json(&["fallback", "ls"])["chosen"]["identity"].clone();
    operator.done(&["fallback", "pull", "-o", "kong.yml"]);

    let new = exporter(&cluster);
    new.up().await;
    let settings = [
        ("cluster_fallback_config_import", "on"),
        ("cluster_fallback_config_refresh", "1"),
    ];
    let born = cluster.data_plane_of(&lost, &settings);
    born.serves("/billing", 200).await;
    let prefix = new.prefix().display().to_string();
    let operate = |arguments: &[&str]| {
        operator
            .command(
                &[arguments, &["--prefix", &prefix]].concat(),
                &[("KONG_ROLE", "control_plane")],
            )
            .output()
            .expect("run the binary under test")
    };
    let imported = operate(&["config", "db_import", "kong.yml"]);
    assert!(imported.status.success(), "{}", said(&imported));
    let foreign = operate(&["config", "next_epoch", "--yes"]);
    assert!(!foreign.status.success());
    assert!(said(&foreign).contains("--adopt"), "{}", said(&foreign));
    let begun = operate(&["config", "next_epoch", "--adopt", "--yes"]);
    assert!(begun.status.success(), "{}", said(&begun));
    assert!(
        said(&begun).contains("no entity differs"),
        "{}",
        said(&begun)
    );

    cluster.add_route(&new, "added", "/added").await;
    cluster.storage().holds("/added").await;
    let after = operator.json(&["fallback", "ls"])["chosen"]["identity"].clone();
    assert_eq!(after["cluster_id"], before["cluster_id"]);
    assert_eq!(after["epoch"], 2, "{after:#}");
    born.serves("/added", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_tells_what_the_storage_allows() {
    let cluster = Cluster::with_s3().await;
    let operator = Operator::of(&cluster);
    let found = operator.json(&["fallback", "doctor", "--for", "writer"]);
    let found = &found[0];
    assert_eq!(found["fit_for_writers"], true, "{found:#}");
    assert_eq!(found["fencing"], "compare", "{found:#}");
    assert!(found["latency_ms"].as_f64().expect("a number") > 0.0);
    assert!(found["clock_ahead"].as_i64().expect("a number").abs() < 5);
    let policy = found["policies"]["writer"].as_str().expect("a text");
    assert!(policy.contains("s3:PutObject"), "{policy}");
    let secret = &cluster
        .storage()
        .environment
        .iter()
        .find(|(name, _)| name == "AWS_SECRET_ACCESS_KEY")
        .expect("the server has a secret")
        .1;
    assert!(!found.to_string().contains(secret.as_str()), "{found:#}");
    let left = cluster.storage().list("0.1.0").await;
    assert!(left.is_empty(), "the doctor left {left:?}");

    let denied = operator
        .command(
            &["fallback", "doctor"],
            &[("AWS_SECRET_ACCESS_KEY", "another")],
        )
        .output()
        .expect("run the binary under test");
    assert_eq!(denied.status.code(), Some(1), "{}", said(&denied));
    assert!(
        said(&denied).contains("access was denied"),
        "{}",
        said(&denied)
    );
}
