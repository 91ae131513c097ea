//! The endpoints of the API for readers: of the console's page, and of `docs/api.md`.

use std::sync::LazyLock;

use schemars::SchemaGenerator;

use super::description::plain_path;
use super::endpoint::Endpoint;
use super::endpoint::parameter::Parameter;
use super::endpoints;
use super::response::Pages;

/// The endpoints of one subject.
pub(in crate::http) struct ListedSection {
    /// The subject.
    pub(in crate::http) title: &'static str,
    /// The endpoints.
    pub(in crate::http) endpoints: Vec<ListedEndpoint>,
}

/// An endpoint in words.
pub(in crate::http) struct ListedEndpoint {
    /// The method.
    pub(in crate::http) method: String,
    /// The path, from `/api/v4` on.
    pub(in crate::http) path: String,
    /// Its effect: a sentence without its full stop.
    pub(in crate::http) summary: &'static str,
    /// The callers that it accepts.
    pub(in crate::http) access: &'static str,
    /// The parameters besides those in the path.
    pub(in crate::http) parameters: Vec<ListedParameter>,
    /// The status of success, and those of refusals.
    pub(in crate::http) statuses: Vec<u16>,
}

/// A parameter in words.
pub(in crate::http) struct ListedParameter {
    /// The name.
    pub(in crate::http) name: &'static str,
    /// Its content.
    pub(in crate::http) kind: String,
    /// Its meaning: a sentence without its full stop.
    pub(in crate::http) meaning: &'static str,
    /// True if it must be there.
    pub(in crate::http) required: bool,
}

/// Returns all endpoints by their subjects. They are made once.
pub(in crate::http) fn sections() -> &'static [ListedSection] {
    static SECTIONS: LazyLock<Vec<ListedSection>> = LazyLock::new(|| {
        let listed = |section: endpoints::Section| ListedSection {
            title: section.title,
            endpoints: section.endpoints.iter().map(listed).collect(),
        };
        endpoints::all().into_iter().map(listed).collect()
    });
    &SECTIONS
}

fn listed(endpoint: &Endpoint) -> ListedEndpoint {
    let success = (endpoint.success)(&mut SchemaGenerator::default());
    let of_pages = success.pages.map(Pages::parameters).unwrap_or_default();
    ListedEndpoint {
        method: endpoint.method.to_string(),
        path: format!("/api/v4{}", plain_path(endpoint.path)),
        summary: endpoint.summary,
        access: endpoint.access.phrase(),
        parameters: endpoint.parameters.iter().chain(of_pages).map(parameter).collect(),
        statuses: std::iter::once(success.status.as_u16()).chain(endpoint.statuses_of_refusals()).collect(),
    }
}

fn parameter(parameter: &Parameter) -> ListedParameter {
    let Parameter { name, meaning, required, .. } = *parameter;
    ListedParameter { name, kind: parameter.kind(), meaning, required }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::description::path_parameters;

    /// The document for readers, of which the table is that of the endpoints.
    const DOCUMENT: &str = include_str!("../../../docs/api.md");

    #[test]
    fn the_document_lists_all_endpoints_as_they_are() {
        let missing: Vec<String> =
            sections().iter().map(table).filter(|table| !DOCUMENT.contains(table.as_str())).collect();
        assert!(missing.is_empty(), "docs/api.md lacks, or has otherwise:\n\n{}", missing.join("\n"));
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `") && line.contains("/api/v4/")).count();
        let endpoints: usize = sections().iter().map(|section| section.endpoints.len()).sum();
        assert_eq!(rows, endpoints, "docs/api.md has rows of endpoints that there are not");
    }

    #[test]
    fn every_endpoint_says_what_it_does_and_every_path_is_there_once() {
        let mut known = std::collections::HashSet::new();
        for endpoint in sections().iter().flat_map(|section| &section.endpoints) {
            let name = format!("{} {}", endpoint.method, endpoint.path);
            assert!(!endpoint.summary.is_empty() && !endpoint.summary.ends_with('.'), "{name}");
            assert!(path_parameters(&endpoint.path).all(|name| !name.is_empty()), "{name}");
            assert!(known.insert(name.clone()), "{name} is there twice");
        }
        assert!(known.len() > 80);
    }

    fn table(section: &ListedSection) -> String {
        let row = |endpoint: &ListedEndpoint| {
            let ListedEndpoint { method, path, summary, access, .. } = endpoint;
            format!("| `{method} {path}` | {summary} | {access} |\n")
        };
        let rows: String = section.endpoints.iter().map(row).collect();
        format!("## {}\n\n| call | what it does | for |\n|---|---|---|\n{rows}", section.title)
    }
}
