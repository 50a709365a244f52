//! The shared files of AWS: `~/.aws/config` and `~/.aws/credentials`.
//!
//! No crate for INI files reads them: they have nested lines, sections in two spellings, and two
//! files that are laid over each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::storage::Environment;

/// Largest file that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// The settings of one profile by their names, in lower case.
pub(super) type Profile = BTreeMap<String, String>;

/// Every profile of the shared files.
#[derive(Default)]
pub(super) struct Profiles {
    by_name: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the files; those that do not exist are empty.
    pub(super) fn read(environment: &Environment) -> Result<Self, String> {
        let [config, credentials] = files(environment);
        let mut profiles = Self::default();
        if let Some(text) = read(&config)? {
            profiles.add(&text, named_in_config);
        }
        if let Some(text) = read(&credentials)? {
            profiles.add(&text, named_in_credentials);
        }
        Ok(profiles)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// Lays one file over what is there. Indented lines belong to the setting above them and
    /// configure services that the gateway does not use.
    fn add(&mut self, text: &str, named: fn(&str) -> Option<&str>) {
        let mut current = None;
        for line in text.lines() {
            let content = line.split(" #").next().unwrap_or_default();
            let content = content.split(" ;").next().unwrap_or_default().trim_end();
            if content.is_empty() || content.starts_with(['#', ';', ' ', '\t']) {
                continue;
            }
            if let Some(section) = content.strip_prefix('[') {
                let section = section.trim_end_matches(']').trim();
                current = named(section).map(str::to_owned);
                if let Some(name) = &current {
                    self.by_name.entry(name.clone()).or_default();
                }
            } else if let (Some(name), Some((key, value))) = (&current, content.split_once('=')) {
                let profile = self.by_name.entry(name.clone()).or_default();
                profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }
}

/// The profile of a section of the config file, where others are no profiles.
fn named_in_config(section: &str) -> Option<&str> {
    match section {
        "default" => Some(section),
        _ => section.strip_prefix("profile ").map(str::trim),
    }
}

/// The profile of a section of the credentials file, which holds nothing else.
fn named_in_credentials(section: &str) -> Option<&str> {
    Some(section)
}

/// The profile that is meant, and whether somebody asked for it.
pub(super) fn chosen(environment: &Environment) -> (&str, bool) {
    let asked = environment
        .get("AWS_PROFILE")
        .or_else(|| environment.get("AWS_DEFAULT_PROFILE"));
    (asked.unwrap_or("default"), asked.is_some())
}

/// Where the two files are.
pub(super) fn files(environment: &Environment) -> [PathBuf; 2] {
    [
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ]
    .map(|(variable, name)| match environment.get(variable) {
        Some(path) => PathBuf::from(path),
        None => {
            let home = Path::new(environment.get("HOME").unwrap_or("/"));
            home.join(".aws").join(name)
        }
    })
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let wrong = |cause: String| format!("{} cannot be read: {cause}", path.display());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
        Ok(file) if !file.is_file() => return Ok(None),
        Ok(file) if file.len() > FILE_LIMIT => {
            return Err(wrong(format!("it is larger than {FILE_LIMIT} bytes")));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path)
        .map(Some)
        .map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(config: &str, credentials: &str) -> Profiles {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let environment = Environment::new([
            ("AWS_CONFIG_FILE".into(), path("config", config)),
            (
                "AWS_SHARED_CREDENTIALS_FILE".into(),
                path("credentials", credentials),
            ),
        ]);
        Profiles::read(&environment).unwrap()
    }

    #[test]
    fn profiles_are_read_as_the_vendors_tools_read_them() {
        let profiles = read_files(
            "# comment\n[default]\nregion = eu-central-1 # here\ns3 =\n  max_concurrent_requests = 20\n\n[profile edge]\nRole_ARN=arn:aws:iam::1:role/x=y\nsource_profile = base\n[sso-session edge]\nregion = nowhere\n[plain]\nregion = ignored\n",
            "[default]\naws_access_key_id = AK\naws_secret_access_key = a/b+c=#;d\n[plain]\naws_access_key_id = PK\n[edge]\nregion = us-west-2\n",
        );
        let default = profiles.get("default").unwrap();
        assert_eq!(default["region"], "eu-central-1");
        assert_eq!(default["aws_secret_access_key"], "a/b+c=#;d");
        assert!(!default.contains_key("max_concurrent_requests"));
        let edge = profiles.get("edge").unwrap();
        assert_eq!(edge["role_arn"], "arn:aws:iam::1:role/x=y");
        assert_eq!(edge["region"], "us-west-2");
        // Without the word `profile` a section of the config file is none.
        assert!(!profiles.get("plain").unwrap().contains_key("region"));
    }

    #[test]
    fn files_that_do_not_exist_hold_no_profiles() {
        let environment = Environment::new([("HOME".into(), "/nonexistent".into())]);
        assert!(
            Profiles::read(&environment)
                .unwrap()
                .get("default")
                .is_none()
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_fail(text in "[\\[\\]a-z=#; \\t\\n]{0,80}") {
            let mut profiles = Profiles::default();
            profiles.add(&text, named_in_credentials);
        }
    }
}
