//! Arbitrary settings: what is accepted is within its limits, and what is refused never shows a secret.

use proptest::prelude::*;

use super::super::properties::{self, CANARY};

/// Keys with their sections, and values of several kinds, most of them wrong somewhere.
fn setting() -> impl Strategy<Value = (String, String, String)> {
    let section = "server|storage|bootstrap|auth|limits|proxy|cache|log|upstream_defaults|sever|\
                   upstreams.'(docker.io|quay.io|a_b|)'(.accounts.(one|two))?";
    let key = "listen|workers|external_url|trusted_proxies|tls_key|client_timeout|data_dir|min_free|max_bytes|\
               verify_interval|admin_username|admin_password|admin_token|service|token_lifetime|token_advertised|\
               login_window|enabled|network_mode|tag_freshness|moving_tags|transfer_memory|max_manifest_bytes|\
               max_concurrent|connect_timeout|header_timeout|rate_limit_wait|proxy|url|mirrors|username|password|\
               second_username|second_password|groups|images|auth_hosts|filter|format|x";
    (section, key, value())
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => secret(),
        1 => "-?[0-9]{1,20}|true|false|\\[\\]|1\\.5|inf|2026-11-29|\\{\\}".prop_map(String::from),
        1 => "'[0-9]{1,5}(s|h|ms|%|B|MiB|GiB)?'".prop_map(String::from),
        1 => "'(https?://[a-z.:0-9]{0,9}|[a-z./*:0-9-]{0,9}|unlimited|offline)'".prop_map(String::from),
        1 => "\"[ !#-\\[\\]-~]{0,9}(\\\\n|\\\\u001b)?\"".prop_map(String::from),
        1 => "\\['[a-z./*:0-9-]{0,9}'(, ?('[a-z.]{0,5}'|7))?\\]".prop_map(String::from),
    ]
}

/// Returns a secret, alone or within a value of a wrong type.
fn secret() -> impl Strategy<Value = String> {
    let secret = format!("'{CANARY}-of-a-length-that-is-accepted'");
    let forms = [
        secret.clone(),
        format!("'{CANARY}'"),
        format!("[{secret}]"),
        format!("{{ a = {secret} }}"),
        format!("\"{CANARY}\\n\""),
    ];
    prop::sample::select(forms.to_vec())
}

fn file() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(setting(), 0..8);
    lines.prop_map(|settings| {
        let line = |(section, key, value): (String, String, String)| {
            // A canary in any other place than that of a secret may be shown.
            let is_secret = ["password", "second_password", "admin_password", "admin_token"].contains(&key.as_str());
            let value = if is_secret { value } else { value.replace(CANARY, "shown") };
            format!("{section}.{key} = {value}\n")
        };
        settings.into_iter().map(line).collect()
    })
}

proptest! {
    // Each case reads all settings, also again after each fault.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_text_makes_settings_beyond_their_limits(
        bytes: Vec<u8>, text in "\\PC*", near_miss in "[a-z.=\\[\\]'\"{},\n0-9]{0,60}",
    ) {
        properties::hold(&bytes);
        properties::hold(text.as_bytes());
        properties::hold(near_miss.as_bytes());
    }

    #[test]
    fn a_refusal_shows_no_secret_whatever_is_wrong_beside_it(file in file()) {
        properties::hold(file.as_bytes());
    }

    #[test]
    fn a_file_with_a_wrong_character_shows_no_secret(at: usize, wrong in "[\"'=\n#{}\\[\\]\\\\a]?", replace: bool) {
        let file = format!("[bootstrap]\nadmin_password = \"{CANARY}-0123456789\"\nadmin_username = 'admin'\n");
        let value = file.find(CANARY).unwrap_or_default()..file.find("-0123").unwrap_or_default();
        let at = at % file.len();
        prop_assume!(!value.contains(&at));
        let text = format!("{}{wrong}{}", &file[..at], &file[at + usize::from(replace)..]);
        if let Err(refusal) = super::load(&text, &[]) {
            prop_assert!(!refusal.contains(CANARY), "{}", refusal);
        }
    }

    #[test]
    fn a_variable_shows_no_secret(
        name in "(BOOTSTRAP__ADMIN_(PASSWORD|TOKEN)|UPSTREAMS__DOCKER_IO__(SECOND_)?PASSWORD)(__X|S)?",
    ) {
        let shown = match super::load("", &[(&format!("DEPENDENCY_PROXY__{name}"), CANARY)]) {
            Ok(settings) => format!("{settings:?}"),
            Err(refusal) => refusal,
        };
        prop_assert!(!shown.contains(CANARY), "{}", shown);
    }
}
