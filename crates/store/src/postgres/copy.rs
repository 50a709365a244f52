//! Everything in memory, as of one revision: what is read while the server is away, and what
//! snapshots are made of.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use keelgate_entities::{Object, Schemas};

use super::rows::EntityKey;
use crate::contents::{Contents, Stored};
use crate::index::Index;
use crate::journal::{Changed, Changes, Journal, MOST_EXPIRING, Touched};
use crate::{Position, StoreError};

/// What the copy is as of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) position: Position,
    /// The revision that last removed everything.
    pub(super) cleared_by: i64,
    /// Milliseconds since 1970.
    pub(super) committed_at: i64,
}

/// An entity as its row holds it.
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) body: String,
    pub(super) expires_at: Option<i64>,
}

/// How the copy becomes the next one.
pub(super) enum Update {
    /// By these rows alone.
    Whole(Vec<Row>),
    /// By removing some, then writing others.
    Changes {
        removed: Vec<EntityKey>,
        written: Vec<Row>,
    },
}

/// The copy. Held for reading while something is read, for writing while changes are taken over.
#[derive(Default)]
pub(super) struct Copy(RwLock<Held>);

/// What the copy holds.
#[derive(Default)]
pub(super) struct Held {
    pub(super) contents: Contents,
    /// `None` until it is filled for the first time.
    pub(super) standing: Option<Standing>,
    pub(super) journal: Journal,
}

impl Copy {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self) -> Option<Standing> {
        self.read().standing
    }

    /// What has become of entities since a revision.
    pub(super) fn changes(&self, since: Position) -> Result<Option<Changes>, StoreError> {
        let held = self.read();
        let Standing {
            position,
            committed_at,
            ..
        } = held.standing.ok_or(StoreError::Closed)?;
        let expiring = held.contents.expiring();
        if position.cluster_id != since.cluster_id || expiring.len() > MOST_EXPIRING {
            return Ok(None);
        }
        let Some(mut touched) = held.journal.since(since.revision, position.revision) else {
            return Ok(None);
        };
        touched.extend(expiring.iter().cloned());
        let entities = touched.into_iter().map(|(kind, id)| {
            let entity = held.contents.get(&kind, &id, committed_at)?;
            Ok(Changed { kind, id, entity })
        });
        let entities = entities.collect::<Result<_, StoreError>>()?;
        Ok(Some(Changes { position, entities }))
    }

    /// Takes changes over, which takes a while when there are many.
    pub(super) fn update(
        &self,
        schemas: &Schemas,
        update: Update,
        standing: Standing,
    ) -> Result<(), StoreError> {
        let (fresh, removed, written) = match update {
            Update::Whole(rows) => (true, Vec::new(), rows),
            Update::Changes { removed, written } => (false, removed, written),
        };
        // Read before the lock is taken.
        let written = written
            .into_iter()
            .map(|row| stored(schemas, row))
            .collect::<Result<Vec<_>, _>>()?;
        let mut whole = Contents::default();
        let touched = removed.iter().chain(written.iter().map(|(key, _)| key));
        let touched: Touched = touched.cloned().collect();
        if fresh {
            fill(&mut whole, Vec::new(), written);
            let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
            held.standing = Some(standing);
            held.journal.clear();
            let before = std::mem::replace(&mut held.contents, whole);
            // Many allocations are given back: not while others wait.
            drop(held);
            drop(before);
        } else {
            let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
            fill(&mut held.contents, removed, written);
            let before = held.standing.map(|before| before.position.revision);
            let to = standing.position.revision;
            held.journal.note(before.unwrap_or(to), to, touched);
            held.standing = Some(standing);
        }
        Ok(())
    }
}

fn fill(contents: &mut Contents, removed: Vec<EntityKey>, written: Vec<(EntityKey, Stored)>) {
    for (kind, id) in removed {
        contents.forget(&kind, &id);
    }
    // What is given up first: one entity may have taken a unique key from another.
    for ((kind, id), _) in &written {
        contents.forget(kind, id);
    }
    for ((kind, id), stored) in written {
        contents.store(&kind, &id, stored);
    }
}

fn stored(schemas: &Schemas, row: Row) -> Result<(EntityKey, Stored), StoreError> {
    let entity: Object =
        serde_json::from_str(&row.body).map_err(|source| StoreError::Unreadable {
            kind: row.kind.clone(),
            id: row.id.clone(),
            source,
        })?;
    // A kind that only a newer version knows is kept and shown to nobody.
    let index = schemas
        .kind(&row.kind)
        .map(|schema| Index::of(schema, &entity, SystemTime::UNIX_EPOCH))
        .unwrap_or_default();
    let stored = Stored {
        body: row.body.into(),
        expires_at: row.expires_at,
        index,
    };
    Ok(((row.kind, row.id), stored))
}
