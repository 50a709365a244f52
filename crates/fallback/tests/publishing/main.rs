//! Publishers, fetchers and what operators use, over real storages and over ones that misbehave.

#![allow(clippy::unwrap_used)]

#[path = "../s3_proxy/mod.rs"]
mod s3_proxy;
#[path = "../s3_server/mod.rs"]
mod s3_server;

mod basics;
mod by_hand;
mod cluster;
mod faults;
mod fencing;
mod memory;
mod pacing;
mod s3;
mod sealing;
