//! Audit events of changes of what groups have cached. The cache is not in the store of identities, so that such an
//! event cannot be in one transaction with its change: it is stored before the change begins, and a change that fails
//! then has a second event with the reason. Only a refresh, whose result is what counts, has its event afterwards.

use jiff::Timestamp;

use super::Caller;
use crate::actors::policy_evaluator::ChangeError;
use crate::domain::audit::{Entity, Event, FieldChange, Target};
use crate::domain::commands::CommandError;
use crate::domain::id::GroupId;
use crate::http::api::error::ApiError;

/// A change of what a group has cached.
pub(in crate::http::api) struct CacheChange<'a> {
    /// The name of the event.
    pub(in crate::http::api) name: &'static str,
    /// The change in words.
    pub(in crate::http::api) what: &'static str,
    /// The group, with its path.
    pub(in crate::http::api) group: (GroupId, &'a str),
    /// The image; `None` for all that the group has cached.
    pub(in crate::http::api) image: Option<&'a str>,
    /// The fields that change.
    pub(in crate::http::api) changes: Vec<FieldChange>,
}

impl Caller {
    /// Stores the event of a change that is about to begin, or that is done.
    ///
    /// # Errors
    /// Too many changes wait, or the disk fails. A full disk is only logged: the change may be what frees it.
    pub(in crate::http::api) async fn record_cache(&self, change: &CacheChange<'_>) -> Result<(), ApiError> {
        self.record(self.cache_event(change)).await
    }

    /// Carries out a change of which the event is stored first. If it fails, stores that, too.
    ///
    /// # Errors
    /// The event cannot be stored, or the change fails.
    pub(in crate::http::api) async fn change_cache(
        &self,
        change: &CacheChange<'_>,
        work: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<(), ApiError> {
        self.record_cache(change).await?;
        let done = work.await;
        if let Err(error) = &done {
            self.record_failure(change, error).await;
        }
        done
    }

    /// Stores that a change failed.
    pub(in crate::http::api) async fn record_failure(&self, change: &CacheChange<'_>, error: &ApiError) {
        let event = Event { failure: Some(error.to_string()), ..self.cache_event(change) };
        if let Err(error) = self.record(event).await {
            tracing::warn!(%error, "the audit event of a change that failed could not be stored");
        }
    }

    fn cache_event(&self, change: &CacheChange<'_>) -> Event {
        let (id, path) = change.group;
        let entity = Entity::Group { id, path: path.to_owned() };
        let target = match change.image {
            Some(image) => Target { kind: "Image".into(), id: None, name: image.to_owned() },
            None => Target { kind: "Cache".into(), id: Some(id.0), name: path.to_owned() },
        };
        let event = Event::new(Timestamp::now(), self.author(), (change.name, change.what), entity, target);
        Event { changes: change.changes.clone(), ..event }
    }

    /// Stores an event of this caller.
    ///
    /// # Errors
    /// Too many changes wait, or the disk fails. A full disk is only logged.
    pub(in crate::http::api) async fn record(&self, event: Event) -> Result<(), ApiError> {
        match self.state.identities.record(event).await {
            Ok(()) => Ok(()),
            Err(error @ ChangeError::Full) => {
                tracing::warn!(%error, "the audit event of a change of the cache could not be stored");
                Ok(())
            }
            Err(ChangeError::Busy) => Err(ApiError::Failed(ChangeError::<CommandError>::Busy)),
            Err(ChangeError::Fleet(error)) => Err(ApiError::Failed(ChangeError::Fleet(error))),
            Err(ChangeError::Store(reason)) => Err(ApiError::Failed(ChangeError::Store(reason))),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }
}
