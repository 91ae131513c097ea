//! Lines for clients on the page of a group, behind a choice of clients.

use maud::{Markup, html};

use super::parts::code;
use super::visitor::Visitor;
use crate::domain::group::Group;
use crate::domain::snippets::{Client, Source};

/// Returns the choice of clients, with the lines of each.
pub(super) fn choice(visitor: &Visitor, group: &Group) -> Markup {
    let scheme = if visitor.caller.base_url.starts_with("https://") { "https" } else { "http" };
    let upstreams = visitor.caller.state.upstreams.load_full();
    let registries: Vec<String> = upstreams.names().map(ToString::to_string).collect();
    let source = Source { host: &visitor.host, scheme, group: group.path.as_str(), registries: &registries };
    html! {
        div.choices.flow {
            fieldset.switch {
                legend.unseen { "Lines for" }
                @for client in Client::ALL {
                    input type="radio" name="in" id={ "in-" (class(client)) } checked[client == Client::GitlabCi];
                    label for={ "in-" (class(client)) } { (client.label()) }
                }
            }
            @for client in Client::ALL {
                div class={ "text stack " (class(client)) } {
                    @for (number, snippet) in client.snippets(source).iter().enumerate() {
                        (code(&format!("code-{client}-{number}"), &snippet.title, &snippet.text))
                    }
                    @if client == Client::Docker {
                        p.hint {
                            "Docker sends no login to a " code { "registry-mirrors" }
                            " entry, so a private group needs the full name, as above."
                        }
                    }
                }
            }
            p.hint {
                "User name and secret are those of a deploy token of this group. The same text in a terminal: "
                code { "dependency-proxy snippet gitlab --group " (group.path) }
            }
        }
    }
}

/// Returns the name of a client in the style sheet.
fn class(client: Client) -> &'static str {
    if client == Client::Docker { "dockerd" } else { client.name() }
}
