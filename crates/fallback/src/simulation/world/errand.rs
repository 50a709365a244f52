//! What a publisher's driver does for one action of its machine, request by request.

use super::storage::{Body, Key, Reply, Request, Software};
use crate::Fencing;
use crate::publish::edition::Edition;
use crate::publish::machine::{Action, Machine};
use crate::publish::picture::{Content, Expected, Read};

/// How many history objects are looked through, as in production.
const LOOK: usize = 8;

/// What is left of an action.
#[derive(Debug)]
pub(super) enum Errand {
    Read,
    /// Revisions that are still to be looked at, newest first.
    Look(u64, Vec<u64>),
    Create(Edition),
    CompareCopy(Edition),
    Copy(Edition),
    WriteConfig,
    FetchCopy(Edition, Expected<u64>),
    ListOld,
    /// Revisions that are still to be deleted.
    Delete(Vec<u64>),
    ReadIndex,
    WriteIndex,
}

/// What comes next.
pub(super) enum Next {
    Ask(Errand, Request),
    /// The machine was told.
    Done,
    /// The machine is to be told of a failure, with the pause that the storage asked for.
    Failed(u64),
}

/// Where the errand runs.
pub(super) struct Place<'a> {
    pub(super) software: Software,
    pub(super) machine: &'a mut Machine<u64>,
    /// How many history objects are kept.
    pub(super) history: usize,
    /// Breaks a rule: the newest are deleted.
    pub(super) prunes_newest: bool,
}

