//! Accounts of an upstream that are refused at present: metrics and log lines for the operator, and what a refusal
//! of one credential means for the other. Names accounts and settings, never secrets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::UpstreamError;
use super::known_account::{KnownAccount, Selected};
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;
use crate::domain::takeover::AccountCredential;

/// Minimum time between two log lines about the same account.
const LOG_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The accounts of one upstream that were refused.
pub(super) struct RefusedAccounts {
    upstream: UpstreamName,
    is_reported: bool,
    refused: Mutex<HashMap<(Refusal, Account), Refused>>,
}

/// Extent of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Refusal {
    /// All credentials of the account.
    Account,
    /// The first credential, while the second is accepted.
    FirstCredential,
}

struct Refused {
    /// True while it is refused.
    present: bool,
    /// The account in log lines.
    shown: String,
    logged_at: Instant,
}

impl RefusedAccounts {
    /// Creates the record of this upstream, without a refused account.
    pub(super) fn of(upstream: UpstreamName) -> Self {
        Self { upstream, is_reported: true, refused: Mutex::default() }
    }

    /// As [`Self::of`], without metrics and log lines: a refusal by a mirror is none by upstream.
    pub(super) fn unreported(upstream: UpstreamName) -> Self {
        Self { upstream, is_reported: false, refused: Mutex::default() }
    }

    /// Records the outcome of sending a credential: `None` after a token or a response, else the error. A refusal is
    /// not reported before the other credential was tried, with [`Self::refused`] or by a later call.
    pub(super) fn learn(&self, sent: &Selected, error: Option<&UpstreamError>) {
        let now = Instant::now();
        match error {
            Some(error) if error.refuses_account() => sent.account.takeover().refused(sent.credential, now),
            None | Some(UpstreamError::Denied { .. }) => self.accepted(sent, now),
            // The error is not about the account.
            Some(_) => {}
        }
    }

    /// Reports that all credentials of this account are refused.
    pub(super) fn refused(&self, account: &KnownAccount) {
        self.report(Refusal::Account, account, Instant::now());
    }

