//! The group and the image that a refused request is about. They have the same names as in the lines of pulls: the
//! path of the group, and the upstream with the repository there. Text that cannot be parsed is shown as it was sent.

use std::borrow::Cow;

use actix_web::{HttpMessage, HttpRequest};
use percent_encoding::percent_decode_str;

use super::shown::shown;
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::domain::image_path::{NamedImage, image_in, split_at_marker};
use crate::domain::upstream::Upstreams;
use crate::http::query::value_in;

/// A group and an image for the log, each if the request names one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Place {
    pub(in crate::http) group: Option<String>,
    pub(in crate::http) image: Option<String>,
}

/// The repositories in the scopes of a request for a token (Distribution's token specification), as an extension of a
/// request that sends them in a form: its body is consumed by the time of the refusal.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct RequestedRepositories(Vec<String>);

/// Maximum number of repositories of one request that are logged. Clients request one.
const MAX_REPOSITORIES: usize = 3;

impl RequestedRepositories {
    /// Parses the scopes in a query or a form: `repository:<name>:<actions>`, several of them separated by spaces or in
    /// fields of their own. The name may contain colons.
    pub(in crate::http) fn of(encoded: &[u8]) -> Self {
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(encoded).unwrap_or_default();
        let scopes = fields.iter().filter(|(name, _)| name == "scope").flat_map(|(_, value)| value.split(' '));
        let names = scopes.filter_map(|scope| Some(scope.strip_prefix("repository:")?.rsplit_once(':')?.0.to_owned()));
        Self(names.take(MAX_REPOSITORIES).collect())
    }
}

impl Place {
    /// Returns the place of this request.
    pub(in crate::http) fn of(request: &HttpRequest, upstreams: &Upstreams, directory: &Directory) -> Self {
        match request.extensions().get::<RequestedRepositories>() {
            Some(requested) => Self::of_repositories(requested, upstreams),
            None => Self::at(request.uri().path(), request.query_string(), upstreams, directory),
        }
    }

    /// Returns the place that this path and query name.
    pub(in crate::http) fn at(path: &str, query: &str, upstreams: &Upstreams, directory: &Directory) -> Self {
        if path == "/jwt/auth" {
            return Self::of_repositories(&RequestedRepositories::of(query.as_bytes()), upstreams);
        }
        if let Some(rest) = path.strip_prefix("/v2/") {
            return Self::named(&decoded(rest), value_in(query, "ns").as_deref(), upstreams);
        }
        if let Some(rest) = path.strip_prefix("/groups/") {
            let group = decoded(rest.split_once("/-/").map_or(rest, |(group, _)| group));
            return Self { group: Some(shown(&group).into_owned()).filter(|group| !group.is_empty()), image: None };
        }
        let group = path.strip_prefix("/api/v4/groups/").and_then(|rest| rest.split('/').next());
        let group = group.filter(|group| !group.is_empty());
        Self { group: group.map(|group| group_of_api(&decoded(group), directory)), image: None }
    }

    fn of_repositories(RequestedRepositories(names): &RequestedRepositories, upstreams: &Upstreams) -> Self {
        let places: Vec<Self> = names.iter().map(|name| Self::named(name, None, upstreams)).collect();
        let (groups, images) = places.into_iter().map(|place| (place.group, place.image)).unzip();
        Self { group: joined(groups), image: joined(images) }
    }

    /// Returns the place in a text of the form `<group>/dependency_proxy/containers/<image>`, with anything after it.
    fn named(text: &str, namespace: Option<&str>, upstreams: &Upstreams) -> Self {
        let Some((group, rest)) = split_at_marker(text) else { return Self::default() };
        let found = NamedImage::find(text, namespace, upstreams);
        let sent = || match (image_in(rest), namespace) {
            (image, Some(namespace)) => shown(&format!("{namespace}/{image}")).into_owned(),
            (image, None) => shown(image).into_owned(),
        };
        let image = found.image.map_or_else(sent, |(upstream, repository)| format!("{upstream}/{repository}"));
        let group = found.group.map_or_else(|| group.to_owned(), |group| group.to_string());
        // A name may be a secret that was put into the wrong place.
        Self { group: Some(shown(&group).into_owned()), image: Some(shown(&image).into_owned()) }
    }
}

