//! A data plane that reads storages, pass by pass, as the fetcher does, and serves the newest.

use super::plan::Mutation;
use super::storage::{Body, Key, Reply, Request, SOFTWARE, Software};
use super::{Millis, Part, World};
use crate::Fencing;

/// Between two passes while the control plane is away.
const REFRESH: Millis = 12_000;

/// How long a reader waits for a storage.
const PATIENCE: Millis = 15_000;

/// The index is read in one of so many passes.
const PASSES_PER_INDEX: u32 = 10;

/// How many history objects are tried.
const LOOK: usize = 5;

/// Where a pass is.
#[derive(Clone, Debug)]
enum Stage {
    Index,
    Config,
    /// Looks for what is newer than `config.json` had, if that was good.
    List(Option<u64>),
    Look(Option<u64>, Vec<u64>),
    Other,
}

/// What is known of one storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    passes: u32,
    /// What the index said.
    fencing: Option<Fencing>,
    /// Version and revision of `config.json`.
    last: Option<(u64, u64)>,
    /// The history object that was newer.
    newer: Option<u64>,
    /// What the last pass found, in which nothing failed.
    pub(super) found: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) software: Software,
    pub(super) sources: Vec<Source>,
    /// What serves.
    pub(super) served: u64,
    pub(super) wake: u64,
    /// The storage that is read.
    current: usize,
    stage: Option<(Stage, u64)>,
}

impl Reader {
    pub(super) fn born(software: Software, storages: usize) -> Self {
        Self {
            software,
            sources: vec![Source::default(); storages],
            served: 0,
            wake: 0,
            current: 0,
            stage: None,
        }
    }
}

impl World {
    pub(super) fn begin_pass(&mut self, index: usize) {
        let reader = &mut self.readers[index];
        let source = &mut reader.sources[reader.current];
        let with_index = source.passes.is_multiple_of(PASSES_PER_INDEX) || source.fencing.is_none();
        source.passes += 1;
        if with_index {
            self.fetch(index, Stage::Index, Request::Get(Key::Index, None));
        } else {
            self.fetch_config(index);
        }
    }

    fn fetch_config(&mut self, index: usize) {
        let reader = &self.readers[index];
        let known = reader.sources[reader.current]
            .last
            .map(|(version, _)| version);
        let request = Request::Get(Key::Config(reader.software), known);
        self.fetch(index, Stage::Config, request);
    }

    fn fetch(&mut self, index: usize, stage: Stage, request: Request) {
        let storage = self.readers[index].current;
        let ticket = self.send(Part::Reader(index), storage, request, PATIENCE);
        self.readers[index].stage = Some((stage, ticket));
    }

    pub(super) fn reader_answered(&mut self, index: usize, ticket: u64, reply: Reply) {
        let reader = &mut self.readers[index];
        let Some((stage, _)) = reader.stage.take_if(|(_, waits)| *waits == ticket) else {
            return;
        };
        let software = reader.software;
        let source = &mut reader.sources[reader.current];
        let revision = |reply: &Reply| match reply {
            Reply::Object(object) => match object.body {
                Body::Snapshot(edition) => Some((object.version, edition.identity.revision)),
                _ => None,
            },
            _ => None,
        };
        match stage {
            Stage::Index => {
                if let Reply::Object(object) = &reply
                    && let Body::Index(entries) = object.body
                {
                    source.fencing = entries[software];
                }
                self.fetch_config(index);
            }
            Stage::Config => {
                let config = match reply {
                    Reply::NotModified => source.last,
                    Reply::Failed(_) => return self.end_pass(index, None),
                    reply => revision(&reply),
                };
                source.last = config;
                let config = config.map(|(_, revision)| revision);
                let fenced = source.fencing == Some(Fencing::Compare)
                    || self.plan.breaks(Mutation::ReadsConfigOnly);
                if config.is_some() && fenced {
                    return self.end_pass(index, config);
                }
                self.fetch(index, Stage::List(config), Request::List(software));
            }
            Stage::List(config) => {
                let Reply::Names(names) = reply else {
                    // What is missing then is served by others, or already.
                    return self.serve(index, config);
                };
                let newer = names
                    .into_iter()
                    .filter(|name| config.is_none_or(|config| *name > config));
                let newer = newer.take(LOOK).collect();
                self.look_at(index, config, newer);
            }
            Stage::Look(config, rest) => match revision(&reply) {
                Some((_, revision)) => {
                    source.newer = Some(revision);
                    self.end_with_copy(index, Some(revision));
                }
                None if matches!(reply, Reply::Failed(_)) => self.serve(index, config),
                None => self.look_at(index, config, rest),
            },
            // What the own version has comes first, however old.
            Stage::Other => self.serve(index, revision(&reply).map(|(_, revision)| revision)),
        }
    }

    fn look_at(&mut self, index: usize, config: Option<u64>, mut names: Vec<u64>) {
        let reader = &self.readers[index];
        let (software, newer) = (reader.software, reader.sources[reader.current].newer);
        if config.is_some() && newer.is_some() && newer == names.first().copied() {
            self.end_with_copy(index, newer);
        } else if !names.is_empty() {
            let key = Key::History(software, names.remove(0));
            self.fetch(index, Stage::Look(config, names), Request::Get(key, None));
        } else if config.is_some() {
            self.end_pass(index, config);
        } else {
            let other = Key::Config((software + 1) % SOFTWARE);
            self.fetch(index, Stage::Other, Request::Get(other, None));
        }
    }

    /// Ends a pass with what was found in the history.
    fn end_with_copy(&mut self, index: usize, found: Option<u64>) {
        let reader = &self.readers[index];
        match reader.sources[reader.current].fencing {
            Some(Fencing::None) => self.end_pass(index, found),
            // Where the storage compares, `config.json` was missing or the index did not say:
            // the copy may be a little ahead of `config.json`.
            _ => self.serve(index, found),
        }
    }

    /// Ends a whole pass, in which nothing failed.
    fn end_pass(&mut self, index: usize, found: Option<u64>) {
        let storage = self.readers[index].current;
        if let Some(found) = found {
            self.check_reader(index, storage, found);
            self.readers[index].sources[storage].found = found;
        }
        self.serve(index, found);
    }

    /// Serves what was found if it is newer, and goes on with the next storage.
    fn serve(&mut self, index: usize, found: Option<u64>) {
        let reader = &mut self.readers[index];
        let storage = reader.current;
        reader.served = reader.served.max(found.unwrap_or(0));
        reader.current = (storage + 1) % reader.sources.len();
        let wait = if reader.current == 0 {
            self.random.u64(REFRESH / 2..REFRESH)
        } else {
            0
        };
        self.wake(Part::Reader(index), wait);
    }
}
