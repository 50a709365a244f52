//! Writes of entities inside a transaction.

use std::sync::Arc;
use std::time::SystemTime;

use keelgate_entities::{ApiError, Object, Schema, Schemas};
use keelgate_store::{Key, StoreError, StoreExt, Transaction};
use serde_json::{Value, json};

use super::{ca_certificates, certificates, key, ttl};
use crate::admin::State;
use crate::call::Call;
use crate::failure::Failure;

/// What an entity is written with.
pub(super) struct Writer<'w, 't> {
    pub(super) transaction: &'w mut Transaction<'t>,
    pub(super) schemas: &'w Schemas,
    now: SystemTime,
}

/// Runs work in one transaction, and tells the audit log. `verb` and `kind` name it where the store
/// takes no writes.
pub(super) async fn transact<T: Send + 'static>(
    state: &State,
    call: &Call,
    verb: &str,
    kind: &str,
    work: impl FnOnce(&mut Writer<'_, '_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let schemas = Arc::clone(state.schemas());
    let now = state.now();
    let audit = state.admin.audit.map(|kept_for| (call.author(), kept_for));
    let answer = state.store().write(move |transaction| {
        if let Some((author, kept_for)) = audit {
            transaction.audit(author, Some(kept_for));
        }
        work(&mut Writer {
            transaction,
            schemas: &schemas,
            now,
        })
    });
    answer
        .await
        .map_err(|failure: Failure| failure.while_trying(verb, kind))
}

/// Runs work that only reads, on one revision.
pub(super) async fn view<T: Send + 'static>(
    state: &State,
    work: impl FnOnce(&mut Writer<'_, '_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let schemas = Arc::clone(state.schemas());
    let now = state.now();
    let answer = state.store().read(move |transaction| {
        work(&mut Writer {
            transaction,
            schemas: &schemas,
            now,
        })
    });
    answer.await
}

