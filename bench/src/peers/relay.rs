//! The bare relay: this program itself.

use std::path::Path;
use std::process::Command;

use super::Setting;

pub(super) fn prepare_io_uring(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let mut command = prepare(binary, setting)?;
    command.arg("--io-uring");
    Ok(command)
}

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let mut command = Command::new(binary);
    command
        .arg("relay")
        .args(["--listen", &format!("127.0.0.1:{}", setting.port)])
        .args(["--tls-listen", &format!("127.0.0.1:{}", setting.tls_port)])
        .args(["--upstream", &setting.upstream.to_string()])
        .arg("--certificate")
        .arg(setting.certificate)
        .arg("--key")
        .arg(setting.key);
    Ok(command)
}
