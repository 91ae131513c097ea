//! The content that a manifest refers to, as links of the group that pulled it. Pure: stores nothing.

use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Named};
use crate::store::link::{Link, links_of};
use crate::store::manifests::Manifest;

/// Returns the content that a stored manifest refers to.
pub(super) fn named(manifest: &Manifest) -> Named {
    manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default()
}

/// Returns the granted link to the manifest itself, and referenced links to the content that it refers to.
pub(super) fn links(manifest: &Manifest, named: &Named) -> Vec<(Digest, Link)> {
    links_of(manifest.digest, Link::granted(Some(manifest.bytes.len() as u64)), named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::Descriptor;
    use crate::store::link::MAX_NAMES;

    #[test]
    fn a_manifest_makes_only_so_many_links() {
        let manifest = Manifest::new(manifest::ACCEPTED[2].to_owned(), "{}".into());
        let blobs = vec![Descriptor { digest: Digest::from_bytes([7; 32]), size: Some(1) }; 100_000];
        let links = links(&manifest, &Named { blobs, manifests: Vec::new() });
        assert_eq!((links.len(), links[0].0), (MAX_NAMES + 1, manifest.digest));
    }
}
