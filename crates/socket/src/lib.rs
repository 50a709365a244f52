//! Established TCP connections of a core, on epoll or on io_uring.
//!
//! A thread has one [`Engine`]. It takes over connections of tokio ([`Engine::adopt`]) and gives back
//! [`Socket`]s, which are read and written in the same way on either. On io_uring the calls of all
//! connections of the thread go to the kernel together: `kernel` shares memory with it, `ring` knows
//! what is under way for which connection, `driver` is the task that submits and collects, and
//! `socket` is what a connection's owner holds.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod driver;
mod engine;
mod kernel;
mod ring;
mod slot;
mod socket;

#[cfg(test)]
mod tests;

pub use engine::{Engine, probe};
pub use socket::Socket;
