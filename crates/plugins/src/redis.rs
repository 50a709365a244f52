//! Redis servers that nodes share counts over.
//!
//! | module | its one reason |
//! |---|---|
//! | `settings` | what plugins are told of a server |
//! | `server` | a server, shared by all configurations that name it |
//! | `link` | one thread's connection to it: made, watched, given up and made again |
//! | `connect` | TCP, TLS and the first words |
//!
//! A thread that serves requests has one connection per server, over which all its requests ask at
//! the same time. While a server is away, requests are told so at once; the connection is sought
//! beside them.

mod connect;
mod link;
mod server;
mod settings;

pub(crate) use link::Unanswered;
pub(crate) use server::{Server, Servers};
pub(crate) use settings::{Settings, needed_by_policy, schema};
