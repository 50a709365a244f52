//! What holds of the first message of data planes for all bytes: the property behind a fuzz target.

use std::collections::BTreeSet;

use crate::basic_info::BasicInfo;
use crate::compatibility::{check_plugins, check_version};

/// A first message that is read, written and read again is the same, and a data plane is compatible
/// with a control plane that has just its plugins.
///
/// # Panics
/// When that does not hold.
pub fn basic_info(message: &[u8]) {
    let Ok(info) = BasicInfo::parse(message) else {
        return;
    };
    let written = serde_json::to_vec(&info).expect("what was read can be written");
    let again = BasicInfo::parse(&written).expect("what was written can be read");
    assert_eq!(again.plugins, info.plugins);
    assert_eq!(again.labels, info.labels);
    assert_eq!(again.max_payload(), info.max_payload());
    let names: BTreeSet<String> = info
        .plugins
        .iter()
        .map(|plugin| plugin.name.clone())
        .collect();
    assert!(check_plugins(&names, &info.plugins, &info.plugins).is_ok());
    for version in info
        .plugins
        .iter()
        .filter_map(|plugin| plugin.version.as_deref())
    {
        // A version that is one is compatible with itself.
        if check_version(version, "0.0.0").is_ok() {
            assert!(check_version(version, version).is_ok());
        }
    }
}
