//! One storage of the model: `config.json`, the history, and requests that are still under way.

use std::fmt;

use crate::Fencing;
use crate::publish::edition::Edition;
use crate::publish::machine::{Action, Machine};
use crate::publish::picture::{Content, Expected, Read};
use crate::simulation::snapshot;

/// A rule that is broken on purpose, to see that the search finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// `config.json` is written whatever is there.
    WritesWithoutComparing,
    /// Readers of a storage without conditions look at `config.json` alone.
    ReadsConfigOnly,
    /// `config.json` is written before its history object.
    SkipsHistory,
    /// Pruning deletes the newest objects too.
    PrunesNewest,
    /// A write that was answered counts as a success and is never looked at again.
    NeverChecks,
}

/// The most snapshots that a model makes.
const REVISIONS: usize = 4;

/// A document of the model: a revision, and one of its statements. It is the version of the object
/// that holds it, too.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Document {
    pub(super) revision: u8,
    pub(super) statement: u8,
}

/// What is where no object is.
pub(super) const NOTHING: Document = Document {
    revision: 0,
    statement: 0,
};

impl Document {
    pub(super) fn of(edition: &Edition) -> Self {
        let small = |number| u8::try_from(number).expect("the model counts to a handful");
        Self {
            revision: small(edition.identity.revision),
            statement: small(edition.created_at),
        }
    }

    pub(super) fn edition(self) -> Edition {
        Edition {
            identity: snapshot(u64::from(self.revision)),
            created_at: u64::from(self.statement),
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, self.statement)
    }
}

/// The history objects by revision; the first is never used.
pub(super) type History = [Document; REVISIONS + 1];

/// The version of an object of the model.
impl From<Document> for u8 {
    fn from(document: Document) -> Self {
        document.revision * 16 + document.statement
    }
}

/// What a write compares with.
type Condition = Option<Document>;

/// A request that its publisher does not wait for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Late {
    Config(Document, Condition),
    History(Document, Condition),
    /// Deletes the history objects of these revisions, one bit each.
    Prune(u8),
}

/// What a request brought.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Read(Read<Document>),
    History(Option<Edition>),
    HistoryWritten(Edition),
    ConfigWritten,
    Pruned,
    Failed,
}

/// A storage; revisions count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) fencing: Fencing,
    pub(super) config: Document,
    pub(super) history: History,
    /// The newest revision that a reader could ever have chosen.
    pub(super) highest: u8,
    /// The newest that `config.json` ever held.
    pub(super) config_highest: Document,
    /// What `config.json` was created with.
    pub(super) first: Document,
    /// In order, since the network has none.
    pub(super) late: Vec<Late>,
}

impl Store {
    pub(super) fn new(fencing: Fencing) -> Self {
        Self {
            fencing,
            config: NOTHING,
            history: [NOTHING; REVISIONS + 1],
            highest: 0,
            config_highest: NOTHING,
            first: NOTHING,
            late: Vec::new(),
        }
    }

    /// The newest revision in the history.
    fn newest(&self) -> Document {
        self.history.iter().copied().max().unwrap_or(NOTHING)
    }

    /// The revision that a newborn reader would choose.
    pub(super) fn choice(&self, mutation: Option<Mutation>) -> u8 {
        let chosen = match self.fencing {
            Fencing::None if mutation != Some(Mutation::ReadsConfigOnly) => {
                self.config.max(self.newest())
            }
            _ if self.config == NOTHING => self.newest(),
            _ => self.config,
        };
        chosen.revision
    }

    /// The write that an action asks for, as the network carries it; nothing for actions that
    /// change nothing here.
    pub(super) fn write(
        &self,
        writer: &Machine<Document>,
        action: &Action<Document>,
        mutation: Option<Mutation>,
    ) -> Option<Late> {
        match action {
            Action::WriteHistory(_) if mutation == Some(Mutation::SkipsHistory) => None,
            Action::WriteHistory(wanted) => {
                let wanted = Document::of(wanted);
                let found = self.history[usize::from(wanted.revision)];
                // What is there is good and as new: nothing is to be done.
                (found < wanted).then_some(Late::History(wanted, Some(found)))
            }
            Action::WriteConfig(wanted, expected) => Some(Late::Config(
                Document::of(wanted),
                match expected {
                    _ if mutation == Some(Mutation::WritesWithoutComparing) => None,
                    Expected::Absent => Some(NOTHING),
                    Expected::Version(version) => Some(*version),
                    Expected::Anything => None,
                },
            )),
            Action::Restore(found, expected) => {
                let found = self.history[usize::from(Document::of(found).revision)];
                (found != NOTHING).then_some(Late::Config(
                    found,
                    match expected {
                        Expected::Absent => Some(NOTHING),
                        Expected::Version(version) => Some(*version),
                        Expected::Anything => None,
                    },
                ))
            }
            Action::Prune => match self.prunable(writer, mutation) {
                0 => None,
                names => Some(Late::Prune(names)),
            },
            Action::Read(_) | Action::ReadHistory(_) | Action::Index | Action::Wait(_) => None,
        }
    }

