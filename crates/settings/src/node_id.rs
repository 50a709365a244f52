//! The identity of a node, kept from start to start.

use std::io::{self, Write as _};
use std::path::PathBuf;

use uuid::Uuid;

use crate::settings::Settings;

/// The identity could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum NodeIdError {
    /// The file cannot be read or written.
    #[error("the node's identity cannot be kept in {}: {source}; make the prefix writable, or set node_id", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no UUID; remove it so that the node makes a new identity, or set node_id", path.display())]
    NotAnId {
        /// The file.
        path: PathBuf,
    },
}

impl Settings {
    /// The identity of this node: the `node_id` setting, else the one kept in
    /// `node.id` under the prefix, else a new one, which is kept there from now on.
    ///
    /// # Errors
    /// When the identity cannot be read or kept.
    pub fn node_id(&self) -> Result<Uuid, NodeIdError> {
        if let Some(id) = self.node.node_id {
            return Ok(id);
        }
        let path = self.node.prefix.join("node.id");
        let failed = |source| NodeIdError::File {
            path: path.clone(),
            source,
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Uuid::parse_str(text.trim()).map_err(|_| NodeIdError::NotAnId { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = Uuid::new_v4();
                std::fs::create_dir_all(&self.node.prefix).map_err(failed)?;
                // Whole or not at all: a crash must not leave half an identity.
                let draft = self.node.prefix.join(format!("node.id.{id}"));
                std::fs::File::create_new(&draft)
                    .and_then(|mut file| writeln!(file, "{id}").and_then(|()| file.sync_all()))
                    .and_then(|()| std::fs::rename(&draft, &path))
                    .map_err(failed)?;
                Ok(id)
            }
            Err(error) => Err(failed(error)),
        }
    }
}
