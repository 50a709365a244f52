//! The hash of a configuration in fragments, with places from where it can go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    EMPTY_CONFIG_HASH, FOLD_ABOVE_BYTES, Hashes, PARTS, Sink as _, Text, end_of_list, separator,
    write,
};
use crate::fragments::{Chunk, Content, Member};

/// Links between two places.
const STRIDE: usize = 8;

/// What Kong's hash reads of entities, with the separators between them.
pub(crate) fn canonical(chunk: &Chunk) -> serde_json::Result<Box<[u8]>> {
    let mut text = Vec::with_capacity(chunk.text().len());
    for (index, (_, row)) in chunk.rows().enumerate() {
        separator(&mut text, index);
        write(&mut text, &serde_json::from_str(row)?);
    }
    Ok(text.into())
}

/// The hash of a configuration and what it was on the way.
pub(crate) struct Chains {
    parts: [Option<Chain>; PARTS.len()],
    rest: Chain,
}

/// One of the texts that are hashed, and what its hash was on the way.
struct Chain {
    /// Before each link whose number is a multiple of [`STRIDE`].
    marks: Vec<Text>,
    hash: String,
}

/// A part of a text.
enum Link<'a> {
    Plain(&'a [u8]),
    /// A value as JSON.
    Value(&'a str),
    ListBegins,
    /// Entities, and whether they are the first of their list.
    Rows(&'a Arc<Chunk>, bool),
    ListEnds(usize),
}

/// Whether two links are known to be the same.
impl PartialEq for Link<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) => one == other,
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::ListBegins, Self::ListBegins) => true,
            (Self::Rows(one, first), Self::Rows(other, also)) => {
                Arc::ptr_eq(one, other) && first == also
            }
            (Self::ListEnds(one), Self::ListEnds(other)) => one == other,
            _ => false,
        }
    }
}

impl Chains {
    /// Hashes the members of a configuration, which are in order of their names. What a text begins
    /// with in common with that of `base` is not read again.
    pub(crate) fn of(
        members: &[Member],
        base: Option<(&[Member], &Self)>,
    ) -> serde_json::Result<Self> {
        let (own, rest) = texts(members);
        let known = base.map(|(members, chains)| (texts(members), chains));
        let mut parts = [const { None }; PARTS.len()];
        for (index, links) in own.iter().enumerate() {
            let Some(links) = links else { continue };
            let known = known.as_ref().and_then(|((parts, _), chains)| {
                Some((&**parts[index].as_ref()?, chains.parts[index].as_ref()?))
            });
            parts[index] = Some(Chain::of(links, known)?);
        }
        let known = known
            .as_ref()
            .map(|((_, rest), chains)| (&**rest, &chains.rest));
        Ok(Self {
            parts,
            rest: Chain::of(&rest, known)?,
        })
    }

    pub(crate) fn hashes(&self) -> Hashes {
        let parts = self.parts.each_ref().map(|part| match part {
            Some(part) => part.hash.clone(),
            None => EMPTY_CONFIG_HASH.to_owned(),
        });
        Hashes::join(parts, &self.rest.hash)
    }
}

/// The texts of the parts, and that of all else.
fn texts(members: &[Member]) -> ([Option<Vec<Link<'_>>>; PARTS.len()], Vec<Link<'_>>) {
    let mut parts = [const { None }; PARTS.len()];
    let mut rest = Vec::new();
    let members: BTreeMap<&str, &Content> = members
        .iter()
        .map(|member| (&*member.name, &member.content))
        .collect();
    for (name, content) in members {
        if let Some(index) = PARTS.iter().position(|part| *part == name) {
            let mut links = Vec::new();
            collection(content, &mut links);
            parts[index] = Some(links);
            continue;
        }
        rest.push(Link::Plain(name.as_bytes()));
        rest.push(Link::Plain(b":"));
        collection(content, &mut rest);
        rest.push(Link::Plain(b";"));
    }
    if rest.is_empty() {
        rest.push(Link::Plain(b"{}"));
    }
    (parts, rest)
}

fn collection<'a>(content: &'a Content, links: &mut Vec<Link<'a>>) {
    match content {
        Content::Text(text) => links.push(Link::Value(text)),
        Content::Rows(chunks) => {
            links.push(Link::ListBegins);
            let rows = chunks.iter().enumerate();
            links.extend(rows.map(|(index, chunk)| Link::Rows(chunk, index == 0)));
            links.push(Link::ListEnds(chunks.iter().map(|chunk| chunk.len()).sum()));
        }
    }
}

impl Chain {
    fn of(links: &[Link<'_>], base: Option<(&[Link<'_>], &Self)>) -> serde_json::Result<Self> {
        let mut marks = match base {
            Some((known, chain)) => {
                let pairs = links.iter().zip(known);
                let common = pairs.take_while(|(one, other)| one == other).count();
                let marks = chain.marks.iter().take(common / STRIDE + 1);
                marks.cloned().collect()
            }
            None => Vec::new(),
        };
        let mut text = marks.last().cloned().unwrap_or_default();
        let start = marks.len().saturating_sub(1) * STRIDE;
        for (number, link) in links.iter().enumerate().skip(start) {
            if number % STRIDE == 0 && number / STRIDE == marks.len() {
                marks.push(text.clone());
            }
            text.link(link)?;
        }
        Ok(Self {
            marks,
            hash: text.finish(),
        })
    }
}

impl Text {
    fn link(&mut self, link: &Link<'_>) -> serde_json::Result<()> {
        match link {
            Link::Plain(bytes) => self.put(bytes),
            Link::Value(value) => self.collection(value)?,
            Link::ListBegins => self.fold(),
            Link::ListEnds(length) => end_of_list(self, *length),
            Link::Rows(chunk, is_first) => {
                if !is_first {
                    self.put(b";");
                }
                let canonical = chunk.canonical()?;
                if self.length + canonical.len() <= FOLD_ABOVE_BYTES {
                    self.put(canonical);
                    return Ok(());
                }
                // It is folded somewhere on the way.
                for (index, (_, row)) in chunk.rows().enumerate() {
                    separator(self, index);
                    write(self, &serde_json::from_str(row)?);
                }
            }
        }
        Ok(())
    }
}
