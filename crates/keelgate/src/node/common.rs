//! What every role has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use keelgate_admin::{
    Access, AccessRole, AcmeCertificates, Admin, AdminCredential, LogLevel, Mode, NodeInfo, Status,
};
use keelgate_entities::Schemas;
use keelgate_plugins::Registry;
use keelgate_settings::{Role, Settings};
use keelgate_snapshot::Snapshot;
use keelgate_store::Store;
use keelgate_sync::PluginVersion;
use keelgate_telemetry::{Level, LogHandle};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::acme::Issued;
use super::activation::Activation;
use super::apis::{self, Listening, Term, report};
use super::backup::{self, Backup};
use super::certificates;
use super::host_names;
use super::log_level::LastingLevel;
use super::place::Place;
use super::records::StoredRecords;
use super::reports::Reports;
use super::responses::Kept;
use super::running::{Front, Running};
use super::served::{self, Lasting};
use super::upstreams::Upstreams;
use super::verification::ClusterIdentity;
use crate::handover::Configuration;

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
    /// `ended` stops the APIs and all background work.
    pub(crate) term: Term,
    /// Sockets beside the proxy's.
    pub(crate) listening: Listening,
    lasting: Lasting,
    registry: Arc<Registry>,
    place: Place,
    status: apis::Bound,
    admin: apis::Bound,
}

