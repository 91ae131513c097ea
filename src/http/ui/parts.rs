//! Parts that several pages share: buttons, names of images, the way to a page, the tabs of a group and those of
//! administrators.

use maud::{Markup, html};

use super::address::{self, ADMIN};
use super::counts;
use super::formatting::{number, share, size};
use super::icons::icon;
use super::kept_form::TYPED_FIELD;
use super::page::TOKEN_FIELD;
use super::visitor::Visitor;
use crate::domain::digest::Digest;
use crate::domain::group::{Group, Visibility};
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;

/// Number of characters of a digest that is not shown whole.
const DIGEST_CHARS: usize = 12;

/// Part of a quota, in percent, from which on its bar warns.
const NEARLY_FULL: f64 = 90.0;

/// Returns a small button that copies `text`; `label` states what that is.
pub(super) fn copy_button(text: &str, label: &str) -> Markup {
    html! { button.copy.tiny type="button" data-copy=(text) aria-label=(label) title=(label) { (icon("copy")) } }
}

/// Returns the hidden field that every form of a session needs.
pub(super) fn token_field(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(visitor.form_token()); }
}

/// Returns the hidden fields of a form of a session into which something is typed: it is kept when the session has
/// ended.
pub(super) fn typed_form(visitor: &Visitor) -> Markup {
    html! { (token_field(visitor)) input type="hidden" name=(TYPED_FIELD) value="yes"; }
}

/// Returns a digest, shortened.
pub(super) fn short(digest: &Digest) -> String {
    format!("sha256:{}…", &digest.hex()[..DIGEST_CHARS])
}

/// Shows the name of an image: it can break after a slash and before the tag, and its last part is bold.
pub(super) fn image_words(origin: &Origin, reference: &Reference) -> Markup {
    let name = origin.image_name();
    let (above, last) = name.rsplit_once('/').map_or(("", name.as_str()), |(above, last)| (above, last));
    html! {
        @for part in above.split('/').filter(|part| !part.is_empty()) { (part) "/" wbr; }
        b { (last) } wbr;
        @match reference {
            Reference::Tag(tag) => { ":" (tag) },
            Reference::Digest(digest) => { "@" (short(digest)) },
        }
    }
}

/// Shows a path that can break after each slash.
pub(super) fn path_words(path: &str) -> Markup {
    html! { @for (number, part) in path.split('/').enumerate() { @if number > 0 { "/" wbr; } (part) } }
}

/// Shows the path of a group in a list: it can break after each slash, and its last part is bold.
pub(super) fn group_words(path: &str) -> Markup {
    let (above, last) = path.rsplit_once('/').map_or(("", path), |(above, last)| (above, last));
    html! { @for part in above.split('/').filter(|part| !part.is_empty()) { (part) "/" wbr; } b { (last) } }
}

/// Shows the way to a page of a group: the groups above it as links, as far as the user may see them, and what follows.
pub(super) fn crumbs(visitor: &Visitor, group: &Group, page: Option<&str>) -> Markup {
    crumbs_below(visitor, group, None, page)
}

/// Works as [`crumbs`], for a page below one of the group's: its label and address come before.
pub(super) fn crumbs_below(
    visitor: &Visitor,
    group: &Group,
    above: Option<(&str, &str)>,
    page: Option<&str>,
) -> Markup {
    let lineage: Vec<_> = visitor.caller.directory.lineage(group.id).collect();
    html! {
        nav.crumbs aria-label="You are here" {
            a href="/" { "Groups" }
            @for above in lineage.into_iter().rev() {
                @let name = above.path.last_part();
                @if above.id == group.id && page.is_none() {
                    span { (name) }
                } @else if visitor.authority().level(above.id).is_some() {
                    a href=(address::of_group(above.path.as_str())) { (name) }
                } @else {
                    span { (name) }
                }
            }
            @if let Some((label, address)) = above { a href=(address) { (label) } }
            @if let Some(page) = page { span { (page) } }
        }
    }
}

/// Shows the top of a page of a group that has a tab: the way to the page, the group, and the tabs. `tab` is the end of
/// the address.
pub(super) async fn top(visitor: &Visitor, group: &Group, title: &str, tab: &str) -> Markup {
    let totals = visitor.caller.state.images.known_totals().await.ok().and_then(|all| all.of(group.id));
    html! {
        (crumbs(visitor, group, Some(title)))
        (heading(group))
        (tabs(visitor, group, tab, totals.map(|totals| totals.images)))
    }
}

/// Shows the path of a group, who can see it, and its description.
pub(super) fn heading(group: &Group) -> Markup {
    html! {
        div.head { h1 { (group.path) " " (visibility(group)) } }
        @if !group.description.is_empty() { p.soft { (group.description) } }
    }
}

