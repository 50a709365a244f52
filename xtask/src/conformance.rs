//! Programs that others have published, for the end-to-end tests: judges of HTTP/2, gRPC and ACME, and storages.
//!
//! | program | judges |
//! |---|---|
//! | h2spec | servers of HTTP/2 and HPACK, by the cases of their standards |
//! | the interoperability client and server of grpc-go | whatever carries gRPC between the two |
//! | pebble, with its name server | clients of ACME |
//! | Consul and Vault | whoever keeps certificates in them |
//!
//! They are pinned, built with Go, and kept in the directory of tools.

use anyhow::{Result, ensure};

use crate::storage_server::{GoBuild, GoProgram, GoSource};

/// Each with the variable by which the tests find it.
static PROGRAMS: [(&str, GoProgram); 7] = [
    (
        "KEELGATE_TEST_H2SPEC",
        GoProgram {
            title: "h2spec",
            binary: "h2spec",
            source: GoSource::Package("github.com/summerwind/h2spec/cmd/h2spec"),
            version: "v2.2.1+incompatible",
            building: "building h2spec",
        },
    ),
    (
        "KEELGATE_TEST_GRPC_CLIENT",
        GoProgram {
            title: "gRPC's interoperability client",
            binary: "client",
            source: GoSource::Package("google.golang.org/grpc/interop/client"),
            version: "v1.85.0",
            building: "building gRPC's interoperability client",
        },
    ),
    (
        "KEELGATE_TEST_GRPC_SERVER",
        GoProgram {
            title: "gRPC's interoperability server",
            binary: "server",
            source: GoSource::Package("google.golang.org/grpc/interop/server"),
            version: "v1.85.0",
            building: "building gRPC's interoperability server",
        },
    ),
    (
        "KEELGATE_TEST_PEBBLE",
        GoProgram {
            title: "pebble",
            binary: "pebble",
            source: GoSource::Package("github.com/letsencrypt/pebble/v2/cmd/pebble"),
            version: "v2.10.1",
            building: "building pebble",
        },
    ),
    (
        "KEELGATE_TEST_PEBBLE_NAMES",
        GoProgram {
            title: "pebble's name server",
            binary: "pebble-challtestsrv",
            source: GoSource::Package("github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"),
            version: "v2.10.1",
            building: "building pebble's name server",
        },
    ),
    (
        "KEELGATE_TEST_CONSUL",
        GoProgram {
            title: "Consul",
            binary: "consul",
            source: GoSource::Module("consul"),
            version: "v1.9.17",
            building: "building Consul",
        },
    ),
    (
        "KEELGATE_TEST_VAULT",
        GoProgram {
            title: "Vault",
            binary: "vault",
            source: GoSource::Module("vault"),
            version: "v1.21.4",
            building: "building Vault",
        },
    ),
];

/// The programs, being got or there.
pub(crate) struct Programs(Vec<(&'static str, GoBuild)>);

/// Finds the programs or starts to get them.
pub(crate) fn get() -> Result<Programs> {
    PROGRAMS
        .iter()
        .map(|(variable, program)| Ok((*variable, program.get()?)))
        .collect::<Result<_>>()
        .map(Programs)
}

impl Programs {
    /// Waits until all are there; the variables by which tests find them.
    pub(crate) fn ready(self) -> Result<Vec<(&'static str, String)>> {
        let mut variables = Vec::new();
        for (variable, build) in self.0 {
            let program = build.ready()?;
            ensure!(
                program.is_ok(),
                "the end-to-end tests need Go: {}",
                program.err().unwrap_or_default()
            );
            variables.extend(program.map(|path| (variable, path.display().to_string())));
        }
        Ok(variables)
    }
}
