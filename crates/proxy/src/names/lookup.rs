//! Asking name servers for the kinds of record, in their order.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup as Answers;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use keelgate_balancer::{Endpoint, Record};

use super::answer::Heard;
use super::hosts::Hosts;
use crate::settings::Dns;

/// How long one name server may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long all name servers together may take for one kind of record: one kind that they do not
/// answer for must not keep the others from being asked for.
const PER_KIND: Duration = Duration::from_secs(5);

/// How long an entry of the hosts file counts.
const FIXED: Duration = Duration::from_secs(24 * 60 * 60);

/// What is told, in Kong's words, of names that are not there.
const NO_SUCH_NAME: &str = "dns server error: 3 name error";
const NO_RECORDS: &str = "dns client error: 101 empty record received";

/// Asks name servers.
pub(super) struct Lookup {
    hosts: Hosts,
    order: Vec<Record>,
    last_first: bool,
    servers: Result<TokioResolver, Arc<str>>,
}

impl Lookup {
    pub(super) fn new(settings: &Dns) -> Self {
        Self {
            hosts: Hosts::read(&settings.hosts_file),
            order: settings.order.clone(),
            last_first: settings.last_first,
            servers: servers(&settings.servers).inspect_err(|error| {
                tracing::warn!(%error, "only names of the hosts file can be resolved");
            }),
        }
    }

    /// What a name stands for. The kind of record that was found `last` is asked for first.
    pub(super) async fn of(&self, name: &str, last: Option<Record>) -> Heard {
        if self.hosts.has(name) {
            return self.fixed(name);
        }
        let servers = match &self.servers {
            Ok(servers) => servers,
            Err(error) => return Heard::Failure(Arc::clone(error)),
        };
        // Host names are plain ASCII; the stricter rules for domains would refuse underscores.
        let Ok(name) = Name::from_ascii(name) else {
            return Heard::Nothing(NO_SUCH_NAME.into());
        };
        let last = last.filter(|_| self.last_first);
        let rest = self.order.iter().copied();
        let rest = rest.filter(|record| Some(*record) != last);
        let mut nothing = NO_SUCH_NAME;
        let mut failure = None;
        for record in last.into_iter().chain(rest) {
            match self.ask(servers, &name, record).await {
                Ok(found) => return found,
                Err(Missing::Name) => {}
                Err(Missing::Records) => nothing = NO_RECORDS,
                Err(Missing::Answer(why)) => failure = Some(why),
            }
        }
        match failure {
            Some(why) => Heard::Failure(why),
            None => Heard::Nothing(nothing.into()),
        }
    }

    fn fixed(&self, name: &str) -> Heard {
        let mut kinds = self.order.iter();
        let found = kinds.find_map(|record| {
            let addresses = self.hosts.get(name, *record);
            (!addresses.is_empty()).then(|| found(*record, addresses.iter().map(plain), FIXED))
        });
        found.unwrap_or_else(|| Heard::Nothing(NO_RECORDS.into()))
    }

    async fn ask(
        &self,
        servers: &TokioResolver,
        name: &Name,
        record: Record,
    ) -> Result<Heard, Missing> {
        let answers = query(servers, name, kind(record)).await?;
        match record {
            Record::A | Record::Aaaa => {
                let addresses = addresses(&answers);
                if addresses.is_empty() {
                    return Err(Missing::Records);
                }
                Ok(found(record, addresses.iter().map(plain), ttl(&answers)))
            }
            Record::Srv => self.servers_of(servers, &answers).await,
        }
    }

    /// The servers of the best priority, each with all its addresses.
    async fn servers_of(
        &self,
        servers: &TokioResolver,
        answers: &Answers,
    ) -> Result<Heard, Missing> {
        let records: Vec<&SRV> = answers
            .answers()
            .iter()
            .filter_map(|answer| match &answer.data {
                RData::SRV(record) => Some(record),
                _ => None,
            })
            .collect();
        let best = records.iter().map(|record| record.priority).min();
        let records: Vec<&SRV> = records
            .into_iter()
            .filter(|record| Some(record.priority) == best && !record.target.is_root())
            .collect();
        if records.is_empty() {
            return Err(Missing::Records);
        }
        let mut by_name: BTreeMap<&Name, Vec<IpAddr>> = BTreeMap::new();
        for record in &records {
            by_name.insert(&record.target, Vec::new());
        }
        let mut ttl = ttl(answers);
        let names: Vec<&Name> = by_name.keys().copied().collect();
        let asked = names
            .iter()
            .map(|name| self.addresses_of(servers, name, answers));
        let mut missing = Missing::Records;
        for (name, asked) in names.iter().zip(join_all(asked).await) {
            match asked {
                Ok((addresses, counts)) => {
                    ttl = ttl.min(counts);
                    by_name.insert(name, addresses);
                }
                Err(error) => missing = error,
            }
        }
        // A server with two addresses has no more of the load than its record says.
        let counts = by_name.values().map(|addresses| addresses.len().max(1));
        let shares = counts.fold(1, lcm).min(1000);
        let endpoints: Vec<Endpoint> = records
            .iter()
            .flat_map(|record| {
                let addresses = &by_name[&record.target];
                let share = (shares / addresses.len().max(1)).max(1) as u32;
                let name: Arc<str> = record.target.to_ascii().trim_end_matches('.').into();
                addresses.iter().map(move |ip| Endpoint {
                    ip: *ip,
                    port: Some(record.port).filter(|port| *port != 0),
                    weight: Some(u32::from(record.weight.max(1)) * share),
                    name: Some(Arc::clone(&name)),
                })
            })
            .collect();
        if endpoints.is_empty() {
            return Err(missing);
        }
        Ok(found(Record::Srv, endpoints, ttl))
    }

