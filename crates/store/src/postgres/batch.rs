//! Writes of many entities as a handful of statements over columns.

use std::collections::BTreeMap;

use super::rows::{EntityKey, Waiting};
use super::session::{Session, Values};
use crate::unix_time::milliseconds;
use crate::{StoreError, body};

/// The columns of a batch, one list for each.
#[derive(Default)]
pub(super) struct Batch<'a> {
    /// Everything written or removed that may have been there: what it was found by before counts no
    /// more.
    touched: [Vec<&'a str>; 2],
    removed: [Vec<&'a str>; 2],
    removed_by: Vec<i64>,
    written: [Vec<&'a str>; 2],
    written_by: Vec<i64>,
    bodies: Vec<String>,
    expiries: Vec<Option<i64>>,
    unique: [Vec<&'a str>; 4],
    references: [Vec<&'a str>; 5],
    tags: [Vec<&'a str>; 3],
}

fn push<'a, const N: usize>(columns: &mut [Vec<&'a str>; N], row: [&'a str; N]) {
    for (column, value) in columns.iter_mut().zip(row) {
        column.push(value);
    }
}

const FORGET_UNIQUE: &str = "DELETE FROM keelgate_unique_keys t
    USING unnest($1::text[], $2::text[]) AS d(kind, id) WHERE t.kind = d.kind AND t.id = d.id";
const FORGET_REFERENCES: &str = "DELETE FROM keelgate_references t
    USING unnest($1::text[], $2::text[]) AS d(kind, id) WHERE t.kind = d.kind AND t.id = d.id";
const FORGET_TAGS: &str = "DELETE FROM keelgate_tags t
    USING unnest($1::text[], $2::text[]) AS d(kind, id) WHERE t.kind = d.kind AND t.id = d.id";
const REMOVE: &str = "WITH removed AS (
        DELETE FROM keelgate_entities t
        USING unnest($1::text[], $2::text[], $3::bigint[]) AS d(kind, id, revision)
        WHERE t.kind = d.kind AND t.id = d.id RETURNING d.revision, t.kind, t.id
    )
    INSERT INTO keelgate_removals (revision, kind, id)
    SELECT revision, kind, id FROM removed WHERE revision > 0
    ON CONFLICT DO NOTHING";
const WRITE: &str = "INSERT INTO keelgate_entities (kind, id, body, expires_at, revision)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body,
        expires_at = excluded.expires_at, revision = excluded.revision";
const INDEX_UNIQUE: &str = "INSERT INTO keelgate_unique_keys (kind, name, value, id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])";
const INDEX_REFERENCES: &str = "INSERT INTO keelgate_references
        (kind, field, target_kind, target_id, id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])";
const INDEX_TAGS: &str = "INSERT INTO keelgate_tags (tag, kind, id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[])";

impl<'a> Batch<'a> {
    /// What waits, as written by a revision; records are of none.
    pub(super) fn of(
        waiting: &'a BTreeMap<EntityKey, Option<Waiting>>,
        revision: i64,
        is_record: impl Fn(&str) -> bool,
    ) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        for ((kind, id), waiting) in waiting {
            let by = if is_record(kind) { 0 } else { revision };
            let Some(Waiting {
                entity,
                index,
                is_new,
            }) = waiting
            else {
                push(&mut batch.touched, [kind, id]);
                push(&mut batch.removed, [kind, id]);
                batch.removed_by.push(by);
                continue;
            };
            if !is_new {
                push(&mut batch.touched, [kind, id]);
            }
            push(&mut batch.written, [kind, id]);
            batch.written_by.push(by);
            batch.bodies.push(body::text(kind, id, entity)?);
            batch.expiries.push(index.expires_at.map(milliseconds));
            for entry in &index.unique {
                push(&mut batch.unique, [kind, entry.name, &entry.value, id]);
            }
            for entry in &index.references {
                let (target_kind, target_id) = (&entry.target_kind, &entry.target_id);
                let row = [kind, &entry.field, target_kind, target_id, id];
                push(&mut batch.references, row.map(String::as_str));
            }
            for tag in &index.tags {
                push(&mut batch.tags, [tag, kind, id]);
            }
        }
        Ok(batch)
    }

    /// Sends it, in one round trip where the statements are prepared already.
    pub(super) fn send(&self, session: &mut Session) -> Result<(), StoreError> {
        let [kinds, ids] = &self.touched;
        let [removed_kinds, removed_ids] = &self.removed;
        let [written_kinds, written_ids] = &self.written;
        let [unique_kinds, names, values, owners] = &self.unique;
        let [kinds_from, fields, kinds_to, targets, ids_from] = &self.references;
        let [tags, tagged_kinds, tagged_ids] = &self.tags;
        // In this order: a key that one entity gives up may be another's in the same batch.
        let statements: [(bool, &str, Values<'_>); 8] = [
            (!ids.is_empty(), FORGET_UNIQUE, &[kinds, ids]),
            (!ids.is_empty(), FORGET_REFERENCES, &[kinds, ids]),
            (!ids.is_empty(), FORGET_TAGS, &[kinds, ids]),
            (
                !removed_ids.is_empty(),
                REMOVE,
                &[removed_kinds, removed_ids, &self.removed_by],
            ),
            (
                !written_ids.is_empty(),
                WRITE,
                &[
                    written_kinds,
                    written_ids,
                    &self.bodies,
                    &self.expiries,
                    &self.written_by,
                ],
            ),
            (
                !owners.is_empty(),
                INDEX_UNIQUE,
                &[unique_kinds, names, values, owners],
            ),
            (
                !ids_from.is_empty(),
                INDEX_REFERENCES,
                &[kinds_from, fields, kinds_to, targets, ids_from],
            ),
            (
                !tagged_ids.is_empty(),
                INDEX_TAGS,
                &[tags, tagged_kinds, tagged_ids],
            ),
        ];
        let needed: Vec<_> = statements
            .into_iter()
            .filter(|(is_needed, ..)| *is_needed)
            .map(|(_, sql, values)| (sql, values))
            .collect();
        session.execute(&needed)
    }
}
