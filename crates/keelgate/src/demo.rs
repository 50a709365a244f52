//! `keelgate demo`: the main job in one command, with real processes and measured times.

mod story;
mod timeline;
mod traffic;
mod troupe;
mod upstream;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// Options of `keelgate demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Where the backup node writes: `file:///DIRECTORY` or `s3://BUCKET/PREFIX` (with the usual
    /// AWS_* variables, and AWS_CONFIG_STORAGE_ENDPOINT for other stores). A sub-prefix of its own is
    /// added for each run. Default: a temporary directory.
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// Keep the nodes' directories and logs, and print where they are.
    #[arg(long)]
    keep: bool,
}

/// Plays the demo. Fails when anything did not work or a single request failed.
pub(crate) fn run(args: DemoArgs) -> anyhow::Result<()> {
    let directory = Directory::make(args.keep)?;
    let storage = match args.storage {
        Some(url) => format!("{}/demo-{}", url.trim_end_matches('/'), std::process::id()),
        None => format!("file://{}", directory.path.join("backup").display()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(story::tell(&directory.path, &storage));
    if args.keep {
        anstream::println!("\nlogs and data: {}", directory.path.display());
    }
    outcome
}

/// The directory of one run; removed at the end unless it is to be kept.
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn make(keep: bool) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("keelgate-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
