//! Kong, without a database.

use std::path::Path;
use std::process::Command;

use super::{Setting, gateway};

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let mut command = Command::new(binary);
    command.arg("start").envs(gateway::peer(setting)?).envs([
        ("KONG_NGINX_DAEMON", "off"),
        // Whoever runs the benchmark; Kong's own user may not be there.
        ("KONG_NGINX_USER", "root root"),
        ("KONG_ANONYMOUS_REPORTS", "off"),
    ]);
    Ok(command)
}
