//! Finding a snapshot by what an operator calls it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use keelgate_fallback::{
    Candidate, Catalogue, Entry, Fetcher, HistoryName, Refusal, Storage, catalogue,
};
use keelgate_snapshot::{Identity, Snapshot};

use super::access::Access;
use super::output;

/// What an operator calls a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `config`: what a data plane of this build would choose.
    Config,
    /// `served`: what the node of the prefix serves, or would serve after a start.
    Served,
    /// `EPOCH-REVISION` or `EPOCH-REVISION-HASH`, the hash as short as one likes.
    History { position: (u64, u64), hash: String },
    /// A file of declarative configuration.
    File(PathBuf),
}

impl FromStr for Name {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "config" => Self::Config,
            "served" => Self::Served,
            text => Self::history(text).unwrap_or_else(|| Self::File(text.into())),
        })
    }
}

impl Name {
    fn history(text: &str) -> Option<Self> {
        let text = text.strip_suffix(".json").unwrap_or(text);
        let mut parts = text.splitn(3, '-');
        let position = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let hash = parts.next().unwrap_or_default().to_ascii_lowercase();
        let hexadecimal = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal.then_some(Self::History { position, hash })
    }
}

/// Whether a position and the beginning of a hash are those of an identity.
fn is_of(position: (u64, u64), hash: &str, identity: &Identity) -> bool {
    position == identity.position() && identity.sha256.to_string().starts_with(hash)
}

/// Whether the name of an object may be that of a snapshot with a hash that begins so: the object's
/// name holds the beginning of it only.
fn may_be(position: (u64, u64), hash: &str, name: &HistoryName) -> bool {
    position == name.position && (name.hash.starts_with(hash) || hash.starts_with(&name.hash))
}

/// A document that was found, and what its examination said.
pub(super) struct Located {
    pub(super) storage: String,
    pub(super) entry: Entry,
    /// The snapshot; none when it was refused.
    pub(super) snapshot: Option<Snapshot>,
}

/// What the rules of readers come to.
pub(super) struct Choice {
    /// What would serve.
    pub(super) chosen: Option<Candidate>,
    /// The best of each storage, in the order of the storages.
    pub(super) candidates: Vec<Candidate>,
    /// What was looked at and not used, and why.
    pub(super) refusals: Vec<Refusal>,
}

/// Reads all storages as a data plane of this build does. A tie is for the first storage.
pub(super) async fn choose(access: &Access) -> Choice {
    let mut choice = Choice {
        chosen: None,
        candidates: Vec::new(),
        refusals: Vec::new(),
    };
    for storage in &access.storages {
        let bar = output::progress(format!("reading {}", storage.location()));
        let verify = Arc::clone(&access.verify);
        let mut fetcher = Fetcher::new(Arc::clone(storage), env!("CARGO_PKG_VERSION"), verify);
        let fetched = fetcher.fetch(&HashSet::new()).await;
        bar.finish_and_clear();
        choice.refusals.extend(fetched.refusals);
        choice.candidates.extend(fetched.candidate);
    }
    let position = |candidate: &Candidate| candidate.snapshot.identity().position();
    let newest = choice.candidates.iter().rev().max_by_key(|c| position(c));
    choice.chosen = newest.cloned();
    choice
}

/// The same, where there must be something to choose.
pub(super) async fn chosen(access: &Access) -> Result<Candidate> {
    let choice = choose(access).await;
    let Some(chosen) = choice.chosen else {
        let reasons: Vec<String> = choice.refusals.iter().map(ToString::to_string).collect();
        bail!(
            "no storage holds a snapshot that this build could serve:\n{}",
            reasons.join("\n")
        );
    };
    Ok(chosen)
}

/// Lists what lies in every storage.
pub(super) async fn catalogues(access: &Access) -> Vec<(Arc<dyn Storage>, Result<Catalogue>)> {
    let mut all = Vec::new();
    for storage in &access.storages {
        let bar = output::progress(format!("listing {}", storage.location()));
        let listed = catalogue(storage.as_ref(), None).await;
        bar.finish_and_clear();
        all.push((Arc::clone(storage), listed.map_err(Into::into)));
    }
    all
}

