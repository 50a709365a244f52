//! Configurations in and out of snapshots and files.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow};
use keelgate_entities::declarative::{self, DeclarativeError, Table};
use keelgate_entities::{ApiError, Schemas};
use serde_json::Value;

/// The entities of a snapshot's `config_table`.
pub(super) fn table(config: &str, schemas: &Schemas) -> Result<Table> {
    let document = serde_json::from_str(config).context("the configuration is not JSON")?;
    declarative::parse_config_table(document, schemas, SystemTime::now())
        .map_err(|refused| refusal("the snapshot's configuration", &refused.error))
}

/// Reads and checks a file of declarative configuration, YAML or JSON.
pub(crate) fn read(file: &Path, schemas: &Schemas) -> Result<Table> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let origin = file.display().to_string();
    let document = declarative::parse_text(&text).map_err(|error| refusal(&origin, &error))?;
    declarative::parse(document, schemas, SystemTime::now())
        .map_err(|DeclarativeError { error, .. }| refusal(&origin, &error))
}

fn refusal(origin: &str, error: &ApiError) -> anyhow::Error {
    let fields = serde_json::to_string_pretty(&error.fields).unwrap_or_default();
    anyhow!("{origin} is refused: {error}\n{fields}")
}

/// The same entities as a `config_table` has them, for comparing.
pub(super) fn text(table: Table) -> String {
    Value::Object(table.into_config_table()).to_string()
}
