//! The accounts of groups, which follow the directory from the start on.

use std::convert::Infallible;
use std::sync::Arc;

use crate::actors::group_accounts::GroupAccounts;
use crate::actors::policy_evaluator::{Edited, PolicyEvaluatorHandle};
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::auth::sealing::SealingKeys;
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::audit::{Author, Who};
use crate::domain::commands::upstream_account;
use crate::domain::group::Group;
use crate::http::CurrentUpstreams;
use crate::server::StartError;

/// Follows the accounts of groups, and encrypts the passwords again that were encrypted with an older key.
pub(super) async fn follow_accounts(
    policy: &PolicyEvaluatorHandle,
    keys: SealingKeys,
    upstream: UpstreamHandle,
    current_upstreams: CurrentUpstreams,
) -> Result<GroupAccounts, StartError> {
    let accounts =
        GroupAccounts::new(keys, Box::new(move |logins| upstream.change_group_logins(logins)), current_upstreams);
    let (followed, resealing) = (accounts.clone(), accounts.clone());
    policy.observe(move |directory| followed.follow(directory));
    let is_of_older_key = |group: &Arc<Group>| {
        group.upstream_accounts.values().any(|account| account.secret.key != accounts.sealing_key())
    };
    if !policy.at_present().choosing_groups().any(is_of_older_key) {
        return Ok(accounts);
    }
    let resealed = policy.change(move |directory| {
        let reseal = |group, upstream: &_, account: &_| resealing.reseal(group, upstream, account);
        let (writes, value) = upstream_account::reseal(directory, resealing.sealing_key(), reseal);
        let origin =
            ChangeOrigin { author: Author::local(Who::Service), message: "passwords of accounts encrypted again" };
        Ok::<_, Infallible>(Edited { writes, origin, value })
    });
    let resealed = resealed.await.map_err(|error| StartError::Resealing(error.to_string()))?;
    if resealed > 0 {
        tracing::info!(accounts = resealed, "the passwords of groups' accounts are encrypted with the first key");
    }
    Ok(accounts)
}
