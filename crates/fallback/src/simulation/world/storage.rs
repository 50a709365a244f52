//! A storage of the simulation: objects with versions, lists that lag, and what readers would find.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Millis;
use crate::Fencing;
use crate::election::Lease;
use crate::publish::edition::Edition;

/// A version of the software, which has a folder of its own: a rolling upgrade has two.
pub(super) type Software = usize;

/// How many versions of the software there are at most.
pub(super) const SOFTWARE: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Config(Software),
    History(Software, u64),
    Lease(Software),
    Registration(Software, usize),
    Index,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Snapshot(Edition),
    Lease(Lease),
    /// By version of the software.
    Index([Option<Fencing>; SOFTWARE]),
    Registration,
    /// Truncated, altered, or nothing of ours.
    Damaged,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) body: Body,
    pub(super) version: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Get(Key, Option<u64>),
    Create(Key, Body),
    Replace(Key, Body, u64),
    Put(Key, Body),
    List(Software),
    Delete(Key),
}

#[derive(Clone, Debug)]
pub(super) enum Reply {
    Object(Object),
    NotModified,
    NotFound,
    Written(u64),
    /// The condition does not hold.
    Lost,
    /// The revisions in the history, newest first.
    Names(Vec<u64>),
    Deleted,
    /// Not done, or not known; how long to leave the storage alone.
    Failed(Millis),
}

/// What readers would find of one version of the software.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// The newest that they could rely on.
    floor: u64,
    /// Whether so much was destroyed from outside that they find less for now.
    destroyed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) fencing: Fencing,
    /// Whether a second write of an object within a second is refused.
    pub(super) throttles: bool,
    /// How long a list takes to follow.
    pub(super) lag: Millis,
    pub(super) objects: BTreeMap<Key, Object>,
    listed: BTreeSet<Key>,
    unlisted: VecDeque<(Millis, Key, bool)>,
    written_at: BTreeMap<Key, Millis>,
    versions: u64,
    shown: [Shown; SOFTWARE],
    /// Whether anything was damaged or deleted from outside.
    pub(super) tampered: bool,
    /// The same of leases.
    pub(super) lease_lost_at: [Millis; SOFTWARE],
}

impl Storage {
    pub(super) fn new(fencing: Fencing, throttles: bool, lag: Millis) -> Self {
        Self {
            fencing,
            throttles,
            lag,
            objects: BTreeMap::new(),
            listed: BTreeSet::new(),
            unlisted: VecDeque::new(),
            written_at: BTreeMap::new(),
            versions: 0,
            shown: Default::default(),
            tampered: false,
            lease_lost_at: [0; SOFTWARE],
        }
    }

    pub(super) fn edition(&self, key: Key) -> Option<Edition> {
        match self.objects.get(&key)?.body {
            Body::Snapshot(edition) => Some(edition),
            _ => None,
        }
    }

    /// The newest good revision in the history.
    pub(super) fn newest_kept(&self, software: Software) -> u64 {
        let range = Key::History(software, 0)..=Key::History(software, u64::MAX);
        let mut kept = self.objects.range(range).rev();
        kept.find_map(|(_, object)| match object.body {
            Body::Snapshot(edition) => Some(edition.identity.revision),
            _ => None,
        })
        .unwrap_or(0)
    }

    /// What a newborn reader would choose.
    pub(super) fn choice(&self, software: Software) -> u64 {
        let config = self
            .edition(Key::Config(software))
            .map(|edition| edition.identity.revision);
        match (config, self.fencing) {
            (Some(config), Fencing::Compare) => config,
            (config, _) => config.unwrap_or(0).max(self.newest_kept(software)),
        }
    }

    /// Compares what readers would find now with what they could rely on; says what is wrong.
    pub(super) fn look(
        &mut self,
        software: Software,
        choice: u64,
        from_outside: bool,
    ) -> Option<String> {
        let config = Key::Config(software);
        let good = self.edition(config).is_some();
        let compares = self.fencing == Fencing::Compare;
        let missing = !self.objects.contains_key(&config);
        let kept = self.newest_kept(software);
        let shown = &mut self.shown[software];
        // A late write meets nothing that could stop it: where `config.json` is missing, or damaged
        // while lists lag, and where nothing compares and the history is gone.
        let exposed = if compares {
            missing || (self.lag > 0 && !good)
        } else {
            kept < shown.floor
        };
        if from_outside && (choice < shown.floor || exposed) {
            shown.destroyed = true;
        } else if choice >= shown.floor {
            shown.destroyed &= if compares { !good } else { exposed };
        } else if !shown.destroyed {
            return Some(format!(
                "a newborn reader would go back from {} to {choice}",
                shown.floor
            ));
        }
        // Where config.json is gone, nothing compares with what lies in the history.
        if good || !compares {
            shown.floor = shown.floor.max(choice);
        }
        None
    }

    pub(super) fn execute(&mut self, now: Millis, request: &Request, compares: bool) -> Reply {
        let current =
            |storage: &Self, key: &Key| storage.objects.get(key).map(|object| object.version);
        let compares = compares && self.fencing == Fencing::Compare;
        match request {
            Request::Get(key, known) => match self.objects.get(key) {
                None => Reply::NotFound,
                Some(object) if *known == Some(object.version) => Reply::NotModified,
                Some(object) => Reply::Object(object.clone()),
            },
            Request::Create(key, body) => {
                if compares && current(self, key).is_some() {
                    return Reply::Lost;
                }
                self.write(now, *key, body)
            }
            Request::Replace(key, body, expected) => {
                if compares && current(self, key) != Some(*expected) {
                    return Reply::Lost;
                }
                self.write(now, *key, body)
            }
            Request::Put(key, body) => self.write(now, *key, body),
            Request::Delete(key) => {
                self.remove(now, *key);
                Reply::Deleted
            }
            Request::List(software) => Reply::Names(self.names(now, *software)),
        }
    }

    fn write(&mut self, now: Millis, key: Key, body: &Body) -> Reply {
        if self.throttles && self.written_at.get(&key).is_some_and(|at| now < at + 1000) {
            return Reply::Failed(1000);
        }
        self.written_at.insert(key, now);
        Reply::Written(self.place(now, key, body.clone()))
    }

    /// Puts an object where it is, without asking.
    pub(super) fn place(&mut self, now: Millis, key: Key, body: Body) -> u64 {
        self.versions += 1;
        let version = match &body {
            // As an entity tag: the same bytes, the same version.
            Body::Snapshot(edition) => edition.identity.revision << 8 | edition.created_at,
            _ => 1 << 62 | self.versions,
        };
        self.objects.insert(key, Object { body, version });
        if let Key::History(..) = key {
            self.unlisted.push_back((now + self.lag, key, true));
        }
        version
    }

    pub(super) fn remove(&mut self, now: Millis, key: Key) {
        self.objects.remove(&key);
        if let Key::History(..) = key {
            self.unlisted.push_back((now + self.lag, key, false));
        }
    }

    fn names(&mut self, now: Millis, software: Software) -> Vec<u64> {
        while let Some((at, key, there)) = self.unlisted.front().copied() {
            if at > now {
                break;
            }
            self.unlisted.pop_front();
            if there {
                self.listed.insert(key);
            } else {
                self.listed.remove(&key);
            }
        }
        let range = Key::History(software, 0)..=Key::History(software, u64::MAX);
        let names = self.listed.range(range).rev();
        names
            .filter_map(|key| match key {
                Key::History(_, revision) => Some(*revision),
                _ => None,
            })
            .collect()
    }
}
