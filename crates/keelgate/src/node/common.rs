//! What every role has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use keelgate_admin::{Admin, LogLevel, Mode, NodeInfo, Status};
use keelgate_entities::Schemas;
use keelgate_plugins::Registry;
use keelgate_settings::{Role, Settings};
use keelgate_snapshot::Snapshot;
use keelgate_store::Store;
use keelgate_sync::PluginVersion;
use keelgate_telemetry::{Level, LogHandle};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::activation::Activation;
use super::apis::{self, report};
use super::backup::{self, Backup};
use super::reports::Reports;
use super::served;
use super::upstreams::Upstreams;
use super::verification::ClusterIdentity;

/// What every role has.
pub(crate) struct Common {
    pub(crate) settings: Arc<Settings>,
    pub(crate) log: LogHandle,
    pub(crate) node_id: Uuid,
    pub(crate) hostname: String,
    pub(crate) schemas: Arc<Schemas>,
    pub(crate) plugins: Vec<PluginVersion>,
    pub(crate) activation: Arc<Activation>,
    pub(crate) reports: Arc<Reports>,
    /// Set when the node is about to end, so that it is no longer ready.
    pub(crate) ending: Arc<AtomicBool>,
    /// Cancelled when the node should end; stops the APIs and all background work.
    pub(crate) stop: CancellationToken,
    status: apis::Bound,
    admin: apis::Bound,
}

impl Common {
    /// Makes it, and binds the listeners of the APIs, so that a taken port is told before anything
    /// has begun.
    pub(crate) async fn prepare(settings: Settings, log: LogHandle) -> Result<Self> {
        let prefix = &settings.node.prefix;
        std::fs::create_dir_all(prefix)
            .with_context(|| format!("prefix: cannot make {}", prefix.display()))?;
        let node_id = settings.node_id()?;
        let hostname = hostname();
        let schemas = served::plugin_schemas(&settings);
        let plugins = schemas
            .iter()
            .map(|schema| PluginVersion {
                name: schema.name.to_owned(),
                version: Some(schema.version.to_owned()),
            })
            .collect();
        let registry = Arc::new(Registry::new(node_id, hostname.clone()));
        let schemas = Arc::new(Schemas::of_flavor(
            schemas,
            served::router_flavor(&settings),
        ));
        let environment = served::environment(&settings, registry)?;
        let activation = Arc::new(Activation::new(environment, Arc::clone(&schemas))?);
        let role = settings.node.role.as_str();
        let status = apis::bind(&settings, "status", &settings.listen.status_listen).await?;
        let admin = match settings.node.role {
            Role::DataPlane => apis::bind(&settings, "admin", &[]).await?,
            _ => apis::bind(&settings, "admin", &settings.listen.admin_listen).await?,
        };
        Ok(Self {
            reports: Arc::new(Reports::new(node_id, role, activation.active())),
            settings: Arc::new(settings),
            log,
            node_id,
            hostname,
            schemas,
            plugins,
            activation,
            ending: Arc::new(AtomicBool::new(false)),
            stop: CancellationToken::new(),
            status,
            admin,
        })
    }

    /// Whether the node should get traffic: `Err` says why not.
    pub(crate) fn ready(
        &self,
        is_available: impl Fn() -> bool + Send + Sync + 'static,
        otherwise: &'static str,
    ) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let ending = Arc::clone(&self.ending);
        move || {
            if ending.load(Ordering::Relaxed) {
                Err("the node is stopping".to_owned())
            } else if is_available() {
                Ok(())
            } else {
                Err(otherwise.to_owned())
            }
        }
    }

    /// Ready once a configuration serves.
    pub(crate) fn ready_when_serving(
        &self,
    ) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let active = self.activation.active();
        self.ready(
            move || active.borrow().is_some(),
            "no configuration available (empty configuration present)",
        )
    }

    /// Starts to publish what `snapshots` shows, where the settings want it.
    pub(crate) async fn start_backup(
        &self,
        cluster: &ClusterIdentity,
        snapshots: watch::Receiver<Option<Snapshot>>,
    ) -> Result<Option<Backup>> {
        if !self.settings.fallback.cluster_fallback_config_export {
            return Ok(None);
        }
        let backup = backup::start(
            &self.settings,
            self.node_id,
            self.hostname.clone(),
            cluster,
            Arc::clone(&self.activation),
            snapshots,
        )
        .await?;
        self.reports.add_backups(backup.statuses());
        Ok(Some(backup))
    }

    /// Starts the Admin API (on roles that have one) and the status API.
    pub(crate) fn start_apis(
        &mut self,
        store: Arc<dyn Store>,
        mode: Mode,
        data_planes: Option<Arc<dyn keelgate_admin::DataPlanes>>,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let (log, set) = (self.log.clone(), self.log.clone());
        let (source, metrics) = (Arc::clone(&self.reports), Arc::clone(&self.reports));
        let role = self.settings.node.role;
        let has_no_database = role == Role::DataPlane || matches!(mode, Mode::Dbless(_));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if role != Role::ControlPlane {
            self.reports
                .add_upstreams(Upstreams(self.activation.shared()));
        }
        let admin = Admin {
            store,
            node: NodeInfo {
                id: self.node_id,
                hostname: self.hostname.clone(),
                configuration: self.settings.to_json_masked(),
                workers: self.settings.node.nginx_worker_processes.on(cores),
                is_control_plane: role == Role::ControlPlane,
                allowed_origins: self.settings.admin.admin_gui_url.clone(),
            },
            mode,
            data_planes,
            source_report: report(move || source.json()),
            server: report(|| json!({})),
            log: LogLevel {
                level: report(move || log.level().as_str().to_owned()),
                set_level: Arc::new(move |name: &str| {
                    if let Ok(level) = name.parse::<Level>() {
                        set.set_level(level);
                    }
                }),
            },
            metrics: report(move || metrics.text()),
            balancers: (role != Role::ControlPlane).then(|| {
                Arc::new(Upstreams(self.activation.shared())) as Arc<dyn keelgate_admin::Balancers>
            }),
        };
        let status = Status {
            admin: admin.clone(),
            ready: report(ready),
            upstreams: has_no_database,
        };
        let (bound_admin, bound_status) = (
            std::mem::take(&mut self.admin),
            std::mem::take(&mut self.status),
        );
        vec![
            bound_admin.serve_admin(admin, self.stop.clone()),
            bound_status.serve_status(status, self.stop.clone()),
        ]
    }
}

/// The name of this machine.
pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
