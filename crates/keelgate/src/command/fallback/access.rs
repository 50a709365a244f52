//! What every command of the fallback storage needs: settings, storages, and whom to believe.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use keelgate_entities::Schemas;
use keelgate_fallback::{Storage, Verify};
use keelgate_settings::Settings;
use keelgate_snapshot::accept_unsigned;

use super::output::Output;
use crate::command::sources::Sources;
use crate::node;

/// Options that all of them have.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// The storage, or several separated by commas; overrides cluster_fallback_config_storage.
    #[arg(long, value_name = "URL")]
    pub(super) storage: Option<String>,
    /// Tables for people, or one JSON document for machines.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// An opened storage, with what is needed to judge what lies in it.
pub(crate) struct Access {
    pub(super) settings: Settings,
    pub(super) storages: Vec<Arc<dyn Storage>>,
    pub(super) schemas: Arc<Schemas>,
    /// The check that data planes make; without a cluster certificate, all of it but the signature.
    pub(super) verify: Verify,
    /// Certificate and key of the cluster, where they are set.
    pub(super) cluster: Option<node::ClusterIdentity>,
}

impl Options {
    /// The settings, with what the options override.
    pub(super) fn settings(&self) -> Result<Settings> {
        let mut loader = self.sources.loader();
        if let Some(url) = &self.storage {
            loader = loader.option("cluster_fallback_config_storage", url, "--storage");
            // A node that exports needs a storage that can be written; a look at another does not.
            if url.split(',').all(|one| one.trim().starts_with("https:")) {
                loader = loader.option("cluster_fallback_config_export", "off", "--storage");
            }
        }
        Ok(loader.load()?.settings)
    }

    /// Opens the storages; nothing is asked of them yet.
    pub(super) fn open(&self) -> Result<Access> {
        Access::open(self.settings()?)
    }
}

impl Access {
    /// Opens the storages of these settings.
    pub(crate) fn open(settings: Settings) -> Result<Self> {
        let storages = node::storages(&settings)?;
        if storages.is_empty() {
            bail!(
                "no storage is named: set cluster_fallback_config_storage, or give --storage s3://bucket/prefix"
            );
        }
        let has_certificate = settings.cluster.cluster_cert.is_some();
        let cluster = has_certificate
            .then(|| node::ClusterIdentity::read(&settings))
            .transpose()?;
        let verify: Verify = match &cluster {
            Some(cluster) => cluster.verify(),
            None => Arc::new(accept_unsigned),
        };
        Ok(Self {
            schemas: Arc::new(node::schemas(&settings)),
            settings,
            storages,
            verify,
            cluster,
        })
    }

    /// Certificate and key of the cluster.
    pub(super) fn cluster(&self) -> Result<&node::ClusterIdentity> {
        self.cluster.as_ref().context(
            "the signature cannot be checked: set cluster_cert and cluster_cert_key to the cluster's certificate and key",
        )
    }
}

/// Runs a command's work.
pub(super) fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}
