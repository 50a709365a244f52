//! Kong, without a database.

use std::path::Path;
use std::process::Command;

use super::{Setting, gateway};

/// As a child of the benchmark.
pub(crate) const IN_THE_FOREGROUND: [(&str, &str); 3] = [
    ("KONG_NGINX_DAEMON", "off"),
    // Whoever runs the benchmark; Kong's own user may not be there.
    ("KONG_NGINX_USER", "root root"),
    ("KONG_ANONYMOUS_REPORTS", "off"),
];

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let mut command = Command::new(binary);
    command
        .arg("start")
        .envs(gateway::peer(setting)?)
        .envs(IN_THE_FOREGROUND);
    Ok(command)
}
