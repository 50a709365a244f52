//! Migrations that are killed, that run at the same time, and that take the tables from under nodes.

use e2e::{Cluster, Node, Postgres, Role, wait};
use serde_json::{Value, json};

/// Waits until a process of the gateway waits for a lock of the server.
async fn is_stuck(client: &tokio_postgres::Client) {
    wait::until("a migration to wait for the lock", || async {
        let waiting = client
            .query_one(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = 'keelgate' AND wait_event_type = 'Lock'",
                &[],
            )
            .await
            .expect("ask who waits");
        match waiting.get::<_, i64>(0) {
            0 => Err("none does"),
            _ => Ok(()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_killed_in_the_middle_is_taken_up() {
    // The server notices at once that the process is gone, or ends the step first.
    for ends_the_step in [false, true] {
        let server = Postgres::start().await;
        let operator = Node::idle(&server.environment());
        let client = server.client().await;
        // A step in the middle cannot go on as long as somebody else makes a table of that name.
        let obstacle = server.client().await;
        obstacle
            .batch_execute("BEGIN; CREATE TABLE keelgate_audit (x INT)")
            .await
            .expect("stand in the way");
        let mut migration = operator.begin(&["migrations", "bootstrap"]);
        is_stuck(&client).await;
        migration.kill().expect("kill the migration");
        migration.wait().expect("reap the migration");

        let (done, said) = operator.operate(&["migrations", "list"]).await;
        assert!(!done && said.contains("000_base"), "{said}");
        assert!(said.contains("New migrations available"), "{said}");
        assert!(said.contains("010_audit"), "{said}");
        let (done, said) = operator.operate(&["start", "--foreground"]).await;
        assert!(!done && said.contains("migrations up"), "{said}");
        // What comes now waits for what is left of the killed one.
        let impatient = ["migrations", "up", "--lock-timeout", "1"];
        let (done, said) = operator.operate(&impatient).await;
        assert!(!done && said.contains("another node's"), "{said}");
        if !ends_the_step {
            client
                .execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'keelgate'",
                    &[],
                )
                .await
                .expect("end the connection");
        }
        obstacle
            .batch_execute("ROLLBACK")
            .await
            .expect("step aside");

        for command in ["up", "bootstrap", "list"] {
            let (done, said) = operator.operate(&["migrations", command]).await;
            assert!(done, "{command}: {said}");
        }
        let node = Node::start(Role::Traditional, &[], &server.environment());
        node.up().await;
        node.change("POST", "/services", json!({"name": "s", "host": "h"}))
            .await;
        let audit = node.change("GET", "/audit", Value::Null).await;
        assert_eq!(audit["data"].as_array().map(Vec::len), Some(1), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_and_resets_at_the_same_time_leave_all_or_nothing() {
    let server = Postgres::start().await;
    let operator = Node::idle(&server.environment());
    let run = async |arguments: &[&str]| {
        let (done, said) = operator.operate(arguments).await;
        // The database may be empty by the time that it is its turn.
        let empty = said.contains("migrations bootstrap");
        assert!(done || empty, "{arguments:?}: {said}");
    };
    for _ in 0..3 {
        tokio::join!(
            run(&["migrations", "bootstrap"]),
            run(&["migrations", "reset", "--yes"]),
            run(&["migrations", "up"]),
            run(&["migrations", "reset", "--yes"]),
            run(&["migrations", "bootstrap", "--force", "--yes"]),
            run(&["migrations", "list"]),
        );
        let (_, said) = operator.operate(&["migrations", "status"]).await;
        let status: Value = serde_json::from_str(&said).expect("the status is JSON");
        let made = status["executed_migrations"].as_array().map(Vec::len);
        let left = status["new_migrations"].as_array().map(Vec::len);
        assert!(made == Some(0) || left == Some(0), "{said}");
    }
    let (done, said) = operator.operate(&["migrations", "bootstrap"]).await;
    assert!(done, "{said}");
    let node = Node::start(Role::Traditional, &[], &server.environment());
    node.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_under_a_running_control_plane_takes_nothing_from_its_data_planes() {
    let server = Postgres::start().await;
    server.bootstrap().await;
    let mut cluster = Cluster::new().await;
    cluster.give(server.environment());
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "before", "/before").await;
    let data_plane = cluster.data_plane_of(&control_plane, &[("database", "off")]);
    data_plane.ready().await;
    data_plane.serves("/before", 200).await;

    // Readers and writers at work lock tables, too.
    let operator = Node::idle(&server.environment());
    let resets = async {
        for _ in 0..3 {
            let (done, said) = operator.operate(&["migrations", "reset", "--yes"]).await;
            assert!(done, "{said}");
        }
    };
    let work = async {
        for number in 0..40 {
            let path = format!("/services/s{number}");
            let (status, answer) = control_plane.ask("PUT", &path, json!({"host": "h"})).await;
            assert!([200, 503].contains(&status), "{status} {answer}");
            let (status, answer) = control_plane.ask("GET", "/services", Value::Null).await;
            assert_eq!(status, 200, "{answer}");
        }
    };
    tokio::join!(resets, work);

    let (status, answer) = control_plane
        .ask("PUT", "/services/s", json!({"host": "h"}))
        .await;
    assert_eq!(status, 503, "{answer}");
    let message = answer["message"].as_str().expect("a message");
    assert!(
        message.contains("keelgate migrations bootstrap"),
        "{message}"
    );
    let routes = control_plane.change("GET", "/routes", Value::Null).await;
    assert_eq!(routes["data"][0]["name"], "before", "from memory");
    data_plane.serves("/before", 200).await;

    server.bootstrap().await;
    wait::until("changes to be taken", || async {
        let answer = control_plane.ask("PUT", "/services/new", json!({"host": "h"}));
        match answer.await {
            (200, _) => Ok(()),
            (status, answer) => Err(format!("{status} {answer}")),
        }
    })
    .await;
    let services = control_plane.change("GET", "/services", Value::Null).await;
    assert_eq!(services["data"].as_array().map(Vec::len), Some(1));
    // The new tables are a new cluster, behind what is served.
    data_plane.serves("/before", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_reset_when_no_node_has_it() {
    let mut node = Node::start(Role::Traditional, &[], &[]);
    node.up().await;
    node.change("POST", "/services", json!({"name": "s", "host": "h"}))
        .await;
    let reset = ["migrations", "reset", "--yes"];
    let (done, said) = node.operate(&reset).await;
    assert!(!done && said.contains("stop the node"), "{said}");
    node.change("GET", "/services/s", Value::Null).await;
    node.stop().await;
    let (done, said) = node.operate(&reset[..2]).await;
    assert!(!done && said.contains("--yes"), "{said}");
    let resets = futures_util::future::join_all([(); 3].map(|()| node.operate(&reset)));
    for (done, said) in resets.await {
        assert!(done, "{said}");
    }
    node.start_again();
    node.up().await;
    let services = node.change("GET", "/services", Value::Null).await;
    assert_eq!(services["data"], json!([]));
}
