//! Where the objects of one version of the software lie below a location.

use keelgate_snapshot::Identity;
use uuid::Uuid;

/// Which versions have written; directly below the location.
pub const INDEX: &str = "index.json";

/// How the names of the probe's objects begin.
const PROBE: &str = "probe-";

/// Whether `name`, in the folder of the election, is an object of some node's own.
pub(crate) fn is_of_a_node(name: &str) -> bool {
    let node = match name.strip_prefix(PROBE) {
        Some(rest) => rest.rsplit_once('-').map_or(rest, |(node, _)| node),
        None => name,
    };
    Uuid::try_parse(node).is_ok()
}

/// The keys of one version: `VERSION/config.json`, `VERSION/history/…`, `VERSION/election/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    version: String,
}

/// What the name of a history object tells without reading it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryName {
    /// Epoch and revision, which order the names of one cluster.
    pub position: (u64, u64),
    /// The first digits of the digest.
    pub hash: String,
}

impl Layout {
    /// The layout of `version`, such as `0.1.0`.
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
        }
    }

    /// The version that it belongs to.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The newest good snapshot.
    pub fn config(&self) -> String {
        format!("{}/config.json", self.version)
    }

    /// The folder of the history.
    pub fn history_folder(&self) -> String {
        format!("{}/history", self.version)
    }

    /// The immutable copy of one snapshot.
    pub fn history(&self, identity: &Identity) -> String {
        format!("{}/history/{identity}.json", self.version)
    }

    /// The history object that a listed name belongs to.
    pub fn history_named(&self, name: &HistoryName) -> String {
        format!("{}/history/{name}", self.version)
    }

    /// The lease of the leader.
    pub fn lease(&self) -> String {
        format!("{}/election/lease.json", self.version)
    }

    /// The folder of the election.
    pub fn election_folder(&self) -> String {
        format!("{}/election", self.version)
    }

    /// An object of the probe of a node.
    pub(crate) fn probe(&self, node: Uuid, number: u32) -> String {
        format!("{}/election/{PROBE}{node}-{number}", self.version)
    }

    /// The registering file of a node.
    pub fn registration(&self, node: Uuid) -> String {
        format!("{}/election/{node}", self.version)
    }

    /// The first number of the version: versions that share it can read each other's snapshots.
    pub fn major(&self) -> Option<u64> {
        major(&self.version)
    }
}

/// The first number of a version such as `1.20.3`; nothing for names that are no version.
pub(crate) fn major(version: &str) -> Option<u64> {
    let (major, rest) = version.split_once('.')?;
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then(|| major.parse().ok())?
}

/// The numbers of a version, which order versions as their makers do: `0.10.0` after `0.9.1`.
pub(crate) fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap_or(u64::MAX))
        .collect()
}

impl HistoryName {
    /// Reads `EPOCH-REVISION-HASH.json`; nothing for other names, nor for other spellings, which
    /// would lead to another object.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".json")?.splitn(3, '-');
        let position = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let hash = parts.next()?;
        let hexadecimal = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parsed = Self {
            position,
            hash: hash.to_owned(),
        };
        (hexadecimal && parsed.to_string() == name).then_some(parsed)
    }

    /// Whether it is the name of `identity`.
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.position == identity.position() && identity.sha256.to_string().starts_with(&self.hash)
    }
}

impl std::fmt::Display for HistoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (epoch, revision) = self.position;
        write!(f, "{epoch}-{revision}-{}.json", self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelgate_snapshot::Digest;

    #[test]
    fn a_history_key_tells_its_identity() {
        let identity = Identity {
            cluster_id: Uuid::nil(),
            epoch: 2,
            revision: 17,
            sha256: Digest([0xab; 32]),
        };
        let key = Layout::new("0.1.0").history(&identity);
        assert_eq!(key, "0.1.0/history/2-17-abababababab.json");
        let name = HistoryName::parse("2-17-abababababab.json").unwrap();
        assert!(name.is_of(&identity));
        assert_eq!(Layout::new("0.1.0").history_named(&name), key);
    }

    #[test]
    fn history_names_are_ordered_by_number_not_by_text() {
        let old = HistoryName::parse("1-9-aa.json").unwrap();
        let new = HistoryName::parse("1-10-00.json").unwrap();
        assert!(old < new);
    }

    #[test]
    fn objects_of_nodes_are_told_from_the_lease() {
        let (layout, node) = (Layout::new("0.1.0"), Uuid::from_u128(7));
        for key in [layout.registration(node), layout.probe(node, 2)] {
            let name = key.strip_prefix("0.1.0/election/").unwrap();
            assert!(is_of_a_node(name), "{name}");
        }
        for name in ["lease.json", "probe-", "notes"] {
            assert!(!is_of_a_node(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_no_history() {
        for name in [
            "config.json",
            "1-2.json",
            "1-x-aa.json",
            "1-2-zz.json",
            "1-2-aa",
            "-1-2-aa.json",
            "01-2-aa.json",
            "1-+2-aa.json",
        ] {
            assert_eq!(HistoryName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(numbers("0.10.0") > numbers("0.9.12"));
        assert!(numbers("0.1.1") > numbers("0.1.0-rc.2"));
    }

    #[test]
    fn the_major_number_is_read_from_versions_only() {
        assert_eq!(major("12.0.1-rc.1"), Some(12));
        assert_eq!(major("tmp"), None);
        assert_eq!(major("1.x"), None);
    }
}
