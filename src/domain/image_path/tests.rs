//! Tests of paths and names of images, of any form.

use std::time::Duration;

use proptest::prelude::*;

use super::separators::MARKER;
use super::*;
use crate::domain::upstream::Upstream;

proptest! {
    #[test]
    fn a_path_that_is_accepted_names_each_of_its_parts(
        group in "((a|A-b|v2|ä|\\.\\.)/){0,2}(dependency_proxy/containers/){0,2}",
        image in "((a|b_c|quay\\.io|docker\\.io|x\\.io|manifests|blobs|\\.\\.|%2f)/){0,4}",
        target in "manifests/(1|latest|a:b|sha256:0{64})|(blobs|referrers)/sha256:(0{64}|1)|tags/list|x",
        namespace in prop::option::of("quay\\.io|docker\\.io|x\\.io|"), any_text in "\\PC*",
    ) {
        let (path, upstreams) = (format!("{group}{image}{target}"), upstreams(&["docker.io", "quay.io"]));
        let _refused_or_not = ImagePath::parse(&any_text, namespace.as_deref(), &upstreams);
        let Ok(parsed) = ImagePath::parse(&path, namespace.as_deref(), &upstreams) else { return Ok(()) };
        prop_assert!(path.to_ascii_lowercase().starts_with(&format!("{}{MARKER}", parsed.group)), "{path}");
        prop_assert!(upstreams.named(parsed.upstream.as_str()).is_some());
        prop_assert!(namespace.is_none_or(|name| parsed.upstream.as_str() == name));
        let repository = parsed.repository.as_str();
        let (_, rest) = split_at_marker(&path).unwrap_or_default();
        let image = image_in(rest);
        prop_assert!(image.ends_with(repository.strip_prefix("library/").unwrap_or(repository)), "{path}");
        prop_assert!(!parsed.upstream.is_docker_hub() || !parsed.repository.is_single_part());
        let end = match &parsed.target {
            Target::Manifest(reference) => format!("/manifests/{reference}"),
            Target::Blob(digest) => format!("/blobs/{digest}"),
            Target::Tags => "/tags/list".to_owned(),
            Target::Referrers(digest) => format!("/referrers/{digest}"),
        };
        prop_assert!(path.ends_with(&end), "{path}");
        let named = NamedImage::find(&path, None, &upstreams);
        prop_assert_eq!(named.group, Some(parsed.group));
    }

    #[test]
    fn an_image_is_named_as_it_was_written(
        registry in "(quay\\.io/)?", path in "[a-z0-9]{1,5}(/[a-z0-9]{1,5}){1,3}",
        reference in "(:[a-z0-9]{1,9}|@sha256:[0-9a-f]{64})?", any_text in "\\PC*",
    ) {
        // A name that begins with the path of the API is read without it.
        prop_assume!(!path.starts_with("v2/"));
        let _refused_or_not = ImageName::parse(&any_text, &Upstreams::default());
        let upstreams = upstreams(&["docker.io"]);
        let Ok(name) = ImageName::parse(&format!("{registry}{path}{reference}"), &upstreams) else {
            return Err(TestCaseError::fail("a valid name is refused"));
        };
        let expected = if registry.is_empty() { "docker.io" } else { "quay.io" };
        prop_assert_eq!((name.upstream.as_str(), name.repository.as_str()), (expected, path.as_str()));
        let written = reference.get(1..).filter(|text| !text.is_empty()).unwrap_or("latest");
        prop_assert_eq!(name.reference.to_string(), written);
    }
}

fn upstreams(names: &[&str]) -> Upstreams {
    let known = |name: &&str| {
        let upstream = Upstream { accounts: Vec::new(), tag_freshness: Duration::ZERO };
        name.parse().ok().map(|name| (name, upstream))
    };
    Upstreams::new(names.iter().filter_map(known))
}