impl Common {
    /// Makes it, and binds the listeners of the APIs, so that a taken port is told before anything
    /// has begun.
    pub(crate) async fn prepare(
        settings: Settings,
        log: LogHandle,
        mut place: Place,
    ) -> Result<Self> {
        let mut listening = Listening::default();
        let lasting = Lasting::default();
        if let Some(inheritance) = &mut place.inheritance {
            listening.handed = std::mem::take(&mut inheritance.sockets);
            if let Some(keys) = inheritance.tickets.take() {
                lasting.inherit_tickets(keys);
            }
        }
        let prefix = &settings.node.prefix;
        std::fs::create_dir_all(prefix)
            .with_context(|| format!("prefix: cannot make {}", prefix.display()))?;
        let node_id = settings.node_id()?;
        let hostname = hostname();
        served::has_plugins(&settings)?;
        let schemas = served::plugin_schemas(&settings);
        let plugins = schemas
            .iter()
            .map(|schema| PluginVersion {
                name: schema.name.to_owned(),
                version: Some(schema.version.to_owned()),
            })
            .collect();
        let trusted = certificates::trusted(&settings)?;
        let registry = Registry::new(node_id, hostname.clone()).trusting(Arc::clone(&trusted));
        let registry = Arc::new(registry);
        let schemas = Arc::new(Schemas::of_flavor(
            schemas,
            served::router_flavor(&settings),
        ));
        let environment = served::environment(&settings, Arc::clone(&registry), trusted)?;
        let activation = Arc::new(Activation::new(environment, Arc::clone(&schemas))?);
        let role = settings.node.role.as_str();
        let status = &settings.listen.status_listen;
        let status = apis::bind(&settings, "status", status, &mut listening).await?;
        let admin = match settings.node.role {
            Role::DataPlane => &[][..],
            _ => &settings.listen.admin_listen,
        };
        let admin = apis::bind(&settings, "admin", admin, &mut listening).await?;
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
            term: Term::default(),
            listening,
            lasting,
            registry,
            place,
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

    /// What the process before this one served and nobody else keeps, if there was one.
    pub(crate) fn take_configuration(&mut self) -> Option<Configuration> {
        self.place.inheritance.as_mut()?.configuration.take()
    }

    /// Lets plugins find and make short-lived records in the node's store.
    pub(crate) fn keep_records(&self, store: Arc<dyn Store>) {
        self.registry.keep_records(StoredRecords::new(store));
    }

    /// Starts the proxy. Beside a process that serves it only takes its place: nobody may be sent to
    /// this process before it has a configuration.
    pub(crate) async fn start_proxy(&mut self) -> Result<Front> {
        let settings = served::proxy_settings(&self.settings, &self.lasting).await?;
        self.reports.add_traffic(self.lasting.clone());
        self.reports.add_plugins(Arc::clone(&self.registry));
        let shared = self.activation.shared();
        let bound = keelgate_proxy::Proxy::bind(settings, shared, &mut self.listening.handed)?;
        Ok(match &self.place.inheritance {
            Some(inheritance) if inheritance.serving => Front::Held(bound),
            _ => {
                let proxy = bound.serve()?;
                host_names::share(&proxy, &self.registry);
                Front::Serving(proxy)
            }
        })
    }

    /// The node as it runs from now on. What was handed over and nobody has taken is given up.
    pub(crate) fn run(self) -> Running {
        Running {
            settings: self.settings,
            log: self.log,
            active: self.activation.active(),
            front: None,
            retired: Vec::new(),
            backup: None,
            tasks: Vec::new(),
            term: self.term,
            ending: self.ending,
            reload: None,
            in_memory: None,
            sockets: self.listening.copies,
            lasting: self.lasting,
            registry: self.registry,
            place: self.place,
        }
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

    fn lasting_level(&self) -> LastingLevel {
        let (read, write) = (self.log.clone(), self.log.clone());
        LastingLevel::new(move || read.level(), move |level| write.set_level(level))
    }

    /// Starts the Admin API (on roles that have one) and the status API.
    pub(crate) fn start_apis(
        &mut self,
        store: Arc<dyn Store>,
        mode: Mode,
        data_planes: Option<Arc<dyn keelgate_admin::DataPlanes>>,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let (log, lasting) = (self.log.clone(), self.lasting_level());
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
                body_limit: body_limit(self.settings.admin.nginx_admin_client_max_body_size.0),
            },
            mode,
            data_planes,
            source_report: report(move || source.json()),
            server: {
                let counts = Arc::clone(&self.lasting.counts);
                report(move || server_json(&counts.sum()))
            },
            log: LogLevel {
                level: report(move || log.level().as_str().to_owned()),
                set_level: Arc::new(move |name: &str, time| {
                    // Kong's name for more of the messages of Lua.
                    let name = if name == "debug_lua" { "debug" } else { name };
                    if let Ok(level) = name.parse::<Level>() {
                        lasting.set(level, time);
                    }
                }),
            },
            metrics: Arc::new(move |reachable| metrics.text(reachable)),
            access: access(&self.settings),
            audit: Some(self.settings.admin.admin_audit_retention.0)
                .filter(|kept_for| !kept_for.is_zero()),
            responses: (role != Role::ControlPlane).then(|| {
                Arc::new(Kept(self.registry.kept_responses())) as Arc<dyn keelgate_admin::Responses>
            }),
            acme: {
                let registry = Arc::clone(&self.registry);
                report(move || {
                    let certificates = registry.certificates()?;
                    Some(Arc::new(Issued(certificates)) as Arc<dyn AcmeCertificates>)
                })
            },
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
            bound_admin.serve_admin(admin, self.term.clone()),
            bound_status.serve_status(status, self.term.clone()),
        ]
    }
}

/// The most bytes of a body: what is set, and 8 MiB at the most, since bodies are held whole. A
/// certificate chain with its key is some 20 KiB.
fn body_limit(size: u64) -> usize {
    const MOST: usize = 8 << 20;
    match usize::try_from(size) {
        Ok(0) | Err(_) => MOST,
        Ok(size) => size.min(MOST),
    }
}

/// Who may use the Admin API.
fn access(settings: &Settings) -> Access {
    let credentials = settings.admin.admin_credentials.0.iter().map(|credential| {
        let role = match credential.may_write {
            true => AccessRole::ReadWrite,
            false => AccessRole::ReadOnly,
        };
        AdminCredential::new(&credential.name, role, credential.secret.expose())
    });
    Access::with(credentials.collect())
}

/// Connections and requests, as Kong tells them.
fn server_json(counted: &keelgate_proxy::Counted) -> Value {
    json!({
        "connections_accepted": counted.accepted,
        "connections_active": counted.active,
        "connections_handled": counted.handled,
        "connections_reading": counted.reading,
        "connections_waiting": counted.waiting,
        "connections_writing": counted.writing,
        "total_requests": counted.requests,
    })
}

/// The name of this machine.
pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
