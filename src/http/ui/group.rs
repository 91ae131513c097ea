//! The page of a group: how to pull through it, how much it has cached, and the list of its images.

mod figures;
mod filter;
mod list;

use actix_web::HttpResponse;
use maud::{Markup, html};

use self::figures::Figures;
use self::filter::Counts;
use self::list::List;
use super::address;
use super::fault::Fault;
use super::icons::icon;
use super::page;
use super::parts::{crumbs, heading, prefix, tabs};
use super::snippets;
use super::visitor::Visitor;
use crate::domain::group::Group;

/// Shows the page.
pub(super) async fn show(visitor: &Visitor, path: &str, query: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.visible_group(path)?;
    if visitor.authority().level(group.id).is_none() {
        return Ok(for_others(visitor, &group));
    }
    let list = List::read(visitor, &group, query).await?;
    let is_empty = list.is_of_all() && list.is_empty();
    let figures = Figures::read(visitor, &group).await;
    let counts = Counts::read(visitor, &group, figures.images()).await?;
    let content = html! {
        (crumbs(visitor, &group, None))
        (heading(&group))
        (tabs(visitor, &group, "", figures.images()))
        (notes(visitor, &group))
        @if is_empty {
            (first_steps(visitor, &group))
        } @else {
            section aria-labelledby="pull" {
                h2.unseen #pull { "Pull through this group" }
                (prefix(visitor, &group))
                details.fold {
                    summary {
                        "Setup snippets for GitLab CI, GitHub Actions, Kubernetes, containerd, Podman, Docker and "
                        "BuildKit"
                    }
                    (snippets::choice(visitor, &group))
                }
            }
            (figures.show(visitor, &group, counts.pinned))
            (images_of(visitor, &group, &list, counts))
        }
    };
    Ok(page::show(&visitor.frame(), &format!("Images of {}", group.path), &content))
}

/// Shows a public group to a user who is no member: how to pull, and not what it has cached.
fn for_others(visitor: &Visitor, group: &Group) -> HttpResponse {
    let content = html! {
        (crumbs(visitor, group, None))
        (heading(group))
        p {
            "You are not a member of this group, and can pull from it because it is public. What it has cached is shown
            to its members. Log in with your own user name, and your password or a "
            a href="/-/account" { "personal access token" } "."
        }
        (switched_off(visitor, group))
        section aria-labelledby="pull" {
            h2 #pull { "Pull through this group" }
            (prefix(visitor, group))
            (snippets::choice(visitor, group))
        }
    };
    page::show(&visitor.frame(), &group.path.to_string(), &content)
}

fn notes(visitor: &Visitor, group: &Group) -> Markup {
    html! {
        (switched_off(visitor, group))
        @if visitor.authority().own_level(group.id).is_none() { p.hint { "You see this as an administrator." } }
    }
}

fn switched_off(visitor: &Visitor, group: &Group) -> Markup {
    let caller = &visitor.caller;
    let reason = caller.state.switched_off(&caller.directory, group.id);
    html! {
        @if let Some(reason) = reason {
            div.note.warn {
                (icon("off"))
                div {
                    p {
                        b { (reason) "." }
                        " What is cached stays, and is served again once they are switched on."
                    }
                }
            }
        }
    }
}

fn first_steps(visitor: &Visitor, group: &Group) -> Markup {
    html! {
        section aria-labelledby="start" {
            h2 #start { "Nothing is cached yet" }
            p.soft { "An image is kept from its first pull on. Three steps to it:" }
            ol.steps {
                li {
                    h3 { "Make a token that may pull" }
                    p.soft {
                        "Machines and CI jobs pull with a deploy token of the group. You can pull with your own "
                        "password, too."
                    }
                    @if visitor.owns(group) {
                        p {
                            a.button href={ (address::of_group(group.path.as_str())) "/tokens/new" } { "Make a token" }
                        }
                    } @else {
                        p.hint { "Owners of the group make them." }
                    }
                }
                li {
                    h3 { "Put this before the names of images" }
                    (prefix(visitor, group))
                }
                li {
                    h3 { "Pull" }
                    (snippets::choice(visitor, group))
                }
            }
        }
    }
}

fn images_of(visitor: &Visitor, group: &Group, list: &List, counts: Counts) -> Markup {
    let clear = format!("{}/clear", address::of_group(group.path.as_str()));
    html! {
        section aria-labelledby="images" {
            div.head {
                h2 #images { "Cached images" }
                @if visitor.owns(group) { a.button.minor href=(clear) { "Clear the cache…" } }
            }
            (list.show(visitor, group, counts))
            p.hint {
                "Sizes count what is stored of all platforms. Images share layers, which the group counts once, so the
                sizes of all images add up to more than is stored."
            }
            (states())
            @if !visitor.owns(group) { p.hint { "Owners of the group can refresh, pin and delete images." } }
        }
    }
}

fn states() -> Markup {
    let all = [
        (
            "good",
            "fresh",
            "Fresh",
            "The registry confirmed this image at the last request; also all that was pulled by digest.",
        ),
        (
            "warn",
            "stale",
            "Stale",
            "The registry could not confirm this image, so pulls get what is here. The tag may have moved since.",
        ),
        (
            "",
            "off",
            "Incomplete",
            "Not all of it is stored, because it was not pulled or made room for others. A pull fetches the rest.",
        ),
        ("", "arriving", "Arriving", "It is being downloaded. Everybody who pulls it now shares that one download."),
        ("", "going", "Going", "It is removed within 7 days, because nobody pulls it. A pull or a pin keeps it."),
    ];
    html! {
        details.fold {
            summary { "What the states mean" }
            dl.facts.small {
                @for (class, shape, word, meaning) in all {
                    dt { div class={ "state " (class) } { (icon(shape)) b { (word) } } }
                    dd { (meaning) }
                }
            }
        }
    }
}
