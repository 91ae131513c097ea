//! What is wrong with a form, as its page shows it: a note on top, and a sentence at the field.

use maud::{Markup, html};

use super::parts::icon;
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
        let name = match field {
            "expires_at" => "The end",
            "username" | "user" => "The user name",
            "access_level" => "The role",
            "current_password" => "The present password",
            "password" => "The password",
            "scopes" => "What it may do",
            "name" => "The name",
            _ => field,
        };
        Self { field: Some(field), sentence: format!("{name} {}.", reason.trim_end_matches('.')) }
    }

    /// Shows the note on top of the form.
    pub(super) fn note(&self) -> Markup {
        html! { div.note.bad role="alert" { (icon("bad")) div { p { b { "Nothing was changed." } " " (self.sentence) } } } }
    }

    /// Shows the sentence at a field, if the problem is with that.
    pub(super) fn at(problem: Option<&Self>, field: &str) -> Markup {
        let here = problem.filter(|problem| problem.field == Some(field));
        html! {
            @if let Some(problem) = here { p.error id={ (field) "-error" } { (icon("bad")) (problem.sentence) } }
        }
    }
}
