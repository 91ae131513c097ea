//! The current directory, as the actor publishes it.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Observer;
use super::confirmations::{Confirmations, Confirming};
use crate::domain::directory::Directory;
use crate::domain::fleet::State;
use crate::store::identities::Snapshot;

/// The current directory, as the actor publishes it.
pub(super) struct Published {
    pub(super) directory: ArcSwap<Directory>,
    pub(super) state: watch::Sender<State>,
    pub(super) observer: OnceLock<Observer>,
    /// The changes that are confirmed; `None`: there are no other replicas.
    pub(super) confirmations: Option<Confirmations>,
}

impl Published {
    /// Publishes a snapshot.
    pub(super) fn show(&self, snapshot: &Snapshot) {
        let directory = Arc::new(snapshot.directory.clone());
        let state = State { history: snapshot.history.clone(), version: snapshot.version };
        self.confirmations.iter().for_each(|confirmations| confirmations.about_to_show(state.clone()));
        self.directory.store(directory.clone());
        self.observer.get().into_iter().for_each(|observer| observer(&directory));
        self.state.send_replace(state);
    }

    /// Begins a confirmation, where there are other replicas.
    pub(super) fn confirming(&self, begin: impl FnOnce(&Confirmations) -> Option<Confirming>) -> Option<Confirming> {
        begin(self.confirmations.as_ref()?)
    }
}
