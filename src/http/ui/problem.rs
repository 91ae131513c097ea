//! Problems with forms, as their pages show them: a note on top, and a sentence at the field.

use maud::{Markup, html};

use super::icons::icon;
use crate::actors::policy_evaluator::ChangeError;
use crate::domain::commands::CommandError;
use crate::http::api::ApiError;

/// Reason why a form was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The field; `None`: it is about the whole form.
    field: Option<&'static str>,
    sentence: String,
}

impl Problem {
    /// Returns what the API would refuse in this way; `None` if that is not about what was typed.
    pub(super) fn of(error: &ApiError) -> Option<Self> {
        if let ApiError::Invalid { field, reason } = error {
            return Some(Self::at_field(field, reason));
        }
        if let ApiError::WrongPassword = error {
            return Some(Self::at_field("current_password", "is wrong"));
        }
        if let ApiError::Refused(sentence) = error {
            return Some(Self::of_form(sentence));
        }
        let ApiError::Failed(ChangeError::Refused(refusal)) = error else { return None };
        match refusal {
            CommandError::Invalid { field, reason } => Some(Self::at_field(field, reason)),
            CommandError::Conflict(sentence) => Some(Self::of_form(sentence)),
            CommandError::Refused(sentence) => Some(Self::of_form(sentence)),
            CommandError::Missing(_) | CommandError::Forbidden => None,
        }
    }

    /// Returns a problem with the whole form.
    pub(super) fn of_form(sentence: &str) -> Self {
        Self { field: None, sentence: format!("{}.", sentence.trim_end_matches('.')) }
    }

    /// Returns a problem with a field. `reason` is the rest of a sentence that begins with its name.
    pub(super) fn at_field(field: &'static str, reason: &str) -> Self {
        // The names of the fields of the form, where they differ from those of the API.
        let field = match field {
            "dependency_proxy_max_bytes" => "quota",
            "dependency_proxy_unpulled_days" => "days",
            "dependency_proxy_tag_freshness_seconds" => "freshness",
            _ => field,
        };
        let name = match field {
            "expires_at" => "The end",
            "username" | "user" | "who" => "The user name",
            "image" => "The image",
            "access_level" => "The role",
            "current_password" => "The present password",
            "password" => "The password",
            "scopes" => "The choice of scopes",
            "overlap" => "The time for the old secret",
            "quota" => "The quota",
            "days" => "The number of days",
            "freshness" => "The number of seconds",
            "identity" => "The user name",
            "secret" => "The password",
            "upstream" => "The registry",
            "name" => "The name",
            "path" => "The path",
            "parent" => "The group above",
            "email" => "The email address",
            "description" => "The description",
            "proxy" => "The switch",
            "kind" => "The kind of token",
            "visibility" => "The choice of who can pull",
            "what" => "The kind of events",
            "group" => "The group",
            "from" => "The first day",
            "to" => "The last day",
            "admin" => "The choice of an administrator",
            _ => field,
        };
        Self { field: Some(field), sentence: format!("{name} {}.", reason.trim_end_matches('.')) }
    }

    /// Shows the note on top of the form.
    pub(super) fn note(&self) -> Markup {
        html! {
            div.note.bad role="alert" {
                (icon("bad"))
                div {
                    p {
                        b { (self.sentence) }
                        @if let Some(id) = self.field.map(id_of) { " " a href={ "#" (id) } { "Correct it" } }
                    }
                }
            }
        }
    }

    /// Returns the value of `aria-invalid` of a field.
    pub(super) fn invalid(problem: Option<&Self>, field: &str) -> Option<&'static str> {
        problem.filter(|problem| problem.field == Some(field)).map(|_| "true")
    }

    /// Returns the value of `aria-describedby` of a field: its hint, and the sentence if the problem is with it.
    pub(super) fn description(problem: Option<&Self>, field: &str, hint: &str) -> Option<String> {
        let error = Self::invalid(problem, field).map(|_| format!("{field}-error"));
        let ids: Vec<String> =
            [Some(hint.to_owned()).filter(|hint| !hint.is_empty()), error].into_iter().flatten().collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    /// Shows the sentence at a field, if the problem is with that.
    pub(super) fn at(problem: Option<&Self>, field: &str) -> Markup {
        let here = problem.filter(|problem| problem.field == Some(field));
        html! {
            @if let Some(problem) = here { p.error id={ (field) "-error" } { (icon("bad")) (problem.sentence) } }
        }
    }
}

/// Returns the id of the element of a field.
pub(super) fn id_of(field: &'static str) -> &'static str {
    match field {
        "expires_at" => "expires",
        "access_level" => "level",
        "scopes" => "scope-pull",
        "proxy" => "proxy-inherit",
        "kind" => "kind-deploy",
        "visibility" => "visibility-private",
        "current_password" => "current",
        "password" => "new",
        _ => field,
    }
}