/// Returns the path of the group that a request to the REST API names by its number or its path.
fn group_of_api(reference: &str, directory: &Directory) -> String {
    let by_path = || reference.parse().ok().and_then(|path| directory.group_at(&path));
    let found = reference.parse().map_or_else(|_| by_path(), |id| directory.group(GroupId(id)));
    found.map_or_else(|| shown(reference).into_owned(), |group| group.path.to_string())
}

/// Returns the different texts, separated by commas; `None` if there are none.
fn joined(texts: Vec<Option<String>>) -> Option<String> {
    let mut different: Vec<String> = texts.into_iter().flatten().collect();
    different.dedup();
    (!different.is_empty()).then(|| different.join(", "))
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::upstream::Upstream;

    fn at(path: &str, query: &str) -> (Option<String>, Option<String>) {
        let upstream = || Upstream { accounts: Vec::new(), tag_freshness: Duration::ZERO };
        let names = ["docker.io", "ghcr.io", "mirror:5000"];
        let upstreams = Upstreams::new(names.map(|name| (name.parse().unwrap(), upstream())));
        let Place { group, image } = Place::at(path, query, &upstreams, &Directory::default());
        (group, image)
    }

    #[test]
    fn a_place_has_one_name_wherever_it_is_named() {
        let at = |path: &str, query: &str| {
            let (group, image) = at(path, query);
            [group.unwrap_or_default(), image.unwrap_or_default()].join(" ")
        };
        let proxy = "/v2/Team/sub/dependency_proxy/containers";
        for rest in ["alpine/manifests/1", "alpine/tags/list", "library/alpine/blobs/uploads/", "v2/alpine/manifests/x"]
        {
            assert_eq!(at(&format!("{proxy}/{rest}"), ""), "team/sub docker.io/library/alpine", "{rest}");
        }
        assert_eq!(at(&format!("{proxy}/acme/app/tags/list"), "n=3&ns=ghcr.io"), "team/sub ghcr.io/acme/app");
        assert_eq!(at(&format!("{proxy}/acme/app/manifests/1"), "ns=other.test"), "team/sub other.test/acme/app");
        assert_eq!(at(&format!("{proxy}/other.test/app/manifests/1"), ""), "team/sub other.test/app");
        assert_eq!(at("/v2/_team/dependency_proxy/containers/Bad/manifests/1", ""), "_team Bad");
        assert_eq!(at("/v2/foo/bar/manifests/1", ""), " ");
        assert_eq!(at("/api/v4/groups/team%2Fabsent/members", ""), "team/absent ");
        assert_eq!(at("/api/v4/groups", ""), " ");
        assert_eq!(at("/groups/team/sub/-/dependency_proxy/tokens", ""), "team/sub ");
        assert_eq!(at("/groups/1/-/dependency_proxy", ""), "1 ");
        assert_eq!(at("/groups/team/sub", ""), "team/sub ");
    }

    #[test]
    fn scopes_name_a_place_alone_together_or_one_by_one() {
        let scope = |name: &str| format!("repository:team/dependency_proxy/containers/{name}:pull");
        let of = |query: &str| at("/jwt/auth", query);
        let team = |image: &str| (Some("team".to_owned()), Some(image.to_owned()));
        assert_eq!(of(&format!("service=x&scope={}", scope("alpine"))), team("docker.io/library/alpine"));
        assert_eq!(of(&format!("scope={}", scope("mirror:5000/app"))), team("mirror:5000/app"));
        let two = team("docker.io/library/alpine, ghcr.io/acme/app");
        assert_eq!(of(&format!("scope={}&scope={}", scope("alpine"), scope("ghcr.io/acme/app"))), two);
        assert_eq!(of(&format!("scope={}+{}", scope("alpine"), scope("ghcr.io/acme/app"))), two);
        for other in ["", "scope=registry:catalog:*", "scope=repository", "scope=repository:alpine:pull"] {
            assert_eq!(of(other), (None, None), "{other}");
        }
    }

    #[test]
    fn no_token_is_shown_in_the_place_of_a_name() {
        let token = format!("dpd-{}", "a".repeat(50));
        let (group, image) = at(&format!("/v2/{token}/dependency_proxy/containers/{token}/manifests/1"), "");
        assert_eq!((group.unwrap(), image.unwrap()), ("dpd-...".to_owned(), "docker.io/library/dpd-...".to_owned()));
    }
}
