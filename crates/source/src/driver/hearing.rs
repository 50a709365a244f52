//! What comes from the control plane.

use std::sync::Arc;

use keelgate_snapshot::{Snapshot, VerifyError};
use tokio::task::spawn_blocking;

use super::{Driver, Message};
use crate::Source;
use crate::machine::Event;

impl Driver {
    /// Takes in what the client of the control plane tells.
    pub(super) fn hear(&mut self, event: keelgate_sync::Event) {
        use keelgate_sync::Event as Sync;
        match event {
            Sync::Dialing { .. } => {}
            Sync::DialFailed {
                address,
                phase,
                error,
                ..
            } => {
                let message =
                    format!("control plane {address} cannot be reached ({phase}): {error}");
                self.teller
                    .trouble(&address, "control_plane_unreachable", message);
                self.handle(Event::DialFailed(address));
            }
            Sync::Connected { address } => {
                self.teller.connected(Some(address));
                self.handle(Event::Connected);
            }
            Sync::Stalled { address, after } => {
                let message = format!(
                    "control plane {address} is connected and has sent no configuration for {after:?}"
                );
                self.teller
                    .trouble(&address, "control_plane_stalled", message);
                self.handle(Event::Stalled);
            }
            Sync::Document(document) => {
                self.unverified = Some(document);
                self.verify_next();
            }
            Sync::Disconnected { address, reason } => {
                self.teller.connected(None);
                let message = format!("the connection to control plane {address} ended: {reason}");
                self.teller.trouble(&address, "control_plane_lost", message);
                self.handle(Event::Disconnected(address));
            }
        }
    }

    /// Verifies the last document beside the async threads.
    pub(super) fn verify_next(&mut self) {
        if self.verifying {
            return;
        }
        let Some(document) = self.unverified.take() else {
            return;
        };
        self.verifying = true;
        let verify = Arc::clone(&self.verifiers.control_plane);
        let messages = self.messages.clone();
        spawn_blocking(move || {
            let _ = messages.blocking_send(Message::Verified(verify(document)));
        });
    }

    pub(super) fn verified(&mut self, result: Result<Snapshot, VerifyError>) {
        match result {
            Ok(snapshot) => {
                let offer = self.offer(Source::ControlPlane, snapshot);
                self.handle(Event::SnapshotArrived(offer));
            }
            Err(error) => {
                let message = format!("a document of the control plane is refused: {error}");
                self.teller.reject(None, None, error.to_string());
                self.teller
                    .trouble("control_plane", "control_plane_refused", message);
                self.handle(Event::DocumentRefused);
            }
        }
    }
}
