//! A configuration in fragments: the same bytes as its text, of which two configurations share what
//! they have in common.
//!
//! A change of one entity of hundreds of thousands costs as much as the fragment that it stands in: that
//! one is written anew, and the others are taken over as they are. Whoever holds both configurations
//! sees by the fragments alone what differs.

mod changes;
mod chunk;
mod digest;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Digest;
use crate::config_hash::{Chains, Hashes};

pub use changes::{Changes, Unfit};
pub use chunk::Chunk;
use chunk::{build, id_of};
use digest::Sums;

/// A configuration (the value of `config_table`) in fragments. Immutable, cheap to clone.
///
/// Its members are in the order of their names, and the entities of a collection in that of their ids.
#[derive(Clone)]
pub struct Fragments(Arc<Inner>);

struct Inner {
    members: Vec<Member>,
    bytes: usize,
    sums: OnceLock<Sums>,
    chains: OnceLock<Chains>,
}

/// A member of the configuration.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) content: Content,
}

/// The value of a member.
#[derive(Clone)]
pub(crate) enum Content {
    /// Anything, as it stands.
    Text(Arc<str>),
    /// A list of entities with ids.
    Rows(Vec<Arc<Chunk>>),
}

/// A part of the text.
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Chunk(&'a Arc<Chunk>),
}

impl Piece<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Chunk(chunk) => chunk.text(),
        }
    }
}

/// Whether two pieces are known to be the same.
impl PartialEq for Piece<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Chunk(one), Self::Chunk(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Fragments {
    /// Takes a configuration apart.
    ///
    /// # Errors
    ///
    /// As [`serde_json::to_string`].
    pub fn of(table: &Map<String, Value>) -> serde_json::Result<Self> {
        let mut members = BTreeMap::new();
        for (name, value) in table {
            let rows = match value {
                Value::Array(rows) => rows_of(rows)?,
                _ => None,
            };
            let content = match rows.and_then(|rows| build(&rows)) {
                Some(chunks) => Content::Rows(chunks),
                None => Content::Text(serde_json::to_string(value)?.into()),
            };
            members.insert(name.as_str(), content);
        }
        let members = members.into_iter().map(|(name, content)| Member {
            name: name.into(),
            content,
        });
        Ok(Self::new(members.collect()))
    }

    /// Takes the text of a configuration apart; none where that would not give the same text again.
    pub fn parse(config: &str) -> Option<Self> {
        let Members(found) = serde_json::from_str(config).ok()?;
        let mut members: Vec<Member> = Vec::with_capacity(found.len());
        for (name, value) in found {
            let content = match rows_in(value.get()) {
                Some(chunks) => Content::Rows(chunks),
                None => Content::Text(value.get().into()),
            };
            let name = name.into();
            members.push(Member { name, content });
        }
        let is_ordered = members.is_sorted_by(|one, next| one.name < next.name);
        let fragments = Self::new(members);
        (is_ordered && fragments.is_text(config)).then_some(fragments)
    }

    fn new(members: Vec<Member>) -> Self {
        let mut inner = Inner {
            members,
            bytes: 0,
            sums: OnceLock::new(),
            chains: OnceLock::new(),
        };
        let mut bytes = 0;
        inner.visit(|piece| bytes += piece.text().len());
        inner.bytes = bytes;
        Self(Arc::new(inner))
    }

    /// How long the text is, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.bytes);
        self.write(&mut text);
        text
    }

    /// Appends the text.
    pub(crate) fn write(&self, text: &mut String) {
        self.0.visit(|piece| text.push_str(piece.text()));
    }

    /// The members' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.members.iter().map(|member| &*member.name)
    }

    /// The value of a member as text.
    pub fn value(&self, name: &str) -> Option<String> {
        match &self.member(name)?.content {
            Content::Text(text) => Some(text.to_string()),
            Content::Rows(chunks) => {
                let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text()).collect();
                Some(format!("[{}]", texts.join(",")))
            }
        }
    }

    /// The entities of a collection in order of their ids, some together; none where it is no list of
    /// entities, or there is none of this name.
    pub fn chunks(&self, name: &str) -> Option<&[Arc<Chunk>]> {
        match &self.member(name)?.content {
            Content::Text(_) => None,
            Content::Rows(chunks) => Some(chunks),
        }
    }

    /// Whether a collection has an entity with this id.
    pub fn contains(&self, collection: &str, id: Uuid) -> bool {
        let chunks = self.chunks(collection).unwrap_or_default();
        let after = chunks.partition_point(|chunk| chunk.first() <= id);
        let chunk = after.checked_sub(1).map(|at| &chunks[at]);
        chunk.is_some_and(|chunk| chunk.contains(id))
    }

    /// SHA-256 of the text. What it begins with in common with `base` is not read again.
    pub fn digest_after(&self, base: Option<&Self>) -> Digest {
        let sums = self.0.sums.get_or_init(|| {
            let pieces = self.0.pieces();
            let base = base.and_then(|base| Some((base.0.pieces(), base.0.sums.get()?)));
            Sums::of(
                &pieces,
                base.as_ref().map(|(pieces, sums)| (&**pieces, *sums)),
            )
        });
        sums.digest
    }

    /// The hashes that Kong would give it; as [`Self::digest_after`].
    pub(crate) fn hashes_after(&self, base: Option<&Self>) -> serde_json::Result<Hashes> {
        if let Some(chains) = self.0.chains.get() {
            return Ok(chains.hashes());
        }
        let base = base.and_then(|base| Some((&*base.0.members, base.0.chains.get()?)));
        let chains = Chains::of(&self.0.members, base)?;
        let hashes = chains.hashes();
        // Another thread may have been first, with the same.
        let _ = self.0.chains.set(chains);
        Ok(hashes)
    }

    /// Computes what [`crate::build_after`] needs besides the digest, so that another thread can.
    ///
    /// # Errors
    ///
    /// When an entity is no JSON.
    pub fn prepare_after(&self, base: Option<&Self>) -> serde_json::Result<()> {
        self.hashes_after(base).map(drop)
    }

    fn member(&self, name: &str) -> Option<&Member> {
        let members = &self.0.members;
        let at = members.binary_search_by(|member| (*member.name).cmp(name));
        Some(&members[at.ok()?])
    }

    fn is_text(&self, text: &str) -> bool {
        let mut rest = Some(text);
        self.0
            .visit(|piece| rest = rest.and_then(|rest| rest.strip_prefix(piece.text())));
        rest == Some("")
    }
}

