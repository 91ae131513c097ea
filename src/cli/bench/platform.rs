//! Choice of a platform's manifest from an index (OCI image specification, "Image Index").

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::domain::manifest::Descriptor;

/// An operating system and an architecture such as `linux/arm64`, with an optional variant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::cli) struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
    platform: Option<Platform>,
}

impl Platform {
    /// Returns the platform that clients on this machine pull.
    pub(in crate::cli) fn here() -> Self {
        // On other operating systems clients run images in a Linux virtual machine.
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Returns the descriptor of the first manifest in this index that is for the platform.
    pub(super) fn choose(&self, index: &[u8]) -> Option<Descriptor> {
        let index: Index = serde_json::from_slice(index).ok()?;
        let fits = |entry: &&Entry| entry.platform.as_ref().is_some_and(|platform| self.accepts(platform));
        index.manifests.iter().find(fits).map(|entry| entry.descriptor)
    }

    fn accepts(&self, other: &Self) -> bool {
        let variant = self.variant.is_none() || self.variant == other.variant;
        self.os == other.os && self.architecture == other.architecture && variant
    }
}

impl FromStr for Platform {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture) {
            (Some(os), Some(architecture)) if parts.next().is_none() => Ok(Self { os, architecture, variant }),
            _ => Err("is not a platform such as linux/amd64 or linux/arm/v7"),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::digest::Digest;

    fn index() -> Vec<u8> {
        let entry = |byte: u8, platform: &str| {
            let Platform { os, architecture, variant } = platform.parse().unwrap();
            let digest = Digest::from_bytes([byte; 32]);
            json!({"digest": digest, "size": byte,
                   "platform": {"os": os, "architecture": architecture, "variant": variant}})
        };
        let mut entries = [entry(1, "linux/amd64"), entry(2, "linux/arm/v6"), entry(3, "linux/arm/v7")].to_vec();
        entries.insert(0, json!({"digest": Digest::from_bytes([0; 32]), "size": 0}));
        json!({ "manifests": entries }).to_string().into_bytes()
    }

    fn chosen(platform: &str) -> Option<u64> {
        platform.parse::<Platform>().unwrap().choose(&index()).and_then(|descriptor| descriptor.size)
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
        assert_eq!(Platform::here().os, "linux");
    }
}
