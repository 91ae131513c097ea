//! Tests of manifests and indexes: what they name, and what is none.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

#[test]
fn a_manifest_names_its_config_and_its_own_layers() {
    let json = format!(
        r#"{{"config":{{"digest":"{}","size":7}},"layers":[{{"digest":"{}","size":8}},{{"digest":"{}","size":9,"urls":["http://x/"]}}]}}"#,
        digest(1),
        digest(2),
        digest(3)
    );
    let named = parse(ACCEPTED[2], json.as_bytes()).unwrap();
    assert_eq!(
        named.blobs.iter().map(|blob| (blob.digest, blob.size)).collect::<Vec<_>>(),
        [(digest(1), Some(7)), (digest(2), Some(8))]
    );
    assert!(named.manifests.is_empty());
}

#[test]
fn an_index_names_its_manifests() {
    let json = format!(r#"{{"manifests":[{{"digest":"{}","size":5,"platform":{{}}}}]}}"#, digest(4));
    let named = parse(ACCEPTED[0], json.as_bytes()).unwrap();
    assert_eq!(named.manifests, [Descriptor { digest: digest(4), size: Some(5) }]);
}

#[test]
fn null_and_empty_are_absent_and_a_wrong_size_is_no_size() {
    let entry = |size: &str| format!(r#"{{"digest":"{}","size":{size},"urls":null}}"#, digest(1));
    for json in [
        r#"{"mediaType":"","config":null,"layers":null,"manifests":null}"#,
        r#"{"mediaType":null,"layers":[],"annotations":null}"#,
    ] {
        assert_eq!(parse(ACCEPTED[2], json.as_bytes()).unwrap(), Named::default(), "{json}");
    }
    for (size, expected) in [("7", Some(7)), ("-1", None), ("null", None), ("\"7\"", None), ("1.5", None)] {
        let json = format!(r#"{{"config":{},"layers":[{}],"manifests":null}}"#, entry(size), entry(size));
        let named = parse(ACCEPTED[2], json.as_bytes()).unwrap();
        assert_eq!(named.blobs, [Descriptor { digest: digest(1), size: expected }; 2], "{size}");
    }
}

#[test]
fn the_document_decides_where_the_content_type_says_nothing() {
    let typed = |media_type: &str| format!(r#"{{"mediaType":"{media_type}"}}"#);
    for media_type in ACCEPTED {
        assert_eq!(identify(None, typed(media_type).as_bytes()).unwrap().0, media_type);
    }
    let entry = format!(r#"{{"digest":"{}","size":5}}"#, digest(4));
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    let image = format!(r#"{{"schemaVersion":2,"config":{entry},"layers":[]}}"#);
    assert_eq!(identify(None, index.as_bytes()).unwrap().0, ACCEPTED[0]);
    assert_eq!(identify(None, image.as_bytes()).unwrap().0, ACCEPTED[2]);
    let schema_1 = r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#;
    assert!(matches!(identify(None, schema_1.as_bytes()), Err(ManifestError::Schema1)));
    for other in ["{}", r#"{"token":"x"}"#, &typed("text/html")] {
        assert!(matches!(identify(None, other.as_bytes()), Err(ManifestError::MediaType(_))), "{other}");
    }
}

#[test]
fn another_digest_algorithm_is_left_out_and_a_malformed_digest_refused() {
    let image = |digest: &str| format!(r#"{{"config":null,"layers":[{{"digest":"{digest}","size":1}}]}}"#);
    for other in ["sha512:abc", "blake3:00", "sha256+b64u:LCa0"] {
        assert_eq!(parse(ACCEPTED[2], image(other).as_bytes()).unwrap(), Named::default(), "{other}");
    }
    for malformed in ["sha256:abc", "", "latest", "sha512:", "../x:y"] {
        let parsed = parse(ACCEPTED[2], image(malformed).as_bytes());
        assert!(matches!(parsed, Err(ManifestError::Digest(_))), "{malformed}");
    }
}

#[test]
fn what_is_something_else_by_its_own_word_or_parts_is_refused() {
    let typed = |media_type: &str| format!(r#"{{"mediaType":"{media_type}"}}"#);
    for media_type in ACCEPTED {
        assert!(parse(media_type, typed(media_type).as_bytes()).is_ok(), "{media_type}");
        for other in ACCEPTED.iter().filter(|other| **other != media_type) {
            let parsed = parse(media_type, typed(other).as_bytes());
            assert!(matches!(parsed, Err(ManifestError::Contradiction(_))), "{other} as {media_type}");
        }
    }
    let descriptor = format!(r#"{{"digest":"{}","size":5}}"#, digest(4));
    let (index, image) = (format!(r#"{{"manifests":[{descriptor}]}}"#), format!(r#"{{"config":{descriptor}}}"#));
    for (media_type, json) in
        [(ACCEPTED[0], &image), (ACCEPTED[2], &index), (ACCEPTED[1], &index), (ACCEPTED[3], &image)]
    {
        let parsed = parse(media_type, json.as_bytes());
        assert!(matches!(parsed, Err(ManifestError::Contradiction(_))), "{json} as {media_type}");
    }
}

#[test]
fn a_web_page_is_no_manifest() {
    assert!(matches!(parse("text/html", b"{}"), Err(ManifestError::MediaType(_))));
    assert!(matches!(parse(ACCEPTED[0], b"<html>"), Err(ManifestError::Json(_))));
}

/// Values of the fields of manifests: right ones, and some of every other kind.
fn value() -> impl Strategy<Value = String> {
    let digest = format!("\"{}\"", digest(7));
    let entry = format!(r#"{{"digest":{digest},"size":7,"platform":{{"os":"linux","architecture":"arm64"}}}}"#);
    let of = |text: &str| Just(text.to_owned());
    prop_oneof![
        of("null"),
        of("[]"),
        of("{}"),
        of("1"),
        of("2"),
        of("-1"),
        of("\"\""),
        of("true"),
        of(&entry),
        of(&format!("[{entry}]")),
        of(&format!("[{entry},{entry}]")),
        of(&format!("[{digest},7,null]")),
        of(&format!("[{entry},[{digest}]]")),
        of(r#"[{"digest":"sha512:00"}]"#),
        of(r#"[{"digest":"latest"}]"#),
        of(&entry.replace("\"linux\"", "null")),
        prop::sample::select(ACCEPTED.to_vec()).prop_map(|media_type| format!("\"{media_type}\"")),
    ]
}

proptest! {
    #[test]
    fn no_bytes_are_taken_for_what_they_are_not(bytes: Vec<u8>, text in "[\\[{\"a-z:0-9,}\\]]{0,40}") {
        properties::hold(&bytes);
        properties::hold(text.as_bytes());
    }

    #[test]
    fn whatever_is_accepted_names_its_own_content(
        fields in prop::collection::vec(("schemaVersion|mediaType|config|layers|manifests|digest", value()), 0..6),
    ) {
        let field = |(name, value): &(String, String)| format!("\"{name}\":{value}");
        let fields: Vec<String> = fields.iter().map(field).collect();
        properties::hold(format!("{{{}}}", fields.join(",")).as_bytes());
    }

    #[test]
    fn a_list_of_the_values_is_no_manifest(values in prop::collection::vec(value(), 5)) {
        let list = format!("[{}]", values.join(","));
        prop_assert!(identify(None, list.as_bytes()).is_err());
        prop_assert!(ACCEPTED.iter().all(|media_type| parse(media_type, list.as_bytes()).is_err()));
        properties::hold(list.as_bytes());
    }
}