impl Place<'_> {
    /// The first request of an action.
    pub(super) fn begin(&self, action: Action<u64>) -> Option<(Errand, Request)> {
        let config = Key::Config(self.software);
        Some(match action {
            Action::Read(known) => (Errand::Read, Request::Get(config, known)),
            Action::ReadHistory(wanted) => (
                Errand::Look(wanted.revision, Vec::new()),
                Request::List(self.software),
            ),
            Action::WriteHistory(edition) => {
                let key = self.copy(&edition);
                match self.machine.fencing() {
                    Fencing::Compare => (
                        Errand::Create(edition),
                        Request::Create(key, Body::Snapshot(edition)),
                    ),
                    Fencing::None => (Errand::CompareCopy(edition), Request::Get(key, None)),
                }
            }
            Action::WriteConfig(edition, expected) => {
                (Errand::WriteConfig, self.config(edition, &expected))
            }
            Action::Restore(found, expected) => {
                let request = Request::Get(self.copy(&found), None);
                (Errand::FetchCopy(found, expected), request)
            }
            Action::Prune => (Errand::ListOld, Request::List(self.software)),
            Action::Index => (Errand::ReadIndex, Request::Get(Key::Index, None)),
            Action::Wait(_) => return None,
        })
    }

    fn copy(&self, edition: &Edition) -> Key {
        Key::History(self.software, edition.identity.revision)
    }

    fn config(&self, edition: Edition, expected: &Expected<u64>) -> Request {
        let (key, body) = (Key::Config(self.software), Body::Snapshot(edition));
        match expected {
            Expected::Absent => Request::Create(key, body),
            Expected::Version(version) => Request::Replace(key, body, *version),
            Expected::Anything => Request::Put(key, body),
        }
    }

    /// Goes on with the answer.
    pub(super) fn go_on(&mut self, errand: Errand, reply: Reply) -> Next {
        if let Reply::Failed(pause) = reply {
            return self.failed(&errand, pause);
        }
        match (errand, reply) {
            (Errand::Read, reply) => {
                self.machine.read(match reply {
                    Reply::NotModified => Read::NotModified,
                    Reply::Object(object) => Read::Found {
                        version: object.version,
                        content: content(&object.body),
                    },
                    _ => Read::Absent,
                });
                Next::Done
            }
            (Errand::Look(wanted, _), Reply::Names(names)) => {
                let newer = names.into_iter().filter(|name| *name > wanted).take(LOOK);
                self.look(wanted, newer.collect())
            }
            (Errand::Look(wanted, rest), reply) => match reply {
                Reply::Object(object) if let Body::Snapshot(edition) = object.body => {
                    self.machine.history_read(Some(edition));
                    Next::Done
                }
                _ => self.look(wanted, rest),
            },
            (Errand::Create(edition), Reply::Lost) => {
                let request = Request::Get(self.copy(&edition), None);
                Next::Ask(Errand::CompareCopy(edition), request)
            }
            (Errand::CompareCopy(edition), reply) => {
                let (key, body) = (self.copy(&edition), Body::Snapshot(edition));
                let request = match (reply, self.machine.fencing()) {
                    (Reply::Object(found), fencing) => match found.body {
                        Body::Snapshot(found) if found.covers(&edition) => {
                            self.machine.history_written(edition);
                            return Next::Done;
                        }
                        _ if fencing == Fencing::Compare => {
                            Request::Replace(key, body, found.version)
                        }
                        _ => Request::Put(key, body),
                    },
                    (_, Fencing::Compare) => return Next::Failed(0),
                    (_, Fencing::None) => Request::Put(key, body),
                };
                Next::Ask(Errand::Copy(edition), request)
            }
            (Errand::WriteConfig, Reply::Lost) | (Errand::Copy(_), Reply::Lost) => Next::Failed(0),
            (Errand::Create(edition) | Errand::Copy(edition), _) => {
                self.machine.history_written(edition);
                Next::Done
            }
            (Errand::WriteConfig, _) => {
                self.machine.config_written();
                Next::Done
            }
            (Errand::FetchCopy(found, expected), reply) => match reply {
                Reply::Object(object)
                    if let Body::Snapshot(edition) = object.body
                        && edition.identity == found.identity =>
                {
                    Next::Ask(Errand::WriteConfig, self.config(edition, &expected))
                }
                _ => Next::Failed(0),
            },
            (Errand::ListOld, reply) => {
                let Reply::Names(names) = reply else {
                    self.machine.pruned();
                    return Next::Done;
                };
                self.delete(self.old(names))
            }
            (Errand::Delete(rest), _) => self.delete(rest),
            (Errand::ReadIndex, reply) => self.index(reply),
            (Errand::WriteIndex, reply) => {
                self.machine.indexed(matches!(reply, Reply::Written(_)));
                Next::Done
            }
        }
    }

    fn failed(&mut self, errand: &Errand, pause: u64) -> Next {
        match errand {
            Errand::ListOld | Errand::Delete(_) => self.machine.pruned(),
            Errand::ReadIndex | Errand::WriteIndex => self.machine.indexed(false),
            _ => return Next::Failed(pause),
        }
        Next::Done
    }

    fn look(&mut self, wanted: u64, mut names: Vec<u64>) -> Next {
        if names.is_empty() {
            self.machine.history_read(None);
            return Next::Done;
        }
        let request = Request::Get(Key::History(self.software, names.remove(0)), None);
        Next::Ask(Errand::Look(wanted, names), request)
    }

    fn old(&self, names: Vec<u64>) -> Vec<u64> {
        if self.prunes_newest {
            return names;
        }
        let wanted = self
            .machine
            .wanted()
            .map_or(0, |wanted| wanted.identity.revision);
        let stored = self.machine.stored().map_or(0, |stored| stored.revision);
        let old = names.into_iter().skip(self.history);
        old.filter(|name| *name < wanted && *name != stored)
            .collect()
    }

    fn delete(&mut self, mut names: Vec<u64>) -> Next {
        let Some(name) = names.pop() else {
            self.machine.pruned();
            return Next::Done;
        };
        Next::Ask(
            Errand::Delete(names),
            Request::Delete(Key::History(self.software, name)),
        )
    }

    fn index(&mut self, reply: Reply) -> Next {
        let fencing = Some(self.machine.fencing());
        let (mut entries, version) = match reply {
            Reply::Object(object) => match object.body {
                Body::Index(entries) => (entries, Some(object.version)),
                _ => (Default::default(), Some(object.version)),
            },
            _ => (Default::default(), None),
        };
        if entries[self.software] == fencing {
            self.machine.indexed(true);
            return Next::Done;
        }
        entries[self.software] = fencing;
        let body = Body::Index(entries);
        let request = match (fencing, version) {
            (Some(Fencing::None), _) => Request::Put(Key::Index, body),
            (_, Some(version)) => Request::Replace(Key::Index, body, version),
            (_, None) => Request::Create(Key::Index, body),
        };
        Next::Ask(Errand::WriteIndex, request)
    }
}

fn content(body: &Body) -> Content {
    match body {
        Body::Snapshot(edition) => Content::Good {
            edition: *edition,
            fit: true,
        },
        _ => Content::Unreadable,
    }
}
