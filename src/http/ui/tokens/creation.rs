//! The form for a new token, with the pair of scopes for pulling preselected, and its creation.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use jiff::SignedDuration;
use maud::{Markup, html};

use super::once::Once;
use super::{Owner, secret};
use crate::auth::secret::Kind;
use crate::domain::commands::maker::Ending;
use crate::domain::commands::token::{self as edit, NewCredential, NewToken};
use crate::domain::scope::{Scope, Scopes};
use crate::domain::token::{Token, TokenOwner};
use crate::http::api::{self, ApiError, Authority, Faults, owner_of};
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Choice, Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::formatting::{day_text, parsed_day};
use crate::http::ui::page;
use crate::http::ui::parts::typed_form;
use crate::http::ui::problem::Problem;
use crate::http::ui::roles;
use crate::http::ui::visitor::Visitor;

/// The fields of the form, as they were typed.
struct Typed {
    /// True for a group access token, false for a deploy token.
    is_access_token: bool,
    name: String,
    username: String,
    level: String,
    pull: bool,
    virtual_registry: bool,
    read_api: bool,
    api: bool,
    expires_at: String,
    /// The number of the last token of the service when the form was shown.
    last_token: Option<u64>,
}

/// The scopes that the form offers, some of which stand for a pair.
const SCOPES: [&str; 4] = ["pull", "virtual", "read_api", "api"];

/// Lifetime that the form suggests.
const SUGGESTED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Shows the empty form.
pub(super) fn show(visitor: &Visitor, owner: &Owner) -> HttpResponse {
    let typed = Typed {
        is_access_token: false,
        name: String::new(),
        username: String::new(),
        level: "10".to_owned(),
        pull: true,
        virtual_registry: false,
        read_api: false,
        api: false,
        expires_at: day_text(visitor.caller.now + SUGGESTED),
        last_token: Some(visitor.caller.directory.service().last_token),
    };
    page::show(&visitor.frame(), "New token", &content(visitor, owner, &typed, None))
}

/// Makes the token, and shows its secret. A form that is refused is shown again with what was typed.
pub(super) async fn create(form: &Form, owner: &Owner) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let typed = Typed::of(form);
    let made = match typed.new_token(owner, check_choices(form, owner)) {
        Ok((new, secret)) => typed.create(visitor, owner, new).await.map(|token| (token, secret)),
        Err(error) => Err(error),
    };
    match made {
        Ok((token, secret)) => Ok(secret::show(visitor, owner, &token, (&secret, None), "was made")),
        Err(error) => {
            let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
            let content = content(visitor, owner, &typed, Some(&problem));
            Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "New token", &content))
        }
    }
}

/// Finds the choices of the form that it does not offer.
fn check_choices(form: &Form, owner: &Owner) -> Faults {
    let mut faults = Faults::default();
    if let Owner::Group(_) = owner {
        faults.take(form.choice("kind", &["deploy", "group"]));
    }
    if form.values("scopes").any(|scope| !SCOPES.contains(&scope)) {
        faults.take::<()>(Err(invalid("scopes", "has one that cannot be chosen")));
    }
    faults
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
        let has = |scope: &str| form.values("scopes").any(|value| value == scope);
        Self {
            is_access_token: form.value("kind") == Some("group"),
            name: text("name"),
            username: text("username"),
            level: text("access_level"),
            pull: has("pull"),
            virtual_registry: has("virtual"),
            read_api: has("read_api"),
            api: has("api"),
            expires_at: text("expires_at"),
            last_token: text("last_token").parse().ok(),
        }
    }

    /// Returns the token that is wanted, with its secret, unless it or the form has `faults`.
    fn new_token(&self, owner: &Owner, mut faults: Faults) -> Result<(NewToken, secrecy::SecretString), ApiError> {
        let kind = match owner {
            Owner::Visitor => Kind::Personal,
            Owner::Group(_) if self.is_access_token => Kind::Group,
            Owner::Group(_) => Kind::Deploy,
        };
        let (secret, new_credential): (_, NewCredential) = api::new_secret(kind);
        if self.name.is_empty() {
            faults.take::<()>(Err(invalid("name", "can't be blank")));
        }
        // The API allows it together with a supplied secret, which this form does not accept.
        if self.username.contains('$') {
            faults.take::<()>(Err(invalid("username", "cannot contain “$”")));
        }
        let end = parsed_day(&self.expires_at)
            .map_err(|error| ApiError::Invalid { field: "expires_at", reason: error.to_string() });
        let scopes = self.scopes().ok_or_else(|| invalid("scopes", "is empty: choose at least one"));
        let (Some(scopes), Some(end)) = (faults.take(scopes), faults.take(end)) else { return Err(faults.into()) };
        faults.none()?;
        let (name, description, ending) = (self.name.clone(), String::new(), end.map_or(Ending::Never, Ending::At));
        Ok((NewToken { name, description, scopes, ending, new_credential }, secret))
    }

    fn scopes(&self) -> Option<Scopes> {
        let wanted = [
            (self.pull, Scope::ReadRegistry),
            (self.pull, Scope::WriteRegistry),
            (self.virtual_registry, Scope::ReadVirtualRegistry),
            (self.virtual_registry, Scope::WriteVirtualRegistry),
            (self.read_api, Scope::ReadApi),
            (self.api, Scope::Api),
        ];
        let scopes: Vec<Scope> = wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, scope)| scope).collect();
        Scopes::try_from(scopes).ok()
    }

    async fn create(&self, visitor: &Visitor, owner: &Owner, new: NewToken) -> Result<Token, ApiError> {
        let caller = &visitor.caller;
        let once = Once { last_token: self.last_token, name: self.name.clone() };
        let Owner::Group(group) = owner else {
            let own = caller.may(|caller| Ok(caller.user.id))?;
            let create = move |caller: &Authority<'_>, user| {
                once.check(
                    caller.directory,
                    |owner| matches!(owner, TokenOwner::Personal { user: of } if *of == user),
                )?;
                edit::create_personal(caller.directory, user, new, &caller.terms())
            };
            return caller.change("personal access token created", own, create).await;
        };
        let own = caller.may(owner_of(group.id))?;
        if self.is_access_token {
            let level = roles::chosen(&self.level)?;
            let create = move |caller: &Authority<'_>, group| {
                once.check(
                    caller.directory,
                    |owner| matches!(owner, TokenOwner::Group { group: of, .. } if *of == group),
                )?;
                edit::create_group(caller.directory, group, level, new, &caller.terms())
            };
            return caller.change("group access token created", own, create).await;
        }
        let username = Some(self.username.clone()).filter(|name| !name.is_empty());
        let create = move |caller: &Authority<'_>, group| {
            once.check(
                caller.directory,
                |owner| matches!(owner, TokenOwner::Deploy { group: of, .. } if *of == group),
            )?;
            edit::create_deploy(caller.directory, group, username, new, &caller.terms())
        };
        caller.change("deploy token created", own, create).await
    }
}

