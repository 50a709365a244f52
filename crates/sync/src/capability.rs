//! What two nodes of this software do beyond Kong's protocol.
//!
//! The data plane lists its capabilities in the header `Keelgate-Capabilities` of the upgrade; the
//! control plane answers with those of the list that it has too. Kong knows nothing of the header:
//! it neither sends nor answers it, and so it never gets a frame that it would close on.
//!
//! | capability | meaning |
//! |---|---|
//! | `report` | the data plane sends [`Report`]s as binary frames of JSON |
//! | `delta` | besides `report`: the control plane may send deltas as binary frames of plain JSON, and a
//! data plane that cannot use one asks for the whole with a report (`docs/rfcs/0002-deltas.md`) |

use http::{HeaderName, HeaderValue};
use keelgate_snapshot::Identity;
use serde::{Deserialize, Serialize};

/// The header of the upgrade and of its answer.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("keelgate-capabilities");

/// What this build lists.
pub(crate) const ALL: HeaderValue = HeaderValue::from_static("report, delta");

const REPORT: &str = "report";

const DELTA: &str = "delta";

/// Longest reason of a rejection that is sent or kept, in characters.
const MAX_REASON: usize = 4096;

/// Longest hash of a configuration that is kept, in bytes; Kong's have 32.
const MAX_HASH: usize = 64;

/// What both ends can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) reports: bool,
    pub(crate) deltas: bool,
}

impl Capabilities {
    /// Those of a list that this build has too.
    pub(crate) fn of(list: &str) -> Self {
        let has = |wanted| list.split(',').any(|name| name.trim() == wanted);
        let reports = has(REPORT);
        Self {
            reports,
            // A delta that cannot be used is reported.
            deltas: reports && has(DELTA),
        }
    }

    /// As a list; none when there are none.
    pub(crate) fn list(self) -> Option<String> {
        let names = [(self.reports, REPORT), (self.deltas, DELTA)];
        let names: Vec<_> = names.iter().filter(|(has, _)| *has).collect();
        let names: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// A message from a data plane after its first.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Report {
    /// What it runs now, and where that came from.
    #[serde(rename = "keelgate_status")]
    Status {
        identity: Option<Identity>,
        source: Option<String>,
    },
    /// A snapshot that it refused.
    #[serde(rename = "keelgate_rejection")]
    Rejection(Rejection),
    /// It cannot use a delta, and wants the whole configuration.
    #[serde(rename = "keelgate_whole")]
    Whole,
    /// From a newer data plane.
    #[serde(other)]
    Unknown,
}

/// A snapshot that a data plane refused; it keeps running what it ran.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Identity of the refused snapshot, as far as it could be read.
    pub identity: Option<Identity>,
    /// Its hash, as far as it could be read.
    pub config_hash: Option<String>,
    /// Which check failed, and where.
    pub reason: String,
}

impl Rejection {
    /// With a reason of bounded length and in one line, and a hash that may be one.
    pub(crate) fn bounded(self) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            identity: self.identity,
            config_hash: self.config_hash.filter(|hash| hash.len() <= MAX_HASH),
            reason: self.reason.chars().take(MAX_REASON).map(plain).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_by_whole_names() {
        let of = |list| {
            let Capabilities { reports, deltas } = Capabilities::of(list);
            (reports, deltas)
        };
        assert_eq!(of("report"), (true, false));
        assert_eq!(of("delta, report"), (true, true));
        assert_eq!(of("delta"), (false, false));
        assert_eq!(of("reports,deltas"), (false, false));
        assert_eq!(of(""), (false, false));
        let all = Capabilities::of(ALL.to_str().unwrap());
        assert_eq!(all.list().as_deref(), ALL.to_str().ok());
        assert_eq!(Capabilities::of("report").list().unwrap(), "report");
        assert_eq!(Capabilities::default().list(), None);
    }

    #[test]
    fn a_report_of_a_newer_data_plane_is_ignored() {
        let report: Report = serde_json::from_str(r#"{"type":"keelgate_mood","x":1}"#).unwrap();
        assert_eq!(report, Report::Unknown);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let rejection = Rejection {
            identity: None,
            config_hash: None,
            reason: "ä".repeat(MAX_REASON + 10),
        };
        assert_eq!(rejection.bounded().reason.chars().count(), MAX_REASON);
    }

    #[test]
    fn what_a_data_plane_says_stays_in_one_line_and_small() {
        let rejection = Rejection {
            identity: None,
            config_hash: Some("f".repeat(1 << 20)),
            reason: "bad\nERROR forged\u{1b}[2J".to_owned(),
        };
        let bounded = rejection.bounded();
        assert_eq!(bounded.reason, "bad ERROR forged [2J");
        assert_eq!(bounded.config_hash, None);
    }
}
