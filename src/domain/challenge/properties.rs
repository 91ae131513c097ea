//! Properties of challenges, for whatever bytes stand in their place. Shared by the tests and `tests/fuzz`.

use super::{Challenge, choose, parse};

/// Asserts that each line, as a field, has no other challenges than it names, that their values come from the field,
/// and that a challenge written with quotes is read back.
pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut found = Vec::new();
    for field in text.lines() {
        let challenges = parse(field);
        challenges.iter().for_each(|challenge| comes_from(challenge, field));
        found.extend(challenges);
    }
    let chosen = choose(text.lines());
    assert_eq!(chosen.is_none(), found.is_empty(), "{text:?}");
    let bearer = found.iter().find(|challenge| matches!(challenge, Challenge::Bearer(_)));
    assert_eq!(chosen.as_ref(), bearer.or(found.first()), "{text:?}");
}

fn comes_from(challenge: &Challenge, field: &str) {
    let folded = field.to_ascii_lowercase();
    let Challenge::Bearer(bearer) = challenge else {
        assert!(folded.contains("basic"), "{field:?}");
        return;
    };
    assert!(folded.contains("bearer") && folded.contains("realm"), "{field:?}");
    // Only a backslash is left out between the characters of a value.
    let plain = field.replace('\\', "");
    let values = [Some(&bearer.realm), bearer.service.as_ref(), bearer.scope.as_ref()];
    for value in values.into_iter().flatten() {
        assert!(plain.contains(&value.replace('\\', "")), "{value:?} is not in {field:?}");
    }
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let parameter = |name: &str, value: &Option<String>| {
        value.as_deref().map(|value| format!(", {name}={}", quote(value))).unwrap_or_default()
    };
    let (service, scope) = (parameter("service", &bearer.service), parameter("scope", &bearer.scope));
    let written = format!("Bearer realm={}{service}{scope}", quote(&bearer.realm));
    assert_eq!(parse(&written).as_slice(), std::slice::from_ref(challenge), "{written:?}");
}
