//! Look-up of one token by number, name or user name, in every group that the caller may see.

use serde_json::Value;

use super::super::client::Api;
use super::super::failure::Failure;
use super::super::group::named;
use super::super::output::{list, print_note};

/// Returns the token with this number, name or user name, in this group if one is given. A number is preferred to a
/// name, and an active token to inactive ones of the same name, which rotations leave behind.
///
/// # Errors
///
/// No token or several tokens match; the error lists the latter.
pub(super) async fn find(api: &Api, reference: &str, group: Option<&str>) -> Result<Value, Failure> {
    let mut found = api.list(&["tokens"], &[("find", reference.to_owned())]).await?;
    if let Some(group) = group {
        let group = api.show(&["groups", &named(api, group).await?]).await?["id"].clone();
        found.retain(|token| token["group_id"] == group);
    }
    let number = reference.parse::<u64>().ok();
    if let Some(numbered) = found.iter().find(|token| number.is_some() && token["id"].as_u64() == number) {
        return Ok(numbered.clone());
    }
    let (active, ended): (Vec<Value>, Vec<Value>) = found.into_iter().partition(|token| token["active"] == true);
    let candidates = if active.is_empty() { &ended } else { &active };
    match candidates.as_slice() {
        [] => Err(Failure::refused(404, &format!("there is no token '{reference}' that you may see"))),
        [one] => {
            if !active.is_empty() && !ended.is_empty() {
                print_note(&format!("Inactive tokens of the same name: {}; `token list` shows them.", ended.len()));
            }
            Ok(one.clone())
        }
        several => Err(Failure::Ambiguous { reference: reference.to_owned(), candidates: list(CANDIDATES, several) }),
    }
}

const CANDIDATES: &[&str] = &["id", "name", "kind", "group", "username", "active", "expires_at"];
