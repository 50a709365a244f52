//! The gateway as a program: the command line and the composition of the roles.
//!
//! A gateway with plugins of one's own is a program whose `main` calls [`run`] with them:
//! `examples/custom-plugin` is one.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod database;
mod demo;
mod free_port;
mod handover;
mod logging;
mod node;
mod readiness;

use std::process::ExitCode;

pub use keelgate_entities as entities;
pub use keelgate_plugins as plugins;
use keelgate_plugins::{CustomPlugin, custom};

/// Does what the command line says, as a gateway that has these plugins besides those that come with
/// it. They are loaded where the setting `plugins` names them (`plugins = bundled,my-plugin`).
///
/// The exit code is 0 when it was done, 1 when it failed, and 2 when the command was not understood.
pub fn run(plugins: Vec<CustomPlugin>) -> ExitCode {
    match custom::add(plugins) {
        Ok(()) => command::run(),
        Err(error) => command::fail(&error.into()),
    }
}
