//! The accounts of a group at registries: those that it uses, each with a test, and the form that sets one. A password
//! is never shown, nor put into the form again.

use maud::{Markup, html};
use secrecy::SecretString;

use super::{Note, Shown, action, present, typed};
use crate::actors::upstream_fetcher::TestResult;
use crate::domain::group::Group;
use crate::http::api::ApiError;
use crate::http::api::upstream_accounts as accounts;
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::parts::typed_form;
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// The forms of this part of the page.
pub(super) const SECTIONS: [&str; 3] = [SET, TEST, REMOVE];

const SET: &str = "account";
/// The form that tests an account.
pub(super) const TEST: &str = "account-test";
/// The form that removes one.
pub(super) const REMOVE: &str = "account-removal";

/// The fields of the form as they were typed, without the password.
#[derive(Default)]
pub(super) struct Typed {
    upstream: String,
    identity: String,
}

/// Carries out one of the forms. Returns the group and what to show.
pub(super) async fn change(form: &Form, group: &Group, section: &str) -> Result<(Group, Shown), Fault> {
    let visitor = &form.visitor;
    let typed = Typed { upstream: typed(form, "upstream"), identity: typed(form, "identity") };
    let outcome = match section {
        TEST => test(visitor, group, &typed.upstream).await,
        REMOVE => {
            let removed = accounts::remove(&visitor.caller, group.id, &typed.upstream, seen::of(form)).await;
            removed.map(|()| Note::good(&format!("The account at {} is removed.", typed.upstream)))
        }
        _ => {
            let secret = SecretString::from(form.value("secret").unwrap_or_default());
            let (caller, upstream) = (&visitor.caller, typed.upstream.as_str());
            let account = (typed.identity.clone(), secret);
            let set = accounts::set(caller, group.id, upstream, account, seen::of(form)).await;
            set.map(|()| Note::good(&format!("The account at {upstream} is saved. Its password is not shown again.")))
        }
    };
    let present = present(visitor, group);
    match outcome {
        Ok(note) => {
            let shown = Shown { note: Some(note), ..Shown::of(&present) };
            Ok((present, shown))
        }
        Err(error) => {
            let problem = problem(&error).ok_or_else(|| visitor.refused(&error))?;
            let shown = Shown { account: typed, problem: Some(problem), ..Shown::of(&present) };
            Ok((present, shown))
        }
    }
}

async fn test(visitor: &Visitor, group: &Group, upstream: &str) -> Result<Note, ApiError> {
    let test = accounts::test(&visitor.caller, group.id, upstream).await?;
    let is_success = matches!(test.result, TestResult::Accepted | TestResult::NotRequired);
    Ok(Note { is_success, sentence: format!("{}.", test.sentence.trim_end_matches('.')) })
}

fn problem(error: &ApiError) -> Option<Problem> {
    if let ApiError::NotFound(what) = error {
        return match *what {
            "Upstream" => Some(Problem::at_field("upstream", "is not a registry of this service")),
            "Account" => Some(Problem::of_form("The group has no account of its own there")),
            _ => None,
        };
    }
    Problem::of(error)
}

/// Shows the table of the accounts, if there are any, and the form.
pub(super) fn section(
    visitor: &Visitor,
    group: &Group,
    (table, typed): (Option<&Markup>, &Typed),
    problem: Option<&Problem>,
) -> Markup {
    html! {
        div.split {
            div {
                h2 { "Accounts at registries" }
                p.soft {
                    "With an account of its own, such as one of Docker Hub, this group has pull limits and private images of its own.
                    Groups below use it, too. What was cached with another account is confirmed by the registry again
                    before it is served."
                }
            }
            div.stack {
                @match table {
                    Some(table) => (table),
                    None => p { "This group pulls with the accounts of the service." },
                }
                (form(visitor, group, typed, problem))
            }
        }
    }
}

fn form(visitor: &Visitor, group: &Group, typed: &Typed, problem: Option<&Problem>) -> Markup {
    let upstreams = visitor.caller.state.upstreams.load_full();
    html! {
        form.column.stack #account method="post" action=(action(group)) {
            (typed_form(visitor))
            input type="hidden" name="section" value=(SET);
            (seen::field(&accounts::values(&visitor.caller, group)))
            (Field::new("upstream", "Registry").of_options(problem, html! {
                @for name in upstreams.names() {
                    option value=(name) selected[name.as_str() == typed.upstream] { (name) }
                }
            }))
            (Field::new("identity", "User name there").kind(FieldKind::Identifier).value(&typed.identity).show(problem))
            (Field::new("secret", "Password or access token").kind(FieldKind::PasswordElsewhere)
                .hint("It is encrypted, and never shown. After a change of the password, the registry confirms again \
                       what the group may pull")
                .show(problem))
            button { "Save the account" }
        }
    }
}
