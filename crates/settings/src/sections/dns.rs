//! How host names of upstreams are resolved.

use std::path::PathBuf;

use crate::section::section;
use crate::values::{DnsRecord, NameServer, Seconds};

section! {
    /// How host names of upstreams are resolved.
    pub struct Dns in "DNS" {
        /// DNS servers, by IP address; when unset, those of /etc/resolv.conf.
        dns_resolver: Vec<NameServer> = "" for Proxying;
        /// A file of fixed names, in the form of /etc/hosts.
        dns_hostsfile: PathBuf = "/etc/hosts" for Proxying;
        /// Which kinds of record are asked for, in this order.
        dns_order: Vec<DnsRecord> = "LAST,SRV,A,CNAME" for Proxying;
        /// Seconds that an answer counts, whatever its own time to live says.
        dns_valid_ttl: Option<Seconds> = "" for Proxying;
        /// Seconds that an outdated answer is still used while a new one is sought.
        dns_stale_ttl: Seconds = "3600" for Proxying;
        /// How many answers are remembered.
        dns_cache_size: u32 = "10000" for Proxying;
        /// Seconds that the answer "no such name" counts.
        dns_not_found_ttl: Seconds = "30" for Proxying;
        /// Seconds that a failure counts.
        dns_error_ttl: Seconds = "1" for Proxying;
        /// Whether the resolver_* settings count instead of the dns_* ones.
        new_dns_client: bool = "off" for Proxying;
        /// As `dns_resolver`, with `new_dns_client = on`.
        resolver_address: Vec<NameServer> = "" for Proxying;
        /// As `dns_hostsfile`, with `new_dns_client = on`.
        resolver_hosts_file: PathBuf = "/etc/hosts" for Proxying;
        /// As `dns_order`, with `new_dns_client = on`.
        resolver_family: Vec<DnsRecord> = "A,SRV" for Proxying;
        /// As `dns_valid_ttl`, with `new_dns_client = on`.
        resolver_valid_ttl: Option<Seconds> = "" for Proxying;
        /// As `dns_stale_ttl`, with `new_dns_client = on`.
        resolver_stale_ttl: Seconds = "3600" for Proxying;
        /// As `dns_cache_size`, with `new_dns_client = on`.
        resolver_lru_cache_size: u32 = "10000" for Proxying;
        /// As `dns_error_ttl` and `dns_not_found_ttl`, with `new_dns_client = on`.
        resolver_error_ttl: Seconds = "1" for Proxying;
    }
}

/// The settings that count, whichever family they come from.
#[derive(Debug, Clone, Copy)]
pub struct NameResolution<'a> {
    /// Servers; empty for those of the system.
    pub servers: &'a [NameServer],
    /// File of fixed names.
    pub hosts_file: &'a std::path::Path,
    /// Kinds of record, in order.
    pub order: &'a [DnsRecord],
    /// Overrides the time to live of answers.
    pub valid_ttl: Option<Seconds>,
    /// How long outdated answers may be used.
    pub stale_ttl: Seconds,
    /// How long "no such name" counts.
    pub not_found_ttl: Seconds,
    /// How long a failure counts.
    pub error_ttl: Seconds,
    /// How many answers are remembered.
    pub cache_size: u32,
}

impl Dns {
    /// The settings that count.
    #[must_use]
    pub fn resolution(&self) -> NameResolution<'_> {
        if self.new_dns_client {
            NameResolution {
                servers: &self.resolver_address,
                hosts_file: &self.resolver_hosts_file,
                order: &self.resolver_family,
                valid_ttl: self.resolver_valid_ttl,
                stale_ttl: self.resolver_stale_ttl,
                not_found_ttl: self.resolver_error_ttl,
                error_ttl: self.resolver_error_ttl,
                cache_size: self.resolver_lru_cache_size,
            }
        } else {
            NameResolution {
                servers: &self.dns_resolver,
                hosts_file: &self.dns_hostsfile,
                order: &self.dns_order,
                valid_ttl: self.dns_valid_ttl,
                stale_ttl: self.dns_stale_ttl,
                not_found_ttl: self.dns_not_found_ttl,
                error_ttl: self.dns_error_ttl,
                cache_size: self.dns_cache_size,
            }
        }
    }
}
