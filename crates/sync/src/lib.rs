//! Control plane to data plane over a mutually authenticated websocket: both ends of Kong's hybrid
//! protocol v1 (`/v1/outlet`).
//!
//! The control plane runs a [`Server`], which sends each snapshot to all data planes and keeps the
//! record of them ([`DataPlanes`]). A data plane runs a [`Client`], which dials for ever and tells
//! what happens as [`Event`]s; what to do with a document is the receiver's business.
//!
//! Either end works with Kong at the other. Between two nodes of this software the upgrade carries
//! a list of capabilities in the header `Keelgate-Capabilities`, and only what both ends listed is used.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod basic_info;
mod capability;
mod client;
mod compatibility;
mod data_planes;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod server;
mod tls;

pub use basic_info::PluginVersion;
pub use capability::Rejection;
pub use client::{Applied, Client, ClientConfig, ClientError, ClientLimits, Event, Phase};
pub use compatibility::SyncStatus;
pub use data_planes::{CertificateDetails, DataPlane, DataPlanes, Live};
pub use server::{Server, ServerConfig, ServerLimits};
pub use tls::{TlsError, Trust};

/// Path of the websocket.
pub(crate) const OUTLET: &str = "/v1/outlet";

/// Largest frame that Kong accepts when `cluster_max_payload` is not set, in bytes.
pub const DEFAULT_MAX_PAYLOAD: usize = 16 << 20;
