//! Runs whole `keelgate` processes, real storages and misbehaving control planes for the
//! end-to-end tests in `tests/`.
//!
//! - [`node`]: one `keelgate` process with its own prefix and ports
//! - [`cluster`]: the shared facts of a cluster (certificate, storage) and its nodes
//! - [`outage`]: control planes that fail in every way that the source of a data plane must survive
//! - [`kong`]: Kong at the other end of the connection between control plane and data plane
//! - [`upstream`]: a real HTTP server behind the gateway
//! - [`postgres`]: a PostgreSQL server that can be killed
//! - [`redis`]: a Redis server that can be killed and paused
//! - [`ldap`]: an LDAP server that can be killed and paused
//! - [`cloud`]: functions of AWS and Azure, played
//! - [`key_values`]: a Consul and a Vault
//! - [`pebble`]: a certificate authority that speaks ACME
//! - [`backup`]: backups that no build under test has written
//! - [`storage`]: the object store under test, reached directly
//! - [`s3`]: S3 as it is met in the field: permissions, and stores that misbehave
//! - [`mirror`]: a storage behind a web server
//! - [`election`]: who writes, as the storage tells
//! - [`reader`]: follows a storage and notes whenever a reader would have gone back
//! - [`storm`]: backup nodes that are killed and paused at random
//! - [`traffic`]: steady requests that count every failure
//! - [`strict`]: the same from clients that forgive nothing

pub mod backup;
pub mod cloud;
pub mod cluster;
pub mod election;
pub mod key_values;
pub mod kong;
pub mod ldap;
pub mod mirror;
pub mod node;
pub mod outage;
pub mod pebble;
pub mod ports;
pub mod postgres;
mod progress;
pub mod reader;
pub mod redis;
pub mod s3;
pub mod storage;
pub mod storm;
pub mod strict;
pub mod traffic;
pub mod upstream;
pub mod wait;

pub use cluster::Cluster;
pub use ldap::Ldap;
pub use node::{Node, Role};
pub use postgres::Postgres;
pub use redis::Redis;
pub use storage::{Storage, variable};
pub use strict::Strict;
pub use traffic::Traffic;
pub use upstream::Upstream;
