//! Choice of a platform's manifest from an index (OCI image specification, "Image Index").

use crate::domain::manifest::Descriptor;
use crate::domain::platform::{self, Platform};

/// Returns the descriptor of the first manifest in this index that is for the platform. `manifests` has the descriptors
/// of all manifests that the index names.
pub(super) fn choose(wanted: &Platform, index: &[u8], manifests: &[Descriptor]) -> Option<Descriptor> {
    let of_index = platform::of_index(index);
    let (digest, _) = of_index.iter().find(|(_, platform)| platform.fits(wanted))?;
    manifests.iter().find(|descriptor| descriptor.digest == *digest).copied()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::digest::Digest;

    fn index() -> Vec<u8> {
        let entry = |byte: u8, (os, architecture, variant): (&str, &str, Option<&str>)| {
            let digest = Digest::from_bytes([byte; 32]);
            json!({"digest": digest, "size": byte,
                   "platform": {"os": os, "architecture": architecture, "variant": variant}})
        };
        let mut entries = [
            entry(1, ("linux", "amd64", None)),
            entry(2, ("linux", "arm", Some("v6"))),
            entry(3, ("linux", "arm", Some("v7"))),
        ]
        .to_vec();
        entries.insert(0, json!({"digest": Digest::from_bytes([0; 32]), "size": 0}));
        json!({ "manifests": entries }).to_string().into_bytes()
    }

    fn chosen(platform: &str) -> Option<u64> {
        let manifests: Vec<Descriptor> =
            (0..4).map(|byte| Descriptor { digest: Digest::from_bytes([byte; 32]), size: Some(byte.into()) }).collect();
        choose(&platform.parse().unwrap(), &index(), &manifests).and_then(|descriptor| descriptor.size)
    }

    #[test]
    fn the_first_manifest_that_fits_is_chosen() {
        assert_eq!(chosen("linux/amd64"), Some(1));
        assert_eq!(chosen("linux/arm"), Some(2));
        assert_eq!(chosen("linux/arm/v7"), Some(3));
        assert_eq!(chosen("windows/amd64"), None);
    }

    #[test]
    fn platforms_are_written_as_they_are_read() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().map(|platform| platform.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "linux", "a/b/c/d"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
        assert!(Platform::of_linux_on(std::env::consts::ARCH).to_string().starts_with("linux/"));
    }
}
