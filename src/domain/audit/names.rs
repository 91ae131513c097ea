//! The names of events, and their kinds.

use super::{Event, Who};

/// All names that an event can have.
const NAMES: [&str; 45] = [
    "account_key_rotated",
    "application_settings_updated",
    "cache_cleared",
    "cache_warmed",
    "cache_warming_cancelled",
    "cached_image_deleted",
    "cached_image_pinned",
    "cached_image_refreshed",
    "cached_image_unpinned",
    "console_session_ended",
    "console_signed_in",
    "console_signed_out",
    "deploy_token_created",
    "deploy_token_destroyed",
    "deploy_token_revoked",
    "deploy_token_rotated",
    "deploy_token_updated",
    "group_access_token_created",
    "group_access_token_destroyed",
    "group_access_token_revoked",
    "group_access_token_rotated",
    "group_access_token_updated",
    "group_created",
    "group_destroyed",
    "group_updated",
    "group_upstream_account_created",
    "group_upstream_account_destroyed",
    "group_upstream_account_tested",
    "group_upstream_account_updated",
    "identities_restored",
    "login_failed",
    "member_created",
    "member_destroyed",
    "member_updated",
    "personal_access_token_created",
    "personal_access_token_destroyed",
    "personal_access_token_revoked",
    "personal_access_token_rotated",
    "personal_access_token_updated",
    "request_refused",
    "settings_reloaded",
    "signing_key_rotated",
    "user_blocked",
    "user_created",
    "user_destroyed",
];

/// Further names of events of users.
const OF_USERS: [&str; 3] = ["user_password_updated", "user_unblocked", "user_updated"];

/// A kind of events, by what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Users and members.
    People,
    /// Tokens of every kind.
    Tokens,
    /// Groups, their accounts at registries, and the settings of the service.
    Settings,
    /// Cached images of groups.
    Images,
    /// Refusals and failed logins.
    Refusals,
    /// Sessions of the console.
    SignIns,
    /// Work of the service by itself.
    Service,
}

/// Returns true if events can have this name.
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name) || OF_USERS.contains(&name)
}

impl EventKind {
    /// Returns true for an event of this kind.
    pub fn fits(self, event: &Event) -> bool {
        let begins = |starts: &[&str]| starts.iter().any(|start| event.name.starts_with(start));
        let is_of_token = event.name.contains("_token_");
        match self {
            Self::People => begins(&["user_", "member_", "identities_"]),
            Self::Tokens => is_of_token,
            Self::Settings => {
                !is_of_token
                    && begins(&["group_", "application_settings_", "settings_", "account_key_", "signing_key_"])
            }
            Self::Images => begins(&["cache_", "cached_"]),
            Self::Refusals => begins(&["login_failed", "request_refused"]),
            Self::SignIns => begins(&["console_"]),
            Self::Service => event.author.who == Who::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::audit::{Author, Entity, Target};

    fn event(name: &str) -> Event {
        let target = Target { kind: "Other".into(), id: None, name: String::new() };
        Event::new(Timestamp::UNIX_EPOCH, Author::local(Who::Operator), (name, "done"), Entity::Service, target)
    }

    #[test]
    fn every_event_is_of_exactly_one_kind_but_for_those_of_the_service() {
        use EventKind::{Images, People, Refusals, Settings, SignIns, Tokens};
        for name in NAMES.into_iter().chain(OF_USERS) {
            let kinds = [People, Tokens, Settings, Images, Refusals, SignIns];
            assert_eq!(kinds.into_iter().filter(|kind| kind.fits(&event(name))).count(), 1, "{name}");
        }
        assert!(is_known("user_unblocked") && is_known("login_failed") && !is_known("nosuch"));
    }

    #[test]
    fn what_the_service_does_is_a_kind_by_its_author() {
        let event = Event { author: Author::local(Who::Service), ..event("deploy_token_destroyed") };
        assert!(EventKind::Service.fits(&event) && EventKind::Tokens.fits(&event));
    }
}