impl<'w> Writer<'w, '_> {
    /// The key of the entity that a part of a path names; certificates go by their names, too.
    pub(super) fn key(&mut self, kind: &str, segment: &str) -> Result<Key, Failure> {
        if kind == "certificates" && key::id(segment).is_none() {
            return certificates::key_by_name(self, segment);
        }
        key::parse(self.schemas, self.schema(kind)?, segment)
    }

    /// The entity that a part of a path names.
    pub(super) fn find(&mut self, kind: &str, segment: &str) -> Result<Option<Object>, Failure> {
        let key = self.key(kind, segment)?;
        Ok(self.transaction.get(kind, &key)?)
    }

    /// The entity that a part of a path names, and its id; 404 where there is none.
    pub(super) fn owner(&mut self, kind: &str, segment: &str) -> Result<(Object, String), Failure> {
        let owner = self.find(kind, segment)?.ok_or_else(Failure::not_found)?;
        let id = id_of(&owner);
        Ok((owner, id))
    }

    /// A new entity.
    pub(super) fn insert(&mut self, kind: &str, mut input: Object) -> Result<Object, Failure> {
        let schema = self.schema(kind)?;
        let ttl = ttl::take(schema, &mut input)?;
        let names = certificates::names(self, kind, None, &input)?;
        self.resolve(kind, &mut input)?;
        let mut entity = self.schemas.insert(kind, input, self.now)?;
        if schema.ttl {
            entity.insert("ttl".to_owned(), ttl.unwrap_or(Value::Null));
        }
        certificates::strip(kind, &mut entity);
        self.transaction.insert(kind, &entity)?;
        self.written(kind, entity, names)
    }

    /// An entity in the place of the one with this key, or a new one. The key wins over what the
    /// body says.
    pub(super) fn upsert(
        &mut self,
        kind: &str,
        key: &Key,
        mut input: Object,
    ) -> Result<Object, Failure> {
        let schema = self.schema(kind)?;
        let current = self.transaction.get(kind, key)?;
        match (key, &current) {
            (Key::Id(id), _) => {
                input.insert("id".to_owned(), json!(id));
            }
            (Key::Unique { name, values }, _) => {
                let value = values.first().cloned().unwrap_or(Value::Null);
                input.insert(name.clone(), value);
                if let Some(current) = &current {
                    input.insert("id".to_owned(), json!(id_of(current)));
                }
            }
        }
        let ttl = ttl::take(schema, &mut input)?;
        let names = certificates::names(self, kind, Some(key), &input)?;
        self.resolve(kind, &mut input)?;
        let mut entity = self
            .schemas
            .upsert(kind, current.as_ref(), input, self.now)?;
        if schema.ttl {
            entity.insert("ttl".to_owned(), ttl.unwrap_or(Value::Null));
        }
        certificates::strip(kind, &mut entity);
        self.transaction.put(kind, &entity)?;
        self.written(kind, entity, names)
    }

    /// The entity with this key, changed.
    pub(super) fn update(
        &mut self,
        kind: &str,
        key: &Key,
        patch: impl FnOnce(&Object) -> Object,
    ) -> Result<Object, Failure> {
        let schema = self.schema(kind)?;
        let Some(mut current) = self.transaction.get(kind, key)? else {
            // Whose settings a change holds is looked up before the change itself.
            let unnamed = kind == "plugins" && !patch(&Object::new()).contains_key("name");
            return Err(match unnamed {
                true => Failure::not_found(),
                false => key::missing(key).into(),
            });
        };
        let id = id_of(&current);
        let mut patch = patch(&current);
        if let Some(other) = patch.remove("id")
            && other != json!(id)
        {
            return Err(key::missing(&Key::Id(id)).into());
        }
        let left = current.remove("ttl");
        let ttl = ttl::take(schema, &mut patch)?.or(left);
        let names = certificates::names(self, kind, Some(&Key::Id(id)), &patch)?;
        self.resolve(kind, &mut patch)?;
        let mut entity = self.schemas.update(kind, &current, patch, self.now)?;
        if schema.ttl {
            entity.insert("ttl".to_owned(), ttl.unwrap_or(Value::Null));
        }
        certificates::strip(kind, &mut entity);
        self.transaction.put(kind, &entity)?;
        self.written(kind, entity, names)
    }

    /// Removes the entity with this key, if there is one.
    pub(super) fn delete(&mut self, kind: &str, key: &Key) -> Result<(), Failure> {
        let Some(entity) = self.transaction.get(kind, key)? else {
            return Ok(());
        };
        let id = id_of(&entity);
        match kind {
            "certificates" => certificates::before_delete(self, &id)?,
            "ca_certificates" => ca_certificates::before_delete(self, &id)?,
            _ => {}
        }
        self.transaction.delete(kind, &id)?;
        Ok(())
    }

    fn schema(&self, kind: &str) -> Result<&'w Schema, Failure> {
        let schema = self.schemas.kind(kind);
        schema.ok_or_else(|| StoreError::UnknownKind(kind.to_owned()).into())
    }

    /// Replaces references by name with references by id; beside an id, a name says nothing.
    fn resolve(&mut self, kind: &str, input: &mut Object) -> Result<(), Failure> {
        for foreign in self.schema(kind)?.foreign_keys() {
            if let Some(Value::Object(given)) = input.get_mut(foreign.field)
                && given
                    .get("id")
                    .and_then(Value::as_str)
                    .and_then(key::id)
                    .is_some()
            {
                given.retain(|name, _| name == "id");
            }
        }
        for reference in self.schemas.references_by_key(kind, input) {
            let key = Key::field(reference.key, reference.value.clone());
            let Some(found) = self.transaction.get(reference.kind, &key)? else {
                return Err(ApiError::foreign_key_unresolved(
                    reference.field,
                    reference.kind,
                    reference.key,
                    &reference.value,
                )
                .into());
            };
            let id = json!({ "id": id_of(&found) });
            input.insert(reference.field.to_owned(), id);
        }
        Ok(())
    }

    /// What a client sees of an entity that was written.
    fn written(
        &mut self,
        kind: &str,
        mut entity: Object,
        names: Option<Vec<String>>,
    ) -> Result<Object, Failure> {
        let id = id_of(&entity);
        if kind == "certificates" {
            certificates::write(self, &id, names)?;
            entity = certificates::with_names(self, kind, entity)?;
        } else if entity.get("ttl").is_some_and(Value::is_u64) {
            // Read back, the time to live counts down already.
            entity = self.transaction.get(kind, &Key::Id(id))?.unwrap_or(entity);
        }
        Ok(entity)
    }
}

/// The id of an entity from the store.
pub(super) fn id_of(entity: &Object) -> String {
    let id = entity.get("id").and_then(Value::as_str);
    id.unwrap_or_default().to_owned()
}

/// The id that a field of an entity refers to.
pub(super) fn refers_to(entity: &Object, field: &str) -> Option<String> {
    let id = entity.get(field)?.get("id")?.as_str()?;
    Some(id.to_owned())
}
