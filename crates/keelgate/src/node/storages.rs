//! The storages of the settings, the same for nodes and commands.

use std::sync::Arc;

use anyhow::Context;
use keelgate_fallback::{
    Environment, Location, S3PutOptions, SecretHeader, Storage, StorageSettings,
};
use keelgate_settings::Settings;

use super::certificates::trusted_bundles;

const STORAGE: &str = "cluster_fallback_config_storage";

/// The variables of the environment that are text; others are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Opens every storage of `cluster_fallback_config_storage`; nothing is asked of them yet.
///
/// # Errors
/// Names the setting that cannot be used, and never a secret.
pub(crate) fn storages(settings: &Settings) -> anyhow::Result<Vec<Arc<dyn Storage>>> {
    let urls = &settings.fallback.cluster_fallback_config_storage;
    if urls.is_empty() {
        return Ok(Vec::new());
    }
    let opened = opened_with(settings)?;
    let mut locations: Vec<&Location> = Vec::new();
    for url in urls {
        if !locations.contains(&url.location()) {
            locations.push(url.location());
        }
    }
    locations
        .into_iter()
        .map(|location| {
            let storage = keelgate_fallback::open(location, &opened);
            storage.with_context(|| format!("{STORAGE}: {location}"))
        })
        .collect()
}

fn opened_with(settings: &Settings) -> anyhow::Result<StorageSettings> {
    let fallback = &settings.fallback;
    let put_options = match &fallback.cluster_fallback_export_s3_config {
        Some(options) => {
            S3PutOptions::new(options.members()).context("cluster_fallback_export_s3_config")?
        }
        None => S3PutOptions::default(),
    };
    let header = fallback.cluster_fallback_config_https_header.as_ref();
    Ok(StorageSettings {
        environment: Environment::new(environment()),
        put_options,
        trusted_certificates: trusted_bundles(settings).map(str::to_owned).collect(),
        https_headers: header
            .map(|header| SecretHeader {
                name: header.name().to_owned(),
                value: header.value().expose().to_owned(),
            })
            .into_iter()
            .collect(),
        ..StorageSettings::default()
    })
}

#[cfg(test)]
mod tests {
    use keelgate_settings::Loader;

    use super::*;

    fn settings(lines: &[(&str, &str)]) -> Settings {
        let mut loader = Loader::new().option("prefix", "/nonexistent", "--test");
        for (key, value) in lines {
            loader = loader.option(key, *value, "--test");
        }
        loader.load().unwrap().settings
    }

    fn told(lines: &[(&str, &str)]) -> String {
        format!("{:#}", storages(&settings(lines)).unwrap_err())
    }

    #[test]
    fn every_storage_of_the_list_is_opened_in_its_order() {
        let settings = settings(&[(STORAGE, "file:///srv/b, file:///srv/a")]);
        let opened = storages(&settings).unwrap();
        let names: Vec<&str> = opened.iter().map(|storage| storage.location()).collect();
        assert_eq!(names, ["file:///srv/b", "file:///srv/a"]);
    }

    #[test]
    fn an_unknown_member_of_the_put_options_is_told_with_the_setting_and_the_nearest_name() {
        let told = told(&[
            (STORAGE, "file:///srv/a"),
            (
                "cluster_fallback_export_s3_config",
                r#"{"ServerSideEncyption": "s3cret"}"#,
            ),
        ]);
        assert!(
            told.starts_with("cluster_fallback_export_s3_config: "),
            "{told}"
        );
        assert!(told.contains("ServerSideEncyption"), "{told}");
        assert!(told.contains("ServerSideEncryption"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }

    #[test]
    fn without_the_setting_there_is_no_storage() {
        assert!(storages(&settings(&[])).unwrap().is_empty());
    }
}
