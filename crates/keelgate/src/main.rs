//! The `keelgate` binary: the command line and the composition of the roles.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod demo;
mod logging;
mod node;
mod readiness;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
