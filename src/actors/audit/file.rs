//! Audit events as lines of JSON in a file of the operator's choice: each once, in order. An event is appended some
//! seconds after it is acknowledged. A file that cannot be written stops nothing: what it lacks is appended later, as
//! long as the store keeps it.

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::domain::audit::json;
use crate::domain::audit::query::{EventFilter, EventQuery};
use crate::domain::id::EventId;
use crate::store::audit_file::AuditFile;
use crate::store::blocking::blocking;
use crate::store::error::StoreError;
use crate::store::identities::IdentityStore;

/// The file, and the state of writing it.
pub(super) struct EventFile {
    file: AuditFile,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last event that was appended; `None` if it has to be read from the file.
    position: Option<EventId>,
    /// Time since which the file cannot be written.
    failing_since: Option<Timestamp>,
}

/// Maximum number of events that are appended at once.
const EVENTS_PER_PART: usize = 500;

impl EventFile {
    pub(super) fn new(file: AuditFile) -> Self {
        metrics::gauge!("dependency_proxy_audit_file_failing").set(0.0);
        Self { file, state: Mutex::default() }
    }

    /// Appends the events that the file lacks. Logs one warning when it cannot be written, and one line when it can be
    /// written again.
    ///
    /// # Errors
    ///
    /// Fails if the events cannot be read.
    pub(super) async fn write(&self, store: &IdentityStore) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        loop {
            let position = match state.position {
                Some(position) => position,
                None => {
                    let file = self.file.clone();
                    match blocking(move || Ok(file.position()?)).await {
                        Ok(position) => position,
                        Err(error) => return self.failed(&mut state, &error),
                    }
                }
            };
            let query = EventQuery {
                filter: EventFilter::default(),
                ascending: true,
                from: Some(position),
                skip: 0,
                limit: EVENTS_PER_PART,
                counted: false,
            };
            let part = store.events(query).await?;
            state.position = Some(position);
            let Some(last) = part.events.last().map(|(id, _)| *id) else { return self.works(&mut state) };
            let lines: String =
                part.events.iter().map(|(id, event)| format!("{}\n", json::event(*id, event))).collect();
            let file = self.file.clone();
            if let Err(error) = blocking(move || Ok(file.append(lines.as_bytes(), last)?)).await {
                state.position = None;
                return self.failed(&mut state, &error);
            }
            state.position = Some(last);
        }
    }

    fn works(&self, state: &mut State) -> Result<(), StoreError> {
        if let Some(since) = state.failing_since.take() {
            metrics::gauge!("dependency_proxy_audit_file_failing").set(0.0);
            let (file, since) = (self.file.path().display(), since.strftime("%Y-%m-%dT%H:%M:%SZ"));
            tracing::info!(%file, %since, "audit events are appended to the file again, with those that it lacked");
        }
        Ok(())
    }

    fn failed(&self, state: &mut State, error: &StoreError) -> Result<(), StoreError> {
        if state.failing_since.is_none() {
            state.failing_since = Some(Timestamp::now());
            metrics::gauge!("dependency_proxy_audit_file_failing").set(1.0);
            tracing::warn!(
                file = %self.file.path().display(),
                %error,
                "audit events cannot be appended to the file (audit.file): make it writable for this service; what it lacks is \
                 appended then, as long as the events are kept"
            );
        }
        Ok(())
    }
}
