//! Test of all causes of a failed pull.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::actors::pull_failure::CountsAgainst::{
    self, NotUpstream, Nothing, Repository, RepositoryThenUpstream, Upstream,
};
use crate::actors::pull_failure::{Peer, Reader, ReservedFor};
use crate::domain::origin::{Account, Origin};

/// A cause with its status, what it counts against, and its sentence.
type Row = (Cause, u16, CountsAgainst, &'static str);

fn failure(cause: Cause) -> PullFailure {
    let origin = Origin {
        upstream: "up.test".parse().unwrap(),
        account: Account::Username("robot".to_owned()),
        repository: "acme/app".parse().unwrap(),
    };
    PullFailure { origin, image: "acme/app:1".to_owned(), cause, is_list: false }
}

/// Test of the table in `actors::pull_failure`.
#[test]
fn every_cause_has_its_status_its_sentence_and_what_it_counts_against() {
    let rows = [of_content(), of_the_account(), of_connections(), of_responses(), of_this_service()];
    for (cause, status, against, sentence) in rows.into_iter().flatten() {
        let failure = failure(cause);
        let response = failed(&failure, &Target::Tags);
        assert_eq!(response.status.as_u16(), status, "{failure}");
        assert_eq!(response.reason.is_some(), status == 503, "clients show nothing but the reason phrase of a 5xx");
        assert_eq!(failure.cause.counts_against(), against, "{failure}");
        assert_eq!(failure.to_string(), sentence);
        let for_strangers = failure.sentence_for(Reader::Stranger);
        assert!(!for_strangers.contains("robot"), "{for_strangers}");
    }
}

fn of_content() -> Vec<Row> {
    let said = || Some("so it is".to_owned());
    vec![
        (Cause::NotFound, 404, Nothing, "up.test has no acme/app:1"),
        (Cause::NoRepository, 404, Nothing, "up.test has no 'acme/app', or it is private (requested as robot)"),
        (
            Cause::Denied { message: said() },
            403,
            Nothing,
            "up.test has no 'acme/app', or it is private (requested as robot): \"so it is\"",
        ),
        (
            Cause::Refused { status: 451, code: None, message: said() },
            451,
            Nothing,
            "up.test refuses acme/app:1 with HTTP status 451: \"so it is\"",
        ),
        (Cause::Unusable { problem: "as X".to_owned() }, 403, Nothing, "up.test has acme/app:1 as X"),
    ]
}

fn of_the_account() -> Vec<Row> {
    vec![
        (
            Cause::RateLimited { limit: None, retry_after: None },
            503,
            NotUpstream,
            "up.test's pull limit is reached and acme/app:1 is not cached here yet",
        ),
        (
            Cause::Reserved(ReservedFor::OtherGroups),
            503,
            NotUpstream,
            "up.test's pull limit is nearly reached, this group has used its share of the rest and acme/app:1 is not cached \
             here yet",
        ),
        (
            Cause::AccountRefused,
            503,
            CountsAgainst::Account,
            "The login of account 'robot' is refused by up.test and acme/app:1 is not cached here yet",
        ),
        (
            Cause::AccountGraceOver,
            503,
            CountsAgainst::Account,
            "The login of account 'robot' is refused by up.test, and it was last accepted for acme/app:1 longer ago than \
             cache.account_grace",
        ),
        (
            Cause::AccountUntrusted { host: "h.test".to_owned() },
            503,
            CountsAgainst::Account,
            "up.test wants the login of account 'robot' at h.test, which is not in its auth_hosts, and acme/app:1 is \
             not cached here yet",
        ),
        (
            Cause::AccountUnreadable,
            503,
            NotUpstream,
            "The password of account 'robot' at up.test cannot be decrypted: an owner of its group can set it again, and \
             acme/app:1 is not cached here yet",
        ),
        (
            Cause::RealmFailed { status: 404, message: None },
            503,
            CountsAgainst::Account,
            "up.test's token realm is out of order (HTTP status 404) and acme/app:1 is not cached here yet",
        ),
    ]
}

fn of_connections() -> Vec<Row> {
    let failed_at = |peer, failure| Cause::Unreachable { peer, failure, reason: "for the log".to_owned() };
    let unreachable = |failure| failed_at(Peer::Registry, failure);
    let redirect = failed_at(Peer::Redirect("h.test".to_owned()), ConnectionFailure::Closed);
    let realm = failed_at(Peer::TokenRealm("h.test".to_owned()), ConnectionFailure::Closed);
    vec![
        (
            unreachable(ConnectionFailure::NameResolution),
            503,
            Upstream,
            "up.test cannot be reached (its name cannot be resolved) and acme/app:1 is not cached here yet",
        ),
        (
            unreachable(ConnectionFailure::Refused),
            503,
            Upstream,
            "up.test cannot be reached (it refused the connection) and acme/app:1 is not cached here yet",
        ),
        (
            unreachable(ConnectionFailure::Tls),
            503,
            Upstream,
            "up.test cannot be reached (TLS failed) and acme/app:1 is not cached here yet",
        ),
        (
            redirect,
            503,
            RepositoryThenUpstream,
            "up.test cannot be reached (h.test, to which it redirects: it closed the connection before it responded) \
             and acme/app:1 is not cached here yet",
        ),
        (
            realm,
            503,
            Upstream,
            "up.test cannot be reached (its token realm h.test: it closed the connection before it responded) and \
             acme/app:1 is not cached here yet",
        ),
        (
            Cause::TimedOut,
            503,
            Upstream,
            "up.test cannot be reached (it did not respond in time) and acme/app:1 is not cached here yet",
        ),
    ]
}

fn of_responses() -> Vec<Row> {
    vec![
        (
            Cause::ServerError { status: 500, message: None },
            503,
            RepositoryThenUpstream,
            "up.test is out of order (HTTP status 500) and acme/app:1 is not cached here yet",
        ),
        (
            Cause::Interrupted { reason: String::new() },
            503,
            Repository,
            "up.test broke off in the middle of its response and acme/app:1 is not cached here yet",
        ),
        (
            Cause::InvalidResponse { what: "a page".to_owned() },
            503,
            Repository,
            "up.test sent an invalid response (a page) and acme/app:1 is not cached here yet",
        ),
        (
            Cause::ForbiddenAddress { host: String::new() },
            503,
            Repository,
            "up.test leads to an address that is neither public nor listed for it and acme/app:1 is not cached here yet",
        ),
    ]
}

fn of_this_service() -> Vec<Row> {
    vec![
        (
            Cause::Offline,
            503,
            NotUpstream,
            "This service is offline (proxy.network_mode) and acme/app:1 is not cached here yet",
        ),
        (
            Cause::Busy,
            503,
            NotUpstream,
            "Too many pulls at once for acme/app:1 to be fetched from up.test now. Try again",
        ),
        (
            Cause::NoMemory,
            503,
            NotUpstream,
            "The memory for acme/app:1 is taken by large manifests and lists on their way to other clients. Try again",
        ),
        (Cause::Store, 503, NotUpstream, "acme/app:1 could not be read or stored here"),
        (Cause::Internal, 503, NotUpstream, "acme/app:1 could not be fetched because of a fault of this service"),
    ]
}
