//! The `keelgate` binary: the command line and the composition of the roles.

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

/// Requests allocate small pieces by the dozen; the system's allocator takes about twice as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run()
}
