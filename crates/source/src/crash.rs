//! The guard against a snapshot that kills the process which activates it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use keelgate_snapshot::Identity;
use serde::{Deserialize, Serialize};

use crate::durable;

/// How many deaths it takes until a snapshot is not tried again.
const DEATHS: u32 = 2;

/// What a former life did not survive once.
const SUSPECTS: &str = "suspects.json";

/// How many quarantined snapshots, and how many suspects, are remembered.
const REMEMBERED: usize = 16;

/// What is being activated, on disk for the time of the activation.
#[derive(Debug, Serialize, Deserialize)]
struct Activating {
    identity: Identity,
    attempts: u32,
}

/// What is not to be tried again by this version: a newer one may have the mend.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Quarantine {
    version: String,
    identities: Vec<Identity>,
}

/// Marks an activation on disk, and finds the mark of one that never ended.
#[derive(Debug)]
pub(crate) struct CrashGuard {
    directory: PathBuf,
    version: String,
    /// Whose activation a former life did not survive, and how many times. Others serve well
    /// meanwhile, and do not clear them of it.
    suspects: Vec<Activating>,
    current: Option<Identity>,
}

impl CrashGuard {
    pub(crate) fn new(directory: PathBuf, version: &str) -> Self {
        Self {
            directory,
            version: version.to_owned(),
            suspects: Vec::new(),
            current: None,
        }
    }

    /// The mark of an activation.
    pub(crate) fn mark(&self) -> PathBuf {
        self.directory.join("activating.json")
    }

    /// Learns how former lives ended: what killed the process twice is quarantined. It is so also
    /// when that cannot be written; then the mark of the activation stays, and is found again.
    pub(crate) fn recover(&mut self) -> (HashSet<Identity>, io::Result<()>) {
        let mut kept = Ok(());
        let mut quarantine = self
            .read::<Quarantine>("quarantine.json")
            .filter(|quarantine| quarantine.version == self.version)
            .unwrap_or_default();
        self.suspects = self.read(SUSPECTS).unwrap_or_default();
        if let Some(unfinished) = self.read::<Activating>("activating.json") {
            self.suspects
                .retain(|suspect| suspect.identity != unfinished.identity);
            let killed_twice = unfinished.attempts >= DEATHS;
            if killed_twice {
                quarantine.version.clone_from(&self.version);
                quarantine
                    .identities
                    .retain(|known| *known != unfinished.identity);
                quarantine.identities.push(unfinished.identity);
                let excess = quarantine.identities.len().saturating_sub(REMEMBERED);
                quarantine.identities.drain(..excess);
                kept = self.write("quarantine.json", &quarantine);
            } else {
                self.suspects.push(unfinished);
                let excess = self.suspects.len().saturating_sub(REMEMBERED);
                self.suspects.drain(..excess);
            }
            // The mark goes last: until all else is written, it is found again.
            kept = kept
                .and_then(|()| self.write(SUSPECTS, &self.suspects))
                .and_then(|()| durable::remove(&self.mark()));
        }
        (quarantine.identities.into_iter().collect(), kept)
    }

    /// An activation begins.
    pub(crate) fn begin(&mut self, identity: Identity) -> io::Result<()> {
        let mut suspects = self.suspects.iter();
        let before = suspects
            .find(|suspect| suspect.identity == identity)
            .map_or(0, |suspect| suspect.attempts);
        self.current = Some(identity);
        durable::make_directory(&self.directory)?;
        self.write(
            "activating.json",
            &Activating {
                identity,
                attempts: before + 1,
            },
        )
    }

    /// The activation ended, well or not, and the process is alive.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let finished = self.current.take();
        let count = self.suspects.len();
        self.suspects
            .retain(|suspect| Some(suspect.identity) != finished);
        durable::remove(&self.mark())?;
        if self.suspects.len() < count {
            self.write(SUSPECTS, &self.suspects)?;
        }
        Ok(())
    }

    /// A file that is missing or damaged tells nothing.
    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let bytes = fs::read(self.directory.join(name)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(value)?;
        durable::replace(&self.directory.join(name), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use keelgate_snapshot::Digest;
    use uuid::Uuid;

    use super::*;

    fn identity(revision: u64) -> Identity {
        Identity {
            cluster_id: Uuid::from_u128(1),
            epoch: 1,
            revision,
            sha256: Digest([0; 32]),
        }
    }

    /// One life that dies in the activation of `revision`; what it found quarantined.
    fn die(directory: &std::path::Path, revision: u64) -> HashSet<Identity> {
        let mut guard = CrashGuard::new(directory.into(), "0.1.0");
        let (quarantine, kept) = guard.recover();
        kept.unwrap();
        guard.begin(identity(revision)).unwrap();
        quarantine
    }

    #[test]
    fn the_second_death_quarantines() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("guard");
        assert!(die(&directory, 4).is_empty());
        assert!(die(&directory, 4).is_empty());
        let expected = HashSet::from([identity(4)]);
        assert_eq!(die(&directory, 3), expected, "the next best is tried");
        assert_eq!(die(&directory, 3), expected);
        assert_eq!(
            die(&directory, 2),
            HashSet::from([identity(4), identity(3)])
        );
    }

    #[test]
    fn an_activation_that_ended_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let mut guard = CrashGuard::new(folder.path().into(), "0.1.0");
            assert!(guard.recover().0.is_empty());
            guard.begin(identity(4)).unwrap();
            guard.finish().unwrap();
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_does_not_undo_the_quarantine() {
        let folder = tempfile::tempdir().unwrap();
        die(folder.path(), 4);
        die(folder.path(), 4);
        // What is in the way of the writing, as a full disk would be.
        fs::create_dir(folder.path().join("quarantine.json.partial")).unwrap();
        for _ in 0..2 {
            let mut guard = CrashGuard::new(folder.path().into(), "0.1.0");
            let (quarantine, kept) = guard.recover();
            assert_eq!(quarantine, HashSet::from([identity(4)]));
            assert!(kept.is_err());
        }
    }

    #[test]
    fn deaths_by_different_snapshots_are_not_added_up() {
        let folder = tempfile::tempdir().unwrap();
        for revision in [1, 2, 3, 4] {
            assert!(die(folder.path(), revision).is_empty());
        }
    }

    #[test]
    fn a_death_is_remembered_while_another_snapshot_serves() {
        let folder = tempfile::tempdir().unwrap();
        for deaths in 0..=2 {
            let mut guard = CrashGuard::new(folder.path().into(), "0.1.0");
            let (quarantine, kept) = guard.recover();
            kept.unwrap();
            assert_eq!(quarantine.contains(&identity(9)), deaths == 2);
            // The cache serves first, as in every life; what kills comes after.
            guard.begin(identity(8)).unwrap();
            guard.finish().unwrap();
            guard.begin(identity(9)).unwrap();
        }
    }

    #[test]
    fn what_was_survived_in_the_end_is_no_suspect_any_more() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            assert!(die(folder.path(), 4).is_empty());
            let mut guard = CrashGuard::new(folder.path().into(), "0.1.0");
            assert!(guard.recover().0.is_empty());
            guard.begin(identity(4)).unwrap();
            guard.finish().unwrap();
        }
    }

    #[test]
    fn another_version_tries_again() {
        let folder = tempfile::tempdir().unwrap();
        die(folder.path(), 4);
        die(folder.path(), 4);
        assert_eq!(
            CrashGuard::new(folder.path().into(), "0.1.0")
                .recover()
                .0
                .len(),
            1
        );
        assert!(
            CrashGuard::new(folder.path().into(), "0.1.1")
                .recover()
                .0
                .is_empty()
        );
    }
}
