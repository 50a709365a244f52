//! From nested entities to a flat list.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::ids;
use crate::schema::Type;
use crate::{Object, Schema, Schemas};

/// One entity of a document.
pub(super) struct Item<'s> {
    pub(super) schema: &'s Schema,
    /// The entity without the ones nested in it.
    pub(super) entity: Object,
    /// The entity that it is nested in, and the field that refers to that one.
    pub(super) parent: Option<(usize, &'s str)>,
    /// Position in its list.
    pub(super) index: usize,
    /// Whether the id was given or derived; it was made up otherwise.
    pub(super) id_known: bool,
    /// Whether the id was derived.
    pub(super) id_derived: bool,
}

/// The entities of a document, parents before children.
#[derive(Default)]
pub(super) struct Items<'s> {
    pub(super) list: Vec<Item<'s>>,
    /// Indices of the list, children before parents.
    pub(super) children_first: Vec<usize>,
    /// What is wrong with the shape of lists and entities.
    pub(super) errors: ErrorTree,
}

/// A place in a document: collections and positions from the outside to the inside.
pub(super) type Place<'s> = Vec<(&'s str, usize)>;

/// Messages by their place.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorTree(pub(super) Object);

impl ErrorTree {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what is wrong with the entity at a place: a message, or errors by field.
    pub(super) fn add(&mut self, place: &[(&str, usize)], error: Value) {
        fn add(tree: &mut Object, place: &[(&str, usize)], error: Value) {
            let Some(((kind, index), rest)) = place.split_first() else {
                if let Value::Object(errors) = error {
                    tree.extend(errors);
                }
                return;
            };
            let list = tree
                .entry(*kind)
                .or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else {
                return;
            };
            if list.len() <= *index {
                list.resize(index + 1, Value::Null);
            }
            let slot = &mut list[*index];
            if rest.is_empty() && !error.is_object() {
                *slot = error;
                return;
            }
            if !slot.is_object() {
                *slot = Value::Object(Object::new());
            }
            if let Value::Object(inner) = slot {
                add(inner, rest, error);
            }
        }
        add(&mut self.0, place, error);
    }
}

impl<'s> Items<'s> {
    /// Collects the entities of a document.
    pub(super) fn of(document: &Object, schemas: &'s Schemas) -> Self {
        let mut items = Self::default();
        let nesting = nesting(schemas);
        for schema in schemas.kinds() {
            if let Some(list) = document.get(schema.name) {
                items.collection(&nesting, schema, list, None, &[]);
            }
        }
        items
    }

    /// Where an item stands.
    pub(super) fn place(&self, item: usize) -> Place<'s> {
        let mut place = Vec::new();
        let mut next = Some(item);
        while let Some(current) = next {
            let item = &self.list[current];
            place.push((item.schema.name, item.index));
            next = item.parent.map(|(parent, _)| parent);
        }
        place.reverse();
        place
    }

    fn collection(
        &mut self,
        nesting: &Nesting<'s>,
        schema: &'s Schema,
        list: &Value,
        parent: Option<(usize, &'s str)>,
        outside: &[(&'s str, usize)],
    ) {
        let entities = match list {
            Value::Array(entities) => entities,
            Value::Null => return,
            Value::Object(map) if map.is_empty() => return,
            _ => {
                let mut error = Object::new();
                error.insert(schema.name.to_owned(), "expected an array".into());
                return self.errors.add(outside, Value::Object(error));
            }
        };
        let empty = Object::new();
        let mut place = outside.to_vec();
        for (index, entity) in entities.iter().enumerate() {
            place.truncate(outside.len());
            place.push((schema.name, index));
            match entity {
                Value::Object(raw) => self.entity(nesting, schema, raw, parent, &place),
                Value::Array(items) if items.is_empty() => {
                    self.entity(nesting, schema, &empty, parent, &place);
                }
                Value::Null => self.errors.add(&place, "required field missing".into()),
                _ => self.errors.add(&place, "expected a record".into()),
            }
        }
    }

    fn entity(
        &mut self,
        nesting: &Nesting<'s>,
        schema: &'s Schema,
        raw: &Object,
        parent: Option<(usize, &'s str)>,
        place: &[(&'s str, usize)],
    ) {
        let nested: Vec<_> = nesting
            .get(schema.name)
            .into_iter()
            .flatten()
            .filter_map(|&(child, field)| Some((child, field, raw.get(child.name)?)))
            .collect();
        let mut entity = if nested.is_empty() {
            raw.clone()
        } else {
            // Not cloned as a whole: what is nested may be most of the document.
            let own = |key: &str| nested.iter().all(|(child, ..)| child.name != key);
            let fields = raw.iter().filter(|(key, _)| own(key));
            fields
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        entity.remove("_comment");
        entity.remove("_ignore");
        self.comments(raw, place);

        let given = entity.get("id").is_some_and(|id| !id.is_null());
        let outer = parent.map(|(outer, field)| {
            let outer = &self.list[outer];
            let id = outer.entity.get("id").and_then(Value::as_str);
            (field, id.filter(|_| outer.id_known))
        });
        // Server names inside a certificate have the name of one of its fields; Kong derives no
        // ids for them.
        let shadowed = parent.is_some_and(|(outer, _)| {
            let outer = self.list[outer].schema;
            outer.field(schema.name).is_some()
        });
        let derived = if given || shadowed {
            None
        } else {
            ids::derive(schema, raw, outer)
        };
        if !given {
            let id = derived.unwrap_or_else(Uuid::new_v4);
            entity.insert("id".to_owned(), id.to_string().into());
        }
        let index = place.last().map_or(0, |(_, index)| *index);
        let this = self.list.len();
        self.list.push(Item {
            schema,
            entity,
            parent,
            index,
            id_known: given || derived.is_some(),
            id_derived: derived.is_some(),
        });
        for (child, field, list) in nested {
            self.collection(nesting, child, list, Some((this, field)), place);
        }
        self.children_first.push(this);
    }

    fn comments(&mut self, raw: &Object, place: &[(&'s str, usize)]) {
        let mut errors = Object::new();
        check_comments(raw, &mut errors);
        if !errors.is_empty() {
            self.errors.add(place, Value::Object(errors));
        }
    }
}

/// `_comment` is text, `_ignore` a list; neither means anything.
pub(super) fn check_comments(raw: &Object, errors: &mut Object) {
    if raw
        .get("_comment")
        .is_some_and(|v| !v.is_string() && !v.is_null())
    {
        errors.insert("_comment".to_owned(), "expected a string".into());
    }
    if raw
        .get("_ignore")
        .is_some_and(|v| !v.is_array() && !v.is_null())
    {
        errors.insert("_ignore".to_owned(), "expected an array".into());
    }
}

/// By kind, the kinds that can be nested in it, with the field that refers to it. Looked up for
/// every entity, so it is drawn from the schemas once.
type Nesting<'s> = HashMap<&'static str, Vec<(&'s Schema, &'s str)>>;

fn nesting(schemas: &Schemas) -> Nesting<'_> {
    let kinds = schemas.kinds().iter();
    kinds
        .map(|outer| (outer.name, children(schemas, outer).collect()))
        .collect()
}

/// The kinds that can be nested in a kind, with the field that refers to it.
fn children<'s>(
    schemas: &'s Schemas,
    schema: &Schema,
) -> impl Iterator<Item = (&'s Schema, &'s str)> {
    let kind = schema.name;
    schemas.kinds().iter().filter_map(move |child| {
        let field = child.fields.iter().find(
            |field| matches!(field.kind, Type::Foreign { reference, .. } if reference == kind),
        )?;
        Some((child, field.name))
    })
}