    /// Forgets an account that does not exist any more.
    pub(super) fn forget(&self, account: &Account) {
        for refusal in [Refusal::Account, Refusal::FirstCredential] {
            let gone = self.known().remove(&(refusal, account.clone()));
            if gone.is_some_and(|known| known.present) {
                self.gauge(refusal, account).set(0.0);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(Refusal, Account), Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted(&self, sent: &Selected, now: Instant) {
        let account = sent.account.account();
        let stands_in = {
            let mut takeover = sent.account.takeover();
            takeover.accepted(sent.credential);
            takeover.stands_in()
        };
        self.end(Refusal::Account, account);
        match sent.credential {
            AccountCredential::First => self.end(Refusal::FirstCredential, account),
            AccountCredential::Second if stands_in => self.report(Refusal::FirstCredential, &sent.account, now),
            AccountCredential::Second => {}
        }
    }

    fn report(&self, refusal: Refusal, account: &KnownAccount, now: Instant) {
        if !self.is_reported {
            return;
        }
        let mut all = self.known();
        let (key, shown) = ((refusal, account.account().clone()), account.shown().to_owned());
        let logged_at = all.get(&key).map(|known| known.logged_at);
        let is_due = logged_at.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL);
        if is_due {
            refusal.log(&self.upstream, &shown);
        }
        all.insert(key, Refused { present: true, shown, logged_at: logged_at.filter(|_| !is_due).unwrap_or(now) });
        self.gauge(refusal, account.account()).set(1.0);
    }

    fn end(&self, refusal: Refusal, account: &Account) {
        let mut all = self.known();
        if let Some(known) = all.get_mut(&(refusal, account.clone())).filter(|known| known.present) {
            known.present = false;
            self.gauge(refusal, account).set(0.0);
            refusal.log_end(&self.upstream, &known.shown);
        }
    }

    fn gauge(&self, refusal: Refusal, account: &Account) -> metrics::Gauge {
        let labels = [("upstream", self.upstream.to_string()), ("account", account.label())];
        match refusal {
            Refusal::Account => metrics::gauge!("dependency_proxy_upstream_account_refused", &labels),
            Refusal::FirstCredential => {
                metrics::gauge!("dependency_proxy_upstream_first_credential_refused", &labels)
            }
        }
    }
}

impl Refusal {
    fn log(self, upstream: &UpstreamName, account: &str) {
        match self {
            Self::Account => tracing::error!(
                "the login of {account} is refused by {upstream}: tags that were pulled with it are served for at most \
                 cache.account_grace, and nothing new can be pulled with it. Renew its password"
            ),
            Self::FirstCredential => tracing::warn!(
                "the password of {account} is refused by {upstream}, and its second_password is used instead. \
                 Renew its password, or put the second one in its place"
            ),
        }
    }

    fn log_end(self, upstream: &UpstreamName, account: &str) {
        match self {
            Self::Account => tracing::info!("the login of {account} is accepted by {upstream} again"),
            Self::FirstCredential => {
                tracing::info!("the password of {account} is accepted by {upstream} again");
            }
        }
    }
}

impl Drop for RefusedAccounts {
    /// Resets the gauges: an account that is not configured any more does not count as refused.
    fn drop(&mut self) {
        let all = self.refused.get_mut().unwrap_or_else(PoisonError::into_inner);
        let present = all.iter().filter(|(_, known)| known.present).map(|(key, _)| key.clone());
        for (refusal, account) in present.collect::<Vec<_>>() {
            self.gauge(refusal, &account).set(0.0);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::upstream::accounts::Accounts;
    use crate::upstream::error::RealmError;
    use crate::upstream::group_logins::GroupLogins;
    use crate::upstream::options::{AccountOptions, SecondCredential};

    fn robot(credential: AccountCredential) -> Selected {
        let second = Some(SecondCredential { username: "robot".into(), password: "two".to_owned().into() });
        let (groups, images) = (Vec::new(), Vec::new());
        let password = "one".to_owned().into();
        let robot = AccountOptions { username: "robot".into(), password, second, groups, images };
        let accounts = Accounts::new("docker.io".parse().unwrap(), &[robot], GroupLogins::default());
        accounts.of(&key()).unwrap().unwrap().select(credential).unwrap()
    }

    fn key() -> Account {
        Account::Username("robot".into())
    }

    fn other(sent: &Selected) -> Selected {
        sent.account.select(sent.credential.other()).unwrap()
    }

    fn accounts() -> RefusedAccounts {
        RefusedAccounts::of("docker.io".parse().unwrap())
    }

    fn logged_at(accounts: &RefusedAccounts) -> Instant {
        accounts.refused.lock().unwrap()[&(Refusal::Account, key())].logged_at
    }

    fn present(accounts: &RefusedAccounts, refusal: Refusal) -> bool {
        accounts.refused.lock().unwrap().get(&(refusal, key())).is_some_and(|known| known.present)
    }

    fn refusal() -> UpstreamError {
        RealmError::Refused { status: 401, message: None }.into()
    }

    #[test]
    fn a_refused_account_is_logged_once_an_hour_also_where_it_is_accepted_in_between() {
        let (accounts, robot, start) = (accounts(), robot(AccountCredential::First), Instant::now());
        accounts.report(Refusal::Account, &robot.account, start);
        accounts.accepted(&robot, start);
        accounts.report(Refusal::Account, &robot.account, start + LOG_INTERVAL / 2);
        assert_eq!(logged_at(&accounts), start);
        accounts.report(Refusal::Account, &robot.account, start + LOG_INTERVAL);
        assert_eq!(logged_at(&accounts), start + LOG_INTERVAL);
    }

    #[test]
    fn what_says_nothing_about_the_account_changes_nothing() {
        let (accounts, robot) = (accounts(), robot(AccountCredential::First));
        accounts.learn(&robot, Some(&UpstreamError::TimedOut));
        accounts.learn(&robot, None);
        assert!(accounts.refused.lock().unwrap().is_empty());
        accounts.refused(&robot.account);
        accounts.learn(&robot, Some(&UpstreamError::TimedOut));
        assert!(present(&accounts, Refusal::Account));
        accounts.learn(&robot, Some(&UpstreamError::Denied { message: None }));
        assert!(!present(&accounts, Refusal::Account));
    }

    #[test]
    fn a_refused_first_credential_counts_once_the_second_is_accepted_and_until_the_first_is() {
        let (accounts, first) = (accounts(), robot(AccountCredential::First));
        accounts.learn(&other(&first), None);
        accounts.learn(&first, Some(&refusal()));
        assert!(!present(&accounts, Refusal::FirstCredential), "the second is to be tried");
        accounts.learn(&other(&first), None);
        assert!(present(&accounts, Refusal::FirstCredential) && !present(&accounts, Refusal::Account));
        accounts.learn(&first, None);
        assert!(!present(&accounts, Refusal::FirstCredential));
    }
}
