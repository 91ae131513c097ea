//! The texts that separate the parts of a path: the marker between group and image, and the word between an image and a
//! reference.

pub(super) const MARKER: &str = "/dependency_proxy/containers/";

/// Splits a path at the marker: returns the texts for the group, and for the image with what follows it.
pub fn split_at_marker(path: &str) -> Option<(&str, &str)> {
    path.split_once(MARKER)
}

/// The path segment that separates an image from a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A tag or digest of a manifest follows.
    Manifests,
    /// The digest of a blob follows.
    Blobs,
    /// The digest of the manifest that is referred to follows.
    Referrers,
}

/// Splits a path at its last such segment: returns the text before it, the segment, and the text after it.
pub fn split_at_word(path: &str) -> Option<(&str, Word, &str)> {
    // Image names may contain these words, too, so the search starts at the end.
    let mut end = path.len();
    while let Some(slash) = path[..end].rfind('/') {
        let value = path[end..].strip_prefix('/');
        let word = match &path[slash + 1..end] {
            "manifests" => Some(Word::Manifests),
            "blobs" => Some(Word::Blobs),
            "referrers" => Some(Word::Referrers),
            _ => None,
        };
        if let (Some(word), Some(value)) = (word, value) {
            return Some((&path[..slash], word, value));
        }
        end = slash;
    }
    None
}

/// Returns the image at the beginning of the path after the marker.
pub fn image_in(rest: &str) -> &str {
    let listed = rest.strip_suffix("/tags/list");
    listed.or_else(|| split_at_word(rest).map(|(image, ..)| image)).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_word_separates_an_image_from_a_value() {
        for (path, split) in [
            ("a/manifests/1", Some(("a", Word::Manifests, "1"))),
            ("a/b/blobs/sha256:0", Some(("a/b", Word::Blobs, "sha256:0"))),
            ("a/manifests/blobs/x", Some(("a/manifests", Word::Blobs, "x"))),
            ("a/manifests/x/y", Some(("a", Word::Manifests, "x/y"))),
            ("a/referrers/", Some(("a", Word::Referrers, ""))),
            ("manifests/1", None),
            ("a/manifests", None),
            ("a/xmanifests/1", None),
            ("", None),
        ] {
            assert_eq!(split_at_word(path), split, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_split_fits_together_again(path in "(/|a|manifests|blobs|ä){0,9}") {
            if let Some((image, word, value)) = split_at_word(&path) {
                let word = match word {
                    Word::Manifests => "manifests",
                    Word::Blobs => "blobs",
                    Word::Referrers => "referrers",
                };
                prop_assert_eq!(format!("{image}/{word}/{value}"), path);
            }
        }
    }
}
