//! Output of `admin restore`: a table of the credentials that a restore makes valid again.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::output::{Columns, list};
use crate::admin::restore::{Comparison, OTHER_SERVICE, PlannedRestore};
use crate::domain::regained::{Cause, Regained, Subject};
use crate::domain::token::{Token, TokenOwner};

const COLUMNS: Columns = &["kind", "name", "group", "owner", "since"];

/// Prints the credentials that this restore makes valid again, or that they cannot be determined.
pub(super) fn describe(plan: &PlannedRestore, revoke_them: bool, print: fn(&str)) {
    match plan.comparison() {
        Comparison::NothingThere => {
            print(
                "There are no identities to compare with: it is unknown which credentials were revoked after the \
                 backup and become valid again.",
            );
        }
        Comparison::OtherService => print_unknown(OTHER_SERVICE, print),
        Comparison::Unknown(reason) => print_unknown(reason, print),
        Comparison::Read { regained, present } => {
            if present.may_lag {
                print("Only an export of the present identities can be read: later revocations are unknown.");
            }
            describe_regained(plan, regained, revoke_them, print);
        }
    }
}

fn print_unknown(reason: &str, print: fn(&str)) {
    print(&format!("It is unknown which credentials were revoked after the backup and become valid again: {reason}."));
}

fn describe_regained(plan: &PlannedRestore, regained: &[Regained], revoke_them: bool, print: fn(&str)) {
    if regained.is_empty() {
        print("Nothing that was revoked after the backup becomes valid again.");
        return;
    }
    print(if revoke_them {
        "These were revoked after the backup and stay revoked:"
    } else {
        "These were revoked after the backup and become valid again (--revoke-them keeps them revoked):"
    });
    if regained.iter().any(|regained| regained.cause == Cause::Rotated) {
        print(if revoke_them {
            "A token that was rotated after the backup is revoked: its new secret is not in the backup. Create another."
        } else {
            "A token that was rotated after the backup has its old secret again, and the new one is unknown."
        });
    }
    print(&list(COLUMNS, &regained.iter().map(|regained| row(plan, regained)).collect::<Vec<_>>()));
}

/// Returns the credentials that this restore makes valid again, as objects; null where they cannot be determined.
pub(super) fn regained(plan: &PlannedRestore) -> Value {
    match plan.comparison() {
        Comparison::Read { regained, .. } => regained.iter().map(|regained| row(plan, regained)).collect(),
        Comparison::NothingThere | Comparison::OtherService | Comparison::Unknown(_) => Value::Null,
    }
}

fn row(plan: &PlannedRestore, regained: &Regained) -> Value {
    let since = since(regained.cause);
    match &regained.subject {
        Subject::User(user) => json!({"kind": "user", "name": user.username, "owner": user.username, "since": since}),
        Subject::Password(user) => {
            json!({"kind": "password", "name": user.username, "owner": user.username, "since": since})
        }
        Subject::Token(token) => token_row(plan, token, &since),
    }
}

fn token_row(plan: &PlannedRestore, token: &Token, since: &str) -> Value {
    let owner = match &token.owner {
        TokenOwner::Personal { user } => plan.username(*user).map(ToString::to_string),
        TokenOwner::Group { .. } => None,
        TokenOwner::Deploy { username, .. } => Some(username.clone()),
    };
    let group = token.group().and_then(|group| plan.group_path(group)).map(ToString::to_string);
    json!({"kind": token.owner.noun(), "name": token.name, "group": group, "owner": owner, "since": since})
}

fn since(cause: Cause) -> String {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    match cause {
        Cause::Revoked(at) => format!("revoked on {}", day(at)),
        Cause::Deleted(Some(at)) => format!("deleted on {}", day(at)),
        Cause::Deleted(None) => "deleted".to_owned(),
        Cause::Expired(at) => format!("expired early, on {}", day(at)),
        Cause::Blocked => "blocked".to_owned(),
        Cause::Changed => "another password".to_owned(),
        Cause::Rotated => "rotated".to_owned(),
    }
}
