//! `keelgate version`.

use clap::Args;

/// Options of `keelgate version`.
#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// Also print the API level of Kong that is spoken, and what the build is for.
    #[arg(short, long)]
    all: bool,
}

/// Prints the version.
pub(crate) fn version(arguments: &VersionArgs) {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.all {
        anstream::println!("Keelgate: {version}");
        anstream::println!("Kong API: {}", keelgate_entities::KONG_API_VERSION);
        anstream::println!(
            "System: {} {}",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    } else {
        anstream::println!("{version}");
    }
}
