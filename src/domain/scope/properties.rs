//! Properties of scopes, for whatever bytes stand in their place. Shared by the tests and `tests/fuzz`.

use super::{Scope, Scopes};

/// Asserts that only the names of scopes are accepted, from a list with a name on each line and from one in JSON, and
/// that a list of them has each one once, in a fixed order.
pub(crate) fn hold(bytes: &[u8]) {
    if let Ok(scopes) = serde_json::from_slice::<Scopes>(bytes) {
        is_ordered_and_read_back(&scopes);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    let named: Result<Vec<Scope>, _> = text.lines().map(str::parse).collect();
    let is_name = |line: &str| Scope::ALL.iter().any(|scope| scope.as_str() == line);
    assert_eq!(named.is_ok(), text.lines().all(is_name), "{text:?}");
    let Ok(named) = named else { return };
    let Ok(scopes) = Scopes::try_from(named.clone()) else {
        assert!(named.is_empty(), "{text:?}");
        return;
    };
    assert!(named.iter().all(|scope| scopes.contains(*scope)) && scopes.iter().all(|scope| named.contains(&scope)));
    is_ordered_and_read_back(&scopes);
}

fn is_ordered_and_read_back(scopes: &Scopes) {
    let list: Vec<Scope> = scopes.iter().collect();
    assert!(!list.is_empty() && list.is_sorted_by(|one, next| one < next), "{list:?}");
    let again: Vec<Scope> = list.iter().filter_map(|scope| scope.to_string().parse().ok()).collect();
    assert_eq!(again, list);
    let json = serde_json::to_vec(scopes).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<Scopes>(&json).ok().as_ref(), Some(scopes));
    assert!(!scopes.have_pull_pair() || list.len() >= 2, "one scope alone pulls");
}