impl Inner {
    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        self.visit(|piece| pieces.push(piece));
        pieces
    }

    /// Shows the parts of the text in order.
    fn visit<'a>(&'a self, mut show: impl FnMut(Piece<'a>)) {
        let mut opening = "{\"";
        for Member { name, content } in &self.members {
            show(Piece::Text(opening));
            opening = ",\"";
            show(Piece::Text(name));
            match content {
                Content::Text(text) => {
                    show(Piece::Text("\":"));
                    show(Piece::Text(text));
                }
                Content::Rows(chunks) => {
                    show(Piece::Text("\":["));
                    for (index, chunk) in chunks.iter().enumerate() {
                        if index > 0 {
                            show(Piece::Text(","));
                        }
                        show(Piece::Chunk(chunk));
                    }
                    show(Piece::Text("]"));
                }
            }
        }
        show(Piece::Text(if self.members.is_empty() {
            "{}"
        } else {
            "}"
        }));
    }
}

/// Entities as rows, if all have ids.
fn rows_of(entities: &[Value]) -> serde_json::Result<Option<Vec<(Uuid, String)>>> {
    let mut rows = Vec::with_capacity(entities.len());
    for entity in entities {
        let text = serde_json::to_string(entity)?;
        let Some(id) = id_of(&text) else {
            return Ok(None);
        };
        rows.push((id, text));
    }
    Ok(Some(rows))
}

/// The rows in the text of a list; none where it is no list of entities.
fn rows_in(list: &str) -> Option<Vec<Arc<Chunk>>> {
    if !list.starts_with('[') {
        return None;
    }
    let rows: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let rows = rows.iter().map(|row| Some((id_of(row.get())?, row.get())));
    build(&rows.collect::<Option<Vec<_>>>()?)
}

/// The members of an object as they stand. Names are plain words; one that must be escaped is none.
struct Members<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of collections")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The addresses of chunks: what two configurations share is the same in both.
fn addresses(chunks: &[Arc<Chunk>]) -> HashSet<*const Chunk> {
    chunks.iter().map(Arc::as_ptr).collect()
}

impl fmt::Debug for Fragments {
    /// The configuration holds secrets and is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fragments")
            .field("bytes", &self.0.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
