//! What is written from the code: `keelgate.conf.default`, and the table of metrics.

use anyhow::{Context as _, Result};

use crate::{progress, workspace};

/// Around the table in `docs/metrics.md`.
const MARKS: [&str; 2] = ["<!-- metrics -->\n", "<!-- end -->"];

/// Writes them anew.
pub(crate) fn write() -> Result<()> {
    let path = workspace::root().join("keelgate.conf.default");
    std::fs::write(&path, keelgate_settings::reference())
        .with_context(|| format!("cannot write {}", path.display()))?;
    progress::done("wrote keelgate.conf.default");
    let path = workspace::root().join("docs/metrics.md");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let parts = text.split_once(MARKS[0]).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(MARKS[1])?;
        Some((before, after))
    });
    let (before, after) =
        parts.with_context(|| format!("{} has no table of metrics", path.display()))?;
    let table = keelgate_telemetry::metrics::reference();
    let text = [before, MARKS[0], &table, MARKS[1], after].concat();
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    progress::done("wrote the table in docs/metrics.md");
    Ok(())
}
