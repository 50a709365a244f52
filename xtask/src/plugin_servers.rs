//! Servers that plugins ask: Debian's, or those that are installed. Tests start their own, to be
//! able to kill them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::debian;

/// A server's program.
struct Program {
    name: &'static str,
    /// Debian's package that brings it.
    package: &'static str,
    /// The variable by which tests find it.
    variable: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "redis-server",
        package: "redis-server",
        variable: "KEELGATE_TEST_REDIS_SERVER",
    },
    Program {
        name: "slapd",
        package: "slapd",
        variable: "KEELGATE_TEST_SLAPD",
    },
];

/// Finds the programs, and installs those that are absent where that is possible; the variables by
/// which tests find them.
pub(crate) fn get() -> Result<Vec<(&'static str, String)>> {
    let absent: Vec<_> = PROGRAMS
        .iter()
        .filter(|program| program.installed().is_none())
        .map(|program| program.package)
        .collect();
    if !absent.is_empty() {
        ensure!(
            debian::is_here(),
            "the tests need servers that are not installed (Debian: apt install {})",
            absent.join(" ")
        );
        debian::install(&absent)?;
    }
    PROGRAMS
        .iter()
        .map(|program| {
            let path = program.installed().with_context(|| {
                format!(
                    "the package {} has brought no {}",
                    program.package, program.name
                )
            })?;
            Ok((program.variable, path.display().to_string()))
        })
        .collect()
}

impl Program {
    fn installed(&self) -> Option<PathBuf> {
        // Those of administrators are not in the path of everybody.
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
            .map(|directory| directory.join(self.name))
            .find(|path| path.exists())
    }
}