fn invalid(field: &'static str, reason: &str) -> ApiError {
    ApiError::Invalid { field, reason: reason.to_owned() }
}

fn content(visitor: &Visitor, owner: &Owner, typed: &Typed, problem: Option<&Problem>) -> Markup {
    let is_of_group = matches!(owner, Owner::Group(_));
    let tomorrow = day_text(visitor.caller.now + SignedDuration::from_hours(24));
    html! {
        (owner.crumbs(visitor, "New token"))
        h1 { "New token" }
        @if let Some(problem) = problem { (problem.note()) }
        form method="post" action={ (owner.address()) "/new" } {
            (typed_form(visitor))
            @if let Some(last) = typed.last_token { input type="hidden" name="last_token" value=(last); }
            @if is_of_group { (kinds(typed)) }
            div.split {
                div { h2 { "What it is called" } }
                div.column.stack {
                    (Field::new("name", "Name").required().max_chars(255).value(&typed.name)
                        .hint("For people: where it will be used").show(problem))
                    @if is_of_group { (group_fields(typed, problem)) }
                }
            }
            (scopes(typed, problem, is_of_group))
            div.split {
                div { h2 { "Until when" } p.soft { "The metrics tell of it before." } }
                div.column.stack {
                    (Field::new("expires_at", "Expires on").kind(FieldKind::Day(&tomorrow)).short()
                        .value(&typed.expires_at)
                        .hint("It stops working when this day begins, by UTC. Empty: never").show(problem))
                }
            }
            div.split {
                div {}
                div.actions { button.primary { "Make the token" } a href=(owner.address()) { "Cancel" } }
            }
        }
    }
}

fn kinds(typed: &Typed) -> Markup {
    let access = "Acts as a bot that is a member of this group: it can use the API, too. Any user name goes with it.";
    let choice = |value, label| Choice::radio("kind", value, label).chosen(typed.is_access_token == (value == "group"));
    html! {
        div.split {
            div { h2 { "What it is" } p.soft { "A deploy token is right for machines that only pull." } }
            fieldset.column {
                legend.unseen { "Kind of token" }
                (choice("deploy", "Deploy token").show("Pulls, and has a user name of its own."))
                (choice("group", "Group access token").show(access))
            }
        }
    }
}

fn group_fields(typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        (Field::new("username", "User name").kind(FieldKind::Identifier).max_chars(255).value(&typed.username)
            .class("not-group")
            .hint("What clients log in with. Empty: one is made up").show(problem))
        (Field::new("access_level", "Role of its bot").short().class("not-deploy")
            .hint("Every role may pull. Only an owner may change the group")
            .of_options(problem, roles::options(&typed.level)))
    }
}

fn scopes(typed: &Typed, problem: Option<&Problem>, is_of_group: bool) -> Markup {
    let pull = html! {
        code { "read_registry" } " and " code { "write_registry" }
        ". Pulling takes both, as in GitLab. It cannot push: nothing can be pushed here."
    };
    let virtual_registry = html! {
        code { "read_virtual_registry" } " and " code { "write_virtual_registry" }
        ": as good, for files written for GitLab’s virtual registry."
    };
    let read_api = html! { code { "read_api" } ". It does not pull." };
    let api = html! { code { "api" } ". All that its owner may do, pulling included." };
    let choice =
        |value, chosen, label| Choice::checkbox(&format!("scope-{value}"), ("scopes", value), label).chosen(chosen);
    let class = if is_of_group { "not-deploy" } else { "" };
    html! {
        div.split {
            div { h2 { "What it may do" } p.soft { "Give it no more than it needs." } }
            fieldset.column {
                legend.unseen { "Scopes" }
                (Problem::at(problem, "scopes"))
                (choice("pull", typed.pull, "Pull images").show(pull))
                (choice("virtual", typed.virtual_registry, "Pull images, under the other names").show(virtual_registry))
                (choice("read_api", typed.read_api, "Read over the API").class(class).show(read_api))
                (choice("api", typed.api, "Everything over the API").class(class).show(api))
            }
        }
    }
}