/// Shows the pages of a group as tabs; `present` is the end of the address of this one, and `images` the number of
/// cached images, if it is known.
pub(super) fn tabs(visitor: &Visitor, group: &Group, present: &str, images: Option<u64>) -> Markup {
    let base = address::of_group(group.path.as_str());
    let tab = |page: &str, label: &str, count: Option<u64>| {
        let address = if page.is_empty() { base.clone() } else { format!("{base}/{page}") };
        html! {
            a href=(address) aria-current=[(page == present).then_some("page")] { (label) (counted(count)) }
        }
    };
    html! {
        nav.tabs aria-label={ "Pages of " (group.path) } {
            (tab("", "Images", images))
            @if visitor.owns(group) { (tab("tokens", "Tokens", Some(counts::tokens(visitor, group)))) }
            (tab("members", "Members", Some(counts::members(visitor, group))))
            @if visitor.owns(group) { (tab("settings", "Settings", None)) (tab("audit", "Audit", None)) }
        }
    }
}

/// Shows the pages for administrators as tabs; `present` is the rest of the address of this one.
pub(super) fn admin_tabs(visitor: &Visitor, present: &str) -> Markup {
    let directory = &visitor.caller.directory;
    let people = directory.users().filter(|user| user.bot_of.is_none()).count();
    let tab = |rest: &str, label: &str, count: Option<usize>| {
        html! {
            a href={ (ADMIN) (rest) } aria-current=[(rest == present).then_some("page")] {
                (label) (counted(count.map(|count| count as u64)))
            }
        }
    };
    html! {
        nav.tabs aria-label="Administration" {
            (tab("", "Overview", None))
            (tab("/groups", "Groups", Some(directory.groups().count())))
            (tab("/users", "Users", Some(people)))
            (tab("/audit", "Audit log", None))
        }
    }
}

/// Shows the number of the things behind a link, if it is known.
pub(super) fn counted(count: Option<u64>) -> Markup {
    html! { @if let Some(count) = count { " " span.count { (number(count)) } } }
}

fn visibility(group: &Group) -> Markup {
    let word = match group.visibility {
        Visibility::Private => "Private",
        Visibility::Internal => "Internal",
        Visibility::Public => "Public",
    };
    html! { span.badge { (word) } }
}

/// Shows the prefix before the names of images, with a button that copies it.
pub(super) fn prefix(visitor: &Visitor, group: &Group) -> Markup {
    let prefix = image_prefix(visitor, group);
    html! {
        div.prefix {
            code { (path_words(&prefix)) }
            button.copy.primary type="button" data-copy=(prefix) { (icon("copy")) span { "Copy prefix" } }
        }
        p.hint {
            "Put it before the name of an image: " code { "postgres:17" } " for Docker Hub, "
            code { "ghcr.io/acme/app:1.4" }
            " for another registry."
        }
    }
}

/// Returns what stands before the name of an image of this group.
pub(super) fn image_prefix(visitor: &Visitor, group: &Group) -> String {
    format!("{}/{}/dependency_proxy/containers/", visitor.host, group.path)
}

/// Shows a size, and what it is of the quota.
pub(super) fn stored(bytes: u64, quota: Option<u64>) -> Markup {
    html! {
        (size(bytes)) " "
        @match quota {
            Some(quota) => {
                span.soft.small { "of " (size(quota)) }
                (quota_bar(bytes, quota))
            },
            None => { span.soft.small { "no quota" } },
        }
    }
}

/// Shows which part of a quota is used, as a bar. The number stands beside it in words.
pub(super) fn quota_bar(bytes: u64, quota: u64) -> Markup {
    let used = share(bytes, quota);
    html! {
        svg.share aria-hidden="true" {
            rect.warn[used >= NEARLY_FULL] x="0%" width={ (used) "%" } height="100%" {}
        }
    }
}

/// Shows lines that are to be copied. `id` differs from all others of the page.
pub(super) fn code(id: &str, title: &str, text: &str) -> Markup {
    html! {
        div.code {
            header {
                span { (title) }
                button.copy.minor type="button" data-copy-from=(id) { (icon("copy")) span { "Copy" } }
            }
            pre tabindex="0" role="group" aria-label=(title) { code #(id) { (text) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_of_a_quota_warns_from_nine_tenths_on() {
        let warns = |bytes| quota_bar(bytes, 1_000).into_string().contains("warn");
        assert_eq!([899, 900, 928, 1_000].map(warns), [false, true, true, true]);
    }

    #[test]
    fn the_last_part_of_a_path_is_bold_in_lists() {
        assert_eq!(group_words("team/web/previews").into_string(), "team/<wbr>web/<wbr><b>previews</b>");
        assert_eq!(group_words("team").into_string(), "<b>team</b>");
    }
}
