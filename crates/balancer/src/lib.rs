//! Upstream to target, with health state. Pure: no I/O, no clock, randomness is given.
//!
//! - [`Balancer`]: an upstream with its targets; [`Balancer::pick`] chooses a peer, which is one
//!   address of a target, for a request.
//! - [`Address`]: where a target is, before any name is resolved; [`Resolution`]: what its name
//!   stands for.
//! - [`Outcome`], [`Health`]: what is learnt about a target from traffic and probes.
//! - [`HashSource`]: what consistent hashing may ask about a request.
//!
//! Everything that changes is atomic and lives in the peers' states, which a recompiled balancer
//! takes over by target and address: health, failure counts, open requests and latencies survive a change of
//! the configuration, and requests that began before it are still counted.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod balancer;
mod hash;
mod health;
mod latency;
mod least_connections;
mod resolution;
mod ring;
mod round_robin;
mod state;

pub use address::{Address, AddressError, Host};
pub use balancer::{
    Balancer, CompileError, PeerIndex, PeerView, Pick, TargetIndex, TargetView, Weight,
};
pub use hash::{HashSource, Hashed, NewCookie};
pub use health::{Health, Outcome};
pub use resolution::{Endpoint, Record, Resolution};
pub use state::Open;

#[cfg(test)]
mod tests;
