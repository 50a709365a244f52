//! Some entities of a collection, one after the other.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use uuid::Uuid;

use crate::config_hash;

/// Entities in a chunk that is made anew. Up to twice as many stay together.
const ROWS: usize = 128;

/// Some entities of a collection in order of their ids. Never empty.
pub struct Chunk {
    /// The entities, with commas between them.
    text: Box<str>,
    rows: Box<[Row]>,
    canonical: OnceLock<Box<[u8]>>,
}

struct Row {
    id: Uuid,
    /// Where it ends in the text.
    end: usize,
}

impl Chunk {
    fn of<T: AsRef<str>>(rows: &[(Uuid, T)]) -> Self {
        let bytes: usize = rows.iter().map(|(_, row)| row.as_ref().len() + 1).sum();
        let mut text = String::with_capacity(bytes.saturating_sub(1));
        let rows = rows
            .iter()
            .map(|(id, row)| {
                if !text.is_empty() {
                    text.push(',');
                }
                text.push_str(row.as_ref());
                let end = text.len();
                Row { id: *id, end }
            })
            .collect();
        Self {
            text: text.into(),
            rows,
            canonical: OnceLock::new(),
        }
    }

    /// The entities as JSON, with commas between them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many entities it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never: a chunk has entities.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The entities with their ids.
    pub fn rows(&self) -> impl Iterator<Item = (Uuid, &str)> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let text = &self.text[start..row.end];
            start = row.end + 1;
            (row.id, text)
        })
    }

    /// The first id.
    pub(super) fn first(&self) -> Uuid {
        self.rows.first().map(|row| row.id).unwrap_or_default()
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.rows.binary_search_by_key(&id, |row| row.id).is_ok()
    }

    /// What Kong's hash reads of it, where nothing is folded on the way.
    pub(crate) fn canonical(&self) -> serde_json::Result<&[u8]> {
        if let Some(known) = self.canonical.get() {
            return Ok(known);
        }
        let written = config_hash::canonical(self)?;
        Ok(self.canonical.get_or_init(|| written))
    }
}

impl fmt::Debug for Chunk {
    /// Entities hold secrets and are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

/// Chunks of rows; none where those are not in order of their ids, or two have the same.
pub(super) fn build<T: AsRef<str>>(rows: &[(Uuid, T)]) -> Option<Vec<Arc<Chunk>>> {
    let is_ordered = rows.is_sorted_by(|(one, _), (next, _)| one < next);
    is_ordered.then(|| chunked(rows))
}

fn chunked<T: AsRef<str>>(rows: &[(Uuid, T)]) -> Vec<Arc<Chunk>> {
    let chunks = rows.chunks(ROWS);
    chunks.map(|rows| Arc::new(Chunk::of(rows))).collect()
}

/// The chunks of a collection after changes, which are in order of their ids: `None` removes.
pub(super) fn changed(chunks: &[Arc<Chunk>], changes: &[(Uuid, Option<&str>)]) -> Vec<Arc<Chunk>> {
    let mut next = Vec::with_capacity(chunks.len() + 1);
    let mut rest = changes;
    if chunks.is_empty() {
        let rows: Vec<_> = merged(std::iter::empty(), rest).collect();
        return chunked(&rows);
    }
    for (index, chunk) in chunks.iter().enumerate() {
        let end = match chunks.get(index + 1) {
            Some(after) => rest.partition_point(|(id, _)| *id < after.first()),
            None => rest.len(),
        };
        let (own, after) = rest.split_at(end);
        rest = after;
        if own.is_empty() {
            next.push(Arc::clone(chunk));
            continue;
        }
        let rows: Vec<_> = merged(chunk.rows(), own).collect();
        append(&mut next, &rows);
    }
    next
}

/// Appends rows. Few are put to those before them, so that removals do not leave crumbs.
fn append(chunks: &mut Vec<Arc<Chunk>>, rows: &[(Uuid, &str)]) {
    if rows.is_empty() {
        return;
    }
    let is_small = rows.len() < ROWS / 4;
    if is_small && let Some(last) = chunks.pop_if(|last| last.len() <= ROWS) {
        let together: Vec<_> = last.rows().chain(rows.iter().copied()).collect();
        chunks.push(Arc::new(Chunk::of(&together)));
    } else if rows.len() <= 2 * ROWS {
        chunks.push(Arc::new(Chunk::of(rows)));
    } else {
        chunks.extend(chunked(rows));
    }
}

/// Rows with changes, both in order of their ids.
fn merged<'a>(
    rows: impl Iterator<Item = (Uuid, &'a str)>,
    changes: &[(Uuid, Option<&'a str>)],
) -> impl Iterator<Item = (Uuid, &'a str)> {
    let mut rows = rows.peekable();
    let mut changes = changes.iter().copied().peekable();
    std::iter::from_fn(move || {
        loop {
            let Some((id, _)) = changes.peek() else {
                return rows.next();
            };
            if rows.peek().is_some_and(|(row, _)| row < id) {
                return rows.next();
            }
            let (id, text) = changes.next()?;
            rows.next_if(|(row, _)| *row == id);
            if let Some(text) = text {
                return Some((id, text));
            }
        }
    })
}

/// The id of an entity, if it is a UUID in the one form that sorts as its text does.
pub(super) fn id_of(entity: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Entity<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    if !entity.starts_with('{') {
        return None;
    }
    let Entity { id } = serde_json::from_str(entity).ok()?;
    let parsed = Uuid::try_parse(&id).ok()?;
    let is_canonical = *parsed.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *id;
    is_canonical.then_some(parsed)
}
