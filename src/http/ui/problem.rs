//! Problems with forms, as their pages show them: a note on top, and a sentence at each field that has one.

use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::icons::icon;
use crate::actors::policy_evaluator::ChangeError;
use crate::domain::commands::CommandError;
use crate::domain::commands::seen::ChangedValue;
use crate::http::api::ApiError;

/// Reason why a form was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The faults: at least one.
    faults: Vec<FormFault>,
    kind: Kind,
}

/// The kind of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Something that was typed cannot be used.
    Wrong,
    /// The subject of the form was changed since its page was made.
    Outdated,
    /// The form was not carried out, because its session had ended.
    Reopened,
}

/// Something that is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FormFault {
    /// The field; `None`: it is about the whole form.
    field: Option<&'static str>,
    sentence: String,
}

/// Sentence for a form about something that was changed since its page was made.
const OUTDATED: &str = "Nothing was saved: what this page is about was changed since it was opened, by somebody else or in another tab. \
     What you typed is still here; save it again if it should replace this:";

/// Sentence for a form that is shown again.
const REOPENED: &str = "This is what you typed before your session ended. Nothing was saved yet: look through it, and \
                        send it";

impl Problem {
    /// Returns what the API would refuse in this way; `None` if that is not about what was typed.
    pub(super) fn of(error: &ApiError) -> Option<Self> {
        if let ApiError::Invalid { field, reason } = error {
            return Some(Self::at_field(field, reason));
        }
        if let ApiError::WrongPassword = error {
            return Some(Self::at_field("current_password", "is wrong"));
        }
        if let ApiError::NotCarriedOut = error {
            return Some(Self { kind: Kind::Reopened, ..Self::of_form(REOPENED) });
        }
        if let ApiError::Refused(sentence) = error {
            return Some(Self::of_form(sentence));
        }
        if let ApiError::Several(faults) = error {
            return Self::all(faults.iter().map(Self::of));
        }
        let ApiError::Failed(ChangeError::Refused(refusal)) = error else { return None };
        Self::of_refusal(refusal)
    }

    fn of_refusal(refusal: &CommandError) -> Option<Self> {
        match refusal {
            CommandError::Invalid { field, reason } => Some(Self::at_field(field, reason)),
            CommandError::Several(faults) => Self::all(faults.iter().map(Self::of_refusal)),
            CommandError::Conflict { field, text } => Some(Self::of_fault(*field, format!("{text}."))),
            CommandError::Refused(sentence) => Some(Self::of_form(sentence)),
            CommandError::Changed(changed) => Some(Self::outdated(changed)),
            CommandError::Missing(_) | CommandError::Forbidden => None,
        }
    }

    /// Returns several problems as one; `None` if one of them is not about what was typed.
    fn all(problems: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        let problems: Vec<Self> = problems.collect::<Option<_>>()?;
        problems.into_iter().reduce(Self::and)
    }

    /// Returns both problems as one.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.faults.extend(other.faults);
        self
    }

    /// Returns a problem with the whole form.
    pub(super) fn of_form(sentence: &str) -> Self {
        Self::of_fault(None, format!("{}.", sentence.trim_end_matches('.')))
    }

    fn outdated(changed: &[ChangedValue]) -> Self {
        let words = |words: &str| if words.is_empty() { "empty".to_owned() } else { format!("“{words}”") };
        let of_value = |value: &ChangedValue| {
            let reason = format!("is {} now; this page showed {}", words(&value.present), words(&value.seen));
            Self::at_field(value.field, &reason).faults
        };
        Self { faults: changed.iter().flat_map(of_value).collect(), kind: Kind::Outdated }
    }

    fn of_fault(field: Option<&'static str>, sentence: String) -> Self {
        Self { faults: vec![FormFault { field, sentence }], kind: Kind::Wrong }
    }

    /// Returns the status of the page that shows the form again.
    pub(super) fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Wrong => StatusCode::BAD_REQUEST,
            Kind::Outdated => StatusCode::CONFLICT,
            Kind::Reopened => StatusCode::OK,
        }
    }

    /// Returns a problem with a field. `reason` is the rest of a sentence that begins with its name.
    pub(super) fn at_field(field: &'static str, reason: &str) -> Self {
        // The names of the fields of the form, where they differ from those of the API.
        let field = match field {
            "dependency_proxy_max_bytes" => "quota",
            "dependency_proxy_unpulled_days" => "days",
            "dependency_proxy_tag_freshness_seconds" => "freshness",
            "visibility_level" => "visibility",
            "group_id" | "parent_id" => "parent",
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
        Self::of_fault(Some(field), format!("{name} {}.", reason.trim_end_matches('.')))
    }

    /// Shows the note on top of the form.
    pub(super) fn note(&self) -> Markup {
        let is_outdated = self.kind == Kind::Outdated;
        let link = if is_outdated { "Look at it" } else { "Correct it" };
        let (class, shape) = if self.kind == Kind::Reopened { ("warn", "stale") } else { ("bad", "bad") };
        html! {
            div class={ "note " (class) } role="alert" {
                (icon(shape))
                div {
                    @if is_outdated { p { b { (OUTDATED) } } }
                    @for FormFault { field, sentence } in &self.faults {
                        p {
                            b { (sentence) }
                            @if let Some(id) = field.map(id_of) { " " a href={ "#" (id) } { (link) } }
                        }
                    }
                }
            }
        }
    }

    fn at_name(&self, field: &str) -> Option<&FormFault> {
        self.faults.iter().find(|fault| fault.field == Some(field))
    }

    /// Returns the value of `aria-invalid` of a field.
    pub(super) fn invalid(problem: Option<&Self>, field: &str) -> Option<&'static str> {
        problem.and_then(|problem| problem.at_name(field)).map(|_| "true")
    }

    /// Returns the value of `aria-describedby` of a field: its hint, and the sentence if the problem is with it.
    pub(super) fn description(problem: Option<&Self>, field: &str, hint: &str) -> Option<String> {
        let error = Self::invalid(problem, field).map(|_| format!("{field}-error"));
        let ids: Vec<String> =
            [Some(hint.to_owned()).filter(|hint| !hint.is_empty()), error].into_iter().flatten().collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    /// Returns true if the first problem that is about a field is with this one: the cursor is there.
    pub(super) fn is_first(problem: Option<&Self>, field: &str) -> bool {
        let first = problem.and_then(|problem| problem.faults.iter().find_map(|fault| fault.field));
        first == Some(field)
    }

    /// Shows the sentence at a field, if there is one.
    pub(super) fn at(problem: Option<&Self>, field: &str) -> Markup {
        let here = problem.and_then(|problem| problem.at_name(field));
        html! {
            @if let Some(fault) = here { p.error id={ (field) "-error" } { (icon("bad")) (fault.sentence) } }
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
