//! The first message of a data plane: what it is and what it can run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::DEFAULT_MAX_PAYLOAD;

const KIND: &str = "basic_info";

/// A plugin that a node can run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PluginVersion {
    /// Name of the plugin.
    pub name: String,
    /// `MAJOR.MINOR.PATCH`; a plugin without a version is compatible with each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The message; a control plane needs `type` and `plugins` only.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct BasicInfo {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) plugins: Vec<PluginVersion>,
    #[serde(default)]
    process_conf: ProcessConf,
    #[serde(default)]
    filters: Map<String, Value>,
    #[serde(default)]
    pub(crate) labels: Option<Map<String, Value>>,
}

/// The settings that matter here, of the many that Kong sends.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct ProcessConf {
    #[serde(default)]
    cluster_max_payload: Option<Value>,
}

/// Why a first message is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BasicInfoError {
    #[error("failed to decode the basic info: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the first message is of type `{0}`, expected `basic_info`")]
    Kind(String),
}

impl BasicInfo {
    pub(crate) fn new(
        plugins: Vec<PluginVersion>,
        labels: Map<String, Value>,
        max_payload: usize,
    ) -> Self {
        Self {
            kind: KIND.to_owned(),
            plugins,
            process_conf: ProcessConf {
                cluster_max_payload: Some(max_payload.into()),
            },
            filters: Map::new(),
            labels: Some(labels),
        }
    }

    /// Reads the message.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, BasicInfoError> {
        let info: Self = serde_json::from_slice(message)?;
        if info.kind != KIND {
            let plain = info.kind.chars().filter(|c| !c.is_control());
            let kind = plain.take(64).collect();
            return Err(BasicInfoError::Kind(kind));
        }
        Ok(info)
    }

    /// Largest frame that the data plane accepts, in bytes.
    pub(crate) fn max_payload(&self) -> usize {
        self.process_conf
            .cluster_max_payload
            .as_ref()
            .and_then(Value::as_u64)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(DEFAULT_MAX_PAYLOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_message_of_kong_is_enough() {
        let info =
            BasicInfo::parse(br#"{"type":"basic_info","plugins":[{"name":"cors"}]}"#).unwrap();
        assert_eq!(info.plugins[0].version, None);
        assert_eq!(info.max_payload(), DEFAULT_MAX_PAYLOAD);
        assert!(info.labels.is_none());
    }

    #[test]
    fn the_limit_of_the_data_plane_is_read() {
        let info = BasicInfo::parse(
            br#"{"type":"basic_info","plugins":[],"process_conf":{"cluster_max_payload":4194304,"x":1}}"#,
        )
        .unwrap();
        assert_eq!(info.max_payload(), 4 << 20);
    }

    #[test]
    fn other_messages_are_refused() {
        let refused = |message: &[u8]| BasicInfo::parse(message).unwrap_err();
        assert!(matches!(refused(b""), BasicInfoError::Malformed(_)));
        assert!(matches!(refused(b"[]"), BasicInfoError::Malformed(_)));
        let missing = br#"{"type":"basic_info"}"#;
        assert!(matches!(refused(missing), BasicInfoError::Malformed(_)));
        let other = br#"{"type":"hello","plugins":[]}"#;
        assert!(matches!(refused(other), BasicInfoError::Kind(kind) if kind == "hello"));
    }
}
