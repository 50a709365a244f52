//! `keelgate config`: declarative configuration in and out of files, and what the database counts as.

mod next_epoch;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use keelgate_entities::declarative::{self, Table};
use keelgate_entities::{Object, Schemas};
use keelgate_plugins::Registry;
use keelgate_settings::{DatabaseKind, Role, Settings};
use keelgate_store::{Import, Store, StoreError, StoreExt as _};
use serde_json::Value;

use super::fallback::configuration;
use super::sources::Sources;
use super::wait_for;
use crate::database;

/// Commands for declarative configuration.
#[derive(Subcommand, Debug)]
#[command(rename_all = "snake_case")]
pub(crate) enum ConfigCommand {
    /// Write an example of a declarative configuration.
    Init {
        /// Never overwritten.
        #[arg(default_value = "./kong.yml")]
        file: PathBuf,
    },
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
    /// Begin the database's next epoch: what it holds counts as newer than all that was published,
    /// so that its control plane is the authority again.
    #[command(alias = "next-epoch")]
    NextEpoch(next_epoch::NextEpochArgs),
}

/// What `init` writes.
const EXAMPLE: &str = include_str!("config/example.yml");

/// Runs one of them.
pub(crate) fn run(command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Init { file } => {
            write_text(&file, EXAMPLE, Existing::Keep)?;
            anstream::println!("wrote {}", file.display());
            Ok(())
        }
        ConfigCommand::Parse { file, .. } => {
            parse(&file, &Schemas::new(Registry::schemas()))?;
            anstream::println!("parse successful");
            Ok(())
        }
        ConfigCommand::DbImport { file, sources } => {
            let settings = settings(&sources, "db_import")?;
            let table = parse(&file, &schemas(&settings))?;
            anstream::println!("parse successful, beginning import");
            let about = Object::from_iter([
                ("by".to_owned(), Value::Null),
                ("request".to_owned(), "keelgate config db_import".into()),
            ]);
            wait_for(async {
                let store = open(&settings).await?;
                let importing = store.write(move |transaction| {
                    transaction.audit(about, None);
                    transaction.import(&table, Import::Merge)?;
                    Ok::<_, StoreError>(())
                });
                importing.await.context("Failed importing")
            })??;
            anstream::println!("import successful");
            Ok(())
        }
        ConfigCommand::DbExport { file, sources } => {
            check_target(&file, Existing::Keep)?;
            let settings = settings(&sources, "db_export")?;
            let (_, table) = wait_for(async {
                let store = open(&settings).await?;
                anyhow::Ok(store.export().await?)
            })??;
            write(&file, &table, Existing::Keep)?;
            anstream::println!("wrote {}", file.display());
            Ok(())
        }
        ConfigCommand::NextEpoch(arguments) => next_epoch::run(&arguments),
    }
}

/// What a database takes, whatever of it the node of these settings loads.
fn schemas(settings: &Settings) -> Schemas {
    Schemas::new(match settings.node.role {
        Role::Traditional => Registry::schemas_with_database(),
        _ => Registry::schemas(),
    })
}

fn parse(file: &Path, schemas: &Schemas) -> Result<Table> {
    configuration::read(file, schemas).context("Failed parsing")
}

fn settings(sources: &Sources, command: &str) -> Result<Settings> {
    let settings: Settings = sources.loader().load()?.settings;
    if settings.database.database == DatabaseKind::Off {
        bail!(
            "'keelgate config {command}' only works with a database. With database = off, give the \
             configuration in declarative_config or send it to the /config endpoint of the Admin API."
        );
    }
    Ok(settings)
}

async fn open(settings: &Settings) -> Result<Arc<dyn Store>> {
    database::open(settings, Arc::new(schemas(settings))).await
}

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Refuses early what [`write()`] would refuse.
pub(crate) fn check_target(file: &Path, existing: Existing) -> Result<()> {
    if existing == Existing::Keep && file.exists() {
        bail!("{} already exists. Will not overwrite it.", file.display());
    }
    Ok(())
}

/// Writes a configuration: JSON when the name ends so, else YAML; readable by its owner only, since
/// it holds secrets of consumers and private keys.
pub(crate) fn write(file: &Path, table: &Table, existing: Existing) -> Result<()> {
    let document = declarative::dump(table);
    let text = if file
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        serde_json::to_string_pretty(&document)?
    } else {
        declarative::to_yaml(&document)
    };
    write_text(file, &text, existing)
}

fn write_text(file: &Path, text: &str, existing: Existing) -> Result<()> {
    check_target(file, existing)?;
    let failed = || format!("cannot write {}", file.display());
    // Beside the target first: whoever may read an old file must not read the new one, and a full
    // disk leaves the old one whole.
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut beside = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    beside.write_all(text.as_bytes()).with_context(failed)?;
    match existing {
        Existing::Keep => beside.persist_noclobber(file),
        Existing::Replace => beside.persist(file),
    }
    .map(drop)
    .with_context(failed)
}
