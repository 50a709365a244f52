//! From entities to the fragments of a configuration, change by change.

use std::collections::HashMap;

use anyhow::Context as _;
use keelgate_entities::declarative::{Table, Wire};
use keelgate_entities::{Object, Schemas};
use keelgate_snapshot::{Changes, Fragments};
use keelgate_store::{Changed, Position, Store};
use serde_json::Value;
use uuid::Uuid;

use super::config_table_of;

/// Remembers the configuration that was encoded last, so that the next one costs no more than what
/// differs.
#[derive(Default)]
pub(crate) struct Encoder {
    last: Option<Encoded>,
}

/// A configuration, encoded.
#[derive(Clone)]
pub(crate) struct Encoded {
    pub(crate) position: Position,
    pub(crate) fragments: Fragments,
    wire: Wire,
}

/// What is to be encoded.
enum Work {
    Whole(Position, Table),
    Changes(Encoded, keelgate_store::Changes),
}

impl Encoder {
    /// Encodes what is in the store, and answers it with what was encoded before that.
    pub(crate) async fn next(
        &mut self,
        store: &dyn Store,
    ) -> anyhow::Result<(Encoded, Option<Fragments>)> {
        // Taken: what fails is begun anew.
        let last = self.last.take();
        let base = last.as_ref().map(|last| last.fragments.clone());
        let known = match last {
            Some(last) => self.changed(store, last).await?,
            None => None,
        };
        let next = match known {
            Some(next) => next,
            None => {
                let (position, table) = store.export().await?;
                encode(store, Work::Whole(position, table))
                    .await?
                    .context("the configuration cannot be encoded")?
            }
        };
        self.last = Some(next.clone());
        Ok((next, base))
    }

    /// The last configuration with what has changed since; none where that cannot be told.
    async fn changed(&self, store: &dyn Store, last: Encoded) -> anyhow::Result<Option<Encoded>> {
        match store.changes(last.position).await? {
            Some(changes) => encode(store, Work::Changes(last, changes)).await,
            None => Ok(None),
        }
    }
}

/// Large configurations take a while to encode: not on the threads that serve others.
async fn encode(store: &dyn Store, work: Work) -> anyhow::Result<Option<Encoded>> {
    let schemas = std::sync::Arc::clone(store.schemas());
    let encoding = tokio::task::spawn_blocking(move || match work {
        Work::Whole(position, table) => whole(position, table).map(Some),
        Work::Changes(last, changes) => Ok(apply(last, changes, &schemas)),
    });
    encoding.await.context("the encoder ended early")?
}

fn whole(position: Position, table: Table) -> anyhow::Result<Encoded> {
    let mut wire = Wire::default();
    let tables = config_table_of(table, position.cluster_id, &mut wire);
    let fragments = Fragments::of(&tables).context("the configuration cannot be encoded")?;
    Ok(Encoded {
        position,
        fragments,
        wire,
    })
}

/// A configuration after changes; none where these concern more than the entities that they are of.
fn apply(last: Encoded, changes: keelgate_store::Changes, schemas: &Schemas) -> Option<Encoded> {
    let Encoded {
        fragments,
        mut wire,
        ..
    } = last;
    let mut of_kind: HashMap<&str, Vec<(Uuid, &Changed)>> = HashMap::new();
    for changed in &changes.entities {
        let id = Uuid::try_parse(&changed.id).ok()?;
        of_kind
            .entry(&changed.kind)
            .or_default()
            .push((id, changed));
    }
    let mut rows = Changes::default();
    // Those that are referred to come before those that refer, as when all is encoded.
    for schema in schemas.kinds() {
        for (id, changed) in of_kind.remove(schema.name).unwrap_or_default() {
            let was_left_out = wire.forget(&changed.id);
            let row = match changed.entity.clone() {
                Some(entity) => {
                    let row = wire.row(schema.name, entity);
                    let was_there = was_left_out || fragments.contains(schema.name, id);
                    // Others that refer to it come or go with it.
                    if was_there && was_left_out != row.is_none() {
                        return None;
                    }
                    row
                }
                None => None,
            };
            let row = row.map(|row: Object| Value::Object(row).to_string());
            rows.put(schema.name, id, row).ok()?;
        }
    }
    Some(Encoded {
        position: changes.position,
        fragments: fragments.changed(&rows).ok()?,
        wire,
    })
}

#[cfg(test)]
mod consumers;
#[cfg(test)]
mod tests;
