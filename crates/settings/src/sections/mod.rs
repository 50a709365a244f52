//! The settings themselves, each declared once.

mod admin;
mod cluster;
mod database;
mod dns;
mod fallback;
mod listen;
mod log;
mod node;
mod proxy;
mod tls;

pub use admin::Admin;
pub use cluster::Cluster;
pub use database::{Database, Postgres, Replica};
pub use dns::{Dns, NameResolution};
pub use fallback::Fallback;
pub use listen::Listen;
pub use log::Log;
pub use node::Node;
pub use proxy::{Proxy, ResponseHeaders};
pub use tls::Tls;
