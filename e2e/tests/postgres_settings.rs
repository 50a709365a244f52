//! What the settings of a PostgreSQL database do, and commands of several machines at once.

use e2e::{Cluster, Node, Postgres, Role, wait};
use futures_util::future::join_all;
use serde_json::{Value, json};

fn with(server: &Postgres, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = settings.iter();
    let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    server.environment().into_iter().chain(own).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_may_stand_in_a_vault() {
    let server = Postgres::start().await;
    let secret = json!({"password": server.password()}).to_string();
    let reference = ("KONG_PG_PASSWORD", "{vault://env/db-login/password}");
    let environment = with(&server, &[reference, ("DB_LOGIN", &secret)]);
    let operator = Node::idle(&environment);
    let (done, said) = operator.operate(&["migrations", "bootstrap"]).await;
    assert!(done, "{said}");
    let node = Node::start(Role::Traditional, &[("log_level", "debug")], &environment);
    node.up().await;
    node.change("PUT", "/services/s", json!({"host": "h"}))
        .await;
    let about = node.change("GET", "/", Value::Null).await.to_string();
    for told in [about, node.log()] {
        assert!(!told.contains(server.password()), "it is told: {told}");
    }

    let without = Node::idle(&with(&server, &[reference]));
    let (done, said) = without.operate(&["migrations", "list"]).await;
    assert!(!done && said.contains("DB_LOGIN"), "{said}");
    let wrong = json!({"password": "another one of tests"}).to_string();
    let wrong = Node::idle(&with(&server, &[reference, ("DB_LOGIN", &wrong)]));
    let (done, said) = wrong.operate(&["migrations", "list"]).await;
    assert!(!done && said.contains("password"), "{said}");
    assert!(!said.contains("another one of tests"), "it is told: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_of_several_processes_at_once_make_one_cluster() {
    let server = Postgres::start().await;
    let operators: Vec<_> = (0..4).map(|_| Node::idle(&server.environment())).collect();
    for command in ["bootstrap", "up"] {
        let arguments = ["migrations", command];
        let runs = operators.iter();
        for (done, said) in join_all(runs.map(|operator| operator.operate(&arguments))).await {
            assert!(done, "{command}: {said}");
        }
    }
    let client = server.client().await;
    let clusters = client.query_one("SELECT count(*) FROM keelgate_cluster", &[]);
    let clusters: i64 = clusters.await.expect("a count").get(0);
    assert_eq!(clusters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_to_a_replica_and_all_else_to_the_server() {
    let mut server = Postgres::start().await;
    server.bootstrap().await;
    let mut replica = server.replica().await;
    let mut cluster = Cluster::new().await;
    let port = replica.port().to_string();
    cluster.give(with(
        &server,
        &[("KONG_PG_RO_HOST", "127.0.0.1"), ("KONG_PG_RO_PORT", &port)],
    ));
    let node = cluster.control_plane(&[]);
    node.up().await;
    let data_plane = cluster.data_plane_of(&node, &[("database", "off")]);
    cluster.add_route(&node, "one", "/one").await;
    data_plane.serves("/one", 200).await;
    let reads = async |name: &str| {
        let url = node.admin(&format!("/services/{name}"));
        node.answers(&url, 200).await
    };
    reads("one").await;

    // It stays behind: reads are old, and nothing else is.
    let client = replica.client().await;
    let pause = client.batch_execute("SELECT pg_wal_replay_pause()");
    pause.await.expect("pause the replica");
    wait::until("the replica to pause", || async {
        let state = client.query_one("SELECT pg_get_wal_replay_pause_state()", &[]);
        match state.await.expect("a state").get::<_, String>(0) {
            state if state == "paused" => Ok(()),
            state => Err(state),
        }
    })
    .await;
    cluster.add_route(&node, "two", "/two").await;
    data_plane.serves("/two", 200).await;
    let (status, _) = node.ask("GET", "/services/two", Value::Null).await;
    assert_eq!(status, 404, "a read of the replica");
    node.change("PATCH", "/services/two", json!({"retries": 7}))
        .await;
    let resume = client.batch_execute("SELECT pg_wal_replay_resume()");
    resume.await.expect("resume the replica");
    reads("two").await;

    replica.kill();
    cluster.add_route(&node, "three", "/three").await;
    reads("three").await;
    data_plane.serves("/three", 200).await;
    replica.start_again().await;
    server.kill();
    reads("three").await;
    let (status, answer) = node
        .ask("PUT", "/services/four", json!({"host": "h"}))
        .await;
    assert_eq!(status, 503, "{answer}");
    data_plane.serves("/three", 200).await;
}
