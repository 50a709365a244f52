//! `keelgate hybrid`: what a cluster needs before its first start.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};

/// How long a cluster certificate is valid: three years, as in Kong.
pub(crate) const DEFAULT_DAYS: u32 = 1095;

/// The name that the nodes of a cluster expect in `shared` mode.
const COMMON_NAME: &str = "kong_clustering";

/// Commands that set up a cluster.
#[derive(Subcommand, Debug)]
pub(crate) enum HybridCommand {
    /// Make the certificate and key that all nodes of a cluster share.
    #[command(name = "gen_cert")]
    GenCert {
        /// Where the certificate goes.
        #[arg(default_value = "./cluster.crt", requires = "key")]
        cert: PathBuf,
        /// Where the key goes; readable by its owner only.
        #[arg(default_value = "./cluster.key")]
        key: PathBuf,
        /// Days that the certificate is valid.
        #[arg(short, long, default_value_t = DEFAULT_DAYS, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: u32,
    },
}

/// Runs one of them.
pub(crate) fn run(command: &HybridCommand) -> Result<()> {
    let HybridCommand::GenCert { cert, key, days } = command;
    write_certificate(cert, key, *days)?;
    anstream::println!(
        "Successfully generated certificate/key pairs, they have been written to: '{}' and '{}'.",
        cert.display(),
        key.display()
    );
    Ok(())
}

/// Writes a new self-signed certificate and its key (ECDSA, P-384). Existing
/// files are never overwritten.
pub(crate) fn write_certificate(cert: &Path, key: &Path, days: u32) -> Result<()> {
    for path in [cert, key] {
        if path.exists() {
            bail!("{} already exists.\nWill not overwrite it.", path.display());
        }
    }
    ensure!(
        cert != key,
        "the certificate and the key need files of their own"
    );
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).context("cannot make a key")?;
    let certificate = params(days)?
        .self_signed(&pair)
        .context("cannot sign the certificate")?;
    write_new(key, &pair.serialize_pem(), 0o600)?;
    write_new(cert, &certificate.pem(), 0o644)
}

fn params(days: u32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![COMMON_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    // A minute back, for clocks of other nodes that are a little behind.
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(60)).into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 86_400)).into();
    Ok(params)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pair_is_made_once_and_its_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (
            directory.path().join("c.crt"),
            directory.path().join("c.key"),
        );
        write_certificate(&cert, &key, 10).unwrap();
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let before = std::fs::read(&cert).unwrap();
        let error = write_certificate(&cert, &key, 10).unwrap_err().to_string();
        assert!(error.contains("Will not overwrite"), "{error}");
        assert_eq!(std::fs::read(&cert).unwrap(), before);
    }

    #[test]
    fn the_pair_serves_as_a_clusters_identity() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (
            directory.path().join("c.crt"),
            directory.path().join("c.key"),
        );
        write_certificate(&cert, &key, DEFAULT_DAYS).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let (cert, key) = (read(&cert), read(&key));
        let settings = keelgate_settings::Loader::new()
            .option("prefix", directory.path().display().to_string(), "--prefix")
            .option("role", "control_plane", "--test")
            .option("cluster_cert", cert.clone(), "--test")
            .option("cluster_cert_key", key.clone(), "--test");
        settings.load().unwrap();
        keelgate_snapshot::Signer::from_pem(&cert, &key).unwrap();
    }
}
