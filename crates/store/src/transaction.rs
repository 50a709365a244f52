//! A transaction as the work inside it sees it: reads, and writes that keep the schemas' rules.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use keelgate_entities::declarative::Table;
use keelgate_entities::schema::OnDelete;
use keelgate_entities::{ApiError, Object, Schema, Schemas};
use serde_json::{Value, json};

use crate::StoreError;
use crate::audit::{self, Draft, Operation, Told};
use crate::index::{Index, id_of, unique_value};
use crate::journal::Touched;
use crate::rows::Rows;
use crate::store::{Import, Key};

/// Entities of an import that a backend is told of at once.
const IMPORTED_TOGETHER: usize = 1000;

/// One open write transaction. Dropped without commit, it leaves no trace.
pub struct Transaction<'a> {
    rows: &'a mut dyn Rows,
    schemas: &'a Schemas,
    now: SystemTime,
    changed: bool,
    wrote: bool,
    outdated: bool,
    touched: Touched,
    audit: Option<Draft>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(rows: &'a mut dyn Rows, schemas: &'a Schemas, now: SystemTime) -> Self {
        Self {
            rows,
            schemas,
            now,
            changed: false,
            wrote: false,
            outdated: false,
            touched: Touched::default(),
            audit: None,
        }
    }

    /// Whether the configuration was changed.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    /// Whether anything was written, be it a short-lived record.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Whether short-lived records were changed or removed that somebody may remember.
    pub(crate) fn outdated(&self) -> bool {
        self.outdated
    }

    /// Takes note of a write, of something new or not.
    fn note(&mut self, schema: &Schema, id: &str, is_new: bool) {
        self.wrote = true;
        if schema.record {
            self.outdated |= !is_new;
        } else {
            self.touched.add(schema.name, id);
            self.changed = true;
        }
    }

    /// The audit log, where changes of this kind are told of.
    fn audit_of(&mut self, kind: &str) -> Option<&mut Draft> {
        let is_record = self.schemas.kind(kind).is_some_and(|schema| schema.record);
        self.audit.as_mut().filter(|_| !is_record)
    }

    /// What was written or removed.
    pub(crate) fn touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// Tells the audit log of every change from here on, under what `about` says of its author.
    /// Entries that are older than `kept_for` go; without it, none.
    pub fn audit(&mut self, about: Object, kept_for: Option<Duration>) {
        self.audit = Some(Draft::new(about, kept_for));
    }

    /// The entry to be committed with what was written, if there is to be one.
    pub(crate) fn told(&mut self) -> Option<Told> {
        let draft = self.audit.take().filter(|_| self.changed)?;
        Some(draft.finish(self.now))
    }

    fn schema(&self, kind: &str) -> Result<&'a Schema, StoreError> {
        schema(self.schemas, kind)
    }

    /// The entity with this key.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownKind`], or the database's own.
    pub fn get(&mut self, kind: &str, key: &Key) -> Result<Option<Object>, StoreError> {
        self.schema(kind)?;
        match key {
            Key::Id(id) => self.rows.get(kind, id),
            Key::Unique { name, values } => {
                let value = unique_value(values.clone());
                match self.rows.owner(kind, name, &value)? {
                    Some(id) => self.rows.get(kind, &id),
                    None => Ok(None),
                }
            }
        }
    }

    /// The entities of `kind` whose `field` refers to the given entity, in id order.
    ///
    /// # Errors
    ///
    /// The database's own.
    pub fn children(
        &mut self,
        kind: &str,
        field: &str,
        parent_kind: &str,
        parent_id: &str,
    ) -> Result<Vec<Object>, StoreError> {
        let mut children = Vec::new();
        for referrer in self.rows.referrers(parent_kind, parent_id)? {
            if referrer.kind == kind && referrer.field == field {
                children.extend(self.rows.get(kind, &referrer.id)?);
            }
        }
        Ok(children)
    }

    /// All entities of a kind in id order.
    ///
    /// # Errors
    ///
    /// The database's own.
    pub fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        self.schema(kind)?;
        self.rows.all(kind)
    }

    /// Writes a new entity, which the schemas have already checked and completed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] when the id or a unique key is taken, or a reference leads
    /// nowhere.
    pub fn insert(&mut self, kind: &str, entity: &Object) -> Result<(), StoreError> {
        let id = id_of(kind, entity)?;
        if self.rows.exists(kind, id)? {
            let key = Object::from_iter([("id".to_owned(), id.into())]);
            return Err(ApiError::primary_key_violation(key).into());
        }
        self.write(kind, id, entity, true)?;
        if let Some(audit) = self.audit_of(kind) {
            audit.note(Operation::Create, kind, id, &[]);
        }
        Ok(())
    }

    /// Writes an entity over what stands under its id, or anew.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] when a unique key is taken by another entity, or a reference
    /// leads nowhere.
    pub fn put(&mut self, kind: &str, entity: &Object) -> Result<(), StoreError> {
        let id = id_of(kind, entity)?;
        let before = match &self.audit {
            Some(_) => self.rows.get(kind, id)?,
            None => None,
        };
        self.write(kind, id, entity, false)?;
        match (self.audit_of(kind), &before) {
            (Some(audit), Some(before)) => {
                let fields = audit::difference(before, entity);
                audit.note(Operation::Update, kind, id, &fields);
            }
            (Some(audit), None) => audit.note(Operation::Create, kind, id, &[]),
            (None, _) => {}
        }
        Ok(())
    }

    fn write(
        &mut self,
        kind: &str,
        id: &str,
        entity: &Object,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let schema = self.schema(kind)?;
        let index = Index::of(schema, entity, self.now);
        for entry in &index.unique {
            let owner = self.rows.owner(kind, entry.name, &entry.value)?;
            if owner.is_some_and(|owner| owner != id) {
                return Err(unique_violation(schema, entry.name, entity).into());
            }
        }
        for reference in &index.references {
            let (target_kind, target_id) = (&reference.target_kind, &reference.target_id);
            let itself = target_kind == kind && target_id == id;
            if !itself && !self.rows.exists(target_kind, target_id)? {
                let key = json!({ "id": target_id });
                return Err(
                    ApiError::foreign_key_violation(&reference.field, target_kind, key).into(),
                );
            }
        }
        self.rows.write(kind, id, entity, &index)?;
        self.note(schema, id, is_new);
        Ok(())
    }

    /// Removes an entity, and with it what refers to it with `on_delete = cascade`. Tells whether
    /// it was there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] when something else still refers to it; nothing is removed then.
    pub fn delete(&mut self, kind: &str, id: &str) -> Result<bool, StoreError> {
        self.schema(kind)?;
        if !self.rows.exists(kind, id)? {
            return Ok(false);
        }
        let mut doomed = vec![(kind.to_owned(), id.to_owned())];
        let mut known: BTreeSet<_> = doomed.iter().cloned().collect();
        let mut restricting = Vec::new();
        let mut next = 0;
        while let Some((target_kind, target_id)) = doomed.get(next).cloned() {
            next += 1;
            for referrer in self.rows.referrers(&target_kind, &target_id)? {
                let key = (referrer.kind, referrer.id);
                match on_delete(self.schema(&key.0)?, &referrer.field) {
                    OnDelete::Cascade => {
                        if known.insert(key.clone()) {
                            doomed.push(key);
                        }
                    }
                    OnDelete::Restrict => restricting.push((target_kind.clone(), key)),
                }
            }
        }
        // A restricting entity that goes in the same sweep restricts nothing.
        if let Some((target_kind, (by, _))) = restricting
            .into_iter()
            .rfind(|(_, referrer)| !known.contains(referrer))
        {
            return Err(ApiError::still_referenced(&target_kind, &by).into());
        }
        for (kind, id) in doomed.iter().rev() {
            self.rows.remove(kind, id)?;
            self.note(self.schema(kind)?, id, false);
            if let Some(audit) = self.audit_of(kind) {
                audit.note(Operation::Delete, kind, id, &[]);
            }
        }
        Ok(true)
    }

    /// Takes in a whole configuration, which was checked when it was parsed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] when an entity breaks uniqueness or a reference leads nowhere.
    pub fn import(&mut self, table: &Table, import: Import) -> Result<(), StoreError> {
        if import == Import::Replace {
            self.rows.clear()?;
            self.touched.add_all();
            (self.changed, self.wrote, self.outdated) = (true, true, true);
        }
        // `kinds()` has referenced kinds before those that refer to them.
        let mut entities = 0;
        for schema in self.schemas.kinds() {
            // In the order in which databases keep them: they are filed in one place after the other.
            let mut coming = Vec::with_capacity(table.get(schema.name).len());
            for entity in table.get(schema.name) {
                coming.push((id_of(schema.name, entity)?, entity));
            }
            coming.sort_by_key(|(id, _)| *id);
            for chunk in coming.chunks(IMPORTED_TOGETHER) {
                self.rows.expect(schema, chunk)?;
                for (id, entity) in chunk {
                    self.write(schema.name, id, entity, false)?;
                }
                entities += chunk.len();
            }
        }
        if let Some(audit) = &mut self.audit {
            audit.note_import(entities);
        }
        Ok(())
    }
}

pub(crate) fn schema<'a>(schemas: &'a Schemas, kind: &str) -> Result<&'a Schema, StoreError> {
    schemas
        .kind(kind)
        .ok_or_else(|| StoreError::UnknownKind(kind.to_owned()))
}

fn on_delete(schema: &Schema, field: &str) -> OnDelete {
    schema
        .foreign_keys()
        .find(|key| key.field == field)
        .map_or(OnDelete::Restrict, |key| key.on_delete)
}

fn unique_violation(schema: &Schema, key: &str, entity: &Object) -> ApiError {
    let fields = schema
        .unique_keys()
        .iter()
        .filter(|unique| unique.name == key)
        .flat_map(|unique| unique.fields)
        .map(|field| {
            let value = entity.get(*field).cloned().unwrap_or(Value::Null);
            ((*field).to_owned(), value)
        })
        .collect();
    ApiError::unique_violation(fields)
}
