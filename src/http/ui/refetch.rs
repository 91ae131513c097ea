//! Images that their registries cannot deliver at present: what to know before they are deleted.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::formatting::{first_upper, number};
use super::icons::icon;
use super::visitor::Visitor;
use crate::actors::images::{ImageState, ShownImage};
use crate::actors::upstream_fetcher::{AccountHealth, AccountState};
use crate::domain::origin::Origin;

/// Maximum number of images that the note names.
const NAMED: usize = 5;

/// The images of several that cannot be fetched again at present.
pub(super) struct Unfetchable {
    names: Vec<String>,
    /// The reasons, a sentence each without a full stop.
    because: BTreeSet<String>,
}

impl Unfetchable {
    /// Finds those of these images that are stale, or whose registry fails.
    pub(super) async fn of(visitor: &Visitor, images: &[ShownImage]) -> Self {
        let states = visitor.caller.state.upstream.states().await;
        let mut found = Self { names: Vec::new(), because: BTreeSet::new() };
        for shown in images {
            let key = &shown.image.key;
            if let Some(because) = reason(&shown.state, &key.origin, &states) {
                found.names.push(key.origin.name_of(&key.reference));
                found.because.insert(because);
            }
        }
        found
    }

    /// Shows the images and the reasons, followed by what to do about it; nothing if there are none.
    pub(super) fn note(&self, remedy: &str) -> Markup {
        let others = self.names.len().saturating_sub(NAMED);
        let subject = if self.names.len() == 1 { "One" } else { &number(self.names.len() as u64) };
        html! {
            @if !self.names.is_empty() {
                div.note.warn {
                    (icon("stale"))
                    div {
                        p {
                            b { (subject) " of the images cannot be fetched again now: " }
                            (self.names[..self.names.len() - others].join(", "))
                            @if others > 0 { " and " (number(others as u64)) " more" }
                            ". "
                            @for because in &self.because { (first_upper(because)) ". " }
                            "Pulls of what is gone fail until that has changed. " (remedy)
                        }
                    }
                }
            }
        }
    }
}

fn reason(state: &ImageState, origin: &Origin, states: &[AccountState]) -> Option<String> {
    if let ImageState::Stale { because } = state {
        return Some(because.trim_end_matches('.').to_owned());
    }
    let is_it = |state: &&AccountState| state.upstream == origin.upstream && state.account == origin.account;
    states.iter().find(is_it).and_then(failure)
}

/// Returns why no content comes from a registry; `None` if it comes, as far as is known.
fn failure(state: &AccountState) -> Option<String> {
    let upstream = &state.upstream;
    match state.health() {
        AccountHealth::Offline => Some("no registry is contacted, because the service is offline".to_owned()),
        AccountHealth::LimitReached => Some(format!("the pull limit of {upstream} is reached")),
        AccountHealth::TriedAgain | AccountHealth::Failing => {
            let because = state.because.as_deref().unwrap_or("the last request failed");
            Some(format!("{upstream} does not work: {}", because.trim_end_matches('.')))
        }
        AccountHealth::Unused | AccountHealth::Working | AccountHealth::Unreadable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_counts_the_images_names_some_and_says_why() {
        let of = |count: usize| Unfetchable {
            names: (1..=count).map(|number| format!("app:{number}")).collect(),
            because: [String::from("docker.io cannot be reached")].into(),
        };
        assert_eq!(of(0).note("Wait.").into_string(), "");
        let shown = of(7).note("Pin them to keep them.").into_string();
        for part in ["7 of the images", "app:5 and 2 more", "Docker.io cannot be reached.", "Pin them to keep them."] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!shown.contains("app:6"));
    }
}
