//! Platforms of images (OCI image specification, "Image Index", `platform`, and "Image Configuration").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::json_object::Object;

/// The platform that an image is for, such as `linux/arm64/v8`: operating system, architecture and, where there is one,
/// its variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Platform(Arc<str>);

/// Maximum length of each part of a platform, in bytes. A longer one is no real platform.
const MAX_PART_BYTES: usize = 32;

/// The fields of a platform, as an index and a configuration have them. As in clients, `null` counts as absent.
#[derive(Deserialize)]
struct Fields {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Object<Entry>>>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Object<Fields>>,
}

/// Returns the manifests that an index names for a platform; none if the bytes are no index. Those for no platform,
/// such as attestations, which have `unknown/unknown`, are left out.
pub fn of_index(bytes: &[u8]) -> Vec<(Digest, Platform)> {
    let Ok(Object(index)) = serde_json::from_slice::<Object<Index>>(bytes) else { return Vec::new() };
    let known = |Object(entry): Object<Entry>| Some((entry.digest.parse().ok()?, entry.platform?.0.platform()?));
    index.manifests.into_iter().flatten().filter_map(known).collect()
}

/// Returns the platform that the configuration of an image states.
pub fn of_configuration(bytes: &[u8]) -> Option<Platform> {
    let Object(fields): Object<Fields> = serde_json::from_slice(bytes).ok()?;
    fields.platform()
}

/// The error for a text that is not a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a platform such as linux/amd64 or linux/arm/v7")]
pub struct PlatformError;

impl Platform {
    /// Returns the platform of images that run on Linux on this processor, which has the name that Rust gives it
    /// ([`std::env::consts::ARCH`]). On other operating systems clients run images in a Linux virtual machine.
    pub fn of_linux_on(processor: &'static str) -> Self {
        let architecture = match processor {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self(format!("linux/{architecture}").into())
    }

    /// Returns true if this platform is the wanted one, or a variant of it where none is named.
    pub fn fits(&self, wanted: &Self) -> bool {
        let rest = self.0.strip_prefix(&*wanted.0);
        rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && wanted.0.matches('/').count() == 1))
    }

    fn of(os: &str, architecture: &str, variant: &str) -> Option<Self> {
        let is_plain = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            part.len() <= MAX_PART_BYTES && part.bytes().all(allowed)
        };
        let known = |part: &str| !part.is_empty() && part != "unknown";
        if !known(os) || !known(architecture) || ![os, architecture, variant].into_iter().all(is_plain) {
            return None;
        }
        let variant = if variant.is_empty() { String::new() } else { format!("/{variant}") };
        Some(Self(format!("{os}/{architecture}{variant}").into()))
    }
}

impl Fields {
    fn platform(&self) -> Option<Platform> {
        let [os, architecture, variant] =
            [&self.os, &self.architecture, &self.variant].map(|part| part.as_deref().unwrap_or_default());
        Platform::of(os, architecture, variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        Self::of(part(), part(), part()).filter(|platform| *platform.0 == *text).ok_or(PlatformError)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_platform_that_lacks_a_field_does_not_hide_the_others() {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        let entry = |byte, platform: &str| format!(r#"{{"digest":"{}","platform":{platform}}}"#, digest(byte));
        let entries = [
            entry(1, r#"{"os":"linux","architecture":"amd64","variant":null}"#),
            entry(2, r#"{"os":null,"architecture":"amd64"}"#),
            entry(3, r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#),
        ];
        let found = of_index(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes());
        let found: Vec<_> = found.into_iter().map(|(digest, platform)| (digest, platform.to_string())).collect();
        assert_eq!(found, [(digest(1), "linux/amd64".to_owned()), (digest(3), "linux/arm64/v8".to_owned())]);
        assert_eq!(of_index(br#"{"manifests":null}"#), []);
        assert_eq!(of(r#"["linux","amd64",""]"#), None, "a list is no configuration");
    }

    proptest! {
        #[test]
        fn a_platform_is_printed_as_it_was_written_and_fits_itself(
            any_text in "\\PC*", near_miss in "[a-z0-9_.-]{0,33}(/[a-zA-Z0-9._-]{0,33}){0,3}",
        ) {
            for text in [any_text, near_miss] {
                let Ok(platform) = text.parse::<Platform>() else { continue };
                prop_assert_eq!(platform.to_string(), text.clone());
                prop_assert!((1..=2).contains(&text.matches('/').count()) && text.len() <= 3 * MAX_PART_BYTES + 2);
                prop_assert!(platform.fits(&platform));
                let without_variant: Vec<&str> = text.split('/').take(2).collect();
                prop_assert!(without_variant.join("/").parse().is_ok_and(|wanted| platform.fits(&wanted)));
            }
        }

        #[test]
        fn a_configuration_has_the_platform_of_its_fields(
            os in "[a-z ]{0,9}", architecture in "[a-z0-9\"]{0,9}", variant in "(v[0-9])?",
        ) {
            let json = serde_json::json!({"os": os, "architecture": architecture, "variant": variant}).to_string();
            let variant = if variant.is_empty() { variant } else { format!("/{variant}") };
            prop_assert_eq!(of_configuration(json.as_bytes()), format!("{os}/{architecture}{variant}").parse().ok());
        }
    }
}
