//! Permissions of changes.
//!
//! A request's body may arrive long after its head, and passwords wait to be hashed, so a decision that was made on
//! the head may be out of date. Therefore a change takes a [`Permission`], and [`Caller::change`] repeats the
//! decision on the directory that it changes, beginning with the credential. A caller who was revoked meanwhile
//! gets 401; one who lost the right gets the refusal of the route. Reads use the snapshot on which they were
//! decided.

use jiff::Timestamp;

use super::{Authority, Caller};
use crate::actors::policy_evaluator::Edited;
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::commands::CommandResult;
use crate::domain::commands::summary::summary;
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::http::api::error::ApiError;

/// A right that the caller had when the head of the request arrived, with the rule that decides it. Created by
/// [`Caller::may`].
pub(in crate::http) struct Permission<D, G> {
    decide: D,
    /// The result of the rule at that time.
    pub(in crate::http::api) granted: G,
}

impl Caller {
    /// Returns the permission for a change. `decide` is the rule of the route. Its result, such as the group in
    /// question, is passed to the change.
    ///
    /// # Errors
    /// The rule refuses the change at present, or the form of the request is only shown again.
    pub(in crate::http) fn may<G, D>(&self, decide: D) -> Result<Permission<D, G>, ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<G, ApiError>,
    {
        let granted = decide(&self.authority())?;
        if self.changes_nothing {
            return Err(ApiError::NotCarriedOut);
        }
        Ok(Permission { decide, granted })
    }

    /// Makes a change with its audit events, and logs its caller. The credential and the permission are decided again
    /// on the directory that is changed, at the time of the change.
    ///
    /// # Errors
    /// There are too many changes, the credential or the permission is no longer valid, the edit is refused, or it
    /// cannot be stored.
    pub(in crate::http) async fn change<G, D, T>(
        &self,
        what: &'static str,
        permission: Permission<D, G>,
        edit: impl FnOnce(&Authority<'_>, G) -> CommandResult<T> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<G, ApiError> + Send + 'static,
        T: Send + 'static,
    {
        self.change_named(permission, edit, |_| what).await
    }

    /// Makes a change as [`Self::change`] does. Its name in the log and in its audit events depends on the result.
    ///
    /// # Errors
    /// As for [`Self::change`].
    pub(in crate::http::api) async fn change_named<G, D, T>(
        &self,
        permission: Permission<D, G>,
        edit: impl FnOnce(&Authority<'_>, G) -> CommandResult<T> + Send + 'static,
        what: impl FnOnce(&T) -> &'static str + Send + 'static,
    ) -> Result<T, ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<G, ApiError> + Send + 'static,
        T: Send + 'static,
    {
        self.state.pace.admit(&self.identity)?;
        let (state, decide) = (self.state.clone(), permission.decide);
        let (needed, credential, author) = (self.needed, self.credential, self.author());
        let decided = move |directory: &Directory, now| {
            needed.decide_again(&state, (directory, now), credential, |authority| {
                let granted = decide(authority)?;
                let (writes, value) = edit(authority, granted).map_err(ApiError::from)?;
                let (changes, message) = (summary(directory, &writes), what(&value));
                let origin = ChangeOrigin { author, message };
                let objects = writes.len();
                Ok(Edited { writes, origin, value: (value, message, changes, objects) })
            })
        };
        let changed = self.state.identities.change(decided).await.map_err(ApiError::of_change)?;
        let (value, what, changes, objects) = changed;
        self.state.pace.count_objects(&self.identity, objects);
        self.log(what, &changes);
        Ok(value)
    }

    /// Decides a change of the cached content of a group again, on the latest snapshot, because no identity changes.
    /// Returns the group and its path.
    ///
    /// # Errors
    /// There are too many changes, or the credential or the permission is no longer valid.
    pub(in crate::http::api) fn decide_again<D>(
        &self,
        permission: Permission<D, GroupId>,
    ) -> Result<(GroupId, String), ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<GroupId, ApiError>,
    {
        self.state.pace.admit(&self.identity)?;
        let (directory, now) = (self.state.identities.directory(), Timestamp::now());
        let group = self.needed.decide_again(&self.state, (&directory, now), self.credential, |authority| {
            (permission.decide)(authority)
        })?;
        let path = directory.group(group).map(|group| group.path.as_str().to_owned()).unwrap_or_default();
        Ok((group, path))
    }
}
