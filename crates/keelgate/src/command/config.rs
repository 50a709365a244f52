//! `keelgate config`: declarative configuration in and out of files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use keelgate_entities::declarative::{self, DeclarativeError, Table};
use keelgate_entities::{ApiError, Schemas};
use keelgate_plugins::Registry;
use keelgate_settings::{DatabaseKind, Settings};
use keelgate_store::{Import, SqliteStore, Store as _, StoreExt as _};

use super::sources::Sources;

/// Commands for declarative configuration.
#[derive(Subcommand, Debug)]
#[command(rename_all = "snake_case")]
pub(crate) enum ConfigCommand {
    /// Check a file of declarative configuration, and do nothing with it.
    Parse {
        /// YAML or JSON.
        file: PathBuf,
        #[command(flatten)]
        sources: Sources,
    },
    /// Take a file of declarative configuration into the database. Entities that
    /// are there and not in the file stay.
    #[command(alias = "db-import")]
    DbImport {
        /// YAML or JSON.
        file: PathBuf,
        #[command(flatten)]
        sources: Sources,
    },
    /// Write the database as a file of declarative configuration.
    #[command(alias = "db-export")]
    DbExport {
        /// JSON when the name ends so, else YAML; never overwritten.
        #[arg(default_value = "./kong.yml")]
        file: PathBuf,
        #[command(flatten)]
        sources: Sources,
    },
}

/// Runs one of them.
pub(crate) fn run(command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Parse { file, .. } => {
            parse(&file, &schemas())?;
            anstream::println!("parse successful");
            Ok(())
        }
        ConfigCommand::DbImport { file, sources } => {
            let store = open(&sources, "db_import")?;
            let table = parse(&file, store.schemas())?;
            anstream::println!("parse successful, beginning import");
            wait_for(async { store.import(table, Import::Merge).await })?
                .context("Failed importing")?;
            anstream::println!("import successful");
            Ok(())
        }
        ConfigCommand::DbExport { file, sources } => {
            if file.exists() {
                bail!("{} already exists. Will not overwrite it.", file.display());
            }
            let store = open(&sources, "db_export")?;
            let (_, table) = wait_for(async { store.export().await })??;
            write(&file, &table)
        }
    }
}

fn schemas() -> Schemas {
    Schemas::new(Registry::schemas())
}

fn parse(file: &Path, schemas: &Schemas) -> Result<Table> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let refused = |error: &ApiError| {
        let fields = serde_json::to_string_pretty(&error.fields).unwrap_or_default();
        anyhow::anyhow!("Failed parsing:\n{error}\n{fields}")
    };
    let document = declarative::parse_text(&text).map_err(|error| refused(&error))?;
    declarative::parse(document, schemas, SystemTime::now())
        .map_err(|DeclarativeError { error, .. }| refused(&error))
}

fn open(sources: &Sources, command: &str) -> Result<SqliteStore> {
    let settings: Settings = sources.loader().load()?.settings;
    if settings.database.database == DatabaseKind::Off {
        bail!(
            "'keelgate config {command}' only works with a database. With database = off, give the \
             configuration in declarative_config or send it to the /config endpoint of the Admin API."
        );
    }
    let path = settings.sqlite_path();
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    Ok(SqliteStore::open(&path, Arc::new(schemas()))?)
}

fn write(file: &Path, table: &Table) -> Result<()> {
    let document = declarative::dump(table);
    let text = if file
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        serde_json::to_string_pretty(&document)?
    } else {
        declarative::to_yaml(&document)
    };
    // The configuration holds secrets of consumers and private keys.
    let mut out = private(OpenOptions::new().create_new(true).write(true))
        .open(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    out.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    anstream::println!("wrote {}", file.display());
    Ok(())
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

fn wait_for<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}
