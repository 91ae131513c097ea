//! Platforms of images (OCI image specification, "Image Index", `platform`, and "Image Configuration").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// The platform that an image is for, such as `linux/arm64/v8`: operating system, architecture and, where there is one,
/// its variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Platform(Arc<str>);

/// Maximum length of each part of a platform, in bytes. A longer one is no real platform.
const MAX_PART_BYTES: usize = 32;

/// The fields of a platform, as an index and a configuration have them.
#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Fields>,
}

/// Returns the manifests that an index names for a platform; none if the bytes are no index. Those for no platform,
/// such as attestations, which have `unknown/unknown`, are left out.
pub fn of_index(bytes: &[u8]) -> Vec<(Digest, Platform)> {
    let Ok(index) = serde_json::from_slice::<Index>(bytes) else { return Vec::new() };
    let known = |entry: Entry| Some((entry.digest.parse().ok()?, Platform::of(&entry.platform?)?));
    index.manifests.into_iter().filter_map(known).collect()
}

/// Returns the platform that the configuration of an image states.
pub fn of_configuration(bytes: &[u8]) -> Option<Platform> {
    Platform::of(&serde_json::from_slice(bytes).ok()?)
}

/// The error for a text that is not a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a platform is an operating system and an architecture, such as linux/amd64 or linux/arm/v7")]
pub struct PlatformError;

impl Platform {
    /// Returns true if this platform is the wanted one, or a variant of it where none is named.
    pub fn fits(&self, wanted: &Self) -> bool {
        let rest = self.0.strip_prefix(&*wanted.0);
        rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && wanted.0.matches('/').count() == 1))
    }

    fn of(fields: &Fields) -> Option<Self> {
        let is_plain = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            part.len() <= MAX_PART_BYTES && part.bytes().all(allowed)
        };
        let known = |part: &str| !part.is_empty() && part != "unknown";
        let Fields { os, architecture, variant } = fields;
        if !known(os) || !known(architecture) || ![os, architecture, variant].into_iter().all(|part| is_plain(part)) {
            return None;
        }
        let variant = if variant.is_empty() { String::new() } else { format!("/{variant}") };
        Some(Self(format!("{os}/{architecture}{variant}").into()))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let fields = Fields { os: part(), architecture: part(), variant: part() };
        Self::of(&fields).filter(|platform| *platform.0 == *text).ok_or(PlatformError)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(configuration: &str) -> Option<String> {
        of_configuration(configuration.as_bytes()).map(|platform| platform.to_string())
    }

    #[test]
    fn a_configuration_states_the_platform_of_its_image() {
        assert_eq!(of(r#"{"os":"linux","architecture":"amd64","rootfs":{}}"#).as_deref(), Some("linux/amd64"));
        let arm = r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#;
        assert_eq!(of(arm).as_deref(), Some("linux/arm64/v8"));
    }

    #[test]
    fn a_platform_without_a_variant_fits_all_of_its_variants() {
        let of = |text: &str| text.parse::<Platform>();
        let fits = |one: &str, wanted: &str| of(one).is_ok_and(|one| of(wanted).is_ok_and(|wanted| one.fits(&wanted)));
        assert!(fits("linux/arm64/v8", "linux/arm64") && fits("linux/arm64", "linux/arm64"));
        assert!(!fits("linux/arm64", "linux/arm64/v8") && !fits("linux/arm64", "linux/arm"));
        for text in ["", "linux", "linux/", "/amd64", "linux/amd64/", "a/b/c/d", "linux/AMD 64"] {
            assert_eq!(of(text), Err(PlatformError), "{text}");
        }
    }

    #[test]
    fn what_is_no_platform_is_none() {
        let long = format!(r#"{{"os":"linux","architecture":"{}"}}"#, "a".repeat(33));
        for other in
            ["{}", "[]", r#"{"os":"unknown","architecture":"unknown"}"#, r#"{"os":"a/b","architecture":"<"}"#, &long]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn an_index_names_the_manifests_of_its_platforms_without_attestations() {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        let entry = |byte, platform: &str| format!(r#"{{"digest":"{}","size":1{platform}}}"#, digest(byte));
        let entries = [
            entry(1, r#","platform":{"os":"linux","architecture":"amd64"}"#),
            entry(2, r#","platform":{"os":"unknown","architecture":"unknown"}"#),
            entry(3, ""),
        ];
        let found = of_index(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes());
        let names: Vec<_> = found.iter().map(|(digest, platform)| (*digest, platform.to_string())).collect();
        assert_eq!(names, [(digest(1), "linux/amd64".to_owned())]);
    }
}
