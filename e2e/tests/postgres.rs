//! Control planes that share one PostgreSQL database, their data planes, and the database's outage.

use e2e::{Cluster, Node, Postgres, Role, wait};
use serde_json::{Value, json};

/// A cluster whose nodes have the database of a fresh, bootstrapped server.
async fn cluster() -> (Cluster, Postgres) {
    let server = Postgres::start().await;
    server.bootstrap().await;
    let mut cluster = Cluster::new().await;
    cluster.give(server.environment());
    (cluster, server)
}

/// Starts a data plane, which has no database.
async fn data_plane_of(cluster: &Cluster, control_plane: &Node) -> Node {
    let node = cluster.data_plane_of(control_plane, &[("database", "off")]);
    node.ready().await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_one_control_plane_reaches_the_data_planes_of_the_other() {
    let (cluster, _server) = cluster().await;
    let (one, other) = (cluster.control_plane(&[]), cluster.control_plane(&[]));
    one.up().await;
    other.up().await;
    cluster.add_route(&one, "first", "/first").await;
    let data_plane = data_plane_of(&cluster, &other).await;
    data_plane.serves("/first", 200).await;
    cluster.add_route(&one, "second", "/second").await;
    data_plane.serves("/second", 200).await;
    // Written here, read there at once.
    one.change("DELETE", "/routes/first", Value::Null).await;
    let (status, _) = other.ask("GET", "/routes/first", Value::Null).await;
    assert_eq!(status, 404);
    data_plane.serves("/first", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_stops_changes_and_nothing_else() {
    let (cluster, mut server) = cluster().await;
    let (one, other) = (cluster.control_plane(&[]), cluster.control_plane(&[]));
    one.up().await;
    other.up().await;
    cluster.add_route(&one, "before", "/before").await;
    let data_plane = data_plane_of(&cluster, &one).await;
    data_plane.serves("/before", 200).await;

    server.kill();
    let refusal = wait::until("writes to be refused", || async {
        match one.ask("PUT", "/services/new", json!({"host": "h"})).await {
            (503, answer) => Ok(answer),
            (status, answer) => Err(format!("{status} {answer}")),
        }
    })
    .await;
    let message = refusal["message"].as_str().expect("a message");
    assert!(message.contains("database"), "{message}");
    let status = one.change("GET", "/status", Value::Null).await;
    assert_eq!(status["database"]["reachable"], false);
    let routes = one.change("GET", "/services/before/routes", Value::Null);
    assert_eq!(routes.await["data"][0]["name"], "before");
    let routes = other.change("GET", "/routes", Value::Null).await;
    assert_eq!(routes["data"].as_array().map(Vec::len), Some(1));
    for (method, path) in [("PATCH", "/services/before"), ("DELETE", "/routes/before")] {
        let (status, answer) = one.ask(method, path, json!({})).await;
        assert_eq!(status, 503, "{method}: {answer}");
    }
    let (status, answer) = one.ask("GET", "/audit", Value::Null).await;
    assert_eq!(status, 503, "{answer}");
    data_plane.serves("/before", 200).await;
    // One that comes now gets its configuration all the same.
    let late = data_plane_of(&cluster, &other).await;
    late.serves("/before", 200).await;

    server.start_again().await;
    // Each node finds out by itself.
    for node in [&one, &other] {
        wait::until("writes to be taken", || async {
            match node.ask("PUT", "/services/new", json!({"host": "h"})).await {
                (200, _) => Ok(()),
                (status, answer) => Err(format!("{status} {answer}")),
            }
        })
        .await;
    }
    cluster.add_route(&other, "after", "/after").await;
    data_plane.serves("/after", 200).await;
    late.serves("/after", 200).await;
    let status = one.change("GET", "/status", Value::Null).await;
    assert_eq!(status["database"]["reachable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_planes_see_each_others_changes_after_their_connections_were_lost() {
    let (cluster, server) = cluster().await;
    let (one, other) = (cluster.control_plane(&[]), cluster.control_plane(&[]));
    one.up().await;
    other.up().await;
    let data_plane = data_plane_of(&cluster, &other).await;
    let client = server.client().await;
    for round in 0..3 {
        let ended = client.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        );
        assert!(ended.await.expect("end connections") >= 2);
        let service = format!("/services/s{round}");
        let changes = [
            (service.clone(), json!({"url": cluster.upstream.url()})),
            (
                format!("{service}/routes/r{round}"),
                json!({"paths": [format!("/{round}")]}),
            ),
        ];
        for (path, body) in &changes {
            wait::until("a change to be taken", || async {
                match one.ask("PUT", path, body.clone()).await {
                    (200, _) => Ok(()),
                    (503, answer) => Err(answer.to_string()),
                    (status, answer) => panic!("{status} {answer}"),
                }
            })
            .await;
        }
        data_plane.serves(&format!("/{round}"), 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_nodes_keep_uniqueness_and_references() {
    let (cluster, _server) = cluster().await;
    let (one, other) = (cluster.control_plane(&[]), cluster.control_plane(&[]));
    one.up().await;
    other.up().await;
    let create = async |node: &Node, number: usize| {
        let service = json!({"name": "contested", "host": format!("h{number}")});
        node.ask("POST", "/services", service).await.0
    };
    let answers = futures_util::future::join_all(
        (0..20).map(|number| create(if number % 2 == 0 { &one } else { &other }, number)),
    )
    .await;
    let created = answers.iter().filter(|status| **status == 201).count();
    let refused = answers.iter().filter(|status| **status == 409).count();
    assert_eq!((created, refused), (1, 19), "{answers:?}");

    for round in 0..5 {
        let service = format!("s{round}");
        one.change("PUT", &format!("/services/{service}"), json!({"host": "h"}))
            .await;
        let (path, routes) = (
            format!("/services/{service}"),
            format!("/services/{service}/routes"),
        );
        let ((deleted, _), (routed, _)) = tokio::join!(
            one.ask("DELETE", &path, Value::Null),
            other.ask("POST", &routes, json!({"paths": ["/x"]})),
        );
        match (deleted, routed) {
            (204, 404 | 400) | (400, 201) => {}
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_what_an_unprepared_database_needs() {
    let server = Postgres::start().await;
    let operator = Node::idle(&server.environment());
    let (done, said) = operator.operate(&["migrations", "list"]).await;
    assert!(!done && said.contains("migrations bootstrap"), "{said}");
    let (done, said) = operator.operate(&["start", "--foreground"]).await;
    assert!(!done && said.contains("migrations bootstrap"), "{said}");
    let (done, said) = operator.operate(&["migrations", "bootstrap"]).await;
    assert!(done, "{said}");
    for command in ["bootstrap", "up", "finish", "list", "status"] {
        let (done, said) = operator.operate(&["migrations", command]).await;
        assert!(done, "{command}: {said}");
    }
    let (done, said) = operator.operate(&["migrations", "reset"]).await;
    assert!(!done, "without a terminal, --yes is needed: {said}");
    let (done, said) = operator.operate(&["migrations", "reset", "--yes"]).await;
    assert!(done, "{said}");
    let (done, _) = operator.operate(&["migrations", "list"]).await;
    assert!(!done);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_verified_and_files_go_in_and_out() {
    let server = Postgres::with_tls().await;
    let certificate = server.certificate().display().to_string();
    let mut environment = server.environment();
    let clear = Node::idle(&environment);
    let (done, said) = clear.operate(&["migrations", "bootstrap"]).await;
    assert!(!done && said.contains("no encryption"), "{said}");
    environment.push(("KONG_PG_SSL".to_owned(), "on".to_owned()));
    let trusting = Node::idle(&environment);
    let (done, said) = trusting.operate(&["migrations", "list"]).await;
    assert!(!done && said.contains("migrations bootstrap"), "{said}");
    environment.push(("KONG_PG_SSL_VERIFY".to_owned(), "on".to_owned()));
    let stranger = Node::idle(&environment);
    let (done, said) = stranger.operate(&["migrations", "bootstrap"]).await;
    assert!(!done && said.contains("certificate"), "{said}");
    environment.push(("KONG_LUA_SSL_TRUSTED_CERTIFICATE".to_owned(), certificate));
    let mut misnamed = environment.clone();
    misnamed.push(("KONG_PG_HOST".to_owned(), "localhost".to_owned()));
    let misnamed = Node::idle(&misnamed);
    let (done, said) = misnamed.operate(&["migrations", "bootstrap"]).await;
    assert!(!done && said.contains("certificate"), "{said}");
    let operator = Node::idle(&environment);
    let (done, said) = operator.operate(&["migrations", "bootstrap"]).await;
    assert!(done, "{said}");

    let file = operator.prefix().join("in.yml");
    let text = "_format_version: '3.0'\nservices:\n- name: imported\n  host: h\n";
    std::fs::write(&file, text).expect("write a file");
    let path = file.display().to_string();
    let (done, said) = operator.operate(&["config", "db_import", &path]).await;
    assert!(done, "{said}");
    let node = Node::start(Role::Traditional, &[], &environment);
    node.up().await;
    let service = node.change("GET", "/services/imported", Value::Null).await;
    assert_eq!(service["host"], "h");
    let out = operator.prefix().join("out.yml").display().to_string();
    let (done, said) = operator.operate(&["config", "db_export", &out]).await;
    assert!(done, "{said}");
    let text = std::fs::read_to_string(&out).expect("read the export");
    assert!(text.contains("imported"), "{text}");

    // The very last entity is bad: nothing of the file is taken.
    let bad = "_format_version: '3.0'\nservices:\n- name: other\n  host: h\nroutes:\n- name: r\n  paths: [x]\n";
    std::fs::write(&file, bad).expect("write a file");
    let (done, said) = operator.operate(&["config", "db_import", &path]).await;
    assert!(!done && said.contains("should start with"), "{said}");
    let (status, _) = node.ask("GET", "/services/other", Value::Null).await;
    assert_eq!(status, 404);
}
