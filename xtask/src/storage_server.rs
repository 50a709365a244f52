//! The storage servers that the tests run against, one for each kind of storage that is spoken to
//! over the network.
//!
//! | server | stands for | got by |
//! |---|---|---|
//! | MinIO | Amazon S3 and what speaks its protocol | Go; without Go, moto from Python's package index |
//! | fake-gcs-server | Google Cloud Storage | Go; without Go, a build from Python's package index |
//! | Azurite | Azure Blob Storage | npm |
//! | Garage (long suite) | stores that ignore the conditions of writes | Cargo |
//!
//! All are pinned, kept in the directory of tools, run on free ports with an empty bucket, and end
//! with the task.

mod azurite;
mod fake_gcs;
pub(crate) mod garage;
mod go;
mod minio;
mod moto;
pub(crate) mod python;
mod server;

use anyhow::Result;

pub(crate) use go::{Build as GoBuild, GoProgram, Source as GoSource};
pub(crate) use minio::Program as S3Program;
pub(crate) use server::{Server, answers, free_address};

/// The server programs, being got or there.
pub(crate) struct Programs {
    s3: S3Program,
    gcs: fake_gcs::Program,
    azure: azurite::Program,
}

/// Finds the programs or starts to get them, which takes minutes and goes on beside other work.
pub(crate) fn get() -> Result<Programs> {
    Ok(Programs {
        s3: get_s3()?,
        gcs: fake_gcs::get()?,
        azure: azurite::get()?,
    })
}

/// The one for S3 alone.
pub(crate) fn get_s3() -> Result<S3Program> {
    minio::get()
}

impl Programs {
    /// Waits until all are there, without starting them.
    pub(crate) fn install(self) -> Result<()> {
        self.gcs.ready()?;
        self.azure.ready()?;
        self.s3.install()
    }

    /// Waits until all are there, starts them, and waits until they answer.
    pub(crate) fn start(self) -> Result<Servers> {
        let gcs = self.gcs.start()?;
        let azure = self.azure.start()?;
        let s3 = self.s3.start()?;
        Ok(Servers([s3, gcs, azure]))
    }
}

/// Running servers; they end with this value.
pub(crate) struct Servers([Server; 3]);

impl Servers {
    /// For people.
    pub(crate) fn names(&self) -> String {
        self.0.each_ref().map(Server::name).join(", ")
    }

    /// The variables by which tests find them.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.0.iter().flat_map(Server::variables)
    }
}

/// Runs the servers, with `others` beside them, until the process is interrupted.
pub(crate) fn serve(others: impl IntoIterator<Item = Server>) -> Result<()> {
    let Servers(servers) = get()?.start()?;
    let mut servers: Vec<_> = servers.into_iter().chain(others).collect();
    for (name, value) in servers.iter().flat_map(Server::variables) {
        anstream::println!("export {name}='{value}'");
    }
    server::wait_for_any(&mut servers)
}
