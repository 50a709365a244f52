//! From one process of a node to the next without losing a connection.
//!
//! A node that is told to (`SIGUSR2`, `keelgate restart --graceful`) starts its program again, as it
//! lies on the disk by now, and hands the new process what must not be given up in between: its
//! listening sockets with the connections that wait in them, and the lock on its process id. Then:
//!
//! 1. The new process reads the settings, takes its configuration from where it always does, and
//!    serves requests on the sockets beside the old one.
//! 2. It says that it is ready. Until then nothing has changed, and whatever fails is told in the log
//!    of the old process, which goes on.
//! 3. The old process stops its APIs and says so; the new one starts its own and is the node.
//! 4. The old process finishes its requests and ends.
//!
//! The two talk over a pair of sockets, one of which is the new process's standard input.
//!
//! | module | its one reason |
//! |---|---|
//! | `line` | messages and open files between two processes |
//! | `heir` | the new process's side |
//! | `predecessor` | the old process's side |

mod heir;
mod line;
mod predecessor;

pub(crate) use heir::Inheritance;
pub(crate) use predecessor::{Estate, Successor, Waiting, end, failure, note_failure, program};

/// A configuration that is kept nowhere but in memory.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Its hash in Kong's terms.
    pub(crate) hash: String,
    /// The configuration in the declarative format, as JSON.
    pub(crate) document: Vec<u8>,
}
