//! All settings of a node.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::layers::Layers;
use crate::loader::{LoadError, Loaded, Loader, effective};
use crate::problem::{Origin, Problem};
use crate::reader::Reader;
use crate::registry::{Key, find};
use crate::sections::{
    Admin, Cluster, Database, Dns, Fallback, Listen, Log, Node, Postgres, Proxy, Replica, Tls,
};
use crate::values::{Context, Kind, entries};

/// All settings of a node, typed and checked. Each field of each section bears
/// the name of its key in the configuration file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node itself.
    pub node: Node,
    /// Logs.
    pub log: Log,
    /// What it listens on.
    pub listen: Listen,
    /// Certificates and trust.
    pub tls: Tls,
    /// How requests are proxied.
    pub proxy: Proxy,
    /// The Admin API.
    pub admin: Admin,
    /// Control planes and data planes.
    pub cluster: Cluster,
    /// The fallback storage.
    pub fallback: Fallback,
    /// Where entities are kept.
    pub database: Database,
    /// The PostgreSQL server.
    pub postgres: Postgres,
    /// A replica of it.
    pub replica: Replica,
    /// Name resolution.
    pub dns: Dns,
    /// What each key was set to, as it may be shown, and by whom.
    shown: BTreeMap<&'static str, (String, Origin)>,
    /// What they were loaded from.
    loader: Loader,
}

impl Settings {
    /// Reads all sections; `None` when one has a value that cannot be used.
    pub(crate) fn read(
        layers: &Layers,
        context: Context<'_>,
        loader: &Loader,
    ) -> (Option<Self>, Vec<Problem>) {
        let mut reader = Reader::new(layers, context);
        let node = Node::read(&mut reader);
        let log = Log::read(&mut reader);
        let listen = Listen::read(&mut reader);
        let tls = Tls::read(&mut reader);
        let proxy = Proxy::read(&mut reader);
        let admin = Admin::read(&mut reader);
        let cluster = Cluster::read(&mut reader);
        let fallback = Fallback::read(&mut reader);
        let database = Database::read(&mut reader);
        let postgres = Postgres::read(&mut reader);
        let replica = Replica::read(&mut reader);
        let dns = Dns::read(&mut reader);
        let problems = reader.problems;
        let shown = effective(layers)
            .map(|(key, entry)| match entry {
                Some(entry) => {
                    let text = layers.shown(key.name, &entry.text);
                    (key.name, (text, entry.origin.clone()))
                }
                None => (key.name, (key.default.to_owned(), Origin::Default)),
            })
            .collect();
        let settings = || {
            Some(Self {
                node: node?,
                log: log?,
                listen: listen?,
                tls: tls?,
                proxy: proxy?,
                admin: admin?,
                cluster: cluster?,
                fallback: fallback?,
                database: database?,
                postgres: postgres?,
                replica: replica?,
                dns: dns?,
                shown,
                loader: loader.clone(),
            })
        };
        (settings(), problems)
    }

    /// Loads the settings anew from the same sources: the file may have changed.
    ///
    /// # Errors
    /// As [`Loader::load`]; these settings then stay in force.
    pub fn reload(&self) -> Result<Loaded, LoadError> {
        self.loader.load()
    }

    /// Who set a key.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        self.shown
            .get(key)
            .map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// The keys that others set to something else; of secrets only whether they are set is compared.
    pub fn differences<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = &'static str> + 'a {
        self.shown
            .iter()
            .filter(|(key, (text, _))| {
                others.shown(key) != Some(text.as_str()).filter(|text| !text.is_empty())
            })
            .map(|(key, _)| *key)
    }

    /// What a key was set to, as it may be shown; `None` when it is unset.
    #[must_use]
    pub fn shown(&self, key: &str) -> Option<&str> {
        self.shown
            .get(key)
            .map(|(text, _)| text.as_str())
            .filter(|text| !text.is_empty())
    }

    /// The file of the embedded database.
    #[must_use]
    pub fn sqlite_path(&self) -> PathBuf {
        let default = || self.node.prefix.join("keelgate.db");
        self.database.sqlite_path.clone().unwrap_or_else(default)
    }

    /// Every setting as the Admin API shows it: JSON types, unset ones left out,
    /// secrets masked, references in place of what they stand for.
    #[must_use]
    pub fn to_json_masked(&self) -> Map<String, Value> {
        self.shown
            .iter()
            .filter(|(_, (text, _))| !text.is_empty())
            .filter_map(|(name, (text, _))| {
                let key = find(name)?;
                Some(((*name).to_owned(), json(key, text)))
            })
            .collect()
    }
}

fn json(key: &Key, text: &str) -> Value {
    let is_list = key.kind.is_list() && !key.secret;
    if is_list {
        return entries(text)
            .map(|entry| json_scalar(&key.kind, entry))
            .collect();
    }
    json_scalar(&key.kind, text)
}

fn json_scalar(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Bool if text == "on" || text == "true" => Value::Bool(true),
        Kind::Bool if text == "off" || text == "false" => Value::Bool(false),
        Kind::OnOff if text == "true" => Value::from("on"),
        Kind::OnOff if text == "false" => Value::from("off"),
        Kind::Number => text
            .parse()
            .map(Value::Number)
            .unwrap_or_else(|_| Value::from(text)),
        _ => Value::from(text),
    }
}
