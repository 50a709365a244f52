//! `keelgate.conf.default`.

use anyhow::{Context as _, Result};

use crate::{progress, workspace};

/// Writes it anew from the settings.
pub(crate) fn write() -> Result<()> {
    let path = workspace::root().join("keelgate.conf.default");
    std::fs::write(&path, keelgate_settings::reference())
        .with_context(|| format!("cannot write {}", path.display()))?;
    progress::done("wrote keelgate.conf.default");
    Ok(())
}
