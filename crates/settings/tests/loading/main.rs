//! From sources to settings, through the public interface.

#![allow(clippy::unwrap_used)]

mod fallback;
mod listeners;
mod reference;
mod roles;
mod secrets;
mod sources;

use std::fs;
use std::path::PathBuf;

use keelgate_settings::{LoadError, Loaded, Loader, Problem, Settings};
use tempfile::TempDir;

struct Node {
    directory: TempDir,
    loader: Loader,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path().display().to_string();
        Self {
            directory,
            loader: Loader::new()
                .environment([("XDG_STATE_HOME".to_owned(), prefix.clone())])
                .option("prefix", prefix, "--prefix"),
        }
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.conf();
        fs::write(&path, text).unwrap();
        self.loader = self.loader.file(path);
        self
    }

    fn conf(&self) -> PathBuf {
        self.directory.path().join("node.conf")
    }

    fn env(mut self, pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        self.loader = self.loader.environment(pairs);
        self
    }

    fn cluster_pair(&self) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["kong_clustering".to_owned()]).unwrap();
        let (cert, key) = (
            self.directory.path().join("c.crt"),
            self.directory.path().join("c.key"),
        );
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert.display().to_string(), key.display().to_string())
    }

    fn load(&self) -> Loaded {
        self.loader.load().unwrap()
    }

    fn settings(&self) -> Settings {
        self.load().settings
    }

    fn problems(&self) -> Vec<Problem> {
        match self.loader.load().unwrap_err() {
            LoadError::Invalid { problems } => problems,
            other => panic!("{other}"),
        }
    }
}

fn find<'a>(problems: &'a [Problem], key: &str) -> &'a Problem {
    problems
        .iter()
        .find(|problem| problem.key == key)
        .unwrap_or_else(|| panic!("no problem with {key}: {problems:#?}"))
}

/// The file of a data plane that is complete, with these lines added.
fn data_plane(lines: &str) -> Node {
    let node = Node::new();
    let (cert, key) = node.cluster_pair();
    node.file(&format!(
        "role = data_plane\ncluster_cert = {cert}\ncluster_cert_key = {key}\n{lines}"
    ))
}
