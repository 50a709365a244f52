//! The Admin API and the status API.
//!
//! - [`admin`]: what the composition gives to the Admin API, and its router;
//! - `routes`: the table of paths and methods, from which `OPTIONS`, 405 and `/endpoints` follow;
//! - [`access`]: who may use it; `peer`: who speaks, for the audit log;
//! - `entity`: the generic endpoints of all kinds of entities, derived from their schemas, with
//!   the few kinds that differ in files of their own;
//! - `arguments`: JSON, form and multipart bodies as entities;
//! - `node`: everything about the node itself: `/`, `/status`, `/config`, `/schemas`, `/tags`, …;
//! - [`status`]: the status API, for probes and metrics;
//! - [`server`]: serves either on listeners, plain and TLS, with limits on what a peer can grow.
//!
//! After a successful write there is nothing else to do: the composition follows the store's
//! change feed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access;
pub mod admin;
mod arguments;
mod balancers;
mod call;
mod entity;
mod failure;
mod front;
mod node;
mod peer;
mod respond;
mod routes;
pub mod server;
pub mod status;

pub use access::{Access, AccessRole, AdminCredential};
pub use admin::{
    AcmeCertificates, Admin, DataPlanes, LoadError, Loader, LogLevel, Mode, NodeInfo, Report,
    Responses, Told,
};
pub use balancers::{AddressHealth, BalancerHealth, Balancers, SetHealthError, TargetHealth};
pub use node::config_hash;
pub use server::{Listener, Patience, serve};
pub use status::Status;
