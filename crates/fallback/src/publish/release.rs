//! What is published of a snapshot: checked, vouched for, sealed; once for all storages.

use std::sync::Arc;

use bytes::Bytes;
use keelgate_snapshot::{Snapshot, sealed_header};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::edition::Edition;
use crate::Verify;

/// Makes a snapshot fit for readers, or says why it must not be published. Identity and time of
/// creation stay.
pub type Prepare = Arc<dyn Fn(Snapshot) -> Result<Snapshot, String> + Send + Sync>;

/// Encrypts a document, or says why it cannot.
pub type Seal = Arc<dyn Fn(&Snapshot) -> Result<Bytes, String> + Send + Sync>;

/// A document that readers take: it was verified as they do.
#[derive(Clone)]
pub(super) struct Release {
    pub(super) document: Bytes,
    /// What verifying it gave.
    pub(super) edition: Edition,
}

/// Prepares snapshots when they are about to be written: one that is superseded before, or that
/// another node publishes, costs nothing.
pub(super) struct Releases {
    prepare: Option<Prepare>,
    seal: Option<Seal>,
    verify: Verify,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// With what was asked for.
    good: Option<(Edition, Release)>,
    unfit: Option<(Edition, String)>,
}

impl Releases {
    pub(super) fn new(prepare: Option<Prepare>, seal: Option<Seal>, verify: Verify) -> Self {
        Self {
            prepare,
            seal,
            verify,
            last: Mutex::default(),
        }
    }

    /// What to publish of the snapshot, or why it cannot be published. `current` is needed
    /// the first time.
    pub(super) async fn of(
        &self,
        edition: &Edition,
        current: Option<&Snapshot>,
    ) -> Result<Release, String> {
        // Held meanwhile, so that the lanes of several storages wait for one preparation.
        let mut last = self.last.lock().await;
        if let Some((known, release)) = &last.good
            && known == edition
        {
            return Ok(release.clone());
        }
        if let Some((known, reason)) = &last.unfit
            && known == edition
        {
            return Err(reason.clone());
        }
        let Some(snapshot) = current.filter(|snapshot| Edition::of(snapshot) == *edition) else {
            return Err("its document is gone".to_owned());
        };
        let (prepare, seal) = (self.prepare.clone(), self.seal.clone());
        let (verify, snapshot) = (self.verify.clone(), snapshot.clone());
        // Compiling and sealing would hold up the other tasks of the thread.
        let made = spawn_blocking(move || make(snapshot, prepare.as_ref(), seal.as_ref(), &verify));
        let made = made.await.unwrap_or_else(|error| Err(error.to_string()));
        match &made {
            Ok(release) => last.good = Some((*edition, release.clone())),
            Err(reason) => last.unfit = Some((*edition, reason.clone())),
        }
        made
    }

    /// The edition whose document is at hand, to go back to from one that is unfit.
    pub(super) async fn last_good(&self) -> Option<Edition> {
        self.last
            .lock()
            .await
            .good
            .as_ref()
            .map(|(edition, _)| *edition)
    }

    /// The id of the key that this node seals with; nothing if it does not seal.
    pub(super) async fn sealing_key(&self, snapshot: &Snapshot) -> Option<String> {
        let (seal, snapshot) = (self.seal.clone()?, snapshot.clone());
        let sealed = spawn_blocking(move || seal(&snapshot)).await.ok()?.ok()?;
        sealed_header(&sealed).ok().map(|header| header.key_id)
    }
}

fn make(
    snapshot: Snapshot,
    prepare: Option<&Prepare>,
    seal: Option<&Seal>,
    verify: &Verify,
) -> Result<Release, String> {
    let edition = Edition::of(&snapshot);
    let snapshot = match prepare {
        Some(prepare) => prepare(snapshot)?,
        None => snapshot,
    };
    let document = match seal {
        Some(seal) => seal(&snapshot)?,
        None => snapshot.document().clone(),
    };
    // What is read back would not count, and be written again and again.
    match verify(document.clone()) {
        Ok(verified) if Edition::of(&verified).covers(&edition) => Ok(Release {
            document,
            edition: Edition::of(&verified),
        }),
        Ok(verified) => Err(format!("it became {}", verified.identity())),
        Err(error) => Err(format!("readers would refuse it: {error}")),
    }
}
