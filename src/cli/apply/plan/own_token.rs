//! The token that is used here: a plan that would end it in the middle is refused. What a token has made ends with it.

use super::Plan;
use crate::cli::apply::change::{Owner, Step};
use crate::cli::client::Api;
use crate::cli::failure::Failure;

const ENDS: &str = "would be revoked, and with it the token that is used here, or its rights: name it in the file, or use \
                    another token";
const CHANGES: &str = "would get a new secret, and is the token that is used here: use another token";

impl Plan<'_> {
    /// Refuses the changes that end the token in use, with what it has made, or that replace its secret.
    pub(super) async fn keep_own_token(&mut self, api: &Api) -> Result<(), Failure> {
        let is_risk = |step: &Step| matches!(step, Step::RevokeToken { .. } | Step::RenewToken { .. });
        if !self.tokens.iter().any(|change| is_risk(&change.step)) {
            return Ok(());
        }
        let own = api.show(&["personal_access_tokens", "self"]).await?["id"].as_u64().unwrap_or_default();
        let mut problems = Vec::new();
        for change in &self.tokens {
            let (owner, problem) = if let Step::RevokeToken { owner, id } = &change.step
                && self.ends_own(api, own, owner, *id).await?
            {
                (owner, ENDS)
            } else if let Step::RenewToken { owner, id, .. } = &change.step
                && *id == own
            {
                (owner, CHANGES)
            } else {
                continue;
            };
            let place = match owner {
                Owner::Deploy(group) => ["groups", group, "deploy_tokens"],
                Owner::Access(group) => ["groups", group, "access_tokens"],
                Owner::User(name) => ["users", name, "tokens"],
            };
            problems.push(self.file.refuse(&place, format!("{} {problem}", change.what)));
        }
        self.problems.append(&mut problems);
        Ok(())
    }

    /// Returns true if the token in use is this one, or ends with it, or if its user loses a membership with it.
    async fn ends_own(&self, api: &Api, own: u64, owner: &Owner, id: u64) -> Result<bool, Failure> {
        if id == own {
            return Ok(true);
        }
        // Deploy tokens make nothing.
        let Owner::Access(group) = owner else { return Ok(false) };
        let Some(group) = self.service.groups.get(group.as_str()) else { return Ok(false) };
        let path = ["groups", &group.group["id"].to_string(), "access_tokens", &id.to_string(), "revocation"];
        Ok(api.show(&path).await?["own"] == true)
    }
}
