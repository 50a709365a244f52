//! The file of fixed names.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use keelgate_balancer::Record;

/// Fixed names, in the form of `/etc/hosts`.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    /// Reads a file; one that cannot be read has no names.
    pub(super) fn read(path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "the hosts file cannot be read");
                }
                Self::parse("")
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut names: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else {
                continue;
            };
            for name in words {
                let name = name.to_ascii_lowercase().into();
                names.entry(name).or_default().push(address);
            }
        }
        names
            .entry("localhost".into())
            .or_insert_with(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        Self(names)
    }

    /// Whether the file has the name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(&*key(name))
    }

    /// Its addresses of one kind.
    pub(super) fn get(&self, name: &str, record: Record) -> Vec<IpAddr> {
        let is_wanted = |address: &&IpAddr| match record {
            Record::A => address.is_ipv4(),
            Record::Aaaa => address.is_ipv6(),
            Record::Srv => false,
        };
        let all = self.0.get(&*key(name)).into_iter().flatten();
        all.filter(is_wanted).copied().collect()
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_other_names_are_found() {
        let hosts = Hosts::parse("10.0.0.1 One.test one # first\n\n::2 one.test\nnonsense x\n");
        assert_eq!(
            hosts.get("one.TEST.", Record::A),
            [IpAddr::from([10, 0, 0, 1])]
        );
        assert_eq!(
            hosts.get("one.test", Record::Aaaa),
            ["::2".parse::<IpAddr>().unwrap()]
        );
        assert!(hosts.get("one.test", Record::Srv).is_empty());
        assert!(hosts.has("one"));
        assert!(!hosts.has("first"));
        assert!(!hosts.has("x"));
    }

    #[test]
    fn localhost_is_there_unless_the_file_says_otherwise() {
        let none = Hosts::read(Path::new("/nowhere/hosts"));
        assert_eq!(
            none.get("localhost", Record::A),
            [IpAddr::from(Ipv4Addr::LOCALHOST)]
        );
        let own = Hosts::parse("127.0.0.9 localhost");
        assert_eq!(
            own.get("localhost", Record::A),
            [IpAddr::from([127, 0, 0, 9])]
        );
    }
}
