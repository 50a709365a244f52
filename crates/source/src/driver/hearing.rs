//! What comes from the control plane.

use std::sync::Arc;

use keelgate_snapshot::{DeltaError, Snapshot, VerifyError};
use tokio::task::spawn_blocking;

use super::inbound::Sent;
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
                self.inbound.document(document);
                self.verify_next();
            }
            Sync::Delta(delta) => {
                if self.inbound.delta(delta) {
                    self.teller.want_whole();
                }
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

    /// Verifies what was sent first, beside the async threads.
    pub(super) fn verify_next(&mut self) {
        if self.verifying {
            return;
        }
        while let Some(sent) = self.inbound.next() {
            let messages = self.messages.clone();
            match (sent, self.inbound.base(), &self.verifiers.delta) {
                (Sent::Document(document), ..) => {
                    let verify = Arc::clone(&self.verifiers.control_plane);
                    let follows = self.verifiers.delta.is_some();
                    spawn_blocking(move || {
                        let verified = verify(document).map(|snapshot| {
                            match follows && snapshot.is_signed() {
                                true => snapshot.taken_apart(),
                                false => snapshot,
                            }
                        });
                        let _ = messages.blocking_send(Message::Verified(verified));
                    });
                }
                (Sent::Delta(delta), Some(base), Some(verify)) => {
                    let (verify, base) = (Arc::clone(verify), base.clone());
                    spawn_blocking(move || {
                        let _ = messages.blocking_send(Message::Reached(verify(&base, &delta)));
                    });
                }
                (Sent::Delta(_), ..) => {
                    if self.inbound.lose() {
                        self.teller.want_whole();
                    }
                    continue;
                }
            }
            self.verifying = true;
            return;
        }
    }

    /// What a delta led to. One that leads nowhere harms nothing: the whole is asked for.
    pub(super) fn reached(&mut self, result: Result<Snapshot, DeltaError>) {
        match result {
            Ok(snapshot) => self.verified(Ok(snapshot)),
            Err(error) => {
                let message = format!("a delta of the control plane cannot be used: {error}");
                self.teller
                    .trouble("control_plane", "delta_refused", message);
                if self.inbound.lose() {
                    self.teller.want_whole();
                }
            }
        }
    }

    pub(super) fn verified(&mut self, result: Result<Snapshot, VerifyError>) {
        match result {
            Ok(snapshot) => {
                self.inbound.verified(&snapshot);
                let offer = self.offer(Source::ControlPlane, snapshot);
                self.handle(Event::SnapshotArrived(offer));
            }
            Err(error) => {
                self.inbound.refused();
                let message = format!("a document of the control plane is refused: {error}");
                self.teller.reject(None, None, error.to_string());
                self.teller
                    .trouble("control_plane", "control_plane_refused", message);
                self.handle(Event::DocumentRefused);
            }
        }
    }
}
