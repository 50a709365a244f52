//! Databases of the PostgreSQL server that `cargo xtask test` has started, and a line to it that can
//! be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keelgate_store::{Migrations, PostgresSettings, PostgresStore, PostgresTls, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::conformance::schemas;

fn variable(name: &str) -> String {
    let name = format!("KEELGATE_TEST_POSTGRES_{name}");
    std::env::var(&name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the server that `cargo xtask test` starts")
    })
}

fn settings(database: &str) -> PostgresSettings {
    PostgresSettings {
        host: variable("HOST"),
        port: variable("PORT").parse().unwrap(),
        user: variable("USER"),
        password: Some(variable("PASSWORD")),
        database: database.to_owned(),
        schema: None,
        tls: PostgresTls::Off,
        timeout: Duration::from_secs(20),
        patience: Duration::from_secs(30),
        connections: 4,
        backlog: None,
        idle: None,
    }
}

async fn connect(settings: &PostgresSettings) -> Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .password(settings.password.clone().unwrap())
        .dbname(&settings.database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A fresh, empty database. It stays until the server ends.
pub struct Database {
    pub settings: PostgresSettings,
}

impl Database {
    pub async fn empty() -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let server = connect(&settings("postgres")).await;
        let statement = format!("CREATE DATABASE {name}");
        server.batch_execute(&statement).await.unwrap();
        Self {
            settings: settings(&name),
        }
    }

    pub async fn bootstrapped() -> Self {
        let database = Self::empty().await;
        database.migrations().bootstrap().await.unwrap();
        database
    }

    pub fn migrations(&self) -> Migrations {
        Migrations::new(self.settings.clone(), Duration::from_secs(30))
    }

    /// A client that knows nothing of stores.
    pub async fn client(&self) -> Client {
        connect(&self.settings).await
    }

    /// As a command opens it.
    pub async fn open(&self) -> PostgresStore {
        PostgresStore::open(self.settings.clone(), schemas())
            .await
            .unwrap()
    }

    /// As a node opens it.
    pub async fn follow(&self) -> PostgresStore {
        PostgresStore::follow(self.settings.clone(), None, schemas())
            .await
            .unwrap()
    }

    pub async fn refusal(&self) -> StoreError {
        match PostgresStore::open(self.settings.clone(), schemas()).await {
            Err(error) => error,
            Ok(_) => panic!("the database was accepted"),
        }
    }
}

/// What a line does with what comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Whole,
    /// Is cut, and cannot be opened anew.
    Cut,
    /// Is cut right after a commit went to the server; may be opened anew, and is whole then.
    LosesTheNextCommit,
}

/// A line to the server.
pub struct Line {
    pub address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
}

impl Line {
    pub async fn to(settings: &PostgresSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new(Mode::Whole));
        let target = (settings.host.clone(), settings.port);
        let lines = Arc::clone(&mode);
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(target.clone()).await.unwrap();
                tokio::spawn(relay(near, far, Arc::clone(&lines)));
            }
        });
        Self { address, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }
}

async fn relay(mut near: TcpStream, mut far: TcpStream, mode: Arc<watch::Sender<Mode>>) {
    let mut changes = mode.subscribe();
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        if *changes.borrow_and_update() == Mode::Cut {
            return;
        }
        tokio::select! {
            _ = changes.changed() => {}
            read = near.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &up[..length];
                let commits = sent.windows(6).any(|word| word == b"COMMIT");
                far.write_all(sent).await.unwrap();
                if commits && *mode.borrow() == Mode::LosesTheNextCommit {
                    // The server gets it and answers; nobody hears that.
                    let _ = far.read(&mut down).await;
                    mode.send_replace(Mode::Whole);
                    return;
                }
            }
            read = far.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if near.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
