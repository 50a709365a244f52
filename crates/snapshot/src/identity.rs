//! The identity of a snapshot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// SHA-256 of a snapshot's configuration bytes; written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// What tells one snapshot from another.
///
/// Within one cluster, `(epoch, revision)` orders snapshots in time; two snapshots with the same
/// pair and different digests are a fork, which is refused and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster that it configures.
    pub cluster_id: Uuid,
    /// Counts restarts of the revision counter (a restored or replaced database, an emergency
    /// publish).
    pub epoch: u64,
    /// Counts committed changes within the epoch.
    pub revision: u64,
    /// Digest of the configuration bytes.
    pub sha256: Digest,
}

/// Where a snapshot stands in the history of its cluster: an [`Identity`] without the digest of
/// bytes that do not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The cluster that it configures.
    pub cluster_id: Uuid,
    /// Counts restarts of the revision counter.
    pub epoch: u64,
    /// Counts committed changes within the epoch.
    pub revision: u64,
}

/// A snapshot of another cluster than the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot belongs to cluster {found}, this node to cluster {expected}")]
pub struct ForeignCluster {
    /// The cluster of this node.
    pub expected: Uuid,
    /// The cluster that the snapshot configures.
    pub found: Uuid,
}

impl Identity {
    /// Refuses a snapshot of another cluster.
    ///
    /// # Errors
    ///
    /// [`ForeignCluster`] names both clusters.
    pub fn belongs_to(&self, cluster_id: Uuid) -> Result<(), ForeignCluster> {
        if self.cluster_id == cluster_id {
            return Ok(());
        }
        Err(ForeignCluster {
            expected: cluster_id,
            found: self.cluster_id,
        })
    }

    /// The pair that orders snapshots of one cluster.
    pub fn position(&self) -> (u64, u64) {
        (self.epoch, self.revision)
    }
}

impl fmt::Display for Identity {
    /// `EPOCH-REVISION-HASH`, the hash shortened to 12 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}",
            self.epoch,
            self.revision,
            &self.sha256.to_string()[..12]
        )
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct InvalidDigest;

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        Self(out)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidDigest);
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
