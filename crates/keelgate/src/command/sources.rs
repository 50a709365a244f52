//! Where the settings of a command come from.

use std::path::PathBuf;

use clap::Args;
use keelgate_settings::Loader;

/// Options that name the sources of settings.
#[derive(Args, Debug, Clone)]
pub(crate) struct Sources {
    /// Configuration file.
    #[arg(short = 'c', long = "conf", value_name = "FILE", env = "KEELGATE_CONF")]
    pub(crate) conf: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) prefix: Prefix,
}

/// The option that names the node.
#[derive(Args, Debug, Clone)]
pub(crate) struct Prefix {
    /// Directory of the node; overrides the setting.
    #[arg(short = 'p', long, value_name = "DIRECTORY")]
    pub(crate) prefix: Option<PathBuf>,
}

impl Sources {
    /// A loader of these sources and the environment.
    pub(crate) fn loader(&self) -> Loader {
        let loader = self.prefix.loader();
        match &self.conf {
            Some(path) => loader.file(path),
            None => loader,
        }
    }
}

impl Prefix {
    /// A loader of the default files and the environment.
    pub(crate) fn loader(&self) -> Loader {
        // Names and values that are no Unicode cannot be settings.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let loader = Loader::new().default_files().environment(variables);
        match &self.prefix {
            Some(prefix) => loader.option("prefix", prefix.display().to_string(), "--prefix"),
            None => loader,
        }
    }
}
