//! The hybrid protocol over real TLS sockets.

#![allow(clippy::unwrap_used)]

mod both_ends;
mod certificates;
mod control_plane;
mod data_plane;
mod deltas;
mod support;
