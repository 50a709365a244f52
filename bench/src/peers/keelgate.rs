//! Keelgate, without a database.

use std::path::Path;
use std::process::Command;

use super::{Setting, gateway};

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let mut command = Command::new(binary);
    command
        .args(["start", "--foreground"])
        .envs(gateway::peer(setting)?);
    Ok(command)
}
