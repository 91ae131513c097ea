//! Choice between the two credentials of an account at an upstream, so that its secret can be rotated without a failed
//! pull: the second takes over when the first is refused. Reads no clock.

use std::time::{Duration, Instant};

/// One of the credentials of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountCredential {
    /// The one that is used unless upstream refuses it.
    First,
    /// The one that takes over.
    Second,
}

/// The credential that requests begin with. The default: the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// While the second stands in: the time at which the first was last tried.
    first_tried: Option<Instant>,
}

/// Time after which one request begins with the first credential again. Registries lock accounts after some wrong
/// passwords a minute.
const RETRY_INTERVAL: Duration = Duration::from_secs(5 * 60);

impl Takeover {
    /// Returns the credential that a request begins with. While the second stands in, one request in
    /// [`RETRY_INTERVAL`] begins with the first.
    pub fn begin(&mut self, now: Instant) -> AccountCredential {
        match self.first_tried {
            Some(tried) if now < tried + RETRY_INTERVAL => AccountCredential::Second,
            Some(_) => {
                self.first_tried = Some(now);
                AccountCredential::First
            }
            None => AccountCredential::First,
        }
    }

    /// Records that upstream refused this credential: requests begin with the other one.
    pub fn refused(&mut self, credential: AccountCredential, now: Instant) {
        self.first_tried = match credential {
            AccountCredential::First => Some(now),
            AccountCredential::Second => None,
        };
    }

    /// Records that upstream accepted this credential.
    pub fn accepted(&mut self, credential: AccountCredential) {
        if credential == AccountCredential::First {
            self.first_tried = None;
        }
    }

    /// Returns true while the second credential stands in for the first.
    pub fn stands_in(&self) -> bool {
        self.first_tried.is_some()
    }
}

impl AccountCredential {
    /// Returns the other credential.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_stands_in_until_the_first_is_accepted_again() {
        let (mut takeover, now) = (Takeover::default(), Instant::now());
        assert_eq!(takeover.begin(now), AccountCredential::First);
        takeover.refused(AccountCredential::First, now);
        takeover.accepted(AccountCredential::Second);
        assert!(takeover.stands_in());
        assert_eq!(takeover.begin(now), AccountCredential::Second);
        takeover.accepted(AccountCredential::First);
        assert_eq!((takeover.begin(now), takeover.stands_in()), (AccountCredential::First, false));
    }

    #[test]
    fn one_request_in_a_while_tries_the_first() {
        let (mut takeover, now) = (Takeover::default(), Instant::now());
        takeover.refused(AccountCredential::First, now);
        let later = now + RETRY_INTERVAL;
        assert_eq!(
            (takeover.begin(later), takeover.begin(later)),
            (AccountCredential::First, AccountCredential::Second)
        );
        assert_eq!(takeover.begin(later + RETRY_INTERVAL), AccountCredential::First);
    }

    #[test]
    fn when_the_second_is_refused_as_well_the_next_request_begins_with_the_first() {
        let (mut takeover, now) = (Takeover::default(), Instant::now());
        takeover.refused(AccountCredential::First, now);
        takeover.refused(AccountCredential::Second, now);
        assert_eq!((takeover.begin(now), takeover.stands_in()), (AccountCredential::First, false));
    }
}