    /// Executes the request of a publisher.
    pub(super) fn execute(
        &mut self,
        writer: &Machine<Document>,
        action: &Action<Document>,
        mutation: Option<Mutation>,
    ) -> Answer {
        let write = self.write(writer, action, mutation);
        let holds = write.is_none_or(|write| self.deliver(write));
        match action {
            Action::Read(known) => Answer::Read(match self.config {
                NOTHING => Read::Absent,
                version if *known == Some(version) => Read::NotModified,
                version => Read::Found {
                    version,
                    content: Content::Good {
                        edition: version.edition(),
                        fit: true,
                    },
                },
            }),
            Action::ReadHistory(wanted) => {
                let newest = self.newest();
                let found = newest != NOTHING && u64::from(newest.revision) >= wanted.revision;
                Answer::History(found.then(|| newest.edition()))
            }
            Action::WriteHistory(wanted) => Answer::HistoryWritten(*wanted),
            Action::WriteConfig(..) if holds => Answer::ConfigWritten,
            Action::Restore(..) if holds && write.is_some() => Answer::ConfigWritten,
            Action::WriteConfig(..) | Action::Restore(..) => Answer::Failed,
            Action::Prune => Answer::Pruned,
            Action::Index | Action::Wait(_) => unreachable!("not a request of the model"),
        }
    }

    /// Executes a write; false when its condition does not hold.
    pub(super) fn deliver(&mut self, request: Late) -> bool {
        let ignored = self.fencing == Fencing::None;
        let (object, document, condition) = match request {
            Late::History(document, condition) => {
                let object = &mut self.history[usize::from(document.revision)];
                (object, document, condition)
            }
            Late::Config(document, condition) => (&mut self.config, document, condition),
            Late::Prune(names) => {
                for (revision, object) in self.history.iter_mut().enumerate() {
                    if names & (1 << revision) != 0 {
                        *object = NOTHING;
                    }
                }
                return true;
            }
        };
        let holds = ignored || condition.is_none_or(|expected| expected == *object);
        if holds {
            *object = document;
        }
        holds
    }

    /// The history objects that pruning would delete: one is kept.
    fn prunable(&self, writer: &Machine<Document>, mutation: Option<Mutation>) -> u8 {
        let wanted = writer
            .wanted()
            .map_or(NOTHING, |wanted| Document::of(&wanted));
        let stored = writer.stored().map_or(0, |stored| stored.revision);
        let keep = match mutation {
            Some(Mutation::PrunesNewest) => 0,
            _ => self.newest().revision,
        };
        self.history
            .iter()
            .filter(|name| **name != NOTHING && name.revision != keep)
            .filter(|name| {
                mutation == Some(Mutation::PrunesNewest) || name.revision < wanted.revision
            })
            .filter(|name| u64::from(name.revision) != stored)
            .fold(0, |names, name| names | 1 << name.revision)
    }

    /// Brings the state into the form in which equal ones are alike: forgets requests that can
    /// never do anything, and takes note of what readers may have chosen.
    pub(super) fn settle(&mut self, mutation: Option<Mutation>) {
        let (fencing, config) = (self.fencing, self.config);
        // A version that is gone never comes back, or the search has found the failure already.
        self.late.retain(|late| match late {
            Late::Config(_, Some(expected)) => fencing == Fencing::None || *expected >= config,
            _ => true,
        });
        self.late.sort_unstable();
        self.highest = self.highest.max(self.choice(mutation));
        self.config_highest = self.config_highest.max(config);
        if self.first == NOTHING && fencing == Fencing::Compare {
            self.first = config;
        }
    }
}
