//! A gateway with a plugin of its own: `maintenance` answers 503 for a while, but lets those through
//! who know a word.
//!
//! Everything that the gateway can do, this program can, too:
//!
//! ```text
//! KONG_PLUGINS=bundled,maintenance KONG_DATABASE=off cargo run -p custom-plugin -- start --foreground
//! ```

mod maintenance;

use std::process::ExitCode;

fn main() -> ExitCode {
    keelgate::run(vec![maintenance::plugin()])
}
