//! Which data planes may get a configuration.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::PluginVersion;

/// Whether a data plane can get the configuration, as Kong names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncStatus {
    /// Not yet known.
    #[default]
    Unknown,
    /// It gets each configuration.
    Normal,
    /// It speaks another level of Kong's interfaces, and was disconnected.
    KongVersionIncompatible,
    /// It lacks a plugin that the configuration uses, and gets none until that changes.
    PluginSetIncompatible,
    /// It has another version of a plugin that the configuration uses.
    PluginVersionIncompatible,
}

/// What is incompatible, and how to mend it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Incompatible {
    pub(crate) status: SyncStatus,
    message: String,
}

/// Same major version, and a data plane that is not of a newer minor one.
pub(crate) fn check_version(control: &str, data: &str) -> Result<(), Incompatible> {
    let refuse = |message: String| {
        Err(Incompatible {
            status: SyncStatus::KongVersionIncompatible,
            message,
        })
    };
    let data_shown: String = data.chars().take(32).collect();
    match (version(control), version(data)) {
        (Some((major, minor)), Some((data_major, data_minor))) => {
            if major != data_major {
                refuse(format!(
                    "data plane version {data_shown} is incompatible with control plane version {control} ({major}.x.y are accepted)"
                ))
            } else if minor < data_minor {
                refuse(format!(
                    "data plane version {data_shown} is incompatible with older control plane version {control}: update the control plane first"
                ))
            } else {
                Ok(())
            }
        }
        _ => refuse(format!(
            "data plane version `{data_shown}` is not a version that control plane version {control} knows"
        )),
    }
}

/// Each plugin that the configuration uses is there, in a version that understands it.
pub(crate) fn check_plugins(
    used: &BTreeSet<String>,
    control: &[PluginVersion],
    data: &[PluginVersion],
) -> Result<(), Incompatible> {
    let find = |plugins: &[PluginVersion], name: &str| {
        plugins
            .iter()
            .find(|plugin| plugin.name == name)
            .map(|plugin| plugin.version.clone())
    };
    for name in used {
        let Some(theirs) = find(data, name) else {
            return Err(Incompatible {
                status: SyncStatus::PluginSetIncompatible,
                message: format!("configured {name} plugin is missing from data plane"),
            });
        };
        let ours = find(control, name).flatten();
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            continue;
        };
        if let (Some((major, minor)), Some((data_major, data_minor))) =
            (version(&ours), version(&theirs))
            && (major != data_major || minor < data_minor)
        {
            return Err(Incompatible {
                status: SyncStatus::PluginVersionIncompatible,
                message: format!(
                    "configured data plane {name} plugin version {theirs} is different to control plane plugin version {ours}"
                ),
            });
        }
    }
    Ok(())
}

/// Major and minor number of `MAJOR.MINOR.PATCH…`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    parts
        .next()?
        .starts_with(|digit: char| digit.is_ascii_digit())
        .then_some((major, minor))
}

/// Whether the version is one that a record can show.
pub(crate) fn is_recordable(version: &str) -> bool {
    let mut parts = version.split('.');
    let digits = |part: &str| {
        !part.is_empty() && part.bytes().take_while(u8::is_ascii_digit).count() == part.len()
    };
    version.len() <= 64
        && parts.next().is_some_and(digits)
        && parts
            .next()
            .is_some_and(|part| part.starts_with(|digit: char| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, version: Option<&str>) -> PluginVersion {
        PluginVersion {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        }
    }

    #[test]
    fn the_same_major_and_no_newer_minor_version_is_served() {
        for version in ["3.9.1", "3.9.0", "3.9.99", "3.8.1", "3.0.0", "3.9.1-rc.1"] {
            assert_eq!(check_version("3.9.1", version), Ok(()), "{version}");
        }
        for version in ["3.10.0", "4.0.0", "2.8.4", "3.9", "abc", "", "3.9.x"] {
            let error = check_version("3.9.1", version).unwrap_err();
            assert_eq!(
                error.status,
                SyncStatus::KongVersionIncompatible,
                "{version}"
            );
        }
    }

    #[test]
    fn a_record_shows_versions_of_at_least_two_numbers() {
        for version in ["3.9", "3.10.0", "4.0.0"] {
            assert!(is_recordable(version), "{version}");
        }
        for version in ["", "abc", "3", "3.x", "v3.9"] {
            assert!(!is_recordable(version), "{version}");
        }
    }

    #[test]
    fn only_plugins_in_use_count() {
        let used = BTreeSet::from(["cors".to_owned()]);
        let control = [plugin("cors", Some("3.9.1")), plugin("acl", Some("3.9.1"))];
        let status = |data: &[PluginVersion]| {
            check_plugins(&used, &control, data)
                .map_err(|error| error.status)
                .err()
        };
        assert_eq!(status(&[plugin("cors", Some("3.9.1"))]), None);
        assert_eq!(status(&[plugin("cors", Some("3.8.0"))]), None);
        assert_eq!(status(&[plugin("cors", None)]), None);
        assert_eq!(status(&[]), Some(SyncStatus::PluginSetIncompatible));
        for version in ["3.10.0", "2.9.0", "4.0.0"] {
            assert_eq!(
                status(&[plugin("cors", Some(version))]),
                Some(SyncStatus::PluginVersionIncompatible),
                "{version}"
            );
        }
    }
}
