//! The `keelgate` binary.

use std::process::ExitCode;

/// Requests allocate small pieces by the dozen; the system's allocator takes about twice as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keelgate::run(Vec::new())
}