    /// The addresses of one server, which name servers often add to the record that names it.
    async fn addresses_of(
        &self,
        servers: &TokioResolver,
        name: &Name,
        answers: &Answers,
    ) -> Result<(Vec<IpAddr>, Duration), Missing> {
        let mut missing = Missing::Records;
        for record in self.order.iter().filter(|record| **record != Record::Srv) {
            let added = answers.additionals().iter();
            let added = added.filter(|added| added.name == *name);
            let added: Vec<_> = added
                .filter_map(|added| Some((added.data.ip_addr()?, added.ttl)))
                .filter(|(address, _)| address.is_ipv4() == (*record == Record::A))
                .collect();
            if let Some(ttl) = added.iter().map(|(_, ttl)| *ttl).min() {
                let addresses = added.into_iter().map(|(address, _)| address).collect();
                return Ok((addresses, Duration::from_secs(ttl.into())));
            }
            let host = name.to_ascii();
            let fixed = self.hosts.get(&host, *record);
            if !fixed.is_empty() {
                return Ok((fixed, FIXED));
            }
            match query(servers, name, kind(*record)).await {
                Ok(answers) => {
                    let addresses = addresses(&answers);
                    if !addresses.is_empty() {
                        return Ok((addresses, ttl(&answers)));
                    }
                }
                Err(error) => missing = error,
            }
        }
        Err(missing)
    }
}

/// Why a kind of record was not found.
enum Missing {
    /// There is no such name.
    Name,
    /// The name has no record of the kind.
    Records,
    /// Nobody answered.
    Answer(Arc<str>),
}

impl From<NetError> for Missing {
    fn from(error: NetError) -> Self {
        if error.is_nx_domain() {
            Self::Name
        } else if error.is_no_records_found() {
            Self::Records
        } else {
            Self::Answer(error.to_string().into())
        }
    }
}

async fn query(
    servers: &TokioResolver,
    name: &Name,
    record: RecordType,
) -> Result<Answers, Missing> {
    match tokio::time::timeout(PER_KIND, servers.lookup(name.clone(), record)).await {
        Ok(answers) => Ok(answers?),
        Err(_) => Err(Missing::Answer("no name server answered in time".into())),
    }
}

fn kind(record: Record) -> RecordType {
    match record {
        Record::A => RecordType::A,
        Record::Aaaa => RecordType::AAAA,
        Record::Srv => RecordType::SRV,
    }
}

fn addresses(answers: &Answers) -> Vec<IpAddr> {
    let answers = answers.answers().iter();
    answers.filter_map(|answer| answer.data.ip_addr()).collect()
}

/// The shortest time to live among the answers, those on the way to the last name included.
fn ttl(answers: &Answers) -> Duration {
    let ttls = answers.answers().iter().map(|answer| answer.ttl);
    Duration::from_secs(ttls.min().unwrap_or(0).into())
}

fn plain(ip: &IpAddr) -> Endpoint {
    Endpoint {
        ip: *ip,
        port: None,
        weight: None,
        name: None,
    }
}

fn found(record: Record, endpoints: impl IntoIterator<Item = Endpoint>, ttl: Duration) -> Heard {
    let mut endpoints: Vec<Endpoint> = endpoints.into_iter().collect();
    // Servers shuffle; the same set must look the same.
    endpoints.sort_unstable();
    endpoints.dedup_by(|one, other| (one.ip, one.port) == (other.ip, other.port));
    Heard::Found {
        record,
        endpoints: endpoints.into(),
        ttl,
    }
}

fn lcm(one: usize, other: usize) -> usize {
    let mut pair = (one, other);
    while pair.1 > 0 {
        pair = (pair.1, pair.0 % pair.1);
    }
    one / pair.0 * other
}

/// Those that the settings name, else those of the system.
fn servers(named: &[SocketAddr]) -> Result<TokioResolver, Arc<str>> {
    let failed = |error: &dyn std::fmt::Display| -> Arc<str> {
        format!("name servers cannot be asked: {error}").into()
    };
    let system = hickory_resolver::system_conf::read_system_conf();
    let (config, options) = match system {
        Ok(system) => system,
        Err(error) if named.is_empty() => return Err(failed(&error)),
        Err(_) => (
            ResolverConfig::from_name_servers(Vec::new()),
            Default::default(),
        ),
    };
    let config = if named.is_empty() {
        config
    } else {
        let (domain, search, _) = config.into_parts();
        ResolverConfig::from_parts(domain, search, named.iter().map(name_server).collect())
    };
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let options = builder.options_mut();
    options.timeout = options.timeout.min(PATIENCE);
    options.use_hosts_file = ResolveHosts::Never;
    // Remembering is done by the node, with times of its own.
    options.cache_size = 0;
    builder.build().map_err(|error| failed(&error))
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(
        address.ip(),
        true,
        vec![
            with_port(ConnectionConfig::udp()),
            with_port(ConnectionConfig::tcp()),
        ],
    )
}