/// Finds a document of the storages by the position and the beginning of its hash: a good one
/// before a refused one, one of this build's version before others.
pub(super) async fn locate(access: &Access, position: (u64, u64), hash: &str) -> Result<Located> {
    let (mut refused, mut unread) = (None, Vec::new());
    for (storage, listed) in catalogues(access).await {
        let mut versions = match listed {
            Ok(catalogue) => catalogue.versions,
            Err(error) => {
                unread.push(format!("{error:#}"));
                continue;
            }
        };
        versions.sort_by_key(|entry| entry.version != env!("CARGO_PKG_VERSION"));
        for version in versions {
            let matching: Vec<Entry> = version
                .history
                .into_iter()
                .filter(|entry| {
                    let name = entry.name.as_ref();
                    name.is_some_and(|name| may_be(position, hash, name))
                })
                .collect();
            if let [first, .., last] = &matching[..] {
                bail!(
                    "{} has several of that position, {} and {}: give more digits of the hash",
                    storage.location(),
                    first.key,
                    last.key
                );
            }
            for mut entry in matching.into_iter().chain(version.config) {
                let snapshot = entry.examine(storage.as_ref(), &access.verify).await;
                let claimed = entry.found.as_ref().and_then(|found| found.identity);
                let named = entry.name.is_some();
                let fits = claimed.map_or(named, |identity| is_of(position, hash, &identity));
                if !fits {
                    continue;
                }
                let located = Located {
                    storage: storage.location().to_owned(),
                    entry,
                    snapshot,
                };
                if located.snapshot.is_some() {
                    return Ok(located);
                }
                refused.get_or_insert(located);
            }
        }
    }
    refused.with_context(|| {
        let (epoch, revision) = position;
        let mut text = format!(
            "no storage holds snapshot {epoch}-{revision}{}{hash}: `keelgate fallback ls` shows what is there",
            if hash.is_empty() { "" } else { "-" }
        );
        for reason in unread {
            text.push_str(&format!("\nnot read: {reason}"));
        }
        text
    })
}

/// The snapshot that a name stands for, verified.
pub(super) async fn snapshot(access: &Access, name: &Name) -> Result<Snapshot> {
    match name {
        Name::Config => Ok(chosen(access).await?.snapshot),
        Name::History { position, hash } => {
            let located = locate(access, *position, hash).await?;
            match (located.snapshot, located.entry.found) {
                (Some(snapshot), _) => Ok(snapshot),
                (None, Some(found)) => match found.verified {
                    Err(refusal) => bail!("{refusal}"),
                    Ok(()) => bail!("{}: {} is refused", located.storage, located.entry.key),
                },
                (None, None) => bail!("{}: {} was not read", located.storage, located.entry.key),
            }
        }
        Name::Served => cached(access),
        Name::File(path) => bail!(
            "{} is not the name of a snapshot: write EPOCH-REVISION, EPOCH-REVISION-HASH or config",
            path.display()
        ),
    }
}

/// What the data plane of this prefix has kept of what it serves.
fn cached(access: &Access) -> Result<Snapshot> {
    let path = access.settings.node.prefix.join("cache/current.json");
    let document = read(&path).with_context(|| {
        format!(
            "{} cannot be read: `served` is what a data plane keeps in its prefix; name it with --prefix",
            path.display()
        )
    })?;
    let verify = match &access.cluster {
        Some(cluster) => cluster.verify_peer(),
        None => Arc::clone(&access.verify),
    };
    verify(document.into()).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    let limit = keelgate_snapshot::MAX_DOCUMENT_BYTES as u64 + 1;
    std::fs::File::open(path)?
        .take(limit)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_snapshots_are_told_from_files() {
        let parse = |text: &str| text.parse::<Name>().unwrap();
        assert_eq!(parse("config"), Name::Config);
        assert_eq!(parse("served"), Name::Served);
        let history = |position, hash: &str| Name::History {
            position,
            hash: hash.to_owned(),
        };
        assert_eq!(parse("2-17"), history((2, 17), ""));
        assert_eq!(parse("2-17-AB12"), history((2, 17), "ab12"));
        assert_eq!(
            parse("2-17-ab12cd34ef56.json"),
            history((2, 17), "ab12cd34ef56")
        );
        for file in ["kong.yml", "./2-17", "2-17-old.yml", "1-x"] {
            assert_eq!(parse(file), Name::File(file.into()));
        }
    }

    #[test]
    fn a_hash_may_be_shorter_or_longer_than_the_objects_name() {
        let name = HistoryName::parse("2-17-ab12cd34ef56.json").unwrap();
        assert!(may_be((2, 17), "", &name));
        assert!(may_be((2, 17), "ab1", &name));
        assert!(may_be((2, 17), "ab12cd34ef5600", &name));
        assert!(!may_be((2, 17), "ac", &name));
        assert!(!may_be((2, 18), "", &name));
    }
}
