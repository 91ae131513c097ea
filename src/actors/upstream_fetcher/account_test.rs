//! Tests of accounts: a login at upstream, and its result in words. Shows no password.

use super::handle::UpstreamHandle;
use super::request::TryAccount;
use crate::actors::pull_failure::{Cause, PullFailure};
use crate::domain::id::GroupId;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::{Repository, UpstreamName};
use crate::upstream::{LoginOutcome, RealmError, UpstreamError};

/// Result of the test of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountTest {
    /// The result.
    pub result: TestResult,
    /// The result as a sentence, with upstream's message.
    pub sentence: String,
}

/// Result of the test of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestResult {
    /// Upstream accepts it.
    Accepted,
    /// Upstream refuses it.
    Refused,
    /// Upstream requires no login, and was not sent the password.
    NotRequired,
    /// Upstream's limit is reached.
    Limited,
    /// Upstream cannot be reached, or did not respond in time.
    Unreachable,
    /// Upstream fails, or sends an invalid response.
    Failed,
    /// No request was sent.
    NotTried,
}

impl TestResult {
    /// All results.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Refused,
        Self::NotRequired,
        Self::Limited,
        Self::Unreachable,
        Self::Failed,
        Self::NotTried,
    ];

    /// Returns the result as a word of the REST API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::NotRequired => "not_required",
            Self::Limited => "limited",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::NotTried => "not_tried",
        }
    }
}

impl UpstreamHandle {
    /// Logs in at upstream with this account, on behalf of this group. Bounded as every request is: by permits, limits,
    /// backoffs and timeouts.
    pub async fn test_account(&self, upstream: UpstreamName, account: Account, group: GroupId) -> AccountTest {
        let outcome = self.send(TryAccount::new(upstream.clone(), account.clone(), group)).await;
        let username = account.username();
        match outcome {
            Ok(LoginOutcome::Accepted) => AccountTest {
                result: TestResult::Accepted,
                sentence: format!("{upstream} accepts the account {username}"),
            },
            Ok(LoginOutcome::NotRequired) => AccountTest {
                result: TestResult::NotRequired,
                sentence: format!("{upstream} requires no login, so that the password was not sent"),
            },
            Err(error) => AccountTest { result: result(&error), sentence: sentence(upstream, account, &error) },
        }
    }
}

fn result(error: &UpstreamError) -> TestResult {
    match error {
        UpstreamError::TokenRealm(RealmError::Refused { .. } | RealmError::Denied { .. })
        | UpstreamError::Denied { .. } => TestResult::Refused,
        UpstreamError::RateLimited(_) => TestResult::Limited,
        UpstreamError::Unreachable { .. }
        | UpstreamError::TimedOut
        | UpstreamError::TokenRealm(RealmError::Unreachable { .. }) => TestResult::Unreachable,
        UpstreamError::InBackoff(error) => result(error),
        UpstreamError::TokenRealm(RealmError::Untrusted { .. })
        | UpstreamError::Busy
        | UpstreamError::Reserved(_)
        | UpstreamError::Offline
        | UpstreamError::NotConfigured
        | UpstreamError::UnreadableAccount
        | UpstreamError::Lost => TestResult::NotTried,
        UpstreamError::NotFound
        | UpstreamError::Refused(_)
        | UpstreamError::ServerError(_)
        | UpstreamError::Storage { .. }
        | UpstreamError::InvalidResponse { .. }
        | UpstreamError::Unsupported { .. }
        | UpstreamError::TokenRealm(RealmError::Failed(_) | RealmError::InvalidResponse { .. })
        | UpstreamError::ForbiddenAddress { .. }
        | UpstreamError::WrongRange
        | UpstreamError::Interrupted { .. }
        | UpstreamError::TooLong => TestResult::Failed,
    }
}

/// Returns what went wrong as a sentence.
fn sentence(upstream: UpstreamName, account: Account, error: &UpstreamError) -> String {
    let username = account.username();
    if let UpstreamError::InBackoff(error) = error {
        return format!("Not tried now. A short time ago: {}", sentence(upstream, account, error));
    }
    if let UpstreamError::TokenRealm(RealmError::Refused { status, message }) = error {
        let message = message.as_deref().map(|text| format!(": \"{text}\"")).unwrap_or_default();
        return format!("{upstream} refuses the account {username} (HTTP status {status}{message})");
    }
    if let UpstreamError::Denied { message } = error {
        let message = message.as_deref().map(|text| format!(" (\"{text}\")")).unwrap_or_default();
        return format!("{upstream} refuses the account {username}{message}");
    }
    if *error == UpstreamError::Busy {
        return format!("Too many requests to {upstream} are under way. Try again");
    }
    if *error == UpstreamError::NotConfigured {
        return format!("{upstream} is not an upstream of this service, or the account is gone");
    }
    if *error == UpstreamError::NotFound {
        return format!("{upstream} is no registry: it has no /v2/");
    }
    let origin = Origin { upstream, account, repository: Repository::none() };
    PullFailure { origin, image: "the account".to_owned(), cause: Cause::from(error), is_list: false }.reason()
}
